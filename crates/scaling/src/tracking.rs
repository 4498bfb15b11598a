//! Target tracking: capacity keeps a metric near a value.
//!
//! Periods as on AWS: three above the target in a row and capacity grows in proportion, fifteen below nine tenths of it and
//! capacity shrinks to what the busiest of them would have needed. Only periods that began after the last change count,
//! because earlier ones speak of another capacity.
//!
//! Invariant: a pure function of readings, capacity and history.

use std::time::Duration;

use captura_names::Timestamp;
use captura_wire::autoscaling::TargetTracking;

/// Periods above the target after which capacity grows.
pub(crate) const OUT_PERIODS: usize = 3;
/// Periods below the target after which capacity shrinks.
pub(crate) const IN_PERIODS: usize = 15;
/// Shrinking begins below this part of the target, so that capacity does not swing.
const IN_PART: f64 = 0.9;
/// Seconds between changes where nothing is said: SageMaker's default.
const DEFAULT_COOLDOWN_S: i64 = 300;

/// What a policy wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wish {
    /// More.
    Out(i64),
    /// Less.
    In(i64),
    /// Neither; or it cannot tell.
    Stay,
}

/// What happened before.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct History {
    /// End of the last change.
    pub(crate) changed_at: Option<Timestamp>,
    /// End of the last growth, and by how much.
    pub(crate) grown: Option<(Timestamp, i64)>,
}

/// The last readings, oldest first, one per period that is over.
pub(crate) struct Load<'a> {
    pub(crate) readings: &'a [Option<f64>],
    /// End of the latest period.
    pub(crate) end: Timestamp,
    pub(crate) period: Duration,
    /// What a period without a point means: nothing is known, or there was no load.
    pub(crate) absent: Option<f64>,
}

impl Load<'_> {
    /// The latest `count` readings, if all of them began after the last change and are known.
    fn latest(&self, count: usize, history: &History) -> Option<Vec<f64>> {
        let period_us = i64::try_from(self.period.as_micros()).unwrap_or(i64::MAX);
        let began_us = self.end.unix_us().saturating_sub(period_us.saturating_mul(count as i64));
        if history.changed_at.is_some_and(|changed_at| began_us < changed_at.unix_us()) {
            return None;
        }
        let from = self.readings.len().checked_sub(count)?;
        self.readings[from..].iter().map(|reading| reading.or(self.absent)).collect()
    }
}

/// What the policy wants now.
pub(crate) fn wish(
    policy: &TargetTracking,
    load: &Load<'_>,
    (capacity, history): (i64, &History),
    now: Timestamp,
) -> Wish {
    let target = policy.target_value;
    let needed = |reading: f64| {
        // Beyond any bound a target can have, so saturating is right.
        let needed = (capacity.max(1) as f64 * reading / target).ceil();
        if needed >= 1e9 { 1_000_000_000 } else { needed as i64 }
    };
    let cooling = |since: Timestamp, cooldown_s: Option<i64>| {
        let cooldown_us = cooldown_s.unwrap_or(DEFAULT_COOLDOWN_S).saturating_mul(1_000_000);
        now.unix_us() < since.unix_us().saturating_add(cooldown_us)
    };
    if let Some(above) = load.latest(OUT_PERIODS, history).filter(|above| above.iter().all(|one| *one > target)) {
        let wanted = needed(above[OUT_PERIODS - 1]);
        let held_back = history.grown.is_some_and(|(grown_at, by)| {
            // While it cools down, only a larger growth than the last one happens.
            cooling(grown_at, policy.scale_out_cooldown) && wanted - capacity <= by
        });
        return if wanted > capacity && !held_back { Wish::Out(wanted) } else { Wish::Stay };
    }
    let may_shrink = policy.disable_scale_in != Some(true)
        && !history.changed_at.is_some_and(|changed_at| cooling(changed_at, policy.scale_in_cooldown));
    let below = load.latest(IN_PERIODS, history).filter(|below| below.iter().all(|one| *one < target * IN_PART));
    match below {
        Some(below) if may_shrink => {
            let wanted = needed(below.iter().copied().fold(0.0, f64::max));
            if wanted < capacity { Wish::In(wanted) } else { Wish::Stay }
        }
        _ => Wish::Stay,
    }
}

/// What all policies of a target want together: the largest growth, else the least shrinking if none is against it.
pub(crate) fn together(wishes: &[Wish]) -> Wish {
    let most = wishes.iter().filter_map(|wish| if let Wish::Out(wanted) = wish { Some(*wanted) } else { None }).max();
    if let Some(most) = most {
        return Wish::Out(most);
    }
    let least: Option<Vec<i64>> =
        wishes.iter().map(|wish| if let Wish::In(wanted) = wish { Some(*wanted) } else { None }).collect();
    least.and_then(|wanted| wanted.into_iter().max()).map_or(Wish::Stay, Wish::In)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(target_value: f64) -> TargetTracking {
        TargetTracking {
            target_value,
            predefined_metric_specification: None,
            customized_metric_specification: None,
            scale_out_cooldown: Some(120),
            scale_in_cooldown: Some(300),
            disable_scale_in: None,
        }
    }

    fn at(minute: i64) -> Timestamp {
        Timestamp::from_unix_us(minute * 60_000_000)
    }

    /// The wish at `minute` with these readings up to it.
    fn wish_at(minute: i64, readings: &[Option<f64>], capacity: i64, history: History) -> Wish {
        let load = Load { readings, end: at(minute), period: Duration::from_secs(60), absent: Some(0.0) };
        wish(&policy(100.0), &load, (capacity, &history), at(minute))
    }

    fn flat(value: f64, count: usize) -> Vec<Option<f64>> {
        vec![Some(value); count]
    }

    #[test]
    fn three_periods_above_the_target_grow_in_proportion() {
        assert_eq!(wish_at(100, &flat(250.0, 3), 2, History::default()), Wish::Out(5));
        assert_eq!(wish_at(100, &[Some(250.0), Some(99.0), Some(250.0)], 2, History::default()), Wish::Stay);
        assert_eq!(wish_at(100, &flat(250.0, 2), 2, History::default()), Wish::Stay);
        assert_eq!(wish_at(100, &flat(100.0, 3), 2, History::default()), Wish::Stay, "at the target is fine");
    }

    #[test]
    fn readings_from_before_a_change_say_nothing() {
        let history = History { changed_at: Some(at(98)), grown: None };
        assert_eq!(wish_at(100, &flat(250.0, 15), 2, history), Wish::Stay);
        assert_eq!(wish_at(101, &flat(250.0, 15), 2, history), Wish::Out(5));
    }

    #[test]
    fn while_growth_cools_down_only_larger_growth_happens() {
        let history = History { changed_at: Some(at(90)), grown: Some((at(99), 3)) };
        assert_eq!(wish_at(100, &flat(250.0, 3), 2, history), Wish::Stay);
        assert_eq!(wish_at(100, &flat(300.0, 3), 2, history), Wish::Out(6));
        assert_eq!(wish_at(101, &flat(250.0, 3), 2, history), Wish::Out(5), "two minutes later");
    }

    #[test]
    fn fifteen_quiet_periods_shrink_to_what_the_busiest_needs() {
        let mut readings = flat(10.0, 15);
        readings[3] = Some(45.0);
        assert_eq!(wish_at(100, &readings, 4, History::default()), Wish::In(2));
        readings[3] = Some(90.0);
        assert_eq!(wish_at(100, &readings, 4, History::default()), Wish::Stay, "that was not quiet");
        assert_eq!(wish_at(100, &vec![None; 15], 4, History::default()), Wish::In(0), "no load at all");
        let cooling = History { changed_at: Some(at(84)), grown: None };
        assert_eq!(wish_at(100, &flat(10.0, 15), 4, cooling), Wish::In(1));
        let unwilling = TargetTracking { disable_scale_in: Some(true), ..policy(100.0) };
        let readings = flat(10.0, 15);
        let load = Load { readings: &readings, end: at(100), period: Duration::from_secs(60), absent: None };
        assert_eq!(wish(&unwilling, &load, (4, &History::default()), at(100)), Wish::Stay);
    }

    #[test]
    fn an_unknown_reading_of_another_metric_shrinks_nothing() {
        let mut readings = flat(10.0, 15);
        readings[7] = None;
        let load = Load { readings: &readings, end: at(100), period: Duration::from_secs(60), absent: None };
        assert_eq!(wish(&policy(100.0), &load, (4, &History::default()), at(100)), Wish::Stay);
    }

    #[test]
    fn growth_wins_and_shrinking_needs_everyone() {
        assert_eq!(together(&[Wish::In(1), Wish::Out(3), Wish::Out(5)]), Wish::Out(5));
        assert_eq!(together(&[Wish::In(1), Wish::In(2)]), Wish::In(2));
        assert_eq!(together(&[Wish::In(1), Wish::Stay]), Wish::Stay);
        assert_eq!(together(&[]), Wish::Stay);
    }

    proptest::proptest! {
        #[test]
        fn a_steady_load_is_met_and_then_left_alone(load in 1.0..100_000.0_f64, capacity in 1_i64..50) {
            let reading = load / capacity as f64;
            let readings = flat(reading, 15);
            let after = match wish_at(100, &readings, capacity, History::default()) {
                Wish::Out(wanted) | Wish::In(wanted) => wanted.max(1),
                Wish::Stay => capacity,
            };
            let settled = flat(load / after as f64, 15);
            let again = wish_at(100, &settled, after, History::default());
            proptest::prop_assert!(!matches!(again, Wish::Out(_)), "{capacity} {after} {again:?}");
        }
    }
}
