"""An XGBoost model with data capture, as the SageMaker SDK's public examples do it: upload, deploy, predict, read the captures.

Nothing here is captura's own: this runs against AWS with a role and a bucket of one's own.
Usage: notebook_xgboost_capture.py MODEL CSV      an `xgboost-model` file, and rows of its features with a header
"""
import json
import pathlib
import sys
import tarfile
import tempfile
import time
from datetime import datetime, timezone

import boto3
import sagemaker
from sagemaker import image_uris
from sagemaker.deserializers import CSVDeserializer
from sagemaker.model import Model
from sagemaker.model_monitor import DataCaptureConfig
from sagemaker.predictor import Predictor
from sagemaker.s3 import S3Downloader, S3Uploader
from sagemaker.serializers import CSVSerializer

INVOCATIONS = 300
model_file, data_file = map(pathlib.Path, sys.argv[1:])
region = boto3.Session().region_name
role = "arn:aws:iam::000000000000:role/service-role/AmazonSageMaker-ExecutionRole"
bucket = "sagemaker-us-east-1-000000000000"
prefix = "sagemaker/Churn-ModelQualityMonitor"
session = sagemaker.Session(default_bucket=bucket)
assert session.default_bucket() == bucket

# Upload the pre-trained model.
folder = pathlib.Path(tempfile.mkdtemp())
with tarfile.open(folder / "model.tar.gz", "w:gz") as archive:
    archive.add(model_file, arcname="xgboost-model")
model_url = S3Uploader.upload(str(folder / "model.tar.gz"), f"s3://{bucket}/{prefix}/model", sagemaker_session=session)
print("model:", model_url)

# Deploy it with data capture.
stamp = f"{datetime.now(timezone.utc):%Y-%m-%d-%H%M}"
endpoint_name = f"DEMO-xgb-churn-pred-{stamp}"
image_uri = image_uris.retrieve(framework="xgboost", version="1.7-1", region=region)
capture_uri = f"s3://{bucket}/{prefix}/datacapture"
model = Model(image_uri=image_uri, model_data=model_url, role=role, name=f"DEMO-xgb-churn-{stamp}", sagemaker_session=session)
model.deploy(
    initial_instance_count=1,
    instance_type="ml.m4.xlarge",
    endpoint_name=endpoint_name,
    data_capture_config=DataCaptureConfig(enable_capture=True, sampling_percentage=100, destination_s3_uri=capture_uri),
)
print("\nendpoint:", endpoint_name)

# Predict.
predictor = Predictor(
    endpoint_name=endpoint_name, sagemaker_session=session, serializer=CSVSerializer(), deserializer=CSVDeserializer()
)
rows = data_file.read_text().splitlines()[1:]
answers = []
for number in range(INVOCATIONS):
    answers.append(float(predictor.predict(data=rows[number % len(rows)], inference_id=str(number))[0][0]))
print("predictions:", len(answers), answers[:3])

# Captures come within minutes.
captured = []
for _ in range(120):
    files = sorted(S3Downloader.list(f"{capture_uri}/{endpoint_name}", sagemaker_session=session))
    captured = [json.loads(line) for one in files for line in S3Downloader.read_file(one, sagemaker_session=session).splitlines()]
    if len(captured) >= INVOCATIONS:
        break
    time.sleep(10)
assert len(captured) == INVOCATIONS, (len(captured), files)
print("capture files:", len(files), files[0])
print(json.dumps(captured[0], indent=2))
captured.sort(key=lambda record: int(record["eventMetadata"]["inferenceId"]))
for number, record in enumerate(captured):
    assert record["captureData"]["endpointInput"]["data"] == rows[number % len(rows)], (number, record)
    assert float(record["captureData"]["endpointOutput"]["data"]) == answers[number], (number, record)
    assert record["captureData"]["endpointInput"]["encoding"] == "CSV" and record["eventVersion"] == "0", record

# Clean up.
predictor.delete_model()
predictor.delete_endpoint()
print("told")
