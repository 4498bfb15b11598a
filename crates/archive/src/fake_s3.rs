//! A small true S3 on a port of its own, for this crate's tests: objects in memory, conditional creation, multipart uploads,
//! and answers that are put in its mouth.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use captura_names::S3Uri;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::stores::{StoreMapping, StoreSettings, Stores};

/// A request as it came.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    /// Method, path and query.
    pub(crate) line: String,
    pub(crate) headers: BTreeMap<String, String>,
}

#[derive(Default)]
struct Inner {
    objects: BTreeMap<String, Bytes>,
    /// Parts of uploads under way, by upload and number.
    uploads: BTreeMap<String, BTreeMap<u32, Bytes>>,
    asked: Vec<Asked>,
    /// Answers to the next puts, instead of doing them: status, and S3's code.
    answers: VecDeque<(u16, &'static str)>,
}

/// The service; it ends with the test's runtime.
#[derive(Clone)]
pub(crate) struct FakeS3 {
    inner: Arc<Mutex<Inner>>,
    endpoint: String,
}

impl FakeS3 {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let fake = Self { inner: Arc::default(), endpoint: format!("http://{}", listener.local_addr().unwrap()) };
        let serving = fake.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serving.clone().serve(stream));
            }
        });
        fake
    }

    /// Stores whose every bucket is here.
    pub(crate) fn stores(&self, data_dir: &std::path::Path) -> Stores {
        let options = [
            ("endpoint", self.endpoint.as_str()),
            ("allow_http", "true"),
            ("region", "eu-west-1"),
            ("access_key_id", "AKIDEXAMPLE"),
            ("secret_access_key", "secret"),
        ];
        let options = options.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        let mapping = StoreMapping { url: "s3://{bucket}".into(), options };
        let mappings = BTreeMap::from([("*".to_owned(), mapping)]);
        Stores::new(StoreSettings { data_dir: data_dir.to_owned(), mappings })
    }

    pub(crate) fn answer_next(&self, answers: &[(u16, &'static str)]) {
        self.inner.lock().unwrap().answers.extend(answers);
    }

    pub(crate) fn object(&self, uri: &str) -> Option<Bytes> {
        let uri = S3Uri::parse(uri).unwrap();
        self.inner.lock().unwrap().objects.get(&format!("/{}/{}", uri.bucket(), uri.key())).cloned()
    }

    /// The requests since the last look.
    pub(crate) fn asked(&self) -> Vec<Asked> {
        std::mem::take(&mut self.inner.lock().unwrap().asked)
    }

    /// Uploads that were begun and neither completed nor aborted.
    pub(crate) fn uploads(&self) -> usize {
        self.inner.lock().unwrap().uploads.len()
    }

    async fn serve(self, mut stream: TcpStream) {
        let mut bytes = Vec::new();
        loop {
            let head_end = loop {
                if let Some(at) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
                    break at + 4;
                }
                if stream.read_buf(&mut bytes).await.unwrap_or(0) == 0 {
                    return;
                }
            };
            let head = String::from_utf8(bytes[..head_end].to_vec()).unwrap();
            let line = head.lines().next().unwrap().trim_end_matches(" HTTP/1.1").to_owned();
            let headers: BTreeMap<String, String> = head
                .lines()
                .skip(1)
                .filter_map(|line| line.split_once(": "))
                .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
                .collect();
            let length: usize = headers.get("content-length").map_or(0, |length| length.parse().unwrap());
            while bytes.len() < head_end + length {
                if stream.read_buf(&mut bytes).await.unwrap_or(0) == 0 {
                    return;
                }
            }
            let body: Vec<u8> = bytes.drain(..head_end + length).skip(head_end).collect();
            let asked = Asked { line, headers };
            let (status, more, answer) = self.answer(&asked, body.into());
            let is_head = asked.line.starts_with("HEAD");
            self.inner.lock().unwrap().asked.push(asked);
            let head = format!(
                "HTTP/1.1 {status} X\r\ncontent-length: {}\r\netag: \"e\"\r\nlast-modified: Mon, 18 Apr 2022 00:00:00 GMT\r\n{more}\r\n",
                answer.len()
            );
            let body = if is_head { &[][..] } else { &answer };
            if stream.write_all(&[head.as_bytes(), body].concat()).await.is_err() {
                return;
            }
        }
    }

    fn answer(&self, asked: &Asked, body: Bytes) -> (u16, &'static str, Vec<u8>) {
        let mut inner = self.inner.lock().unwrap();
        let (method, target) = asked.line.split_once(' ').unwrap();
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let value = |name: &str| query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='));
        let path = path.replace("%3D", "=");
        let failed = |status: u16, code: &str| (status, "", format!("<Error><Code>{code}</Code></Error>").into_bytes());
        if method == "PUT"
            && let Some((status, code)) = inner.answers.pop_front()
        {
            return failed(status, code);
        }
        match (method, value("uploadId"), value("partNumber")) {
            ("PUT", Some(upload), Some(number)) => {
                inner.uploads.get_mut(upload).unwrap().insert(number.parse().unwrap(), body);
            }
            ("PUT", ..) => {
                let must_be_new = asked.headers.get("if-none-match").is_some_and(|tag| tag == "*");
                if must_be_new && inner.objects.contains_key(&path) {
                    return failed(412, "PreconditionFailed");
                }
                inner.objects.insert(path, body);
            }
            ("POST", None, _) if query.starts_with("uploads") => {
                let upload = format!("u{}", inner.asked.len());
                inner.uploads.insert(upload.clone(), BTreeMap::new());
                let answer = format!(
                    "<InitiateMultipartUploadResult><Bucket>b</Bucket><Key>k</Key><UploadId>{upload}</UploadId></InitiateMultipartUploadResult>"
                );
                return (200, "", answer.into_bytes());
            }
            ("POST", Some(upload), _) => {
                let parts = inner.uploads.remove(upload).unwrap();
                let whole: Vec<u8> = parts.into_values().flat_map(|part| part.to_vec()).collect();
                inner.objects.insert(path, whole.into());
                let answer = "<CompleteMultipartUploadResult><ETag>\"e\"</ETag></CompleteMultipartUploadResult>";
                return (200, "", answer.into());
            }
            ("DELETE", Some(upload), _) => drop(inner.uploads.remove(upload)),
            ("DELETE", ..) => drop(inner.objects.remove(&path)),
            _ => {
                return match inner.objects.get(&path) {
                    Some(object) => (200, "", object.to_vec()),
                    None => failed(404, "NoSuchKey"),
                };
            }
        }
        (200, "", Vec::new())
    }
}
