//! What going through captura's client adds to a model in a container: the same requests by the contract client and by
//! the whole of `Replicas`, at 1 and at 8 connections.
//!
//! `container_latency SOCKET IMAGE [CALLS]` with the socket of a Docker Engine that has the image.
#![allow(clippy::print_stdout, clippy::unwrap_used, reason = "an example speaks to the person who runs it")]

use std::sync::Arc;
use std::time::{Duration, Instant};

use captura_backends::container::{ContainerSettings, Pull};
use captura_backends::{Backends, Launch, ModelSpec, Settings};
use captura_route::{Backend, ModelRequest};

#[tokio::main]
async fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let [_, socket, image, rest @ ..] = arguments.as_slice() else {
        println!("usage: container_latency SOCKET IMAGE [CALLS]");
        return;
    };
    let calls: usize = rest.first().and_then(|calls| calls.parse().ok()).unwrap_or(2_000);
    let cache = std::env::temp_dir().join("captura-container-latency");
    let mut settings = Settings::new(&cache);
    settings.containers = ContainerSettings {
        socket: socket.into(),
        pull: Pull::Never,
        owner: cache.display().to_string(),
        ..ContainerSettings::default()
    };
    let backends = Backends::new(settings, Arc::new(|_| Ok(None)));
    let spec = ModelSpec { image: image.clone(), ..ModelSpec::default() };
    let began = Instant::now();
    let replicas = backends.load(&spec, Launch::default()).await.unwrap();
    println!("healthy after {:?}", began.elapsed());
    for connections in [1, 8] {
        let model: Arc<dyn Backend> = replicas.clone();
        println!("{connections} connections: {}", measure(&model, connections, calls).await);
    }
    let began = Instant::now();
    backends.close(std::time::Duration::from_secs(30)).await;
    println!("gone after {:?}", began.elapsed());
}

async fn measure(model: &Arc<dyn Backend>, connections: usize, calls: usize) -> String {
    let tasks = (0..connections).map(|_| {
        let model = Arc::clone(model);
        tokio::spawn(async move {
            let body = "5.1,3.5,1.4,0.2".into();
            let request = ModelRequest { body, content_type: Some("text/csv".into()), ..ModelRequest::default() };
            let mut took = Vec::new();
            for _ in 0..calls / connections {
                let began = Instant::now();
                model.invoke(&request).await.unwrap();
                took.push(began.elapsed());
            }
            took
        })
    });
    let mut took: Vec<Duration> = Vec::new();
    for task in tasks.collect::<Vec<_>>() {
        took.extend(task.await.unwrap());
    }
    took.sort_unstable();
    format!("p50 {:?}, p99 {:?}", took[took.len() / 2], took[took.len() * 99 / 100])
}
