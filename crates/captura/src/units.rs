//! Sizes, spans of time and addresses as people write them: `64MiB`, `500ms`, `2h`, `127.0.0.1:8080`.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use serde::{Deserialize, Deserializer, de};

/// A number of bytes: a plain number, or a number with `B`, `KiB`, `MiB`, `GiB`, `TiB`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Size(pub(crate) u64);

/// A span of time: a number with `ms`, `s`, `m`, `h` or `d`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Span(pub(crate) Duration);

const SIZES: [(&str, u64); 6] =
    [("TiB", 1 << 40), ("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10), ("B", 1), ("", 1)];
const SPANS_MS: [(&str, u64); 5] = [("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000)];

fn scaled(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let scale = units.iter().find(|(name, _)| *name == unit.trim())?.1;
    number.parse::<u64>().ok()?.checked_mul(scale)
}

impl Size {
    pub(crate) fn parse(text: &str) -> Option<Self> {
        scaled(text.trim(), &SIZES).map(Self)
    }
}

impl Span {
    pub(crate) fn parse(text: &str) -> Option<Self> {
        scaled(text.trim(), &SPANS_MS).map(|ms| Self(Duration::from_millis(ms)))
    }
}

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl de::Visitor<'_> for Visitor {
            type Value = Size;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number of bytes like 1048576, \"64MiB\" or \"2GiB\"")
            }
            fn visit_i64<E: de::Error>(self, number: i64) -> Result<Size, E> {
                u64::try_from(number).map(Size).map_err(|_| E::invalid_value(de::Unexpected::Signed(number), &self))
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Size, E> {
                Size::parse(text).ok_or_else(|| E::invalid_value(de::Unexpected::Str(text), &self))
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).ok_or_else(|| {
            de::Error::invalid_value(
                de::Unexpected::Str(&text),
                &"a span of time like \"500ms\", \"60s\", \"5m\" or \"2h\"",
            )
        })
    }
}

/// An address and a port as people write them: `127.0.0.1:8080`, `[::1]:8080`, and `localhost:8080` for the first.
///
/// # Errors
/// In words that say what to write.
pub(crate) fn address(text: &str) -> Result<SocketAddr, String> {
    let numeric = text.strip_prefix("localhost:").map_or_else(|| text.to_owned(), |port| format!("127.0.0.1:{port}"));
    numeric.parse().map_err(|_| {
        let host = if text == "localhost" { "127.0.0.1" } else { text };
        let example = match host.parse::<IpAddr>() {
            Ok(address) => SocketAddr::new(address, 8080).to_string(),
            Err(_) => "127.0.0.1:8080\" for this machine only or \"0.0.0.0:8080".to_owned(),
        };
        format!("{text:?} is no address with a port; write \"{example}\"")
    })
}

/// The same in a file.
pub(crate) fn listen_address<'de, D: Deserializer<'de>>(deserializer: D) -> Result<SocketAddr, D::Error> {
    address(&String::deserialize(deserializer)?).map_err(de::Error::custom)
}

/// A size that is not nothing.
pub(crate) fn some_bytes<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Size, D::Error> {
    match Size::deserialize(deserializer)? {
        Size(0) => Err(de::Error::custom("with 0 bytes nothing could be asked or answered")),
        size => Ok(size),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_write_sizes_and_spans() {
        assert_eq!(Size::parse("64MiB"), Some(Size(64 << 20)));
        assert_eq!(Size::parse("12"), Some(Size(12)));
        assert_eq!(Span::parse("500ms"), Some(Span(Duration::from_millis(500))));
        assert_eq!(Span::parse("2h"), Some(Span(Duration::from_secs(7200))));
        for bad in ["", "MiB", "1.5GiB", "-1", "99999999999999999999", "20000000TiB"] {
            assert_eq!(Size::parse(bad), None, "{bad}");
        }
        assert_eq!(Span::parse("60"), None);
    }
}
