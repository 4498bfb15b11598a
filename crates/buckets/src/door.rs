//! The way in and out: a request is made ready for the library, and whatever happens, there is an answer in S3's form.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use captura_archive::Stores;
use captura_tasks::Tasks;
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::BodyExt as _;
use s3s::config::{S3Config, StaticConfigProvider};
use s3s::host::{S3Host, VirtualHost};
use s3s::service::{S3Service, S3ServiceBuilder};
use s3s::{S3Error, S3Result};
use tokio::task::JoinHandle;

use crate::arrival::{self, PiecewiseBody};
use crate::bucket::uploads_folder;
use crate::counted;
use crate::desk::{Desk, Furniture, Service};
use crate::disk::blocking;
use crate::facts::FactStore;
use crate::key;
use crate::local::{Now, Shared};
use crate::refusal::Refusal;
use crate::remote;
use crate::uploads::Uploads;
use crate::words;

/// Largest document of a request, bytes: a list of 10,000 parts with their checksums.
const DOCUMENT_MAX_BYTES: usize = 4 << 20;
/// How often uploads that were given up are looked for.
const SWEEP_EVERY: Duration = Duration::from_secs(60 * 60);

/// What the room is told.
#[derive(Clone)]
pub struct Settings {
    /// The server's data directory.
    pub data_dir: PathBuf,
    /// The buckets.
    pub stores: Stores,
    /// The region that buckets are said to be in.
    pub region: String,
    /// The account that owns them.
    pub account: String,
    /// Names of this server that stand behind a bucket's own in `bucket.name`, without port.
    pub domains: Vec<String>,
    /// The wall time.
    pub now: Now,
    /// Begins the tending again when it panics.
    pub tasks: Tasks,
}

/// The buckets; dropped, they are no longer tended.
pub struct Buckets {
    service: S3Service,
    domains: Domains,
    tending: JoinHandle<()>,
}

impl Drop for Buckets {
    fn drop(&mut self) {
        self.tending.abort();
    }
}

impl Buckets {
    /// Opens the room; must be called within a runtime.
    #[must_use]
    pub fn open(settings: Settings) -> Self {
        let uploads_folder = uploads_folder(&settings.data_dir);
        let spool = uploads_folder.join("spool");
        let uploads = Uploads::new(uploads_folder);
        let now = Arc::clone(&settings.now);
        let tended = (uploads.clone(), spool.clone(), Arc::clone(&now));
        let tending =
            settings.tasks.spawn("uploads", tended, |(uploads, spool, now)| Box::pin(tend(uploads, spool, now)));
        let desk = Desk::new(Furniture {
            stores: settings.stores,
            shared: Shared::new(FactStore::new(&settings.data_dir), Arc::clone(&now)),
            uploads,
            spool,
            region: settings.region,
            account: settings.account,
            now,
        });
        let mut config = S3Config::default();
        config.xml_max_body_size = DOCUMENT_MAX_BYTES;
        let mut builder = S3ServiceBuilder::new(Service(desk));
        builder.set_config(Arc::new(StaticConfigProvider::new(Arc::new(config))));
        let domains = Domains(settings.domains.into());
        builder.set_host(domains.clone());
        Self { service: builder.build(), domains, tending }
    }

    /// Answers a request.
    pub async fn answer(&self, request: Request<PiecewiseBody>) -> Response<PiecewiseBody> {
        let is_document = self.is_document(&request);
        if is_form(&request) {
            return refuse(Refusal::NotThere("uploads by an HTML form".into()));
        }
        if is_document && declared_bytes(&request).is_some_and(is_too_long) {
            return refuse(Refusal::DocumentTooLong);
        }
        let (head, body) = request.into_parts();
        let (passed, body) = counted::count(body);
        match self.service.call(arrival::receive(Request::from_parts(head, body))).await {
            // The library takes a document that is too long for an error of its own.
            Ok(response) if response.status().is_server_error() && is_document && is_too_long(passed.get()) => {
                refuse(Refusal::DocumentTooLong)
            }
            Ok(response) => words::complete(response.map(http_body_util::BodyExt::boxed_unsync)).await,
            Err(error) => {
                tracing::error!(?error, "an S3 answer could not be made");
                refuse(Refusal::Disk(std::io::Error::other("an answer could not be made")))
            }
        }
    }

    /// Whether the body can only be a document, which the library gathers, and no object's bytes.
    fn is_document<B>(&self, request: &Request<B>) -> bool {
        if request.method() != Method::PUT {
            return true;
        }
        let host = request.headers().get(header::HOST).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let parts = request.uri().path().split('/').filter(|part| !part.is_empty()).count();
        let names_key = parts > usize::from(self.domains.bucket_of(host).is_none());
        let query = request.uri().query().unwrap_or_default();
        !names_key || query.split('&').any(|pair| DOCUMENTS.contains(&pair.split('=').next().unwrap_or_default()))
    }
}

/// What is put beside an object's bytes, as the query names it.
const DOCUMENTS: [&str; 6] = ["acl", "encryption", "legal-hold", "retention", "tagging", "torrent"];

fn is_form<B>(request: &Request<B>) -> bool {
    let content_type = request.headers().get(header::CONTENT_TYPE).map(|value| value.as_bytes().to_ascii_lowercase());
    request.method() == Method::POST && content_type.is_some_and(|value| value.starts_with(b"multipart/form-data"))
}

fn declared_bytes<B>(request: &Request<B>) -> Option<u64> {
    request.headers().get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

fn is_too_long(size_bytes: u64) -> bool {
    size_bytes > DOCUMENT_MAX_BYTES as u64
}

fn refuse(refusal: Refusal) -> Response<PiecewiseBody> {
    match S3Error::from(refusal).to_http_response() {
        Ok(response) => response.map(http_body_util::BodyExt::boxed_unsync),
        Err(_) => {
            let body = http_body_util::Empty::new().map_err(|never| match never {}).boxed_unsync();
            let mut response = Response::new(body);
            *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
            response
        }
    }
}

/// `bucket.localhost` names a bucket; `localhost`, an address, and anything else name the server.
#[derive(Clone)]
struct Domains(Arc<[String]>);

impl Domains {
    /// The bucket that a `Host` names, where it names one.
    fn bucket_of<'a>(&self, host: &'a str) -> Option<&'a str> {
        let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
        let bucket = self.0.iter().find_map(|domain| name.strip_suffix(domain.as_str())?.strip_suffix('.'));
        bucket.filter(|bucket| key::bucket(bucket).is_ok())
    }
}

impl S3Host for Domains {
    fn parse_host_header<'a>(&'a self, host: &'a str) -> S3Result<VirtualHost<'a>> {
        let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
        Ok(match self.bucket_of(host) {
            Some(bucket) => VirtualHost::new(&name[bucket.len() + 1..]).with_bucket(bucket),
            None => VirtualHost::new(name),
        })
    }
}

/// Removes what nobody will complete, at once and then every hour.
async fn tend(uploads: &Uploads, spool: &Path, now: &Now) {
    remote::sweep(spool.to_owned()).await;
    let mut hours = tokio::time::interval(SWEEP_EVERY);
    loop {
        hours.tick().await;
        let (uploads, now) = (uploads.clone(), now());
        match blocking(move || uploads.sweep(now)).await {
            Ok(0) => {}
            Ok(removed) => tracing::info!(removed, "uploads that nobody completed are removed"),
            Err(error) => tracing::warn!(%error, "uploads that nobody completed cannot be removed"),
        }
    }
}
