//! Any bytes under any content type decode into a table or are refused; what decodes can be looked at everywhere.
#![no_main]

use captura_backends::payload::{Cells, decode};
use libfuzzer_sys::fuzz_target;

const CONTENT_TYPES: [Option<&str>; 5] =
    [None, Some("text/csv"), Some("text/csv; header=present"), Some("application/json"), Some("application/jsonlines")];

fuzz_target!(|bytes: &[u8]| {
    let Some((choice, body)) = bytes.split_first() else { return };
    let content_type = CONTENT_TYPES[usize::from(*choice) % CONTENT_TYPES.len()];
    let cells = if *choice < 128 { Cells::Numbers } else { Cells::Verbatim };
    match decode(body, content_type, cells) {
        Ok(table) => {
            for row in 0..table.rows().min(64) {
                for column in 0..table.columns().min(64) {
                    let _ = table.cell(row, column);
                    let _ = table.text(row, column);
                }
            }
            let _ = table.demand_width(table.columns());
        }
        Err(refusal) => {
            assert!(matches!(refusal.status(), 400..=499), "bad input is the caller's: {refusal}");
        }
    }
});
