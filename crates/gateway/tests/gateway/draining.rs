//! How the server stops.

use std::sync::atomic::Ordering;
use std::time::Duration;

use captura_gateway::Settings;
use tokio::net::TcpStream;

use crate::world::{World, invocation};

async fn reached_the_model(world: &World) {
    while world.model.calls.load(Ordering::SeqCst) == 0 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn calls_in_flight_are_finished_and_everything_else_is_closed() {
    let mut world = World::new().await;
    let mut idle = world.client().await;
    assert_eq!(idle.invoke("churn", &[], b"1").await.status, 200);
    let mut fresh = world.client().await;
    world.model.calls.store(0, Ordering::SeqCst);
    let mut busy = world.client().await;
    busy.send(&invocation("churn", &[], b"wait")).await;
    reached_the_model(&world).await;

    world.stop();
    assert!(idle.is_closed().await);
    assert!(fresh.is_closed().await);
    assert!(TcpStream::connect(world.address).await.is_err());
    world.model.go.notify_one();
    let reply = busy.reply().await.unwrap();
    assert_eq!((reply.status, reply.text(), reply.header("connection")), (200, "wait", Some("close")));
    assert!(busy.is_closed().await);
    world.stopped().await;
}

#[tokio::test]
async fn what_does_not_end_within_the_deadline_is_dropped() {
    let mut world = World::with(Settings { drain_timeout: Duration::from_millis(10), ..Settings::default() }).await;
    let mut busy = world.client().await;
    busy.send(&invocation("churn", &[], b"never")).await;
    reached_the_model(&world).await;
    world.stop();
    assert!(busy.reply().await.is_none());
    world.stopped().await;
}

#[tokio::test]
async fn a_server_without_connections_stops_at_once() {
    let mut world = World::new().await;
    world.stop();
    world.stopped().await;
}
