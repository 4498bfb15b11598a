//! Attribution, on tables and on captures, of models that are functions.

use std::future::{Future, ready};
use std::path::Path;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};

use captura_monitor::attribution::{AttributionConfig, AttributionVerdict, Budget, ShapBaseline};
use captura_monitor::bias::{Analysis, read_json};
use captura_monitor::job::{
    self, AskError, AskModel, Attribution, AttributionError, AttributionSummary, JobError, ModelAnswer, Question,
    Source,
};
use captura_names::Timestamp;

use super::{Dice, line, stores, text};

/// A model that is a function of its rows, with the manners of a container.
struct Formula {
    of: fn(&[f64]) -> f64,
    /// More rows at a time are refused.
    takes: usize,
    calls: AtomicUsize,
}

impl Formula {
    fn new(of: fn(&[f64]) -> f64) -> Self {
        Self { of, takes: usize::MAX, calls: AtomicUsize::new(0) }
    }
}

impl AskModel for Formula {
    fn ask<'a>(
        &'a self,
        question: Question<'a>,
    ) -> Pin<Box<dyn Future<Output = Result<ModelAnswer, AskError>> + Send + 'a>> {
        self.calls.fetch_add(1, Ordering::Relaxed);
        let text = String::from_utf8(question.body).unwrap();
        if text.lines().count() > self.takes {
            return Box::pin(ready(Err(AskError::Refused("too many rows".into()))));
        }
        let row = |line: &str| (self.of)(&line.split(',').map(|cell| cell.parse().unwrap()).collect::<Vec<f64>>());
        let body = text.lines().map(|line| format!("{}\n", row(line))).collect::<String>().into_bytes();
        Box::pin(ready(Ok(ModelAnswer { content_type: Some("text/csv".into()), body })))
    }
}

/// Mostly the first feature; the third counts for nothing.
fn mostly_first(x: &[f64]) -> f64 {
    3.0 * x[0] + x[1] + 0.1 * x[3] * x[0]
}

/// Mostly the last one.
fn mostly_last(x: &[f64]) -> f64 {
    0.1 * x[0] + x[1] + 4.0 * x[3]
}

/// A table of four features behind a label.
fn table(path: &Path, rows: usize, seed: u64) {
    let mut dice = Dice(seed);
    let mut lines = String::from("paid,a,b,c,d\n");
    for _ in 0..rows {
        let cells: Vec<String> = (0..4).map(|_| format!("{:.3}", dice.roll())).collect();
        lines.push_str(&format!("{},{}\n", u8::from(dice.roll() < 0.5), cells.join(",")));
    }
    std::fs::write(path, lines).unwrap();
}

fn request(data: &Path, out: &Path) -> Attribution {
    let config =
        AttributionConfig { label: Some("paid".into()), save_local_shap_values: true, ..AttributionConfig::default() };
    Attribution {
        source: Source { addresses: vec![text(data)], ..Source::default() },
        config,
        budget: Budget { rows: 60, ..Budget::default() },
        baseline: None,
        threshold: 0.9,
        by_value: false,
        out: text(out),
    }
}

async fn run(dir: &Path, request: &Attribution, of: fn(&[f64]) -> f64) -> AttributionSummary {
    job::attribution(&stores(dir), request, &Formula::new(of)).await.unwrap()
}

fn ranking(found: &AttributionSummary) -> Vec<&str> {
    let mut features: Vec<_> = found.labels[0].features.iter().collect();
    features.sort_by(|one, other| other.value.total_cmp(&one.value));
    features.iter().map(|feature| feature.feature.as_str()).collect()
}

#[tokio::test]
async fn a_table_is_explained_without_its_label_and_a_model_that_turned_drifts() {
    let dir = tempfile::tempdir().unwrap();
    let (data, before, now) = (dir.path().join("train.csv"), dir.path().join("before"), dir.path().join("now"));
    table(&data, 200, 1);
    let mut asked = request(&data, &before);
    let found = run(dir.path(), &asked, mostly_first).await;
    assert_eq!(ranking(&found), ["a", "b", "d", "c"]);
    assert_eq!((found.explained, found.data.rows, found.samples, found.exact), (60, 200, 14, true));
    assert!(found.labels[0].features[2].value.abs() < 1e-12, "c counts for nothing");
    let analysis: Analysis = read_json(&std::fs::read_to_string(before.join(job::ANALYSIS)).unwrap()).unwrap();
    let explanation = &analysis.explanations.unwrap().kernel_shap.0[0];
    assert_eq!((explanation.0.as_str(), explanation.1.global_shap_values.0.len()), ("label0", 4));
    let local = std::fs::read_to_string(before.join(job::LOCAL_VALUES)).unwrap();
    assert_eq!((local.lines().count(), local.lines().next().unwrap()), (61, "a_label0,b_label0,c_label0,d_label0"));
    assert_eq!(std::fs::read_to_string(before.join(job::SHAP_BASELINE)).unwrap().lines().next().unwrap(), "a,b,c,d");

    (asked.baseline, asked.out) = (Some(text(&before)), text(&now));
    let same = run(dir.path(), &asked, mostly_first).await;
    assert_eq!(same.drifts.as_ref().unwrap()[0].verdict, AttributionVerdict::Stable);
    assert_eq!(same.violations, Some(Vec::new()));
    let turned = run(dir.path(), &asked, mostly_last).await;
    let drift = &turned.drifts.as_ref().unwrap()[0];
    assert_eq!(drift.verdict, AttributionVerdict::Drifted, "{drift:?}");
    assert!(drift.interval.unwrap()[1] < 0.9);
    let violations = std::fs::read_to_string(now.join(job::VIOLATIONS)).unwrap();
    assert!(violations.contains("feature_attribution_drift_check") && violations.contains("exceeds threshold 0.9"));
    assert_eq!(turned.violations.unwrap().len(), 1);
}

#[tokio::test]
async fn a_budget_is_kept_to_the_call_and_what_was_explained_by_then_counts() {
    let dir = tempfile::tempdir().unwrap();
    let (data, out) = (dir.path().join("train.csv"), dir.path().join("out"));
    table(&data, 200, 2);
    let mut asked = request(&data, &out);
    asked.config.baseline = ShapBaseline::Rows(vec![vec!["0"; 4].into_iter().map(cell_of).collect()]);
    // A row takes 15 questions, and the baseline one.
    asked.budget = Budget { calls: 4, rows_per_call: 10, rows: 60, ..Budget::default() };
    let model = Formula::new(mostly_first);
    let found = job::attribution(&stores(dir.path()), &asked, &model).await.unwrap();
    assert_eq!((found.calls, model.calls.load(Ordering::Relaxed), found.budget_ended), (4, 4, true));
    assert_eq!(found.explained, 2, "39 questions after the baseline are two rows and a part");
    asked.budget.calls = 1;
    let none = job::attribution(&stores(dir.path()), &asked, &model).await.unwrap_err();
    assert!(matches!(&none, AttributionError::NothingExplained(why) if why.contains("15 questions")), "{none}");
}

fn cell_of(text: &str) -> captura_attribution::record::Feature {
    captura_attribution::record::Feature::Cell(text.into())
}

#[tokio::test]
async fn a_model_that_takes_fewer_rows_gets_fewer_and_one_that_takes_none_ends_the_job() {
    let dir = tempfile::tempdir().unwrap();
    let (data, out) = (dir.path().join("train.csv"), dir.path().join("out"));
    table(&data, 40, 3);
    let asked = request(&data, &out);
    let all = run(dir.path(), &asked, mostly_first).await;
    let model = Formula { takes: 70, ..Formula::new(mostly_first) };
    let found = job::attribution(&stores(dir.path()), &asked, &model).await.unwrap();
    assert_eq!(found.labels, all.labels, "the size of calls changes nothing");
    assert_eq!(found.calls, 1 + (1 + 40 * 15_usize).div_ceil(62));
    let model = Formula { takes: 0, ..Formula::new(mostly_first) };
    let failed = job::attribution(&stores(dir.path()), &asked, &model).await.unwrap_err();
    assert_eq!(failed.to_string(), "the model cannot be asked: too many rows");
}

#[tokio::test]
async fn callers_rows_are_explained_and_those_of_earlier_attributions_are_not() {
    let dir = tempfile::tempdir().unwrap();
    let captures = dir.path().join("e/v/2026/01/02/03");
    std::fs::create_dir_all(&captures).unwrap();
    let (mut dice, mut lines) = (Dice(4), String::new());
    let start = Timestamp::parse("2026-01-02T03:00:00Z").unwrap();
    for n in 0..50 {
        let cells: Vec<String> = (0..4).map(|_| format!("{:.3}", dice.roll())).collect();
        lines.push_str(&line(start.plus_us(n * 1_000_000), n as usize, "web", &cells.join(",")));
    }
    let own = line(start, 99, "captura", "9,9,9,9");
    lines.push_str(&own.replace("\"inferenceTime\"", "\"inferenceId\":\"captura-attribution-1\",\"inferenceTime\""));
    lines.push_str("no record\n");
    std::fs::write(captures.join("00-00-000-1.jsonl"), lines).unwrap();
    let mut asked = request(dir.path(), &dir.path().join("out"));
    asked.source.addresses = vec![text(&dir.path().join("e"))];
    asked.config.headers = ["paid", "a", "b", "c", "d"].map(str::to_owned).to_vec();
    let found = run(dir.path(), &asked, mostly_first).await;
    let data = &found.data;
    assert_eq!((data.records, data.rows, data.own, data.bad, found.explained), (52, 50, 1, 1, 50));
    assert_eq!(ranking(&found), ["a", "b", "d", "c"], "names come from the configuration, without the label's");
    asked.source.scope.window = Some(start..start.plus_us(10_000_000));
    assert_eq!(run(dir.path(), &asked, mostly_first).await.data.rows, 10);
    asked.source.scope.window = Some(start.plus_us(-20_000_000)..start.plus_us(-10_000_000));
    let none = job::attribution(&stores(dir.path()), &asked, &Formula::new(mostly_first)).await.unwrap_err();
    assert!(matches!(none, AttributionError::Job(JobError::NoRows { .. })), "{none}");
}

#[tokio::test]
async fn what_does_not_go_together_is_refused_in_words() {
    let dir = tempfile::tempdir().unwrap();
    let (data, out) = (dir.path().join("train.csv"), dir.path().join("out"));
    table(&data, 10, 5);
    let refused = async |change: fn(&mut Attribution)| {
        let mut asked = request(&data, &out);
        change(&mut asked);
        job::attribution(&stores(dir.path()), &asked, &Formula::new(mostly_first)).await.unwrap_err().to_string()
    };
    let width = refused(|asked| asked.config.baseline = ShapBaseline::Rows(vec![vec![cell_of("1")]])).await;
    assert!(width.contains("baseline of 1 features, and the data has 4"), "{width}");
    let baseline = refused(|asked| asked.baseline = Some("/nowhere/at-all".into())).await;
    assert!(baseline.contains("nowhere"), "{baseline}");
    assert!(!out.exists(), "nothing is written of what failed");
}
