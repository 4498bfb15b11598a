//! Clients that call without pause and remember what they were promised, until the server is taken from them.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Instant;

use crate::connection::Connection;
use crate::oracle::{Acknowledged, Oracle};
pub use crate::seeded::Seeded;

/// What a load saw, over all its clients.
#[derive(Debug, Default)]
pub struct Seen {
    /// Replies that acknowledged a capture.
    pub acknowledged: AtomicU64,
    /// Replies that did not, with status 200.
    pub unacknowledged: AtomicU64,
    /// Replies with another status: there should be none.
    pub refused: AtomicU64,
    /// Calls that got no reply, because the server was taken away.
    pub unanswered: AtomicU64,
    /// Event ids of calls whose record was only queued.
    pub queued: Mutex<HashSet<String>>,
    /// Event ids and times of the promises made since this was last taken away.
    pub recent: Mutex<Vec<(String, Instant)>>,
}

/// A running load.
pub struct Traffic {
    enough: Arc<AtomicBool>,
    clients: Vec<JoinHandle<()>>,
}

/// Who calls whom.
#[derive(Clone)]
pub struct Callers {
    /// The server.
    pub address: SocketAddr,
    /// Endpoint called.
    pub endpoint: String,
    /// Connections, each calling without pause.
    pub clients: usize,
    /// Of the bodies.
    pub seed: u64,
}

impl Traffic {
    /// Starts the clients.
    pub fn start(callers: &Callers, oracle: &Arc<Oracle>, seen: &Arc<Seen>) -> Self {
        let enough = Arc::new(AtomicBool::new(false));
        let client = |number: usize| {
            let (callers, oracle, seen, enough) = (callers.clone(), oracle.clone(), seen.clone(), enough.clone());
            let numbers = Seeded::new(callers.seed ^ (number as u64) << 32);
            std::thread::spawn(move || call_until_enough(&callers, numbers, &oracle, &seen, &enough))
        };
        let clients = (0..callers.clients).map(client).collect();
        Self { enough, clients }
    }

    /// Waits for the clients; each ends after its call in flight, or with its connection.
    ///
    /// # Panics
    /// When a client panicked.
    pub fn finish(self) {
        self.enough.store(true, Ordering::Relaxed);
        for client in self.clients {
            client.join().expect("a client does not panic");
        }
    }
}

fn call_until_enough(callers: &Callers, mut numbers: Seeded, oracle: &Oracle, seen: &Seen, enough: &AtomicBool) {
    let Ok(mut connection) = Connection::open(callers.address) else { return };
    let path = format!("/endpoints/{}/invocations", callers.endpoint);
    while !enough.load(Ordering::Relaxed) {
        let body = body(&mut numbers);
        // A broken connection is the kill that the story is about: what was not answered was not promised.
        let Ok(reply) = connection.post(&path, &[("content-type", "text/csv")], &body) else {
            seen.unanswered.fetch_add(1, Ordering::Relaxed);
            return;
        };
        let received = Instant::now();
        let promise = Acknowledged::from_reply(&callers.endpoint, &body, &reply);
        let counter = match (&promise, reply.status) {
            (Some(_), _) => &seen.acknowledged,
            (None, 200) => &seen.unacknowledged,
            (None, _) => &seen.refused,
        };
        counter.fetch_add(1, Ordering::Relaxed);
        if let Some(promise) = promise {
            oracle.note(&promise);
            seen.recent.lock().expect("no client panicked").push((promise.event_id, received));
        } else if reply.header("x-captura-capture").is_some_and(|capture| capture.starts_with("queued")) {
            let event_id = reply.header("x-captura-event-id").unwrap_or_default().to_owned();
            seen.queued.lock().expect("no client panicked").insert(event_id);
        }
    }
}

/// A CSV row of 20 to about 1,000 bytes that no other call sends.
fn body(numbers: &mut Seeded) -> Vec<u8> {
    let cells = numbers.between(1, 50);
    let row: Vec<String> = (0..cells).map(|_| numbers.number().to_string()).collect();
    row.join(",").into_bytes()
}
