//! How long one `examine` takes, for a profiler to look at without the rest of the program:
//! `analysis_speed DATA REFERENCE [--baseline FOLDER] [--rounds N] [--threads N] [--columns-at-once N] [--profiles]`. `cargo xtask bench analysis` measures the program.
//! With a folder it makes a baseline of the data in it instead.

#![expect(clippy::print_stdout, reason = "the figures are what this is for")]

use std::time::Instant;

use captura_archive::{StoreSettings, Stores};
use captura_monitor::drift::compare::{Rule, Verdict};
use captura_monitor::job::{Against, Examine, LabelPosition, Source, baseline, examine};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [data, reference, options @ ..] = &arguments[..] else {
        return Err("which data, and against what?".into());
    };
    let after = |name: &str| {
        let place = options.iter().position(|option| option == name)?;
        options.get(place + 1)
    };
    let rounds: usize = after("--rounds").map_or(Ok(1), |text| text.parse())?;
    let threads = after("--threads").map(|text| text.parse()).transpose()?;
    let columns_at_once = after("--columns-at-once").map(|text| text.parse()).transpose()?;
    let stores = Stores::new(StoreSettings { data_dir: ".".into(), mappings: Default::default() });
    let keeps_profiles = options.iter().any(|option| option == "--profiles");
    let source = |address: &String, keeps_profiles| Source {
        addresses: vec![address.clone()],
        threads,
        columns_at_once,
        keeps_profiles,
        ..Source::default()
    };
    let request = Examine {
        source: source(data, keeps_profiles),
        against: Against::Data(source(reference, false)),
        rule: Rule::default(),
        budget: None,
        is_pictured: false,
    };
    for _ in 0..rounds {
        let began = Instant::now();
        if let Some(folder) = after("--baseline") {
            let made = baseline(&stores, &request.source, LabelPosition::AsIs, folder).await?;
            println!("{:.3} s, {} rows, {} columns", began.elapsed().as_secs_f64(), made.rows, made.columns.len());
            continue;
        }
        let found = examine(&stores, &request).await?;
        println!(
            "{:.3} s, {} rows, {} columns, {} drifted, {} causes",
            began.elapsed().as_secs_f64(),
            found.data.rows,
            found.data.columns.len(),
            found.drift.count(Verdict::Drifted),
            found.causes.len()
        );
    }
    Ok(())
}
