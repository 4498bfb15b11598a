//! A bad network between captura and a store or a model: a TCP proxy that breaks connections by a seed.
//!
//! Each connection gets one fault, at a place in its bytes that the seed chooses: it is late, it dribbles, it is cut
//! within a request or within a reply, the reply is lost after the other side has done what was asked, or the store says
//! that it is busy. Cut means reset, as routers and dying machines do.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rustix::net::sockopt::set_socket_linger;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;

use crate::seeded::Seeded;

/// Bytes within which a cut comes: some requests of a few kilobytes.
const CUT_WITHIN_BYTES: u64 = 40_000;
const BUFFER_BYTES: usize = 16 << 10;

/// How the network is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Weather {
    /// Everything passes.
    Clear,
    /// Every connection is reset.
    Down,
    /// Connections are taken and nothing ever comes back.
    Silent,
    /// Each connection gets a fault, or none.
    Stormy,
}

/// What happens to a connection.
#[derive(Debug, Clone, Copy)]
enum Fate {
    Passes,
    Late(Duration),
    Dribbles,
    RequestCut(u64),
    ReplyCut(u64),
    ReplyLost,
    Busy,
}

#[derive(Debug)]
struct Shared {
    weather: Mutex<(Weather, Seeded)>,
    faults: AtomicU64,
    lost_replies: AtomicU64,
}

/// See the module. Ends when it is dropped.
pub struct Proxy {
    address: SocketAddr,
    shared: Arc<Shared>,
    runtime: Option<Runtime>,
}

impl Proxy {
    /// Stands before `target`.
    ///
    /// # Panics
    /// When the system gives no thread or port.
    pub fn start(target: SocketAddr, seed: u64) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime = runtime.expect("the system gives a thread");
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).expect("the system gives a port");
        let address = listener.local_addr().expect("a bound listener has an address");
        let shared = Arc::new(Shared {
            weather: Mutex::new((Weather::Clear, Seeded::new(seed))),
            faults: AtomicU64::new(0),
            lost_replies: AtomicU64::new(0),
        });
        let serving = Arc::clone(&shared);
        runtime.spawn(async move {
            loop {
                let Ok((client, _)) = listener.accept().await else { continue };
                let shared = Arc::clone(&serving);
                tokio::spawn(async move { shared.carry(client, target).await });
            }
        });
        Self { address, shared, runtime: Some(runtime) }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Changes the weather for connections to come.
    ///
    /// # Panics
    /// Never: nobody panics with the lock.
    pub fn set_weather(&self, weather: Weather) {
        self.shared.weather.lock().expect("nobody panics with it").0 = weather;
    }

    /// Connections that were broken, and among them replies that were lost after the other side had given them.
    pub fn faults(&self) -> (u64, u64) {
        (self.shared.faults.load(Ordering::Relaxed), self.shared.lost_replies.load(Ordering::Relaxed))
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

fn reset(stream: TcpStream) {
    // Without lingering a close is a reset. Where the option is not taken, the other side sees an orderly end.
    let _ = set_socket_linger(&stream, Some(Duration::ZERO));
    drop(stream);
}

impl Shared {
    fn fate(&self) -> (Weather, Fate) {
        let mut weather = self.weather.lock().expect("nobody panics with it");
        let numbers = &mut weather.1;
        let cut = numbers.between(1, CUT_WITHIN_BYTES);
        let fate = match numbers.between(0, 12) {
            0 | 1 => Fate::Late(Duration::from_millis(numbers.between(5, 300))),
            2 => Fate::Dribbles,
            3 | 4 => Fate::RequestCut(cut),
            5 => Fate::ReplyCut(numbers.between(1, 400)),
            6..9 => Fate::ReplyLost,
            9 => Fate::Busy,
            // Kept alive it would carry everything past the weather.
            _ => Fate::ReplyCut(numbers.between(400, 4_000)),
        };
        (weather.0, fate)
    }

    async fn carry(&self, mut client: TcpStream, target: SocketAddr) {
        let (weather, fate) = self.fate();
        let fate = match weather {
            Weather::Clear => Fate::Passes,
            Weather::Stormy => fate,
            Weather::Down => {
                self.faults.fetch_add(1, Ordering::Relaxed);
                return reset(client);
            }
            Weather::Silent => {
                self.faults.fetch_add(1, Ordering::Relaxed);
                let mut buffer = vec![0; BUFFER_BYTES];
                while client.read(&mut buffer).await.is_ok_and(|read| read > 0) {}
                return;
            }
        };
        if !matches!(fate, Fate::Passes | Fate::Late(_)) {
            self.faults.fetch_add(1, Ordering::Relaxed);
        }
        if let Fate::Late(by) = fate {
            tokio::time::sleep(by).await;
        }
        if matches!(fate, Fate::Busy) {
            return busy(client).await;
        }
        let Ok(server) = TcpStream::connect(target).await else { return reset(client) };
        let _ = (client.set_nodelay(true), server.set_nodelay(true));
        self.pass(client, server, fate).await;
    }

    async fn pass(&self, mut client: TcpStream, mut server: TcpStream, fate: Fate) {
        let (mut up, mut down) = (0, 0);
        let (mut from_client, mut from_server) = (vec![0; BUFFER_BYTES], vec![0; BUFFER_BYTES]);
        // Idle connections are kept by both sides; they end when one of them does.
        loop {
            tokio::select! {
                read = client.read(&mut from_client) => {
                    let Ok(read @ 1..) = read else { break };
                    let mut bytes = &from_client[..read];
                    if let Fate::RequestCut(at) = fate && up + read as u64 >= at {
                        bytes = &bytes[..usize::try_from(at - up).unwrap_or(0)];
                        let _ = server.write_all(bytes).await;
                        break;
                    }
                    up += read as u64;
                    if server.write_all(bytes).await.is_err() { break }
                }
                read = server.read(&mut from_server) => {
                    let Ok(read @ 1..) = read else { break };
                    match fate {
                        Fate::ReplyLost => {
                            self.lost_replies.fetch_add(1, Ordering::Relaxed);
                            break;
                        }
                        Fate::ReplyCut(at) if down + read as u64 >= at => {
                            let _ = client.write_all(&from_server[..usize::try_from(at - down).unwrap_or(0)]).await;
                            break;
                        }
                        Fate::Dribbles => {
                            for byte in from_server[..read].chunks(37) {
                                if client.write_all(byte).await.is_err() { return }
                                tokio::time::sleep(Duration::from_millis(1)).await;
                            }
                        }
                        _ => if client.write_all(&from_server[..read]).await.is_err() { break },
                    }
                    down += read as u64;
                }
            }
        }
        reset(client);
        reset(server);
    }
}

/// Says what S3 says when it is too much for it.
async fn busy(mut client: TcpStream) {
    let mut buffer = vec![0; BUFFER_BYTES];
    let _ = client.read(&mut buffer).await;
    let body = "<?xml version=\"1.0\"?><Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>";
    let reply = format!(
        "HTTP/1.1 503 Slow Down\r\ncontent-type: application/xml\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    );
    let _ = client.write_all(reply.as_bytes()).await;
    let _ = client.shutdown().await;
    // What is still on its way would turn the close into a reset before the reply is read.
    while client.read(&mut buffer).await.is_ok_and(|read| read > 0) {}
}
