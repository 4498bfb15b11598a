//! Where parts of a table stand.
//!
//! ```text
//! {to}/{kind}/endpoint={endpoint}/date=yyyy-mm-dd/hour=hh/part-{node}-{epoch}-{sequence}-{n}.parquet
//! {to}/{kind}/endpoint={endpoint}/date=yyyy-mm-dd/hour=hh/merged-{node}-{digest}.parquet
//! ```
//! Hive's form of partitions, which Spark, DuckDB, Athena and pyarrow read. The hour is the one in which the call arrived,
//! UTC. The name of a part is the journal segment that it was made of and the number of its first record, so that making it
//! twice makes the same name, and whether it is confirmed can be looked up. What is being merged begins with `_` and does
//! not end with `.parquet`, so that no reader takes it for data.
//!
//! Invariant: `parse` gives back what the key was built from.

use std::fmt;

use captura_capture::SegmentName;
use captura_capture::record::Lsn;
use captura_names::Timestamp;

use crate::call::HOUR_US;

/// Ending of parts.
pub(crate) const SUFFIX: &str = ".parquet";

/// The two halves of a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// A row for each call.
    Invocations,
    /// A row for each row of a call, inputs and outputs decoded.
    Rows,
}

impl Kind {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Invocations, Self::Rows];

    /// Which half a part of a table with this key belongs to, and how much of the key leads to the folder of that half.
    #[must_use]
    pub fn of_part(key: &str) -> Option<(Self, usize)> {
        let (partition, _) = Partition::parse(key)?;
        let below = key.rfind(&format!("{}/endpoint=", partition.kind))?;
        Some((partition.kind, below + partition.kind.as_str().len()))
    }

    /// The folder.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Invocations => "invocations",
            Self::Rows => "rows",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// An hour of an endpoint.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Partition {
    pub(crate) kind: Kind,
    pub(crate) endpoint: String,
    /// Hours since 1970.
    pub(crate) hour: i64,
}

impl Partition {
    /// The folder below the table.
    pub(crate) fn folder(&self) -> String {
        let at = Timestamp::from_unix_us(self.hour * HOUR_US).hour_path();
        let (year, month, day, hour) = (at.year, at.month, at.day, at.hour);
        format!("{}/endpoint={}/date={year:04}-{month:02}-{day:02}/hour={hour:02}", self.kind, self.endpoint)
    }

    /// Reads the key of a part, whatever stands before the kind; answers the name of the file too.
    pub(crate) fn parse(key: &str) -> Option<(Self, &str)> {
        let mut pieces = key.rsplit('/');
        let name = pieces.next()?;
        let hour = pieces.next()?.strip_prefix("hour=")?;
        let date = pieces.next()?.strip_prefix("date=")?;
        let endpoint = pieces.next()?.strip_prefix("endpoint=")?;
        let folder = pieces.next()?;
        let kind = Kind::ALL.into_iter().find(|kind| kind.as_str() == folder)?;
        let at = Timestamp::parse(&format!("{date}T{hour}:00:00Z")).ok()?;
        let partition = Self { kind, endpoint: endpoint.to_owned(), hour: at.unix_us() / HOUR_US };
        key.strip_suffix(name)?.ends_with(&format!("{}/", partition.folder())).then_some((partition, name))
    }
}

/// Name of the part that begins with record `first` of a segment.
pub(crate) fn part_name(segment: SegmentName, first: Lsn) -> String {
    format!("part-{:08x}-{:010}-{:012}-{}{SUFFIX}", first.node, segment.epoch, segment.sequence, first.n)
}

/// The node and the segment, `seg-…`, that a part of this name was made of.
pub(crate) fn segment_of_part(name: &str) -> Option<(u32, String)> {
    let mut pieces = name.strip_suffix(SUFFIX)?.strip_prefix("part-")?.split('-');
    let node = u32::from_str_radix(pieces.next()?, 16).ok()?;
    let (epoch, sequence) = (pieces.next()?.parse().ok()?, pieces.next()?.parse().ok()?);
    pieces.next()?.parse::<u64>().ok()?;
    Some((node, SegmentName::whole(epoch, sequence).to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_hives_and_round_trip() {
        let partition = Partition { kind: Kind::Rows, endpoint: "churn-2".into(), hour: 458_400 };
        let first = Lsn { node: 0xaa, epoch: 3, n: 17 };
        let name = part_name(SegmentName::whole(3, 5), first);
        assert_eq!(name, "part-000000aa-0000000003-000000000005-17.parquet");
        assert_eq!(segment_of_part(&name), Some((0xaa, "seg-0000000003-000000000005".to_owned())));
        let folder = partition.folder();
        assert_eq!(folder, "rows/endpoint=churn-2/date=2022-04-18/hour=00");
        assert_eq!(Partition::parse(&format!("s3://lake/x/{folder}/{name}")), Some((partition, &*name)));
        for other in [
            "rows/endpoint=e/date=2022-04-18/hour=24/x.parquet",
            "rows/endpoint=e/date=2022-04-18/hour=0/x.parquet",
            "other/endpoint=e/date=2022-04-18/hour=00/x.parquet",
            "x.parquet",
        ] {
            assert_eq!(Partition::parse(other), None, "{other}");
        }
        assert_eq!(segment_of_part("merged-000000aa-0123456789abcdef.parquet"), None);
    }
}
