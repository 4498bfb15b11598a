//! Logs as CloudWatch's clients meet them.

use std::sync::atomic::{AtomicI64, Ordering};

use captura_names::Timestamp;
use captura_wire::logs::TARGET_PREFIX;
use serde_json::{Value, json};

use super::*;

const GROUP: &str = "/aws/sagemaker/Endpoints/churn";
const STREAM: &str = "AllTraffic/i-0";

struct House {
    logs: Logs,
    now_ms: Arc<AtomicI64>,
    folder: tempfile::TempDir,
}

impl House {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let now_ms = Arc::new(AtomicI64::new(1_000));
        Self { logs: open(&folder, &now_ms, Settings::DEFAULT_GENERATION_MAX_BYTES), now_ms, folder }
    }

    fn small(generation_max_bytes: u64) -> Self {
        let house = Self::new();
        let logs = open(&house.folder, &house.now_ms, generation_max_bytes);
        Self { logs, ..house }
    }

    fn reopened(self) -> Self {
        let logs = open(&self.folder, &self.now_ms, Settings::DEFAULT_GENERATION_MAX_BYTES);
        Self { logs, ..self }
    }

    fn say(&self, stream: &str, message: &str) {
        self.logs.say(GROUP, stream, message);
        self.now_ms.fetch_add(1, Ordering::SeqCst);
    }

    fn ask(&self, operation: &str, input: &Value) -> Result<Value, String> {
        let target = format!("{TARGET_PREFIX}{operation}");
        let body = Bytes::from(input.to_string());
        let reply = self.logs.answer(&Request { target: &target, region: "us-east-1", body });
        let answer: Value = serde_json::from_slice(&reply.body).unwrap();
        if reply.status == 200 { Ok(answer) } else { Err(format!("{} {}", answer["__type"], answer)) }
    }

    fn messages(&self, operation: &str, input: &Value) -> (Vec<String>, Value) {
        let answer = self.ask(operation, input).unwrap();
        let messages = answer["events"].as_array().unwrap().iter();
        (messages.map(|event| event["message"].as_str().unwrap().to_owned()).collect(), answer)
    }
}

#[test]
fn events_that_are_too_old_or_too_new_are_left_out_and_the_caller_is_told_which() {
    let house = House::new();
    const HOUR_MS: i64 = 3_600_000;
    let now_ms = 1_000 * HOUR_MS;
    house.now_ms.store(now_ms, Ordering::SeqCst);
    house.ask("CreateLogGroup", &json!({"logGroupName": "mine"})).unwrap();
    let stream = json!({"logGroupName": "mine", "logStreamName": "s"});
    house.ask("CreateLogStream", &stream).unwrap();
    let put = |times: &[i64]| {
        let events: Vec<_> = times.iter().map(|time| json!({"timestamp": time, "message": time.to_string()})).collect();
        let input = json!({"logGroupName": "mine", "logStreamName": "s", "logEvents": events});
        house.ask("PutLogEvents", &input).unwrap()
    };
    let (oldest, newest) = (now_ms - 14 * 24 * HOUR_MS, now_ms + 2 * HOUR_MS);
    let told = put(&[oldest - 2, oldest - 1, oldest]);
    assert_eq!(told["rejectedLogEventsInfo"], json!({"tooOldLogEventEndIndex": 2}));
    let told = put(&[now_ms, newest, newest + 1]);
    assert_eq!(told["rejectedLogEventsInfo"], json!({"tooNewLogEventStartIndex": 2}));
    assert_eq!(put(&[newest + 1])["rejectedLogEventsInfo"], json!({"tooNewLogEventStartIndex": 0}));
    assert_eq!(put(&[now_ms]).get("rejectedLogEventsInfo"), None);
    let (read, _) = house.messages("GetLogEvents", &stream);
    assert_eq!(read, [oldest, now_ms, newest, now_ms].map(|time| time.to_string()));
}

fn open(folder: &tempfile::TempDir, now_ms: &Arc<AtomicI64>, generation_max_bytes: u64) -> Logs {
    let clock_ms = Arc::clone(now_ms);
    let clock = Clock::new(move || Timestamp::from_unix_us(clock_ms.load(Ordering::SeqCst) * 1_000));
    let settings =
        Settings { folder: folder.path().join("logs"), account: "000000000000".into(), generation_max_bytes };
    Logs::open(settings, clock).unwrap()
}

#[test]
fn what_is_said_is_read_from_either_end_and_polling_goes_on_where_it_was() {
    let house = House::new();
    for number in 0..5 {
        house.say(STREAM, &format!("line {number}"));
    }
    let named = json!({"logGroupName": GROUP, "logStreamName": STREAM, "limit": 2});
    let with = |token: &Value| json!({"logGroupName": GROUP, "logStreamName": STREAM, "limit": 2, "nextToken": token});
    let (last, answer) = house.messages("GetLogEvents", &named);
    assert_eq!(last, ["line 3", "line 4"]);
    assert_eq!(house.messages("GetLogEvents", &with(&answer["nextBackwardToken"])).0, ["line 1", "line 2"]);
    let (none, at_end) = house.messages("GetLogEvents", &with(&answer["nextForwardToken"]));
    assert!(none.is_empty());
    assert_eq!(at_end["nextForwardToken"], answer["nextForwardToken"], "the end says so by the same token");
    house.say(STREAM, "later");
    assert_eq!(house.messages("GetLogEvents", &with(&at_end["nextForwardToken"])).0, ["later"]);
    let mut from_head = named;
    from_head["startFromHead"] = json!(true);
    assert_eq!(house.messages("GetLogEvents", &from_head).0, ["line 0", "line 1"]);
    assert!(house.ask("GetLogEvents", &with(&json!("x"))).unwrap_err().contains("nextToken"));
}

#[test]
fn events_of_several_streams_come_by_time_and_in_pages() {
    let house = House::new();
    for (stream, message) in [("A/1", "first"), ("B/1", "second"), ("A/1", "third ERROR"), ("A/2", "fourth")] {
        house.say(stream, message);
    }
    let (all, _) = house.messages("FilterLogEvents", &json!({"logGroupName": GROUP}));
    assert_eq!(all, ["first", "second", "third ERROR", "fourth"]);
    let (of_a, _) = house.messages("FilterLogEvents", &json!({"logGroupName": GROUP, "logStreamNamePrefix": "A/"}));
    assert_eq!(of_a, ["first", "third ERROR", "fourth"]);
    let (errors, _) = house.messages("FilterLogEvents", &json!({"logGroupName": GROUP, "filterPattern": "ERROR"}));
    assert_eq!(errors, ["third ERROR"]);
    let (window, _) =
        house.messages("FilterLogEvents", &json!({"logGroupName": GROUP, "startTime": 1001, "endTime": 1003}));
    assert_eq!(window, ["second", "third ERROR"]);
    let (page, answer) = house.messages("FilterLogEvents", &json!({"logGroupName": GROUP, "limit": 3}));
    assert_eq!(page.len(), 3);
    let rest = json!({"logGroupName": GROUP, "limit": 3, "nextToken": answer["nextToken"]});
    let (page, answer) = house.messages("FilterLogEvents", &rest);
    assert_eq!(page, ["fourth"]);
    assert!(answer.get("nextToken").is_none());

    let (mut one_by_one, mut token) = (Vec::new(), Value::Null);
    loop {
        let input = json!({"logGroupName": GROUP, "limit": 1, "nextToken": token});
        let (page, answer) = house.messages("FilterLogEvents", &input);
        one_by_one.extend(page);
        token = answer["nextToken"].clone();
        if token.is_null() {
            break;
        }
    }
    assert_eq!(one_by_one, all);
    for bad in ["x", "1/x/A", "1/2"] {
        let input = json!({"logGroupName": GROUP, "nextToken": bad});
        assert!(house.ask("FilterLogEvents", &input).unwrap_err().contains("nextToken is invalid"), "{bad}");
    }
}

#[test]
fn groups_and_streams_are_listed() {
    let house = House::new();
    house.say("B/1", "x");
    house.say("A/1", "y");
    house.logs.say("/other", "s", "z");
    let groups = house.ask("DescribeLogGroups", &json!({"logGroupNamePrefix": "/aws/"})).unwrap();
    assert_eq!(groups["logGroups"].as_array().unwrap().len(), 1);
    assert_eq!(groups["logGroups"][0]["arn"], format!("arn:aws:logs:us-east-1:000000000000:log-group:{GROUP}:*"));
    let names = |input: Value| -> Vec<String> {
        let answer = house.ask("DescribeLogStreams", &input).unwrap();
        let streams = answer["logStreams"].as_array().unwrap().iter();
        streams.map(|line| line["logStreamName"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(names(json!({"logGroupName": GROUP})), ["A/1", "B/1"]);
    assert_eq!(names(json!({"logGroupName": GROUP, "orderBy": "LastEventTime"})), ["B/1", "A/1"]);
    assert_eq!(names(json!({"logGroupName": GROUP, "orderBy": "LastEventTime", "descending": true})), ["A/1", "B/1"]);
    let first = house.ask("DescribeLogStreams", &json!({"logGroupName": GROUP, "limit": 1})).unwrap();
    assert_eq!(names(json!({"logGroupName": GROUP, "limit": 1, "nextToken": first["nextToken"]})), ["B/1"]);
}

#[test]
fn clients_make_write_and_remove_their_own() {
    let house = House::new();
    let group = json!({"logGroupName": "mine"});
    let stream = json!({"logGroupName": "mine", "logStreamName": "s"});
    assert!(house.ask("CreateLogStream", &stream).unwrap_err().contains("ResourceNotFoundException"));
    house.ask("CreateLogGroup", &group).unwrap();
    assert!(house.ask("CreateLogGroup", &group).unwrap_err().contains("ResourceAlreadyExistsException"));
    house.ask("CreateLogStream", &stream).unwrap();
    let put = |events: Value| json!({"logGroupName": "mine", "logStreamName": "s", "logEvents": events});
    house
        .ask("PutLogEvents", &put(json!([{"timestamp": 5, "message": "a"}, {"timestamp": 6, "message": "b"}])))
        .unwrap();
    let disorder = put(json!([{"timestamp": 9, "message": "a"}, {"timestamp": 8, "message": "b"}]));
    assert!(house.ask("PutLogEvents", &disorder).unwrap_err().contains("chronological"));
    let long = put(json!([{"timestamp": 0, "message": "a"}, {"timestamp": 86_400_001, "message": "b"}]));
    assert!(house.ask("PutLogEvents", &long).unwrap_err().contains("cannot span more than 24 hours"));
    let (read, _) = house.messages(
        "GetLogEvents",
        &json!({"logGroupIdentifier":
        "arn:aws:logs:us-east-1:000000000000:log-group:mine:*", "logStreamName": "s"}),
    );
    assert_eq!(read, ["a", "b"]);
    house.ask("DeleteLogStream", &stream).unwrap();
    assert!(house.ask("GetLogEvents", &stream).unwrap_err().contains("log stream does not exist"));
    house.ask("DeleteLogGroup", &group).unwrap();
    assert!(house.ask("FilterLogEvents", &group).unwrap_err().contains("log group does not exist"));
}

#[test]
fn logs_outlive_the_process_and_a_torn_line_costs_itself() {
    let house = House::new();
    house.say(STREAM, "kept");
    let file = house.folder.path().join("logs").join(name::folder(GROUP)).join(name::folder(STREAM)).join("log");
    let mut torn = std::fs::read(&file).unwrap();
    torn.extend_from_slice(b"[1,5,5,\"half of a l");
    std::fs::write(&file, torn).unwrap();
    let house = house.reopened();
    house.say(STREAM, "after");
    let named = json!({"logGroupName": GROUP, "logStreamName": STREAM});
    assert_eq!(house.messages("GetLogEvents", &named).0, ["kept", "after"]);
}

#[test]
fn a_stream_keeps_its_latest_two_generations() {
    let house = House::small(1_000);
    for number in 0..200 {
        house.say(STREAM, &format!("line {number:03}"));
    }
    let named = json!({"logGroupName": GROUP, "logStreamName": STREAM});
    let (kept, _) = house.messages("GetLogEvents", &named);
    assert_eq!(kept.last().unwrap(), "line 199");
    assert!((20..=80).contains(&kept.len()), "{}", kept.len());
    let stream = &house.ask("DescribeLogStreams", &json!({"logGroupName": GROUP})).unwrap()["logStreams"][0];
    let first_ms = 1_000 + 200 - kept.len() as i64;
    assert_eq!(stream["firstEventTimestamp"], first_ms);
    assert_eq!(stream["uploadSequenceToken"], "200");
}

#[test]
fn hostile_names_and_endless_messages_do_no_harm() {
    let house = House::new();
    house.logs.say("../../outside", "../..", &"x".repeat(1 << 20));
    let entries: Vec<_> = std::fs::read_dir(house.folder.path()).unwrap().map(|one| one.unwrap().file_name()).collect();
    assert_eq!(entries, ["logs"]);
    let (kept, _) = house.messages("FilterLogEvents", &json!({"logGroupName": "../../outside"}));
    assert_eq!(kept[0].len(), stream::MESSAGE_MAX_BYTES);
    assert!(house.ask("CreateLogGroup", &json!({"logGroupName": "a b"})).unwrap_err().contains("logGroupName"));
    assert!(house.ask("PutMetricFilter", &json!({})).unwrap_err().contains("UnknownOperationException"));
    assert!(house.ask("GetLogEvents", &json!({"limit": "many"})).unwrap_err().contains("InvalidParameterException"));
}

#[test]
fn whoever_must_not_wait_is_written_down_in_order_by_the_time_the_writing_closes() {
    let house = House::new();
    let writing = house.logs.start(captura_tasks::Tasks::default()).unwrap();
    let speaker = writing.speaker(GROUP);
    for number in 0..100 {
        speaker.say(STREAM, format!("line {number:02}"));
    }
    writing.close();
    speaker.say(STREAM, "too late".into());
    let (kept, _) = house.messages("FilterLogEvents", &json!({"logGroupName": GROUP}));
    assert_eq!(kept.len(), 100);
    assert!(kept.is_sorted());
}
