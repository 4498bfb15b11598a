//! InvokeEndpointWithResponseStream: pieces go on as they come, failures are told where the stream stands, and the record
//! is that of any other call.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use captura_capture::record::{Outcome, Record};
use captura_gateway::Settings;
use captura_wire::event_stream;

use crate::world::{Client, World, captured_table, everything};

async fn world() -> World {
    world_with(Settings::default()).await
}

async fn world_with(settings: Settings) -> World {
    let world = World::with(settings).await;
    world.table.send_replace(captured_table(&world.model, &everything()));
    world
}

/// The one record there is or will be.
async fn record(world: &World) -> Arc<Record> {
    loop {
        if let Some(record) = world.capture.tail(None, None, 10).pop() {
            return record;
        }
        tokio::task::yield_now().await;
    }
}

async fn all(client: &mut Client) -> Vec<u8> {
    let mut frames = Vec::new();
    while let Some(chunk) = client.chunk().await {
        frames.extend(chunk);
    }
    frames
}

fn part(piece: &str) -> Vec<u8> {
    event_stream::payload_part(piece.as_bytes())
}

#[tokio::test]
async fn the_head_and_each_piece_arrive_while_the_next_is_still_awaited() {
    let world = world().await;
    let mut client = world.client().await;
    client.stream(&[("content-type", "text/csv"), ("te", "trailers")], "stream:wait|one|wait|two").await;
    let head = client.reply().await.unwrap();
    assert_eq!((head.status, head.header("content-type")), (200, Some("application/vnd.amazon.eventstream")));
    assert_eq!(head.header("x-amzn-sagemaker-content-type"), Some("text/csv"));
    assert_eq!(head.header("x-amzn-invoked-production-variant"), Some("AllTraffic"));
    assert_eq!(head.header("x-captura-capture"), Some("pending"));
    world.model.go.notify_one();
    assert_eq!(client.chunk().await.unwrap(), part("one"));
    assert!(world.capture.tail(None, None, 10).is_empty());
    world.model.go.notify_one();
    assert_eq!(all(&mut client).await, part("two"));
    let trailers = client.trailers().await;

    let record = record(&world).await;
    assert_eq!(trailers, format!("x-captura-capture: written;lsn={}\r\n\r\n", record.lsn));
    assert_eq!(record.event_id.to_string(), head.header("x-captura-event-id").unwrap());
    assert_eq!((record.outcome, record.status, record.response_size_bytes), (Outcome::Ok, 200, 6));
    let response = record.response.as_ref().unwrap();
    assert_eq!((&*response.body, response.content_type.as_deref()), (&b"onetwo"[..], Some("text/csv")));
    assert!(!record.is_response_cut());
    client.stream(&[], "stream:again").await;
    assert_eq!(client.reply().await.unwrap().status, 200);
    assert_eq!(all(&mut client).await, part("again"));
}

#[tokio::test]
async fn a_model_that_answers_in_one_piece_streams_one_piece() {
    let world = world().await;
    let mut client = world.client().await;
    client.stream(&[], "1,2,3").await;
    assert_eq!(client.reply().await.unwrap().status, 200);
    assert_eq!(all(&mut client).await, part("1,2,3"));
    assert_eq!(&*record(&world).await.response.as_ref().unwrap().body, b"1,2,3");
}

#[tokio::test]
async fn errors_before_the_first_byte_are_ordinary_replies() {
    let world = world().await;
    for (body, status, code) in [("refuse", 424, "ModelError"), ("not ready", 429, "ModelNotReadyException")] {
        let mut client = world.client().await;
        client.stream(&[], body).await;
        let reply = client.reply().await.unwrap();
        assert_eq!((reply.status, reply.header("x-amzn-errortype")), (status, Some(code)));
        assert_eq!(reply.header("content-type"), Some("application/json"));
        assert!(reply.header("x-captura-capture").unwrap().starts_with("written;lsn="));
        let record = world.capture.tail(None, None, 10).pop().unwrap();
        assert_eq!(record.status, status);
        assert!(record.caller.source_address.is_some());
    }
}

#[tokio::test]
async fn failures_in_the_middle_are_told_in_a_last_frame_and_the_connection_goes_on() {
    for (end, exception, code, outcome) in [
        ("break", "ModelStreamError", "\"ErrorCode\":\"StreamBroken\"", Outcome::Unavailable),
        ("slow", "ModelStreamError", "\"ErrorCode\":\"ModelInvocationTimeExceeded\"", Outcome::TimedOut),
        (
            "panic",
            "InternalStreamFailure",
            "\"Message\":\"The server failed while the model ran.\"",
            Outcome::ServerError,
        ),
    ] {
        let world = world().await;
        let mut client = world.client().await;
        client.stream(&[], &format!("stream:one|{end}")).await;
        assert_eq!(client.reply().await.unwrap().status, 200);
        let frames = all(&mut client).await;
        client.trailers().await;
        let last = frames.strip_prefix(&*part("one")).expect("the piece before the failure");
        let last = String::from_utf8_lossy(last);
        assert!(last.contains(exception) && last.contains(code), "{last}");
        let record = record(&world).await;
        assert_eq!((record.outcome, record.status), (outcome, 200), "{end}");
        assert_eq!(&*record.response.as_ref().unwrap().body, b"one");
        assert_eq!(client.invoke("churn", &[], b"1").await.status, 200);
        let code = if end == "panic" {
            500
        } else if end == "break" {
            503
        } else {
            424
        };
        let line = format!("captura_requests_total{{endpoint=\"churn\",variant=\"AllTraffic\",code=\"{code}\"}} 1");
        assert!(world.get("/metrics").await.text().contains(&line), "{line}");
    }
}

#[tokio::test]
async fn a_stream_has_a_limit_for_its_first_piece_between_pieces_and_in_all() {
    let short = Duration::from_millis(1);
    let defaults = Settings::default;
    for (settings, body) in [
        (Settings { model_timeout: short, ..defaults() }, "stream:never"),
        (Settings { stream_idle_timeout: short, ..defaults() }, "stream:one|never"),
        (Settings { stream_timeout: short, ..defaults() }, "stream:one|never"),
    ] {
        let world = world_with(settings).await;
        let mut client = world.client().await;
        client.stream(&[], body).await;
        assert_eq!(client.reply().await.unwrap().status, 200);
        let frames = all(&mut client).await;
        assert!(String::from_utf8_lossy(&frames).contains("ModelInvocationTimeExceeded"), "{body}");
        assert_eq!(record(&world).await.outcome, Outcome::TimedOut, "{body}");
    }
}

#[tokio::test]
async fn a_caller_that_hangs_up_in_the_middle_is_recorded_with_what_had_come() {
    let world = world().await;
    let mut client = world.client().await;
    client.stream(&[], "stream:one|never").await;
    assert_eq!(client.reply().await.unwrap().status, 200);
    assert_eq!(client.chunk().await.unwrap(), part("one"));
    drop(client);
    let record = record(&world).await;
    assert_eq!((record.outcome, record.status), (Outcome::ClientGone, 499));
    assert_eq!(&*record.response.as_ref().unwrap().body, b"one");
    let account = world.capture.ledger().account("churn", "AllTraffic").unwrap().clone();
    assert_eq!((account.invoked, account.captured, account.imbalance()), (1, 1, 0));
}

#[tokio::test]
async fn the_permit_is_held_to_the_end_of_the_stream() {
    let world = world_with(Settings { variant_concurrency_max: 1, ..Settings::default() }).await;
    let mut client = world.client().await;
    client.stream(&[], "stream:one|wait|two").await;
    assert_eq!(client.reply().await.unwrap().status, 200);
    assert_eq!(client.chunk().await.unwrap(), part("one"));
    assert_eq!(world.invoke(&[], "1").await.status, 503);
    world.model.go.notify_one();
    assert_eq!(all(&mut client).await, part("two"));
    assert_eq!(world.invoke(&[], "1").await.status, 200);
}

#[tokio::test]
async fn a_long_answer_travels_in_frames_of_bounded_size_and_is_captured_up_to_its_limit() {
    let world = world_with(Settings { stream_captured_max_bytes: 10, ..Settings::default() }).await;
    let mut client = world.client().await;
    client.stream(&[], "stream:large|end").await;
    assert_eq!(client.reply().await.unwrap().status, 200);
    let frames = all(&mut client).await;
    let whole = event_stream::payload_part(&[b'x'; event_stream::PAYLOAD_MAX_BYTES]);
    assert_eq!(frames, [&*whole, &whole, &whole, &part("end")].concat());
    let record = record(&world).await;
    assert_eq!(&*record.response.as_ref().unwrap().body, b"xxxxxxxxxx");
    assert!(record.is_response_cut());
    assert_eq!(record.response_size_bytes, (3 << 20) + 3);
    assert!(
        world
            .get("/metrics")
            .await
            .text()
            .contains("captura_capture_cut_total{endpoint=\"churn\",variant=\"AllTraffic\"} 1")
    );
}

#[tokio::test]
async fn a_caller_that_takes_nothing_holds_the_model_up() {
    let world = world_with(Settings { stream_captured_max_bytes: 10, ..Settings::default() }).await;
    let mut client = world.client().await;
    // Far more than the sockets and buffers between the two hold.
    client.stream(&[], &format!("stream:{}", ["large"; 40].join("|"))).await;
    assert_eq!(client.reply().await.unwrap().status, 200);
    assert!(client.chunk().await.is_some());
    let asked = world.model.pieces.load(Ordering::SeqCst);
    assert!(asked < 40, "{asked} pieces of 3 MiB were asked for before the caller had taken the second MiB");
    while client.chunk().await.is_some() {}
    assert_eq!(record(&world).await.response_size_bytes, 40 * (3 << 20));
}

#[tokio::test]
async fn a_call_that_leaves_no_record_says_so_in_the_head() {
    let world = World::new().await;
    let mut client = world.client().await;
    client.stream(&[], "stream:one").await;
    assert_eq!(client.reply().await.unwrap().header("x-captura-capture"), Some("dropped;reason=operator_off"));
    assert_eq!(all(&mut client).await, part("one"));
}

#[tokio::test]
async fn the_accepted_type_travels_in_a_header_of_its_own() {
    let world = world().await;
    let mut client = world.client().await;
    client.stream(&[("x-amzn-sagemaker-target-model", "a")], "1").await;
    let reply = client.reply().await.unwrap();
    assert_eq!((reply.status, reply.header("x-amzn-errortype")), (400, Some("ValidationError")));
    assert!(reply.text().contains("has no member targetModel"), "{}", reply.text());
}
