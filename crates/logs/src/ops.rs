//! What each operation does.

use std::io;

use captura_wire::aws_json::{Fault, FaultCode, read_input};
use captura_wire::logs::{Input, Operation, OutputLogEvent, read};
use serde_json::{Value, json};

use crate::generation::Event;
use crate::name::{self, Kind};
use crate::pattern::Pattern;
use crate::store::Store;
use crate::stream::Stream;
use crate::{Request, store};

/// Most events of an answer, as on AWS.
const EVENTS_MAX: usize = 10_000;
/// Most bytes of messages in an answer, as on AWS.
const ANSWER_MAX_BYTES: usize = 1024 * 1024;
/// Most groups or streams of an answer, as on AWS.
const LIST_MAX: usize = 50;
/// Most events of one `PutLogEvents`, as on AWS.
const PUT_MAX: usize = 10_000;
/// What the events of one `PutLogEvents` may span, as on AWS.
const PUT_SPAN_MAX_MS: i64 = 24 * HOUR_MS;
/// Older events are not taken, as on AWS.
const OLDEST_MS: i64 = 14 * 24 * HOUR_MS;
/// Events further ahead are not taken, as on AWS.
const NEWEST_MS: i64 = 2 * HOUR_MS;
const HOUR_MS: i64 = 60 * 60 * 1_000;

pub(crate) fn answer(store: &Store, request: &Request<'_>) -> Result<Value, Fault> {
    let operation = Operation::from_target(request.target)?;
    let input = read(&read_input(&request.body)?)?;
    let desk = Desk { store, region: request.region, input };
    match operation {
        Operation::CreateLogGroup => desk.create_group(),
        Operation::CreateLogStream => desk.create_stream(),
        Operation::DeleteLogGroup => desk.delete_group(),
        Operation::DeleteLogStream => desk.delete_stream(),
        Operation::DescribeLogGroups => desk.describe_groups(),
        Operation::DescribeLogStreams => desk.describe_streams(),
        Operation::FilterLogEvents => desk.filter(),
        Operation::GetLogEvents => desk.get(),
        Operation::PutLogEvents => desk.put(),
    }
}

struct Desk<'a> {
    store: &'a Store,
    region: &'a str,
    input: Input,
}

impl Desk<'_> {
    /// The group that the request names, by name or ARN.
    fn group(&self) -> Result<String, Fault> {
        let named = self.input.log_group_name.as_deref().or(self.input.log_group_identifier.as_deref());
        let named = named.ok_or_else(|| invalid("logGroupName is required."))?;
        // arn:aws:logs:region:account:log-group:NAME, perhaps with :* behind it
        let by_arn = named.strip_prefix("arn:").and_then(|arn| arn.split(":log-group:").nth(1));
        let group = by_arn.map_or(named, |rest| rest.split(':').next().unwrap_or(rest));
        name::check(Kind::Group, group)?;
        Ok(group.to_owned())
    }

    fn stream(&self) -> Result<&str, Fault> {
        let stream = self.input.log_stream_name.as_deref().ok_or_else(|| invalid("logStreamName is required."))?;
        name::check(Kind::Stream, stream)?;
        Ok(stream)
    }

    fn create_group(&self) -> Result<Value, Fault> {
        let group = self.group()?;
        match self.store.create_group(&mut self.store.groups(), &group).map_err(failed)? {
            true => Ok(json!({})),
            false => Err(exists("The specified log group already exists")),
        }
    }

    fn create_stream(&self) -> Result<Value, Fault> {
        let (group, stream) = (self.group()?, self.stream()?);
        let mut groups = self.store.groups();
        groups.get(&group).ok_or_else(no_group)?;
        match self.store.create_stream(&mut groups, &group, stream).map_err(failed)? {
            true => Ok(json!({})),
            false => Err(exists("The specified log stream already exists")),
        }
    }

    fn delete_group(&self) -> Result<Value, Fault> {
        let group = self.group()?;
        let mut groups = self.store.groups();
        groups.remove(&group).ok_or_else(no_group)?;
        std::fs::remove_dir_all(self.store.folder(&group)).map_err(failed)?;
        Ok(json!({}))
    }

    fn delete_stream(&self) -> Result<Value, Fault> {
        let (group, stream) = (self.group()?, self.stream()?);
        let mut groups = self.store.groups();
        let group = groups.get_mut(&group).ok_or_else(no_group)?;
        let stream = group.streams.remove(stream).ok_or_else(no_stream)?;
        stream.remove().map_err(failed)?;
        Ok(json!({}))
    }

    fn arn(&self, group: &str) -> String {
        format!("arn:aws:logs:{}:{}:log-group:{group}", self.region, self.store.settings.account)
    }

    fn list_size(&self) -> Result<usize, Fault> {
        limit(self.input.limit, LIST_MAX)
    }

    fn describe_groups(&self) -> Result<Value, Fault> {
        let size = self.list_size()?;
        let mut groups = self.store.groups();
        let prefix = self.input.log_group_name_prefix.clone().unwrap_or_default();
        let part = self.input.log_group_name_pattern.clone().unwrap_or_default();
        let after = self.input.next_token.clone();
        let asked = groups.iter_mut().filter(|(name, _)| {
            name.starts_with(&prefix) && name.contains(&part) && after.as_ref().is_none_or(|after| *name > after)
        });
        let mut lines = Vec::new();
        for (name, group) in asked.take(size + 1) {
            let arn = self.arn(name);
            let mut stored_bytes = 0;
            for stream in group.streams.values_mut() {
                let figures = stream.figures().map_err(failed)?;
                stored_bytes += figures.log_bytes + figures.before_bytes;
            }
            lines.push(json!({
                "logGroupName": name, "creationTime": group.birth.created_ms, "metricFilterCount": 0,
                "arn": format!("{arn}:*"), "logGroupArn": arn, "storedBytes": stored_bytes, "logGroupClass": "STANDARD",
            }));
        }
        Ok(listed("logGroups", lines, size, |line| line["logGroupName"].as_str().unwrap_or_default().to_owned()))
    }

    fn describe_streams(&self) -> Result<Value, Fault> {
        let size = self.list_size()?;
        let group = self.group()?;
        let by_time = match self.input.order_by.as_deref() {
            None | Some("LogStreamName") => false,
            Some("LastEventTime") if self.input.log_stream_name_prefix.is_some() => {
                return Err(invalid("Cannot order by LastEventTime with a logStreamNamePrefix."));
            }
            Some("LastEventTime") => true,
            Some(other) => return Err(invalid(&format!("orderBy is LogStreamName or LastEventTime, not {other}."))),
        };
        let mut groups = self.store.groups();
        let streams = &mut groups.get_mut(&group).ok_or_else(no_group)?.streams;
        let prefix = self.input.log_stream_name_prefix.clone().unwrap_or_default();
        let mut lines = Vec::new();
        for (name, stream) in streams.iter_mut().filter(|(name, _)| name.starts_with(&prefix)) {
            lines.push(self.stream_line(&group, name, stream)?);
        }
        let key = |line: &Value| {
            let time = if by_time { line["lastEventTimestamp"].as_i64().unwrap_or(0) } else { 0 };
            // Fixed width, so that the text order is the number's.
            format!("{time:020} {}", line["logStreamName"].as_str().unwrap_or_default())
        };
        lines.sort_by_key(key);
        if self.input.descending {
            lines.reverse();
        }
        if let Some(after) = &self.input.next_token {
            lines.retain(|line| if self.input.descending { key(line) < *after } else { key(line) > *after });
        }
        Ok(listed("logStreams", lines, size, key))
    }

    fn stream_line(&self, group: &str, name: &str, stream: &mut Stream) -> Result<Value, Fault> {
        let figures = stream.figures().map_err(failed)?;
        let mut line = json!({
            "logStreamName": name, "creationTime": stream.birth.created_ms,
            "arn": format!("{}:log-stream:{name}", self.arn(group)), "storedBytes": 0,
            "uploadSequenceToken": figures.next_sequence.to_string(),
        });
        let times = [
            ("firstEventTimestamp", figures.first_ms),
            ("lastEventTimestamp", figures.last_ms),
            ("lastIngestionTime", figures.last_ingestion_ms),
        ];
        for (key, time) in times {
            if let Some(time) = time {
                line[key] = json!(time);
            }
        }
        Ok(line)
    }

    fn is_in_time(&self, event: &Event) -> bool {
        self.input.start_time.is_none_or(|start| event.timestamp_ms >= start)
            && self.input.end_time.is_none_or(|end| event.timestamp_ms < end)
    }

    /// Pages both ways: `f/N` goes on at sequence N, `b/N` goes back from before it.
    fn get(&self) -> Result<Value, Fault> {
        let size = limit(self.input.limit, EVENTS_MAX)?;
        let (group, stream) = (self.group()?, self.stream()?);
        let mut groups = self.store.groups();
        let stream = groups.get_mut(&group).ok_or_else(no_group)?.streams.get_mut(stream).ok_or_else(no_stream)?;
        let next_sequence = stream.figures().map_err(failed)?.next_sequence;
        let mut events = stream.events().map_err(failed)?;
        drop(groups);
        events.retain(|event| self.is_in_time(event));
        let (forward, edge) = match self.input.next_token.as_deref() {
            None => (self.input.start_from_head, if self.input.start_from_head { 0 } else { next_sequence }),
            Some(token) => {
                let (way, edge) = token.split_once('/').ok_or_else(bad_token)?;
                let edge: u64 = edge.parse().map_err(|_| bad_token())?;
                (
                    match way {
                        "f" => true,
                        "b" => false,
                        _ => return Err(bad_token()),
                    },
                    edge,
                )
            }
        };
        if forward {
            events.retain(|event| event.sequence >= edge);
            let fitting = fitting(events.iter(), size);
            events.truncate(fitting);
        } else {
            events.retain(|event| event.sequence < edge);
            let fitting = fitting(events.iter().rev(), size);
            events.drain(..events.len() - fitting);
        }
        let begin = events.first().map_or(edge, |event| event.sequence);
        let end = events.last().map_or(edge, |event| event.sequence + 1);
        let lines: Vec<OutputLogEvent> = events.into_iter().map(|event| output(event, None)).collect();
        Ok(json!({
            "events": lines, "nextForwardToken": format!("f/{end}"), "nextBackwardToken": format!("b/{begin}"),
        }))
    }

    /// Events of several streams by time; the token is the key of the last one.
    fn filter(&self) -> Result<Value, Fault> {
        let size = limit(self.input.limit, EVENTS_MAX)?;
        let pattern = Pattern::parse(self.input.filter_pattern.as_deref().unwrap_or_default())?;
        let group = self.group()?;
        let names = &self.input.log_stream_names;
        let prefix = self.input.log_stream_name_prefix.as_deref();
        if !names.is_empty() && prefix.is_some() {
            return Err(invalid("Give either logStreamNames or logStreamNamePrefix."));
        }
        let is_asked = |name: &String| match prefix {
            Some(prefix) => name.starts_with(prefix),
            None => names.is_empty() || names.contains(name),
        };
        let key = |(stream, event): &(String, Event)| format!("{}/{}/{stream}", event.timestamp_ms, event.sequence);
        let after = self.input.next_token.as_deref().map(Place::parse).transpose()?;
        let is_next = |event: &Event, stream: &str| {
            let place = Place { timestamp_ms: event.timestamp_ms, stream, sequence: event.sequence };
            after.as_ref().is_none_or(|after| place > *after)
                && self.is_in_time(event)
                && pattern.matches(&event.message)
        };
        let mut found = self.gather(&group, size, (is_asked, is_next))?;
        let fitting = fitting(found.iter().map(|(_, event)| event), size);
        let more = fitting < found.len();
        found.truncate(fitting);
        let next = found.last().map(key).filter(|_| more);
        let lines: Vec<_> = found.into_iter().map(|(stream, event)| output(event, Some(stream))).collect();
        let mut answer = json!({ "events": lines, "searchedLogStreams": [] });
        if let Some(next) = next {
            answer["nextToken"] = json!(next);
        }
        Ok(answer)
    }

    /// The first events by time of those streams, one more than fits into an answer if there are more. The streams are
    /// read one by one, and whoever speaks may write in between: neither memory nor waiting grows with their number.
    fn gather(
        &self,
        group: &str,
        size: usize,
        (is_asked, is_next): (impl Fn(&String) -> bool, impl Fn(&Event, &str) -> bool),
    ) -> Result<Vec<(String, Event)>, Fault> {
        let names: Vec<String> = {
            let groups = self.store.groups();
            let streams = &groups.get(group).ok_or_else(no_group)?.streams;
            streams.keys().filter(|name| is_asked(name)).cloned().collect()
        };
        let mut found: Vec<(String, Event)> = Vec::new();
        for name in names {
            // A stream that was removed meanwhile holds nothing.
            let events =
                self.store.groups().get_mut(group).and_then(|group| Some(group.streams.get_mut(&name)?.events()));
            let events = events.transpose().map_err(failed)?.unwrap_or_default();
            let next = events.into_iter().filter(|event| is_next(event, &name));
            found.extend(next.map(|event| (name.clone(), event)));
            found.sort_by(|(a_stream, a), (b_stream, b)| {
                (a.timestamp_ms, a_stream, a.sequence).cmp(&(b.timestamp_ms, b_stream, b.sequence))
            });
            let fitting = fitting(found.iter().map(|(_, event)| event), size);
            found.truncate(fitting + 1);
        }
        Ok(found)
    }

    fn put(&self) -> Result<Value, Fault> {
        let (group, stream) = (self.group()?, self.stream()?);
        let events = &self.input.log_events;
        if events.is_empty() || events.len() > PUT_MAX {
            return Err(invalid("logEvents has 1 to 10000 members."));
        }
        if events.windows(2).any(|pair| pair[0].timestamp > pair[1].timestamp) {
            return Err(invalid("Log events in a single PutLogEvents request must be in chronological order."));
        }
        let span_ms = events[events.len() - 1].timestamp.saturating_sub(events[0].timestamp);
        if span_ms > PUT_SPAN_MAX_MS {
            return Err(invalid(
                "The batch of log events in a single PutLogEvents request cannot span more than 24 hours.",
            ));
        }
        let now_ms = self.store.now_ms();
        let mut groups = self.store.groups();
        let stream = groups.get_mut(&group).ok_or_else(no_group)?.streams.get_mut(stream).ok_or_else(no_stream)?;
        let too_old = events.partition_point(|event| event.timestamp < now_ms.saturating_sub(OLDEST_MS));
        let in_time = events.partition_point(|event| event.timestamp <= now_ms.saturating_add(NEWEST_MS));
        let taken = &events[too_old..in_time];
        let said: Vec<(i64, &str)> = taken.iter().map(|event| (event.timestamp, event.message.as_str())).collect();
        if !said.is_empty() {
            stream.append(&said, now_ms, self.store.settings.generation_max_bytes).map_err(failed)?;
        }
        let next = stream.figures().map_err(failed)?.next_sequence;
        let mut answer = json!({ "nextSequenceToken": next.to_string() });
        if too_old > 0 {
            answer["rejectedLogEventsInfo"]["tooOldLogEventEndIndex"] = json!(too_old);
        }
        if in_time < events.len() {
            answer["rejectedLogEventsInfo"]["tooNewLogEventStartIndex"] = json!(in_time);
        }
        Ok(answer)
    }
}

/// Where an event stands among those of several streams. A token names the last one that was told.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Place<'a> {
    timestamp_ms: i64,
    stream: &'a str,
    sequence: u64,
}

impl<'a> Place<'a> {
    fn parse(token: &'a str) -> Result<Self, Fault> {
        let mut parts = token.splitn(3, '/');
        let mut part = || parts.next().ok_or_else(bad_token);
        let (timestamp_ms, sequence, stream) = (part()?, part()?, part()?);
        let timestamp_ms = timestamp_ms.parse().map_err(|_| bad_token())?;
        Ok(Self { timestamp_ms, stream, sequence: sequence.parse().map_err(|_| bad_token())? })
    }
}

fn bad_token() -> Fault {
    invalid("The specified nextToken is invalid.")
}

/// A page of lines that were gathered in order, one more than fits if there are more.
fn listed(key: &str, mut lines: Vec<Value>, size: usize, token: impl Fn(&Value) -> String) -> Value {
    let more = lines.len() > size;
    lines.truncate(size);
    let next = lines.last().map(token).filter(|_| more);
    let mut page = json!({ key: lines });
    if let Some(next) = next {
        page["nextToken"] = json!(next);
    }
    page
}

fn limit(wanted: Option<i64>, max: usize) -> Result<usize, Fault> {
    let Some(wanted) = wanted else { return Ok(max) };
    usize::try_from(wanted).ok().filter(|size| (1..=max).contains(size)).ok_or_else(|| {
        invalid(&format!(
            "1 validation error detected: Value '{wanted}' at 'limit' failed to satisfy constraint: Member must have value \
             less than or equal to {max}"
        ))
    })
}

/// How many of these fit into an answer; one always does.
fn fitting<'a>(events: impl Iterator<Item = &'a Event>, size: usize) -> usize {
    let mut bytes = 0;
    let fits = |event: &&Event| {
        bytes += event.message.len();
        bytes <= ANSWER_MAX_BYTES || bytes == event.message.len()
    };
    events.take(size).take_while(fits).count()
}

fn output(event: Event, stream: Option<String>) -> OutputLogEvent {
    OutputLogEvent {
        event_id: stream.as_ref().map(|stream| format!("{}/{}/{stream}", event.timestamp_ms, event.sequence)),
        log_stream_name: stream,
        timestamp: event.timestamp_ms,
        message: event.message,
        ingestion_time: event.ingestion_ms,
    }
}

fn invalid(message: &str) -> Fault {
    Fault::new(FaultCode::InvalidParameterException, message)
}

fn no_group() -> Fault {
    Fault::new(FaultCode::ResourceNotFoundException, "The specified log group does not exist.")
}

fn no_stream() -> Fault {
    Fault::new(FaultCode::ResourceNotFoundException, "The specified log stream does not exist.")
}

fn exists(message: &str) -> Fault {
    Fault::new(FaultCode::ResourceAlreadyExistsException, message)
}

/// What the caller reads of a file that cannot be read or written; the operator reads the rest.
#[expect(clippy::needless_pass_by_value, reason = "it stands in map_err, which hands the error over")]
fn failed(error: io::Error) -> Fault {
    tracing::error!(%error, limit = store::STREAMS_MAX, "a file of the logs failed");
    Fault::new(FaultCode::ServiceUnavailable, "The logs could not be read or written; the server's log says why.")
}
