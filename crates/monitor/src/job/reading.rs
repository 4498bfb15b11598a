//! One reading of objects by several threads: pieces out, in their order, what was made of each.
//!
//! Memory: [`PIECE_BYTES`](super::PIECE_BYTES) for each thread and two more, but for captures in local files, a batch and a
//! profile for each of them; a row of more than a piece takes what it takes. The first rows settle the columns, so that threads never wait for each other.
//!
//! Invariant: what comes out depends on the objects, their addresses and the plan, not on the number of threads.

use std::num::NonZero;
use std::sync::{Arc, OnceLock};

use captura_archive::reader::{Found, ReadError};

use super::crew::{Crew, threads};
use super::gathering::offset_of;
use super::pieces::{Format, Piece, Pieces, row_end};
use super::sides::COLUMNS_AT_ONCE;
use super::{JobError, Source};
use crate::dataset::{Columns, Header, Matching, Plan, Reader, Scope, Sink, Tally};

/// Bytes of a piece that are looked at first, for the columns.
const PEEK_BYTES: usize = 64 << 10;

/// A piece on its way to a thread.
struct Order {
    piece: Piece,
    address: String,
    header: Header,
    offset: u64,
    plan: Arc<Plan>,
    is_settled: bool,
}

/// What a sink is told of the piece that it is for.
pub(super) struct Beginning<'a> {
    /// How it is read.
    pub(super) plan: &'a Plan,
    /// Where its rows are counted from.
    pub(super) offset: u64,
    /// Place of its object among those that are read.
    pub(super) object: usize,
}

/// What became of a piece.
pub(super) struct Part<S> {
    pub(super) sink: S,
    pub(super) tally: Tally,
    /// Place of its object among those that are read.
    pub(super) object: usize,
    /// Lines or rows that it has.
    lines: u64,
    room: Vec<u8>,
    /// Why not all of it was read.
    failed: Option<ReadError>,
}

impl Order {
    fn read<S: Sink>(mut self, begin: impl Fn(Beginning<'_>) -> S) -> Part<S> {
        let sink = begin(Beginning { plan: &self.plan, offset: self.offset, object: self.piece.object });
        let mut reader = Reader::into_sink(Arc::clone(&self.plan), sink);
        if self.is_settled {
            reader = reader.going_on();
        }
        let (mut lines, address) = (0, &self.address);
        let format = self.piece.format;
        let read = self.piece.each(|bytes| {
            lines += match format {
                Format::Captures => reader.captures_behind(lines, address, bytes),
                Format::Csv => reader.csv(address, bytes, self.header),
                Format::JsonLines => reader.json_lines(address, bytes),
                Format::Parquet => reader.parquet(address, bytes),
            };
        });
        let (sink, tally) = reader.end();
        Part { sink, tally, object: self.piece.object, lines, room: self.piece.bytes, failed: read.err() }
    }
}

/// What the first rows say of the columns.
pub(super) struct Settling {
    plan: Arc<Plan>,
    is_settled: bool,
    matching: Matching,
    limit: Limit,
    /// Whether rows are lines of CSV, of which a part of the cells is passed over quickly.
    is_light: bool,
}

/// How many columns may be read at once.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limit {
    pub(super) columns: usize,
    /// Also of rows that take as long to be read for a part of their cells as for all of them: JSON and Parquet.
    pub(super) of_any_form: bool,
}

impl Limit {
    /// As many as there are.
    pub(super) const NONE: Self = Self { columns: usize::MAX, of_any_form: true };

    /// As many as the source says.
    pub(super) fn of(source: &Source) -> Self {
        let asked = source.columns_at_once.map(NonZero::get);
        Self { columns: asked.unwrap_or(COLUMNS_AT_ONCE), of_any_form: asked.is_some() }
    }
}

/// Reads objects piece by piece; each piece begins a sink of its own, and what became of it is given out in the order of the
/// pieces. Ends at once where there turn out to be [too many columns](Settling::too_many).
pub(super) async fn read<S: Sink + Send + 'static>(
    objects: &[Found],
    source: &Source,
    columns: &mut Settling,
    begin: impl Fn(Beginning<'_>) -> S + Send + Sync + 'static,
    mut give: impl FnMut(Part<S>),
) -> Result<(), JobError> {
    let mut pieces = Pieces::of(objects);
    let mut crew = Crew::of(threads(source.threads), move |order: Order| order.read(&begin));
    let mut rooms = Vec::new();
    let failed = OnceLock::new();
    let mut give = |mut part: Part<S>| {
        let room = std::mem::take(&mut part.room);
        match part.failed.take() {
            Some(error) => drop(failed.set(error)),
            None => give(part),
        }
        room
    };
    while failed.get().is_none()
        && let Some(mut piece) = pieces.next(rooms.pop().unwrap_or_default()).await?
    {
        if !columns.is_settled {
            piece.hold()?;
        }
        let found = &objects[piece.object];
        let header = if piece.number == 0 { source.header } else { Header::No };
        columns.look_at(&piece, header);
        if columns.too_many().is_some() {
            break;
        }
        let order = Order {
            address: found.address.clone(),
            header,
            offset: offset_of(found, piece.number),
            plan: Arc::clone(&columns.plan),
            is_settled: columns.is_settled,
            piece,
        };
        crew.take(order, |part| rooms.push(give(part)));
    }
    crew.finish(|part| drop(give(part)));
    failed.into_inner().map_or(Ok(()), |error| Err(error.into()))
}

impl Settling {
    pub(super) fn of(plan: &Plan) -> Self {
        let plan = Arc::new(plan.clone());
        Self { plan, is_settled: false, matching: Matching::Unmatched, limit: Limit::NONE, is_light: false }
    }

    /// The same, of which no more than so many columns are to be read at once.
    pub(super) fn at_most(self, limit: Limit) -> Self {
        Self { limit, ..self }
    }

    /// All columns, once it is known that they are more than may be read at once.
    pub(super) fn too_many(&self) -> Option<&Columns> {
        let is_limited = self.plan.only.is_none() && (self.is_light || self.limit.of_any_form);
        let columns = self.plan.columns.as_ref().filter(|_| self.is_settled && is_limited);
        columns.filter(|columns| columns.len() > self.limit.columns)
    }

    /// The columns, once they are settled by the first row of the objects that can be used.
    pub(super) async fn settled(&mut self, objects: &[Found], header: Header) -> Result<Option<&Columns>, JobError> {
        let mut pieces = Pieces::of(objects);
        let mut room = Vec::new();
        while !self.is_settled {
            let Some(mut piece) = pieces.next(std::mem::take(&mut room)).await? else { break };
            piece.hold()?;
            self.look_at(&piece, if piece.number == 0 { header } else { Header::No });
            room = piece.bytes;
        }
        Ok(self.plan.columns.as_ref().filter(|_| self.is_settled))
    }

    /// The same columns, for records that are read whatever is asked for.
    pub(super) fn of_everything(&self) -> Self {
        let plan = Plan { scope: Scope::default(), ..(*self.plan).clone() };
        Self { plan: Arc::new(plan), ..*self }
    }

    /// How the first rows found their columns.
    pub(super) fn matching(&self) -> Matching {
        self.matching
    }

    /// Settles the columns, where the piece has a row that can be used.
    fn look_at(&mut self, piece: &Piece, header: Header) {
        if self.is_settled {
            return;
        }
        let begin = match piece.format {
            Format::Parquet => piece.bytes.len(),
            format => {
                let begin = row_end(format, &piece.bytes, PEEK_BYTES).unwrap_or(piece.bytes.len());
                // One row more, for whether the first names the columns the second may tell.
                row_end(format, &piece.bytes[begin..], 1).map_or(piece.bytes.len(), |more| begin + more)
            }
        };
        for bytes in [&piece.bytes[..begin], &piece.bytes[..]] {
            let mut reader = Reader::new(Arc::clone(&self.plan), |_| ());
            match piece.format {
                Format::Captures => reader.captures("", bytes),
                Format::Csv => reader.csv("", bytes, header),
                Format::JsonLines => reader.json_lines("", bytes),
                Format::Parquet => reader.parquet("", &piece.bytes),
            };
            let tally = reader.finish();
            if tally.rows > 0 || (begin == bytes.len() && tally.matching == Matching::ByName) {
                self.is_settled = tally.rows > 0;
                self.is_light = is_light(piece.format, bytes);
                self.matching = tally.matching;
                self.plan = Arc::new(Plan { columns: Some(tally.columns), ..(*self.plan).clone() });
                return;
            }
        }
    }
}

/// Whether rows are lines of CSV, as far as their first ones say.
fn is_light(format: Format, bytes: &[u8]) -> bool {
    let has = |encoding: &str| memchr::memmem::find(bytes, encoding.as_bytes()).is_some();
    match format {
        Format::Csv => true,
        Format::Captures => !has("\"encoding\":\"JSON\"") && !has("\"encoding\":\"BASE64\""),
        Format::JsonLines | Format::Parquet => false,
    }
}

/// The account of parts in their order.
#[derive(Default)]
pub(super) struct Total {
    pub(super) tally: Tally,
    /// The object of the last part, and lines of it so far.
    object: usize,
    lines: u64,
}

impl Total {
    /// Adds the account of a part; answers what was made of it.
    pub(super) fn add<S>(&mut self, part: Part<S>) -> S {
        if self.object != part.object {
            (self.object, self.lines) = (part.object, 0);
        }
        self.tally.add(part.tally, self.lines);
        self.lines += part.lines;
        part.sink
    }
}
