//! Captured lines in the form in which SageMaker and captura write them, read without a general parser.
//!
//! Members in their usual order, no blanks between them, only the simple escapes: nearly every line there is. Of any other
//! line the scanner says nothing, and the general parser is asked.
//!
//! Invariant: what it reads is what the general parser reads of the same bytes. Refuses to: say what is wrong with a line.

use std::borrow::Cow;
use std::ops::Range;

use super::marks::{Marks, Seen};
use super::record::{CaptureData, CapturedRecord, Encoding, EventMetadata, Extension, Side, Text};

/// Reads lines, and keeps how their sides began: those of the next one likely begin alike, which is seen at once.
#[derive(Debug, Default)]
pub(super) struct Scanner {
    beginnings: [Beginning; 2],
    marks: Marks,
}

#[derive(Debug, Default)]
struct Beginning {
    /// From the name of the side to the quote before its data; empty where there was none yet.
    text: String,
    content_type: Range<usize>,
}

impl Scanner {
    /// Looks at the line that these bytes begin with.
    #[inline]
    pub(super) fn look(&mut self, bytes: &[u8]) -> Seen {
        self.marks.look(bytes)
    }

    /// The record, where the line that was looked at last, and of which this was seen, is of the usual form.
    #[inline]
    pub(super) fn scan<'a>(&mut self, line: &'a [u8], seen: Seen) -> Option<CapturedRecord<'a>> {
        if seen.has_control || seen.length != line.len() {
            return None;
        }
        #[expect(unsafe_code, reason = "ASCII is UTF-8, and was just looked for together with what must not be there")]
        let text = if seen.is_ascii {
            unsafe { std::str::from_utf8_unchecked(line) }
        } else {
            std::str::from_utf8(line).ok()?
        };
        let mut cursor = Cursor { text, at: 0, marks: &self.marks };
        cursor.expect("{\"captureData\":{")?;
        let [of_input, of_output] = &mut self.beginnings;
        let endpoint_input = cursor.side("\"endpointInput\":{", "\"mode\":\"INPUT\",", of_input)?;
        let comma = endpoint_input.is_some() && cursor.eat(",");
        let endpoint_output = cursor.side("\"endpointOutput\":{", "\"mode\":\"OUTPUT\",", of_output)?;
        if comma != (endpoint_input.is_some() && endpoint_output.is_some()) {
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
}

struct Cursor<'a, 'm> {
    text: &'a str,
    at: usize,
    marks: &'m Marks,
}

impl<'a> Cursor<'a, '_> {
    #[inline(always)]
    fn rest(&self) -> &'a [u8] {
        &self.text.as_bytes()[self.at..]
    }

    #[inline(always)]
    fn eat(&mut self, literal: &str) -> bool {
        let found = self.rest().starts_with(literal.as_bytes());
        if found {
            self.at += literal.len();
        }
        found
    }

    #[inline(always)]
    fn expect(&mut self, literal: &str) -> Option<()> {
        self.eat(literal).then_some(())
    }

    /// One side of the call, if it is there; nothing at all where it is of another form.
    fn side(&mut self, open: &str, mode: &str, last: &mut Beginning) -> Option<Option<Side<'a>>> {
        let start = self.at;
        let observed_content_type = if !last.text.is_empty() && self.eat(&last.text) {
            let place = start + last.content_type.start..start + last.content_type.end;
            (!place.is_empty()).then(|| Text(Cow::Borrowed(&self.text[place])))
        } else if self.eat(open) {
            self.beginning(start, mode, last)?
        } else {
            return Some(None);
        };
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

    /// From behind the brace that opens a side to its data; notes it for the next line.
    fn beginning(&mut self, start: usize, mode: &str, last: &mut Beginning) -> Option<Option<Text<'a>>> {
        let mut content_type = None;
        let mut place = 0..0;
        if self.eat("\"observedContentType\":\"") {
            place.start = self.at - start;
            content_type = Some(self.text()?);
            place.end = self.at - 1 - start;
            self.expect(",")?;
        }
        self.expect(mode)?;
        self.expect("\"data\":\"")?;
        let is_plain = |text: &Text<'_>| matches!(text.0, Cow::Borrowed(text) if !text.is_empty());
        if content_type.as_ref().is_none_or(is_plain) {
            *last = Beginning { text: self.text[start..self.at].to_owned(), content_type: place };
        }
        Some(content_type)
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
        let mark = self.marks.next(self.text.as_bytes(), self.at)?;
        let plain = self.text.get(self.at..mark)?;
        self.at = mark;
        if self.text.as_bytes()[mark] == b'"' {
            self.at += 1;
            return Some(Text(Cow::Borrowed(plain)));
        }
        self.unescaped(plain)
    }

    fn unescaped(&mut self, plain: &str) -> Option<Text<'a>> {
        let mut text = String::with_capacity(plain.len() + 64);
        text.push_str(plain);
        loop {
            let bytes = self.text.as_bytes();
            let mark = self.marks.next(bytes, self.at)?;
            text.push_str(self.text.get(self.at..mark)?);
            self.at = mark + 1;
            if bytes[mark] == b'"' {
                return Some(Text(Cow::Owned(text)));
            }
            text.push(match bytes.get(self.at)? {
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
    use crate::instructions::tests::of_older;

    const AWS: &str = r#"{"captureData":{"endpointInput":{"observedContentType":"text/csv","mode":"INPUT","data":"1,2\n","encoding":"CSV"},"endpointOutput":{"observedContentType":"text/csv; charset=utf-8","mode":"OUTPUT","data":"0.0136","encoding":"CSV"}},"eventMetadata":{"eventId":"0d9f9a44-35b5-4ee0-92d5-2ea8a57e5f4e","inferenceTime":"2022-04-18T00:21:48Z"},"eventVersion":"0"}"#;
    const OURS: &str = r#"{"captureData":{"endpointInput":{"mode":"INPUT","data":"{\"a\":\"\\x\"}","encoding":"JSON"}},"eventMetadata":{"eventId":"x","customAttributes":["a\"b"],"inferenceId":"7","inferenceTime":"2022-04-18T00:21:48Z"},"eventVersion":"0","captura":{"lsn":"00000001-1-7","consumer":"café","shadowCopy":true,"outcome":"ok","status":200,"samplingProbability":0.5e-1,"requestSizeBytes":-0}}"#;

    /// The scanner, the same line again, and behind a line of ours or of AWS; by itself, and with more lines after it.
    fn scan(line: &[u8]) -> Option<CapturedRecord<'_>> {
        let next = |scanner: &mut Scanner, line: &'_ [u8]| {
            let seen = scanner.look(line);
            scanner.scan(line, seen).map(|record| format!("{record:?}"))
        };
        let mut scanner = Scanner::default();
        let seen = scanner.look(line);
        let found = scanner.scan(line, seen);
        let told = found.as_ref().map(|record| format!("{record:?}"));
        for before in [line, AWS.as_bytes(), OURS.as_bytes()] {
            let again = || {
                let mut scanner = Scanner::default();
                next(&mut scanner, before);
                next(&mut scanner, line)
            };
            assert_eq!(again(), told);
            assert!(of_older(again).iter().all(|older| *older == told));
        }
        let mut scanner = Scanner::default();
        let lines = [line, b"\n", AWS.as_bytes()].concat();
        let seen = scanner.look(&lines);
        assert_eq!(scanner.scan(&lines[..seen.length], seen).filter(|_| seen.length == line.len()), found);
        found
    }

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

    #[test]
    fn damaged_lines_are_never_read_otherwise() {
        for intact in [AWS, OURS] {
            let places = (0..=intact.len()).flat_map(|start| (0..4).map(move |length| (start, length)));
            for (start, length) in places {
                for with in DAMAGE {
                    let mut line = intact.as_bytes().to_vec();
                    line.splice(start..(start + length).min(intact.len()), with.bytes());
                    if let Some(scanned) = scan(&line) {
                        assert_eq!(Some(scanned), general(&line), "{}", String::from_utf8_lossy(&line));
                    }
                }
            }
        }
    }

    proptest! {
        #[test]
        fn numbers_are_what_json_takes_for_numbers(text in "-?[0-9]{0,3}(\\.[0-9]{0,2})?([eE][-+]?[0-9]{0,2})?") {
            prop_assert_eq!(is_number(text.as_bytes()), serde_json::from_str::<serde::de::IgnoredAny>(&text).is_ok());
        }
    }
}
