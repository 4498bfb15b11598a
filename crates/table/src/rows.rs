//! A row for each row of a call, inputs and outputs decoded by the model's signature.
//!
//! Invariant: every call is one row at least. Where its bodies cannot be decoded it is exactly one, with nulls and the
//! reason.

use arrow_array::ArrayRef;
use arrow_schema::Field;
use captura_archive::jsonl::Encoding;
use captura_archive::rendering::ColumnNames;
use captura_capture::record::Signature;
use captura_monitor::dataset::record::Encoding as Read;
use captura_monitor::dataset::{Body, Pair, pairs};

use crate::call::{Call, Side};
use crate::columns::{Sheet, Type};
use crate::signature::Naming;
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
    has_signature: bool,
}

impl Rows {
    pub(crate) fn new(signature: Option<&Signature>, columns: ColumnNames) -> Self {
        let defined = || Sheet::identity().chain(ROW);
        let mut naming = Naming::new(columns, defined().map(|(name, _)| name));
        let inputs = naming.features("in", signature.map_or(&[], |signature| &signature.inputs));
        let outputs = naming.features("out", signature.map_or(&[], |signature| &signature.outputs));
        Self {
            sheet: Sheet::new(defined()),
            inputs: Typed::new("input", inputs),
            outputs: Typed::new("output", outputs),
            has_signature: signature.is_some(),
        }
    }

    pub(crate) fn fields(&self) -> Vec<Field> {
        self.sheet.fields().chain(self.inputs.fields()).chain(self.outputs.fields()).collect()
    }

    pub(crate) fn finish(&mut self) -> Vec<ArrayRef> {
        let mut arrays = self.sheet.finish();
        arrays.extend(self.inputs.finish());
        arrays.extend(self.outputs.finish());
        arrays
    }

    /// About how much memory the rows take, bytes.
    pub(crate) fn bytes(&self) -> u64 {
        self.sheet.bytes() + self.inputs.bytes() + self.outputs.bytes()
    }

    pub(crate) fn push(&mut self, call: &Call<'_>) {
        if !self.has_signature {
            return self.push_row(call, (0, 1), (None, None), Some("the model states no signature".to_owned()));
        }
        let (input, unread_input) = readable("input", call.request);
        let answer = call.response.filter(|_| call.answered());
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

    fn push_row(
        &mut self,
        call: &Call<'_>,
        (index, count): (usize, usize),
        (output, input): Pair<'_>,
        unread: Option<String>,
    ) {
        let inputs = self.inputs.push(input.as_ref());
        let outputs = self.outputs.push(output.as_ref());
        let reason = unread.or(inputs.err()).or(outputs.err());
        let reason = reason.map(|reason| reason.chars().take(REASON_MAX).collect::<String>());
        self.sheet.push_identity(call);
        self.sheet.whole(Some(index as i64));
        self.sheet.whole(Some(count as i64));
        self.sheet.text(reason.as_deref());
    }
}

/// A body that can be decoded, or why it cannot; neither where the side was not kept.
fn readable<'a>(name: &str, side: Option<Side<'a>>) -> (Option<Body<'a>>, Option<String>) {
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
