//! A model server that misbehaves as its caller asks it to.
//!
//! The body of a call is `<behaviour> <nonce>`; a good answer is `answer to <nonce>`. Everything else a model server can
//! do wrong on a socket is a behaviour: it dies before, within and after the answer, lies about lengths, answers twice,
//! late, endlessly, or in no HTTP at all.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rustix::net::sockopt::set_socket_linger;

/// What it does, and whether the caller of the endpoint gets the answer all the same.
pub const BEHAVIOURS: [(&str, bool); 21] = [
    ("well", true),
    ("well-chunked", true),
    ("well-until-close", true),
    ("close", false),
    ("reset", false),
    ("half-head", false),
    ("half-body", false),
    ("half-body-reset", false),
    ("too-long", true),
    ("twice", true),
    ("late", false),
    ("garbage", false),
    ("no-length-garbage", false),
    ("half-chunk", false),
    ("bad-chunk", false),
    ("huge", false),
    ("huge-head", false),
    ("two-lengths", false),
    ("status-500", false),
    ("status-503", false),
    ("informational", true),
];

/// Later than the model's time limit of the test.
const LATE: Duration = Duration::from_millis(1_500);
/// More than an answer may have.
const HUGE_BYTES: usize = 2 << 20;

/// See the module. Ends when it is dropped.
pub struct Scripted {
    address: SocketAddr,
    over: Arc<AtomicBool>,
}

impl Scripted {
    /// Starts on a free port. With `crosses_answers` it is broken in the one way that no caller can see: it answers each
    /// call with the nonce of the one before.
    ///
    /// # Panics
    /// When the system gives no port.
    pub fn start(crosses_answers: bool) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("the system gives a port");
        let address = listener.local_addr().expect("a bound listener has an address");
        let over = Arc::new(AtomicBool::new(false));
        let ended = Arc::clone(&over);
        let before = Arc::new(std::sync::Mutex::new(crosses_answers.then(String::new)));
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                if ended.load(Ordering::Relaxed) {
                    return;
                }
                let (Ok(stream), before) = (stream, Arc::clone(&before)) else { continue };
                std::thread::spawn(move || {
                    // A broken connection ends its service.
                    let _ = serve(&stream, &before);
                });
            }
        });
        Self { address, over }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Scripted {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        let _ = TcpStream::connect(self.address);
    }
}

fn answer(nonce: &str) -> String {
    format!("answer to {nonce}")
}

/// The whole good answer to a nonce, as the caller of the endpoint must see it.
pub fn expected(nonce: &str) -> String {
    answer(nonce)
}

fn serve(stream: &TcpStream, before: &std::sync::Mutex<Option<String>>) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut reader = BufReader::new(stream.try_clone()?);
    loop {
        let (mut line, mut length) = (String::new(), 0);
        while reader.read_line(&mut line)? > 0 && !line.ends_with("\r\n\r\n") && line.trim_end() != "" {
            let last = line.lines().last().unwrap_or_default().to_ascii_lowercase();
            if let Some(value) = last.strip_prefix("content-length:") {
                length = value.trim().parse().unwrap_or(0);
            }
            if line.ends_with("\r\n\r\n") {
                break;
            }
        }
        if line.is_empty() {
            return Ok(());
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body)?;
        let body = String::from_utf8_lossy(&body).into_owned();
        let (behaviour, nonce) = body.split_once(' ').unwrap_or(("well", ""));
        let mut nonce = nonce.to_owned();
        if let Some(earlier) = &mut *before.lock().expect("nobody panics with it") {
            std::mem::swap(earlier, &mut nonce);
        }
        if !behave(stream, behaviour, &answer(&nonce))? {
            return Ok(());
        }
    }
}

/// Answers; `false` when the connection is over.
fn behave(mut stream: &TcpStream, behaviour: &str, answer: &str) -> std::io::Result<bool> {
    let length = answer.len();
    let head = format!("HTTP/1.1 200 OK\r\ncontent-type: text/csv\r\ncontent-length: {length}\r\n\r\n");
    let chunked = "HTTP/1.1 200 OK\r\ncontent-type: text/csv\r\ntransfer-encoding: chunked\r\n\r\n";
    let longer = format!("HTTP/1.1 200 OK\r\ncontent-type: text/csv\r\ncontent-length: {}\r\n\r\n", length + 40);
    let bytes = match behaviour {
        "well" => return stream.write_all(format!("{head}{answer}").as_bytes()).map(|()| true),
        "well-chunked" => {
            return stream.write_all(format!("{chunked}{length:x}\r\n{answer}\r\n0\r\n\r\n").as_bytes()).map(|()| true);
        }
        "well-until-close" => format!("HTTP/1.1 200 OK\r\ncontent-type: text/csv\r\nconnection: close\r\n\r\n{answer}"),
        "close" => String::new(),
        "reset" => return reset(stream, b""),
        "half-head" => head[..head.len() / 2].to_owned(),
        "half-body" => format!("{longer}{answer}"),
        "half-body-reset" => return reset(stream, format!("{longer}{answer}").as_bytes()),
        "too-long" => format!("{head}{answer}and more than was said"),
        "twice" => format!("{head}{answer}{head}{answer}"),
        "late" => {
            std::thread::sleep(LATE);
            format!("{head}{answer}")
        }
        "garbage" => "\u{16}\u{3}\u{1} this is not HTTP\r\n\r\n".to_owned(),
        "no-length-garbage" => "HTTP/1.1 banana\r\n\r\n".to_owned(),
        "half-chunk" => format!("{chunked}{:x}\r\n{answer}", length + 40),
        "bad-chunk" => format!("{chunked}zz\r\n{answer}\r\n0\r\n\r\n"),
        "huge" => {
            let head = format!("HTTP/1.1 200 OK\r\ncontent-type: text/csv\r\ncontent-length: {HUGE_BYTES}\r\n\r\n");
            stream.write_all(head.as_bytes())?;
            stream.write_all(&vec![b'x'; HUGE_BYTES])?;
            return Ok(false);
        }
        "huge-head" => {
            format!("HTTP/1.1 200 OK\r\nx-a: {}\r\ncontent-length: {length}\r\n\r\n{answer}", "y".repeat(1 << 20))
        }
        "two-lengths" => format!("HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: {length}\r\n\r\n{answer}"),
        "status-500" => format!("HTTP/1.1 500 Oh\r\ncontent-length: {length}\r\n\r\n{answer}"),
        "status-503" => format!("HTTP/1.1 503 Busy\r\ncontent-length: {length}\r\n\r\n{answer}"),
        "informational" => format!("HTTP/1.1 103 Early Hints\r\n\r\n{head}{answer}"),
        _ => String::new(),
    };
    stream.write_all(bytes.as_bytes())?;
    let _ = stream.shutdown(std::net::Shutdown::Write);
    Ok(false)
}

fn reset(mut stream: &TcpStream, bytes: &[u8]) -> std::io::Result<bool> {
    stream.write_all(bytes)?;
    let _ = set_socket_linger(stream, Some(Duration::ZERO));
    Ok(false)
}
