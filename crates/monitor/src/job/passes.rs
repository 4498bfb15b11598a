//! Reading the objects of a source until the columns are right, in pieces and by several threads.
//!
//! Memory: [`PIECE_BYTES`](super::PIECE_BYTES) for each thread and two more, a batch and a profile for each thread, and the
//! profile of the whole; a row of more than a piece takes what it takes. Columns are settled by the first rows alone, so that
//! threads never wait for each other.
//!
//! Invariant: what comes out depends on the objects, their addresses and the plan, not on the number of threads.

use std::sync::Arc;

use captura_archive::Stores;
use captura_archive::reader::{Found, list};

use super::crew::{Crew, threads};
use super::gathering::{Gathering, Wanted, offset_of};
use super::pieces::{Format, Piece, Pieces, row_end};
use super::{JobError, Source};
use crate::cause::{Callers, Collector};
use crate::dataset::{Batch, Columns, Header, Matching, Plan, Reader, Sink, Tally};
use crate::profile::DatasetProfile;

/// Most passes over the data to settle its columns: one for the width, one for names, one for texts, and the good one.
pub const MAX_PASSES: usize = 4;
/// Bytes of a piece that are looked at first, for the columns.
const PEEK_BYTES: usize = 64 << 10;

/// A finished pass.
pub(super) struct Pass {
    pub(super) profile: DatasetProfile,
    pub(super) tally: Tally,
    pub(super) objects: u64,
    /// How many columns were known before the data was seen.
    pub(super) columns_given: Option<usize>,
    plan: Plan,
    /// Who called, and a sample of what they sent, where the pass listened.
    heard: Option<(Callers, Option<Collector>)>,
}

/// The objects of a source in the order of their addresses, each once.
pub(super) async fn open(stores: &Stores, source: &Source) -> Result<Vec<Found>, JobError> {
    let mut all = Vec::new();
    for address in &source.addresses {
        all.extend(list(stores, address, &source.selection).await?);
    }
    all.sort_by(|a, b| a.address.cmp(&b.address));
    all.dedup_by(|a, b| a.address == b.address);
    Ok(all)
}

impl Pass {
    /// Profiles the objects. `columns` are what is known beforehand; `fixed` when they are promises to check against
    /// rather than names to use.
    ///
    /// # Errors
    /// When an object cannot be fetched or no row can be used.
    pub(super) async fn run(
        objects: &[Found],
        source: &Source,
        columns: Option<Columns>,
        fixed: bool,
    ) -> Result<Self, JobError> {
        Self::gather(objects, source, (columns, fixed), Wanted::Profile).await
    }

    /// The same, and listens to who calls, so that [`Pass::heard`] seldom has to read again.
    pub(super) async fn listening(
        objects: &[Found],
        source: &Source,
        columns: Option<Columns>,
        fixed: bool,
    ) -> Result<Self, JobError> {
        Self::gather(objects, source, (columns, fixed), Wanted::Everything).await
    }

    async fn gather(
        objects: &[Found],
        source: &Source,
        (columns, fixed): (Option<Columns>, bool),
        wanted: Wanted,
    ) -> Result<Self, JobError> {
        let columns_given = columns.as_ref().map(Columns::len);
        let promised = columns.as_ref().filter(|_| fixed).map_or(0, Columns::len);
        let mut plan = Plan { columns, with_calls: false, scope: source.scope.clone() };
        for passes_left in (0..MAX_PASSES).rev() {
            let (made, tally) = gather(objects, source, &plan, wanted.clone()).await?;
            match better(&plan, &tally, promised) {
                Some(better) if passes_left > 0 => plan = better,
                _ if tally.rows == 0 => return Err(no_rows(&tally)),
                _ => {
                    let Gathering { profile, callers, sample } = made;
                    let heard = matches!(wanted, Wanted::Everything).then_some((callers, sample));
                    return Ok(Self { profile, tally, objects: objects.len() as u64, columns_given, plan, heard });
                }
            }
        }
        unreachable!("our bug: the last pass always ends the loop")
    }

    /// Whether the rows have another width than the columns that were given, and no names to match by.
    pub(super) fn is_unpaired(&self) -> bool {
        let another = self.columns_given.is_some_and(|given| given != self.profile.columns.len());
        another && self.tally.matching == Matching::ByPosition
    }

    /// Who called, and what they sent of these features; `objects` are those of the pass, or others of the same columns.
    ///
    /// # Errors
    /// When an object has to be read again and cannot be fetched.
    pub(super) async fn heard(
        &self,
        objects: &[Found],
        source: &Source,
        features: &[(String, bool)],
    ) -> Result<(Callers, Collector), JobError> {
        if let Some((callers, sample)) = self.heard.as_ref().filter(|_| objects.len() as u64 == self.objects)
            && let Some(sample) = sample.as_ref().and_then(|sample| sample.only(features))
        {
            return Ok((callers.clone(), sample));
        }
        let wanted = Wanted::Features(features.to_vec());
        let (made, _) = gather(objects, source, &self.plan, wanted).await?;
        let sample = made.sample.unwrap_or_else(|| Collector::new(features.iter().cloned()));
        Ok((made.callers, sample))
    }

    /// Reads the same rows once more, with their calls, in the order of the objects.
    ///
    /// # Errors
    /// When an object cannot be fetched.
    pub(super) async fn again(
        &self,
        objects: &[Found],
        source: &Source,
        mut sink: impl FnMut(Batch),
    ) -> Result<(), JobError> {
        let plan = Plan { with_calls: true, ..self.plan.clone() };
        let begin = |_: &Plan, _| Held(Vec::new());
        read(objects, source, &plan, begin, |held| held.0.into_iter().for_each(&mut sink)).await.map(|_| ())
    }
}

/// Keeps the batches of a piece.
struct Held(Vec<Batch>);

impl Sink for Held {
    fn batch(&mut self, batch: Batch) {
        self.0.push(batch);
    }
}

async fn gather(
    objects: &[Found],
    source: &Source,
    plan: &Plan,
    wanted: Wanted,
) -> Result<(Gathering, Tally), JobError> {
    let mut all = Gathering::default();
    let begin = move |plan: &Plan, offset| wanted.begin(plan.columns.as_ref(), offset);
    let tally = read(objects, source, plan, begin, |piece| all.merge(piece.end())).await?;
    Ok((all, tally))
}

/// A piece on its way to a thread.
struct Order {
    piece: Piece,
    address: String,
    header: Header,
    offset: u64,
    plan: Arc<Plan>,
    is_settled: bool,
}

/// What became of a piece.
struct Part<S> {
    sink: S,
    tally: Tally,
    object: usize,
    /// Lines or rows that it has.
    lines: u64,
    room: Vec<u8>,
}

impl Order {
    fn read<S: Sink>(self, begin: impl Fn(&Plan, u64) -> S) -> Part<S> {
        let mut reader = Reader::into_sink((*self.plan).clone(), begin(&self.plan, self.offset));
        if self.is_settled {
            reader = reader.going_on();
        }
        let bytes = &self.piece.bytes;
        let lines = match self.piece.format {
            Format::Captures => reader.captures(&self.address, bytes),
            Format::Csv => reader.csv(&self.address, bytes, self.header),
        };
        let (sink, tally) = reader.end();
        Part { sink, tally, object: self.piece.object, lines, room: self.piece.bytes }
    }
}

/// Reads objects piece by piece; each piece begins a sink of its own, and the sinks are given out in the order of the pieces.
async fn read<S: Sink + Send + 'static>(
    objects: &[Found],
    source: &Source,
    plan: &Plan,
    begin: impl Fn(&Plan, u64) -> S + Send + Sync + 'static,
    mut give: impl FnMut(S),
) -> Result<Tally, JobError> {
    let mut pieces = Pieces::of(objects);
    let mut crew = Crew::of(threads(source.threads), move |order: Order| order.read(&begin));
    let mut columns = Settling { plan: Arc::new(plan.clone()), is_settled: false, matching: Matching::Unmatched };
    let mut total = Total::default();
    let mut rooms = Vec::new();
    while let Some(piece) = pieces.next(rooms.pop().unwrap_or_default()).await? {
        let found = &objects[piece.object];
        let header = if piece.number == 0 { source.header } else { Header::No };
        columns.look_at(&piece, header);
        let order = Order {
            address: found.address.clone(),
            header,
            offset: offset_of(found, piece.number),
            plan: Arc::clone(&columns.plan),
            is_settled: columns.is_settled,
            piece,
        };
        crew.take(order, |part| rooms.push(total.add(part, &mut give)));
    }
    crew.finish(|part| drop(total.add(part, &mut give)));
    total.tally.matching = total.tally.matching.max(columns.matching);
    Ok(total.tally)
}

/// What the first rows say of the columns.
struct Settling {
    plan: Arc<Plan>,
    is_settled: bool,
    matching: Matching,
}

impl Settling {
    /// Settles the columns, where the piece has a row that can be used.
    fn look_at(&mut self, piece: &Piece, header: Header) {
        if self.is_settled {
            return;
        }
        let begin = row_end(piece.format, &piece.bytes, PEEK_BYTES).unwrap_or(piece.bytes.len());
        for bytes in [&piece.bytes[..begin], &piece.bytes[..]] {
            let mut reader = Reader::new((*self.plan).clone(), |_| ());
            match piece.format {
                Format::Captures => reader.captures("", bytes),
                Format::Csv => reader.csv("", bytes, header),
            };
            let tally = reader.finish();
            if tally.rows > 0 || (begin == bytes.len() && tally.matching == Matching::ByName) {
                self.is_settled = tally.rows > 0;
                self.matching = tally.matching;
                self.plan = Arc::new(Plan { columns: Some(tally.columns), ..(*self.plan).clone() });
                return;
            }
        }
    }
}

#[derive(Default)]
struct Total {
    tally: Tally,
    /// The object of the last part, and lines of it so far.
    object: usize,
    lines: u64,
}

impl Total {
    /// Adds a part; answers the room that it took.
    fn add<S>(&mut self, part: Part<S>, give: &mut impl FnMut(S)) -> Vec<u8> {
        if self.object != part.object {
            (self.object, self.lines) = (part.object, 0);
        }
        self.tally.add(part.tally, self.lines);
        self.lines += part.lines;
        give(part.sink);
        part.room
    }
}

/// A plan that fits the data better than the one it was read with; `None` when that one fits.
fn better(plan: &Plan, tally: &Tally, promised: usize) -> Option<Plan> {
    let with = |columns: Columns| Some(Plan { columns: Some(columns), ..plan.clone() });
    let expected = tally.columns.len();
    // The promised width wins a tie, so that a handful of odd rows does not hide the columns.
    let rank = |(width, rows): &(&usize, &u64)| (**rows, **width == promised, **width == expected);
    if let Some((&width, _)) = tally.widths.iter().max_by_key(rank)
        && width != expected
        && tally.matching != Matching::ByName
    {
        return with(Columns::numbered(width));
    }
    if !tally.strangers.is_empty() {
        let mut columns = Columns::named(tally.columns.names.iter().chain(tally.strangers.keys()).cloned());
        columns.text[..expected].clone_from_slice(&tally.columns.text);
        return with(columns);
    }
    if !tally.promoted.is_empty() {
        return with(tally.columns.clone());
    }
    None
}

fn no_rows(tally: &Tally) -> JobError {
    let first = tally.described.first().map_or_else(String::new, |bad| {
        format!("; the first unusable one is {} line {}: {}", bad.source, bad.line, bad.reason)
    });
    let Tally { records, bad, unanswered, outside, .. } = *tally;
    JobError::NoRows { records, bad, unanswered, outside, first }
}
