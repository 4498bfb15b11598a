//! The moment at which a request was signed, in the forms that clients send.

use captura_names::Timestamp;

/// Parses `20150830T123600Z`, the form of `X-Amz-Date`.
pub(super) fn parse(text: &str) -> Option<Timestamp> {
    let bytes = text.as_bytes();
    let digits = |range: std::ops::Range<usize>| bytes[range].iter().all(u8::is_ascii_digit);
    if bytes.len() != 16 || bytes[8] != b'T' || bytes[15] != b'Z' || !digits(0..8) || !digits(9..15) {
        return None;
    }
    let (date, time) = (&text[..8], &text[9..15]);
    let (year, month, day) = (&date[..4], &date[4..6], &date[6..]);
    let (hour, minute, second) = (&time[..2], &time[2..4], &time[4..]);
    Timestamp::parse(&format!("{year}-{month}-{day}T{hour}:{minute}:{second}Z")).ok()
}

/// The form of `X-Amz-Date`.
pub(super) fn format(at: Timestamp) -> String {
    at.to_string().replace(['-', ':'], "")
}

const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// Parses the `Date` header: `Mon, 09 Sep 2011 23:36:00 GMT`, or the form of `X-Amz-Date`.
pub(super) fn parse_date_header(text: &str) -> Option<Timestamp> {
    if let Some(at) = parse(text) {
        return Some(at);
    }
    let mut words = text.split_once(", ")?.1.split(' ');
    let (day, month, year, time) = (words.next()?, words.next()?, words.next()?, words.next()?);
    if words.next() != Some("GMT") || words.next().is_some() {
        return None;
    }
    let month = MONTHS.iter().position(|known| *known == month)? + 1;
    Timestamp::parse(&format!("{year}-{month:02}-{day:0>2}T{time}Z")).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_name_the_same_moment_and_nothing_else_does() {
        let at = Timestamp::parse("2011-09-09T23:36:00Z").unwrap();
        assert_eq!(parse("20110909T233600Z"), Some(at));
        assert_eq!(format(at), "20110909T233600Z");
        assert_eq!(parse_date_header("Fri, 09 Sep 2011 23:36:00 GMT"), Some(at));
        assert_eq!(parse_date_header("20110909T233600Z"), Some(at));
        for bad in ["", "20110909", "20110909T233600", "20111309T233600Z", "2011é09T233600Z", "20110909 233600Z"] {
            assert_eq!(parse(bad), None, "{bad}");
        }
        for bad in ["Fri, 09 Sep 2011 23:36:00 CET", "09 Sep 2011", "Fri, 09 Sop 2011 23:36:00 GMT", "Fri, 9"] {
            assert_eq!(parse_date_header(bad), None, "{bad}");
        }
    }
}
