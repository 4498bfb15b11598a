//! smithy-rpc-v2-cbor: the part of RFC 8949 that the protocol uses, both ways.
//!
//! Readers must take definite and indefinite lengths, half, single and double floats, and moments as tag 1 over an
//! integer or a float. Writers here always use definite lengths and doubles, which every client reads.
//!
//! Invariant: reading allocates no more than a constant factor of the body, whatever lengths the body claims.

use serde_json::{Map, Number, Value};

use super::DEPTH_MAX;
use super::fault::{Code, Fault};
use super::json::not_finite;
use super::output::{Output, Structure};

pub(super) const CONTENT_TYPE: &str = "application/cbor";
const BREAK: u8 = 0xff;
const EPOCH_TAG: u64 = 1;

/// Reads a body: a map with text keys; an empty body counts as an empty map.
pub(super) fn read(body: &[u8]) -> Result<Map<String, Value>, Fault> {
    if body.is_empty() {
        return Ok(Map::new());
    }
    let mut reader = Reader { bytes: body };
    match reader.item(0)? {
        Some(Value::Object(members)) if reader.bytes.is_empty() => Ok(members),
        Some(Value::Object(_)) => Err(broken("bytes follow the map")),
        _ => Err(broken("it is no map")),
    }
}

fn broken(what: &str) -> Fault {
    Fault::new(Code::SerializationException, format!("The body is not well-formed CBOR of a request: {what}."))
}

struct Reader<'a> {
    bytes: &'a [u8],
}

impl Reader<'_> {
    fn take(&mut self, count: usize) -> Result<&[u8], Fault> {
        let (taken, rest) = self.bytes.split_at_checked(count).ok_or_else(|| broken("it is cut off"))?;
        self.bytes = rest;
        Ok(taken)
    }

    fn byte(&mut self) -> Result<u8, Fault> {
        Ok(self.take(1)?[0])
    }

    /// The argument of a head; `None` is an indefinite length.
    fn argument(&mut self, additional: u8) -> Result<Option<u64>, Fault> {
        let width = match additional {
            0..=23 => return Ok(Some(u64::from(additional))),
            24..=27 => 1 << (additional - 24),
            31 => return Ok(None),
            _ => return Err(broken("a head is reserved")),
        };
        Ok(Some(self.take(width)?.iter().fold(0, |number, byte| number << 8 | u64::from(*byte))))
    }

    fn definite(&mut self, additional: u8) -> Result<u64, Fault> {
        self.argument(additional)?.ok_or_else(|| broken("a number has no length"))
    }

    /// One item; `None` is null or undefined, which count as absent.
    fn item(&mut self, depth: usize) -> Result<Option<Value>, Fault> {
        if depth > DEPTH_MAX {
            return Err(broken("it is nested too deeply"));
        }
        let head = self.byte()?;
        let additional = head & 0x1f;
        Ok(Some(match head >> 5 {
            0 => Value::from(self.definite(additional)?),
            1 => {
                let number = i64::try_from(self.definite(additional)?).map_err(|_| broken("a number is too small"))?;
                Value::from(-1 - number)
            }
            2 => return Err(broken("no member of CloudWatch is a byte string")),
            3 => Value::String(self.text(additional)?),
            4 => self.list(additional, depth)?,
            5 => self.map(additional, depth)?,
            6 => return self.tagged(additional, depth),
            _ => return self.simple(additional),
        }))
    }

    fn text(&mut self, additional: u8) -> Result<String, Fault> {
        let utf8 = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).map_err(|_| broken("a text is not UTF-8"));
        if let Some(length) = self.argument(additional)? {
            return utf8(self.take(usize::try_from(length).map_err(|_| broken("it is cut off"))?)?);
        }
        let mut whole = String::new();
        while !self.at_break() {
            let head = self.byte()?;
            if head >> 5 != 3 {
                return Err(broken("a text holds something else"));
            }
            let length = self.definite(head & 0x1f)?;
            whole.push_str(&utf8(self.take(usize::try_from(length).map_err(|_| broken("it is cut off"))?)?)?);
        }
        Ok(whole)
    }

    /// Whether the break of an indefinite length is next; if so it is taken.
    fn at_break(&mut self) -> bool {
        let found = self.bytes.first() == Some(&BREAK);
        if found {
            self.bytes = &self.bytes[1..];
        }
        found
    }

    fn list(&mut self, additional: u8, depth: usize) -> Result<Value, Fault> {
        let length = self.argument(additional)?;
        let mut members = Vec::new();
        while length.map_or_else(|| !self.at_break(), |length| (members.len() as u64) < length) {
            members.push(self.item(depth + 1)?.unwrap_or(Value::Null));
        }
        Ok(Value::Array(members))
    }

    fn map(&mut self, additional: u8, depth: usize) -> Result<Value, Fault> {
        let length = self.argument(additional)?;
        let mut members = Map::new();
        let mut count = 0;
        while length.map_or_else(|| !self.at_break(), |length| count < length) {
            count += 1;
            let Some(Value::String(key)) = self.item(depth + 1)? else { return Err(broken("a key is no text")) };
            if let Some(member) = self.item(depth + 1)? {
                members.insert(key, member);
            }
        }
        Ok(Value::Object(members))
    }

    fn tagged(&mut self, additional: u8, depth: usize) -> Result<Option<Value>, Fault> {
        if self.definite(additional)? != EPOCH_TAG {
            return Err(broken("a tag is not that of a moment"));
        }
        match self.item(depth + 1)? {
            Some(seconds @ Value::Number(_)) => Ok(Some(seconds)),
            _ => Err(broken("a moment is no number")),
        }
    }

    fn simple(&mut self, additional: u8) -> Result<Option<Value>, Fault> {
        let number = match additional {
            20 | 21 => return Ok(Some(Value::Bool(additional == 21))),
            22 | 23 => return Ok(None),
            25 => half(self.argument(additional)?.unwrap_or_default()),
            26 => f64::from(f32::from_bits(self.argument(additional)?.unwrap_or_default() as u32)),
            27 => f64::from_bits(self.argument(additional)?.unwrap_or_default()),
            31 => return Err(broken("a break stands alone")),
            _ => return Err(broken("a simple value is not known")),
        };
        Ok(Some(Number::from_f64(number).map_or_else(|| Value::from(not_finite(number)), Value::Number)))
    }
}

/// A half-precision float out of its bits.
fn half(bits: u64) -> f64 {
    let exponent = (bits >> 10 & 0x1f) as i32;
    let mantissa = (bits & 0x3ff) as f64;
    let size = match exponent {
        0 => mantissa * (-24f64).exp2(),
        31 if mantissa == 0.0 => f64::INFINITY,
        31 => f64::NAN,
        _ => (mantissa + 1024.0) * f64::from(exponent - 25).exp2(),
    };
    if bits & 0x8000 == 0 { size } else { -size }
}

/// Writes an answer; an operation without output has an empty body.
pub(super) fn write(output: Option<Structure>) -> Vec<u8> {
    let mut bytes = Vec::new();
    if let Some(members) = output {
        item(&Output::Structure(members), &mut bytes);
    }
    bytes
}

fn head(major: u8, argument: u64, into: &mut Vec<u8>) {
    let major = major << 5;
    match argument {
        0..=23 => into.push(major | argument as u8),
        24..=0xff => into.extend([major | 24, argument as u8]),
        0x100..=0xffff => {
            into.push(major | 25);
            into.extend((argument as u16).to_be_bytes());
        }
        0x1_0000..=0xffff_ffff => {
            into.push(major | 26);
            into.extend((argument as u32).to_be_bytes());
        }
        _ => {
            into.push(major | 27);
            into.extend(argument.to_be_bytes());
        }
    }
}

fn text(text: &str, into: &mut Vec<u8>) {
    head(3, text.len() as u64, into);
    into.extend(text.as_bytes());
}

fn double(number: f64, into: &mut Vec<u8>) {
    into.push(7 << 5 | 27);
    into.extend(number.to_bits().to_be_bytes());
}

fn item(output: &Output, into: &mut Vec<u8>) {
    match output {
        Output::Boolean(flag) => into.push(7 << 5 | if *flag { 21 } else { 20 }),
        Output::Integer(number @ 0..) => head(0, number.unsigned_abs(), into),
        Output::Integer(number) => head(1, number.unsigned_abs() - 1, into),
        Output::Double(number) => double(*number, into),
        Output::Text(content) => text(content, into),
        Output::Time(moment) => {
            head(6, EPOCH_TAG, into);
            double(moment.unix_seconds(), into);
        }
        Output::List(members) => {
            head(4, members.len() as u64, into);
            members.iter().for_each(|member| item(member, into));
        }
        Output::Structure(members) => {
            head(5, members.len() as u64, into);
            for (name, member) in members {
                text(name, into);
                item(member, into);
            }
        }
        Output::Map(entries) => {
            head(5, entries.len() as u64, into);
            for (key, member) in entries {
                text(key, into);
                item(member, into);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use captura_names::Timestamp;
    use serde_json::json;

    use super::*;

    fn bytes(hexadecimal: &str) -> Vec<u8> {
        let digits: Vec<u8> = hexadecimal.bytes().filter(u8::is_ascii_hexdigit).collect();
        digits.chunks(2).map(|two| u8::from_str_radix(std::str::from_utf8(two).unwrap(), 16).unwrap()).collect()
    }

    #[test]
    fn the_examples_of_the_rfc_are_read() {
        for (body, expected) in [
            ("a1 6161 01", json!({"a": 1})),
            ("a1 6161 1864", json!({"a": 100})),
            ("a1 6161 3903e7", json!({"a": -1000})),
            ("a1 6161 1bffffffffffffffff", json!({"a": u64::MAX})),
            ("a1 6161 f93c00", json!({"a": 1.0})),
            ("a1 6161 f90400", json!({"a": 0.000_061_035_156_25})),
            ("a1 6161 f9c400", json!({"a": -4.0})),
            ("a1 6161 fa47c35000", json!({"a": 100_000.0})),
            ("a1 6161 fb3ff199999999999a", json!({"a": 1.1})),
            ("a1 6161 f97e00", json!({"a": "NaN"})),
            ("a1 6161 fb7ff0000000000000", json!({"a": "Infinity"})),
            ("a1 6161 f5", json!({"a": true})),
            ("a2 6161 f6 6162 f4", json!({"b": false})),
            ("bf 6161 9f 01 02 ff ff", json!({"a": [1, 2]})),
            ("a1 6161 7f 657374726561 646d696e67 ff", json!({"a": "streaming"})),
            ("a1 6161 c11a514b67b0", json!({"a": 1_363_896_240})),
            ("a1 6161 c1fb41d452d9ec200000", json!({"a": 1_363_896_240.5})),
            ("", json!({})),
        ] {
            assert_eq!(read(&bytes(body)).map(Value::Object), Ok(expected), "{body}");
        }
    }

    #[test]
    fn what_is_broken_is_refused_and_costs_nothing() {
        for body in
            ["a1", "a1 61", "a1 6161", "01", "a1 01 01", "a0 00", "a1 6161 ff", "a1 6161 41 00", "a1 6161 c0 01"]
        {
            assert_eq!(read(&bytes(body)).unwrap_err().code, Code::SerializationException, "{body}");
        }
        // Lengths that no body of this size can hold.
        assert!(read(&bytes("a1 6161 9bffffffffffffffff 01")).is_err());
        assert!(read(&bytes("a1 6161 7bffffffffffffffff 61")).is_err());
        assert!(read(&bytes("bbffffffffffffffff")).is_err());
        let deep = [bytes("a1 6161"), vec![0x81; 10_000], vec![0x01]].concat();
        assert!(read(&deep).unwrap_err().message.contains("deeply"));
    }

    #[test]
    fn an_answer_is_written_in_definite_lengths() {
        let moment = Timestamp::from_unix_us(1_363_896_240_500_000);
        let output = vec![
            ("a", Output::List(vec![Output::Integer(-1), Output::Integer(500)])),
            ("b", Output::Time(moment)),
            ("c", Output::Map(vec![("p50".into(), Output::Double(1.1))])),
            ("d", Output::Boolean(true)),
        ];
        let expected = "a4 6161 82 20 1901f4 6162 c1fb41d452d9ec200000 6163 a1 63703530 fb3ff199999999999a 6164 f5";
        assert_eq!(write(Some(output)), bytes(expected));
        assert!(write(None).is_empty());
    }
}
