"""Metrics and alarms of an endpoint, in one of CloudWatch's protocols. Usage: alarms.py json|query|smithy-rpc-v2-cbor"""
import datetime
import sys
import time

import boto3
import botocore.config
import botocore.session
from story import configuration, model, refusal, runtime, sagemaker, wait_in_service

protocol = sys.argv[1]


def client():
    """A client that speaks the protocol; botocore itself would always choose the first that it knows."""
    session = botocore.session.get_session()
    loader = session.get_component("data_loader")
    load = loader.load_service_model

    def only(service, kind, api_version=None):
        loaded = load(service, kind, api_version)
        if service == "cloudwatch" and kind == "service-2":
            metadata = dict(loaded["metadata"], protocol=protocol, protocols=[protocol])
            if protocol == "query":
                metadata.pop("awsQueryCompatible", None)
            loaded = dict(loaded, metadata=metadata)
        return loaded

    loader.load_service_model = only
    return boto3.Session(botocore_session=session).client("cloudwatch")


cloudwatch = client()
assert cloudwatch.meta.service_model.resolved_protocol == protocol, cloudwatch.meta.service_model.resolved_protocol

NAME = "alarm-" + protocol.split("-")[0]
DIMENSIONS = [{"Name": "EndpointName", "Value": NAME}, {"Name": "VariantName", "Value": "AllTraffic"}]
TOPIC = "arn:aws:sns:us-east-1:000000000000:people"


def state():
    [alarm] = cloudwatch.describe_alarms(AlarmNames=[NAME])["MetricAlarms"]
    return alarm["StateValue"]


def wait_for(wanted, meanwhile=lambda: None):
    deadline = time.monotonic() + 60
    while state() != wanted:
        assert time.monotonic() < deadline, f"waited in vain for {wanted}"
        meanwhile()
        time.sleep(0.2)


def invoke():
    runtime.invoke_endpoint(EndpointName=NAME, Body=b"1", ContentType="text/csv")


model(NAME)
configuration(NAME, NAME)
sagemaker.create_endpoint(EndpointName=NAME, EndpointConfigName=NAME)
wait_in_service(NAME)

# An alarm on the invocations of an endpoint rings while it is called, and calms down.
cloudwatch.put_metric_alarm(
    AlarmName=NAME,
    AlarmDescription="called <often> & well",
    Namespace="AWS/SageMaker",
    MetricName="Invocations",
    Dimensions=DIMENSIONS,
    Statistic="Sum",
    Period=10,
    EvaluationPeriods=1,
    Threshold=0,
    ComparisonOperator="GreaterThanThreshold",
    TreatMissingData="notBreaching",
    AlarmActions=[TOPIC],
    Tags=[{"Key": "team", "Value": "risk"}],
)
wait_for("OK")
wait_for("ALARM", invoke)
[alarm] = cloudwatch.describe_alarms(AlarmNames=[NAME], StateValue="ALARM")["MetricAlarms"]
assert alarm["AlarmArn"] == f"arn:aws:cloudwatch:us-east-1:000000000000:alarm:{NAME}", alarm
assert alarm["AlarmDescription"] == "called <often> & well" and alarm["Threshold"] == 0.0, alarm
assert alarm["StateReason"].startswith("Threshold Crossed: 1 datapoint ["), alarm
assert sorted(alarm["Dimensions"], key=lambda one: one["Name"]) == DIMENSIONS, alarm
assert alarm["ActionsEnabled"] is True and alarm["AlarmActions"] == [TOPIC], alarm
age = datetime.datetime.now(datetime.timezone.utc) - alarm["StateUpdatedTimestamp"]
assert abs(age) < datetime.timedelta(minutes=5), alarm
# Ten seconds of silence after another until the periods with calls are out of sight: once is enough.
if protocol == "json":
    wait_for("OK")
else:
    cloudwatch.set_alarm_state(AlarmName=NAME, StateValue="OK", StateReason="enough")
[of_metric] = cloudwatch.describe_alarms_for_metric(
    Namespace="AWS/SageMaker", MetricName="Invocations", Dimensions=DIMENSIONS
)["MetricAlarms"]
assert of_metric["AlarmName"] == NAME
history = cloudwatch.describe_alarm_history(AlarmName=NAME, HistoryItemType="StateUpdate", ScanBy="TimestampAscending")
summaries = [item["HistorySummary"].split("updated ")[1] for item in history["AlarmHistoryItems"]]
assert summaries == ["from INSUFFICIENT_DATA to OK", "from OK to ALARM", "from ALARM to OK"], summaries
assert cloudwatch.list_tags_for_resource(ResourceARN=alarm["AlarmArn"])["Tags"] == [{"Key": "team", "Value": "risk"}]
cloudwatch.tag_resource(ResourceARN=alarm["AlarmArn"], Tags=[{"Key": "stage", "Value": "test"}])
cloudwatch.untag_resource(ResourceARN=alarm["AlarmArn"], TagKeys=["team"])
assert cloudwatch.list_tags_for_resource(ResourceARN=alarm["AlarmArn"])["Tags"] == [{"Key": "stage", "Value": "test"}]

# The endpoint's metrics are there by statistic, and with arithmetic between them.
now = datetime.datetime.now(datetime.timezone.utc)
hour = {"StartTime": now - datetime.timedelta(hours=1), "EndTime": now + datetime.timedelta(minutes=1)}
found = cloudwatch.get_metric_statistics(
    Namespace="AWS/SageMaker",
    MetricName="ModelLatency",
    Dimensions=DIMENSIONS,
    Period=3600,
    Statistics=["SampleCount", "Maximum"],
    ExtendedStatistics=["p99"],
    **hour,
)
assert found["Label"] == "ModelLatency" and found["Datapoints"], found
for point in found["Datapoints"]:
    assert point["Unit"] == "Microseconds" and point["ExtendedStatistics"]["p99"] <= point["Maximum"], found


def of_variant(name):
    metric = {"Namespace": "AWS/SageMaker", "MetricName": name, "Dimensions": DIMENSIONS}
    return {"Metric": metric, "Period": 3600, "Stat": "Sum"}


queries = [
    {"Id": "calls", "MetricStat": of_variant("Invocations")},
    {"Id": "errors", "MetricStat": of_variant("Invocation5XXErrors"), "ReturnData": False},
    {"Id": "good", "Expression": "100 * (calls - errors) / calls", "Label": "good, percent"},
]
pages = cloudwatch.get_paginator("get_metric_data").paginate(MetricDataQueries=queries, **hour)
results = {one["Id"]: one for page in pages for one in page["MetricDataResults"]}
assert sorted(results) == ["calls", "good"] and results["good"]["Label"] == "good, percent", results
assert sum(results["calls"]["Values"]) >= 1 and set(results["good"]["Values"]) == {100.0}, results
assert results["calls"]["StatusCode"] == "Complete" and results["calls"]["Timestamps"][0].tzinfo, results
listed = [
    metric["MetricName"]
    for page in cloudwatch.get_paginator("list_metrics").paginate(Namespace="AWS/SageMaker", Dimensions=DIMENSIONS[:1])
    for metric in page["Metrics"]
]
assert {"Invocations", "InvocationsPerInstance", "ModelLatency", "OverheadLatency"} <= set(listed), listed

# Metrics of one's own, small and large enough to be compressed.
value = {"MetricName": "Own", "Value": 2.5, "Unit": "Count", "Timestamp": now, "StorageResolution": 1}
many = [{"MetricName": "Many", "Values": [float(n), 7.0], "Counts": [1.0, 2.0], "Timestamp": now} for n in range(300)]
cloudwatch.put_metric_data(Namespace=NAME, MetricData=[value])
cloudwatch.put_metric_data(Namespace=NAME, MetricData=many)
[point] = cloudwatch.get_metric_statistics(
    Namespace=NAME, MetricName="Many", Period=3600, Statistics=["SampleCount", "Sum", "Average"], **hour
)["Datapoints"]
assert (point["SampleCount"], point["Sum"]) == (900.0, 300 * 299 / 2 + 4200), point

# A state set by hand is seen at once; a deleted alarm is not.
cloudwatch.set_alarm_state(AlarmName=NAME, StateValue="ALARM", StateReason="a drill", StateReasonData='{"a":1}')
assert state() == "ALARM"
cloudwatch.disable_alarm_actions(AlarmNames=[NAME])
[alarm] = cloudwatch.describe_alarms(AlarmNamePrefix=NAME)["MetricAlarms"]
assert alarm["ActionsEnabled"] is False, alarm
cloudwatch.enable_alarm_actions(AlarmNames=[NAME])
cloudwatch.delete_alarms(AlarmNames=[NAME])
assert cloudwatch.describe_alarms(AlarmNames=[NAME])["MetricAlarms"] == []

# Refusals carry the codes that people's programs catch, in every protocol.
code, _ = refusal(cloudwatch.delete_alarms, AlarmNames=[NAME])
assert code == "ResourceNotFound", code
try:
    cloudwatch.set_alarm_state(AlarmName="nobody", StateValue="OK", StateReason="r")
    raise AssertionError("accepted")
except cloudwatch.exceptions.ResourceNotFound as error:
    assert error.response["ResponseMetadata"]["HTTPStatusCode"] == 404, error.response
code, _ = refusal(cloudwatch.put_metric_data, Namespace="AWS/SageMaker", MetricData=[value])
assert code == "InvalidParameterValue", code
code, message = refusal(cloudwatch.list_dashboards)
assert code == "UnknownOperationException" and "ListDashboards" in message, (code, message)
print("told")
