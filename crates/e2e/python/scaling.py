"""Auto scaling under load, with a log that can be plotted. Usage: scaling.py IMAGE CSV

CSV gets a line each second: seconds, calls in that second, instances up, instances wanted.
"""
import sys
import threading
import time

import boto3

from story import ROLE, refusal, runtime, sagemaker, wait_in_service

image, events = sys.argv[1:]
scaling, logs, cloudwatch = (boto3.client(name) for name in ("application-autoscaling", "logs", "cloudwatch"))
TARGET = dict(ServiceNamespace="sagemaker", ResourceId="endpoint/busy/variant/AllTraffic", ScalableDimension="sagemaker:variant:DesiredInstanceCount")
MOST = 3
calls, failures, load = [0], [], threading.Event()


def caller():
    client = boto3.client("sagemaker-runtime")
    while load.is_set():
        try:
            client.invoke_endpoint(EndpointName="busy", Body=b"1,2", ContentType="text/csv")
            calls[0] += 1
        except Exception as error:
            failures.append(error)


def variant():
    return sagemaker.describe_endpoint(EndpointName="busy")["ProductionVariants"][0]


sagemaker.create_model(ModelName="busy", PrimaryContainer={"Image": image}, ExecutionRoleArn=ROLE)
sagemaker.create_endpoint_config(EndpointConfigName="busy", ProductionVariants=[
    {"VariantName": "AllTraffic", "ModelName": "busy", "InitialInstanceCount": 1, "InstanceType": "ml.m5.large"}])
sagemaker.create_endpoint(EndpointName="busy", EndpointConfigName="busy")
wait_in_service("busy")

nobody = dict(TARGET, ResourceId="endpoint/busy/variant/Nobody")
code, message = refusal(scaling.register_scalable_target, **nobody, MinCapacity=1, MaxCapacity=MOST)
assert (code, message) == ("ValidationException", "SageMaker variant does not exist: endpoint/busy/variant/Nobody"), message
arn = scaling.register_scalable_target(**TARGET, MinCapacity=1, MaxCapacity=MOST, Tags={"team": "risk"})["ScalableTargetARN"]
scaling.tag_resource(ResourceARN=arn, Tags={"stage": "test"})
assert scaling.list_tags_for_resource(ResourceARN=arn)["Tags"] == {"team": "risk", "stage": "test"}
scaling.untag_resource(ResourceARN=arn, TagKeys=["team"])
assert scaling.list_tags_for_resource(ResourceARN=arn)["Tags"] == {"stage": "test"}
assert [one["ScalableTargetARN"] for one in scaling.describe_scalable_targets(ServiceNamespace="sagemaker")["ScalableTargets"]] == [arn]
policy = scaling.put_scaling_policy(**TARGET, PolicyName="follow", PolicyType="TargetTrackingScaling", TargetTrackingScalingPolicyConfiguration={
    # Two calls a second and instance: any machine is asked for more by a caller without pauses.
    "TargetValue": 120.0, "ScaleOutCooldown": 2, "ScaleInCooldown": 2,
    "PredefinedMetricSpecification": {"PredefinedMetricType": "SageMakerVariantInvocationsPerInstance"}})
assert policy["PolicyARN"].endswith(":resource/sagemaker/endpoint/busy/variant/AllTraffic:policyName/follow"), policy
assert [one["PolicyName"] for one in scaling.describe_scaling_policies(ServiceNamespace="sagemaker")["ScalingPolicies"]] == ["follow"]


def watch(until, seconds):
    """Writes a line a second until the variant has so many instances."""
    for _ in range(seconds):
        before = calls[0]
        time.sleep(1)
        seen = variant()
        up, wanted = seen["CurrentInstanceCount"], seen["DesiredInstanceCount"]
        print(round(time.monotonic() - began, 1), calls[0] - before, up, wanted, sep=",", file=out, flush=True)
        if (up, wanted) == (until, until):
            return
    raise AssertionError(f"no {until} instances after {seconds} s; activities: {scaling.describe_scaling_activities(ServiceNamespace='sagemaker')}")


began = time.monotonic()
with open(events, "w") as out:
    print("seconds,calls,current,desired", file=out)
    load.set()
    callers = [threading.Thread(target=caller) for _ in range(4)]
    [one.start() for one in callers]
    watch(MOST, 60)
    load.clear()
    [one.join() for one in callers]
    watch(1, 90)
assert not failures, failures[:3]

told = scaling.describe_scaling_activities(ServiceNamespace="sagemaker")["ScalingActivities"]
assert [one["Description"] for one in told] == ["Setting desired instance count to 1.", f"Setting desired instance count to {MOST}."], told
assert {one["StatusCode"] for one in told} <= {"Successful", "InProgress"}, told
assert all("policy follow asked for" in one["Cause"] for one in told), told

# An alarm drives a step policy at once.
scaling.delete_scaling_policy(**TARGET, PolicyName="follow")
step = scaling.put_scaling_policy(**TARGET, PolicyName="up", PolicyType="StepScaling", StepScalingPolicyConfiguration={
    "AdjustmentType": "ChangeInCapacity", "Cooldown": 1, "StepAdjustments": [{"MetricIntervalLowerBound": 0.0, "ScalingAdjustment": 1}]})
cloudwatch.put_metric_alarm(AlarmName="queue", Namespace="stories", MetricName="Waiting", Statistic="Sum", Period=60, EvaluationPeriods=1,
    Threshold=5, ComparisonOperator="GreaterThanThreshold", AlarmActions=[step["PolicyARN"]])
cloudwatch.set_alarm_state(AlarmName="queue", StateValue="ALARM", StateReason="the story says so")
with open(events, "a") as out:
    watch(2, 30)
cloudwatch.delete_alarms(AlarmNames=["queue"])

# What the instances said is in a stream each.
group = "/aws/sagemaker/Endpoints/busy"
assert [one["logGroupName"] for one in logs.describe_log_groups(logGroupNamePrefix=group)["logGroups"]] == [group]
streams = [one["logStreamName"] for one in logs.describe_log_streams(logGroupName=group)["logStreams"]]
assert streams and all(name.startswith("AllTraffic/") for name in streams), streams
said = logs.filter_log_events(logGroupName=group, logStreamNamePrefix="AllTraffic/")["events"]
assert said and all(event["message"] for event in said), said
one = logs.get_log_events(logGroupName=group, logStreamName=streams[0], startFromHead=True)
assert one["events"] and one["nextForwardToken"], one
scaling.deregister_scalable_target(**TARGET)
sagemaker.delete_endpoint(EndpointName="busy")
print("told")
