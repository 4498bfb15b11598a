//! Any bytes are an XGBoost model or are refused, also in the formats that SageMaker's containers left behind; a model that
//! loads answers CSV and libsvm. The first byte chooses what the rest is put into.
#![no_main]

use captura_backends::ModelSpec;
use captura_backends::embedded::trees::Trees;
use captura_route::{Backend as _, ModelRequest};
use libfuzzer_sys::fuzz_target;

/// A file of few bytes may claim millions of features; a row of that many would only slow the search.
const WIDEST: usize = 256;

fuzz_target!(|bytes: &[u8]| {
    let [choice, rest @ ..] = bytes else { return };
    let file = match choice % 4 {
        // A file as it is: binary, pickle, JSON, UBJ.
        0 => rest.to_vec(),
        1 => pickled(rest),
        // Steps in the middle of an honest pickle.
        2 => [b"\x80\x04cxgboost.core\nBooster\n)\x81}".as_slice(), rest, b"b."].concat(),
        // A serialised booster whose configuration begins where the file ends.
        _ => pickled(&[b"CONFIG-offset:", &(rest.len() as u64).to_le_bytes()[..], rest].concat()),
    };
    let spec = ModelSpec { image: "sagemaker-xgboost:1.7-1".into(), ..ModelSpec::default() };
    let Ok(model) = Trees::load_for(&spec, "xgboost-model", &file) else { return };
    let width = model.signature().expect("trees have a signature").inputs.len();
    if width > WIDEST {
        return;
    }
    let row = vec!["1"; width].join(",");
    for (content_type, body, lines) in [("text/csv", format!("{row}\n{row}"), 2), ("text/libsvm", "0:1".to_owned(), 1)] {
        let request =
            ModelRequest { body: body.into(), content_type: Some(content_type.into()), ..ModelRequest::default() };
        let answer = model.answer(&request).expect("the body suits the model");
        assert_eq!(answer.body.split(|byte| *byte == b'\n').count(), lines + 1);
    }
});

/// A pickled booster around a buffer.
fn pickled(buffer: &[u8]) -> Vec<u8> {
    let length = u32::try_from(buffer.len()).expect("inputs are small").to_le_bytes();
    [b"\x80\x04cxgboost.core\nBooster\n)\x81}U\x06handleB".as_slice(), &length, buffer, b"sb."].concat()
}
