//! Callers that take their time. The clock is paused: it leaps to the next timer whenever nothing else can happen.

use std::time::Duration;

use tokio::time::Instant;

use crate::world::World;

fn about(expected_s: u64, since: Instant) -> bool {
    let elapsed = since.elapsed();
    (Duration::from_secs(expected_s)..Duration::from_secs(expected_s) + Duration::from_millis(100)).contains(&elapsed)
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_says_nothing_is_closed_after_ten_seconds() {
    let world = World::new().await;
    let mut client = world.client().await;
    let start = Instant::now();
    assert!(client.is_closed().await);
    assert!(about(10, start), "{:?}", start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_head_that_does_not_end_is_cut_off_after_ten_seconds() {
    let world = World::new().await;
    let mut client = world.client().await;
    let start = Instant::now();
    client.send(b"POST /endpoints/churn/invocations HTTP/1.1\r\nhost: loc").await;
    assert!(client.is_closed().await);
    assert!(about(10, start), "{:?}", start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_body_that_does_not_come_is_cut_off_after_its_window() {
    let world = World::new().await;
    let mut client = world.client().await;
    client.send(b"POST /endpoints/churn/invocations HTTP/1.1\r\nhost: localhost\r\ncontent-length: 9\r\n\r\nabc").await;
    let start = Instant::now();
    assert!(client.is_closed().await);
    assert!(about(30, start), "{:?}", start.elapsed());
    assert!(world.get("/metrics").await.text().contains("captura_connections_cut_total 1"));
}

#[tokio::test(start_paused = true)]
async fn a_connection_without_requests_is_closed_after_75_seconds() {
    let world = World::new().await;
    let mut client = world.client().await;
    assert_eq!(client.invoke("churn", &[], b"1").await.status, 200);
    let start = Instant::now();
    assert!(client.is_closed().await);
    assert!(about(75, start), "{:?}", start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_second_head_that_does_not_end_is_cut_off_too() {
    let world = World::new().await;
    let mut client = world.client().await;
    assert_eq!(client.invoke("churn", &[], b"1").await.status, 200);
    tokio::time::sleep(Duration::from_secs(15)).await;
    client.send(b"POST /endp").await;
    let start = Instant::now();
    assert!(client.is_closed().await);
    assert!(about(10, start), "{:?}", start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_caller_that_never_reads_its_reply_is_cut_off() {
    let world = World::new().await;
    let mut client = world.client().await;
    client.send(&crate::world::invocation("churn", &[], b"large")).await;
    let cut = async {
        while !world.get("/metrics").await.text().contains("captura_connections_cut_total 1") {
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(120), cut).await.expect("cut off within the stall limit");
    assert!(client.reply().await.is_none());
}

#[tokio::test(start_paused = true)]
async fn a_slow_model_is_not_a_slow_caller() {
    let world = World::new().await;
    let start = Instant::now();
    let reply = world.invoke(&[], "never").await;
    assert_eq!(reply.status, 424);
    assert!(about(60, start), "{:?}", start.elapsed());
}
