//! Bytes of the metrics on disk: frames of length, checksum and payload.
//!
//! Invariant: a reader stops at the first frame that is cut off or damaged, and says where; it believes no length beyond
//! [`FRAME_MAX_BYTES`].

use captura_wire::cloudwatch::shapes::Dimension;

use super::series::MetricId;
use super::summary::{Spread, Summary};

/// Longest payload: a metric with all its dimensions at their limits is well below.
pub(super) const FRAME_MAX_BYTES: usize = 256 * 1024;
const HEAD_BYTES: usize = 8;

/// What a frame says.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Frame {
    /// From here on, this number stands for that metric in that unit.
    Metric { number: u32, unit: String, metric: MetricId },
    /// Samples of a second or a minute, for every level.
    Samples { number: u32, at_s: i64, high_resolution: bool, summary: Summary },
    /// A summary of one level.
    Kept { number: u32, at_s: i64, level: u8, summary: Summary },
    /// A snapshot is whole.
    End,
}

impl Frame {
    pub(super) fn write(&self, into: &mut Vec<u8>) {
        let start = into.len();
        into.extend([0; HEAD_BYTES]);
        match self {
            Self::Metric { number, unit, metric } => {
                into.push(1);
                into.extend(number.to_le_bytes());
                for text in [unit, &metric.namespace, &metric.name] {
                    put_text(text, into);
                }
                into.push(metric.dimensions.len() as u8);
                for dimension in &metric.dimensions {
                    put_text(&dimension.name, into);
                    put_text(&dimension.value, into);
                }
            }
            Self::Samples { number, at_s, high_resolution, summary } => {
                into.push(2);
                into.extend(number.to_le_bytes());
                into.extend(at_s.to_le_bytes());
                into.push(u8::from(*high_resolution));
                put_summary(summary, into);
            }
            Self::Kept { number, at_s, level, summary } => {
                into.push(3);
                into.extend(number.to_le_bytes());
                into.extend(at_s.to_le_bytes());
                into.push(*level);
                put_summary(summary, into);
            }
            Self::End => into.push(4),
        }
        let payload = start + HEAD_BYTES;
        let length = (into.len() - payload) as u32;
        let checksum = crc32c::crc32c(&into[payload..]);
        into[start..start + 4].copy_from_slice(&length.to_le_bytes());
        into[start + 4..payload].copy_from_slice(&checksum.to_le_bytes());
    }

    fn read(payload: &[u8]) -> Option<Self> {
        let mut reader = Reader(payload);
        let frame = match reader.byte()? {
            1 => {
                let number = reader.u32()?;
                let unit = reader.text()?;
                let (namespace, name) = (reader.text()?, reader.text()?);
                let count = reader.byte()?;
                let dimension = |_| Some(Dimension { name: reader.text()?, value: reader.text()? });
                let dimensions = (0..count).map(dimension).collect::<Option<Vec<Dimension>>>()?;
                Self::Metric { number, unit, metric: MetricId { namespace, name, dimensions } }
            }
            2 => Self::Samples {
                number: reader.u32()?,
                at_s: reader.i64()?,
                high_resolution: reader.byte()? != 0,
                summary: reader.summary()?,
            },
            3 => Self::Kept {
                number: reader.u32()?,
                at_s: reader.i64()?,
                level: reader.byte()?,
                summary: reader.summary()?,
            },
            4 => Self::End,
            _ => return None,
        };
        reader.0.is_empty().then_some(frame)
    }
}

/// Frames of a file, up to the first that is not whole; then where it begins.
pub(super) struct Frames<'a> {
    bytes: &'a [u8],
    pub(super) read_bytes: usize,
}

impl<'a> Frames<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, read_bytes: 0 }
    }
}

impl Iterator for Frames<'_> {
    type Item = Frame;

    fn next(&mut self) -> Option<Frame> {
        let rest = &self.bytes[self.read_bytes..];
        let mut head = Reader(rest);
        let length = head.u32()? as usize;
        let checksum = head.u32()?;
        let payload = (length <= FRAME_MAX_BYTES).then(|| head.0.get(..length)).flatten()?;
        if crc32c::crc32c(payload) != checksum {
            return None;
        }
        let frame = Frame::read(payload)?;
        self.read_bytes += HEAD_BYTES + length;
        Some(frame)
    }
}

fn put_text(text: &str, into: &mut Vec<u8>) {
    into.extend((text.len() as u16).to_le_bytes());
    into.extend(text.as_bytes());
}

fn put_summary(summary: &Summary, into: &mut Vec<u8>) {
    for number in [summary.count, summary.sum, summary.minimum, summary.maximum] {
        into.extend(number.to_le_bytes());
    }
    match &summary.spread {
        Spread::Equal => into.push(0),
        Spread::Unknown => into.push(1),
        Spread::Known(buckets) => {
            into.push(2);
            into.extend((buckets.len() as u16).to_le_bytes());
            for (bucket, count) in buckets {
                into.extend(bucket.to_le_bytes());
                into.extend(count.to_le_bytes());
            }
        }
    }
}

struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (taken, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*taken)
    }

    fn byte(&mut self) -> Option<u8> {
        self.take::<1>().map(|[byte]| byte)
    }

    fn u32(&mut self) -> Option<u32> {
        self.take().map(u32::from_le_bytes)
    }

    fn i64(&mut self) -> Option<i64> {
        self.take().map(i64::from_le_bytes)
    }

    fn f64(&mut self) -> Option<f64> {
        self.take().map(f64::from_le_bytes)
    }

    fn u16(&mut self) -> Option<u16> {
        self.take().map(u16::from_le_bytes)
    }

    fn text(&mut self) -> Option<String> {
        let length = usize::from(self.u16()?);
        let (text, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        String::from_utf8(text.to_vec()).ok()
    }

    fn summary(&mut self) -> Option<Summary> {
        let [count, sum, minimum, maximum] = [self.f64()?, self.f64()?, self.f64()?, self.f64()?];
        let spread = match self.byte()? {
            0 => Spread::Equal,
            1 => Spread::Unknown,
            2 => {
                let length = self.u16()?;
                let bucket = |_| Some((self.take().map(i16::from_le_bytes)?, self.f64()?));
                Spread::Known((0..length).map(bucket).collect::<Option<Vec<(i16, f64)>>>()?)
            }
            _ => return None,
        };
        Some(Summary { count, sum, minimum, maximum, spread })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frames() -> Vec<Frame> {
        let dimension = Dimension { name: "EndpointName".into(), value: "é".into() };
        let known = Summary::of_values([(1.0, 1.0), (2.5, 3.0)]).unwrap();
        vec![
            Frame::Metric { number: 7, unit: "Count".into(), metric: MetricId::new("N", "M", vec![dimension]) },
            Frame::Samples { number: 7, at_s: -5, high_resolution: true, summary: known.clone() },
            Frame::Kept { number: 7, at_s: 60, level: 2, summary: Summary::of_set(2.0, 3.0, (1.0, 2.0)) },
            Frame::Kept { number: 7, at_s: 60, level: 2, summary: Summary::of_value(2.0, 3.0) },
            Frame::End,
        ]
    }

    fn written() -> Vec<u8> {
        let mut bytes = Vec::new();
        frames().iter().for_each(|frame| frame.write(&mut bytes));
        bytes
    }

    #[test]
    fn what_was_written_is_read() {
        assert_eq!(Frames::new(&written()).collect::<Vec<Frame>>(), frames());
    }

    #[test]
    fn a_file_that_is_cut_anywhere_gives_its_whole_frames() {
        let bytes = written();
        for length in 0..bytes.len() {
            let mut reader = Frames::new(&bytes[..length]);
            let read: Vec<Frame> = reader.by_ref().collect();
            assert_eq!(read, frames()[..read.len()]);
            assert!(read.len() < frames().len() && reader.read_bytes <= length);
        }
    }

    #[test]
    fn a_damaged_byte_ends_the_reading_there() {
        let bytes = written();
        for position in 0..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[position] ^= 0x40;
            let read: Vec<Frame> = Frames::new(&damaged).collect();
            assert!(read.len() < frames().len() && read == frames()[..read.len()], "at {position}");
        }
    }
}
