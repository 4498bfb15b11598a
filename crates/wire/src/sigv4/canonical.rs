//! The canonical form of a request: the bytes that both sides sign.
//!
//! Invariant: a request has one canonical form, whatever case, order, spacing or escaping it was sent with, as far as
//! AWS overlooks these.

use std::fmt::Write as _;

/// The head of a request, as it came.
#[derive(Debug, Clone)]
pub struct Head<'a> {
    /// Method, upper case.
    pub method: &'a str,
    /// Path, still escaped.
    pub path: &'a str,
    /// Query without its `?`, still escaped; empty when there is none.
    pub query: &'a str,
    /// Headers in the order in which they came, names in lower case.
    pub headers: Vec<(&'a str, &'a [u8])>,
}

impl<'a> Head<'a> {
    /// All values of a header.
    pub fn all<'h>(&'h self, name: &'h str) -> impl Iterator<Item = &'a [u8]> + 'h {
        self.headers.iter().filter(move |(known, _)| *known == name).map(|(_, value)| *value)
    }

    /// The first value of a header, where it is text.
    #[must_use]
    pub fn text(&self, name: &str) -> Option<&'a str> {
        let value = self.headers.iter().find(|(known, _)| *known == name)?.1;
        std::str::from_utf8(value).ok()
    }
}

/// How a path becomes canonical.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PathRule {
    /// S3: escaped once, and neither dots nor double slashes are removed, because both may stand in a key.
    Once,
    /// Every other service: dot segments and double slashes removed, then what was sent is escaped again.
    NormalisedTwice,
}

impl PathRule {
    /// The rule of a service, by its signing name.
    #[must_use]
    pub fn of_service(service: &str) -> Self {
        if service == super::S3 { Self::Once } else { Self::NormalisedTwice }
    }
}

/// The canonical request. `signed_headers` are in order.
pub(super) fn request(head: &Head<'_>, signed_headers: &[&str], rule: PathRule, payload: &str) -> String {
    let mut text = String::with_capacity(512);
    text.push_str(head.method);
    text.push('\n');
    push_path(&mut text, head.path, rule);
    text.push('\n');
    push_query(&mut text, head.query);
    text.push('\n');
    for name in signed_headers {
        text.push_str(name);
        text.push(':');
        for (number, value) in head.all(name).enumerate() {
            if number > 0 {
                text.push(',');
            }
            push_folded(&mut text, value);
        }
        text.push('\n');
    }
    text.push('\n');
    text.push_str(&signed_headers.join(";"));
    text.push('\n');
    text.push_str(payload);
    text
}

fn push_path(text: &mut String, path: &str, rule: PathRule) {
    match rule {
        PathRule::Once if path.is_empty() => text.push('/'),
        PathRule::Once => push_escaped_once(text, path, b"/"),
        PathRule::NormalisedTwice => {
            let mut kept: Vec<&str> = Vec::new();
            for segment in path.split('/') {
                match segment {
                    "" | "." => {}
                    ".." => drop(kept.pop()),
                    segment => kept.push(segment),
                }
            }
            text.push('/');
            for (number, segment) in kept.iter().enumerate() {
                if number > 0 {
                    text.push('/');
                }
                push_escaped(text, segment.bytes());
            }
            if path.ends_with('/') && !kept.is_empty() {
                text.push('/');
            }
        }
    }
}

/// Everything in the query but the signature itself, sorted by its escaped form.
fn push_query(text: &mut String, query: &str) {
    let mut pairs: Vec<(String, String)> = query
        .split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let escaped = |part: &str| {
                let mut text = String::with_capacity(part.len());
                // In a query a plus is an escaped space.
                push_escaped_once(&mut text, &part.replace('+', "%20"), b"");
                text
            };
            (escaped(name), escaped(value))
        })
        .filter(|(name, _)| name != super::presented::SIGNATURE_PARAMETER)
        .collect();
    pairs.sort_unstable();
    for (number, (name, value)) in pairs.iter().enumerate() {
        if number > 0 {
            text.push('&');
        }
        text.push_str(name);
        text.push('=');
        text.push_str(value);
    }
}

/// Trimmed, with each run of white space as one space.
fn push_folded(text: &mut String, value: &[u8]) {
    let mut first = true;
    for word in value.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty()) {
        if !first {
            text.push(' ');
        }
        first = false;
        text.push_str(&String::from_utf8_lossy(word));
    }
}

/// Escapes what must be, keeps escapes that are there in upper case, and undoes those that need not be.
fn push_escaped_once(text: &mut String, part: &str, kept: &[u8]) {
    let bytes = part.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        let byte = bytes[at];
        if byte == b'%'
            && let Some(escaped) = escape_at(bytes, at)
        {
            push_escaped(text, [escaped]);
            at += 3;
            continue;
        }
        if kept.contains(&byte) {
            text.push(char::from(byte))
        } else {
            push_escaped(text, [byte])
        }
        at += 1;
    }
}

fn escape_at(bytes: &[u8], at: usize) -> Option<u8> {
    let digit = |offset: usize| bytes.get(at + offset).and_then(|digit| char::from(*digit).to_digit(16));
    u8::try_from(digit(1)? << 4 | digit(2)?).ok()
}

fn push_escaped(text: &mut String, bytes: impl IntoIterator<Item = u8>) {
    for byte in bytes {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~') {
            text.push(char::from(byte));
        } else {
            write!(text, "%{byte:02X}").expect("our bug: a String takes everything");
        }
    }
}
