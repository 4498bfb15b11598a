//! What is made of a piece of the data, and how it is put together.
//!
//! Invariant: gatherings of the pieces of a data set, merged in their order, are the same however many threads read them.

use captura_archive::reader::Found;

use super::reading::Beginning;
use crate::cause::{Callers, Collector};
use crate::dataset::{BATCH_ROWS, Batch, Call, Sink};
use crate::profile::DatasetProfile;

/// A profile, and where it is asked for who called and what they sent.
#[derive(Debug, Clone, Default)]
pub(super) struct Gathering {
    pub(super) profile: DatasetProfile,
    pub(super) callers: Callers,
    pub(super) sample: Option<Collector>,
}

/// What is gathered.
#[derive(Debug, Clone)]
pub(super) enum Wanted {
    /// A profile alone.
    Profile,
    /// A profile, and the callers.
    Heard,
    /// A profile, the callers, and values of all columns.
    Everything,
    /// The callers, and values of these features.
    Features(Vec<(String, bool)>),
}

/// A gathering at work on a piece.
pub(super) struct Gatherer {
    wants_profile: bool,
    is_heard: bool,
    /// A full batch, as long as it is the only one: whether there are many rows, the next one tells.
    first: Option<Batch>,
    made: Gathering,
}

impl Wanted {
    /// Begins with a piece of the data, in which rows are counted from a place of its own, behind pieces of which not every row
    /// is kept.
    pub(super) fn begin(&self, piece: &Beginning<'_>, strides: Vec<(Option<String>, u64)>) -> Gatherer {
        let columns = piece.plan.columns.as_ref();
        let sample = match self {
            Self::Profile | Self::Heard => None,
            Self::Everything => columns.map(|columns| Collector::of_numbers(columns.names.iter().cloned())),
            Self::Features(features) => Some(Collector::new(features.iter().cloned())),
        };
        let sample = sample.map(|sample| sample.counting_from(piece.offset).keeping_every(strides));
        let wants_profile = !matches!(self, Self::Features(_));
        let is_heard = !matches!(self, Self::Profile);
        Gatherer { wants_profile, is_heard, first: None, made: Gathering { sample, ..Gathering::default() } }
    }
}

/// From where rows of a piece are counted when only some of many are kept: any place, but always the same.
pub(super) fn offset_of(found: &Found, piece: u64) -> u64 {
    let mut hash: u64 = 0xCBF2_9CE4_8422_2325;
    for byte in found.address.bytes().chain(piece.to_le_bytes()) {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01B3);
    }
    hash >> 32
}

impl Sink for Gatherer {
    const HEARS: bool = true;

    fn batch(&mut self, batch: Batch) {
        if let Some(sample) = &mut self.made.sample {
            sample.take_rows(&batch);
        }
        if !self.wants_profile {
            return;
        }
        let profile = &mut self.made.profile;
        if let Some(first) = self.first.take() {
            *profile = DatasetProfile::of_coming([&first, &batch]);
            profile.update(&first);
        } else if profile.columns.is_empty() && batch.rows.num_rows() == BATCH_ROWS {
            self.first = Some(batch);
            return;
        }
        profile.update(&batch);
    }

    fn call(&mut self, call: &Call<'_>, rows: u32) {
        if self.is_heard {
            self.made.callers.hear(call, rows);
        }
        if let Some(sample) = &mut self.made.sample {
            sample.hear(call, rows);
        }
    }
}

impl Gatherer {
    pub(super) fn end(mut self) -> Gathering {
        if let Some(first) = self.first.take() {
            self.made.profile.update(&first);
        }
        self.made
    }
}

impl Gathering {
    /// Takes in what was gathered of the piece that comes next.
    pub(super) fn merge(&mut self, next: Self) {
        self.callers.merge(&next.callers);
        match (&mut self.sample, next.sample) {
            (Some(mine), Some(theirs)) => mine.merge(&theirs),
            (mine @ None, theirs) => *mine = theirs,
            (Some(_), None) => {}
        }
        if self.profile.columns.is_empty() {
            self.profile = next.profile;
        } else {
            self.profile.merge(&next.profile).expect("our bug: pieces of one data set have the same columns");
        }
    }
}
