//! Models on command, for tests: an image says what happens to its model.
//!
//! `echo` loads, `broken` does not, `gated` loads when the test opens the gate, `flaky` loads while the test says so,
//! `tagged` is another image under the same name at each load, `many` loads and has instances, of which as many are up as are asked for while the test lets them start.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use captura_backends::Launch;
use captura_route::{Answer, Backend, Invoking, ModelRequest};
use tokio::sync::Semaphore;

use super::{Instances, LoadedModel, Models, Pending, Wanted};

/// What a test can do to the models.
#[derive(Clone)]
pub(crate) struct Strings {
    /// Each permit lets one `gated` model load.
    pub(crate) gate: Arc<Semaphore>,
    /// Whether `flaky` models load.
    pub(crate) flaky_loads: Arc<AtomicBool>,
    /// How many loads were begun.
    pub(crate) loads: Arc<AtomicUsize>,
    /// Most instances of a `many` model that start.
    pub(crate) instances_max: Arc<AtomicUsize>,
}

/// Answers with the name of its image.
#[derive(Debug)]
pub(crate) struct NamedModel(pub(crate) String);

impl Backend for NamedModel {
    fn invoke<'a>(&'a self, _: &'a ModelRequest) -> Invoking<'a> {
        let body = self.0.clone().into();
        Box::pin(async move { Ok(Answer { body, ..Answer::default() }) })
    }
}

/// The same, with instances.
#[derive(Debug)]
struct ManyModel {
    named: NamedModel,
    asked_for: AtomicUsize,
    max: Arc<AtomicUsize>,
    resolved_image: Option<Arc<str>>,
}

impl Backend for ManyModel {
    fn invoke<'a>(&'a self, request: &'a ModelRequest) -> Invoking<'a> {
        self.named.invoke(request)
    }

    fn instances(&self) -> usize {
        self.asked_for.load(Ordering::SeqCst).min(self.max.load(Ordering::SeqCst))
    }

    fn resolved_image(&self, _: usize) -> Option<Arc<str>> {
        self.resolved_image.clone()
    }
}

impl Instances for ManyModel {
    fn scale(&self, count: usize) {
        self.asked_for.store(count, Ordering::SeqCst);
    }

    fn trouble(&self) -> Option<String> {
        (self.asked_for.load(Ordering::SeqCst) > self.instances()).then(|| "the machine is full".to_owned())
    }
}

fn loaded(image: String, instances: usize, strings: &Strings) -> LoadedModel {
    let limit =
        if image.starts_with("many") { Arc::clone(&strings.instances_max) } else { Arc::new(usize::MAX.into()) };
    let digest = || Arc::from(format!("tagged@sha256:{}", strings.loads.load(Ordering::SeqCst)));
    let resolved_image = image.starts_with("tagged").then(digest);
    let named = NamedModel(image);
    let model = Arc::new(ManyModel { named, asked_for: AtomicUsize::new(instances), max: limit, resolved_image });
    LoadedModel { backend: Arc::clone(&model) as Arc<dyn Backend>, instances: model }
}

/// The models, and the strings to pull.
pub(crate) fn models() -> (Models, Strings) {
    let strings = Strings {
        gate: Arc::new(Semaphore::new(0)),
        flaky_loads: Arc::new(AtomicBool::new(true)),
        loads: Arc::new(AtomicUsize::new(0)),
        instances_max: Arc::new(AtomicUsize::new(usize::MAX)),
    };
    let pulled = strings.clone();
    let load = move |wanted: Wanted, launch: Launch| -> Pending<Result<LoadedModel, String>> {
        let strings = pulled.clone();
        Box::pin(async move {
            strings.loads.fetch_add(1, Ordering::SeqCst);
            let images: Vec<_> = wanted.containers.iter().map(|(_, spec)| spec.image.as_str()).collect();
            let mut image = images.join("+");
            if wanted.explainer.is_some() {
                image.push_str(", explained");
            }
            match image.split(':').next().unwrap_or_default() {
                "broken" => return Err("the model is broken".repeat(100)),
                "flaky" if !strings.flaky_loads.load(Ordering::SeqCst) => return Err("flaky today".to_owned()),
                "gated" => strings.gate.acquire().await.expect("our bug: the gate is never closed").forget(),
                "panics" => panic!("the loader panics"),
                _ => {}
            }
            Ok(loaded(image, launch.instances, &strings))
        })
    };
    let exists = |url: String| -> Pending<Result<bool, String>> {
        Box::pin(async move {
            if url.contains("unreachable") {
                Err("the store does not answer".to_owned())
            } else {
                Ok(!url.contains("missing"))
            }
        })
    };
    (Models { load: Arc::new(load), exists: Arc::new(exists) }, strings)
}
