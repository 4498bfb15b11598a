//! The room from its door: requests as clients send them, files as other rooms see them.

mod behaviour;
mod hostile;
mod model;
mod operations;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use bytes::Bytes;
use captura_archive::{StoreSettings, Stores};
use captura_names::Timestamp;
use http::{HeaderMap, Request, StatusCode};
use http_body_util::{BodyExt as _, Full, StreamBody};

use crate::{BodyError, Buckets, PiecewiseBody, Settings};

/// A room over a folder of its own, at a time of its own.
struct House {
    dir: tempfile::TempDir,
    buckets: Buckets,
    now_us: Arc<AtomicI64>,
}

/// What came back.
#[derive(Debug)]
struct Told {
    status: StatusCode,
    headers: HeaderMap,
    body: Bytes,
}

impl Told {
    fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    /// The content of the first element of that name.
    fn element(&self, name: &str) -> &str {
        let (open, close) = (format!("<{name}>"), format!("</{name}>"));
        let after = self.text().split_once(&open).unwrap_or_else(|| panic!("no {name} in {self:?}")).1;
        after.split_once(&close).unwrap().0
    }

    fn header(&self, name: &str) -> &str {
        self.headers.get(name).unwrap_or_else(|| panic!("no {name} in {self:?}")).to_str().unwrap()
    }
}

fn whole(body: impl Into<Bytes>) -> PiecewiseBody {
    Full::new(body.into()).map_err(|never| match never {}).boxed_unsync()
}

/// A body that breaks off after its first bytes.
fn broken(start: &'static [u8]) -> PiecewiseBody {
    ending_with(start, BodyError::from("the caller is gone"))
}

/// A body as the door hands it on that is not the one that was signed.
fn altered(start: &'static [u8]) -> PiecewiseBody {
    ending_with(start, Box::new(std::io::Error::new(std::io::ErrorKind::InvalidData, "not the signed body")))
}

fn ending_with(start: &'static [u8], error: BodyError) -> PiecewiseBody {
    let pieces = [Ok(http_body::Frame::data(Bytes::from_static(start))), Err(error)];
    StreamBody::new(futures_util::stream::iter(pieces)).boxed_unsync()
}

impl House {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let now_us = Arc::new(AtomicI64::new(1_700_000_000_000_000));
        let clock = Arc::clone(&now_us);
        let buckets = Buckets::open(Settings {
            data_dir: dir.path().to_owned(),
            stores: Stores::new(StoreSettings { data_dir: dir.path().to_owned(), mappings: [].into() }),
            region: "eu-west-1".into(),
            account: "000000000000".into(),
            domains: vec!["localhost".into()],
            now: Arc::new(move || Timestamp::from_unix_us(clock.load(Ordering::Relaxed))),
            tasks: captura_tasks::Tasks::default(),
        });
        Self { dir, buckets, now_us }
    }

    async fn send(&self, line: &str, headers: &[(&str, &str)], body: PiecewiseBody) -> Told {
        let (method, uri) = line.split_once(' ').unwrap();
        let mut request = Request::builder().method(method).uri(uri);
        for (name, value) in [("host", "127.0.0.1:8080")].iter().chain(headers) {
            request.headers_mut().unwrap().insert(
                http::HeaderName::from_bytes(name.as_bytes()).unwrap(),
                http::HeaderValue::from_str(value).unwrap(),
            );
        }
        if let Some(size) = http_body::Body::size_hint(&body).exact() {
            request = request.header("content-length", size);
        }
        let (head, body) = self.buckets.answer(request.body(body).unwrap()).await.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        Told { status: head.status, headers: head.headers, body }
    }

    async fn call(&self, line: &str) -> Told {
        self.send(line, &[], whole("")).await
    }

    async fn put(&self, path: &str, body: &str) -> Told {
        self.send(&format!("PUT {path}"), &[], whole(body.to_owned())).await
    }

    fn file(&self, path: &str) -> PathBuf {
        self.dir.path().join("buckets").join(path)
    }
}
