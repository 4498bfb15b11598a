//! Which time an execution looks at, and in which folders that time's records lie.
//!
//! The window of an execution reaches from the schedule's moment before it to its own, unless the schedule states another
//! one; offsets of the input move it back, for labels that come late. Windows of whole hours are the folders of those
//! hours, as on AWS: a record is in the folder of the hour in which its call ended, so each is looked at exactly once.
//! Other windows are cut out of the folders by the time of each record.

use std::ops::Range;

use captura_names::Timestamp;
use captura_wire::hosting::{Reading, ScheduleConfig};

use super::expression::{DAY_US, Expression, HOUR_US};
use super::offset;

/// Longest window that a schedule may state.
pub(crate) const STATED_MAX_US: i64 = DAY_US;
/// What an execution of `NOW` without a stated window would look at; such schedules are refused.
const FALLBACK_US: i64 = HOUR_US;

/// A time that is looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Window {
    /// Which.
    pub(crate) time: Range<Timestamp>,
}

/// Why a window cannot be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NoWindow {
    /// A span cannot be read.
    #[error("is not a time offset like -PT1H")]
    Unreadable,
    /// It ends before it begins.
    #[error("leave a window that ends before it begins")]
    Empty,
    /// It is too long.
    #[error("leave a window of more than 24 hours")]
    TooLong,
    /// One end is stated, and the other is not.
    #[error("must both be given, or neither")]
    Half,
}

/// The window that a schedule states, relative to the scheduled time.
pub(crate) fn stated(config: &ScheduleConfig) -> Result<Option<Range<i64>>, NoWindow> {
    let span = |text: &Option<String>| text.as_deref().map(|text| offset::parse(text).ok_or(NoWindow::Unreadable));
    let (start, end) = (span(&config.data_analysis_start_time), span(&config.data_analysis_end_time));
    let (start, end) = match (start.transpose()?, end.transpose()?) {
        (None, None) => return Ok(None),
        (Some(start), Some(end)) => (start, end),
        _ => return Err(NoWindow::Half),
    };
    if start >= end {
        return Err(NoWindow::Empty);
    }
    if end - start > STATED_MAX_US {
        return Err(NoWindow::TooLong);
    }
    Ok(Some(start..end))
}

/// By how much an input moves start and end of a window back, microseconds.
pub(crate) fn moved_back(reading: &Reading) -> Result<(i64, i64), NoWindow> {
    let span = |text: &str| offset::parse(text).map(i64::abs).ok_or(NoWindow::Unreadable);
    match (&reading.start_time_offset, &reading.end_time_offset) {
        (None, None) => Ok((0, 0)),
        (Some(start), Some(end)) => Ok((span(start)?, span(end)?)),
        _ => Err(NoWindow::Half),
    }
}

impl Window {
    /// The window of an execution.
    pub(crate) fn of(
        scheduled: Timestamp,
        expression: Expression,
        config: &ScheduleConfig,
        reading: &Reading,
    ) -> Result<Self, NoWindow> {
        let (start, end) = match stated(config)? {
            Some(stated) => (scheduled.plus_us(stated.start), scheduled.plus_us(stated.end)),
            None => {
                let period_us = match expression.last_before(scheduled) {
                    // One that runs out of turn looks at as long a time as those that run in turn.
                    Some(last) if expression.last_until(scheduled) != Some(scheduled) => {
                        expression.next_after(last).map_or(FALLBACK_US, |next| next.unix_us() - last.unix_us())
                    }
                    Some(last) => scheduled.unix_us() - last.unix_us(),
                    None => FALLBACK_US,
                };
                (scheduled.plus_us(-period_us), scheduled)
            }
        };
        let (back_start, back_end) = moved_back(reading)?;
        let time = start.plus_us(-back_start)..end.plus_us(-back_end);
        if time.start >= time.end { Err(NoWindow::Empty) } else { Ok(Self { time }) }
    }

    /// Whether it is folders of whole hours, and no record need be looked at for its time.
    pub(crate) fn is_whole_hours(&self) -> bool {
        is_whole_hour(self.time.start) && is_whole_hour(self.time.end)
    }

    /// The hours whose folders hold its records.
    pub(crate) fn hours(&self) -> Vec<Timestamp> {
        let first = floor(self.time.start);
        // A call of the last moment may have ended in the hour after it.
        let end = if self.is_whole_hours() { self.time.end.unix_us() } else { floor(self.time.end) + HOUR_US };
        hours(first, end)
    }

    /// The hours in which labels may have arrived until then.
    pub(crate) fn label_hours(&self, until: Timestamp) -> Vec<Timestamp> {
        hours(floor(self.time.start), until.unix_us().max(self.time.end.unix_us()))
    }
}

fn hours(first: i64, end: i64) -> Vec<Timestamp> {
    (0..).map(|index| first + index * HOUR_US).take_while(|hour| *hour < end).map(Timestamp::from_unix_us).collect()
}

fn floor(moment: Timestamp) -> i64 {
    moment.unix_us().div_euclid(HOUR_US) * HOUR_US
}

fn is_whole_hour(moment: Timestamp) -> bool {
    moment.unix_us() % HOUR_US == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reading(offsets: Option<(&str, &str)>) -> Reading {
        let mut members = serde_json::json!({"LocalPath": "/in"});
        if let Some((start, end)) = offsets {
            members["StartTimeOffset"] = start.into();
            members["EndTimeOffset"] = end.into();
        }
        serde_json::from_value(members).unwrap()
    }

    fn config(expression: &str, window: Option<(&str, &str)>) -> ScheduleConfig {
        ScheduleConfig {
            schedule_expression: expression.to_owned(),
            data_analysis_start_time: window.map(|(start, _)| start.to_owned()),
            data_analysis_end_time: window.map(|(_, end)| end.to_owned()),
        }
    }

    fn window(at: &str, expression: &str, stated: Option<(&str, &str)>, offsets: Option<(&str, &str)>) -> Window {
        let parsed = Expression::parse(expression).unwrap();
        Window::of(Timestamp::parse(at).unwrap(), parsed, &config(expression, stated), &reading(offsets)).unwrap()
    }

    fn folders(window: &Window) -> Vec<String> {
        window.hours().iter().map(|hour| hour.hour_path().to_string()).collect()
    }

    #[test]
    fn a_window_reaches_from_the_moment_before_to_its_own() {
        let hourly = window("2026-03-01T01:00:00Z", "cron(0 * ? * * *)", None, None);
        assert_eq!(hourly.time.start.to_string(), "2026-03-01T00:00:00Z");
        assert_eq!(folders(&hourly), ["2026/03/01/00"]);
        let daily = window("2026-03-01T07:00:00Z", "cron(0 7 ? * * *)", None, None);
        assert_eq!(daily.time.start.to_string(), "2026-02-28T07:00:00Z");
        assert_eq!(folders(&daily).len(), 24);
        let uneven = window("2026-03-01T00:00:00Z", "cron(0 0/10 ? * * *)", None, None);
        assert_eq!(folders(&uneven), ["2026/02/28/20", "2026/02/28/21", "2026/02/28/22", "2026/02/28/23"]);
    }

    #[test]
    fn a_finer_window_is_cut_out_of_its_hours_and_the_one_in_which_its_last_calls_end() {
        let fine = window("2026-03-01T01:00:00Z", "rate(5 minutes)", None, None);
        assert_eq!(fine.time.start.to_string(), "2026-03-01T00:55:00Z");
        assert!(!fine.is_whole_hours());
        assert_eq!(folders(&fine), ["2026/03/01/00", "2026/03/01/01"]);
        let inside = window("2026-03-01T00:30:00Z", "rate(5 minutes)", None, None);
        assert_eq!(folders(&inside), ["2026/03/01/00"]);
    }

    #[test]
    fn one_out_of_turn_looks_as_far_back_as_those_in_turn() {
        let out_of_turn = window("2026-03-01T01:20:30Z", "cron(0 * ? * * *)", None, None);
        assert_eq!(out_of_turn.time.start.to_string(), "2026-03-01T00:20:30Z");
        assert_eq!(folders(&out_of_turn), ["2026/03/01/00", "2026/03/01/01"]);
    }

    #[test]
    fn what_is_stated_wins_and_offsets_of_the_input_move_it_back() {
        let now = window("2026-03-01T12:00:00Z", "NOW", Some(("-PT5H", "-PT1H")), None);
        assert_eq!(folders(&now), ["2026/03/01/07", "2026/03/01/08", "2026/03/01/09", "2026/03/01/10"]);
        let late = window("2026-03-01T12:00:00Z", "cron(0 * ? * * *)", None, Some(("-P1D", "-P1D")));
        assert_eq!(folders(&late), ["2026/02/28/11"]);
        let labels = late.label_hours(Timestamp::parse("2026-03-01T12:00:00Z").unwrap());
        assert_eq!(labels.len(), 25);
        assert_eq!(labels[0].hour_path().to_string(), "2026/02/28/11");
    }

    #[test]
    fn windows_that_cannot_be_are_refused() {
        let refused = |window| stated(&config("NOW", Some(window)));
        assert_eq!(refused(("-PT1H", "-PT1H")), Err(NoWindow::Empty));
        assert_eq!(refused(("-PT25H", "-PT0H")), Err(NoWindow::TooLong));
        assert_eq!(refused(("yesterday", "-PT0H")), Err(NoWindow::Unreadable));
        assert_eq!(refused(("-PT24H", "-PT0H")), Ok(Some(-DAY_US..0)));
        let mut half = config("NOW", Some(("-PT1H", "-PT0H")));
        half.data_analysis_end_time = None;
        assert_eq!(stated(&half), Err(NoWindow::Half));
        let hourly = Expression::parse("cron(0 * ? * * *)").unwrap();
        let moved = Window::of(
            Timestamp::from_unix_us(10 * HOUR_US),
            hourly,
            &config("", None),
            &reading(Some(("PT0H", "-PT1H"))),
        );
        assert_eq!(moved, Err(NoWindow::Empty));
    }
}
