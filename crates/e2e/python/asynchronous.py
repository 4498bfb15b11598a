"""Asynchronous invocations through the SDK: accepted, answered in the bucket, and refused where they do not belong.

Usage: asynchronous.py BUCKETS      the folder of the server's local buckets
"""
import pathlib
import sys
import time

from story import configuration, full_capture, model, refusal, runtime, sagemaker, wait_in_service

buckets = pathlib.Path(sys.argv[1])
inputs = buckets / "inputs"
inputs.mkdir(parents=True)
(inputs / "row.csv").write_bytes(b"1,2,3")


def deploy(name, environment):
    model(name, Environment=environment)
    configuration(
        name,
        name,
        full_capture("s3://captures/async"),
        AsyncInferenceConfig={
            "OutputConfig": {"S3OutputPath": "s3://answers/out", "S3FailurePath": "s3://answers/failed"},
            "ClientConfig": {"MaxConcurrentInvocationsPerInstance": 2},
        },
    )
    sagemaker.create_endpoint(EndpointName=name, EndpointConfigName=name)
    wait_in_service(name)


def read(location):
    """The object of a location, once it is there."""
    path = buckets / location.removeprefix("s3://")
    deadline = time.monotonic() + 30
    while not path.exists():
        assert time.monotonic() < deadline, f"no object at {location}"
        time.sleep(0.05)
    return path.read_bytes()


deploy("queued", {})
answer = runtime.invoke_endpoint_async(
    EndpointName="queued",
    InputLocation="s3://inputs/row.csv",
    ContentType="text/csv",
    Accept="text/csv",
    InferenceId="order-57",
    RequestTTLSeconds=3600,
    InvocationTimeoutSeconds=60,
)
assert answer["ResponseMetadata"]["HTTPStatusCode"] == 202, answer
assert answer["InferenceId"] == "order-57", answer
assert answer["OutputLocation"].startswith("s3://answers/out/"), answer
assert answer["FailureLocation"].startswith("s3://answers/failed/"), answer
assert read(answer["OutputLocation"]) == b"1,2,3"

drawn = runtime.invoke_endpoint_async(EndpointName="queued", InputLocation="s3://inputs/row.csv")
assert drawn["OutputLocation"] == f"s3://answers/out/{drawn['InferenceId']}.out", drawn
assert read(drawn["OutputLocation"]) == b"1,2,3"

missing = runtime.invoke_endpoint_async(EndpointName="queued", InputLocation="s3://inputs/none.csv")
assert b"no input at s3://inputs/none.csv" in read(missing["FailureLocation"])

deploy("failing", {"CAPTURA_ECHO_STATUS": "400"})
failed = runtime.invoke_endpoint_async(EndpointName="failing", InputLocation="s3://inputs/row.csv")
words = read(failed["FailureLocation"])
assert words.startswith(b'Received client error (400) from primary with message "1,2,3"'), words

code, message = refusal(runtime.invoke_endpoint, EndpointName="queued", Body=b"1")
assert code == "ValidationError" and "InvokeEndpointAsync" in message, message
model("plain")
configuration("plain", "plain")
sagemaker.create_endpoint(EndpointName="plain", EndpointConfigName="plain")
wait_in_service("plain")
code, message = refusal(runtime.invoke_endpoint_async, EndpointName="plain", InputLocation="s3://inputs/row.csv")
assert code == "ValidationError" and "not an asynchronous endpoint" in message, message
