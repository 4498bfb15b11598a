//! Captured lines in the form in which SageMaker and captura write them, read without a general parser.
//!
//! Members in their usual order, no blanks between them, only the simple escapes: nearly every line there is. Of any other
//! line the scanner says nothing, and the general parser is asked.
//!
//! Invariant: what it reads is what the general parser reads of the same bytes. Refuses to: say what is wrong with a line.

use std::borrow::Cow;

use crate::instructions::vectorised;

use super::record::{CaptureData, CapturedRecord, Encoding, EventMetadata, Extension, Side, Text};

/// The record, where the line is of the usual form.
pub(super) fn scan(line: &[u8]) -> Option<CapturedRecord<'_>> {
    if has_control(line) {
        return None;
    }
    let mut cursor = Cursor { text: std::str::from_utf8(line).ok()?, at: 0 };
    cursor.expect("{\"captureData\":{")?;
    let endpoint_input = cursor.side("\"endpointInput\":{", "\"mode\":\"INPUT\",")?;
    let comma = endpoint_input.is_some() && cursor.eat(",");
    let endpoint_output = cursor.side("\"endpointOutput\":{", "\"mode\":\"OUTPUT\",")?;
    if comma && endpoint_output.is_none() {
        return None;
    }
    cursor.expect("},\"eventMetadata\":{")?;
    let event_metadata = cursor.metadata()?;
    cursor.expect("},\"eventVersion\":\"0\"")?;
    let captura = if cursor.eat(",\"captura\":{") { Some(cursor.extension()?) } else { None };
    cursor.expect("}")?;
    let capture_data = CaptureData { endpoint_input, endpoint_output };
    cursor.rest().is_empty().then_some(CapturedRecord { capture_data, event_metadata, captura })
}

/// Bytes looked at together; the loop over them has no branch, so it compiles to vector compares.
const CHECK_BYTES: usize = 128;

vectorised! {
    /// Whether there is a byte that JSON wants escaped inside of strings.
    fn has_control(line: &[u8]) -> bool {
        let any = |bytes: &[u8]| bytes.iter().fold(false, |any, &byte| any | (byte < 0x20));
        let mut chunks = line.chunks_exact(CHECK_BYTES);
        chunks.by_ref().any(any) || any(chunks.remainder())
    }
}

struct Cursor<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Cursor<'a> {
    fn rest(&self) -> &'a [u8] {
        &self.text.as_bytes()[self.at..]
    }

    fn eat(&mut self, literal: &str) -> bool {
        let found = self.rest().starts_with(literal.as_bytes());
        if found {
            self.at += literal.len();
        }
        found
    }

    fn expect(&mut self, literal: &str) -> Option<()> {
        self.eat(literal).then_some(())
    }

    /// One side of the call, if it is there; nothing at all where it is of another form.
    fn side(&mut self, open: &str, mode: &str) -> Option<Option<Side<'a>>> {
        if !self.eat(open) {
            return Some(None);
        }
        let mut observed_content_type = None;
        if self.eat("\"observedContentType\":\"") {
            observed_content_type = Some(self.text()?);
            self.expect(",")?;
        }
        self.expect(mode)?;
        self.expect("\"data\":\"")?;
        let data = self.text()?;
        self.expect(",\"encoding\":\"")?;
        let encoding = if self.eat("CSV\"}") {
            Encoding::Csv
        } else if self.eat("JSON\"}") {
            Encoding::Json
        } else {
            self.expect("BASE64\"}")?;
            Encoding::Base64
        };
        Some(Some(Side { observed_content_type, data, encoding }))
    }

    /// From behind the brace to before the one that closes.
    fn metadata(&mut self) -> Option<EventMetadata<'a>> {
        self.expect("\"eventId\":\"")?;
        let event_id = Some(self.text()?);
        if self.eat(",\"customAttributes\":[\"") {
            self.text()?;
            self.expect("]")?;
        }
        let inference_id = if self.eat(",\"inferenceId\":\"") { Some(self.text()?) } else { None };
        let inference_time = if self.eat(",\"inferenceTime\":\"") { Some(self.text()?) } else { None };
        Some(EventMetadata { event_id, inference_id, inference_time })
    }

    /// From behind the brace to behind the one that closes.
    fn extension(&mut self) -> Option<Extension<'a>> {
        let mut found = Extension { lsn: None, consumer: None, outcome: None };
        loop {
            self.expect("\"")?;
            let name = self.text()?;
            self.expect(":")?;
            let known = match name.0.as_ref() {
                "lsn" => Some(&mut found.lsn),
                "consumer" => Some(&mut found.consumer),
                "outcome" => Some(&mut found.outcome),
                _ => None,
            };
            match (self.eat("\""), known) {
                (true, None) => drop(self.text()?),
                (true, Some(place)) => {
                    // Of a member that is there twice the general parser has something to say.
                    if place.replace(self.text()?).is_some() {
                        return None;
                    }
                }
                (false, None) => self.word()?,
                (false, Some(_)) => return None,
            }
            if self.eat("}") {
                return Some(found);
            }
            self.expect(",")?;
        }
    }

    /// Passes over a number, `true` or `false`.
    fn word(&mut self) -> Option<()> {
        let rest = self.rest();
        let length = rest.iter().position(|byte| matches!(byte, b',' | b'}'))?;
        let word = &rest[..length];
        self.at += length;
        (word == b"true" || word == b"false" || is_number(word)).then_some(())
    }

    /// Text from behind its opening quote to behind the closing one, borrowed where it has no escapes.
    fn text(&mut self) -> Option<Text<'a>> {
        let rest = self.rest();
        let length = memchr::memchr2(b'"', b'\\', rest)?;
        let plain = self.text.get(self.at..self.at + length)?;
        self.at += length;
        if rest[length] == b'"' {
            self.at += 1;
            return Some(Text(Cow::Borrowed(plain)));
        }
        self.unescaped(plain)
    }

    fn unescaped(&mut self, plain: &str) -> Option<Text<'a>> {
        let mut text = String::with_capacity(plain.len() + 64);
        text.push_str(plain);
        loop {
            let rest = self.rest();
            let length = memchr::memchr2(b'"', b'\\', rest)?;
            text.push_str(self.text.get(self.at..self.at + length)?);
            self.at += length + 1;
            if rest[length] == b'"' {
                return Some(Text(Cow::Owned(text)));
            }
            text.push(match rest.get(length + 1)? {
                b'n' => '\n',
                b'r' => '\r',
                b't' => '\t',
                b'"' => '"',
                b'\\' => '\\',
                b'/' => '/',
                b'b' => '\u{8}',
                b'f' => '\u{c}',
                _ => return None,
            });
            self.at += 1;
        }
    }
}

/// Whether this is a number as JSON writes them.
fn is_number(word: &[u8]) -> bool {
    let digits = |rest: &[u8]| rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let mut rest = word.strip_prefix(b"-").unwrap_or(word);
    let whole = digits(rest);
    if whole == 0 || (whole > 1 && rest[0] == b'0') {
        return false;
    }
    rest = &rest[whole..];
    if let Some(fraction) = rest.strip_prefix(b".") {
        let places = digits(fraction);
        if places == 0 {
            return false;
        }
        rest = &fraction[places..];
    }
    if let Some(exponent) = rest.strip_prefix(b"e").or_else(|| rest.strip_prefix(b"E")) {
        let exponent = exponent.strip_prefix(b"+").or_else(|| exponent.strip_prefix(b"-")).unwrap_or(exponent);
        let places = digits(exponent);
        return places > 0 && places == exponent.len();
    }
    rest.is_empty()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const AWS: &str = r#"{"captureData":{"endpointInput":{"observedContentType":"text/csv","mode":"INPUT","data":"1,2\n","encoding":"CSV"},"endpointOutput":{"observedContentType":"text/csv; charset=utf-8","mode":"OUTPUT","data":"0.0136","encoding":"CSV"}},"eventMetadata":{"eventId":"0d9f9a44-35b5-4ee0-92d5-2ea8a57e5f4e","inferenceTime":"2022-04-18T00:21:48Z"},"eventVersion":"0"}"#;
    const OURS: &str = r#"{"captureData":{"endpointInput":{"mode":"INPUT","data":"{\"a\":\"\\x\"}","encoding":"JSON"}},"eventMetadata":{"eventId":"x","customAttributes":["a\"b"],"inferenceId":"7","inferenceTime":"2022-04-18T00:21:48Z"},"eventVersion":"0","captura":{"lsn":"00000001-1-7","consumer":"café","shadowCopy":true,"outcome":"ok","status":200,"samplingProbability":0.5e-1,"requestSizeBytes":-0}}"#;

    /// The general parser alone.
    fn general(line: &[u8]) -> Option<CapturedRecord<'_>> {
        serde_json::from_slice(line).ok()
    }

    #[test]
    fn the_usual_lines_are_scanned_and_agree_with_the_general_parser() {
        for line in [AWS, OURS] {
            assert!(scan(line.as_bytes()).is_some(), "{line}");
            assert_eq!(scan(line.as_bytes()), general(line.as_bytes()));
        }
        let input = scan(AWS.as_bytes()).unwrap().capture_data.endpoint_input.unwrap();
        assert_eq!(input.data.0, "1,2\n");
    }

    #[test]
    fn what_is_unusual_is_left_to_the_general_parser() {
        for (from, to) in [
            ("\"mode\":\"INPUT\",", "\"mode\": \"INPUT\","),
            ("0.0136", "0\\u002e0136"),
            ("0.0136", "0\t0136"),
            ("\"eventVersion\":\"0\"", "\"eventVersion\":\"0\",\"more\":1"),
            ("\"mode\":\"INPUT\",\"data\":\"1,2\\n\"", "\"data\":\"1,2\\n\",\"mode\":\"INPUT\""),
        ] {
            let line = AWS.replace(from, to);
            assert_ne!(line, AWS);
            assert_eq!(scan(line.as_bytes()), None, "{line}");
        }
        for (from, to) in [("200", "0200"), ("200", "[200]"), ("\"lsn\"", "\"consumer\""), ("\"ok\"", "null")] {
            assert_eq!(scan(OURS.replace(from, to).as_bytes()), None, "{to}");
        }
    }

    /// What may stand where something else stood.
    const DAMAGE: [&str; 20] = [
        "",
        "\"",
        "\\",
        "\\n",
        "\\u0041",
        ",",
        "}",
        "{",
        "null",
        "0",
        "-",
        ".",
        "e",
        " ",
        "\u{0}",
        "é",
        "]",
        "\"lsn\":\"x\",",
        "\"data\":\"x\",",
        "\n",
    ];

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]
        #[test]
        fn damaged_lines_are_never_read_otherwise(
            ours in any::<bool>(), at in any::<prop::sample::Index>(), length in 0_usize..12,
            with in prop::sample::select(DAMAGE.to_vec()),
        ) {
            let mut line = if ours { OURS } else { AWS }.as_bytes().to_vec();
            let start = at.index(line.len());
            let end = (start + length).min(line.len());
            line.splice(start..end, with.bytes());
            if let Some(scanned) = scan(&line) {
                prop_assert_eq!(Some(scanned), general(&line), "{}", String::from_utf8_lossy(&line));
            }
        }

        #[test]
        fn numbers_are_what_json_takes_for_numbers(text in "-?[0-9]{0,3}(\\.[0-9]{0,2})?([eE][-+]?[0-9]{0,2})?") {
            prop_assert_eq!(is_number(text.as_bytes()), serde_json::from_str::<serde::de::IgnoredAny>(&text).is_ok());
        }
    }
}
