//! Which room a request is for.
//!
//! Requests are told apart by the service that they are signed for, then by path: `/endpoints/…` is the runtime,
//! `/ping` and `/metrics` are answered here, everything else goes through the binary's [`crate::Door`].
//!
//! Invariant: nothing is dispatched before `Host` and `Origin` are checked and, where signatures count, verified; a panic ends one request, never the process.

use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;

use bytes::Bytes;
use captura_names::S3Uri;
use captura_route::{Caller, UserAgent};
use captura_wire::denial::Dialect;
use http::request::Parts;
use http::{HeaderValue, Method, Request, StatusCode, header};
use http_body_util::{BodyExt, BodyStream, Full};
use hyper::body::{Body as _, Incoming};
use tokio::time::Instant;

use crate::body::{self, Arriving, RequestBody};
use crate::connection::Line;
use crate::fault::Refused;
use crate::head::Operation;
use crate::identity::{Claim, SignedFor};
use crate::invoke::{self, Call};
use crate::premises::Premises;
use crate::pulse::Phase;
use crate::reply::{self, BrokenOff, Reply};
use crate::scrape;
use crate::settings::BucketDoor;
use crate::verification::{self, HeldBody, HeldTo};

/// Answers a request; never fails, and panics neither.
pub(crate) async fn answer(line: &Line, request: Request<Incoming>) -> Reply {
    let arrived = Instant::now();
    line.pulse.enter(Phase::Work, arrived);
    line.pulse.refuse(false);
    let dialect = dialect(&request);
    // hyper drops a Content-Length that stands beside a Transfer-Encoding, so it cannot be told here whether both were
    // sent, and where another server in between saw this request end. Nothing that follows it is served.
    let closes = request.headers().contains_key(header::TRANSFER_ENCODING);
    let outcome = {
        let mut handling = pin!(handle(line, request, arrived));
        poll_fn(|context| match catch_unwind(AssertUnwindSafe(|| handling.as_mut().poll(context))) {
            Ok(poll) => poll,
            // The panic hook has reported it. The future is not polled again.
            Err(_) => Poll::Ready(Err(Refused::Panicked)),
        })
        .await
    };
    let mut reply = outcome.unwrap_or_else(|refused| {
        line.pulse.refuse(true);
        line.premises.meters.refused(&refused);
        refused.reply(dialect)
    });
    reply::identify(&mut reply, dialect);
    if closes {
        reply.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    if !reply.body_mut().stay_at_work(&line.pulse) {
        line.pulse.enter(Phase::Idle, Instant::now());
    }
    reply
}

const RUNTIME_PREFIX: &str = "/endpoints/";

/// In which words and format the caller reads what is answered here.
fn dialect(request: &Request<Incoming>) -> Dialect {
    // Most requests are calls of endpoints, and nothing more need be looked at.
    if request.uri().path().starts_with(RUNTIME_PREFIX) {
        return Dialect::Runtime;
    }
    verification::dialect(&verification::head_of(request.method(), request.uri(), request.headers()))
}

/// Where a request goes.
enum Destination<'a> {
    Invoke { endpoint: &'a str, operation: Operation },
    Refuse(Refused),
    Ping,
    Metrics,
    Buckets(BucketDoor),
    Other,
}

async fn handle(line: &Line, request: Request<Incoming>, arrived: Instant) -> Result<Reply, Refused> {
    let premises = &*line.premises;
    let (mut head, body) = request.into_parts();
    check(line, &head)?;
    let Claim { mut consumer, mut principal, signed_for } = Claim::of(&head);
    let destination = destination(premises, &head, signed_for);
    let mut source = line.peer.address;
    let (mut body, mut held_to) = (RequestBody::Arriving(body), HeldTo::Nothing);
    if let Some(verifier) = &premises.settings.verifier
        && !is_free(&destination, premises)
    {
        let streams = matches!(destination, Destination::Buckets(_));
        let verified = Box::pin(verification::verify(line, &**verifier, &head, body, streams)).await?;
        (consumer, principal, source) = (verified.consumer, verified.principal, verified.source);
        (body, held_to) = (verified.body, verified.held_to);
    }
    match destination {
        Destination::Invoke { endpoint, operation } => {
            let arrived_at = premises.clock.now();
            let user_agent = user_agent(&head);
            let caller = Caller { principal, source_address: Some(source), user_agent, is_copy: false };
            let call = Call { endpoint, operation, head: &head, body, consumer, caller, arrived_at, arrived };
            invoke::invoke(line, call).await
        }
        Destination::Refuse(refused) => Err(refused),
        Destination::Ping => Ok(reply::reply(StatusCode::OK, Bytes::new(), None)),
        Destination::Metrics => Ok(reply::text(StatusCode::OK, scrape::CONTENT_TYPE, scrape::text(premises))),
        Destination::Buckets(door) => {
            head.extensions.insert(consumer);
            Box::pin(buckets(line, door, Request::from_parts(head, body), held_to)).await
        }
        // In a box, so that the future of an invocation, which is most of them, stays small.
        Destination::Other => {
            head.extensions.insert(consumer);
            Box::pin(other(line, head, body)).await
        }
    }
}

/// What the caller's program calls itself, where it says so in text.
fn user_agent(head: &Parts) -> Option<UserAgent> {
    let value = head.headers.get(header::USER_AGENT)?;
    UserAgent::new(&String::from_utf8_lossy(value.as_bytes()))
}

/// What is answered without a signature where all else needs one.
fn is_free(destination: &Destination<'_>, premises: &Premises) -> bool {
    match destination {
        Destination::Ping => true,
        Destination::Metrics => premises.settings.metrics_are_open,
        // Each by name, so that a new one is thought about.
        Destination::Invoke { .. } | Destination::Refuse(_) | Destination::Buckets(_) | Destination::Other => false,
    }
}

fn check(line: &Line, head: &Parts) -> Result<(), Refused> {
    let premises = &*line.premises;
    premises.hosts().check(&head.headers)?;
    if head.method == Method::CONNECT || head.method == Method::TRACE {
        return Err(Refused::MethodNotAllowed);
    }
    if head.uri.authority().is_some() || !head.uri.path().starts_with('/') {
        return Err(Refused::BadRequest("the request line must name a path"));
    }
    let limit_bytes = premises.settings.uri_max_bytes;
    if head.uri.path_and_query().is_some_and(|uri| uri.as_str().len() > limit_bytes) {
        return Err(Refused::UriTooLong { limit_bytes });
    }
    Ok(())
}

fn destination<'a>(premises: &Premises, head: &'a Parts, signed_for: SignedFor) -> Destination<'a> {
    match (signed_for, &premises.doors.buckets) {
        (SignedFor::SageMaker | SignedFor::Nothing, _) => {}
        (SignedFor::S3, Some(door)) => return Destination::Buckets(Arc::clone(door)),
        (SignedFor::S3 | SignedFor::Another, _) => return Destination::Other,
    }
    let reads = head.method == Method::GET || head.method == Method::HEAD;
    match head.uri.path() {
        "/ping" if reads => Destination::Ping,
        "/metrics" if reads => Destination::Metrics,
        "/ping" | "/metrics" => Destination::Refuse(Refused::MethodNotAllowed),
        path => match path.strip_prefix(RUNTIME_PREFIX).and_then(|rest| rest.rsplit_once('/')) {
            Some((endpoint, operation)) => runtime(&head.method, endpoint, operation),
            None if path.starts_with(RUNTIME_PREFIX) => Destination::Refuse(Refused::UnknownOperation),
            None => match &premises.doors.buckets {
                Some(door) if signed_for == SignedFor::Nothing && names_object(head) => {
                    Destination::Buckets(Arc::clone(door))
                }
                _ => Destination::Other,
            },
        },
    }
}

/// First parts of paths that other rooms answer; a bucket of such a name needs a signature.
const ROOMS: [&str; 5] = ["captura", "console", "endpoints", "metrics", "service"];
/// What S3's POST requests ask for.
const OBJECT_POSTS: [&str; 3] = ["delete", "uploads", "uploadId"];

/// A form with a file in it, as browsers post it to a bucket; its signature is among its fields.
fn is_form(head: &Parts) -> bool {
    let kind = head.headers.get(header::CONTENT_TYPE).map(|kind| kind.as_bytes().to_ascii_lowercase());
    kind.is_some_and(|kind| kind.starts_with(b"multipart/form-data"))
}

/// Whether a request that nobody signed can only be for a bucket or an object: such as a browser or `curl` sends.
fn names_object(head: &Parts) -> bool {
    let bucket = head.uri.path().split('/').nth(1).unwrap_or_default();
    if S3Uri::new(bucket, "").is_err() || ROOMS.contains(&bucket) || head.headers.contains_key("x-amz-target") {
        return false;
    }
    match head.method {
        Method::GET | Method::HEAD | Method::PUT | Method::DELETE => true,
        Method::POST => {
            is_form(head)
                || head.uri.query().is_some_and(|query| {
                    query.split('&').any(|pair| OBJECT_POSTS.contains(&pair.split('=').next().unwrap_or_default()))
                })
        }
        _ => false,
    }
}

fn runtime<'a>(method: &Method, endpoint: &'a str, operation: &str) -> Destination<'a> {
    let operation = match operation {
        "invocations" => Operation::Invoke,
        "invocations-response-stream" => Operation::InvokeWithResponseStream,
        "async-invocations" => Operation::InvokeAsync,
        _ => return Destination::Refuse(Refused::UnknownOperation),
    };
    match *method {
        Method::POST => Destination::Invoke { endpoint, operation },
        _ => Destination::Refuse(Refused::MethodNotAllowed),
    }
}

/// Hands a whole request through the binary's door. It runs as a task of its own, so that a caller who hangs up does
/// not leave an operation of the control plane half-done.
async fn other(line: &Line, head: Parts, body: RequestBody) -> Result<Reply, Refused> {
    let premises = &*line.premises;
    let collected = body::collect(body, premises.settings.body_max_bytes, premises.memory(), &line.pulse).await?;
    line.pulse.enter(Phase::Work, Instant::now());
    let door = Arc::clone(&premises.doors.other);
    let answering = tokio::spawn(async move { door(Request::from_parts(head, collected.bytes)).await });
    let (head, bytes) = answering.await.map_err(|_| Refused::Panicked)?.into_parts();
    let mut reply = reply::reply(head.status, bytes, Some(collected.held));
    *reply.headers_mut() = head.headers;
    Ok(reply)
}

/// Passes a request for S3 on while it still arrives, and the answer while it still comes. A caller that hangs up ends
/// what it asked for: an object is there whole or not at all.
async fn buckets(
    line: &Line,
    door: BucketDoor,
    request: Request<RequestBody>,
    held_to: HeldTo,
) -> Result<Reply, Refused> {
    let arriving = request.map(|body| match body {
        RequestBody::Arriving(body) => {
            HeldBody::new(Arriving::new(body, Arc::clone(&line.pulse)), held_to).boxed_unsync()
        }
        RequestBody::Whole(collected) => Full::new(collected.bytes).map_err(|never| match never {}).boxed_unsync(),
    });
    let (head, body) = door(arriving).await.into_parts();
    let size_bytes = body.size_hint().exact();
    let pieces = BodyStream::new(body.map_err(|error| BrokenOff(error.to_string())));
    let mut reply = reply::streamed(head.status, Box::pin(pieces), size_bytes);
    *reply.headers_mut() = head.headers;
    Ok(reply)
}
