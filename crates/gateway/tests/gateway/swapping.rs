//! Route tables change under load, and callers leave; no call fails for it, and none goes unbooked.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use captura_gateway::Settings;
use captura_names::EndpointName;
use captura_route::{Answer, Backend, Extras, Invoking, ModelRequest, RouteTable};

use crate::world::{Model, World, endpoint, table, variant};

const CALLERS: usize = 16;
const SWAPS: usize = 300;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_call_fails_while_the_table_is_swapped() {
    let world = Arc::new(World::new().await);
    let over = Arc::new(AtomicBool::new(false));
    let callers: Vec<_> = (0..CALLERS)
        .map(|caller| {
            let (world, over) = (Arc::clone(&world), Arc::clone(&over));
            tokio::spawn(async move {
                let mut client = world.client().await;
                let mut calls = 0;
                while !over.load(Ordering::SeqCst) {
                    let body = format!("caller {caller} call {calls}");
                    let reply = client.invoke("churn", &[], body.as_bytes()).await;
                    assert_eq!((reply.status, reply.text()), (200, body.as_str()));
                    calls += 1;
                }
                calls
            })
        })
        .collect();
    let (blue, green) = (Model::named("blue"), Model::named("green"));
    for swap in 0..SWAPS {
        let (model, name) = if swap % 2 == 0 { (&blue, "blue") } else { (&green, "green") };
        world.table.send_replace(table(&[("AllTraffic", 1.0, model)]));
        // Whoever calls after the table was published gets the new model.
        let reply = world.invoke(&[], "1").await;
        assert_eq!(reply.header("x-amzn-sagemaker-custom-attributes"), Some(name));
    }
    over.store(true, Ordering::SeqCst);
    let mut calls = 0;
    for caller in callers {
        calls += caller.await.unwrap();
    }
    assert!(calls > CALLERS);
}

#[tokio::test]
async fn callers_of_an_endpoint_that_is_loaded_again_after_a_restart_are_asked_to_come_back() {
    let world = World::new().await;
    let returning = [EndpointName::parse("churn").unwrap()].into_iter().collect();
    world.table.send_replace(Arc::new(RouteTable::default().with_returning(returning)));
    let reply = world.invoke(&[], "1").await;
    assert_eq!((reply.status, reply.header("x-amzn-errortype")), (503, Some("ServiceUnavailable")));
    assert_eq!(reply.header("retry-after"), Some("1"));
    let message = "Endpoint churn is still being loaded after a restart of the server. Try again.";
    assert_eq!(reply.json()["Message"], message);
    world.table.send_replace(table(&[("AllTraffic", 1.0, &Model::named("blue"))]));
    assert_eq!(world.invoke(&[], "1").await.status, 200);
}

#[tokio::test]
async fn a_table_that_left_lets_its_models_go_though_a_connection_stays_open() {
    tokio::time::pause();
    let world = World::new().await;
    let blue = Model::named("blue");
    world.table.send_replace(table(&[("AllTraffic", 1.0, &blue)]));
    let mut client = world.client().await;
    assert_eq!(client.invoke("churn", &[], b"1").await.status, 200);
    world.table.send_replace(Arc::default());
    tokio::time::sleep(std::time::Duration::from_secs(21)).await;
    assert_eq!(Arc::strong_count(&blue), 1);
    assert_eq!(client.invoke("churn", &[], b"1").await.status, 400);
}

/// A model that cannot be looked at the first time.
#[derive(Debug)]
struct Falls(AtomicBool);

impl Backend for Falls {
    fn invoke<'a>(&'a self, request: &'a ModelRequest) -> Invoking<'a> {
        let body = request.body.clone();
        Box::pin(async move { Ok(Answer { body, ..Answer::default() }) })
    }

    fn extras(&self) -> Extras {
        assert!(!self.0.swap(false, Ordering::SeqCst), "a test asked for it");
        Extras::default()
    }
}

#[tokio::test]
async fn a_panic_of_the_listener_is_not_the_end_of_it() {
    let settings = Settings::default();
    let tasks = settings.tasks.clone();
    let world = World::with(settings).await;
    let mut served = variant(("AllTraffic", 1.0, &world.model), None);
    served.backend = Arc::new(Falls(AtomicBool::new(true)));
    let mut endpoint = endpoint(&[], None);
    endpoint.fleets[0].variants.push(served);
    world.table.send_replace(Arc::new(RouteTable::new([endpoint])));
    // Nobody calls, so it is the listener that looks first.
    while tasks.figures().first().is_none_or(|listener| listener.panics == 0) {
        tokio::task::yield_now().await;
    }
    assert_eq!(world.invoke(&[], "1").await.status, 200);
}
