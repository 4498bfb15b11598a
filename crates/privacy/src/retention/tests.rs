use super::*;
use crate::erasure::tests::{NOW_US, World};
use crate::rules::parse;

const HOUR_US: i64 = 3_600_000_000;

/// A retention whose clocks have held for as long as they must.
async fn retention(world: &World, rules: &str) -> Retention {
    let rules = Arc::new(vec![parse(rules).unwrap()]);
    let folder = world.folder.path().join("privacy");
    let terms = Terms::new(&rules).unwrap();
    let mut retention = Retention::new(terms, Arc::clone(&world.eraser), &folder);
    world.overdue.decide(retention.overdue());
    assert!(!retention.round(at(-HOUR_US)).await.unwrap().believed, "the first look proves nothing");
    retention
}

/// So long after the calls.
fn at(after_us: i64) -> Moment {
    Moment { boot: "b".into(), uptime_us: 10 * HOUR_US + after_us, wall_us: NOW_US + after_us }
}

async fn expired_after(retention: &mut Retention, after_us: i64) -> u64 {
    let round = retention.round(at(after_us)).await.unwrap();
    assert!(round.believed && round.failed.is_empty(), "{round:?}");
    round.records
}

#[tokio::test(flavor = "multi_thread")]
async fn records_go_in_the_hour_after_their_time_and_never_before() {
    let world = World::new();
    world.call("churn", "maria").await;
    world.call("other", "maria").await;
    world.archived().await;
    let mut retention = retention(&world, r#"{"endpoints":["churn"],"retain":"2h"}"#).await;
    assert_eq!(expired_after(&mut retention, 2 * HOUR_US).await, 0, "to the second");
    assert_eq!(expired_after(&mut retention, 2 * HOUR_US + 60_000_000).await, 1);
    assert_eq!(expired_after(&mut retention, 3 * HOUR_US).await, 0);
    let account = world.account("churn");
    assert_eq!((account.captured, account.uploaded, account.expired, account.imbalance()), (1, 0, 1, 0));
    assert_eq!(world.account("other").uploaded, 1);

    world.call("churn", "maria").await;
    world.archived().await;
    assert_eq!(expired_after(&mut retention, 3 * HOUR_US).await, 1, "a segment that came later");
    drop(retention);
    world.proven().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_leaps_forward_deletes_nothing() {
    let world = World::new();
    world.call("churn", "maria").await;
    world.archived().await;
    let mut retention = retention(&world, r#"{"endpoints":["*"],"retain":"30d"}"#).await;
    expired_after(&mut retention, 0).await;
    let mut leapt = at(60_000_000);
    leapt.wall_us += 365 * 24 * HOUR_US;
    assert_eq!(retention.round(leapt).await.unwrap(), Round::default());
    assert_eq!(world.account("churn").uploaded, 1);
    drop(retention);
    world.proven().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hold_on_an_endpoint_or_on_a_person_who_is_there_keeps_its_objects() {
    let world = World::new();
    world.call("churn", "maria").await;
    world.archived().await;
    let mut retention = retention(&world, r#"{"endpoints":["*"],"retain":"1h"}"#).await;
    let (holds, now) = (world.eraser.holds(), Timestamp::from_unix_us(NOW_US));
    let maria = world.eraser.vault().master().subject("maria");
    let churn = captura_names::EndpointPattern::parse("churn").unwrap();
    for (subject, endpoint) in [(Some(maria), None), (None, Some(churn))] {
        let hold = holds.add(subject, endpoint, "case 12/2026", now).unwrap();
        assert_eq!(expired_after(&mut retention, 2 * HOUR_US).await, 0);
        holds.release(&hold.id, "closed", now).unwrap();
    }
    assert_eq!(expired_after(&mut retention, 2 * HOUR_US).await, 1);
    drop(retention);
    world.proven().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_for_a_store_that_is_down_is_over_by_the_same_terms_clock_and_holds() {
    let world = World::new();
    world.call("churn", "maria").await;
    world.archived().await;
    let mut retention = retention(&world, r#"{"endpoints":["churn"],"retain":"2h"}"#).await;
    let (is_over, arrived) = (retention.overdue(), Timestamp::from_unix_us(NOW_US));
    assert!(!is_over("churn", arrived), "no clock is believed yet");
    expired_after(&mut retention, 2 * HOUR_US).await;
    assert!(!is_over("churn", arrived), "to the second");
    expired_after(&mut retention, 2 * HOUR_US + 60_000_000).await;
    assert!(is_over("churn", arrived) && !is_over("other", arrived));
    let holds = world.eraser.holds();
    let all = captura_names::EndpointPattern::parse("*").unwrap();
    let hold = holds.add(None, Some(all), "case 12/2026", arrived).unwrap();
    assert!(!is_over("churn", arrived), "held");
    holds.release(&hold.id, "closed", arrived).unwrap();
    assert!(is_over("churn", arrived));
    let mut leapt = at(2 * HOUR_US + 120_000_000);
    leapt.wall_us += 365 * 24 * HOUR_US;
    retention.round(leapt).await.unwrap();
    assert!(!is_over("churn", arrived), "the clock leapt");
    drop((is_over, retention));
    world.proven().await;
}
