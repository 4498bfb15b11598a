"""CloudWatch Logs written and read by a program of its own, through boto3. Usage: logs.py"""
import time

import boto3

from story import refusal

logs = boto3.client("logs")
GROUP = "/stories/own"
DAY_MS = 24 * 60 * 60 * 1000

logs.create_log_group(logGroupName=GROUP)
assert refusal(logs.create_log_group, logGroupName=GROUP)[0] == "ResourceAlreadyExistsException"
logs.create_log_stream(logGroupName=GROUP, logStreamName="one")
assert refusal(logs.create_log_stream, logGroupName=GROUP, logStreamName="one")[0] == "ResourceAlreadyExistsException"
assert [one["logGroupName"] for one in logs.describe_log_groups(logGroupNamePrefix="/stories/")["logGroups"]] == [GROUP]

now = int(time.time() * 1000)


def put(*times):
    events = [{"timestamp": at, "message": f"event {number} of {len(times)}"} for number, at in enumerate(times)]
    return logs.put_log_events(logGroupName=GROUP, logStreamName="one", logEvents=events)


# Handlers of Python's logging look at what was rejected.
assert "rejectedLogEventsInfo" not in put(now - 2, now - 1)
told = put(now - 14 * DAY_MS - 60_000, now - 14 * DAY_MS + 60_000)
assert told["rejectedLogEventsInfo"] == {"tooOldLogEventEndIndex": 1}, told
told = put(now, now + 3 * 60 * 60 * 1000)
assert told["rejectedLogEventsInfo"] == {"tooNewLogEventStartIndex": 1}, told
assert refusal(logs.put_log_events, logGroupName=GROUP, logStreamName="one", logEvents=[
    {"timestamp": now, "message": "later"}, {"timestamp": now - 1, "message": "earlier"}])[0] == "InvalidParameterException"
assert refusal(logs.put_log_events, logGroupName=GROUP, logStreamName="two", logEvents=[
    {"timestamp": now, "message": "nowhere"}])[0] == "ResourceNotFoundException"

read = logs.get_log_events(logGroupName=GROUP, logStreamName="one", startFromHead=True)["events"]
assert [event["message"] for event in read] == ["event 0 of 2", "event 1 of 2", "event 1 of 2", "event 0 of 2"], read
found = logs.filter_log_events(logGroupName=GROUP, filterPattern='"event 1"')["events"]
assert [event["logStreamName"] for event in found] == ["one", "one"], found
[stream] = logs.describe_log_streams(logGroupName=GROUP)["logStreams"]
assert stream["lastEventTimestamp"] == now, stream

logs.delete_log_stream(logGroupName=GROUP, logStreamName="one")
assert refusal(logs.get_log_events, logGroupName=GROUP, logStreamName="one")[0] == "ResourceNotFoundException"
logs.delete_log_group(logGroupName=GROUP)
assert logs.describe_log_groups(logGroupNamePrefix="/stories/")["logGroups"] == []
print("told")
