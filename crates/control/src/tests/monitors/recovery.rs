//! What is left when the process is killed at each point of an execution's life, and what becomes of it.

use serde_json::json;

use super::*;

#[tokio::test]
async fn an_execution_that_was_claimed_and_not_begun_is_taken_up() {
    let house = house().await;
    hourly(&house, "s").await;
    captured(&house, "14/22");
    go_to(&house, "14T23:00:10");
    pass(&house).await;
    assert_eq!(only(&house).await.0, "Pending");
    let house = house.after_a_kill();
    go_to(&house, "14T23:10:00");
    pass(&house).await;
    assert_eq!(only(&house).await.0, "InProgress");
    assert_eq!(jobs(&house).await.len(), 1);
}

#[tokio::test]
async fn an_execution_whose_job_was_begun_follows_that_job_and_begins_no_other() {
    let house = house().await;
    hourly(&house, "s").await;
    captured(&house, "14/22");
    go_to(&house, "14T23:02:00");
    pass(&house).await;
    let before = jobs(&house).await;
    let house = house.after_a_kill();
    go_to(&house, "14T23:20:00");
    pass(&house).await;
    pass(&house).await;
    assert_eq!(jobs(&house).await.len(), before.len());
    violated(&house).await;
    let house = house.after_a_kill();
    pass(&house).await;
    assert_eq!(only(&house).await.0, "CompletedWithViolations");
    let alerts = house.ok("ListMonitoringAlerts", json!({"MonitoringScheduleName": "s"})).await;
    assert_eq!(alerts["MonitoringAlertSummaries"][0]["AlertStatus"], "InAlert");
}

#[tokio::test]
async fn one_that_was_merged_is_analysed_after_a_kill_and_merged_once() {
    let house = house().await;
    schedule(&house, "ModelQuality", "q", json!({"ScheduleExpression": "cron(0 * ? * * *)"})).await;
    captured(&house, "14/22");
    put(&house, "s3://bucket/labels/2023/11/14/22/labels.jsonl");
    go_to(&house, "14T23:02:00");
    pass(&house).await;
    completed(&house).await;
    put(&house, "s3://bucket/reports/merge/e/AllTraffic/2023/11/14/22/part-0.jsonl");
    let house = house.after_a_kill();
    pass(&house).await;
    let names: Vec<_> = jobs(&house).await.iter().map(|job| job["ProcessingJobName"].to_string()).collect();
    assert_eq!(names.len(), 2, "{names:?}");
    assert!(names[0].contains("groundtruth-merge") && names[1].contains("model-quality-monitoring"), "{names:?}");
}

#[tokio::test]
async fn a_server_that_was_down_for_hours_makes_up_for_the_last_of_them_alone() {
    let house = house().await;
    hourly(&house, "s").await;
    captured(&house, "15/06");
    let house = house.after_a_kill();
    go_to(&house, "15T07:30:00");
    pass(&house).await;
    let (status, execution) = only(&house).await;
    assert_eq!((status.as_str(), &execution["ScheduledTime"]), ("InProgress", &json!(1_700_031_600.0)));
}

#[tokio::test]
async fn of_two_that_claim_one_execution_one_does() {
    let house = house().await;
    hourly(&house, "s").await;
    go_to(&house, "14T23:00:10");
    let at = house.control.inner.clock.now();
    let scheduled = Timestamp::parse("2023-11-14T23:00:00Z").unwrap();
    let claims = house.control.inner.catalog.run::<_, CatalogError>(move |work| {
        let schedule = work.schedule("s")?.expect("our bug: it is there");
        let claim = || crate::monitoring::claims::claim(work, &schedule, scheduled, at);
        Ok([claim()?, claim()?])
    });
    assert_eq!(claims.await.unwrap(), [true, false]);
    pass(&house).await;
    assert_eq!(executions(&house, json!({})).await.len(), 1);
}
