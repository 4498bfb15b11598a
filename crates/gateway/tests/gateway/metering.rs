//! What the meters tell those who publish them.

use captura_gateway::{Durations, VariantFigures};

use crate::world::{World, invocation};

fn calls(durations: &Durations) -> u64 {
    durations.buckets.iter().map(|(.., count)| count).sum()
}

#[tokio::test]
async fn every_call_is_in_the_figures_by_how_its_model_answered() {
    let world = World::new().await;
    for body in ["1", "2", "refuse", "fail", "time out", "unavailable"] {
        world.invoke(&[], body).await;
    }
    let [figures] = <[VariantFigures; 1]>::try_from(world.meters.read()).unwrap();
    assert_eq!((figures.endpoint.as_str(), figures.variant.as_str()), ("churn", "AllTraffic"));
    assert_eq!(figures.invocations, 6);
    assert_eq!((figures.errors_4xx, figures.errors_5xx, figures.model_errors), (1, 1, 4));
    assert_eq!((calls(&figures.model_latency), calls(&figures.overhead_latency)), (6, 6));
    assert!(figures.overhead_latency.sum_us > 0);
}

#[tokio::test]
async fn a_caller_that_hangs_up_is_a_call_and_no_error_of_the_model() {
    let world = World::new().await;
    let mut client = world.client().await;
    client.send(&invocation("churn", &[], b"never")).await;
    while world.model.calls.load(std::sync::atomic::Ordering::SeqCst) == 0 {
        tokio::task::yield_now().await;
    }
    drop(client);
    let figures = loop {
        let figures = world.meters.read().remove(0);
        if figures.invocations > 0 {
            break figures;
        }
        tokio::task::yield_now().await;
    };
    assert_eq!((figures.invocations, figures.model_errors, calls(&figures.model_latency)), (1, 0, 0));
}
