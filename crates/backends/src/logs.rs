//! What a model's server says, line by line.
//!
//! Invariant: reading never stops while the server lives, so it is never held up by its own words for longer than the
//! pauses of [`READ_MAX_BYTES`]; what is more than the sink should get is counted and left out.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::time::Instant;

/// Longest line that is passed on in one piece, bytes; longer ones are cut into several.
const LINE_MAX_BYTES: usize = 8 * 1024;
/// Most bytes of lines passed on per second and stream.
const PASSED_MAX_BYTES: usize = 1024 * 1024;
/// Most bytes read per second and stream; a server that says more waits.
const READ_MAX_BYTES: usize = 16 * 1024 * 1024;
/// The window of both limits.
const WINDOW: Duration = Duration::from_secs(1);
/// Lines kept for whoever asks why a start failed.
const TAIL_LINES: usize = 12;
/// Characters of last words that a reason quotes, from the end; `FailureReason` holds 1024 in all.
const QUOTED_MAX_CHARACTERS: usize = 600;

/// Where a line was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogStream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// A line that a model's server wrote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogLine {
    /// Where.
    pub stream: LogStream,
    /// The line, without its end; bytes that are no UTF-8 are replaced.
    pub text: String,
}

/// What a sink does.
type Take = dyn Fn(&str, LogLine) + Send + Sync;

/// Takes the lines of instances: the instance's id, and the line. Must not block.
#[derive(Clone)]
pub struct LogSink(Arc<Take>);

impl LogSink {
    /// A sink.
    pub fn new(take: impl Fn(&str, LogLine) + Send + Sync + 'static) -> Self {
        Self(Arc::new(take))
    }

    pub(crate) fn take(&self, instance: &str, line: LogLine) {
        (self.0)(instance, line);
    }
}

impl Default for LogSink {
    /// Lines go to the server's own log, at level debug.
    fn default() -> Self {
        Self::new(|instance, line| tracing::debug!(instance, stream = ?line.stream, text = ?line.text, "model"))
    }
}

impl fmt::Debug for LogSink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LogSink")
    }
}

/// The last lines of an instance.
#[derive(Debug, Clone, Default)]
pub(crate) struct Tail(Arc<Mutex<VecDeque<String>>>);

impl Tail {
    fn push(&self, text: &str) {
        let mut lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if lines.len() == TAIL_LINES {
            lines.pop_front();
        }
        lines.push_back(text.to_owned());
    }

    /// The lines, and nothing when there are none.
    pub(crate) fn lines(&self) -> Vec<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }

    /// The lines as a reason quotes them. What was said last says most, so the begin is left out when it is too much.
    pub(crate) fn quoted(&self) -> Option<String> {
        let lines = self.lines();
        let words: Vec<&str> = lines.iter().map(|line| line.trim()).filter(|line| !line.is_empty()).collect();
        // What a terminal would obey has no place in a reason.
        let words: Vec<char> = words.join(" | ").chars().filter(|character| !character.is_control()).collect();
        let too_many = words.len().saturating_sub(QUOTED_MAX_CHARACTERS);
        let dots = if too_many > 0 { "…" } else { "" };
        (!words.is_empty()).then(|| format!("{dots}{}", words[too_many..].iter().collect::<String>()))
    }
}

/// Reads a stream to its end.
pub(crate) async fn read(
    mut stream: impl AsyncRead + Unpin,
    kind: LogStream,
    (instance, sink, tail): (String, LogSink, Tail),
) {
    let mut lines = Lines { pending: Vec::new(), passed: 0, dropped: 0 };
    let (mut window, mut read) = (Instant::now(), 0);
    let mut buffer = vec![0; 16 * 1024];
    let pass = |text: String| {
        tail.push(&text);
        sink.take(&instance, LogLine { stream: kind, text });
    };
    loop {
        let count = match stream.read(&mut buffer).await {
            Ok(0) | Err(_) => break,
            Ok(count) => count,
        };
        if window.elapsed() >= WINDOW {
            lines.new_window(&pass);
            (window, read) = (Instant::now(), 0);
        }
        lines.take(&buffer[..count], &pass);
        read += count;
        if read > READ_MAX_BYTES {
            tokio::time::sleep_until(window + WINDOW).await;
        }
    }
    lines.end(&pass);
}

/// Bytes on their way to lines.
struct Lines {
    pending: Vec<u8>,
    passed: usize,
    dropped: u64,
}

impl Lines {
    fn take(&mut self, bytes: &[u8], pass: &impl Fn(String)) {
        for part in bytes.split_inclusive(|byte| *byte == b'\n') {
            for piece in part.chunks(LINE_MAX_BYTES) {
                if self.pending.len() + piece.len() > LINE_MAX_BYTES {
                    self.flush(pass);
                }
                self.pending.extend_from_slice(piece);
            }
            if part.ends_with(b"\n") {
                self.flush(pass);
            }
        }
    }

    fn flush(&mut self, pass: &impl Fn(String)) {
        let line = self.pending.strip_suffix(b"\n").unwrap_or(&self.pending);
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if self.passed + line.len() > PASSED_MAX_BYTES {
            self.dropped += 1;
        } else {
            self.passed += line.len() + 1;
            pass(String::from_utf8_lossy(line).into_owned());
        }
        self.pending.clear();
    }

    fn new_window(&mut self, pass: &impl Fn(String)) {
        self.passed = 0;
        if self.dropped > 0 {
            pass(format!("{} lines were left out: more than {PASSED_MAX_BYTES} bytes in a second", self.dropped));
            self.dropped = 0;
        }
    }

    fn end(&mut self, pass: &impl Fn(String)) {
        if !self.pending.is_empty() {
            self.flush(pass);
        }
        self.new_window(pass);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn lines_of(bytes: &[u8]) -> Vec<String> {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let sink = {
            let seen = Arc::clone(&seen);
            LogSink::new(move |instance, line| {
                assert_eq!((instance, line.stream), ("i", LogStream::Stderr));
                seen.lock().unwrap().push(line.text);
            })
        };
        let tail = Tail::default();
        read(bytes, LogStream::Stderr, ("i".into(), sink, tail.clone())).await;
        let seen = seen.lock().unwrap().clone();
        assert!(seen.ends_with(&tail.lines()));
        seen
    }

    #[tokio::test]
    async fn lines_come_one_by_one_also_the_last_without_an_end() {
        assert_eq!(lines_of(b"one\r\ntwo\n\nth\xffree").await, ["one", "two", "", "th\u{fffd}ree"]);
    }

    #[test]
    fn a_reason_quotes_what_was_said_last_and_nothing_that_a_terminal_obeys() {
        let tail = Tail::default();
        assert_eq!(tail.quoted(), None);
        tail.push("\u{1b}[31mstarting\u{7} ");
        tail.push("");
        tail.push("no module named sklearn");
        assert_eq!(tail.quoted().unwrap(), "[31mstarting | no module named sklearn");
        tail.push(&"x".repeat(10_000));
        tail.push("no module named sklearn");
        let quoted = tail.quoted().unwrap();
        assert!(quoted.starts_with("…xxx") && quoted.ends_with("xxx | no module named sklearn"), "{quoted}");
        assert_eq!(quoted.chars().count(), QUOTED_MAX_CHARACTERS + 1);
    }

    #[tokio::test]
    async fn a_line_without_end_comes_in_pieces() {
        let lines = lines_of(&vec![b'x'; 20_000]).await;
        assert_eq!(lines.iter().map(String::len).collect::<Vec<_>>(), [8_192, 8_192, 3_616]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_flood_is_counted_and_left_out() {
        let flood = "0123456789012345678901234567890\n".repeat(1_000_000);
        let lines = lines_of(flood.as_bytes()).await;
        assert!(lines.len() < 100_000, "{}", lines.len());
        let left_out: u64 = lines
            .iter()
            .filter_map(|line| line.split_once(" lines were left out"))
            .map(|(count, _)| count.parse::<u64>().unwrap())
            .sum();
        let told = lines.iter().filter(|line| line.contains("left out")).count();
        assert_eq!(left_out as usize + lines.len() - told, 1_000_000);
    }
}
