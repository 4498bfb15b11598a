//! The public keys of token issuers: read from a file or fetched, and again when their time has come or a token names one
//! that is not there.
//!
//! Invariant: a server starts, and goes on, with an issuer that does not answer: its tokens are refused until it does, and
//! keys that were there stay. However many tokens name unknown keys, one fetch is under way at a time, and none begins
//! sooner than [`RENEWAL_INTERVAL`] after the last. Refuses to: follow redirects, read more than a key set may have.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, bail};
use bytes::Bytes;
use captura_keys::{Issuer, KEY_SET_MAX_BYTES, KeySet, Policy, Renewal, TokenRule};
use captura_tasks::Tasks;
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::config::auth::{Jwt, JwtRule, policy};
use crate::trust;

/// How long an issuer may take to answer.
const FETCH_TIMEOUT: Duration = Duration::from_secs(10);
/// Least time between two fetches.
const RENEWAL_INTERVAL: Duration = Duration::from_secs(10);
/// How long a request waits for keys that are being fetched.
const RENEWAL_PATIENCE: Duration = Duration::from_secs(5);
/// How often a file of keys is read at least: reading it costs nothing.
const FILE_INTERVAL: Duration = Duration::from_secs(5);

/// Where keys come from.
enum Place {
    File(PathBuf),
    Url(http::Uri, Box<Client<HttpsConnector<HttpConnector>, Empty<Bytes>>>),
}

/// Whoever fetches keys; it ends with this.
#[derive(Debug, Default)]
pub(crate) struct Fetching(Vec<JoinHandle<()>>);

impl Drop for Fetching {
    fn drop(&mut self) {
        self.0.iter().for_each(JoinHandle::abort);
    }
}

/// Builds the issuers of the configuration and begins to fetch their keys; the first fetch of each is waited for.
pub(crate) async fn start(configured: &[Jwt], tasks: &Tasks) -> anyhow::Result<(Vec<Issuer>, Fetching)> {
    let (mut issuers, mut fetching) = (Vec::new(), Fetching::default());
    for jwt in configured {
        let keys = Arc::new(KeySet::default());
        let place = place(&jwt.jwks).with_context(|| unusable(jwt))?;
        let fetcher = Fetcher { place, keys: Arc::clone(&keys) };
        fetcher.renew().await;
        let (renewal, task) = fetcher.keep(jwt.refresh.0, tasks);
        fetching.0.push(task);
        issuers.push(issuer(jwt, keys, renewal));
    }
    Ok((issuers, fetching))
}

fn unusable(jwt: &Jwt) -> String {
    format!("[[auth.jwt]] of issuer {:?} cannot be used", jwt.issuer)
}

/// What can be told to be wrong without asking an issuer.
pub(crate) fn check(configured: &[Jwt]) -> anyhow::Result<()> {
    for (at, jwt) in configured.iter().enumerate() {
        check_one(jwt).and_then(|()| place(&jwt.jwks).map(drop)).with_context(|| unusable(jwt))?;
        if configured[..at].iter().any(|earlier| earlier.issuer == jwt.issuer) {
            bail!("there are two [[auth.jwt]] of issuer {:?}", jwt.issuer);
        }
    }
    Ok(())
}

fn check_one(jwt: &Jwt) -> anyhow::Result<()> {
    if jwt.audience.is_empty() || jwt.audience.iter().any(String::is_empty) {
        bail!("audience must name this server: a token that is for somebody else must not be taken");
    }
    if jwt.issuer.is_empty() || jwt.issuer.contains('#') {
        bail!("issuer must be the iss of its tokens");
    }
    if jwt.refresh.0 < Duration::from_secs(1) {
        bail!("refresh must be a second at least");
    }
    Ok(())
}

fn issuer(jwt: &Jwt, keys: Arc<KeySet>, renewal: Renewal) -> Issuer {
    let rule = |rule: &JwtRule| TokenRule {
        scope: rule.scope.clone(),
        claims: rule.claims.clone(),
        policy: Policy { allow: rule.allow.clone(), deny: rule.deny.clone() },
    };
    Issuer {
        issuer: jwt.issuer.clone(),
        audience: jwt.audience.clone(),
        consumer_claim: jwt.consumer_claim.clone(),
        leeway_seconds: u32::try_from(jwt.leeway.0.as_secs()).unwrap_or(u32::MAX),
        scopes: jwt.scopes.clone(),
        claims: jwt.claims.clone(),
        policy: policy(jwt.allow.as_ref(), &jwt.deny),
        rules: jwt.rules.iter().map(rule).collect(),
        keys,
        renewal: Some(renewal),
    }
}

fn place(jwks: &str) -> anyhow::Result<Place> {
    if !jwks.starts_with("http://") && !jwks.starts_with("https://") {
        return Ok(Place::File(jwks.strip_prefix("file://").unwrap_or(jwks).into()));
    }
    let uri: http::Uri = jwks.parse().with_context(|| format!("jwks = {jwks:?} is no URL"))?;
    if jwks.starts_with("http://") && !is_loopback(&uri) {
        bail!(
            "jwks = {jwks:?} would be fetched in clear, and whoever is on the way could give keys of their own; use https://"
        );
    }
    Ok(Place::Url(uri, Box::new(Client::builder(TokioExecutor::new()).build(trust::connector(jwks)?))))
}

/// What one issuer's task goes by: a panic in it leaves the keys that are there.
type Keeping = (Fetcher, Arc<Notify>, watch::Sender<u64>, Duration);

async fn keep_renewing((fetcher, asked, ended, interval): &mut Keeping) {
    loop {
        let _ = tokio::time::timeout(*interval, asked.notified()).await;
        fetcher.renew().await;
        ended.send_modify(|count| *count += 1);
    }
}

/// Whether nobody is on the way.
fn is_loopback(uri: &http::Uri) -> bool {
    let host = uri.host().unwrap_or_default().trim_matches(['[', ']']);
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

struct Fetcher {
    place: Place,
    keys: Arc<KeySet>,
}

impl Fetcher {
    async fn read(&self) -> anyhow::Result<Bytes> {
        match &self.place {
            Place::File(path) => {
                let length = tokio::fs::metadata(path).await?.len();
                if length > KEY_SET_MAX_BYTES as u64 {
                    bail!("it has {length} bytes, more than a set of keys may have");
                }
                Ok(tokio::fs::read(path).await?.into())
            }
            Place::Url(uri, client) => {
                let fetch = async {
                    let answer = client.get(uri.clone()).await.context("it does not answer")?;
                    if answer.status() != http::StatusCode::OK {
                        bail!("it answers {}", answer.status());
                    }
                    let body = Limited::new(answer.into_body(), KEY_SET_MAX_BYTES).collect().await;
                    Ok(body.map_err(|error| anyhow::anyhow!("its answer broke off: {error}"))?.to_bytes())
                };
                tokio::time::timeout(FETCH_TIMEOUT, fetch).await.context("it does not answer in time")?
            }
        }
    }

    /// Reads the keys; what fails leaves those that are there.
    async fn renew(&self) {
        let place = match &self.place {
            Place::File(path) => path.display().to_string(),
            Place::Url(uri, _) => uri.to_string(),
        };
        let replaced = match self.read().await {
            Ok(bytes) => self.keys.replace(&bytes).map_err(anyhow::Error::from),
            Err(error) => Err(error),
        };
        match replaced {
            Ok(keys) => tracing::debug!(place, keys, "the keys of an issuer of tokens were read"),
            Err(error) => {
                tracing::warn!(place, error = %format!("{error:#}"), "the keys of an issuer of tokens cannot be read");
            }
        }
    }

    /// Reads the keys again and again, and when somebody asks.
    fn keep(self, refresh: Duration, tasks: &Tasks) -> (Renewal, JoinHandle<()>) {
        let interval = match &self.place {
            Place::File(_) => refresh.min(FILE_INTERVAL),
            Place::Url(..) => refresh,
        };
        let asked = Arc::new(Notify::new());
        // How many fetches have ended.
        let (ended, ends) = watch::channel(0_u64);
        let task = {
            let state = (self, Arc::clone(&asked), ended, interval);
            tasks.spawn("issuers", state, |state| Box::pin(keep_renewing(state)))
        };
        // When one was asked for last, and how many had ended then.
        let last = Mutex::new(None::<(Instant, u64)>);
        let renewal: Renewal = Arc::new(move || {
            let mut last = last.lock().unwrap_or_else(PoisonError::into_inner);
            let mut ends = ends.clone();
            let count = *ends.borrow_and_update();
            match *last {
                Some((_, before)) if before == count => {}
                // What was asked for has come, and the key was not in it.
                Some((at, _)) if at.elapsed() < RENEWAL_INTERVAL => return None,
                _ => {
                    *last = Some((Instant::now(), count));
                    asked.notify_one();
                }
            }
            Some(Box::pin(async move {
                let _ = tokio::time::timeout(RENEWAL_PATIENCE, ends.changed()).await;
            }))
        });
        (renewal, task)
    }
}

#[cfg(test)]
mod tests;
