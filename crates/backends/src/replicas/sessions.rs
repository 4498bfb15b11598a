//! Which instance keeps which session: a stateful model is asked again where its session began.
//!
//! Invariant: at most [`SESSIONS_MAX`] are remembered; the ones of instances that are gone make room first, then any.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use captura_route::{Answer, ModelRequest};

use super::member::Member;

/// Most sessions remembered per model.
const SESSIONS_MAX: usize = 10_000;
/// What a caller says who wants a new session.
const NEW_SESSION: &str = "NEW_SESSION";

/// Sessions by their ids.
#[derive(Debug, Default)]
pub(super) struct Sessions {
    members: Mutex<HashMap<Box<str>, Weak<Member>>>,
}

impl Sessions {
    /// The member that keeps the session of a request.
    pub(super) fn member_of(&self, request: &ModelRequest) -> Option<Arc<Member>> {
        let id = request.session_id.as_deref().filter(|id| *id != NEW_SESSION)?;
        self.lock().get(id)?.upgrade()
    }

    /// Remembers the session that began with an answer, and forgets the one that ended.
    pub(super) fn note(&self, answer: &Answer, member: &Arc<Member>) {
        if answer.new_session_id.is_none() && answer.closed_session_id.is_none() {
            return;
        }
        let mut members = self.lock();
        if let Some(id) = answer.closed_session_id.as_deref() {
            members.remove(bare(id));
        }
        if let Some(id) = answer.new_session_id.as_deref() {
            if members.len() >= SESSIONS_MAX {
                members.retain(|_, member| member.strong_count() > 0);
            }
            if members.len() >= SESSIONS_MAX
                && let Some(any) = members.keys().next().cloned()
            {
                members.remove(&any);
            }
            members.insert(bare(id).into(), Arc::downgrade(member));
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<Box<str>, Weak<Member>>> {
        self.members.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// `id; Expires=…` without what follows the id.
fn bare(id: &str) -> &str {
    id.split(';').next().unwrap_or(id).trim()
}
