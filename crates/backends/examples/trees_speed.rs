//! How long a tree model takes to answer a body: `trees_speed MODEL BODY [CONTENT_TYPE]` prints the least and the middle
//! of many runs, in nanoseconds, for each part of a call. Compare with another library on the same machine in the same
//! minute; single figures mean little.

#![expect(clippy::print_stdout, reason = "an example speaks to the person who runs it")]

use std::collections::BTreeMap;
use std::hint::black_box;
use std::time::Instant;

use captura_backends::embedded::trees::Trees;
use captura_backends::payload::{Cells, Format, decode, encode};
use captura_route::ModelRequest;

const ROUNDS: usize = 200;
const ROUND_NS: u128 = 2_000_000;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [model, body, rest @ ..] = arguments.as_slice() else {
        return Err("usage: trees_speed MODEL BODY [CONTENT_TYPE]".into());
    };
    let content_type = rest.first().map(String::as_str);
    let trees = Trees::load(model, &std::fs::read(model)?, &BTreeMap::new())?;
    let request = ModelRequest {
        body: std::fs::read(body)?.into(),
        content_type: content_type.map(Into::into),
        ..ModelRequest::default()
    };
    let table = decode(&request.body, content_type, Cells::Numbers)?;
    let predictions = trees.predict(table.clone())?;
    println!("{} trees, {} rows x {} columns", trees.trees(), table.rows(), table.columns());
    report("decode", table.rows(), || decode(&request.body, content_type, Cells::Numbers));
    report("predict", table.rows(), || trees.predict(table.clone()));
    report("encode", table.rows(), || encode(&predictions, Format::Csv));
    report("answer", table.rows(), || trees.answer(&request));
    Ok(())
}

#[expect(clippy::cast_precision_loss, reason = "printed with few digits")]
fn report<T>(part: &str, rows: usize, run: impl Fn() -> T) {
    let begun = Instant::now();
    black_box(run());
    let calls = (ROUND_NS / begun.elapsed().as_nanos().max(1)).clamp(1, 10_000) as u32;
    let mut times: Vec<f64> = (0..ROUNDS)
        .map(|_| {
            let begun = Instant::now();
            for _ in 0..calls {
                black_box(run());
            }
            begun.elapsed().as_nanos() as f64 / f64::from(calls)
        })
        .collect();
    times.sort_by(f64::total_cmp);
    let (least, middle) = (times[0], times[ROUNDS / 2]);
    println!("{part:8} least {least:10.0} ns  middle {middle:10.0} ns  {:12.0} rows/s", rows as f64 * 1e9 / middle);
}
