//! Connections kept between calls.
//!
//! Invariant: what is kept is idle and was alive when it was put back; the youngest is taken first, so that few stay in
//! use and the others age.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::address::Address;
use super::link::{Broken, Link};

/// Most idle connections kept per server; more are closed when their call ends.
const IDLE_MAX: usize = 64;
/// Longest time that an idle connection is kept.
const IDLE_TIME_MAX: Duration = Duration::from_secs(60);

/// Connections to one server.
pub(super) struct Pool {
    address: Address,
    connect_timeout: Duration,
    idle: Mutex<Vec<Link>>,
}

impl Pool {
    pub(super) fn new(address: Address, connect_timeout: Duration) -> Self {
        Self { address, connect_timeout, idle: Mutex::new(Vec::with_capacity(IDLE_MAX)) }
    }

    pub(super) fn address(&self) -> &Address {
        &self.address
    }

    /// A kept connection that is still alive.
    pub(super) fn take(&self) -> Option<Link> {
        loop {
            let mut link = self.lock().pop()?;
            // What the server did meanwhile, a close say, is seen now.
            if link.idle_since.elapsed() < IDLE_TIME_MAX && link.is_ready() {
                return Some(link);
            }
        }
    }

    /// A new connection.
    pub(super) async fn open(&self) -> Result<Link, Broken> {
        match tokio::time::timeout(self.connect_timeout, self.address.connect()).await {
            Ok(Ok(stream)) => Link::over(stream).await,
            Ok(Err(error)) => Err(Broken::Unreached(format!("cannot connect to {}: {error}", self.address))),
            Err(_) => {
                let timeout_ms = self.connect_timeout.as_millis();
                let why = format!("{} accepted no connection within {timeout_ms} ms", self.address);
                Err(Broken::Unreached(why))
            }
        }
    }

    /// Keeps a connection whose call has ended, if it can take another.
    pub(super) fn give_back(&self, mut link: Link) {
        if link.is_ready() {
            link.idle_since = Instant::now();
            let mut idle = self.lock();
            if idle.len() < IDLE_MAX {
                idle.push(link);
            }
        }
    }

    /// Closes what is kept: the server is another one than it was.
    pub(super) fn forget(&self) {
        // Closed after the lock is free.
        let _kept = std::mem::take(&mut *self.lock());
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Link>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
