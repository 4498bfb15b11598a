"""Enhanced metrics: each instance of a variant and each copy of a component for itself, as often as MetricsConfig says."""
import datetime
import time

import boto3
from story import ROLE, model, runtime, sagemaker, wait_in_service

cloudwatch = boto3.client("cloudwatch")
METRICS = {"EnableEnhancedMetrics": True, "MetricPublishFrequencyInSeconds": 10}
begun = datetime.datetime.now(datetime.timezone.utc)


def endpoint(name, variant, **more):
    sagemaker.create_endpoint_config(
        EndpointConfigName=name,
        ProductionVariants=[{"VariantName": "AllTraffic", "InstanceType": "ml.m5.large", "InitialInstanceCount": 1, **variant}],
        MetricsConfig=METRICS,
        **more,
    )
    sagemaker.create_endpoint(EndpointName=name, EndpointConfigName=name)
    wait_in_service(name)
    assert sagemaker.describe_endpoint(EndpointName=name)["MetricsConfig"] == METRICS


def sum_of(name, dimensions):
    now = datetime.datetime.now(datetime.timezone.utc)
    points = cloudwatch.get_metric_statistics(
        Namespace="AWS/SageMaker", MetricName=name, Dimensions=dimensions, Period=10, Statistics=["Sum"],
        StartTime=begun - datetime.timedelta(minutes=1), EndTime=now + datetime.timedelta(minutes=1),
    )["Datapoints"]
    return sum(point["Sum"] for point in points)


def until(what):
    # The server's own frequency is a minute.
    deadline = time.monotonic() + 40
    while not (found := what()):
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.5)
    return found


def told(wanted, endpoint):
    """Dimensions of the invocations of that endpoint by one more dimension, once there are any."""
    filters = [{"Name": "EndpointName", "Value": endpoint}, {"Name": wanted}]
    ask = lambda: cloudwatch.list_metrics(Namespace="AWS/SageMaker", MetricName="Invocations", Dimensions=filters)
    [metric] = until(lambda: ask()["Metrics"])
    return metric["Dimensions"]


model("whole")
endpoint("whole", {"ModelName": "whole"})
endpoint("shared", {}, ExecutionRoleArn=ROLE)
sagemaker.create_inference_component(
    InferenceComponentName="part", EndpointName="shared", VariantName="AllTraffic",
    Specification={"ModelName": "whole", "ComputeResourceRequirements": {"MinMemoryRequiredInMb": 256}},
    RuntimeConfig={"CopyCount": 1},
)
while sagemaker.describe_inference_component(InferenceComponentName="part")["InferenceComponentStatus"] == "Creating":
    time.sleep(0.2)
for _ in range(5):
    runtime.invoke_endpoint(EndpointName="whole", Body=b"1", ContentType="text/csv")
for _ in range(3):
    runtime.invoke_endpoint(EndpointName="shared", InferenceComponentName="part", Body=b"1", ContentType="text/csv")

dimensions = told("InstanceId", "whole")
assert {one["Name"] for one in dimensions} == {"EndpointName", "VariantName", "InstanceId"}, dimensions
until(lambda: sum_of("Invocations", dimensions) == 5)
assert sum_of("Invocation4XXErrors", dimensions) == 0 and sum_of("ModelLatency", dimensions) > 0, dimensions
whole = [one for one in dimensions if one["Name"] != "InstanceId"]
assert sum_of("Invocations", whole) == 5, whole

dimensions = told("ContainerId", "shared")
names = {one["Name"] for one in dimensions}
assert names == {"EndpointName", "VariantName", "InferenceComponentName", "InstanceId", "ContainerId"}, dimensions
until(lambda: sum_of("Invocations", dimensions) == 3)
component = [{"Name": "InferenceComponentName", "Value": "part"}]
assert sum_of("Invocations", component) == 3 and sum_of("InvocationsPerCopy", component) == 3
