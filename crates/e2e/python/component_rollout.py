"""The copies of an inference component replaced batch by batch, and taken back by an alarm."""
import time

import boto3
from story import QUICK, ROLE, refusal, runtime, sagemaker, wait_in_service

cloudwatch = boto3.client("cloudwatch")


def described():
    return sagemaker.describe_inference_component(InferenceComponentName="c")


def settled():
    for _ in range(QUICK["MaxAttempts"]):
        told = described()
        if told["InferenceComponentStatus"] not in ("Creating", "Updating"):
            assert told["InferenceComponentStatus"] == "InService", told
            return told
        time.sleep(0.2)
    raise AssertionError(told)


def invoke():
    return runtime.invoke_endpoint(EndpointName="shared", InferenceComponentName="c", Body=b"1", ContentType="text/csv")["Body"].read()


def answering(number):
    container = {"Image": "captura/echo", "Environment": {"CAPTURA_ECHO_RESPONSE": number}}
    return {"Container": container, "ComputeResourceRequirements": {"MinMemoryRequiredInMb": 256}}


def asked(number, wait, batch=1):
    rolling = {"MaximumBatchSize": {"Type": "COPY_COUNT", "Value": batch}, "WaitIntervalInSeconds": wait}
    config = {"RollingUpdatePolicy": rolling, "AutoRollbackConfiguration": {"Alarms": [{"AlarmName": "wrong"}]}}
    return dict(InferenceComponentName="c", Specification=answering(number), DeploymentConfig=config)


sagemaker.create_endpoint_config(
    EndpointConfigName="shared",
    ExecutionRoleArn=ROLE,
    ProductionVariants=[{"VariantName": "AllTraffic", "InstanceType": "ml.m5.large", "InitialInstanceCount": 1}],
)
sagemaker.create_endpoint(EndpointName="shared", EndpointConfigName="shared")
wait_in_service("shared")
sagemaker.create_inference_component(
    InferenceComponentName="c", EndpointName="shared", VariantName="AllTraffic",
    Specification=answering("8"), RuntimeConfig={"CopyCount": 2},
)
settled()
cloudwatch.put_metric_alarm(
    AlarmName="wrong", Namespace="n", MetricName="m", Statistic="Sum", Period=60, EvaluationPeriods=1, Threshold=1.0,
    ComparisonOperator="GreaterThanThreshold",
)
code, message = refusal(sagemaker.update_inference_component, **asked("9", 0, 2))
assert code == "ValidationException" and "is 2 copies of the 2" in message, message

update = asked("9", 1)
sagemaker.update_inference_component(**update)
answers = set()
while described()["InferenceComponentStatus"] == "Updating":
    answers.add(invoke())
assert answers == {b"8", b"9"}, answers
told = settled()
assert told["LastDeploymentConfig"] == update["DeploymentConfig"] and "FailureReason" not in told, told
assert told["RuntimeConfig"] == {"DesiredCopyCount": 2, "CurrentCopyCount": 2}, told
assert {invoke() for _ in range(20)} == {b"9"}

sagemaker.update_inference_component(**asked("10", 60))
deadline = time.monotonic() + 30
while invoke() != b"10":
    assert time.monotonic() < deadline, "the first batch has no calls"
cloudwatch.set_alarm_state(AlarmName="wrong", StateValue="ALARM", StateReason="a test asks for it")
told = settled()
assert "these alarms are in state ALARM: wrong" in told["FailureReason"], told
assert told["Specification"]["Container"]["Environment"] == {"CAPTURA_ECHO_RESPONSE": "9"}, told
assert {invoke() for _ in range(20)} == {b"9"}
