//! How long one `examine` takes: `analysis_speed DATA REFERENCE [ROUNDS]`, for a profiler to look at without the rest of
//! the program. `cargo xtask bench analysis` measures the program itself.
#![expect(clippy::print_stdout, reason = "the figures are what this is for")]

use std::time::Instant;

use captura_archive::{StoreSettings, Stores};
use captura_monitor::drift::compare::{Rule, Verdict};
use captura_monitor::job::{Against, Examine, Source, examine};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [data, reference, rest @ ..] = &arguments[..] else {
        return Err("which data, and against what?".into());
    };
    let rounds: usize = rest.first().map_or(Ok(1), |text| text.parse())?;
    let stores = Stores::new(StoreSettings { data_dir: ".".into(), mappings: Default::default() });
    let source = |address: &String| Source { addresses: vec![address.clone()], ..Source::default() };
    let request = Examine {
        source: source(data),
        against: Against::Data(source(reference)),
        rule: Rule::default(),
        budget: None,
    };
    for _ in 0..rounds {
        let began = Instant::now();
        let found = examine(&stores, &request).await?;
        println!(
            "{:.3} s, {} rows, {} drifted, {} causes",
            began.elapsed().as_secs_f64(),
            found.data.rows,
            found.drift.count(Verdict::Drifted),
            found.causes.len()
        );
    }
    Ok(())
}
