//! Any bytes load as a tree model or are refused; a model that loads answers.
#![no_main]

use std::collections::BTreeMap;

use captura_backends::embedded::trees::Trees;
use captura_route::{Backend as _, ModelRequest};
use libfuzzer_sys::fuzz_target;

/// A file of few bytes may claim millions of features; a row of that many would only slow the search.
const WIDEST: usize = 256;

fuzz_target!(|bytes: &[u8]| {
    let Ok(model) = Trees::load("model", bytes, &BTreeMap::new()) else { return };
    let width = model.signature().expect("trees have a signature").inputs.len();
    if width > WIDEST {
        return;
    }
    let row = vec!["1"; width].join(",");
    let body = [row.clone(), ",".repeat(width - 1) + "0", row].join("\n");
    let request = ModelRequest { body: body.into(), ..ModelRequest::default() };
    let answer = model.answer(&request).expect("the body suits the model");
    assert_eq!(answer.body.split(|byte| *byte == b'\n').count(), 3);
});
