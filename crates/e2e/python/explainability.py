"""ModelExplainabilityMonitor as a notebook for AWS has it: what a model looks at, from the baseline to a violation.
Usage: explainability.py FOLDER MODEL.JSON"""
import json
import random
import sys
import time

import boto3
from sagemaker.clarify import DataConfig, ModelConfig, SHAPConfig
from sagemaker.model_monitor import (
    DefaultModelMonitor, EndpointInput, ExplainabilityAnalysisConfig, ModelExplainabilityMonitor)
from sagemaker.model_monitor.dataset_format import DatasetFormat

from monitored import BUCKET, NOW, PATIENCE_S, client, ended, monitor, s3, session, table, xgboost
from story import configuration, full_capture, runtime, wait_in_service

MODEL = sys.argv[2]
cloudwatch = boto3.client("cloudwatch")
random.seed(5)
NAMES = [f"f{number}" for number in range(6)]


def rows(count):
    return [[round(random.gauss(0, 1), 3) for _ in NAMES] for _ in range(count)]


def call(count):
    for row in rows(count):
        runtime.invoke_endpoint(EndpointName="scored", ContentType="text/csv", Body=",".join(map(str, row)))
    # Captures tell their time to the second, and a window of NOW ends before the second that has begun.
    over = time.monotonic() + 1.1
    while time.monotonic() < over:
        time.sleep(0.1)


# Two models: the second looks at the last feature where the first looks at the first, and so on.
first = json.load(open(MODEL))
xgboost("looks-at-first", json.dumps(first).encode())
for tree in first["learner"]["gradient_booster"]["model"]["trees"]:
    tree["split_indices"] = [len(NAMES) - 1 - place for place in tree["split_indices"]]
xgboost("looks-at-last", json.dumps(first).encode())
configuration("first", "looks-at-first", full_capture(f"s3://{BUCKET}/captures"))
configuration("last", "looks-at-last", full_capture(f"s3://{BUCKET}/captures"))
client.create_endpoint(EndpointName="scored", EndpointConfigName="first")
wait_in_service("scored")

# What it looks at: asked through an endpoint that is there for the time of the job only.
known = rows(100)
monitored = monitor(ModelExplainabilityMonitor)
shap = SHAPConfig(baseline=[[0] * len(NAMES)], num_samples=64, agg_method="mean_abs", save_local_shap_values=True)
monitored.suggest_baseline(
    data_config=DataConfig(
        s3_data_input_path=session.upload_data(table("known.csv", NAMES, known), bucket=BUCKET, key_prefix="known"),
        s3_output_path=f"s3://{BUCKET}/baselines/scored", headers=NAMES, dataset_type="text/csv"),
    model_config=ModelConfig(
        model_name="looks-at-first", instance_count=1, instance_type="ml.m5.xlarge", content_type="text/csv",
        accept_type="text/csv"),
    explainability_config=shap, wait=True, logs=False)
values = monitored.suggested_constraints().body_dict["explanations"]["kernel_shap"]["label0"]["global_shap_values"]
assert list(values) == NAMES and max(values, key=values.get) == "f0" and values["f5"] < 1e-6, values
assert [one["EndpointName"] for one in client.list_endpoints()["Endpoints"]] == ["scored"], "the other is gone"
configs = [one["EndpointConfigName"] for one in client.list_endpoint_configs()["EndpointConfigs"]]
assert sorted(configs) == ["first", "last"], configs

# The baseline of data quality, to see later that it sees callers' calls alone.
quality = monitor(DefaultModelMonitor)
quality.suggest_baseline(
    baseline_dataset=table("rows.csv", ["score"] + NAMES, [[0.5 + 0.001 * row[0]] + row for row in known]),
    dataset_format=DatasetFormat.csv(header=True), output_s3_uri=f"s3://{BUCKET}/baselines/rows", wait=True, logs=False)

# Callers send what they sent, and the model is the one that it was: configuration and baseline are those of the last
# baselining job, as the SDK has it where nothing is said.
call(60)
monitored.create_monitoring_schedule(
    monitor_schedule_name="scored-same", endpoint_input="scored", output_s3_uri=f"s3://{BUCKET}/reports", **NOW)
definition = client.describe_model_explainability_job_definition(JobDefinitionName=monitored.job_definition_name)
assert "BaseliningJobName" in definition["ModelExplainabilityBaselineConfig"], definition
listed = client.list_model_explainability_job_definitions(EndpointName="scored")["JobDefinitionSummaries"]
assert [one["MonitoringJobDefinitionName"] for one in listed] == [monitored.job_definition_name], listed
done = ended("scored-same")
assert done["MonitoringExecutionStatus"] == "Completed", (done, client.describe_processing_job(
    ProcessingJobName=done["ProcessingJobArn"].rsplit("/", 1)[1]) if "ProcessingJobArn" in done else None)
execution = monitored.list_executions()[-1]
job = execution.describe()
assert job["ExitMessage"] == "Completed: Job completed successfully with no violations.", job
assert job["Environment"]["analysis_type"] == "MODEL_EXPLAINABILITY", job["Environment"]
constraints = [one for one in job["ProcessingInputs"] if one["InputName"] == "constraints"]
assert constraints[0]["S3Input"]["S3Uri"] == f"s3://{BUCKET}/baselines/scored/analysis.json", job["ProcessingInputs"]
assert monitored.latest_monitoring_constraint_violations().body_dict["violations"] == []
monitored.delete_monitoring_schedule()

# Another model takes its place, and the live endpoint itself is asked.
client.update_endpoint(EndpointName="scored", EndpointConfigName="last")
wait_in_service("scored")
call(60)
live = ModelConfig(endpoint_name="scored", content_type="text/csv", accept_type="text/csv")
changed = monitor(ModelExplainabilityMonitor)
changed.create_monitoring_schedule(
    monitor_schedule_name="scored-changed", endpoint_input=EndpointInput(
        endpoint_name="scored", destination="/opt/ml/processing/input/endpoint"),
    analysis_config=ExplainabilityAnalysisConfig(shap, live, headers=NAMES),
    output_s3_uri=f"s3://{BUCKET}/reports", constraints=f"s3://{BUCKET}/baselines/scored/analysis.json",
    enable_cloudwatch_metrics=True, **NOW)
done = ended("scored-changed")
assert done["MonitoringExecutionStatus"] == "CompletedWithViolations", done
violations = changed.latest_monitoring_constraint_violations().body_dict["violations"]
assert [(one["label"], one["constraint_check_type"]) for one in violations] == [
    ("label0", "feature_attribution_drift_check")], violations
assert violations[0]["description"].startswith("Feature attribution drift 0."), violations
metrics = cloudwatch.list_metrics(Namespace="aws/sagemaker/Endpoints/explainability-metrics")["Metrics"]
assert {"ExpectedValue", "feature_f5"} <= {one["MetricName"] for one in metrics}, metrics

# The questions were captured, and are told from what callers sent.
deadline, asked = time.monotonic() + PATIENCE_S, 0
while asked == 0 and time.monotonic() < deadline:
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Prefix="captures/scored/")
    lines = [line for page in pages for one in page.get("Contents", []) if one["Key"].endswith(".jsonl")
             for line in s3.get_object(Bucket=BUCKET, Key=one["Key"])["Body"].read().splitlines()]
    records = [json.loads(line) for line in lines]
    own = [one for one in records if one["eventMetadata"].get("inferenceId", "").startswith("captura-attribution-")]
    asked = len(own)
    time.sleep(0.5)
assert asked > 0 and {one["captura"]["consumer"] for one in own} == {"captura-jobs"}, (asked, len(records))
quality.create_monitoring_schedule(
    monitor_schedule_name="rows-now", endpoint_input="scored", output_s3_uri=f"s3://{BUCKET}/reports",
    statistics=quality.baseline_statistics(), constraints=quality.suggested_constraints(), **NOW)
done = ended("rows-now")
assert done["MonitoringExecutionStatus"].startswith("Completed"), done
assert quality.latest_monitoring_statistics().body_dict["dataset"]["item_count"] == 120

for one in (changed, quality):
    one.delete_monitoring_schedule()
print("told")
