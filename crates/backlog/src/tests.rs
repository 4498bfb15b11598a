//! The queue with a disk that fails on demand, stores in memory, and models that do as they are told. Time is held still
//! and moves when everybody waits.

use std::collections::BTreeSet;
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use captura_names::{EndpointName, InferenceId, S3Uri, Timestamp};
use captura_route::{Answer, AsyncInference, Caller, Clock, Deferred, Served};
use object_store::memory::InMemory;
use object_store::path::Path as Key;
use object_store::{ObjectStore, ObjectStoreExt as _};
use serde_json::{Value, json};
use tokio::sync::Semaphore;

use crate::{Backlog, Disk, Doors, Figures, NotKept, RealDisk, Settings};

mod crashes;
mod working;

const START_US: i64 = 1_650_241_308_000_000;

/// Wall time that follows tokio's.
fn clock() -> Clock {
    let began = tokio::time::Instant::now();
    Clock::new(move || Timestamp::from_unix_us(START_US + i64::try_from(began.elapsed().as_micros()).unwrap()))
}

/// A disk whose calls, counted from 0, fail from one on, or just once.
#[derive(Debug)]
struct FaultyDisk {
    calls: AtomicUsize,
    fails_at: usize,
    for_good: bool,
}

impl FaultyDisk {
    fn call(&self, act: impl FnOnce() -> io::Result<()>) -> io::Result<()> {
        let call = self.calls.fetch_add(1, Ordering::SeqCst);
        if call == self.fails_at || (self.for_good && call > self.fails_at) {
            return Err(io::Error::other("a test asked the disk to fail"));
        }
        act()
    }
}

impl Disk for FaultyDisk {
    fn write(&self, path: &Path, parts: &[&[u8]]) -> io::Result<()> {
        let call = self.calls.load(Ordering::SeqCst);
        if call == self.fails_at {
            // Half of it arrives.
            let whole: Vec<u8> = parts.concat();
            std::fs::write(path, &whole[..whole.len() / 2])?;
        }
        self.call(|| RealDisk.write(path, parts))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.call(|| RealDisk.rename(from, to))
    }

    fn sync_folder(&self, folder: &Path) -> io::Result<()> {
        self.call(|| RealDisk.sync_folder(folder))
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.call(|| RealDisk.remove(path))
    }
}

/// Everything outside the queue.
struct World {
    dir: tempfile::TempDir,
    clock: Clock,
    store: Arc<InMemory>,
    /// Lanes of every endpoint.
    lanes: Arc<Mutex<Option<usize>>>,
    /// Bodies of the calls that reached the model, in order.
    asked: Arc<Mutex<Vec<String>>>,
    /// Most calls that were under way at one time.
    most: Arc<AtomicUsize>,
    /// `wait` waits for one of these.
    go: Arc<Semaphore>,
    notices: Arc<Mutex<Vec<(String, Value)>>>,
}

impl World {
    fn new() -> Self {
        Self {
            dir: tempfile::tempdir().unwrap(),
            clock: clock(),
            store: Arc::default(),
            lanes: Arc::new(Mutex::new(Some(1))),
            asked: Arc::default(),
            most: Arc::default(),
            go: Arc::new(Semaphore::new(0)),
            notices: Arc::default(),
        }
    }

    fn settings(&self) -> Settings {
        Settings::new(self.dir.path().join("backlog"), "000000000000")
    }

    fn open(&self) -> Backlog {
        Backlog::open(self.settings(), Arc::new(RealDisk), self.clock.clone()).unwrap()
    }

    fn doors(&self) -> Doors {
        let store: Arc<dyn ObjectStore> = Arc::clone(&self.store) as _;
        let lanes = Arc::clone(&self.lanes);
        let (asked, most, go) = (Arc::clone(&self.asked), Arc::clone(&self.most), Arc::clone(&self.go));
        let at_work: Arc<Mutex<Vec<String>>> = Arc::default();
        let notices = Arc::clone(&self.notices);
        Doors {
            lanes: Arc::new(move |_| *lanes.lock().unwrap()),
            run: Arc::new(move |_, body| {
                let (asked, most, go, at_work) =
                    (Arc::clone(&asked), Arc::clone(&most), Arc::clone(&go), Arc::clone(&at_work));
                Box::pin(async move {
                    let text = String::from_utf8(body.to_vec()).unwrap();
                    asked.lock().unwrap().push(text.clone());
                    let working = {
                        let mut at_work = at_work.lock().unwrap();
                        at_work.push(text.clone());
                        at_work.len()
                    };
                    most.fetch_max(working, Ordering::SeqCst);
                    let served = answer(&text, (&asked, &at_work), &go).await;
                    let mut at_work = at_work.lock().unwrap();
                    let at = at_work.iter().position(|other| *other == text).unwrap();
                    at_work.remove(at);
                    served
                })
            }),
            resolve: Arc::new(move |at, _, _| {
                Ok((Arc::clone(&store), Key::from(format!("{}/{}", at.bucket(), at.key()))))
            }),
            notify: Arc::new(move |topic, notice| {
                notices.lock().unwrap().push((topic.to_owned(), notice));
                Box::pin(async { Ok(()) })
            }),
        }
    }

    async fn object(&self, at: &str) -> Option<String> {
        let got = self.store.get(&Key::from(at.trim_start_matches("s3://"))).await.ok()?;
        Some(String::from_utf8(got.bytes().await.unwrap().to_vec()).unwrap())
    }

    async fn put(&self, at: &str, body: &str) {
        self.store.put(&Key::from(at.trim_start_matches("s3://")), body.to_owned().into()).await.unwrap();
    }

    fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }

    fn files(&self) -> BTreeSet<String> {
        let files = std::fs::read_dir(self.settings().dir).unwrap();
        files.map(|file| file.unwrap().file_name().into_string().unwrap()).collect()
    }
}

/// A model that does what the payload asks for.
async fn answer(text: &str, (asked, at_work): (&Mutex<Vec<String>>, &Mutex<Vec<String>>), go: &Semaphore) -> Served {
    match text {
        "fail" => Served::Failed("out of memory".into()),
        "later" if asked.lock().unwrap().iter().filter(|asked| *asked == "later").count() < 3 => {
            Served::NotNow("loading".into())
        }
        "never" => Served::NotNow("no instance".into()),
        "poison" => {
            tokio::time::sleep(Duration::from_millis(20)).await;
            Served::WentAway("connection reset".into())
        }
        "beside poison" => {
            tokio::time::sleep(Duration::from_millis(10)).await;
            match at_work.lock().unwrap().iter().any(|other| other == "poison") {
                true => Served::WentAway("connection reset".into()),
                false => Served::Answered(Answer { body: "fine".into(), ..Answer::default() }),
            }
        }
        _ => {
            if text.starts_with("wait") {
                go.acquire().await.unwrap().forget();
            }
            let answer =
                Answer { body: text.to_uppercase().into(), content_type: Some("text/csv".into()), ..Answer::default() };
            Served::Answered(answer)
        }
    }
}

/// The `number`-th call of an endpoint.
fn call(number: u32) -> Deferred {
    let at = |text: String| S3Uri::parse(&text).unwrap();
    let accepted_at = Timestamp::from_unix_us(START_US);
    Deferred {
        endpoint: EndpointName::parse("churn").unwrap(),
        region: "eu-west-1".into(),
        consumer: "billing".into(),
        caller: Caller::default(),
        inference_id: InferenceId::parse(&format!("order-{number}")).unwrap(),
        accepted_at,
        expires_at: accepted_at.plus_us(60_000_000),
        timeout_seconds: 900,
        content_type: Some("text/csv".into()),
        accept: None,
        custom_attributes: None,
        input: None,
        output: at(format!("s3://answers/{number}.out")),
        output_named: false,
        failure: Some(at(format!("s3://failures/{number}-error.out"))),
        settings: AsyncInference {
            success_topic: Some("arn:aws:sns:eu-west-1:000000000000:done".into()),
            error_topic: Some("arn:aws:sns:eu-west-1:000000000000:failed".into()),
            ..AsyncInference::default()
        },
    }
}

/// Waits until the queue is empty.
async fn emptied(backlog: &Backlog) -> Figures {
    loop {
        let figures = backlog.figures();
        if figures.endpoints.is_empty() {
            return figures;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
