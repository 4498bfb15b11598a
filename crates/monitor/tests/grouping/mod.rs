//! What comes out does not depend on how many columns are read at once.

use std::fmt::Write as _;
use std::num::NonZero;
use std::path::Path;
use std::sync::Arc;

use arrow_array::{ArrayRef, RecordBatch, StringArray};
use captura_monitor::drift::compare::{Rule, Verdict};
use captura_monitor::job::{self, Against, Examination, Examine, LabelPosition, Source, examine};
use captura_monitor::report::{Grounds, Language, page};
use captura_names::Timestamp;
use parquet::arrow::ArrowWriter;
use proptest::prelude::*;

use super::{Dice, line, stores, text};

/// How a table is written.
#[derive(Debug, Clone, Copy)]
enum Form {
    /// Calls whose bodies are CSV, in folders of hours.
    Captured,
    /// Calls whose bodies are JSON with names.
    Json,
    Csv,
    NamedCsv,
    JsonLines,
    Parquet,
}

/// A table, each of whose columns is of another kind.
#[derive(Debug, Clone)]
struct Table {
    form: Form,
    columns: usize,
    rows: usize,
    shift: f64,
    seed: u64,
    /// Whether columns come in the order of their names, backwards.
    backwards: bool,
}

fn cell(column: usize, dice: &mut Dice, shift: f64) -> String {
    match column % 7 {
        0 => format!("{:.3}", dice.bell() + shift),
        1 => format!("{}", (dice.roll() * 5.0 + shift) as i64),
        2 => ["red", "green", "blue"][(dice.roll() * 3.0 / (1.0 + shift)) as usize].to_owned(),
        3 if dice.roll() < 0.05 => ["late", ""][(dice.roll() * 2.0) as usize].to_owned(),
        3 | 5 => format!("{:.4}", dice.roll()),
        4 => ["007", "7", "7.0", "x"][(dice.roll() * 4.0) as usize].to_owned(),
        _ if dice.roll() < 0.4 => String::new(),
        _ => format!("{:.2}", dice.bell()),
    }
}

impl Table {
    /// The names of its columns and the cells of its rows.
    fn cells(&self) -> (Vec<String>, Vec<Vec<String>>) {
        let mut dice = Dice(self.seed);
        let mut places: Vec<usize> = (0..self.columns).collect();
        if self.backwards {
            places.reverse();
        }
        let row = |dice: &mut Dice| places.iter().map(|&column| cell(column, dice, self.shift)).collect();
        let rows = (0..self.rows).map(|_| row(&mut dice)).collect();
        (places.iter().map(|column| format!("f{column}")).collect(), rows)
    }

    /// Writes it, and answers where.
    fn write(&self, dir: &Path) -> String {
        std::fs::create_dir_all(dir).unwrap();
        let (names, rows) = self.cells();
        let mut dice = Dice(self.seed ^ 7);
        let quoted = |cell: &String| {
            if cell.parse::<f64>().is_ok() && cell != "007" { cell.clone() } else { format!("\"{cell}\"") }
        };
        let object = |row: &[String], odd: &str| {
            let members = names.iter().zip(row).map(|(name, cell)| format!("\"{name}\":{}", quoted(cell)));
            format!("{{{}}}", members.chain((!odd.is_empty()).then(|| odd.to_owned())).collect::<Vec<_>>().join(","))
        };
        let odd =
            |dice: &mut Dice| ["", "\"odd\":3", "\"rare\":\"x\""][(dice.roll() * 1.2 * dice.roll() * 2.5) as usize % 3];
        let ends = match self.form {
            Form::Captured | Form::Json => {
                return self.write_calls(dir, &rows, |row, dice| match self.form {
                    Form::Json => object(row, odd(dice)),
                    _ => row.join(","),
                });
            }
            Form::Csv | Form::NamedCsv => "csv",
            Form::JsonLines => "jsonl",
            Form::Parquet => "parquet",
        };
        let path = dir.join(format!("table.{ends}"));
        let mut lines = String::new();
        match self.form {
            Form::Parquet => {
                let column = |place: usize| -> ArrayRef {
                    Arc::new(StringArray::from_iter_values(rows.iter().map(|row| row[place].as_str())))
                };
                let columns = names.iter().enumerate().map(|(place, name)| (name.as_str(), column(place)));
                let batch = RecordBatch::try_from_iter(columns).unwrap();
                let mut writer =
                    ArrowWriter::try_new(std::fs::File::create(&path).unwrap(), batch.schema(), None).unwrap();
                writer.write(&batch).unwrap();
                writer.close().unwrap();
                return text(&path);
            }
            Form::JsonLines => rows.iter().for_each(|row| writeln!(lines, "{}", object(row, odd(&mut dice))).unwrap()),
            _ => {
                if matches!(self.form, Form::NamedCsv) {
                    writeln!(lines, "{}", names.join(",")).unwrap();
                }
                for row in &rows {
                    let width = if dice.roll() < 0.03 { 2 } else { row.len() };
                    writeln!(lines, "{}", row[..width].join(",")).unwrap();
                }
            }
        }
        std::fs::write(&path, lines).unwrap();
        text(&path)
    }

    fn write_calls(&self, dir: &Path, rows: &[Vec<String>], body: impl Fn(&[String], &mut Dice) -> String) -> String {
        let begin = Timestamp::parse("2026-03-01T08:00:00Z").unwrap();
        let mut dice = Dice(self.seed ^ 5);
        for (hour, rows) in rows.chunks(self.rows.div_ceil(3)).enumerate() {
            let begin = begin.plus_us(hour as i64 * 3_600_000_000);
            let mut lines = String::new();
            for (number, row) in rows.iter().enumerate() {
                let consumer = ["billing", "website"][(dice.roll() * 2.0) as usize];
                let at = begin.plus_us(number as i64 * 1_000_000);
                let input = body(row, &mut dice).replace('"', "\\\"");
                let call = line(at, hour * 1000 + number, consumer, &input);
                let is_json = input.starts_with('{');
                lines += &if is_json { call.replacen("\"CSV\"", "\"JSON\"", 1) } else { call };
                if dice.roll() < 0.02 {
                    lines += "not a record\n";
                }
            }
            let folder = dir.join(format!("churn/AllTraffic/{}", begin.hour_path()));
            std::fs::create_dir_all(&folder).unwrap();
            std::fs::write(folder.join("00-00-000-00000000-0000-4000-8000-000000000000.jsonl"), lines).unwrap();
        }
        text(dir)
    }
}

fn form() -> impl Strategy<Value = Form> {
    use Form::{Captured, Csv, Json, JsonLines, NamedCsv, Parquet};
    prop::sample::select(vec![Captured, Captured, Json, Csv, NamedCsv, JsonLines, Parquet])
}

fn table(rows: std::ops::Range<usize>, shift: f64) -> impl Strategy<Value = Table> {
    (form(), 2_usize..15, rows, any::<u64>(), any::<bool>())
        .prop_map(move |(form, columns, rows, seed, backwards)| Table { form, columns, rows, shift, seed, backwards })
}

/// What data is held against.
#[derive(Debug, Clone, Copy)]
enum Kind {
    Data,
    Baseline,
    Nothing,
}

async fn examined(dir: &Path, source: Source, against: Against) -> (String, Examination, String) {
    let request = Examine { source, against, rule: Rule::default(), budget: None, is_pictured: true };
    let found = examine(&stores(dir), &request).await.unwrap();
    let page = page("x", &Grounds::Unknown("nobody knows".into()), &found, Language::English);
    (serde_json::to_string(&found).unwrap(), found, page)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn however_many_columns_are_read_at_once_the_same_is_found(
        then in table(60..200, 0.0), mut now in table(40..300, 2.0), is_alike in prop::bool::weighted(0.7),
        kind in prop::sample::select(vec![Kind::Data, Kind::Data, Kind::Baseline, Kind::Nothing]),
        (few, threads, keeps_profiles) in (1_usize..6, 1_usize..4, any::<bool>()),
    ) {
        if is_alike {
            now = Table { form: then.form, columns: then.columns, backwards: then.backwards, ..now };
        }
        let dir = tempfile::tempdir().unwrap();
        let (before, after) = (then.write(&dir.path().join("then")), now.write(&dir.path().join("now")));
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let source = |address: &str, columns_at_once: Option<usize>| Source {
            addresses: vec![address.to_owned()],
            columns_at_once: columns_at_once.and_then(NonZero::new),
            threads: NonZero::new(threads),
            keeps_profiles,
            ..Source::default()
        };
        let folder = text(&dir.path().join("baseline"));
        runtime.block_on(job::baseline(&stores(dir.path()), &source(&before, None), LabelPosition::AsIs, &folder)).unwrap();
        let mut seen = Vec::new();
        for at_once in [None, Some(few), Some(few), Some(few + 3)] {
            let against = match kind {
                Kind::Data => Against::Data(source(&before, at_once)),
                Kind::Baseline => Against::Baseline { folder: folder.clone(), history: vec![before.clone()] },
                Kind::Nothing => Against::Nothing,
            };
            seen.push(runtime.block_on(examined(dir.path(), source(&after, at_once), against)));
        }
        for other in &seen[1..] {
            prop_assert_eq!(&seen[0].0, &other.0);
            prop_assert_eq!(&seen[0].1, &other.1);
            prop_assert_eq!(&seen[0].2, &other.2);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]
    #[test]
    fn however_many_columns_are_read_at_once_the_same_is_written(
        table in table(1..200, 0.0), few in 1_usize..6, threads in 1_usize..4, keeps_profiles in any::<bool>(),
        label in prop::sample::select(vec![LabelPosition::AsIs, LabelPosition::First, LabelPosition::Last]),
    ) {
        let dir = tempfile::tempdir().unwrap();
        let stores = stores(dir.path());
        let address = table.write(&dir.path().join("table"));
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let mut seen = Vec::new();
        for at_once in [None, Some(few), Some(few), Some(few + 3)] {
            let source = Source {
                addresses: vec![address.clone()],
                columns_at_once: at_once.and_then(NonZero::new),
                threads: NonZero::new(threads),
                keeps_profiles,
                ..Source::default()
            };
            let out = |name: &str| dir.path().join("out").join(name);
            let folder = text(&dir.path().join("out"));
            let baseline = runtime.block_on(job::baseline(&stores, &source, label, &folder)).unwrap();
            let profile = runtime.block_on(job::profile(&stores, &source, &text(&out("profile.json")))).unwrap();
            let files = ["statistics.json", "constraints.json", "profile.json"];
            seen.push((baseline, profile, files.map(|name| std::fs::read_to_string(out(name)).unwrap())));
        }
        for other in &seen[1..] {
            prop_assert_eq!(&seen[0], other);
        }
    }
}

#[tokio::test]
async fn causes_of_a_group_that_is_gone_are_found() {
    let dir = tempfile::tempdir().unwrap();
    let (then, now) = (dir.path().join("then"), dir.path().join("now"));
    super::capture(&then, 0..3000, usize::MAX, 1);
    super::capture(&now, 3000..6000, 4500, 2);
    let source =
        |folder: &Path| Source { addresses: vec![text(folder)], columns_at_once: NonZero::new(1), ..Source::default() };
    let (_, found, _) = examined(dir.path(), source(&now), Against::Data(source(&then))).await;
    assert_eq!(found.drift.count(Verdict::Drifted), 1);
    assert_eq!(found.causes[0].driver().unwrap().consumer.as_deref(), Some("billing"));
    assert!(found.splits.len() == 1 && found.consumers.len() == 3, "{found:?}");
}
