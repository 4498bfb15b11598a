//! `cargo xtask bench stream`: how much later than a bare server's the first byte of a streamed answer comes.
//!
//! The model is the echo, which has its answer at once, so everything beyond the floor is captura's. One connection, one call
//! after the other, the servers in turns, so that every difference comes from calls that were milliseconds apart.
//!
//! Refuses to: assert figures; see `bench`.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use memchr::memmem;

use super::Stream;
use super::process::Process;

const BODY_BYTES: usize = 1024;
/// Calls in a turn.
const TURN: usize = 50;
/// Head, frame and end of one reply are far below this.
const REPLY_LIMIT_BYTES: usize = 64 * 1024;
const END_OF_CHUNKS: &[u8] = b"\r\n0\r\n\r\n";

struct Caller {
    name: &'static str,
    stream: TcpStream,
    request: Vec<u8>,
    buffer: Vec<u8>,
    first_bytes: Vec<Duration>,
    last_bytes: Vec<Duration>,
}

pub(super) fn measure(wanted: &Stream, captura: &Path, folder: &Path) -> Result<()> {
    let floor = Process::floor()?;
    let off = Process::captura(captura, folder, "off", None)?;
    let full = Process::captura(captura, folder, "full", Some(100))?;
    let mut callers = Vec::new();
    for (name, process) in [("floor", &floor), ("capture off", &off), ("capture 100 %", &full)] {
        callers.push(Caller::new(name, process.address())?);
    }
    for caller in &mut callers {
        caller.calls(TURN)?;
        caller.first_bytes.clear();
        caller.last_bytes.clear();
    }
    for _ in 0..wanted.calls.div_ceil(TURN) {
        for caller in &mut callers {
            caller.calls(TURN)?;
        }
    }
    println!("| server | first byte p50 µs | p99 µs | added p50 µs | added p99 µs | last byte p50 µs |");
    println!("| --- | ---: | ---: | ---: | ---: | ---: |");
    let (p50, p99) = callers[0].first_byte();
    for caller in &mut callers {
        let (own_p50, own_p99) = caller.first_byte();
        let last = percentile_us(&mut caller.last_bytes, 0.5);
        let (name, added_p50, added_p99) = (caller.name, own_p50 - p50, own_p99 - p99);
        println!("| {name} | {own_p50:.0} | {own_p99:.0} | {added_p50:.0} | {added_p99:.0} | {last:.0} |");
    }
    println!("\n{} calls of each server with {BODY_BYTES} bytes, one connection, in turns of {TURN}.", wanted.calls);
    Ok(())
}

impl Caller {
    fn new(name: &'static str, address: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect(address).context("cannot connect")?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(Duration::from_secs(20)))?;
        let head = format!(
            "POST /endpoints/echo/invocations-response-stream HTTP/1.1\r\nhost: {address}\r\ncontent-type: text/csv\r\n\
             content-length: {BODY_BYTES}\r\n\r\n"
        );
        let mut request = head.into_bytes();
        request.resize(request.len() + BODY_BYTES, b'7');
        let buffer = vec![0; REPLY_LIMIT_BYTES];
        Ok(Self { name, stream, request, buffer, first_bytes: Vec::new(), last_bytes: Vec::new() })
    }

    fn calls(&mut self, calls: usize) -> Result<()> {
        for _ in 0..calls {
            self.call()?;
        }
        Ok(())
    }

    fn call(&mut self) -> Result<()> {
        let began = Instant::now();
        self.stream.write_all(&self.request)?;
        let (mut filled, mut first) = (0, None);
        loop {
            let read = self.stream.read(&mut self.buffer[filled..])?;
            if read == 0 {
                bail!("{} closed the connection, or its reply is too long", self.name);
            }
            filled += read;
            let reply = &self.buffer[..filled];
            let Some(head) = memmem::find(reply, b"\r\n\r\n") else { continue };
            if filled > head + 4 && first.is_none() {
                first = Some(began.elapsed());
            }
            if is_whole(reply, head) {
                break;
            }
        }
        if !self.buffer.starts_with(b"HTTP/1.1 200 ") {
            bail!("{} refused: {}", self.name, String::from_utf8_lossy(&self.buffer[..filled.min(600)]));
        }
        self.first_bytes.push(first.context("a reply without a body")?);
        self.last_bytes.push(began.elapsed());
        Ok(())
    }

    fn first_byte(&mut self) -> (f64, f64) {
        (percentile_us(&mut self.first_bytes, 0.5), percentile_us(&mut self.first_bytes, 0.99))
    }
}

/// The floor says a length; captura ends its chunks.
fn is_whole(reply: &[u8], head: usize) -> bool {
    if memmem::find(&reply[..head], b"content-length").is_some() {
        return reply.len() >= head + 4 + BODY_BYTES;
    }
    reply.ends_with(END_OF_CHUNKS)
}

fn percentile_us(durations: &mut [Duration], share: f64) -> f64 {
    if durations.is_empty() {
        return f64::NAN;
    }
    let at = ((durations.len() as f64 * share) as usize).min(durations.len() - 1);
    durations.select_nth_unstable(at).1.as_secs_f64() * 1e6
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reply_is_whole_with_its_length_or_its_last_chunk() {
        let head = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked";
        let chunked = [&head[..], b"\r\n\r\n3\r\nabc\r\n0\r\n\r\n"].concat();
        assert!(is_whole(&chunked, head.len()));
        assert!(!is_whole(&chunked[..chunked.len() - 1], head.len()));
        let head = b"HTTP/1.1 200 OK\r\ncontent-length: 1024";
        let counted = [&head[..], b"\r\n\r\n", &[b'7'; BODY_BYTES]].concat();
        assert!(is_whole(&counted, head.len()));
        assert!(!is_whole(&counted[..counted.len() - 1], head.len()));
    }

    #[test]
    fn percentiles_are_of_the_sorted_times() {
        let mut times: Vec<Duration> = (1..=100).rev().map(Duration::from_micros).collect();
        assert!((percentile_us(&mut times, 0.5) - 51.0).abs() < 1e-6);
        assert!((percentile_us(&mut times, 0.99) - 100.0).abs() < 1e-6);
        assert!(percentile_us(&mut [], 0.5).is_nan());
    }
}
