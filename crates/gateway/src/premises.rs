//! What all connections share.

use std::sync::{Arc, OnceLock};

use captura_capture::Capture;
use captura_route::{Clock, RouteTable};
use tokio::sync::watch;

use crate::admission::Gates;
use crate::body::Memory;
use crate::hosts::Hosts;
use crate::metrics::DoorMeters;
use crate::prepared::{Means, Preparer};
use crate::shadow::Copies;
use crate::{Doors, Settings};

/// What all connections share.
pub(crate) struct Premises {
    pub(crate) settings: Settings,
    /// Known once the server listens.
    hosts: OnceLock<Hosts>,
    pub(crate) preparer: Preparer,
    pub(crate) meters: DoorMeters,
    /// Calls of shadow variants.
    pub(crate) copies: Copies,
    pub(crate) table: watch::Receiver<Arc<RouteTable>>,
    pub(crate) capture: Capture,
    pub(crate) clock: Clock,
    pub(crate) doors: Doors,
}

impl Premises {
    pub(crate) fn new(
        settings: Settings,
        mut table: watch::Receiver<Arc<RouteTable>>,
        capture: Capture,
        (clock, doors): (Clock, Doors),
    ) -> Self {
        let gates = Gates::new(settings.variant_concurrency_max);
        let current = Arc::clone(&table.borrow_and_update());
        let means = Means { gates, capture: capture.clone(), redactions: settings.redactions.clone() };
        Self {
            hosts: OnceLock::new(),
            preparer: Preparer::new(current, means),
            meters: DoorMeters::default(),
            copies: Copies::default(),
            settings,
            table,
            capture,
            clock,
            doors,
        }
    }

    /// Memory for a body that is known to be welcome.
    pub(crate) fn memory(&self) -> Memory<'_> {
        Memory { budget: &self.settings.memory, is_verified: true }
    }

    /// The server listens under these names.
    pub(crate) fn listen(&self, hosts: Hosts) {
        // A gateway serves once: it is used up by it.
        let _ = self.hosts.set(hosts);
    }

    /// The names of this server.
    pub(crate) fn hosts(&self) -> &Hosts {
        self.hosts.get().expect("our bug: there are requests only when the server listens")
    }
}
