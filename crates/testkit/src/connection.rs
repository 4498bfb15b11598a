//! A small HTTP/1.1 client over one kept-alive connection: enough for a load, strict about what it reads.
//!
//! Refuses to: follow, retry, or guess. A reply without `Content-Length` is an error, and so is a closed connection.

use std::io::{BufRead as _, BufReader, Error, ErrorKind, Read as _, Result, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// Longest reply head, so that a broken server cannot fill our memory.
const HEAD_LIMIT_BYTES: u64 = 64 * 1024;
/// Longest wait for one reply; an answer takes milliseconds.
const REPLY_LIMIT: Duration = Duration::from_secs(30);

/// An open connection.
pub struct Connection {
    stream: BufReader<TcpStream>,
    host: String,
}

/// One reply, whole.
#[derive(Debug)]
pub struct Reply {
    /// Status code.
    pub status: u16,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body's bytes.
    pub body: Vec<u8>,
}

impl Reply {
    /// The value of a header, named in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str())
    }

    /// The body as text, for messages.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

impl Connection {
    /// Connects.
    ///
    /// # Errors
    /// When nobody listens.
    pub fn open(address: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(REPLY_LIMIT))?;
        Ok(Self { stream: BufReader::new(stream), host: address.to_string() })
    }

    /// One POST and its whole reply.
    ///
    /// # Errors
    /// When the connection breaks before the reply is complete, as it does when the server is killed.
    pub fn post(&mut self, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Result<Reply> {
        self.send("POST", path, headers, body)
    }

    /// One GET and its whole reply.
    ///
    /// # Errors
    /// As [`Connection::post`].
    pub fn get(&mut self, path: &str) -> Result<Reply> {
        self.send("GET", path, &[], b"")
    }

    fn send(&mut self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Result<Reply> {
        let (host, length) = (&self.host, body.len());
        let mut request = format!("{method} {path} HTTP/1.1\r\nhost: {host}\r\ncontent-length: {length}\r\n");
        for (name, value) in headers {
            request.push_str(&format!("{name}: {value}\r\n"));
        }
        request.push_str("\r\n");
        let mut bytes = request.into_bytes();
        bytes.extend_from_slice(body);
        self.stream.get_mut().write_all(&bytes)?;
        self.read_reply()
    }

    fn read_reply(&mut self) -> Result<Reply> {
        let status_line = self.read_line()?;
        let status = status_line.split(' ').nth(1).and_then(|code| code.parse().ok());
        let status = status.ok_or_else(|| invalid(&format!("status line {status_line:?}")))?;
        let mut headers = Vec::new();
        loop {
            let line = self.read_line()?;
            if line.is_empty() {
                break;
            }
            let (name, value) = line.split_once(':').ok_or_else(|| invalid(&format!("header line {line:?}")))?;
            headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
        }
        let length =
            headers.iter().find(|(name, _)| name == "content-length").and_then(|(_, value)| value.parse().ok());
        let length: usize = length.ok_or_else(|| invalid("a reply without content-length"))?;
        let mut body = vec![0; length];
        self.stream.read_exact(&mut body)?;
        Ok(Reply { status, headers, body })
    }

    fn read_line(&mut self) -> Result<String> {
        let mut line = String::new();
        let read = (&mut self.stream).take(HEAD_LIMIT_BYTES).read_line(&mut line)?;
        match line.strip_suffix("\r\n") {
            Some(whole) => Ok(whole.to_owned()),
            None if read == 0 => Err(Error::new(ErrorKind::UnexpectedEof, "closed before the reply")),
            None => Err(invalid("a cut reply head")),
        }
    }
}

fn invalid(what: &str) -> Error {
    Error::new(ErrorKind::InvalidData, what.to_owned())
}
