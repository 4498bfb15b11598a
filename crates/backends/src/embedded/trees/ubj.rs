//! Universal Binary JSON (draft 12) as XGBoost writes it, behind serde, so that JSON and UBJ models share their shapes.
//!
//! ```text
//! value   Z | T | F | i int8 | U uint8 | I int16 | l int32 | L int64 | d float32 | D float64 | C byte
//!         | S length text | [ … ] | { (length text value)… }              numbers are big-endian
//! array   [ value… ]  or  [ # count value… ]  or  [ $ type # count payload… ]
//! ```
//! Invariant: every element read takes at least one byte of input, and nesting is limited, so any input ends.

use std::fmt;

use serde::de::{self, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde::forward_to_deserialize_any;

const MAX_DEPTH: usize = 64;

/// Why bytes are not UBJ, or not of the shape wanted.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct UbjError(String);

impl de::Error for UbjError {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self(message.to_string())
    }
}

/// Reads one document.
pub(super) fn from_slice<'de, T: de::Deserialize<'de>>(bytes: &'de [u8]) -> Result<T, UbjError> {
    let mut reader = Reader { rest: bytes, length: bytes.len(), depth: 0 };
    T::deserialize(Value { reader: &mut reader, marker: None })
}

struct Reader<'de> {
    rest: &'de [u8],
    length: usize,
    depth: usize,
}

impl<'de> Reader<'de> {
    fn error(&self, what: impl fmt::Display) -> UbjError {
        UbjError(format!("{what} at byte {}", self.length - self.rest.len()))
    }

    fn take(&mut self, count: usize) -> Result<&'de [u8], UbjError> {
        let (taken, rest) = self.rest.split_at_checked(count).ok_or_else(|| self.error("the file ends too early"))?;
        self.rest = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], UbjError> {
        let mut bytes = [0; N];
        bytes.copy_from_slice(self.take(N)?);
        Ok(bytes)
    }

    /// The next type marker, past padding.
    fn marker(&mut self) -> Result<u8, UbjError> {
        loop {
            match self.array::<1>()? {
                [b'N'] => {}
                [marker] => return Ok(marker),
            }
        }
    }

    fn take_if(&mut self, marker: u8) -> bool {
        let found = self.rest.first() == Some(&marker);
        self.rest = &self.rest[usize::from(found)..];
        found
    }

    fn integer(&mut self, marker: u8) -> Result<i64, UbjError> {
        Ok(match marker {
            b'i' => i64::from(i8::from_be_bytes(self.array()?)),
            b'U' => i64::from(u8::from_be_bytes(self.array()?)),
            b'I' => i64::from(i16::from_be_bytes(self.array()?)),
            b'l' => i64::from(i32::from_be_bytes(self.array()?)),
            b'L' => i64::from_be_bytes(self.array()?),
            other => return Err(self.error(format_args!("type {:?} where a whole number belongs", char::from(other)))),
        })
    }

    fn count(&mut self) -> Result<usize, UbjError> {
        let marker = self.marker()?;
        let count = self.integer(marker)?;
        usize::try_from(count).map_err(|_| self.error("a negative length"))
    }

    fn text(&mut self) -> Result<&'de str, UbjError> {
        let count = self.count()?;
        let bytes = self.take(count)?;
        std::str::from_utf8(bytes).map_err(|_| self.error("text that is not UTF-8"))
    }

    /// What opens a container: the type of its elements and their count, where it tells.
    fn opening(&mut self) -> Result<(Option<u8>, Option<usize>), UbjError> {
        let kind = if self.take_if(b'$') { Some(self.array::<1>()?[0]) } else { None };
        if let Some(kind) = kind
            && !b"iUIlLdDCS[{".contains(&kind)
        {
            return Err(self.error(format_args!("an array of type {:?}", char::from(kind))));
        }
        let count = if self.take_if(b'#') { Some(self.count()?) } else { None };
        match (kind, count) {
            (Some(_), None) => Err(self.error("a typed array without a count")),
            opening => Ok(opening),
        }
    }
}

struct Value<'r, 'de> {
    reader: &'r mut Reader<'de>,
    /// Set when the container told the type.
    marker: Option<u8>,
}

impl<'de> Value<'_, 'de> {
    fn container<V: Visitor<'de>>(self, is_object: bool, visitor: V) -> Result<V::Value, UbjError> {
        let reader = self.reader;
        if reader.depth == MAX_DEPTH {
            return Err(reader.error("nested too deeply"));
        }
        reader.depth += 1;
        let (kind, left) = reader.opening()?;
        let elements = Elements { reader: &mut *reader, kind, left, end: if is_object { b'}' } else { b']' } };
        let value = if is_object { visitor.visit_map(elements) } else { visitor.visit_seq(elements) }?;
        reader.depth -= 1;
        Ok(value)
    }
}

impl<'de> Deserializer<'de> for Value<'_, 'de> {
    type Error = UbjError;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, UbjError> {
        let marker = match self.marker {
            Some(marker) => marker,
            None => self.reader.marker()?,
        };
        match marker {
            b'Z' => visitor.visit_unit(),
            b'T' => visitor.visit_bool(true),
            b'F' => visitor.visit_bool(false),
            b'd' => visitor.visit_f32(f32::from_be_bytes(self.reader.array()?)),
            b'D' => visitor.visit_f64(f64::from_be_bytes(self.reader.array()?)),
            b'C' => visitor.visit_u8(self.reader.array::<1>()?[0]),
            b'S' => visitor.visit_borrowed_str(self.reader.text()?),
            b'[' => self.container(false, visitor),
            b'{' => self.container(true, visitor),
            integer => visitor.visit_i64(self.reader.integer(integer)?),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, UbjError> {
        if self.marker.is_none() && self.reader.take_if(b'Z') { visitor.visit_none() } else { visitor.visit_some(self) }
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit unit_struct
        newtype_struct seq tuple tuple_struct map struct enum identifier ignored_any
    }
}

struct Elements<'r, 'de> {
    reader: &'r mut Reader<'de>,
    kind: Option<u8>,
    left: Option<usize>,
    end: u8,
}

impl Elements<'_, '_> {
    fn is_over(&mut self) -> bool {
        match &mut self.left {
            Some(0) => true,
            Some(left) => {
                *left -= 1;
                false
            }
            None => {
                while self.reader.take_if(b'N') {}
                self.reader.take_if(self.end)
            }
        }
    }
}

impl<'de> SeqAccess<'de> for Elements<'_, 'de> {
    type Error = UbjError;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, UbjError> {
        if self.is_over() {
            return Ok(None);
        }
        seed.deserialize(Value { reader: self.reader, marker: self.kind }).map(Some)
    }
}

impl<'de> MapAccess<'de> for Elements<'_, 'de> {
    type Error = UbjError;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, UbjError> {
        if self.is_over() {
            return Ok(None);
        }
        let key = self.reader.text()?;
        seed.deserialize(de::value::BorrowedStrDeserializer::new(key)).map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, UbjError> {
        seed.deserialize(Value { reader: self.reader, marker: self.kind })
    }
}
