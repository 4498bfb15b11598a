"""What stories of monitors and Clarify need: a session, monitors, tables to upload, and executions that end."""
import csv
import io
import os
import sys
import tarfile
import time

import boto3
import sagemaker

from story import ROLE

BUCKET = "sagemaker-us-east-1-000000000000"
FOLDER = sys.argv[1]
XGBOOST = "683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-xgboost:1.7-1"
PATIENCE_S = 120
session = sagemaker.Session(default_bucket=BUCKET)
client = boto3.client("sagemaker")
s3 = boto3.client("s3")
# An execution that begins now, over the last hour.
NOW = {
    "schedule_cron_expression": "NOW",
    "data_analysis_start_time": "-PT1H",
    "data_analysis_end_time": "-PT0H",
}


def table(name, header, rows):
    path = os.path.join(FOLDER, name)
    with open(path, "w", newline="") as out:
        csv.writer(out).writerows([header] + rows)
    return path


def xgboost(name, content):
    """A model of trees, packed as SageMaker's training jobs leave it."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        member = tarfile.TarInfo("xgboost-model")
        member.size = len(content)
        archive.addfile(member, io.BytesIO(content))
    s3.put_object(Bucket=BUCKET, Key=f"models/{name}.tar.gz", Body=packed.getvalue())
    container = {"Image": XGBOOST, "ModelDataUrl": f"s3://{BUCKET}/models/{name}.tar.gz"}
    client.create_model(ModelName=name, ExecutionRoleArn=ROLE, PrimaryContainer=container)


def monitor(kind, **more):
    return kind(
        role=ROLE, instance_count=1, instance_type="ml.m5.xlarge", volume_size_in_gb=20,
        max_runtime_in_seconds=1800, sagemaker_session=session, **more)


def ended(schedule):
    """The only execution of a schedule, when it has ended."""
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        found = client.list_monitoring_executions(MonitoringScheduleName=schedule)["MonitoringExecutionSummaries"]
        if found and found[0]["MonitoringExecutionStatus"] not in ("Pending", "InProgress", "Stopping"):
            assert len(found) == 1, found
            return found[0]
        time.sleep(1)
    raise AssertionError(f"{schedule} has not ended: {found}")
