//! The door behind the gateway: control plane by its target header, and captura's own read-only resources.
//!
//! `GET /captura/v1/ledger`, `/captura/v1/ledger/minutes?from=&to=&by=&endpoint=`, `/captura/v1/endpoints`,
//! `/captura/v1/consumers`, `/captura/v1/tail?endpoint=&after=&limit=`. The command line reads
//! them, and so may anything else.
//!
//! `POST /captura/v1/erasures` (`erasing.rs`) and `POST /captura/v1/monitoring-schedules/{name}/executions`
//! (`monitors.rs`) are those that change something: SageMaker's API has no word for them.
//!
//! Refuses to: change anything else; intents go through SageMaker's API.

use std::sync::Arc;

use bytes::Bytes;
use captura_archive::jsonl;
use captura_archive::rendering::TablePlan;
use captura_capture::Capture;
use captura_capture::ledger::Account;
use captura_capture::ledger::minutes::{MinuteQuery, minute_of};
use captura_capture::record::Lsn;
use captura_cloudwatch::Cloudwatch;
use captura_consumers::Consumers;
use captura_control::Control;
use captura_gateway::Door;
use captura_keys::Registry;
use captura_logs::Logs;
use captura_names::{EndpointName, Timestamp};
use captura_route::{Clock, Durability, RouteTable, WhenUnavailable};
use captura_scaling::Scaling;
use captura_wire::scope::Scope;
use http::{Method, Request, Response, StatusCode, header};
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::consumers;
use crate::privacy::Erasers;
use crate::{erasing, monitors, sts};

/// Most records in one answer of `tail`.
const TAIL_MAX: usize = 1_000;
const UNKNOWN_OPERATION: &str = "UnknownOperationException";
const HELLO: &str = "This is captura: SageMaker's API for model endpoints, with a memory. \
    Point a client here: export AWS_ENDPOINT_URL=<this address>. GET /captura/v1/endpoints tells what is served.\n";

/// What the door opens onto.
#[derive(Clone)]
pub(crate) struct Rooms {
    pub(crate) control: Control,
    pub(crate) capture: Capture,
    pub(crate) consumers: Consumers,
    pub(crate) registry: Arc<Registry>,
    pub(crate) cloudwatch: Cloudwatch,
    pub(crate) logs: Logs,
    pub(crate) scaling: Scaling,
    pub(crate) table: watch::Receiver<Arc<RouteTable>>,
    pub(crate) region: String,
    pub(crate) account: String,
    /// What the archive does with the records.
    pub(crate) archive: crate::archive::Seen,
    /// Whether records carry captura's own key.
    pub(crate) extension: bool,
    /// Tables that calls go into.
    pub(crate) tables: Vec<TablePlan>,
    /// What erases; nothing where nothing is sealed.
    pub(crate) erasers: Arc<Erasers>,
}

impl Rooms {
    /// The door for the gateway.
    pub(crate) fn door(self) -> Door {
        Arc::new(move |request| {
            let rooms = self.clone();
            Box::pin(async move { rooms.answer(request).await })
        })
    }

    async fn answer(&self, request: Request<Bytes>) -> Response<Bytes> {
        if is_for_cloudwatch(&request) {
            return self.cloudwatch(&request).await;
        }
        if let Some(target) = request.headers().get("x-amz-target") {
            let target = target.to_str().unwrap_or_default().to_owned();
            return if target.starts_with(captura_wire::logs::TARGET_PREFIX) {
                self.logs(target, request).await
            } else if target.starts_with(captura_wire::autoscaling::TARGET_PREFIX) {
                self.scaling(target, request).await
            } else {
                self.control(&target, request).await
            };
        }
        if sts::is_for_sts(&request) {
            return sts::answer(&request, &self.account);
        }
        match (request.method(), request.uri().path()) {
            (&Method::GET, "/") => text(HELLO),
            (&Method::GET, "/captura/v1/ledger") => self.ledger(),
            (&Method::GET, "/captura/v1/ledger/minutes") => {
                self.minutes(request.uri().query().unwrap_or_default().to_owned()).await
            }
            (&Method::GET, "/captura/v1/endpoints") => self.endpoints(),
            (&Method::GET, "/captura/v1/consumers") => {
                json_answer(&consumers::told(&self.consumers, &self.registry, &self.capture.ledger()))
            }
            (&Method::GET, "/captura/v1/tail") => self.tail(request.uri().query().unwrap_or_default()),
            (&Method::POST, "/captura/v1/erasures") => {
                erasing::answer(Arc::clone(&self.erasers), request.body().clone()).await
            }
            (&Method::POST, path) if monitors::schedule_of(path).is_some() => {
                let name = monitors::schedule_of(path).unwrap_or_default();
                let reply = self.control.run_monitor(name, &self.region_of(&request)).await;
                response(reply.status, reply.headers, reply.body)
            }
            _ => unknown(&request),
        }
    }

    async fn cloudwatch(&self, request: &Request<Bytes>) -> Response<Bytes> {
        let scope = scope(request);
        let region = scope.as_ref().map_or(self.region.as_str(), |scope| scope.region());
        let asked = captura_wire::cloudwatch::Request {
            path: request.uri().path(),
            query: request.uri().query().unwrap_or_default(),
            target: text_of(request, "x-amz-target"),
            content_encoding: text_of(request, "content-encoding"),
            body: request.body(),
        };
        let reply = self.cloudwatch.answer(&asked, region).await;
        response(reply.status, reply.headers, reply.body)
    }

    async fn logs(&self, target: String, request: Request<Bytes>) -> Response<Bytes> {
        let (logs, region) = (self.logs.clone(), self.region_of(&request));
        let body = request.into_body();
        blocking(move || logs.answer(&captura_logs::Request { target: &target, region: &region, body })).await
    }

    async fn scaling(&self, target: String, request: Request<Bytes>) -> Response<Bytes> {
        let (scaling, region) = (self.scaling.clone(), self.region_of(&request));
        let body = request.into_body();
        let runtime = tokio::runtime::Handle::current();
        blocking(move || {
            let asked = captura_scaling::Request { target: &target, region: &region, body };
            runtime.block_on(scaling.answer(&asked))
        })
        .await
    }

    fn region_of(&self, request: &Request<Bytes>) -> String {
        scope(request).map_or_else(|| self.region.clone(), |scope| scope.region().to_owned())
    }

    async fn control(&self, target: &str, request: Request<Bytes>) -> Response<Bytes> {
        let scope = scope(&request);
        let region = scope.as_ref().map_or(self.region.as_str(), |scope| scope.region());
        let intent = captura_control::Request { target, region, body: request.body().clone() };
        let answer = self.control.answer(intent).await;
        response(answer.status, answer.headers, answer.body)
    }

    fn ledger(&self) -> Response<Bytes> {
        let (book, table) = (self.capture.ledger(), self.table.borrow().clone());
        let accounts = book.accounts.iter().map(|account| {
            let mut account_json = json!(account);
            let (durability, when_unavailable) = guarantee(&table, account).unzip();
            account_json["durability"] = json!(durability);
            account_json["whenUnavailable"] = json!(when_unavailable);
            account_json["imbalance"] = json!(account.imbalance());
            account_json
        });
        json_answer(&json!({
            "accounts": accounts.collect::<Vec<Value>>(),
            "destinations": self.archive.destinations(),
            "space": self.capture.space(),
        }))
    }

    /// `?from=&to=&by=minute|hour|day&endpoint=`: what happened in each stretch of time.
    async fn minutes(&self, query: String) -> Response<Bytes> {
        let query = match minute_query(&query) {
            Ok(query) => query,
            Err(why) => return refusal(&why),
        };
        let capture = self.capture.clone();
        // Files of many days may be read.
        match tokio::task::spawn_blocking(move || capture.minutes(&query)).await {
            Ok(Ok(book)) => {
                let rows = book.rows.iter().map(|row| {
                    let mut json = json!(row);
                    json["imbalance"] = json!(row.imbalance());
                    json
                });
                json_answer(&json!({
                    "rows": rows.collect::<Vec<Value>>(),
                    "truncated": book.truncated,
                    "keptSince": book.kept_since,
                }))
            }
            Ok(Err(error)) => {
                let mut response = refusal(&format!("the minutes cannot be read: {error}"));
                *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
                response
            }
            Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
            Err(_) => response(503, Vec::new(), Bytes::new()),
        }
    }

    fn endpoints(&self) -> Response<Bytes> {
        let table = self.table.borrow().clone();
        let mut endpoints: Vec<_> = table.endpoints().collect();
        endpoints.sort_by(|a, b| a.name.cmp(&b.name));
        let endpoints = endpoints.into_iter().map(|endpoint| {
            let variants = endpoint.variants().map(|variant| {
                let settings = variant.capture.settings.as_ref().filter(|settings| settings.enabled);
                json!({
                    "name": variant.name,
                    "model": variant.capture.model,
                    "weight": variant.weight,
                    "signature": variant.backend.signature(),
                    "durability": settings.map(|settings| settings.durability),
                    "whenUnavailable": settings.map(|settings| settings.when_unavailable),
                })
            });
            let variants: Vec<Value> = variants.collect();
            let tables = self.tables.iter().filter(|table| table.covers(&endpoint.name));
            let tables: Vec<String> = tables.map(|table| table.to.to_string()).collect();
            json!({ "name": endpoint.name, "variants": variants, "tables": tables })
        });
        json_answer(&json!({ "endpoints": endpoints.collect::<Vec<Value>>() }))
    }

    fn tail(&self, query: &str) -> Response<Bytes> {
        let parameter = |name: &str| {
            let value = query.split('&').filter_map(|pair| pair.split_once('=')).find(|(key, _)| *key == name);
            value.map(|(_, value)| value).filter(|value| !value.is_empty())
        };
        let endpoint = match parameter("endpoint").map(EndpointName::parse).transpose() {
            Ok(endpoint) => endpoint,
            Err(error) => return refusal(&format!("endpoint: {error}")),
        };
        let after = match parameter("after").map(str::parse::<Lsn>).transpose() {
            Ok(after) => after,
            Err(error) => return refusal(&format!("after: {error}")),
        };
        let limit = match parameter("limit").map(str::parse::<usize>).transpose() {
            Ok(limit) => limit.unwrap_or(TAIL_MAX).min(TAIL_MAX),
            Err(_) => return refusal("limit: must be a whole number"),
        };
        let records = self.capture.tail(endpoint.as_ref(), after, limit);
        let mut lines = Vec::new();
        for record in &records {
            jsonl::write_line(&mut lines, record, self.extension);
        }
        let mut response = Response::new(Bytes::from(lines));
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, header::HeaderValue::from_static("application/jsonlines"));
        if let Some(last) = records.last().and_then(|record| record.lsn.to_string().parse().ok()) {
            headers.insert("x-captura-last-lsn", last);
        }
        response
    }
}

/// Minutes that are asked for when nothing is said of time.
const MINUTES_ASKED: i64 = 60;

fn minute_query(query: &str) -> Result<MinuteQuery, String> {
    let parameter = |name: &str| {
        let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
        pairs
            .filter(|(key, value)| *key == name && !value.is_empty())
            .map(|(_, value)| value.replace("%3A", ":"))
            .next()
    };
    let time = |name: &str| {
        let time = parameter(name).map(|text| Timestamp::parse(&text)).transpose();
        time.map_err(|error| format!("{name}: {error}"))
    };
    let (step, name) = match parameter("by").as_deref() {
        None | Some("minute") => (1, "minute"),
        Some("hour") => (60, "hour"),
        Some("day") => (24 * 60, "day"),
        Some(other) => return Err(format!("by: {other:.20} is none of minute, hour, day")),
    };
    // The minute that has begun is asked for too.
    let to = time("to")?.map_or_else(|| minute_of(Clock::system().now()) + 1, |to| minute_of(to.plus_us(59_999_999)));
    let from = time("from")?.map_or(to - MINUTES_ASKED, minute_of);
    let from = from.div_euclid(step) * step;
    if from >= to {
        return Err(format!("from: it must be before to, by a {name} at least"));
    }
    Ok(MinuteQuery { from, to, step, endpoint: parameter("endpoint") })
}

/// How surely an account's records are kept now; nothing where its variant is gone or captures nothing.
fn guarantee(table: &RouteTable, account: &Account) -> Option<(Durability, WhenUnavailable)> {
    let endpoint = table.endpoints().find(|endpoint| endpoint.name.as_str() == account.endpoint)?;
    let variant = endpoint.variants().find(|variant| variant.name.as_str() == account.variant)?;
    let settings = variant.capture.settings.as_ref().filter(|settings| settings.enabled)?;
    Some((settings.durability, settings.when_unavailable))
}

fn text_of<'a>(request: &'a Request<Bytes>, name: &str) -> Option<&'a str> {
    request.headers().get(name).and_then(|value| value.to_str().ok())
}

fn scope(request: &Request<Bytes>) -> Option<Scope<'_>> {
    match request.headers().get(header::AUTHORIZATION) {
        Some(value) => Scope::of_authorization(value.to_str().ok()?),
        None => Scope::of_query(request.uri().query()?),
    }
}

fn is_for_cloudwatch(request: &Request<Bytes>) -> bool {
    let scope = scope(request);
    let service = scope.as_ref().map(|scope| scope.service());
    captura_wire::cloudwatch::is_ours(service, text_of(request, "x-amz-target"), request.uri().path())
}

/// Answers where it may block.
async fn blocking(answer: impl FnOnce() -> captura_wire::aws_json::Reply + Send + 'static) -> Response<Bytes> {
    match tokio::task::spawn_blocking(answer).await {
        Ok(answer) => response(answer.status, answer.headers, answer.body),
        Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
        Err(_) => response(503, Vec::new(), Bytes::new()),
    }
}

fn response(status: u16, headers: Vec<(&'static str, String)>, body: Bytes) -> Response<Bytes> {
    let mut response = Response::new(body);
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    for (name, value) in headers {
        if let Ok(value) = value.parse() {
            response.headers_mut().insert(name, value);
        }
    }
    response
}

fn text(body: &'static str) -> Response<Bytes> {
    let mut response = Response::new(Bytes::from_static(body.as_bytes()));
    response.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static("text/plain; charset=utf-8"));
    response
}

fn json_answer(body: &Value) -> Response<Bytes> {
    let mut response = Response::new(Bytes::from(body.to_string()));
    response.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static("application/json"));
    response
}

fn refusal(message: &str) -> Response<Bytes> {
    let mut response = json_answer(&json!({ "message": message }));
    *response.status_mut() = StatusCode::BAD_REQUEST;
    response
}

/// Clients of services that ask in forms and read XML, IAM's and EC2's among them, cannot make sense of anything else.
fn unknown(request: &Request<Bytes>) -> Response<Bytes> {
    let (method, path) = (request.method(), request.uri().path());
    if let (&Method::POST, Some(action)) = (method, sts::action(request)) {
        let scope = scope(request);
        let service = scope.as_ref().map_or("this service", |scope| scope.service());
        return sts::refusal(UNKNOWN_OPERATION, &format!("The action {action:.64} of {service} is not known here."));
    }
    let message = format!("nothing answers {method} {path} here; SageMaker operations are POST / with X-Amz-Target");
    let mut response = json_answer(&json!({ "__type": UNKNOWN_OPERATION, "message": message }));
    *response.status_mut() = StatusCode::NOT_FOUND;
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_action_of_a_service_that_is_not_here_is_refused_in_xml_and_anything_else_in_json() {
        let request = |body: &'static str| {
            let authorization =
                "AWS4-HMAC-SHA256 Credential=k/20260131/us-east-1/iam/aws4_request, SignedHeaders=host, Signature=0";
            let request = Request::builder().method("POST").uri("/").header("authorization", authorization);
            request.body(Bytes::from_static(body.as_bytes())).unwrap()
        };
        let answer = unknown(&request("Action=GetRole&RoleName=r&Version=2010-05-08"));
        assert_eq!((answer.status().as_u16(), &answer.headers()["content-type"]), (400, &"text/xml".parse().unwrap()));
        let body = String::from_utf8_lossy(answer.body());
        assert!(
            body.contains(
                "<Code>UnknownOperationException</Code><Message>The action GetRole of iam is not known here."
            ),
            "{body}"
        );
        let answer = unknown(&request("{}"));
        assert_eq!((answer.status().as_u16(), answer.body().first()), (404, Some(&b'{')));
    }
}
