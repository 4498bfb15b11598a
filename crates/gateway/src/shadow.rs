//! Shadow variants: a copy of a call goes to them too, and nobody gets their answer.
//!
//! Invariant: a copy neither delays nor fails the call that it is a copy of. It takes a permit of its own variant and bytes
//! of the memory for bodies, is captured under its own variant's name and policy with the event id of its original, so
//! that both answers can be laid side by side, and is dropped and counted where there is no room for it.
//! Refuses to: wait, and to copy calls of a session, which the shadow has not opened.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use captura_route::{Caller, Held, Holder, Invocation};
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::choice;
use crate::life::Life;
use crate::premises::Premises;
use crate::prepared::{PreparedVariant, Shadow};

/// Copies under way.
#[derive(Debug, Default)]
pub(crate) struct Copies(Mutex<JoinSet<()>>);

impl Copies {
    fn spawn(&self, copy: impl Future<Output = ()> + Send + 'static) {
        let mut under_way = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        while under_way.try_join_next().is_some() {}
        under_way.spawn(copy);
    }

    /// Waits for the copies under way, at most that long; what is left is dropped, and capture books it.
    pub(crate) async fn finish(&self, limit: Duration) {
        let mut under_way = std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        let all_done = async { while under_way.join_next().await.is_some() {} };
        if tokio::time::timeout(limit, all_done).await.is_err() {
            under_way.shutdown().await;
        }
    }
}

/// Sends copies of a call to those shadows that the dice choose.
pub(crate) fn copy(premises: &Premises, shadows: &[Shadow], original: &Invocation) {
    for shadow in shadows {
        if rand::random::<f64>() >= shadow.share {
            continue;
        }
        let request = &original.request;
        let taken = request.session_id.is_none() && choice::not_taken(request, shadow.variant.extras).is_none();
        let held = premises.settings.memory.take(Holder::Requests, request.body.len() as u64);
        let life = held.filter(|_| taken).and_then(|held| {
            let life = Life::begin(&shadow.variant, duplicate(original), Instant::now());
            life.ok().map(|life| (life, held))
        });
        match life {
            Some((life, held)) => {
                let variant = Arc::clone(&shadow.variant);
                premises.copies.spawn(live(life, variant, premises.settings.model_timeout, held));
            }
            None => shadow.variant.gate.meters.copy_dropped(),
        }
    }
}

fn duplicate(original: &Invocation) -> Invocation {
    Invocation {
        event_id: original.event_id,
        arrived_at: original.arrived_at,
        consumer: original.consumer.clone(),
        caller: Caller { is_copy: true, ..original.caller.clone() },
        endpoint: original.endpoint.clone(),
        target_variant: None,
        inference_id: original.inference_id.clone(),
        request: original.request.clone(),
    }
}

async fn live(life: Life, variant: Arc<PreparedVariant>, limit: Duration, _held: Held) {
    let arrived = life.arrived;
    let run = life.run(&variant, limit).await;
    let (ticket, permit) = life.conclude(&run);
    ticket.captured().await;
    permit.end(run.status(), arrived.elapsed(), run.in_model);
}
