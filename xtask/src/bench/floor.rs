//! The least a server can do on this machine: hyper reads a request and sends its body back. That makes it a container too:
//! it answers `/ping` and `/invocations` as anything else.

use std::convert::Infallible;
use std::net::SocketAddr;

use anyhow::Result;
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;

/// Serves on the port that a container is told, else on a free one, of loopback until it is killed; says where, in one line.
pub(crate) fn serve() -> Result<()> {
    serve_and_say(|address| println!("floor listening on http://{address}"))
}

pub(super) fn serve_and_say(say: impl FnOnce(SocketAddr)) -> Result<()> {
    let port = std::env::var("SAGEMAKER_BIND_TO_PORT").ok().and_then(|port| port.parse().ok()).unwrap_or(0_u16);
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(async {
        let listener = TcpListener::bind(("127.0.0.1", port)).await?;
        say(listener.local_addr()?);
        loop {
            let (stream, _) = listener.accept().await?;
            stream.set_nodelay(true)?;
            tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service_fn(echo)));
        }
    })
}

async fn echo(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    // A body cut off by the client has no answer to wait for.
    let body = request.into_body().collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
    Ok(Response::new(Full::new(body)))
}
