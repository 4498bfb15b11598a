//! What all connections share.

use std::sync::Arc;

use captura_capture::Capture;
use captura_route::{Clock, RouteTable};
use tokio::sync::watch;

use crate::admission::{ByteBudget, Gates};
use crate::hosts::Hosts;
use crate::metrics::DoorMeters;
use crate::prepared::Preparer;
use crate::shadow::Copies;
use crate::{Doors, Settings};

/// What all connections share.
pub(crate) struct Premises {
    pub(crate) settings: Settings,
    pub(crate) hosts: Hosts,
    pub(crate) bodies: Arc<ByteBudget>,
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
        hosts: Hosts,
        mut table: watch::Receiver<Arc<RouteTable>>,
        capture: Capture,
        (clock, doors): (Clock, Doors),
    ) -> Self {
        let gates = Gates::new(settings.variant_concurrency_max);
        let current = Arc::clone(&table.borrow_and_update());
        Self {
            hosts,
            bodies: ByteBudget::new(settings.memory_budget_bytes),
            preparer: Preparer::new(current, gates, capture.clone()),
            meters: DoorMeters::default(),
            copies: Copies::default(),
            settings,
            table,
            capture,
            clock,
            doors,
        }
    }
}
