//! Values as Python prints them: what SageMaker's own containers answer with is `str` and `json.dumps` of lists of floats.
//!
//! Invariant: a float's text is the shortest that reads back as the same `f64`, with Python's choice of exponents.

use std::io::Write as _;

/// A value of an answer.
#[derive(Debug, Clone, PartialEq)]
pub enum PythonValue {
    /// A whole number.
    Int(i64),
    /// A float; single precision is widened first, as `tolist()` does.
    Float(f64),
    /// A list.
    List(Vec<PythonValue>),
}

impl PythonValue {
    /// Writes `str(value)`.
    pub fn write_str(&self, body: &mut Vec<u8>) {
        self.write(body, ["nan", "inf", "-inf"]);
    }

    /// Writes `json.dumps(value)`.
    pub fn write_json(&self, body: &mut Vec<u8>) {
        self.write(body, ["NaN", "Infinity", "-Infinity"]);
    }

    fn write(&self, body: &mut Vec<u8>, odd: [&str; 3]) {
        match self {
            Self::Int(number) => write!(body, "{number}").expect("our bug: writing to memory does not fail"),
            Self::Float(number) if number.is_nan() => body.extend_from_slice(odd[0].as_bytes()),
            Self::Float(number) if number.is_infinite() => {
                body.extend_from_slice(odd[if *number > 0.0 { 1 } else { 2 }].as_bytes());
            }
            Self::Float(number) => write_finite(*number, body),
            Self::List(values) => {
                body.push(b'[');
                for (index, value) in values.iter().enumerate() {
                    if index > 0 {
                        body.extend_from_slice(b", ");
                    }
                    value.write(body, odd);
                }
                body.push(b']');
            }
        }
    }
}

fn write_finite(number: f64, body: &mut Vec<u8>) {
    if number == 0.0 || (1e-4..1e16).contains(&number.abs()) {
        body.extend_from_slice(ryu::Buffer::new().format_finite(number).as_bytes());
        return;
    }
    let text = format!("{number:e}");
    let (digits, exponent) = text.split_once('e').expect("our bug: no exponent in scientific notation");
    let (sign, exponent) = exponent.strip_prefix('-').map_or(('+', exponent), |exponent| ('-', exponent));
    write!(body, "{digits}e{sign}{exponent:0>2}").expect("our bug: writing to memory does not fail");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn floats_read_as_in_python() {
        for (number, text) in [
            (0.0, "0.0"),
            (-0.0, "-0.0"),
            (1.0, "1.0"),
            (f64::from(0.1_f32), "0.10000000149011612"),
            (0.0001, "0.0001"),
            (0.000_099_9, "9.99e-05"),
            (-1e-7, "-1e-07"),
            (1e-100, "1e-100"),
            (123_456_789_012_345.6, "123456789012345.6"),
            (9_999_999_999_999_998.0, "9999999999999998.0"),
            (1e16, "1e+16"),
            (-1.5e300, "-1.5e+300"),
            (5e-324, "5e-324"),
        ] {
            let mut body = Vec::new();
            PythonValue::Float(number).write_str(&mut body);
            assert_eq!(String::from_utf8(body).unwrap(), text);
        }
    }

    #[test]
    fn lists_and_odd_numbers_differ_between_str_and_json() {
        let list = PythonValue::List(vec![
            PythonValue::Int(-3),
            PythonValue::Float(f64::NAN),
            PythonValue::Float(f64::INFINITY),
            PythonValue::Float(f64::NEG_INFINITY),
        ]);
        let (mut text, mut json) = (Vec::new(), Vec::new());
        list.write_str(&mut text);
        list.write_json(&mut json);
        assert_eq!(text, b"[-3, nan, inf, -inf]");
        assert_eq!(json, b"[-3, NaN, Infinity, -Infinity]");
    }
}
