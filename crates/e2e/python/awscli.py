"""The AWS command line: everything around an endpoint, word for word as its manual has it. Usage: awscli.py FOLDER"""
import json
import pathlib
import subprocess
import sys
import time

folder = pathlib.Path(sys.argv[1])
ROLE = "arn:aws:iam::000000000000:role/captura-stories"


def aws(*words, fails=False):
    told = subprocess.run([sys.executable, "-m", "awscli", *words], capture_output=True, text=True, cwd=folder)
    assert (told.returncode != 0) == fails, (words, told.returncode, told.stdout, told.stderr)
    return told.stderr if fails else (json.loads(told.stdout) if told.stdout.lstrip().startswith("{") else told.stdout)


assert aws("sts", "get-caller-identity")["Account"] == "000000000000"
aws("sagemaker", "create-model", "--model-name", "cli", "--execution-role-arn", ROLE, "--primary-container", "Image=captura/echo")
capture = {"EnableCapture": True, "InitialSamplingPercentage": 100, "DestinationS3Uri": "s3://captures/cli",
    "CaptureOptions": [{"CaptureMode": "InputAndOutput"}], "CaptureContentTypeHeader": {"CsvContentTypes": ["text/csv"]}}
aws("sagemaker", "create-endpoint-config", "--endpoint-config-name", "cli", "--production-variants",
    "VariantName=AllTraffic,ModelName=cli,InitialInstanceCount=1,InstanceType=ml.m5.large", "--data-capture-config", json.dumps(capture))
arn = aws("sagemaker", "create-endpoint", "--endpoint-name", "cli", "--endpoint-config-name", "cli")["EndpointArn"]
aws("sagemaker", "wait", "endpoint-in-service", "--endpoint-name", "cli")
assert aws("sagemaker", "describe-endpoint", "--endpoint-name", "cli")["EndpointStatus"] == "InService"
answer = aws("sagemaker-runtime", "invoke-endpoint", "--endpoint-name", "cli", "--content-type", "text/csv", "--body", "1,2,3", "answer.csv")
assert answer["InvokedProductionVariant"] == "AllTraffic", answer
assert (folder / "answer.csv").read_text() == "1,2,3"
refusal = aws("sagemaker-runtime", "invoke-endpoint", "--endpoint-name", "nobody", "--body", "1", "answer.csv", fails=True)
assert "ValidationError" in refusal and "nobody" in refusal, refusal
aws("sagemaker", "add-tags", "--resource-arn", arn, "--tags", "Key=team,Value=risk")
assert aws("sagemaker", "list-tags", "--resource-arn", arn)["Tags"] == [{"Key": "team", "Value": "risk"}]
(folder / "note.txt").write_text("a note")
aws("s3", "cp", "note.txt", "s3://notes/a/note.txt", "--no-progress")
assert "note.txt" in aws("s3", "ls", "s3://notes/a/")
aws("cloudwatch", "put-metric-alarm", "--alarm-name", "cli", "--namespace", "AWS/SageMaker", "--metric-name", "Invocation5XXErrors",
    "--dimensions", "Name=EndpointName,Value=cli", "Name=VariantName,Value=AllTraffic", "--statistic", "Sum", "--period", "60",
    "--evaluation-periods", "1", "--threshold", "1", "--comparison-operator", "GreaterThanOrEqualToThreshold")
assert [one["AlarmName"] for one in aws("cloudwatch", "describe-alarms")["MetricAlarms"]] == ["cli"]
aws("cloudwatch", "delete-alarms", "--alarm-names", "cli")
aws("application-autoscaling", "register-scalable-target", "--service-namespace", "sagemaker", "--resource-id",
    "endpoint/cli/variant/AllTraffic", "--scalable-dimension", "sagemaker:variant:DesiredInstanceCount", "--min-capacity", "1", "--max-capacity", "2")
targets = aws("application-autoscaling", "describe-scalable-targets", "--service-namespace", "sagemaker")["ScalableTargets"]
assert [one["MaxCapacity"] for one in targets] == [2], targets
arn = targets[0]["ScalableTargetARN"]
aws("application-autoscaling", "tag-resource", "--resource-arn", arn, "--tags", "team=risk")
assert aws("application-autoscaling", "list-tags-for-resource", "--resource-arn", arn)["Tags"] == {"team": "risk"}
aws("sagemaker", "update-endpoint-weights-and-capacities", "--endpoint-name", "cli", "--desired-weights-and-capacities",
    "VariantName=AllTraffic,DesiredWeight=2,DesiredInstanceCount=1")
aws("sagemaker", "wait", "endpoint-in-service", "--endpoint-name", "cli")
aws("logs", "create-log-group", "--log-group-name", "own")
aws("logs", "create-log-stream", "--log-group-name", "own", "--log-stream-name", "one")
aws("logs", "put-log-events", "--log-group-name", "own", "--log-stream-name", "one", "--log-events", f"timestamp={int(time.time() * 1000)},message=hello")
told = aws("logs", "get-log-events", "--log-group-name", "own", "--log-stream-name", "one")
assert [event["message"] for event in told["events"]] == ["hello"], told
aws("s3api", "put-object-tagging", "--bucket", "notes", "--key", "a/note.txt", "--tagging", "TagSet=[{Key=a,Value=b}]")
aws("sagemaker", "delete-endpoint", "--endpoint-name", "cli")
aws("sagemaker", "wait", "endpoint-deleted", "--endpoint-name", "cli")
print("told")
