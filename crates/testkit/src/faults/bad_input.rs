//! T26: input that is not what it should be. Exact answers, no error of the server's own, nothing left open.

use std::time::Duration;

use crate::bad_http;
use crate::connection::Connection;
use crate::deployment::Deployment;
use crate::order::{Broken, Figures, Order, Told, in_parallel};
use crate::server::{Home, Server, found_within};

/// Connections at the same time.
const CLIENTS: usize = 8;
/// From the last request to no connection.
const CLOSED_WITHIN: Duration = Duration::from_secs(20);

pub(super) fn run(order: &Order) -> Told {
    let home = Home::new("");
    let server = home.serve();
    Deployment { capture_percent: None, ..Deployment::echo("churn") }.create(&server);
    let before = sockets(&server);
    let address = server.address();
    let told = in_parallel(order, CLIENTS, |seed| {
        let case = bad_http::of(seed);
        let statuses = bad_http::try_on(address, &case)?;
        let mut figures = Figures { units: 1, ..Figures::default() };
        let answered = statuses
            .first()
            .map_or_else(|| "closed without a reply".to_owned(), |status| format!("answered with {status}"));
        figures.add(&answered, 1);
        Ok(figures)
    });
    let Told::Held(figures) = told else { return told };
    match settle(&home, &server, before) {
        Ok(()) => Told::Held(figures),
        Err(what) => Told::Broken(Broken { seed: order.seed, what }),
    }
}

/// The corpus against any address, without a look at its process.
pub fn run_against(order: &Order, address: std::net::SocketAddr) -> Told {
    in_parallel(order, CLIENTS, |seed| {
        bad_http::try_on(address, &bad_http::of(seed)).map(|_| Figures { units: 1, ..Figures::default() })
    })
}

fn settle(home: &Home, server: &Server, before: usize) -> Result<(), String> {
    let mut connection = Connection::open(server.address()).map_err(|error| error.to_string())?;
    let reply = connection.post("/endpoints/churn/invocations", &[("content-type", "text/csv")], b"1,2");
    let reply = reply.map_err(|error| format!("afterwards a good call gets no reply: {error}"))?;
    if (reply.status, reply.text().as_str()) != (200, "1,2") {
        return Err(format!("afterwards a good call is answered with {}", reply.status));
    }
    drop(connection);
    let closed = found_within(CLOSED_WITHIN, || (sockets(server) <= before).then_some(()));
    closed.ok_or_else(|| format!("{} sockets are open, {before} were before", sockets(server)))?;
    if home.log().contains("panicked") { Err(format!("something panicked\n{}", home.log_end())) } else { Ok(()) }
}

/// Sockets that the server's process holds.
fn sockets(server: &Server) -> usize {
    let files = std::fs::read_dir(format!("/proc/{}/fd", server.id())).into_iter().flatten().flatten();
    let is_socket = |file: &std::fs::DirEntry| {
        std::fs::read_link(file.path()).is_ok_and(|target| target.to_string_lossy().starts_with("socket:"))
    };
    files.filter(is_socket).count()
}
