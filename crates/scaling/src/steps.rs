//! Step scaling: how far an alarm's metric is beyond the threshold decides what happens.
//!
//! Bounds and rounding as in AWS's user guide ("step scaling policies"): above the threshold a step holds its lower bound
//! and not its upper one, below it the other way round; a percentage that is no whole number of instances is rounded
//! towards zero, but to at least one.

use captura_wire::autoscaling::{StepAdjustment, StepScaling};
use captura_wire::aws_json::Fault;

/// Most steps of a policy, as on AWS.
const STEPS_MAX: usize = 20;

/// Refuses a policy that cannot be followed.
pub(crate) fn refuse_unusable(policy: &StepScaling) -> Result<(), Fault> {
    let refuse = |text: &str| Err(Fault::validation(text));
    let adjustment_type = policy.adjustment_type.as_deref();
    if !matches!(adjustment_type, Some("ChangeInCapacity" | "PercentChangeInCapacity" | "ExactCapacity")) {
        return refuse("AdjustmentType must be ChangeInCapacity, PercentChangeInCapacity or ExactCapacity");
    }
    if policy.step_adjustments.is_empty() || policy.step_adjustments.len() > STEPS_MAX {
        return refuse("At least one and at most 20 step adjustments are required");
    }
    let mut steps: Vec<&StepAdjustment> = policy.step_adjustments.iter().collect();
    steps.sort_by(|a, b| lower(a).total_cmp(&lower(b)));
    for step in &steps {
        if lower(step) >= upper(step) {
            return refuse("The lower bound of a step must be less than its upper bound");
        }
    }
    for pair in steps.windows(2) {
        #[expect(
            clippy::float_cmp,
            reason = "bounds are compared as they were sent: neighbours must share one exactly"
        )]
        if upper(pair[0]) != lower(pair[1]) {
            return refuse("There can't be gaps or overlaps between the step adjustments");
        }
    }
    Ok(())
}

fn lower(step: &StepAdjustment) -> f64 {
    step.metric_interval_lower_bound.unwrap_or(f64::NEG_INFINITY)
}

fn upper(step: &StepAdjustment) -> f64 {
    step.metric_interval_upper_bound.unwrap_or(f64::INFINITY)
}

/// The capacity that a breach asks for; nothing when no step holds it.
pub(crate) fn wanted(policy: &StepScaling, breach: f64, capacity: i64) -> Option<i64> {
    let holds = |step: &&StepAdjustment| {
        if breach >= 0.0 {
            (lower(step)..upper(step)).contains(&breach)
        } else {
            lower(step) < breach && breach <= upper(step)
        }
    };
    let step = policy.step_adjustments.iter().find(holds)?;
    let adjustment = step.scaling_adjustment;
    Some(match policy.adjustment_type.as_deref() {
        Some("ExactCapacity") => adjustment,
        Some("PercentChangeInCapacity") => {
            let least = policy.min_adjustment_magnitude.unwrap_or(1).max(1);
            let exact = i128::from(capacity) * i128::from(adjustment);
            let change = i64::try_from(exact / 100).unwrap_or(i64::MAX);
            let change = if change.abs() < least { least * exact.signum() as i64 } else { change };
            capacity.saturating_add(change)
        }
        _ => capacity.saturating_add(adjustment),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(adjustment_type: &str, steps: &[(Option<f64>, Option<f64>, i64)]) -> StepScaling {
        let step = |&(lower, upper, scaling_adjustment): &_| StepAdjustment {
            metric_interval_lower_bound: lower,
            metric_interval_upper_bound: upper,
            scaling_adjustment,
        };
        StepScaling {
            adjustment_type: Some(adjustment_type.into()),
            step_adjustments: steps.iter().map(step).collect(),
            min_adjustment_magnitude: None,
            cooldown: None,
            metric_aggregation_type: None,
        }
    }

    #[test]
    fn the_table_of_the_user_guide_comes_out() {
        // Scale out: 0 to 10 nothing, 10 to 20 ten per cent, above 20 thirty per cent, of a capacity of 10.
        let out = policy(
            "PercentChangeInCapacity",
            &[(Some(0.0), Some(10.0), 0), (Some(10.0), Some(20.0), 10), (Some(20.0), None, 30)],
        );
        assert_eq!(wanted(&out, 9.9, 10), Some(10));
        assert_eq!(wanted(&out, 10.0, 10), Some(11));
        assert_eq!(wanted(&out, 20.0, 10), Some(13));
        assert_eq!(wanted(&out, 5.0, 1), Some(1));
        assert_eq!(wanted(&out, 25.0, 1), Some(2), "30 per cent of one is at least one");
        let down = policy(
            "PercentChangeInCapacity",
            &[(Some(-10.0), Some(0.0), 0), (Some(-20.0), Some(-10.0), -10), (None, Some(-20.0), -30)],
        );
        assert_eq!(wanted(&down, -10.0, 10), Some(9));
        assert_eq!(wanted(&down, -20.0, 10), Some(7));
        assert_eq!(wanted(&down, 1.0, 10), None);
    }

    #[test]
    fn changes_and_exact_capacities() {
        assert_eq!(wanted(&policy("ChangeInCapacity", &[(Some(0.0), None, 2)]), 3.0, 4), Some(6));
        assert_eq!(wanted(&policy("ExactCapacity", &[(Some(0.0), None, 2)]), 3.0, 4), Some(2));
    }

    #[test]
    fn gaps_overlaps_and_empty_policies_are_refused() {
        assert!(refuse_unusable(&policy("ChangeInCapacity", &[])).is_err());
        assert!(refuse_unusable(&policy("Twice", &[(None, None, 1)])).is_err());
        let gap = policy("ChangeInCapacity", &[(Some(0.0), Some(1.0), 1), (Some(2.0), None, 2)]);
        assert!(refuse_unusable(&gap).is_err());
        let turned = policy("ChangeInCapacity", &[(Some(1.0), Some(0.0), 1)]);
        assert!(refuse_unusable(&turned).is_err());
        let fine = policy("ChangeInCapacity", &[(Some(1.0), None, 2), (Some(0.0), Some(1.0), 1)]);
        assert!(refuse_unusable(&fine).is_ok());
    }
}
