//! Pauses that end early when everything closes.

use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::watch;

/// Whether everything closes, for those who wait on the runtime and for those who wait on a thread.
#[derive(Debug)]
pub(crate) struct Closing {
    told: watch::Sender<bool>,
    closed: Mutex<bool>,
    rings: Condvar,
}

impl Default for Closing {
    fn default() -> Self {
        Self { told: watch::Sender::new(false), closed: Mutex::new(false), rings: Condvar::new() }
    }
}

impl Closing {
    pub(crate) fn close(&self) {
        self.told.send_replace(true);
        *self.closed.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.rings.notify_all();
    }

    pub(crate) fn is_closed(&self) -> bool {
        *self.told.borrow()
    }

    pub(crate) async fn pause(&self, wait: Duration) {
        let mut told = self.told.subscribe();
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            _ = told.wait_for(|closed| *closed) => {}
        }
    }

    pub(crate) fn pause_blocking(&self, wait: Duration) {
        let closed = self.closed.lock().unwrap_or_else(PoisonError::into_inner);
        drop(self.rings.wait_timeout_while(closed, wait, |closed| !*closed));
    }
}
