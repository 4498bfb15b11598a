//! How far the traffic of an endpoint, or of an inference component, has moved from one deployment to the next.
//!
//! A plan is a function of the two deployments, so only the place in it is stored: after a restart the walk goes on
//! where it was. Invariant: a stored step is published already, or will be before the next look at the alarms.

mod plan;
mod walk;

use captura_names::Timestamp;
use serde::{Deserialize, Serialize};

pub(crate) use plan::{Capacity, Plan};
pub(crate) use walk::{LOOK_AGAIN, Next, left_of};

/// A place in a plan. Stored beside the deployment that traffic moves to; before there is one, the new models load.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Rollout {
    /// The step, from 0.
    pub(crate) step: usize,
    /// What is done in it.
    pub(crate) stage: Stage,
    /// Since when.
    pub(crate) since: Timestamp,
    /// Why traffic goes back, when it does.
    pub(crate) rollback: Option<String>,
}

/// What is done in a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Stage {
    /// The step's instances start.
    Launching,
    /// The step's traffic is on, and alarms are looked at.
    Baking,
}

impl Rollout {
    /// A step whose instances start.
    pub(crate) fn launching(step: usize, since: Timestamp) -> Self {
        Self { step, stage: Stage::Launching, since, rollback: None }
    }

    /// A step whose traffic is on.
    pub(crate) fn baking(step: usize, since: Timestamp) -> Self {
        Self { step, stage: Stage::Baking, since, rollback: None }
    }

    /// The same place, on the way back.
    pub(crate) fn going_back(&self, reason: String, since: Timestamp) -> Self {
        Self { since, rollback: Some(reason), ..self.clone() }
    }
}
