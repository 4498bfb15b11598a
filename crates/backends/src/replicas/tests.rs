//! Replicas of models that live, die and answer on command.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use captura_route::{Answer, Backend, BackendError, Invoking, ModelRequest};
use captura_tasks::Tasks;
use tokio::sync::{Notify, Semaphore, watch};

use super::{Instance, InstanceFactory, Keeping, Patience, Pending, Replicas, Routing};
use crate::LoadError;

/// What the world sees of one stand-in, and does to it.
#[derive(Debug)]
struct StandIn {
    id: String,
    alive: watch::Sender<bool>,
    /// Calls that came.
    calls: AtomicUsize,
    /// Each permit lets one call end; nothing for calls that end at once.
    gate: Option<Semaphore>,
    stopped: watch::Sender<bool>,
    /// What every call answers instead of its id.
    error: Mutex<Option<BackendError>>,
    session: bool,
}

impl StandIn {
    fn die(&self) {
        self.alive.send_replace(false);
    }
}

impl Backend for StandIn {
    fn invoke<'a>(&'a self, _: &'a ModelRequest) -> Invoking<'a> {
        Box::pin(async move {
            self.calls.fetch_add(1, Ordering::SeqCst);
            if let Some(gate) = &self.gate {
                gate.acquire().await.unwrap().forget();
            }
            if !*self.alive.borrow() {
                return Err(BackendError::WentAway("reset".into()));
            }
            if let Some(error) = self.error.lock().unwrap().clone() {
                return Err(error);
            }
            let new_session_id = self.session.then(|| format!("of-{}; Expires=2026-01-01T00:00:00Z", self.id).into());
            Ok(Answer { body: self.id.clone().into(), new_session_id, ..Answer::default() })
        })
    }
}

#[derive(Debug)]
struct Handle(Arc<StandIn>);

impl Instance for Handle {
    fn id(&self) -> &str {
        &self.0.id
    }

    fn backend(&self) -> &dyn Backend {
        &*self.0
    }

    fn ended(&self) -> Pending<'_, String> {
        Box::pin(async {
            let _ = self.0.alive.subscribe().wait_for(|alive| !alive).await;
            "it died".to_owned()
        })
    }

    fn stop(&self) -> Pending<'_, ()> {
        self.0.stopped.send_replace(true);
        Box::pin(async {})
    }
}

/// A factory whose products the test keeps.
#[derive(Default)]
struct Factory {
    made: Mutex<Vec<Arc<StandIn>>>,
    starts: AtomicUsize,
    tell: Notify,
    /// Reasons for which the next starts fail.
    failures: Mutex<VecDeque<&'static str>>,
    gated: bool,
    session: bool,
}

impl Factory {
    fn made(&self, index: usize) -> Arc<StandIn> {
        Arc::clone(&self.made.lock().unwrap()[index])
    }
}

struct Shared(Arc<Factory>);

impl InstanceFactory for Shared {
    fn start(&self) -> Pending<'_, Result<Arc<dyn Instance>, LoadError>> {
        let factory = &self.0;
        let number = factory.starts.fetch_add(1, Ordering::SeqCst);
        factory.tell.notify_one();
        Box::pin(async move {
            if let Some(reason) = factory.failures.lock().unwrap().pop_front() {
                return Err(LoadError::Model { file: "m".into(), reason: reason.into() });
            }
            let stand_in = Arc::new(StandIn {
                id: number.to_string(),
                alive: watch::Sender::new(true),
                calls: AtomicUsize::new(0),
                gate: factory.gated.then(|| Semaphore::new(0)),
                stopped: watch::Sender::new(false),
                error: Mutex::new(None),
                session: factory.session,
            });
            factory.made.lock().unwrap().push(Arc::clone(&stand_in));
            Ok(Arc::new(Handle(stand_in)) as Arc<dyn Instance>)
        })
    }
}

/// The end of the world, for those who are told of it by a drop.
struct World {
    factory: Arc<Factory>,
    replicas: Replicas,
    closing: watch::Sender<bool>,
}

async fn world(instances: usize, routing: Routing, factory: Factory) -> World {
    let factory = Arc::new(factory);
    let closing = watch::Sender::new(false);
    let patience = Patience::default();
    let keeping = Keeping { instances, routing, patience, tasks: Tasks::default(), closing: closing.subscribe() };
    let replicas = Replicas::start(Arc::new(Shared(Arc::clone(&factory))), keeping).await.unwrap();
    World { factory, replicas, closing }
}

async fn ask(replicas: &Replicas) -> Result<String, BackendError> {
    let answer = replicas.invoke(&ModelRequest::default()).await?;
    Ok(String::from_utf8(answer.body.to_vec()).unwrap())
}

#[tokio::test]
async fn equals_take_turns_and_the_busy_one_is_left_alone() {
    let World { factory, replicas, .. } = world(3, Routing::LeastOutstanding, Factory::default()).await;
    for _ in 0..9 {
        ask(&replicas).await.unwrap();
    }
    let calls: Vec<usize> = (0..3).map(|index| factory.made(index).calls.load(Ordering::SeqCst)).collect();
    assert_eq!(calls, [3, 3, 3]);

    let gated = Factory { gated: true, ..Factory::default() };
    let World { factory, replicas, .. } = world(2, Routing::LeastOutstanding, gated).await;
    let requests = [ModelRequest::default(), ModelRequest::default(), ModelRequest::default()];
    let mut calls: Vec<_> = requests.iter().map(|request| replicas.invoke(request)).collect();
    for call in &mut calls {
        assert!(futures_poll(call).await.is_none());
    }
    let mut held: Vec<usize> = (0..2).map(|index| factory.made(index).calls.load(Ordering::SeqCst)).collect();
    held.sort_unstable();
    assert_eq!(held, [1, 2]);
}

/// Polls once.
async fn futures_poll<T>(call: &mut (impl Future<Output = T> + Unpin)) -> Option<T> {
    std::future::poll_fn(|context| {
        std::task::Poll::Ready(match std::pin::Pin::new(&mut *call).poll(context) {
            std::task::Poll::Ready(done) => Some(done),
            std::task::Poll::Pending => None,
        })
    })
    .await
}

#[tokio::test]
async fn random_routing_reaches_everybody() {
    let World { factory, replicas, .. } = world(3, Routing::Random, Factory::default()).await;
    for _ in 0..300 {
        ask(&replicas).await.unwrap();
    }
    for index in 0..3 {
        let calls = factory.made(index).calls.load(Ordering::SeqCst);
        assert!((50..150).contains(&calls), "{calls}");
    }
}

#[tokio::test]
async fn a_call_that_meets_a_dead_one_is_answered_by_a_living_one() {
    let World { factory, replicas, .. } = world(2, Routing::LeastOutstanding, Factory::default()).await;
    // Dead, and nobody has noticed: no task runs between these lines and the calls.
    factory.made(0).die();
    for _ in 0..20 {
        assert_eq!(ask(&replicas).await.unwrap(), "1");
    }
    assert_eq!(factory.made(0).calls.load(Ordering::SeqCst), 1, "a suspect is asked last");
}

#[tokio::test]
async fn a_call_that_kills_whoever_takes_it_is_given_to_two_at_most() {
    let World { factory, replicas, .. } = world(5, Routing::LeastOutstanding, Factory::default()).await;
    (0..5).for_each(|index| factory.made(index).die());
    assert!(matches!(ask(&replicas).await, Err(BackendError::WentAway(_))));
    let calls: usize = (0..5).map(|index| factory.made(index).calls.load(Ordering::SeqCst)).sum();
    assert_eq!(calls, 2);
}

#[tokio::test]
async fn what_the_model_says_is_not_asked_again() {
    let World { factory, replicas, .. } = world(2, Routing::LeastOutstanding, Factory::default()).await;
    for index in 0..2 {
        *factory.made(index).error.lock().unwrap() = Some(BackendError::refused("no"));
    }
    assert!(matches!(ask(&replicas).await, Err(BackendError::Model { status: 400, .. })));
    let calls: usize = (0..2).map(|index| factory.made(index).calls.load(Ordering::SeqCst)).sum();
    assert_eq!(calls, 1);
}

#[tokio::test]
async fn the_dead_are_replaced_and_while_all_are_dead_calls_are_refused() {
    let World { factory, replicas, .. } = world(1, Routing::LeastOutstanding, Factory::default()).await;
    factory.failures.lock().unwrap().extend(["first", "second"]);
    factory.made(0).die();
    assert!(matches!(ask(&replicas).await, Err(BackendError::WentAway(_))));
    tokio::time::pause();
    while replicas.instances() == 1 {
        tokio::task::yield_now().await;
    }
    let refused = ask(&replicas).await;
    assert!(matches!(&refused, Err(BackendError::Unavailable(why)) if why.contains("no instance")), "{refused:?}");
    let began = tokio::time::Instant::now();
    replicas.reached().await;
    assert_eq!(ask(&replicas).await.unwrap(), "3", "two starts failed");
    assert_eq!(replicas.trouble(), None);
    let waited = began.elapsed();
    assert!(waited >= Duration::from_millis(1_500) && waited <= Duration::from_secs(3), "{waited:?}");
    assert!(*factory.made(0).stopped.borrow());
}

#[tokio::test]
async fn scaling_up_starts_more_and_scaling_down_lets_calls_finish() {
    let gated = Factory { gated: true, ..Factory::default() };
    let World { factory, replicas, .. } = world(1, Routing::LeastOutstanding, gated).await;
    replicas.scale(3);
    assert_eq!((replicas.desired(), replicas.instances()), (3, 1));
    replicas.reached().await;
    assert_eq!(replicas.instances(), 3);

    let requests = [ModelRequest::default(), ModelRequest::default(), ModelRequest::default()];
    let mut calls: Vec<_> = requests.iter().map(|request| replicas.invoke(request)).collect();
    for call in &mut calls {
        assert!(futures_poll(call).await.is_none());
    }
    replicas.scale(1);
    replicas.reached().await;
    assert_eq!(replicas.instances(), 1);
    assert!((0..3).all(|index| !*factory.made(index).stopped.borrow()), "calls are at work");
    for index in 0..3 {
        factory.made(index).gate.as_ref().unwrap().add_permits(1);
    }
    for call in calls {
        call.await.unwrap();
    }
    let mut stopped = 0;
    while stopped < 2 {
        tokio::task::yield_now().await;
        stopped = (0..3).filter(|index| *factory.made(*index).stopped.borrow()).count();
    }
    assert_eq!(stopped, 2);
}

#[tokio::test]
async fn one_that_cannot_be_started_fails_the_whole_load() {
    let factory = Arc::new(Factory::default());
    factory.failures.lock().unwrap().push_back("broken");
    let closing = watch::Sender::new(false);
    let keeping = Keeping {
        instances: 3,
        routing: Routing::Random,
        patience: Patience::default(),
        tasks: Tasks::default(),
        closing: closing.subscribe(),
    };
    let error = Replicas::start(Arc::new(Shared(factory)), keeping).await.unwrap_err();
    assert!(error.to_string().contains("broken"), "{error}");
}

#[tokio::test]
async fn nothing_runs_on_when_nobody_wants_the_model_or_the_server_stops() {
    let World { factory, replicas, closing } = world(2, Routing::LeastOutstanding, Factory::default()).await;
    drop(replicas);
    closing.closed().await;
    assert!((0..2).all(|index| *factory.made(index).stopped.borrow()));

    let World { factory, replicas, closing } = world(2, Routing::LeastOutstanding, Factory::default()).await;
    closing.send_replace(true);
    closing.closed().await;
    assert!((0..2).all(|index| *factory.made(index).stopped.borrow()));
    assert!(matches!(ask(&replicas).await, Err(BackendError::Unavailable(_))));
}

#[tokio::test]
async fn a_session_is_asked_where_it_began() {
    let with_sessions = Factory { session: true, ..Factory::default() };
    let World { replicas, .. } = world(3, Routing::LeastOutstanding, with_sessions).await;
    let new = ModelRequest { session_id: Some("NEW_SESSION".into()), ..ModelRequest::default() };
    let began = replicas.invoke(&new).await.unwrap();
    let id = began.new_session_id.unwrap().split(';').next().unwrap().to_owned();
    let next = ModelRequest { session_id: Some(id.as_str().into()), ..ModelRequest::default() };
    for _ in 0..5 {
        assert_eq!(replicas.invoke(&next).await.unwrap().body, began.body);
    }
}

#[tokio::test]
async fn instances_of_an_embedded_model_share_it() {
    let echo = Arc::new(crate::echo::Echo::default());
    let replicas = Replicas::shared(echo, 2);
    replicas.scale(5);
    replicas.reached().await;
    assert_eq!((replicas.desired(), replicas.instances()), (5, 5));
    assert!(ask(&replicas).await.unwrap().is_empty());
}

#[tokio::test]
async fn nobody_gets_more_instances_than_a_machine_can_be_asked_for() {
    let (_closing, closed) = watch::channel(false);
    let keeping = Keeping {
        instances: usize::MAX,
        routing: Routing::default(),
        patience: Patience::default(),
        tasks: Tasks::default(),
        closing: closed,
    };
    let refused = Replicas::start(Arc::new(Shared(Arc::new(Factory::default()))), keeping).await.unwrap_err();
    assert!(matches!(refused, LoadError::TooManyInstances { most: super::INSTANCES_MAX, .. }), "{refused}");
    let world = world(1, Routing::default(), Factory::default()).await;
    world.replicas.scale(usize::MAX);
    assert_eq!(world.replicas.desired(), super::INSTANCES_MAX);
}

#[tokio::test]
async fn each_instance_counts_the_calls_that_it_answered() {
    let World { replicas, .. } = world(2, Routing::LeastOutstanding, Factory::default()).await;
    for _ in 0..6 {
        ask(&replicas).await.unwrap();
    }
    let figures = replicas.figures();
    assert_eq!(figures.iter().map(|one| (one.invocations, one.model_errors)).collect::<Vec<_>>(), [(3, 0), (3, 0)]);
    assert_ne!(figures[0].id, figures[1].id);
    let timed = |one: &captura_route::InstanceFigures| one.model_latency.1.iter().map(|(.., count)| count).sum::<u64>();
    assert_eq!(figures.iter().map(timed).collect::<Vec<_>>(), [3, 3]);

    let shared = Replicas::shared(Arc::new(crate::echo::Echo::default()), 2);
    ask(&shared).await.unwrap();
    let figures = shared.figures();
    assert_eq!(
        figures.iter().map(|one| (one.id.starts_with("in-process-"), one.invocations)).collect::<Vec<_>>(),
        [(true, 1)]
    );
}
