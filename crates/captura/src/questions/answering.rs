//! The server's side: one job is attended to, and the endpoint that was made for it goes with it.
//!
//! Invariant: an endpoint that is made for a job is taken away when the job has hung up or ended, however it did; what a
//! killed server left is taken away by the next one before jobs begin.

use std::collections::BTreeSet;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use captura_control::{Control, Request, Response};
use captura_gateway::{OwnCall, OwnOutcome, Runner};
use captura_jobs::{Attending, Errand, ModelsDoor};
use captura_names::{EndpointName, InferenceId};
use serde_json::{Value, json};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{Semaphore, watch};

use super::{Ask, Model, QUESTION_MAX_BYTES, Said, Told, place, receive, send};

/// Who asks, in captures and in the book of consumers.
const CONSUMER: &str = "captura-jobs";
/// What the names of endpoints have in them that are made for a job, before their id.
const OWN_ENDPOINT: &str = "captura-job-";
/// Longest name of an endpoint.
const NAME_MAX_LENGTH: usize = 63;
/// Calls of all jobs under way, at most.
const CALLS_MAX: u32 = 64;
/// Tries of a call that the endpoint has no room for.
const TRIES_MAX: u32 = 6;
/// Before the second try; twice as long before each further one.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// How often an endpoint is looked at that is being made.
const LOOK_INTERVAL: Duration = Duration::from_millis(100);
/// How long it may take.
const READY_WITHIN: Duration = Duration::from_secs(900);
/// How long the end of a job waits for its endpoint to go: one that is being made cannot be deleted yet.
const GONE_WITHIN: Duration = Duration::from_secs(30);

/// What questions are answered with.
#[derive(Clone)]
pub(crate) struct Server {
    pub(crate) runner: Runner,
    pub(crate) control: Control,
}

/// The way of all jobs to this server's models. It is there before the server is: jobs wait.
#[derive(Clone)]
pub(crate) struct Questions {
    server: Arc<watch::Sender<Option<Server>>>,
    calls: Arc<Semaphore>,
}

impl Questions {
    pub(crate) fn new() -> Self {
        Self { server: Arc::new(watch::channel(None).0), calls: Arc::new(Semaphore::new(CALLS_MAX as usize)) }
    }

    /// The door that jobs come through.
    pub(crate) fn door(&self) -> ModelsDoor {
        let questions = self.clone();
        Arc::new(move |errand| questions.open(errand))
    }

    /// From now on there is somebody to answer.
    pub(crate) fn answer_by(&self, server: Server) {
        self.server.send_replace(Some(server));
    }

    /// No further call is made; those under way have so long.
    pub(crate) async fn close(&self, patience: Duration) {
        if let Ok(Ok(all)) = tokio::time::timeout(patience, self.calls.acquire_many(CALLS_MAX)).await {
            all.forget();
        }
        self.calls.close();
    }

    /// The server is gone, and with it what made each hold the other.
    pub(crate) fn end(&self) {
        self.server.send_replace(None);
    }

    fn open(&self, errand: Errand) -> io::Result<Attending> {
        let Errand { folder, job, region, until } = errand;
        let place = place(&folder)?;
        let listener = UnixListener::bind(&place.path)?;
        let mut desk = Desk { questions: self.clone(), job, region, made: None };
        Ok(Box::pin(async move {
            let served = async {
                if let Err(error) = desk.serve(&listener).await {
                    tracing::warn!(job = desk.job, %error, "a job cannot be heard");
                }
            };
            tokio::select! {
                () = served => {}
                _ = until => {}
            }
            desk.leave().await;
        }))
    }
}

/// Where one job is attended to.
struct Desk {
    questions: Questions,
    job: String,
    region: String,
    /// The endpoint that was made for it.
    made: Option<String>,
}

impl Desk {
    /// Attends to the job until it hangs up.
    async fn serve(&mut self, listener: &UnixListener) -> io::Result<()> {
        let (mut stream, _) = listener.accept().await?;
        let mut open = None;
        while let Some((said, body)) = receive(&mut stream, QUESTION_MAX_BYTES).await? {
            match said {
                Said::Open(model) if open.is_none() => match self.opened(&model).await {
                    Ok(endpoint) => {
                        open = Some(endpoint);
                        send(&mut stream, &Told::Opened, b"").await?;
                    }
                    Err(why) => send(&mut stream, &Told::Failed(why), b"").await?,
                },
                Said::Ask(ask) if open.is_some() => {
                    let endpoint = open.as_ref().expect("our bug: it was looked at a moment ago");
                    self.answer(&mut stream, endpoint, ask, body.into()).await?;
                }
                Said::Open(_) | Said::Ask(_) => {
                    return Err(io::Error::other("it says something in the wrong place"));
                }
            }
        }
        Ok(())
    }

    async fn server(&self) -> Result<Server, String> {
        let mut server = self.questions.server.subscribe();
        let known = server.wait_for(Option::is_some).await.ok().and_then(|server| server.clone());
        known.ok_or_else(|| "the server ends".to_owned())
    }

    async fn opened(&mut self, model: &Model) -> Result<EndpointName, String> {
        let name = match model {
            Model::Endpoint(name) => name.clone(),
            Model::Model { name, prefix } => self.made_of(name, prefix.as_deref()).await?,
        };
        EndpointName::parse(&name).map_err(|error| format!("the endpoint {name:?}: {error}"))
    }

    /// An endpoint of its own for a model, as Clarify makes one: it captures nothing, and callers do not share it.
    async fn made_of(&mut self, model: &str, prefix: Option<&str>) -> Result<String, String> {
        let control = self.server().await?.control;
        let name = own_name(prefix);
        EndpointName::parse(&name).map_err(|error| format!("endpoint_name_prefix: {error}"))?;
        let variant = json!({
            "VariantName": "AllTraffic", "ModelName": model, "InitialInstanceCount": 1, "InstanceType": "ml.local",
            "InitialVariantWeight": 1.0,
        });
        // Known before it is made: whatever comes in between, it is taken away.
        self.made = Some(name.clone());
        let config = json!({ "EndpointConfigName": name, "ProductionVariants": [variant] });
        operation(&control, &self.region, "CreateEndpointConfig", &config).await?;
        let endpoint = json!({ "EndpointName": name, "EndpointConfigName": name });
        operation(&control, &self.region, "CreateEndpoint", &endpoint).await?;
        let ready = async {
            loop {
                let described = json!({ "EndpointName": name });
                let described = operation(&control, &self.region, "DescribeEndpoint", &described).await?;
                match described["EndpointStatus"].as_str() {
                    Some("InService") => return Ok(()),
                    Some("Failed") => {
                        let why = described["FailureReason"].as_str().unwrap_or("no reason given");
                        return Err(format!("the model {model} cannot be served: {why}"));
                    }
                    _ => tokio::time::sleep(LOOK_INTERVAL).await,
                }
            }
        };
        let late = |_| Err(format!("the model {model} was not in service within {} s", READY_WITHIN.as_secs()));
        tokio::time::timeout(READY_WITHIN, ready).await.unwrap_or_else(late)?;
        tracing::info!(job = self.job, model, endpoint = name, "an endpoint was made for a job");
        Ok(name)
    }

    async fn answer(&self, stream: &mut UnixStream, endpoint: &EndpointName, ask: Ask, body: Bytes) -> io::Result<()> {
        match self.outcome(endpoint, ask, body).await {
            OwnOutcome::Answered(answer) => {
                let content_type = answer.content_type.map(String::from);
                send(stream, &Told::Answered { content_type }, &answer.body).await
            }
            OwnOutcome::Refused(why) => send(stream, &Told::Refused(why), b"").await,
            OwnOutcome::Busy(why) | OwnOutcome::Failed(why) => send(stream, &Told::Failed(why), b"").await,
        }
    }

    /// Asks, and asks again while the endpoint has no room.
    async fn outcome(&self, endpoint: &EndpointName, ask: Ask, body: Bytes) -> OwnOutcome {
        let runner = match self.server().await {
            Ok(server) => server.runner,
            Err(why) => return OwnOutcome::Failed(why),
        };
        let Ok(inference_id) = InferenceId::parse(&ask.inference_id) else {
            return OwnOutcome::Failed("our bug: a question has an id that is none".to_owned());
        };
        let call = OwnCall {
            endpoint: endpoint.clone(),
            consumer: CONSUMER.to_owned(),
            principal: format!("job:{}", self.job),
            inference_id,
            content_type: Some(ask.content_type.into()),
            accept: ask.accept.map(Into::into),
            target_model: ask.target_model.map(Into::into),
            body,
        };
        let mut pause = FIRST_PAUSE;
        for left in (0..TRIES_MAX).rev() {
            let outcome = match self.questions.calls.acquire().await {
                Ok(_place) => runner.call(call.clone()).await,
                Err(_) => return OwnOutcome::Failed("the server ends".to_owned()),
            };
            if left == 0 || !matches!(outcome, OwnOutcome::Busy(_)) {
                return outcome;
            }
            tokio::time::sleep(pause).await;
            pause *= 2;
        }
        unreachable!("our bug: the last try always answers")
    }

    /// Takes away what was made.
    async fn leave(&mut self) {
        let Some(name) = self.made.take() else { return };
        if let Ok(server) = self.server().await
            && tokio::time::timeout(GONE_WITHIN, take_away(&server.control, &self.region, &name)).await.is_err()
        {
            tracing::warn!(
                job = self.job,
                endpoint = name,
                "an endpoint that was made for a job stays until the next start"
            );
        }
    }
}

/// Takes away what jobs of a server that was killed have left, beside all that follows. To be called before jobs begin.
pub(crate) async fn sweep(control: &Control, region: &str) {
    let mut left = BTreeSet::new();
    let asked = json!({ "NameContains": OWN_ENDPOINT, "MaxResults": 100 });
    for (operation_name, list, member) in [
        ("ListEndpoints", "Endpoints", "EndpointName"),
        ("ListEndpointConfigs", "EndpointConfigs", "EndpointConfigName"),
    ] {
        let Ok(listed) = operation(control, region, operation_name, &asked).await else { continue };
        let names = listed[list].as_array().into_iter().flatten().filter_map(|one| one[member].as_str());
        left.extend(names.filter(|name| is_own(name)).map(str::to_owned));
    }
    let (control, region) = (control.clone(), region.to_owned());
    tokio::spawn(async move {
        for name in left {
            tracing::info!(name, "an endpoint that was made for a job is taken away");
            let gone = take_away(&control, &region, &name);
            // What does not go now goes at the next start.
            let _ = tokio::time::timeout(READY_WITHIN, gone).await;
        }
    });
}

/// A name that nobody else has; as much of the prefix as there is room for stands before it.
fn own_name(prefix: Option<&str>) -> String {
    let own = format!("{OWN_ENDPOINT}{}", uuid::Uuid::new_v4().simple());
    let room = NAME_MAX_LENGTH - own.len() - 1;
    let prefix: String = prefix.into_iter().flat_map(str::chars).take(room).collect();
    match prefix.trim_end_matches('-') {
        "" => own,
        prefix => format!("{prefix}-{own}"),
    }
}

/// Whether a server gave that name to an endpoint for a job.
fn is_own(name: &str) -> bool {
    let Some((before, id)) = name.rsplit_once(OWN_ENDPOINT) else { return false };
    (before.is_empty() || before.ends_with('-')) && id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit())
}

async fn take_away(control: &Control, region: &str, name: &str) {
    let endpoint = json!({ "EndpointName": name });
    // It may never have been made, or be gone already. One that is being made is waited for.
    while operation(control, region, "DescribeEndpoint", &endpoint)
        .await
        .is_ok_and(|described| described["EndpointStatus"] != "Deleting")
        && operation(control, region, "DeleteEndpoint", &endpoint).await.is_err()
    {
        tokio::time::sleep(LOOK_INTERVAL).await;
    }
    let _ = operation(control, region, "DeleteEndpointConfig", &json!({ "EndpointConfigName": name })).await;
}

async fn operation(control: &Control, region: &str, name: &str, input: &Value) -> Result<Value, String> {
    let target = format!("SageMaker.{name}");
    let body = Bytes::from(input.to_string());
    let Response { status, body, .. } = control.answer(Request { target: &target, region, body }).await;
    let answer: Value = serde_json::from_slice(&body).unwrap_or(Value::Null);
    if status == 200 {
        return Ok(answer);
    }
    Err(answer["message"].as_str().map_or_else(|| format!("{name}: status {status}"), str::to_owned))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_that_a_server_gave_are_swept() {
        let given = format!("{OWN_ENDPOINT}{}", uuid::Uuid::new_v4().simple());
        assert!(is_own(&given) && EndpointName::parse(&given).is_ok());
        assert!(!is_own("captura-job-churn") && !is_own("churn") && !is_own(&given[1..]));
        for (prefix, begin) in
            [(None, "captura-job-"), (Some("churn"), "churn-captura-job-"), (Some("x-"), "x-captura-job-")]
        {
            let name = own_name(prefix);
            assert!(name.starts_with(begin) && is_own(&name), "{name}");
        }
        let long = own_name(Some(&"n".repeat(63)));
        assert!(long.len() == NAME_MAX_LENGTH && is_own(&long) && EndpointName::parse(&long).is_ok(), "{long}");
        assert!(!is_own(&format!("x{given}")), "somebody else's");
    }
}
