//! Jackson's default pretty printing as a `serde_json` formatter.
//!
//! Two spaces per object, `"key" : value`, arrays on one line (`[ 1, 2 ]`, `[ { … }, { … } ]`), empty ones `[ ]` and
//! `{ }`. Arrays do not indent: an object inside an array is indented by the objects around it only.
//!
//! Invariant: the same value prints to the same bytes. Refuses to: add a final line break (Jackson adds none).

use std::io;

use serde::Serialize;
use serde_json::ser::{Formatter, Serializer};

use super::java_double::java_double;

/// Prints `value` in Jackson's style with Java's doubles.
///
/// # Panics
/// Never for the types of this room: maps have text keys and writing to memory does not fail.
#[must_use]
pub fn jackson<T: Serialize>(value: &T) -> String {
    let mut out = Vec::with_capacity(4096);
    let mut serializer = Serializer::with_formatter(&mut out, Jackson::default());
    value.serialize(&mut serializer).expect("our bug: artefacts are structs and lists that JSON can hold");
    String::from_utf8(out).expect("our bug: serde_json writes UTF-8")
}

#[derive(Default)]
struct Jackson {
    depth: usize,
    object_has_members: Vec<bool>,
    array_has_values: Vec<bool>,
}

impl Jackson {
    fn line_break<W: ?Sized + io::Write>(&self, writer: &mut W) -> io::Result<()> {
        writer.write_all(b"\n")?;
        for _ in 0..self.depth {
            writer.write_all(b"  ")?;
        }
        Ok(())
    }
}

impl Formatter for Jackson {
    fn write_f64<W: ?Sized + io::Write>(&mut self, writer: &mut W, value: f64) -> io::Result<()> {
        writer.write_all(java_double(value).as_bytes())
    }

    fn begin_array<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.array_has_values.push(false);
        writer.write_all(b"[ ")
    }

    fn end_array<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        let had_values = self.array_has_values.pop().unwrap_or(false);
        writer.write_all(if had_values { b" ]" } else { b"]" })
    }

    fn begin_array_value<W: ?Sized + io::Write>(&mut self, writer: &mut W, first: bool) -> io::Result<()> {
        if let Some(has_values) = self.array_has_values.last_mut() {
            *has_values = true;
        }
        if first { Ok(()) } else { writer.write_all(b", ") }
    }

    fn begin_object<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.depth += 1;
        self.object_has_members.push(false);
        writer.write_all(b"{")
    }

    fn end_object<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.depth -= 1;
        if self.object_has_members.pop().unwrap_or(false) {
            self.line_break(writer)?;
            writer.write_all(b"}")
        } else {
            writer.write_all(b" }")
        }
    }

    fn begin_object_key<W: ?Sized + io::Write>(&mut self, writer: &mut W, first: bool) -> io::Result<()> {
        if let Some(has_members) = self.object_has_members.last_mut() {
            *has_members = true;
        }
        if !first {
            writer.write_all(b",")?;
        }
        self.line_break(writer)
    }

    fn begin_object_value<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        writer.write_all(b" : ")
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::jackson;

    #[test]
    fn looks_like_the_files_that_model_monitor_writes() {
        let value =
            json!({"version": 0.0, "features": [{"name": "a", "n": 3}, {"data": [[1.0, 2e9], []]}], "none": {}});
        let text = "{\n  \"version\" : 0.0,\n  \"features\" : [ {\n    \"name\" : \"a\",\n    \"n\" : 3\n  }, {\n    \
                    \"data\" : [ [ 1.0, 2.0E9 ], [ ] ]\n  } ],\n  \"none\" : { }\n}";
        assert_eq!(jackson(&value), text);
    }
}
