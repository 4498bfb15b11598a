//! Calls of endpoints that are there already, and what they leave in the buckets.
//!
//! Endpoints: `echo` and `lines` answer what they are asked (`lines` piece by piece), `failing` answers 400, `queued` is
//! asynchronous. All are captured below `s3://captures/rust`.

use std::time::Instant;

use anyhow::{Context as _, Result, bail, ensure};
use aws_sdk_s3::operation::get_object::GetObjectError;
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{CompletedMultipartUpload, CompletedPart, Delete, ObjectIdentifier};
use aws_sdk_sagemakerruntime::Client;
use aws_sdk_sagemakerruntime::error::ProvideErrorMetadata as _;
use aws_sdk_sagemakerruntime::operation::RequestId as _;
use aws_sdk_sagemakerruntime::operation::invoke_endpoint::InvokeEndpointError;
use aws_sdk_sagemakerruntime::operation::invoke_endpoint_with_response_stream::InvokeEndpointWithResponseStreamError;
use aws_sdk_sagemakerruntime::primitives::Blob;
use aws_sdk_sagemakerruntime::types::ResponseStream;
use captura_rust_client::{captured, from_environment, location, objects, read, wait_for};

const CAPTURES: (&str, &str) = ("captures", "rust/");
/// Of an upload in parts; no part but the last may be smaller.
const PART_SIZE_BYTES: usize = 5 << 20;

#[tokio::main]
async fn main() -> Result<()> {
    let environment = from_environment().await;
    let (runtime, s3) = (Client::new(&environment), aws_sdk_s3::Client::new(&environment));
    who(&aws_sdk_sts::Client::new(&environment)).await.context("STS")?;
    call(&runtime, &s3).await.context("InvokeEndpoint")?;
    refusals(&runtime).await.context("errors of InvokeEndpoint")?;
    stream(&runtime, &s3).await.context("InvokeEndpointWithResponseStream")?;
    queue(&runtime, &s3).await.context("InvokeEndpointAsync")?;
    bucket(&s3).await.context("S3")?;
    println!("told");
    Ok(())
}

async fn who(sts: &aws_sdk_sts::Client) -> Result<()> {
    let told = sts.get_caller_identity().send().await?;
    ensure!(told.account() == Some("000000000000"), "{told:?}");
    ensure!(told.arn().is_some_and(|arn| arn.starts_with("arn:aws:iam::000000000000:")), "{told:?}");
    Ok(())
}

async fn call(runtime: &Client, s3: &aws_sdk_s3::Client) -> Result<()> {
    let asked = runtime.invoke_endpoint().endpoint_name("echo").body(Blob::new("1,2,3"));
    let answer = asked.content_type("text/csv").accept("text/csv").inference_id("rust-1").send().await?;
    ensure!(answer.body().map(Blob::as_ref) == Some(b"1,2,3"), "{answer:?}");
    ensure!(answer.content_type() == Some("text/csv"), "{answer:?}");
    ensure!(answer.invoked_production_variant() == Some("AllTraffic"), "{answer:?}");
    ensure!(answer.request_id().is_some(), "{answer:?}");
    let plain = runtime.invoke_endpoint().endpoint_name("echo").body(Blob::new([0, 159, 146, 150])).send().await?;
    ensure!(plain.body().map(Blob::as_ref) == Some(&[0, 159, 146, 150]), "{plain:?}");
    let line = captured(s3, CAPTURES, r#""inferenceId":"rust-1""#).await?;
    ensure!(line.contains(r#""data":"1,2,3","encoding":"CSV""#), "{line}");
    Ok(())
}

async fn refusals(runtime: &Client) -> Result<()> {
    let asked = |endpoint: &str| runtime.invoke_endpoint().endpoint_name(endpoint).body(Blob::new("1")).send();
    match asked("nobody").await.map_err(|error| error.into_service_error()) {
        Err(InvokeEndpointError::ValidationError(error)) => {
            ensure!(error.message().is_some_and(|words| words.contains("nobody")), "{error:?}");
            ensure!(error.meta().code() == Some("ValidationError"), "{error:?}");
        }
        other => bail!("an endpoint that is not there: {other:?}"),
    }
    match asked("failing").await.map_err(|error| error.into_service_error()) {
        Err(InvokeEndpointError::ModelError(error)) => {
            ensure!(error.original_status_code() == Some(400), "{error:?}");
            ensure!(error.original_message() == Some("1"), "{error:?}");
            let words = error.message().unwrap_or_default();
            ensure!(words.starts_with("Received client error (400) from primary with message"), "{error:?}");
        }
        other => bail!("a model that answers 400: {other:?}"),
    }
    let asked = runtime.invoke_endpoint_with_response_stream().endpoint_name("failing").body(Blob::new("1"));
    match asked.send().await.map_err(|error| error.into_service_error()) {
        Err(InvokeEndpointWithResponseStreamError::ModelError(error)) => {
            ensure!(error.original_status_code() == Some(400), "{error:?}");
        }
        other => bail!("a model that answers 400 where a stream was asked for: {other:?}"),
    }
    Ok(())
}

async fn stream(runtime: &Client, s3: &aws_sdk_s3::Client) -> Result<()> {
    let asked = runtime.invoke_endpoint_with_response_stream().endpoint_name("lines").inference_id("rust-2");
    let mut answer = asked.content_type("text/csv").body(Blob::new("one\ntwo\nthree")).send().await?;
    ensure!(answer.invoked_production_variant() == Some("AllTraffic"), "{answer:?}");
    let (mut pieces, mut arrivals) = (Vec::new(), Vec::new());
    while let Some(event) = answer.body.recv().await? {
        let ResponseStream::PayloadPart(part) = event else { bail!("an event of another kind: {event:?}") };
        pieces.push(part.bytes().map(|bytes| bytes.as_ref().to_vec()).unwrap_or_default());
        arrivals.push(Instant::now());
    }
    ensure!(pieces == [&b"one\n"[..], b"two\n", b"three"], "{pieces:?}");
    let apart = arrivals[2] - arrivals[0];
    ensure!(apart.as_millis() > 100, "all pieces came at once, within {apart:?}");
    let line = captured(s3, CAPTURES, r#""inferenceId":"rust-2""#).await?;
    ensure!(line.contains(r#""data":"one\ntwo\nthree""#), "{line}");
    Ok(())
}

async fn queue(runtime: &Client, s3: &aws_sdk_s3::Client) -> Result<()> {
    s3.create_bucket().bucket("inputs").send().await?;
    let put = s3.put_object().bucket("inputs").key("row.csv").body(ByteStream::from_static(b"4,5,6"));
    put.content_type("text/csv").send().await?;
    let asked = runtime.invoke_endpoint_async().endpoint_name("queued").input_location("s3://inputs/row.csv");
    let taken = asked.content_type("text/csv").inference_id("rust-3").send().await?;
    ensure!(taken.inference_id() == Some("rust-3"), "{taken:?}");
    let (bucket, key) = location(taken.output_location().context("no place for the answer")?)?;
    let answer = wait_for("the answer of a call in the queue", || async {
        match s3.get_object().bucket(bucket).key(key).send().await {
            Ok(found) => Ok(Some(found.body.collect().await?.into_bytes())),
            Err(error) => match error.into_service_error() {
                GetObjectError::NoSuchKey(_) => Ok(None),
                error if error.meta().code() == Some("NoSuchBucket") => Ok(None),
                error => Err(error.into()),
            },
        }
    });
    ensure!(answer.await?.as_ref() == b"4,5,6");
    captured(s3, CAPTURES, r#""inferenceId":"rust-3""#).await.map(drop)
}

async fn bucket(s3: &aws_sdk_s3::Client) -> Result<()> {
    const BUCKET: &str = "rust-notes";
    s3.create_bucket().bucket(BUCKET).send().await?;
    for number in 0..5 {
        let put = s3.put_object().bucket(BUCKET).key(format!("notes/{number} é.txt"));
        put.body(ByteStream::from(format!("note {number}").into_bytes())).metadata("who", "rust").send().await?;
    }
    let found = objects(s3, BUCKET, "notes/", 2).await?;
    ensure!(found.len() == 5 && found[3].key() == Some("notes/3 é.txt"), "{found:?}");
    ensure!(read(s3, BUCKET, "notes/3 é.txt").await? == b"note 3");
    let head = s3.head_object().bucket(BUCKET).key("notes/0 é.txt").send().await?;
    ensure!(head.metadata().and_then(|all| all.get("who")).is_some_and(|who| who == "rust"), "{head:?}");
    let none = s3.get_object().bucket(BUCKET).key("none").send().await.map_err(|error| error.into_service_error());
    ensure!(matches!(none, Err(GetObjectError::NoSuchKey(_))), "{none:?}");

    // In parts, with the checksums that the SDK adds by itself.
    let whole: Vec<u8> = (0..PART_SIZE_BYTES + 1_000).map(|place| (place % 251) as u8).collect();
    let upload = s3.create_multipart_upload().bucket(BUCKET).key("large").send().await?;
    let id = upload.upload_id().context("an upload without an id")?;
    let mut parts = CompletedMultipartUpload::builder();
    for (number, part) in (1..).zip(whole.chunks(PART_SIZE_BYTES)) {
        let sent = s3.upload_part().bucket(BUCKET).key("large").upload_id(id).part_number(number);
        let sent = sent.body(ByteStream::from(part.to_vec())).send().await?;
        let part = CompletedPart::builder().part_number(number).set_e_tag(sent.e_tag().map(str::to_owned));
        parts = parts.parts(part.set_checksum_crc32(sent.checksum_crc32().map(str::to_owned)).build());
    }
    let complete = s3.complete_multipart_upload().bucket(BUCKET).key("large").upload_id(id);
    complete.multipart_upload(parts.build()).send().await?;
    ensure!(read(s3, BUCKET, "large").await? == whole, "what came back is not what went up");
    let range = s3.get_object().bucket(BUCKET).key("large").range("bytes=5242878-5242881").send().await?;
    ensure!(range.body.collect().await?.into_bytes().as_ref() == &whole[5_242_878..=5_242_881]);

    let names = objects(s3, BUCKET, "", 1_000).await?;
    let names = names.iter().filter_map(|one| one.key()).map(|key| ObjectIdentifier::builder().key(key).build());
    let names = names.collect::<Result<Vec<_>, _>>()?;
    ensure!(names.len() == 6, "{names:?}");
    let gone = s3.delete_objects().bucket(BUCKET).delete(Delete::builder().set_objects(Some(names)).build()?);
    let gone = gone.send().await?;
    ensure!(gone.errors().is_empty() && gone.deleted().len() == 6, "{gone:?}");
    s3.delete_bucket().bucket(BUCKET).send().await?;
    let left = s3.list_buckets().send().await?;
    ensure!(left.buckets().iter().all(|one| one.name() != Some(BUCKET)), "{left:?}");
    Ok(())
}
