//! A row for each row of a call, inputs and outputs decoded by the model's signature.
//!
//! Invariant: every call is one row at least. Where its bodies cannot be decoded it is exactly one, with nulls and the
//! reason.

use std::sync::Arc;

use arrow_array::ArrayRef;
use arrow_schema::Field;
use captura_archive::jsonl::Encoding;
use captura_archive::rendering::ColumnNames;
use captura_capture::record::Signature;
use captura_monitor::dataset::record::Encoding as Read;
use captura_monitor::dataset::{Body, Naming, Pair, pairs};

use crate::call::{Call, Side};
use crate::columns::{Sheet, Type};
use crate::signature::Naming as ColumnNaming;
use crate::typed::Typed;

/// Values of a body at most: decoding needs about fifty bytes for each, whatever its text.
const BODY_VALUES_MAX: usize = 1 << 20;
/// Longest reason that is kept, characters.
const REASON_MAX: usize = 300;

const ROW: [(&str, Type); 3] = [("row_index", Type::Whole), ("row_count", Type::Whole), ("decode_error", Type::Text)];

/// Rows of calls of one model.
pub(crate) struct Rows {
    sheet: Sheet,
    inputs: Typed,
    outputs: Typed,
    naming: Arc<Naming>,
    has_signature: bool,
    count: usize,
    unread: Unread,
}

/// Rows of which something could not be taken.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Unread {
    /// How many.
    pub rows: u64,
    /// The first reason.
    pub first: Option<String>,
}

impl Unread {
    pub(crate) fn note(&mut self, reason: Option<&str>) {
        if let Some(reason) = reason {
            self.rows += 1;
            self.first.get_or_insert_with(|| reason.to_owned());
        }
    }
}

impl Rows {
    pub(crate) fn new(signature: Option<&Signature>, columns: ColumnNames) -> Self {
        let defined = || Sheet::identity().chain(ROW);
        let mut naming = ColumnNaming::new(columns, defined().map(|(name, _)| name));
        let inputs = naming.features("in", signature.map_or(&[], |signature| &signature.inputs));
        let outputs = naming.features("out", signature.map_or(&[], |signature| &signature.outputs));
        Self {
            sheet: Sheet::new(defined()),
            inputs: Typed::new("input", inputs),
            outputs: Typed::new("output", outputs),
            naming: Arc::default(),
            has_signature: signature.is_some(),
            count: 0,
            unread: Unread::default(),
        }
    }

    pub(crate) fn fields(&self) -> Vec<Field> {
        self.sheet.fields().chain(self.inputs.fields()).chain(self.outputs.fields()).collect()
    }

    pub(crate) fn finish(&mut self) -> Vec<ArrayRef> {
        self.count = 0;
        let mut arrays = self.sheet.finish();
        arrays.extend(self.inputs.finish());
        arrays.extend(self.outputs.finish());
        arrays
    }

    /// Values are called so, before they are looked for in the signature.
    pub(crate) fn call_by(&mut self, naming: Arc<Naming>) {
        self.naming = naming;
    }

    /// Fills only the columns that are `wanted`.
    pub(crate) fn keep(&mut self, wanted: impl Fn(&str) -> bool) {
        self.sheet.keep(&wanted);
        self.inputs.keep(&wanted);
        self.outputs.keep(&wanted);
    }

    /// Rows that wait.
    pub(crate) fn len(&self) -> usize {
        self.count
    }

    /// What could not be decoded of all rows so far.
    pub(crate) fn unread(&self) -> &Unread {
        &self.unread
    }

    /// About how much memory the rows take, bytes.
    pub(crate) fn bytes(&self) -> u64 {
        self.sheet.bytes() + self.inputs.bytes() + self.outputs.bytes()
    }

    pub(crate) fn push(&mut self, call: &Call<'_>) {
        if !self.has_signature {
            return self.push_row(call, (0, 1), (None, None), Some("the model states no signature".to_owned()));
        }
        let answer = call.response.filter(|_| call.answered());
        if !call.truncated && self.push_lines(call, answer) {
            return;
        }
        let (input, unread_input) = readable("input", call.request);
        let (output, unread_output) = match answer {
            Some(_) if call.truncated => (None, Some("output: only its begin was kept".to_owned())),
            answer => readable("output", answer),
        };
        let unread = unread_input.or(unread_output);
        match pairs(output.as_ref(), input.as_ref()) {
            Ok(pairs) if !pairs.is_empty() => {
                let count = pairs.len();
                for (index, (output, input)) in pairs.into_iter().enumerate() {
                    self.push_row(call, (index, count), (output, input), unread.clone());
                }
            }
            Ok(_) => self.push_row(call, (0, 1), (None, None), unread),
            Err(reason) => self.push_row(call, (0, 1), (None, None), unread.or(Some(reason))),
        }
    }

    /// Adds the row of a call whose bodies are one plain line of CSV each, the common case, without looking at every cell.
    /// Answers whether it was one.
    fn push_lines(&mut self, call: &Call<'_>, answer: Option<Side<'_>>) -> bool {
        let (Some(input), Some(output)) = (call.request.and_then(plain_line), answer.and_then(plain_line)) else {
            return false;
        };
        if self.inputs.is_of(input) && self.outputs.is_of(output) {
            let inputs = self.inputs.push_line(input);
            let outputs = self.outputs.push_line(output);
            self.push_facts(call, (0, 1), inputs.err().or(outputs.err()));
            return true;
        }
        false
    }

    fn push_row(
        &mut self,
        call: &Call<'_>,
        (index, count): (usize, usize),
        (mut output, mut input): Pair<'_>,
        unread: Option<String>,
    ) {
        input.iter_mut().for_each(|row| self.naming.name_input(row));
        output.iter_mut().for_each(|row| self.naming.name_output(row));
        let inputs = self.inputs.push(input.as_ref());
        let outputs = self.outputs.push(output.as_ref());
        self.push_facts(call, (index, count), unread.or(inputs.err()).or(outputs.err()));
    }

    fn push_facts(&mut self, call: &Call<'_>, (index, count): (usize, usize), reason: Option<String>) {
        let reason = reason.map(|reason| reason.chars().take(REASON_MAX).collect::<String>());
        self.count += 1;
        self.unread.note(reason.as_deref());
        self.sheet.push_identity(call);
        self.sheet.whole(Some(index as i64));
        self.sheet.whole(Some(count as i64));
        self.sheet.text(reason.as_deref());
    }
}

/// The only line of a body that is captured as CSV and has no quotes.
fn plain_line(side: Side<'_>) -> Option<&str> {
    if side.encoding != Encoding::Csv {
        return None;
    }
    let line = side.body.strip_suffix(b"\n").unwrap_or(side.body);
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let is_plain = !line.is_empty() && memchr::memchr3(b'\n', b'\r', b'"', line).is_none();
    if is_plain { std::str::from_utf8(line).ok() } else { None }
}

/// A body that can be decoded, or why it cannot; neither where the side was not kept.
pub(crate) fn readable<'a>(name: &str, side: Option<Side<'a>>) -> (Option<Body<'a>>, Option<String>) {
    let Some(side) = side else { return (None, None) };
    let values = memchr::memchr2_iter(b',', b'\n', side.body).count();
    if values > BODY_VALUES_MAX {
        return (None, Some(format!("{name}: the body has more than {BODY_VALUES_MAX} values")));
    }
    let encoding = match side.encoding {
        Encoding::Csv => Read::Csv,
        Encoding::Json => Read::Json,
        Encoding::Base64 => Read::Base64,
    };
    match Body::travelled(encoding, side.content_type, side.body) {
        Ok(body) => (Some(body), None),
        Err(reason) => (None, Some(format!("{name}: {reason}"))),
    }
}
