//! Components, sessions, targets, kinds of endpoints, and copies for shadow variants: which model a call goes to, and what
//! is refused before it becomes an invocation.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use captura_gateway::Settings;
use captura_names::InferenceComponentName;
use captura_route::{AsyncInference, Component, Endpoint, Extras, RouteTable};

use crate::world::{Client, Model, World, endpoint, everything, request, variant};

fn publish(world: &World, endpoint: Endpoint) {
    world.table.send_replace(Arc::new(RouteTable::new([endpoint])));
}

fn component(name: &str, model: &Arc<Model>) -> Component {
    let variant = variant(("AllTraffic", 1.0, model), Some(&everything()));
    let name = InferenceComponentName::parse(name).unwrap();
    Component { name, weight: 1.0, backend: variant.backend, capture: variant.capture }
}

async fn refusal(client: &mut Client, headers: &[(&str, &str)]) -> String {
    let reply = client.invoke("churn", headers, b"1").await;
    assert_eq!((reply.status, reply.header("x-amzn-errortype")), (400, Some("ValidationError")), "{headers:?}");
    reply.json()["Message"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn the_header_picks_the_component_and_components_do_not_go_without_it() {
    let world = World::new().await;
    let (small, large) = (Model::named("small"), Model::named("large"));
    let mut shared = endpoint(&[], None);
    shared.components = vec![component("small", &small), component("large", &large)];
    publish(&world, shared);
    let mut client = world.client().await;
    let header = "X-Amzn-SageMaker-Inference-Component";
    for name in ["small", "large"] {
        let reply = client.invoke("churn", &[(header, name)], b"1").await;
        assert_eq!((reply.status, reply.header("x-amzn-sagemaker-custom-attributes")), (200, Some(name)));
        assert_eq!(reply.header("x-amzn-invoked-production-variant"), Some("AllTraffic"));
        assert!(reply.header("x-captura-capture").unwrap().starts_with("written;lsn="));
    }
    assert_eq!(
        refusal(&mut client, &[]).await,
        "Inference Component Name header is required for endpoints to which you plan to deploy inference components. \
         Please include Inference Component Name header or consider using SageMaker models."
    );
    let unknown = refusal(&mut client, &[(header, "other")]).await;
    assert_eq!(unknown, "Inference Component other not found for endpoint churn.");
    client.stream(&[(header, "large")], "stream:one").await;
    assert_eq!(client.reply().await.unwrap().header("x-amzn-sagemaker-custom-attributes"), Some("large"));
    while client.chunk().await.is_some() {}
    client.trailers().await;

    publish(&world, endpoint(&[("AllTraffic", 1.0, &world.model)], None));
    assert_eq!(
        refusal(&mut client, &[(header, "small")]).await,
        "Inference Component Name header is not allowed for endpoints to which you dont plan to deploy inference components."
    );
}

#[tokio::test]
async fn what_a_model_does_not_take_never_reaches_it() {
    let world = World::new().await;
    let mut client = world.client().await;
    for (header, value, text) in [
        ("X-Amzn-SageMaker-Target-Model", "a.tar.gz", "is not a multi-model endpoint"),
        ("X-Amzn-SageMaker-Target-Container-Hostname", "second", "not a multi-container endpoint in Direct mode"),
        ("X-Amzn-SageMaker-Session-Id", "NEW_SESSION", "keeps no sessions"),
        ("X-Amzn-SageMaker-Enable-Explanations", "`true`", "has no explainer"),
    ] {
        let message = refusal(&mut client, &[(header, value)]).await;
        assert!(message.contains(text), "{message}");
    }
    assert_eq!(world.model.calls.load(Ordering::SeqCst), 0);
    let none = [("X-Amzn-SageMaker-Enable-Explanations", "`false`")];
    assert_eq!(client.invoke("churn", &none, b"1").await.status, 200);
}

#[tokio::test]
async fn what_a_model_takes_reaches_it_and_sessions_come_back() {
    let world = World::new().await;
    let extras = Extras { target_model: true, sessions: true, explanations: true, ..Extras::default() };
    let model = Arc::new(Model { name: "stateful", extras, ..Model::default() });
    publish(&world, endpoint(&[("AllTraffic", 1.0, &model)], None));
    let mut client = world.client().await;
    assert!(refusal(&mut client, &[]).await.contains("Name the model with TargetModel"));
    let target = ("X-Amzn-SageMaker-Target-Model", "a.tar.gz");
    let session =
        |id| [target, ("X-Amzn-SageMaker-Session-Id", id), ("X-Amzn-SageMaker-Enable-Explanations", "`true`")];
    let reply = client.invoke("churn", &session("NEW_SESSION"), b"tell").await;
    assert_eq!(reply.text(), "model=a.tar.gz session=NEW_SESSION explain=`true`");
    assert_eq!(reply.header("x-amzn-sagemaker-new-session-id"), Some("s-1; Expires=2026-01-31T00:00:00Z"));
    let reply = client.invoke("churn", &session("s-1"), b"tell").await;
    assert_eq!(reply.header("x-amzn-sagemaker-closed-session-id"), Some("s-1"));
}

#[tokio::test]
async fn what_is_explained_is_not_streamed() {
    let world = World::new().await;
    let extras = Extras { explanations: true, ..Extras::default() };
    let model = Arc::new(Model { name: "explained", extras, ..Model::default() });
    publish(&world, endpoint(&[("AllTraffic", 1.0, &model)], None));
    let mut client = world.client().await;
    client.stream(&[], "1").await;
    let reply = client.reply().await.unwrap();
    assert_eq!(reply.status, 400);
    let text =
        "Endpoint churn has an explainer and does not support InvokeEndpointWithResponseStream. Use InvokeEndpoint.";
    assert_eq!(reply.json()["Message"], text);
    assert_eq!(model.calls.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn asynchronous_endpoints_take_asynchronous_calls_and_only_those() {
    let world = World::new().await;
    let mut client = world.client().await;
    client.send(&request("churn/async-invocations", &[], b"1")).await;
    let reply = client.reply().await.unwrap();
    assert_eq!(reply.status, 400);
    let text = "Endpoint churn of account 123456789012 is not an asynchronous endpoint. Use InvokeEndpoint.";
    assert_eq!(reply.json()["Message"], text);

    let mut queued = endpoint(&[("AllTraffic", 1.0, &world.model)], None);
    queued.async_inference = Some(Arc::new(AsyncInference {
        output: None,
        failure: None,
        kms_key_id: None,
        success_topic: None,
        error_topic: None,
        include_response_in: vec![],
        concurrency_max: None,
    }));
    publish(&world, queued);
    let text = refusal(&mut client, &[]).await;
    assert_eq!(text, "Endpoint churn of account 123456789012 is an asynchronous endpoint. Use InvokeEndpointAsync.");
    assert_eq!(world.model.calls.load(Ordering::SeqCst), 0);
}

/// An endpoint with one variant and one shadow of that weight, both captured.
fn shadowed(world: &World, shadow: &Arc<Model>, weight: f32) {
    let settings = everything();
    let mut endpoint = endpoint(&[("AllTraffic", 1.0, &world.model)], Some(&settings));
    endpoint.fleets[0].shadows = vec![variant(("Shadow", weight, shadow), Some(&settings))];
    publish(world, endpoint);
}

#[tokio::test]
async fn a_shadow_gets_a_copy_and_leaves_a_record_and_the_caller_sees_nothing_of_it() {
    let world = World::new().await;
    let shadow = Model::named("shadow");
    shadowed(&world, &shadow, 1.0);
    let reply = world.invoke(&[("x-amzn-sagemaker-inference-id", "order-57")], "refuse").await;
    assert_eq!((reply.status, reply.header("x-amzn-invoked-production-variant")), (424, Some("AllTraffic")));
    let records = loop {
        let records = world.capture.tail(None, None, 10);
        if records.len() == 2 {
            break records;
        }
        tokio::task::yield_now().await;
    };
    let of = |name: &str| records.iter().find(|record| record.policy.variant.as_str() == name).unwrap();
    let (original, copy) = (of("AllTraffic"), of("Shadow"));
    assert_eq!(original.event_id, copy.event_id);
    assert_eq!(copy.inference_id.as_ref().unwrap().as_str(), "order-57");
    assert_eq!(original.request, copy.request);
    assert!(copy.caller.is_copy && !original.caller.is_copy);
    assert_eq!(copy.caller.source_address, Some([127, 0, 0, 1].into()));
    assert_eq!(shadow.calls.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_shadow_that_hangs_holds_nobody_up_and_what_has_no_room_is_counted() {
    let mut world = World::with(Settings { variant_concurrency_max: 1, ..Settings::default() }).await;
    let shadow = Model::named("shadow");
    let settings = everything();
    let mut endpoint = endpoint(&[("AllTraffic", 1.0, &world.model)], Some(&settings));
    let blocked = Arc::new(Model { name: "shadow", ..Model::default() });
    endpoint.fleets[0].shadows = vec![variant(("Shadow", 9.0, &blocked), Some(&settings))];
    publish(&world, endpoint);
    let mut client = world.client().await;
    for _ in 0..3 {
        // The original goes on at once, its copy waits for good.
        world.model.go.notify_one();
        assert_eq!(client.invoke("churn", &[], b"wait").await.status, 200);
    }
    let line = "captura_shadow_copies_dropped_total{endpoint=\"churn\",variant=\"Shadow\"} 2";
    assert!(world.get("/metrics").await.text().contains(line));
    assert_eq!(shadow.calls.load(Ordering::SeqCst), 0);
    drop(client);
    tokio::time::pause();
    world.stop();
    let capture = world.capture.clone();
    world.stopped().await;
    // The drain books the copy; the journal gathers what nobody waits for, and writes it soon.
    let account = || capture.ledger().account("churn", "Shadow").unwrap().clone();
    while account().in_flight > 0 {
        tokio::task::yield_now().await;
    }
    assert_eq!((account().invoked, account().captured, account().imbalance()), (1, 1, 0));
}

#[tokio::test]
async fn a_shadow_gets_its_share_of_the_calls() {
    let world = World::new().await;
    let shadow = Model::named("shadow");
    shadowed(&world, &shadow, 0.25);
    let mut client = world.client().await;
    for _ in 0..400 {
        assert_eq!(client.invoke("churn", &[], b"1").await.status, 200);
    }
    let account = || world.capture.ledger().account("churn", "Shadow").unwrap().clone();
    while account().in_flight > 0 {
        tokio::task::yield_now().await;
    }
    // 100 expected, standard deviation 8.7: ten of them.
    let copies = account().invoked;
    assert!((14..=186).contains(&copies), "{copies}");
}
