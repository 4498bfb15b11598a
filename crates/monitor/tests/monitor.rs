//! Jobs on files, as the command line runs them.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail the test")]

mod attribution;
mod bias;
mod examining;
mod grouping;
mod growing;
mod naming;
mod preprocessing;
mod quality;

use std::path::{Path, PathBuf};

use captura_archive::{StoreSettings, Stores};
use captura_monitor::artefact::{Statistics, Violation};
use captura_monitor::cause::Since;
use captura_monitor::dataset::Matching;
use captura_monitor::drift::numeric_distance;
use captura_monitor::job::{self, Check, CheckSummary, JobError, LabelPosition, Source};
use captura_monitor::sketch::Kll;
use captura_names::Timestamp;

fn stores(dir: &Path) -> Stores {
    Stores::new(StoreSettings { data_dir: dir.to_owned(), mappings: Default::default() })
}

fn source(addresses: &[&str]) -> Source {
    Source { addresses: addresses.iter().map(|&address| address.to_owned()).collect(), ..Source::default() }
}

fn against(addresses: &[&str], baseline: &str, out: &str) -> Check {
    Check { source: source(addresses), baseline: baseline.to_owned(), out: out.to_owned(), history: Vec::new() }
}

fn data(name: &str) -> String {
    format!("{}/tests/data/{name}", env!("CARGO_MANIFEST_DIR"))
}

fn text(path: &Path) -> String {
    path.display().to_string()
}

/// Seeded numbers in 0..1.
struct Dice(u64);

impl Dice {
    fn roll(&mut self) -> f64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 11) as f64 / (1_u64 << 53) as f64
    }

    fn bell(&mut self) -> f64 {
        (0..12).map(|_| self.roll()).sum::<f64>() - 6.0
    }
}

/// A captured line of our own.
fn line(at: Timestamp, n: usize, consumer: &str, input: &str) -> String {
    format!(
        r#"{{"captureData":{{"endpointInput":{{"observedContentType":"text/csv","mode":"INPUT","data":"{input}","encoding":"CSV"}},"endpointOutput":{{"observedContentType":"text/csv; charset=utf-8","mode":"OUTPUT","data":"{output}","encoding":"CSV"}}}},"eventMetadata":{{"eventId":"00000000-0000-4000-8000-{n:012}","inferenceTime":"{at}"}},"eventVersion":"0","captura":{{"lsn":"00000001-1-{n}","consumer":"{consumer}","outcome":"ok","status":200}}}}"#,
        output = n % 2,
    ) + "\n"
}

/// Three consumers call once a second in turn, in objects of a minute each; call `change` is the first at which `billing`
/// sends its second feature three standard deviations higher.
fn capture(dir: &Path, calls: std::ops::Range<usize>, change: usize, seed: u64) -> PathBuf {
    let mut dice = Dice(seed);
    let begin = Timestamp::parse("2026-03-01T08:00:00Z").unwrap();
    let mut objects: std::collections::BTreeMap<String, String> = Default::default();
    for n in calls {
        let consumer = ["billing", "website", "partner"][n % 3];
        let habit = if consumer == "partner" { 1.0 } else { 0.0 };
        let shift = if consumer == "billing" && n >= change { 3.0 } else { 0.0 };
        let input = format!("{:.4},{:.4},{}", dice.bell(), dice.bell() + habit + shift, n % 5);
        let at = begin.plus_us(n as i64 * 1_000_000);
        let key = format!(
            "churn/AllTraffic/{}/{:02}-00-000-00000000-0000-4000-8000-000000000000.jsonl",
            at.hour_path(),
            at.hour_path().minute
        );
        objects.entry(key).or_default().push_str(&line(at, n, consumer, &input));
    }
    for (key, lines) in objects {
        let path = dir.join(key);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, lines).unwrap();
    }
    dir.to_owned()
}

/// Checks that `billing` and the call 4500, at 09:15:00, are found as who and when.
fn finds_billing_at_a_quarter_past_nine(found: &CheckSummary) {
    let features: Vec<&str> = found.violations.iter().map(|violation| violation.feature_name.as_str()).collect();
    assert_eq!(features, ["_c2"], "{:?}", found.violations);
    let cause = &found.causes[0];
    let driver = cause.driver().unwrap();
    assert_eq!(driver.consumer.as_deref(), Some("billing"));
    let Since::Change(change) = &driver.since else { panic!("{driver:?}") };
    let seconds =
        (change.time.unwrap().unix_us() - Timestamp::parse("2026-03-01T09:15:00Z").unwrap().unix_us()) / 1_000_000;
    assert!(seconds.abs() <= 15, "{seconds} seconds from the true moment");
    assert_eq!(change.event_id.as_deref().unwrap(), format!("00000000-0000-4000-8000-{:012}", 4500 + seconds));
    assert_eq!(cause.consumers.iter().filter(|consumer| consumer.drives).count(), 1, "{cause:?}");
}

#[tokio::test]
async fn a_consumer_that_shifts_one_feature_half_way_is_found_with_the_moment() {
    let dir = tempfile::tempdir().unwrap();
    let stores = stores(dir.path());
    let before = text(&capture(&dir.path().join("before"), 0..3000, usize::MAX, 1));
    let now = text(&capture(&dir.path().join("now"), 3000..9000, 4500, 2));
    let (baseline, out) = (text(&dir.path().join("baseline")), text(&dir.path().join("report")));
    let summary = job::baseline(&stores, &source(&[&before]), LabelPosition::AsIs, &baseline).await.unwrap();
    assert_eq!((summary.rows, summary.objects, summary.bad, summary.completeness), (3000, 50, 0, 1.0));
    let found = job::check(&stores, &against(&[&now], &baseline, &out)).await.unwrap();
    finds_billing_at_a_quarter_past_nine(&found);
    assert_eq!(found.data.matching, Matching::ByPosition);
}

#[tokio::test]
async fn history_shows_a_moment_that_lies_before_the_checked_data() {
    let dir = tempfile::tempdir().unwrap();
    let stores = stores(dir.path());
    let before = text(&capture(&dir.path().join("before"), 0..4500, 4500, 1));
    let now = text(&capture(&dir.path().join("now"), 4500..9000, 4500, 2));
    let (baseline, out) = (text(&dir.path().join("baseline")), text(&dir.path().join("report")));
    job::baseline(&stores, &source(&[&before]), LabelPosition::AsIs, &baseline).await.unwrap();
    let mut request = against(&[&now], &baseline, &out);
    let without = job::check(&stores, &request).await.unwrap();
    assert_eq!(without.causes[0].driver().unwrap().since, Since::Throughout);
    request.history.push(before);
    finds_billing_at_a_quarter_past_nine(&job::check(&stores, &request).await.unwrap());
}

#[tokio::test]
async fn history_goes_back_beyond_the_window_that_is_checked_and_not_beyond_its_end() {
    let dir = tempfile::tempdir().unwrap();
    let stores = stores(dir.path());
    let calls = text(&capture(&dir.path().join("calls"), 0..9000, 4500, 1));
    let (baseline, out) = (text(&dir.path().join("baseline")), text(&dir.path().join("report")));
    let mut request = against(&[&calls], &baseline, &out);
    let at = |time: &str| Timestamp::parse(time).unwrap();
    let mut window = |from: &str, to: &str| {
        let window = Some(at(from)..at(to));
        (request.source.selection.window, request.source.scope.window) = (window.clone(), window);
        request.clone()
    };
    let before = window("2026-03-01T08:00:00Z", "2026-03-01T09:15:00Z");
    let checked = window("2026-03-01T09:15:00Z", "2026-03-01T10:00:00Z");
    job::baseline(&stores, &before.source, LabelPosition::AsIs, &baseline).await.unwrap();
    let found = job::check(&stores, &Check { history: vec![calls], ..checked }).await.unwrap();
    let driver = found.causes[0].driver().unwrap();
    let Since::Change(change) = &driver.since else { panic!("{driver:?}") };
    let quarter = at("2026-03-01T09:15:00Z").unix_us();
    let seconds = (change.time.unwrap().unix_us() - quarter) / 1_000_000;
    assert!(driver.consumer.as_deref() == Some("billing") && seconds.abs() <= 15, "{driver:?}");
    let rows: u64 = found.causes[0].consumers.iter().map(|consumer| consumer.rows).sum();
    assert_eq!((found.data.rows, rows), (2700, 7200), "the last half hour is neither checked nor history");
}

#[tokio::test]
async fn rows_that_name_nobody_and_never_changed_have_no_cause_to_tell() {
    let dir = tempfile::tempdir().unwrap();
    let stores = stores(dir.path());
    let mut dice = Dice(9);
    let mut table = |name: &str, shift: f64| {
        let path = dir.path().join(name);
        let rows: String = (0..600).map(|_| format!("{:.4}\n", dice.bell() + shift)).collect();
        std::fs::write(&path, format!("x\n{rows}")).unwrap();
        text(&path)
    };
    let (then, now) = (table("then.csv", 0.0), table("now.csv", 3.0));
    let (baseline, out) = (text(&dir.path().join("baseline")), text(&dir.path().join("report")));
    job::baseline(&stores, &source(&[&then]), LabelPosition::AsIs, &baseline).await.unwrap();
    let found = job::check(&stores, &against(&[&now], &baseline, &out)).await.unwrap();
    assert_eq!((found.violations.len(), found.causes.len()), (1, 1));
    assert!(!found.causes[0].is_telling(), "{}", found.causes[0]);
}

#[tokio::test]
async fn history_of_the_same_second_still_comes_first() {
    let dir = tempfile::tempdir().unwrap();
    let stores = stores(dir.path());
    let at = Timestamp::parse("2026-03-01T08:00:00Z").unwrap();
    let mut dice = Dice(3);
    let mut half = |name: &str, shift: f64, numbers: std::ops::Range<usize>| {
        let lines: String = numbers.map(|n| line(at, n, "billing", &format!("{:.4}", dice.bell() + shift))).collect();
        let path = dir.path().join(name);
        std::fs::write(&path, lines).unwrap();
        text(&path)
    };
    let before = half("before.jsonl", 0.0, 0..600);
    let now = half("now.jsonl", 3.0, 600..1200);
    let (baseline, out) = (text(&dir.path().join("baseline")), text(&dir.path().join("report")));
    job::baseline(&stores, &source(&[&before]), LabelPosition::AsIs, &baseline).await.unwrap();
    let mut request = against(&[&now], &baseline, &out);
    request.history.push(before);
    let found = job::check(&stores, &request).await.unwrap();
    let Since::Change(change) = &found.causes[0].driver().unwrap().since else { panic!("{:?}", found.causes) };
    assert!(change.distance_before < change.distance_after, "{change:?}");
    assert!((598..=602).contains(&change.rows_before), "{change:?}");
}

#[tokio::test]
async fn more_of_the_same_traffic_is_no_drift() {
    let dir = tempfile::tempdir().unwrap();
    let stores = stores(dir.path());
    let before = capture(&dir.path().join("before"), 0..3000, usize::MAX, 1);
    let baseline = text(&dir.path().join("baseline"));
    job::baseline(&stores, &source(&[&text(&before)]), LabelPosition::AsIs, &baseline).await.unwrap();
    for seed in 10..20 {
        let now = capture(&dir.path().join(format!("now-{seed}")), 0..90, usize::MAX, seed);
        let out = text(&dir.path().join("report"));
        let found = job::check(&stores, &against(&[&text(&now)], &baseline, &out)).await.unwrap();
        assert_eq!(found.violations, [], "seed {seed}");
        assert!(found.data.notes.iter().any(|note| note.starts_with("only 90 rows")), "{:?}", found.data.notes);
    }
}

/// Compares with a committed file; on a difference the new text is left beside the build for looking at.
fn golden(name: &str, written: &Path) {
    let new = std::fs::read_to_string(written).unwrap();
    let expected = std::fs::read_to_string(data(&format!("golden/{name}"))).unwrap_or_default();
    if new != expected {
        let kept = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        std::fs::write(&kept, new).unwrap();
        panic!("{name} changed: compare {} with tests/data/golden/{name}", kept.display());
    }
}

#[tokio::test]
async fn artefacts_are_the_golden_files_byte_for_byte_every_time() {
    let dir = tempfile::tempdir().unwrap();
    let stores = stores(dir.path());
    let (baseline, out) = (dir.path().join("baseline"), dir.path().join("report"));
    for _ in 0..2 {
        let table = source(&[&data("golden/table.csv")]);
        let summary = job::baseline(&stores, &table, LabelPosition::First, &text(&baseline)).await.unwrap();
        assert_eq!((summary.output_column.as_deref(), summary.matching), (Some("churn"), Matching::ByName));
        golden("statistics.json", &baseline.join("statistics.json"));
        golden("constraints.json", &baseline.join("constraints.json"));
        let current = against(&[&data("golden/current.csv")], &text(&baseline), &text(&out));
        job::check(&stores, &current).await.unwrap();
        golden("constraint_violations.json", &out.join("constraint_violations.json"));
    }
    let profiled =
        job::profile(&stores, &source(&[&data("golden/table.csv")]), &text(&out.join("p.json"))).await.unwrap();
    assert_eq!(profiled.rows, 40);
    golden("statistics.json", &out.join("p.json"));
}

#[tokio::test]
async fn the_order_and_repetition_of_addresses_change_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let stores = stores(dir.path());
    let (a, b) = (dir.path().join("a.csv"), dir.path().join("b.csv"));
    std::fs::write(&a, "1,x\n2,007\n").unwrap();
    std::fs::write(&b, "3,7\n4,8\n").unwrap();
    let (a, b) = (text(&a), text(&b));
    let mut outs = Vec::new();
    for (i, order) in [vec![&*a, &*b], vec![&*b, &*a, &*b]].into_iter().enumerate() {
        let out = dir.path().join(format!("{i}.json"));
        job::profile(&stores, &source(&order), &text(&out)).await.unwrap();
        outs.push(std::fs::read_to_string(out).unwrap());
    }
    assert_eq!(outs[0], outs[1]);
    let statistics: Statistics = serde_json::from_str(&outs[0]).unwrap();
    let strings = statistics.feature("_c1").unwrap().string_statistics.as_ref().unwrap();
    assert_eq!(strings.distinct_count, 4.0);
}

#[tokio::test]
async fn a_table_is_the_same_in_every_format() {
    use arrow_array::{ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray};
    let dir = tempfile::tempdir().unwrap();
    let rows: Vec<(i64, Option<f64>, &str)> = (0..300)
        .map(|n| (n % 7, (n % 5 > 0).then_some(n as f64 / 8.0 + 0.0625), if n % 3 == 0 { "north" } else { "south" }))
        .collect();
    let number = |value: Option<f64>, none: &str| value.map_or_else(|| none.to_owned(), |value| value.to_string());
    let csv: String = rows.iter().map(|(n, x, city)| format!("{n},{},{city}\n", number(*x, ""))).collect();
    let lines = rows
        .iter()
        .map(|(n, x, city)| format!("{{\"n\":{n},\"of\":{{\"x\":{}}},\"city\":\"{city}\"}}\n", number(*x, "null")));
    let columns: [(&str, ArrayRef); 3] = [
        ("n", std::sync::Arc::new(rows.iter().map(|row| row.0).collect::<Int64Array>())),
        ("of.x", std::sync::Arc::new(rows.iter().map(|row| row.1).collect::<Float64Array>())),
        ("city", std::sync::Arc::new(rows.iter().map(|row| Some(row.2)).collect::<StringArray>())),
    ];
    let batch = RecordBatch::try_from_iter(columns).unwrap();
    let mut parquet = parquet::arrow::ArrowWriter::try_new(Vec::new(), batch.schema(), None).unwrap();
    parquet.write(&batch).unwrap();
    let files = [
        ("a/rows.csv", format!("n,of.x,city\n{csv}").into_bytes()),
        ("b/rows.jsonl", lines.collect::<String>().into_bytes()),
        ("c/rows.parquet", parquet.into_inner().unwrap()),
    ];
    let mut statistics = Vec::new();
    for (name, bytes) in files {
        let path = dir.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, bytes).unwrap();
        // Named itself, and found below its folder.
        for address in [&*path, path.parent().unwrap()] {
            let out = dir.path().join("statistics.json");
            let summary = job::profile(&stores(dir.path()), &source(&[&text(address)]), &text(&out)).await.unwrap();
            assert_eq!(
                (summary.rows, summary.bad, summary.columns.join(" ")),
                (300, 0, "n of.x city".to_owned()),
                "{name}"
            );
            statistics.push(std::fs::read_to_string(&out).unwrap());
        }
    }
    assert!(statistics.iter().all(|of| *of == statistics[0]));
}

#[tokio::test]
async fn jobs_that_cannot_tell_say_why() {
    let dir = tempfile::tempdir().unwrap();
    let stores = stores(dir.path());
    let (empty, out) = (dir.path().join("empty.jsonl"), text(&dir.path().join("out")));
    std::fs::write(&empty, "{\"captureData\":7}\n").unwrap();
    let error = job::profile(&stores, &source(&[&text(&empty)]), &out).await.unwrap_err();
    assert!(matches!(error, JobError::NoRows { bad: 1, .. }) && error.to_string().contains("invalid type"), "{error}");
    let table = data("golden/table.csv");
    let nowhere = against(&[&table], &text(&dir.path().join("nowhere")), &out);
    let error = job::check(&stores, &nowhere).await.unwrap_err();
    assert!(error.to_string().contains("nowhere/constraints.json: it is not there"), "{error}");
    let broken = dir.path().join("broken");
    std::fs::create_dir(&broken).unwrap();
    std::fs::write(broken.join("constraints.json"), "{}").unwrap();
    let error = job::check(&stores, &against(&[&table], &text(&broken), &out)).await.unwrap_err();
    assert!(error.to_string().contains("missing field `features`"), "{error}");
    assert!(job::profile(&stores, &source(&["s3://no-such-bucket/x"]), &out).await.is_err());
}

#[tokio::test]
async fn a_baseline_of_another_width_leads_to_column_violations_only() {
    let dir = tempfile::tempdir().unwrap();
    let stores = stores(dir.path());
    let (wide, narrow) = (dir.path().join("wide.csv"), dir.path().join("narrow.csv"));
    std::fs::write(&wide, (0..50).map(|i| format!("{i},{i},a\n")).collect::<String>()).unwrap();
    std::fs::write(&narrow, (0..50).map(|i| format!("{i},a\n")).collect::<String>() + "1,2,3\n").unwrap();
    let (baseline, out) = (text(&dir.path().join("baseline")), "s3://reports/one".to_owned());
    job::baseline(&stores, &source(&[&text(&wide)]), LabelPosition::Last, &baseline).await.unwrap();
    let found = job::check(&stores, &against(&[&text(&narrow)], &baseline, &out)).await.unwrap();
    let [Violation { description, .. }] = &found.violations[..] else { panic!("{:?}", found.violations) };
    assert!(description.ends_with("current dataset: 2, Number of columns in baseline constraints: 3"), "{description}");
    assert_eq!((found.data.rows, found.data.bad), (50, 1));
    assert!(dir.path().join("buckets/reports/one/constraint_violations.json").is_file());
}

#[tokio::test]
async fn captures_held_against_a_baseline_of_inputs_alone_are_told_what_is_missing() {
    let dir = tempfile::tempdir().unwrap();
    let stores = stores(dir.path());
    let (inputs, answered) = (dir.path().join("inputs.csv"), dir.path().join("answered.csv"));
    std::fs::write(&inputs, (0..50).map(|i| format!("{i},a\n")).collect::<String>()).unwrap();
    std::fs::write(&answered, (0..50).map(|i| format!("0.5,{i},a\n")).collect::<String>()).unwrap();
    let (baseline, out) = (text(&dir.path().join("baseline")), text(&dir.path().join("out")));
    job::baseline(&stores, &source(&[&text(&inputs)]), LabelPosition::AsIs, &baseline).await.unwrap();
    let found = job::check(&stores, &against(&[&text(&answered)], &baseline, &out)).await.unwrap();
    assert!(found.data.notes.iter().any(|note| note.contains("--label-first")), "{:?}", found.data.notes);
}

#[tokio::test]
async fn statistics_are_those_of_numpy_and_distances_those_of_scipy() {
    let dir = tempfile::tempdir().unwrap();
    let stores = stores(dir.path());
    let out = dir.path().join("statistics.json");
    job::profile(&stores, &source(&[&data("sample.csv")]), &text(&out)).await.unwrap();
    let statistics: Statistics = serde_json::from_str(&std::fs::read_to_string(out).unwrap()).unwrap();
    let references: serde_json::Value =
        serde_json::from_str(&std::fs::read_to_string(data("references.json")).unwrap()).unwrap();
    for (name, reference) in references["features"].as_object().unwrap() {
        let numbers = statistics.feature(name).unwrap().numerical_statistics.as_ref().unwrap();
        let number = |key: &str| reference[key].as_f64().unwrap();
        let near = |found: f64, key: &str, tolerance: f64| {
            let expected = number(key);
            assert!((found - expected).abs() <= tolerance * expected.abs(), "{name}.{key}: {found} {expected}");
        };
        near(numbers.sum, "sum", 1e-14);
        near(numbers.mean, "mean", 1e-14);
        near(numbers.std_dev, "std_dev", 1e-9);
        near(numbers.min, "min", 0.0);
        near(numbers.max, "max", 0.0);
        near(numbers.common.num_present as f64, "present", 0.0);
        near(numbers.common.num_missing as f64, "missing", 0.0);
        near(numbers.approximate_num_distinct_values.unwrap() as f64, "distinct", 0.07);
        let buckets = &numbers.distribution.as_ref().unwrap().kll.as_ref().unwrap().buckets;
        let counts: Vec<f64> = buckets.iter().map(|bucket| bucket.count).collect();
        let expected: Vec<f64> = reference["histogram"].as_array().unwrap().iter().filter_map(|n| n.as_f64()).collect();
        assert_eq!(counts, expected, "{name}");
    }
    let columns = columns_of(&std::fs::read_to_string(data("sample.csv")).unwrap());
    for (name, distance) in references["ks_of_halves"].as_object().unwrap() {
        let halves = columns[name].split_at(200);
        let [a, b] = [halves.0, halves.1].map(|half| {
            let mut sketch = Kll::default();
            half.iter().flatten().for_each(|&value| sketch.insert(value));
            sketch.weighted()
        });
        let found = numeric_distance(&a, &b).unwrap();
        assert!((found - distance.as_f64().unwrap()).abs() < 1e-12, "{name}: {found} {distance}");
    }
}

fn columns_of(csv: &str) -> std::collections::HashMap<String, Vec<Option<f64>>> {
    let mut lines = csv.lines().map(|line| line.split(',').collect::<Vec<_>>());
    let names = lines.next().unwrap();
    let rows: Vec<Vec<&str>> = lines.collect();
    let column = |place: usize| rows.iter().map(|row| row[place].parse().ok()).collect();
    names.iter().enumerate().map(|(place, name)| ((*name).to_owned(), column(place))).collect()
}
