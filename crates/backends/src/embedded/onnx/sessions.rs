//! The sessions of one model: as many calls run at once as there are sessions, later ones wait in order of arrival.
//!
//! The crate lets one call at a time into a session, because not every part of the library is safe to share.

use std::sync::{Arc, Mutex, PoisonError};

use ort::session::Session;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Sessions that are free. Invariant: as many as there are permits.
#[derive(Debug)]
pub(super) struct Sessions {
    free: Mutex<Vec<Session>>,
    permits: Arc<Semaphore>,
}

impl Sessions {
    pub(super) fn new(sessions: Vec<Session>) -> Arc<Self> {
        let permits = Arc::new(Semaphore::new(sessions.len()));
        Arc::new(Self { free: Mutex::new(sessions), permits })
    }

    /// A session for one call.
    pub(super) async fn lease(self: &Arc<Self>) -> Lease {
        let permit = Arc::clone(&self.permits).acquire_owned().await.expect("our bug: the semaphore is never closed");
        let session = self.free.lock().unwrap_or_else(PoisonError::into_inner).pop();
        Lease { session, sessions: Arc::clone(self), _permit: permit }
    }
}

/// A session in use; it is free again when this is dropped.
#[derive(Debug)]
pub(super) struct Lease {
    session: Option<Session>,
    sessions: Arc<Sessions>,
    /// Dropped after the session is back.
    _permit: OwnedSemaphorePermit,
}

impl Lease {
    pub(super) fn session(&mut self) -> &mut Session {
        self.session.as_mut().expect("our bug: there is a session for every permit")
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let mut free = self.sessions.free.lock().unwrap_or_else(PoisonError::into_inner);
        free.extend(self.session.take());
    }
}
