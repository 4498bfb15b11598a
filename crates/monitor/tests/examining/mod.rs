//! Examinations of files: what changed, through whom, since when, and what is not known.

use captura_monitor::cause::mix::Reason;
use captura_monitor::drift::compare::{Rule, Verdict};
use captura_monitor::drift::windows::Budget;
use captura_monitor::job::{Against, Examination, Examine, LabelPosition, baseline, examine};

use super::*;

const HOUR_US: i64 = 3_600_000_000;

fn asked(data: &Path, against: Against, budget: Option<Budget>) -> Examine {
    Examine { source: source(&[&text(data)]), against, rule: Rule::default(), budget, is_pictured: true }
}

async fn examined(dir: &Path, request: &Examine) -> Examination {
    examine(&stores(dir), request).await.unwrap()
}

#[tokio::test]
async fn captures_held_against_earlier_ones_say_what_changed_through_whom_and_why() {
    let dir = tempfile::tempdir().unwrap();
    let (then, now) = (dir.path().join("then"), dir.path().join("now"));
    capture(&then, 0..3000, usize::MAX, 1);
    capture(&now, 3000..6000, 4500, 2);
    let found = examined(dir.path(), &asked(&now, Against::Data(source(&[&text(&then)])), None)).await;
    let drifted: Vec<&str> = found
        .drift
        .columns
        .iter()
        .filter(|column| column.verdict == Verdict::Drifted)
        .map(|column| column.feature.as_str())
        .collect();
    assert_eq!(drifted, ["_c2"], "{:?}", found.drift);
    assert_eq!(found.drift.columns[1].verdict, Verdict::Stable);
    assert_eq!(found.causes[0].driver().unwrap().consumer.as_deref(), Some("billing"));
    assert!(matches!(&found.causes[0].driver().unwrap().since, Since::Change(_)), "{:?}", found.causes);
    let split = &found.splits[0];
    assert_eq!((split.reason(), split.consumers[0].consumer.as_deref()), (Reason::Behaviour, Some("billing")));
    assert_eq!(found.consumers.len(), 3);
    assert!(found.consumers.iter().all(|consumer| (consumer.reference, consumer.current) == (Some(1000), 1000)));
    assert_eq!(found.period.unwrap().from.to_string(), "2026-03-01T08:50:00Z");
    assert!(found.is_alarming() && !found.cannot_tell());
}

#[tokio::test]
async fn a_baseline_and_its_captures_say_the_same_as_the_captures_alone() {
    let dir = tempfile::tempdir().unwrap();
    let (then, now, folder) = (dir.path().join("then"), dir.path().join("now"), text(&dir.path().join("baseline")));
    capture(&then, 0..3000, usize::MAX, 1);
    capture(&now, 3000..6000, 4500, 2);
    let made_from = source(&[&text(&then)]);
    baseline(&stores(dir.path()), &made_from, LabelPosition::First, &folder).await.unwrap();
    let by_data = examined(dir.path(), &asked(&now, Against::Data(made_from), None)).await;
    let against = |history: Vec<String>| Against::Baseline { folder: folder.clone(), history };
    let by_file = examined(dir.path(), &asked(&now, against(vec![text(&then)]), None)).await;
    assert_eq!((&by_data.drift, &by_data.splits, &by_data.causes), (&by_file.drift, &by_file.splits, &by_file.causes));
    assert!(by_file.violations.is_some_and(|violations| !violations.is_empty()) && by_data.violations.is_none());
    let alone = examined(dir.path(), &asked(&now, against(Vec::new()), None)).await;
    assert!(alone.splits.is_empty() && alone.consumers.iter().all(|consumer| consumer.reference.is_none()));
}

#[tokio::test]
async fn windows_ring_after_the_change_and_not_before() {
    let dir = tempfile::tempdir().unwrap();
    let (then, now) = (dir.path().join("then"), dir.path().join("now"));
    capture(&then, 0..6000, usize::MAX, 1);
    // Ten minutes are 600 calls, the change is at 09:40.
    capture(&now, 0..9000, 6000, 2);
    let budget = Budget { window_us: HOUR_US / 6, false_alarm_every_us: 720 * HOUR_US };
    let found = examined(dir.path(), &asked(&now, Against::Data(source(&[&text(&then)])), Some(budget))).await;
    let watched = found.watched.unwrap();
    assert_eq!((watched.windows, watched.columns, watched.untimed_rows), (15, 4, 0));
    let first = &watched.alarms[0];
    assert_eq!((first.columns[0].feature.as_str(), first.columns[0].since.as_str()), ("_c2", "2026-03-01T09:40:00Z"));
    assert!(first.at.as_str() > "2026-03-01T09:40:00Z" && first.at.as_str() <= "2026-03-01T10:10:00Z", "{first:?}");
    let calm = examined(dir.path(), &asked(&then, Against::Data(source(&[&text(&then)])), Some(budget))).await;
    assert!(calm.watched.unwrap().alarms.is_empty());
}

#[tokio::test]
async fn too_many_windows_are_refused_and_a_baseline_without_statistics_too() {
    let dir = tempfile::tempdir().unwrap();
    let now = dir.path().join("now");
    capture(&now, 0..9000, usize::MAX, 1);
    let budget = Budget { window_us: 1, false_alarm_every_us: HOUR_US };
    let request = asked(&now, Against::Data(source(&[&text(&now)])), Some(budget));
    assert!(matches!(examine(&stores(dir.path()), &request).await, Err(JobError::Windows(_))));
    let against = Against::Baseline { folder: text(&dir.path().join("nothing")), history: Vec::new() };
    let nothing = examine(&stores(dir.path()), &asked(&now, against, None)).await;
    assert!(matches!(nothing, Err(JobError::ReadArtefact { .. })), "{nothing:?}");
}

#[tokio::test]
async fn few_rows_cannot_tell() {
    let dir = tempfile::tempdir().unwrap();
    let (then, now) = (dir.path().join("then"), dir.path().join("now"));
    capture(&then, 0..3000, usize::MAX, 1);
    capture(&now, 3000..3060, usize::MAX, 2);
    let found = examined(dir.path(), &asked(&now, Against::Data(source(&[&text(&then)])), None)).await;
    assert!(found.cannot_tell() && !found.is_alarming(), "{:?}", found.drift);
}

#[tokio::test]
async fn without_anything_to_hold_it_against_data_is_described_and_not_judged() {
    let dir = tempfile::tempdir().unwrap();
    let now = dir.path().join("now");
    capture(&now, 0..600, usize::MAX, 1);
    let found = examined(dir.path(), &asked(&now, Against::Nothing, None)).await;
    assert!(found.is_alone() && found.cannot_tell() && !found.is_alarming(), "{:?}", found.drift);
    assert_eq!((found.drift.columns.len(), found.data.rows), (4, 600));
    let grounds = captura_monitor::report::Grounds::Unknown("nobody knows".into());
    let page = captura_monitor::report::page("x", &grounds, &found, captura_monitor::report::Language::English);
    assert!(page.contains("Described, and not judged") && page.matches("<path class=\"then\"").count() == 4, "{page}");
}
