"""A model goes up through S3, serves, and its captures come back through S3.

Usage: notebook.py MODEL ROW      a model's file and one row of its input
"""
import io
import json
import sys
import tarfile
import time

import boto3

from story import configuration, full_capture, model, runtime, sagemaker, wait_in_service

s3 = boto3.client("s3")
archive = io.BytesIO()
with tarfile.open(fileobj=archive, mode="w:gz") as tar:
    tar.add(sys.argv[1], arcname="xgboost-model")
archive.seek(0)
s3.upload_fileobj(archive, "models", "churn/model.tar.gz")

image = "683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-xgboost:1.7-1"
model("churn", image, ModelDataUrl="s3://models/churn/model.tar.gz")
configuration("churn", "churn", full_capture("s3://captures/churn"))
sagemaker.create_endpoint(EndpointName="churn", EndpointConfigName="churn")
wait_in_service("churn")
answers = {}
for n in range(20):
    answer = runtime.invoke_endpoint(EndpointName="churn", ContentType="text/csv", Body=sys.argv[2], InferenceId=str(n))
    answers[str(n)] = answer["Body"].read().decode()



def captures():
    """Every captured line; the bucket comes into being with the first."""
    try:
        found = s3.list_objects_v2(Bucket="captures", Prefix="churn/churn/AllTraffic/").get("Contents", [])
    except s3.exceptions.NoSuchBucket:
        return []
    bodies = [s3.get_object(Bucket="captures", Key=line["Key"])["Body"].read().decode() for line in found]
    return [json.loads(line) for body in bodies for line in body.splitlines()]


deadline = time.monotonic() + 60
while len(lines := captures()) < len(answers):
    assert time.monotonic() < deadline, f"{len(lines)} captures after a minute"
    time.sleep(0.5)
captured = {line["eventMetadata"]["inferenceId"]: line["captureData"]["endpointOutput"]["data"] for line in lines}
assert captured == answers, (captured, answers)
