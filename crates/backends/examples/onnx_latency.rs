//! Prints how long one row takes through every exported model of `tests/data/onnx`: from the CSV body to the CSV answer,
//! on one thread, median and 99th percentile.
//!
//!     cargo run --release -p captura-backends --example onnx_latency -- /path/to/libonnxruntime.so
#![expect(clippy::print_stdout, reason = "its output is for a person")]

use std::collections::BTreeMap;
use std::error::Error;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use captura_backends::{Backends, Launch, ModelSpec, Settings};
use captura_route::{Backend as _, ModelRequest};
use serde_json::Value;

/// Each model is called for about this long.
const DURATION: Duration = Duration::from_millis(300);
const MAX_CALLS: usize = 20_000;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let library = std::env::args().nth(1).ok_or("the path of libonnxruntime.so is missing")?;
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/onnx");
    let cases: BTreeMap<String, Value> = serde_json::from_str(&std::fs::read_to_string(data.join("expected.json"))?)?;
    let mut settings = Settings::new(std::env::temp_dir());
    settings.allow_file_urls = true;
    settings.onnx_library = Some(library.into());
    let backends = Backends::new(settings, Arc::new(|_| Err("no stores here".into())));

    println!("{:<46} {:>9} {:>9} {:>9}", "model, one row as CSV", "p50 µs", "p99 µs", "load ms");
    for (name, case) in cases {
        let begun = Instant::now();
        let path = data.join(format!("{name}.onnx")).display().to_string();
        let spec = ModelSpec { image: "captura/onnx".into(), model_data_url: Some(path), ..ModelSpec::default() };
        let backend = backends.load(&spec, Launch::default()).await?;
        let load = begun.elapsed();
        let mut cells = Vec::new();
        flatten(&case["rows"][0], &mut cells);
        let (mut content_type, mut body) = ("text/csv", cells.join(","));
        if case["content"] != "csv" {
            (content_type, body) =
                ("application/json", serde_json::json!({ "instances": [case["rows"][0]] }).to_string());
        }
        let request =
            ModelRequest { body: body.into(), content_type: Some(content_type.into()), ..ModelRequest::default() };
        let mut times = Vec::new();
        let begun = Instant::now();
        while begun.elapsed() < DURATION && times.len() < MAX_CALLS {
            let called = Instant::now();
            backend.invoke(&request).await?;
            times.push(called.elapsed());
        }
        times.sort_unstable();
        let microseconds = |share: usize| times[(times.len() - 1) * share / 100].as_nanos() as f64 / 1000.0;
        let load = load.as_secs_f64() * 1000.0;
        let family = case["family"].as_str().unwrap_or_default();
        println!("{family:<46} {:>9.1} {:>9.1} {load:>9.1}", microseconds(50), microseconds(99));
    }
    Ok(())
}

/// The values of a row side by side, quoted where they hold a comma.
fn flatten(value: &Value, cells: &mut Vec<String>) {
    match value {
        Value::Array(items) => items.iter().for_each(|item| flatten(item, cells)),
        Value::Null => cells.push(String::new()),
        Value::String(text) => cells.push(format!("\"{text}\"")),
        other => cells.push(other.to_string()),
    }
}
