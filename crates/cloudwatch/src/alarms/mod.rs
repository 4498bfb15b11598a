//! The alarms: what they watch, how they stand, and what they told.
//!
//! Invariant: a change of state is on the disk before anyone is told of it, as one that is still to be told, and stays so
//! until whoever tells says that it is done: a restart in between tells of it again, under the same id. An alarm that the file holds and this version cannot read keeps the server from starting, with its name.

mod definition;
mod describe;
mod history;

use std::collections::BTreeMap;

use captura_alarm::{Judgement, Point, State, Verdict, evaluate};
use captura_names::Timestamp;
use captura_wire::cloudwatch::shapes::{PutMetricAlarm, Tag};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use uuid::Uuid;

pub(crate) use definition::{Condition, moment};
pub(crate) use describe::dimensions;
pub(crate) use history::{Entry, Kind};

use crate::notice::StateChange;
use crate::plan::Span;
use crate::store::Store;

/// Alarms at most; CloudWatch's own limit.
pub(crate) const ALARMS_MAX: usize = 5_000;
/// Changes of one alarm that wait to be told; beyond them the oldest is given up.
const UNTOLD_MAX: usize = 32;
/// Seconds between two looks at an alarm, at most; late samples are seen by then.
const LOOK_AGAIN_S: i64 = 10;

/// How an alarm stands.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Standing {
    pub(crate) state: State,
    pub(crate) reason: String,
    pub(crate) reason_data: Option<String>,
    /// When the state or its reason was last set.
    pub(crate) updated_at: Timestamp,
    /// When the state last became another.
    pub(crate) transitioned_at: Timestamp,
}

/// An alarm.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Alarm {
    pub(crate) definition: PutMetricAlarm,
    pub(crate) arn: String,
    pub(crate) configured_at: Timestamp,
    pub(crate) standing: Standing,
    #[serde(default)]
    pub(crate) history: Vec<Entry>,
    /// Changes that nobody has been told of for certain, oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    untold: Vec<StateChange>,
    /// The definition, understood. Set whenever an alarm comes in.
    #[serde(skip)]
    condition: Option<Condition>,
    /// When it is looked at next, seconds since 1970.
    #[serde(skip)]
    due_s: i64,
}

/// All alarms by name.
#[derive(Debug, Default)]
pub(crate) struct Alarms {
    by_name: BTreeMap<String, Alarm>,
    /// Goes up with every change, so that the newest file wins.
    version: u64,
}

impl Alarms {
    /// Reads the file's content.
    pub(crate) fn read(bytes: &[u8]) -> Result<Self, String> {
        let mut by_name: BTreeMap<String, Alarm> = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
        for (name, alarm) in &mut by_name {
            let condition = Condition::of(&alarm.definition).map_err(|fault| format!("alarm {name}: {fault}"))?;
            alarm.condition = Some(condition);
        }
        Ok(Self { by_name, version: 0 })
    }

    /// The file's content, with its version.
    pub(crate) fn write(&self) -> (u64, Vec<u8>) {
        (self.version, serde_json::to_vec_pretty(&self.by_name).expect("our bug: alarms are plain data"))
    }

    pub(crate) fn len(&self) -> usize {
        self.by_name.len()
    }

    pub(crate) fn get(&self, name: &str) -> Option<&Alarm> {
        self.by_name.get(name)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&String, &Alarm)> {
        self.by_name.iter()
    }

    /// What is still to be told, oldest first.
    pub(crate) fn untold(&self) -> Vec<StateChange> {
        let mut untold: Vec<_> = self.by_name.values().flat_map(|alarm| &alarm.untold).cloned().collect();
        untold.sort_by_key(|change| change.at);
        untold
    }

    /// These were told.
    pub(crate) fn told(&mut self, ids: &[Uuid]) {
        self.version += 1;
        for alarm in self.by_name.values_mut() {
            alarm.untold.retain(|change| !ids.contains(&change.id));
        }
    }

    pub(crate) fn by_arn_mut(&mut self, arn: &str) -> Option<&mut Alarm> {
        self.version += 1;
        self.by_name.values_mut().find(|alarm| alarm.arn == arn)
    }

    /// Creates an alarm, or overwrites what an existing one watches; that one keeps its state and its tags.
    pub(crate) fn put(&mut self, definition: PutMetricAlarm, condition: Condition, arn: String, now: Timestamp) {
        self.version += 1;
        let name = definition.alarm_name.clone();
        if let Some(alarm) = self.by_name.get_mut(&name) {
            let tags = std::mem::take(&mut alarm.definition.tags);
            alarm.definition = PutMetricAlarm { tags, ..definition };
            alarm.condition = Some(condition);
            alarm.configured_at = now;
            alarm.due_s = 0;
            alarm.note(Entry::new(now, Kind::ConfigurationUpdate, &format!("Alarm \"{name}\" updated"), &Value::Null));
            return;
        }
        let standing = Standing {
            state: State::InsufficientData,
            reason: "Unchecked: Initial alarm creation".to_owned(),
            reason_data: None,
            updated_at: now,
            transitioned_at: now,
        };
        let mut alarm = Alarm {
            definition,
            arn,
            configured_at: now,
            standing,
            history: Vec::new(),
            untold: Vec::new(),
            condition: Some(condition),
            due_s: 0,
        };
        alarm.note(Entry::new(now, Kind::ConfigurationUpdate, &format!("Alarm \"{name}\" created"), &Value::Null));
        self.by_name.insert(name, alarm);
    }

    pub(crate) fn remove(&mut self, names: &[String]) {
        self.version += 1;
        names.iter().for_each(|name| drop(self.by_name.remove(name)));
    }

    /// Enables or disables the actions of those alarms that are there.
    pub(crate) fn enable_actions(&mut self, names: &[String], enabled: bool, now: Timestamp) {
        self.version += 1;
        for name in names {
            if let Some(alarm) = self.by_name.get_mut(name) {
                alarm.definition.actions_enabled = Some(enabled);
                let done = if enabled { "enabled" } else { "disabled" };
                let summary = format!("Alarm actions {done} for \"{name}\"");
                alarm.note(Entry::new(now, Kind::ConfigurationUpdate, &summary, &Value::Null));
            }
        }
    }

    /// Sets a state by hand. It holds until the alarm is next looked at, one period later. `None` without such an alarm.
    pub(crate) fn set(&mut self, name: &str, standing: Standing) -> Option<Vec<StateChange>> {
        let alarm = self.by_name.get_mut(name)?;
        self.version += 1;
        let step_s = alarm.condition.as_ref().map_or(60, Condition::step_s);
        alarm.due_s = standing.updated_at.unix_us().div_euclid(1_000_000) + step_s;
        if alarm.standing.state == standing.state {
            alarm.standing = Standing { transitioned_at: alarm.standing.transitioned_at, ..standing };
            return Some(Vec::new());
        }
        Some(vec![alarm.change(standing)])
    }

    /// Looks at every alarm that is due; the changes, which are in the book already.
    pub(crate) fn evaluate(&mut self, store: &Store, now: Timestamp) -> Vec<StateChange> {
        let now_s = now.unix_us().div_euclid(1_000_000);
        let mut changes = Vec::new();
        for alarm in self.by_name.values_mut().filter(|alarm| alarm.due_s <= now_s) {
            let Some(condition) = &alarm.condition else { continue };
            let step_s = condition.step_s();
            let boundary_s = (now_s.div_euclid(step_s) + 1) * step_s;
            alarm.due_s = boundary_s.min(now_s + LOOK_AGAIN_S.min(step_s / 5).max(1));
            let periods = condition.periods(store, now_s);
            if condition.has_too_few_samples(&periods) {
                continue;
            }
            match evaluate(&condition.rule, alarm.standing.state, &periods) {
                Verdict::Stay => {}
                Verdict::Change(judgement) => {
                    let reason_data = condition.reason_data(&judgement, &periods, now);
                    let Judgement { state, reason, .. } = judgement;
                    let standing = Standing {
                        state,
                        reason,
                        reason_data: Some(reason_data.to_string()),
                        updated_at: now,
                        transitioned_at: now,
                    };
                    changes.push(alarm.change(standing));
                }
            }
        }
        self.version += u64::from(!changes.is_empty());
        changes
    }
}

impl Alarm {
    fn change(&mut self, next: Standing) -> StateChange {
        let now = next.updated_at;
        let before = std::mem::replace(&mut self.standing, next);
        let change = StateChange::new(self, &before);
        let name = &self.definition.alarm_name;
        let summary = format!("Alarm \"{name}\" updated from {} to {}", before.state, self.standing.state);
        let data = json!({
            "version": "1.0",
            "oldState": history::state(&before),
            "newState": history::state(&self.standing),
        });
        let mut entries = vec![Entry::new(now, Kind::StateUpdate, &summary, &data)];
        for action in &change.actions {
            let summary = format!("Action {action} announced");
            entries.push(Entry::new(
                now,
                Kind::Action,
                &summary,
                &json!({"actionState": "Announced", "resource": action}),
            ));
        }
        entries.into_iter().for_each(|entry| self.note(entry));
        if self.untold.len() >= UNTOLD_MAX {
            let given_up = self.untold.remove(0);
            tracing::error!(alarm = given_up.alarm, id = %given_up.id, "a change of an alarm is told to nobody");
        }
        self.untold.push(change.clone());
        change
    }

    fn note(&mut self, entry: Entry) {
        history::note(&mut self.history, entry);
    }

    /// Its actions in a state, whether or not they are enabled.
    pub(crate) fn actions(&self, state: State) -> &[String] {
        match state {
            State::Ok => &self.definition.ok_actions,
            State::Alarm => &self.definition.alarm_actions,
            State::InsufficientData => &self.definition.insufficient_data_actions,
        }
    }

    pub(crate) fn actions_enabled(&self) -> bool {
        self.definition.actions_enabled.unwrap_or(true)
    }

    pub(crate) fn tags_mut(&mut self) -> &mut Vec<Tag> {
        &mut self.definition.tags
    }
}

/// Points of consecutive periods, oldest first.
pub(crate) type Periods = Vec<Option<Point>>;

impl Condition {
    /// How often its newest period moves on: with its period, but each minute at least.
    pub(crate) fn step_s(&self) -> i64 {
        self.period_s.min(60)
    }

    /// The periods of the evaluation range that are over, oldest first.
    fn periods(&self, store: &Store, now_s: i64) -> Periods {
        let end_s = now_s.div_euclid(self.step_s()) * self.step_s();
        let count = i64::from(self.rule.range_periods());
        let start_s = end_s - count * self.period_s;
        let span = Span { start_s, end_s, now_s, aligned: false };
        // A range that cannot be computed has no points; what can be wrong was refused when the alarm was made.
        let computed = self.plan.compute(store, span).unwrap_or_default();
        let watched = computed.into_iter().find(|computed| computed.id == self.watched);
        (0..count)
            .map(|index| {
                let at_s = start_s + index * self.period_s;
                let watched = watched.as_ref()?;
                let value = *watched.points.get(&at_s)?;
                let sample_count = watched.sample_counts.get(&at_s).copied();
                Some(Point { at: Timestamp::from_unix_us(at_s * 1_000_000), value, sample_count })
            })
            .collect()
    }
}

#[cfg(test)]
mod tests;
