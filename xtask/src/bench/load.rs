//! A closed-loop load that costs little: one thread, readiness by epoll, the same bytes again and again.
//!
//! Invariant: a connection has one request under way; its time runs from the write to the last byte of the reply.
//! Refuses to: parse more of a reply than its status, its length and whether its capture was dropped.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use memchr::memmem;
use rustix::event::{Timespec, epoll};

/// A reply of these workloads is about 1.5 KB; far more means that something is wrong.
const REPLY_LIMIT_BYTES: usize = 64 * 1024;
/// Nothing heard for this long means that the server hangs.
const SILENCE_LIMIT: Timespec = Timespec { tv_sec: 20, tv_nsec: 0 };

pub(super) struct Load<'a> {
    pub(super) address: SocketAddr,
    pub(super) connections: usize,
    pub(super) request: &'a [u8],
    pub(super) duration: Duration,
}

/// What a load saw.
#[derive(Default)]
pub(super) struct Seen {
    pub(super) requests: u64,
    pub(super) refused: u64,
    pub(super) first_refusal: String,
    pub(super) dropped: u64,
    /// What the first of them said.
    pub(super) first_drop: String,
    pub(super) took: Duration,
    /// Of each reply, in tenths of a microsecond.
    latencies: Vec<u32>,
}

impl Seen {
    /// The latency that this share of the replies did not exceed, in microseconds.
    pub(super) fn percentile_us(&self, share: f64) -> f64 {
        let mut latencies = self.latencies.clone();
        if latencies.is_empty() {
            return 0.0;
        }
        let at = (((latencies.len() as f64) * share) as usize).min(latencies.len() - 1);
        f64::from(*latencies.select_nth_unstable(at).1) / 10.0
    }

    fn note(&mut self, reply: &[u8], latency: Duration) {
        self.requests += 1;
        self.latencies.push(u32::try_from(latency.as_nanos() / 100).unwrap_or(u32::MAX));
        if !reply.starts_with(b"HTTP/1.1 200 ") {
            if self.refused == 0 {
                self.first_refusal = String::from_utf8_lossy(&reply[..reply.len().min(600)]).into_owned();
            }
            self.refused += 1;
        }
        let dropped = memmem::find(reply, b"x-captura-capture: dropped").map(|at| &reply[at..]);
        // A server that was asked not to capture says so in the same header; that is no loss.
        let lost = dropped.filter(|said| !said.starts_with(b"x-captura-capture: dropped;reason=operator_off"));
        if let Some(said) = lost {
            if self.dropped == 0 {
                let line = said.split(|byte| *byte == b'\r').next().unwrap_or_default();
                self.first_drop = String::from_utf8_lossy(line).into_owned();
            }
            self.dropped += 1;
        }
    }
}

struct Caller {
    stream: TcpStream,
    sent: Instant,
    reply: Vec<u8>,
    filled: usize,
}

impl Load<'_> {
    /// Calls until the time is over and the last replies are in.
    pub(super) fn run(&self) -> Result<Seen> {
        let poll = epoll::create(epoll::CreateFlags::CLOEXEC).context("cannot make an epoll")?;
        let mut callers = Vec::with_capacity(self.connections);
        for number in 0..self.connections {
            let stream = TcpStream::connect(self.address).context("cannot connect")?;
            stream.set_nodelay(true)?;
            stream.set_nonblocking(true)?;
            epoll::add(&poll, &stream, epoll::EventData::new_u64(number as u64), epoll::EventFlags::IN)?;
            callers.push(Caller { stream, sent: Instant::now(), reply: vec![0; REPLY_LIMIT_BYTES], filled: 0 });
        }
        let mut seen = Seen::default();
        let began = Instant::now();
        for caller in &mut callers {
            caller.send(self.request)?;
        }
        let mut under_way = callers.len();
        let mut events = Vec::with_capacity(self.connections);
        while under_way > 0 {
            events.clear();
            epoll::wait(&poll, rustix::buffer::spare_capacity(&mut events), Some(&SILENCE_LIMIT))?;
            if events.is_empty() {
                bail!("no reply for {} s", SILENCE_LIMIT.tv_sec);
            }
            let over = began.elapsed() >= self.duration;
            for event in &events {
                let caller = &mut callers[event.data.u64() as usize];
                if !caller.read(&mut seen)? {
                    continue;
                }
                if over {
                    under_way -= 1;
                } else {
                    caller.send(self.request)?;
                }
            }
        }
        seen.took = began.elapsed();
        Ok(seen)
    }
}

impl Caller {
    fn send(&mut self, request: &[u8]) -> Result<()> {
        self.filled = 0;
        self.sent = Instant::now();
        // One kilobyte always fits an empty socket buffer.
        let written = self.stream.write(request).context("cannot send")?;
        if written != request.len() {
            bail!("the socket took {written} of {} bytes", request.len());
        }
        Ok(())
    }

    /// Whether the reply is complete now.
    fn read(&mut self, seen: &mut Seen) -> Result<bool> {
        match self.stream.read(&mut self.reply[self.filled..]) {
            Ok(0) => bail!("the server closed a connection"),
            Ok(read) => self.filled += read,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
            Err(error) => return Err(error).context("cannot read"),
        }
        let reply = &self.reply[..self.filled];
        match reply_length(reply)? {
            Some(length) if length <= self.filled => {
                seen.note(&reply[..length], self.sent.elapsed());
                Ok(true)
            }
            _ => Ok(false),
        }
    }
}

/// Head and body together, once the head is there.
fn reply_length(reply: &[u8]) -> Result<Option<usize>> {
    let Some(head) = memmem::find(reply, b"\r\n\r\n") else { return Ok(None) };
    let name = memmem::find(&reply[..head], b"content-length: ").context("a reply without content-length")?;
    let digits = reply[name + 16..head].iter().take_while(|byte| byte.is_ascii_digit());
    let body =
        digits.fold(0_usize, |length, digit| length.saturating_mul(10).saturating_add(usize::from(digit - b'0')));
    if body > REPLY_LIMIT_BYTES - head {
        bail!("a reply of {body} bytes is longer than this load reads");
    }
    Ok(Some(head + 4 + body))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reply_is_whole_with_the_last_byte_of_its_body() {
        let reply = b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\nx: y\r\n\r\nabc";
        assert_eq!(reply_length(&reply[..20]).unwrap(), None);
        assert_eq!(reply_length(reply).unwrap(), Some(reply.len()));
        assert!(reply_length(b"HTTP/1.1 200 OK\r\n\r\n").is_err());
    }

    #[test]
    fn replies_are_counted_by_status_and_by_the_fate_of_their_capture() {
        let mut seen = Seen::default();
        seen.note(b"HTTP/1.1 200 OK\r\nx-captura-capture: dropped;reason=disk_full\r\n\r\n", Duration::from_micros(20));
        seen.note(b"HTTP/1.1 500 X\r\n\r\n", Duration::from_micros(10));
        let asked_for = b"HTTP/1.1 200 OK\r\nx-captura-capture: dropped;reason=operator_off\r\n\r\n";
        seen.note(asked_for, Duration::from_micros(20));
        assert_eq!((seen.requests, seen.refused, seen.dropped), (3, 1, 1));
        assert_eq!(seen.first_drop, "x-captura-capture: dropped;reason=disk_full");
        assert!(seen.first_refusal.starts_with("HTTP/1.1 500"));
        assert_eq!((seen.percentile_us(0.0), seen.percentile_us(0.99)), (10.0, 20.0));
    }

    #[test]
    fn a_short_load_runs_against_the_floor() {
        let floor = super::super::process::Process::floor_of_this_test();
        let request = b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 3\r\n\r\nabc";
        let load = Load { address: floor, connections: 4, request, duration: Duration::from_millis(20) };
        let seen = load.run().unwrap();
        assert!(seen.requests >= 4 && seen.refused == 0, "{}", seen.first_refusal);
    }
}
