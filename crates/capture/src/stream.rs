//! The way of one variant's invocations into the journal: begun before the model runs, concluded after.
//!
//! Invariant: whatever begins is counted at once and settles exactly once, even when it is dropped half-way. Where a
//! stream has rules of redaction, no byte of a payload goes on from here that they have not seen.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use captura_route::{CapturePolicy, CaptureSettings, Durability, Exchange, Invocation, Redaction, WhenUnavailable};

use crate::capture::Handle;
use crate::destination::Gate;
use crate::journal::line::Entering;
use crate::ledger::{AccountId, DropReason};
use crate::record::codec::Sizes;
use crate::record::{Conclusion, Outcome, Payload, codec};
use crate::sampler;
use crate::ticket::{Captured, Ticket, Waiting};
use crate::witness::Seen;

/// Status that a record has whose caller hung up; no reply carries it.
const CLIENT_CLOSED_REQUEST: u16 = 499;

/// Captures the invocations of one variant under one policy. A cheap handle.
#[derive(Debug, Clone)]
pub struct Stream(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    handle: Arc<Handle>,
    policy: Arc<CapturePolicy>,
    policy_id: u64,
    account: AccountId,
    gates: Vec<Arc<Gate>>,
    redaction: Option<Arc<dyn Redaction>>,
}

/// The call cannot be captured, and its policy says that it must be: it is not to be served.
#[derive(Debug, thiserror::Error)]
#[error("the call cannot be captured now ({reason}), and its endpoint takes only calls that can")]
pub struct Refused {
    /// Why not.
    pub reason: DropReason,
    /// The call, given back.
    pub invocation: Box<Invocation>,
}

/// What is to happen with the record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Kept,
    SampledOut,
    Off,
}

impl Stream {
    pub(crate) fn new(handle: Arc<Handle>, policy: &Arc<CapturePolicy>, redaction: Option<Arc<dyn Redaction>>) -> Self {
        let policy_id = policy.id();
        let account = handle.shared.ledger.account(&crate::ledger::AccountKey::new(&policy.endpoint, &policy.variant));
        let kept = policy.settings.as_ref().filter(|settings| settings.enabled);
        let gates = kept.map(|settings| handle.shared.destinations.gates(&settings.destination, &policy.endpoint));
        let gates = gates.unwrap_or_default();
        handle.shared.know_policy(policy_id, policy);
        Self(Arc::new(Inner { handle, policy: Arc::clone(policy), policy_id, account, gates, redaction }))
    }

    /// The policy.
    #[must_use]
    pub fn policy(&self) -> &Arc<CapturePolicy> {
        &self.0.policy
    }

    /// Counts the invocation and decides whether it leaves a record. Comes before the model.
    ///
    /// # Errors
    /// When the record cannot be kept now and the policy says that such calls are refused. That is no invocation.
    pub fn begin(&self, invocation: Invocation) -> Result<Begun, Refused> {
        let inner = &self.0;
        let shared = &inner.handle.shared;
        let mut reserved_bytes = 0;
        let fate = match inner.settings() {
            None => Fate::Off,
            Some(settings) if !sampler::keeps(&invocation.event_id, &shared.salt, settings.sampling) => {
                Fate::SampledOut
            }
            Some(settings) => {
                if settings.when_unavailable == WhenUnavailable::Refuse {
                    match inner.reserve(invocation.request.body.len() as u64) {
                        Ok(bytes) => reserved_bytes = bytes,
                        Err(reason) => {
                            shared.ledger.refuse(inner.account);
                            return Err(Refused { reason, invocation: Box::new(invocation) });
                        }
                    }
                }
                Fate::Kept
            }
        };
        shared.ledger.invoke(inner.account);
        Ok(Begun { stream: Arc::clone(inner), invocation: Some(invocation), fate, reserved_bytes })
    }
}

impl Inner {
    fn settings(&self) -> Option<&CaptureSettings> {
        self.policy.settings.as_ref().filter(|settings| settings.enabled)
    }

    fn unavailable(&self) -> Option<DropReason> {
        let space = &self.handle.shared.space;
        let shut = self.gates.iter().find_map(|gate| gate.shut(|| space.reason()));
        shut.or_else(|| self.handle.shared.blocked())
    }

    /// Sets space aside, so that there is room for the record once the model has run.
    fn reserve(&self, request_bytes: u64) -> Result<u64, DropReason> {
        if let Some(reason) = self.unavailable() {
            return Err(reason);
        }
        let shared = &self.handle.shared;
        if shared.queue_bytes.load(Ordering::Relaxed) >= shared.settings.queue_max_bytes {
            return Err(DropReason::QueueFull);
        }
        let bytes = request_bytes + shared.settings.response_reserve_bytes;
        shared.space.reserve(bytes)?;
        Ok(bytes)
    }
}

/// An invocation that is counted and not yet concluded. Dropping it books the caller as gone.
#[derive(Debug)]
pub struct Begun {
    stream: Arc<Inner>,
    /// Taken by the conclusion.
    invocation: Option<Invocation>,
    fate: Fate,
    reserved_bytes: u64,
}

impl Begun {
    /// The call.
    #[must_use]
    pub fn invocation(&self) -> &Invocation {
        self.invocation.as_ref().expect("our bug: only the conclusion takes the invocation, and it consumes self")
    }

    /// What will become of the capture, where that is known before the end: there will be no record.
    #[must_use]
    pub fn foreseen(&self) -> Option<Captured> {
        match self.fate {
            Fate::Kept => None,
            Fate::SampledOut => Some(Captured::SampledOut),
            Fate::Off => Some(Captured::Dropped(DropReason::OperatorOff)),
        }
    }

    /// Whether the record will hold what the model answers.
    #[must_use]
    pub fn keeps_response(&self) -> bool {
        self.fate == Fate::Kept && self.stream.settings().is_some_and(|settings| settings.output)
    }

    /// Books how it ended and hands the record in.
    #[expect(
        clippy::needless_pass_by_value,
        reason = "a conclusion is drawn once; the bodies in it are shared, not copied"
    )]
    pub fn conclude(mut self, conclusion: Conclusion) -> Ticket {
        match self.invocation.take() {
            Some(invocation) => self.book(&invocation, &conclusion),
            None => Ticket::settled(Captured::SampledOut),
        }
    }

    fn book(&self, invocation: &Invocation, conclusion: &Conclusion) -> Ticket {
        let ticket = self.settle(invocation, conclusion);
        if let Some(witness) = &self.stream.handle.shared.settings.witness {
            witness.saw(&Seen {
                invocation,
                outcome: conclusion.outcome,
                response_size_bytes: conclusion.response.body.len() as u64 + conclusion.response_cut_bytes,
                lsn: ticket.lsn(),
            });
        }
        ticket
    }

    fn settle(&self, invocation: &Invocation, conclusion: &Conclusion) -> Ticket {
        let ledger = &self.stream.handle.shared.ledger;
        let account = self.stream.account;
        let handed_in = match self.fate {
            Fate::SampledOut => {
                ledger.sampled_out(account);
                return Ticket::settled(Captured::SampledOut);
            }
            Fate::Off => Err(DropReason::OperatorOff),
            Fate::Kept => self.hand_in(invocation, conclusion),
        };
        match handed_in {
            Ok(waiting) => Ticket::waiting(waiting),
            Err(reason) => {
                ledger.dropped(account, reason, 1);
                Ticket::settled(Captured::Dropped(reason))
            }
        }
    }

    fn hand_in(&self, invocation: &Invocation, conclusion: &Conclusion) -> Result<Waiting, DropReason> {
        let stream = &self.stream;
        let is_reserved = self.reserved_bytes > 0;
        // Whose space was set aside is not turned away for want of space.
        if let Some(reason) = stream.unavailable().filter(|reason| !(is_reserved && reason.is_want_of_space())) {
            return Err(reason);
        }
        let durability = stream.settings().map_or(Durability::BestEffort, |settings| settings.durability);
        let travelled = Sizes::of(invocation, conclusion);
        let policy = (&*stream.policy, stream.policy_id);
        let encoded = match stream.redaction.as_deref() {
            None => codec::encode(invocation, conclusion, policy, travelled),
            Some(redaction) => {
                let (invocation, conclusion) = redacted(redaction, invocation, conclusion, &stream.policy);
                codec::encode(&invocation, &conclusion, policy, travelled)
            }
        };
        let encoded = encoded.map_err(|error| {
            tracing::warn!(%error, event_id = %invocation.event_id, "a record cannot be encoded");
            DropReason::EncodeError
        })?;
        let appended = stream.handle.shared.append(&Entering {
            encoded,
            account: stream.account,
            policy: &stream.policy,
            policy_id: stream.policy_id,
            wants_sync: durability == Durability::AckAfterFsync,
            is_reserved,
        })?;
        Ok(Waiting { handle: Arc::clone(&stream.handle), commit: appended.commit, lsn: appended.lsn, durability })
    }
}

/// The exchange as it is kept.
fn redacted(
    redaction: &dyn Redaction,
    invocation: &Invocation,
    conclusion: &Conclusion,
    policy: &CapturePolicy,
) -> (Invocation, Conclusion) {
    let settings = policy.settings.as_ref();
    let kept = redaction.redact(&Exchange {
        invocation,
        answer: &conclusion.response.body,
        answer_content_type: conclusion.response.content_type.as_deref(),
        is_answered: conclusion.outcome == Outcome::Ok,
        is_answer_cut: conclusion.response_cut_bytes > 0 || conclusion.outcome == Outcome::ClientGone,
        keeps_request: settings.is_some_and(|settings| settings.input),
        keeps_answer: settings.is_some_and(|settings| settings.output),
    });
    let mut invocation = invocation.clone();
    invocation.request.body = kept.request;
    invocation.request.custom_attributes = kept.custom_attributes;
    invocation.inference_id = kept.inference_id;
    let mut conclusion = conclusion.clone();
    conclusion.response.body = kept.answer;
    (invocation, conclusion)
}

impl Drop for Begun {
    fn drop(&mut self) {
        let shared = &self.stream.handle.shared;
        if let Some(invocation) = self.invocation.take() {
            let waited_us = shared.clock.now().unix_us().saturating_sub(invocation.arrived_at.unix_us());
            let conclusion = Conclusion {
                outcome: Outcome::ClientGone,
                status: CLIENT_CLOSED_REQUEST,
                response: Payload { content_type: None, body: bytes::Bytes::new() },
                response_cut_bytes: 0,
                model_latency_us: 0,
                total_latency_us: u64::try_from(waited_us).unwrap_or(0),
            };
            // Nobody waits; dropping the ticket has the keeper write the record.
            drop(self.book(&invocation, &conclusion));
        }
        if self.reserved_bytes > 0 {
            shared.space.give_back(self.reserved_bytes);
        }
    }
}
