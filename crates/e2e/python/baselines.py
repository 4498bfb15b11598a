"""Baselines as a notebook for AWS makes them: the SDK's monitors suggest constraints through processing jobs."""
import json
import random

import boto3
from sagemaker.clarify import BiasConfig, DataConfig, ModelConfig, SHAPConfig
from sagemaker.model_monitor import (
    DefaultModelMonitor, ModelBiasMonitor, ModelExplainabilityMonitor, ModelQualityMonitor)
from sagemaker.model_monitor.dataset_format import DatasetFormat

from monitored import BUCKET, client, monitor, session, table
from story import ROLE, configuration, model, refusal, wait_in_service

logs = boto3.client("logs")
random.seed(7)

# Data quality.
people = [[random.randint(0, 1), random.randint(18, 80), round(random.random() * 9, 3), random.choice("abc")]
          for _ in range(1000)]
quality = monitor(DefaultModelMonitor)
quality.suggest_baseline(
    baseline_dataset=table("people.csv", ["bought", "age", "score", "shop"], people),
    dataset_format=DatasetFormat.csv(header=True),
    output_s3_uri=f"s3://{BUCKET}/baselines/people", wait=True, logs=True)
statistics = quality.baseline_statistics().body_dict
constraints = quality.suggested_constraints().body_dict
assert statistics["dataset"]["item_count"] == 1000, statistics["dataset"]
ages = next(one for one in statistics["features"] if one["name"] == "age")["numerical_statistics"]
assert ages["mean"] == sum(row[1] for row in people) / 1000, ages["mean"]
shop = next(one for one in constraints["features"] if one["name"] == "shop")
assert sorted(shop["string_constraints"]["domains"]) == ["a", "b", "c"], shop
job = quality.latest_baselining_job.describe()
assert job["ProcessingJobStatus"] == "Completed", job
assert job["ExitMessage"] == "Completed: Job completed successfully with no violations.", job["ExitMessage"]
name = job["ProcessingJobName"]
assert job["ProcessingJobArn"] == f"arn:aws:sagemaker:us-east-1:000000000000:processing-job/{name}", job
assert job["CreationTime"] <= job["ProcessingStartTime"] <= job["ProcessingEndTime"], job
streams = logs.describe_log_streams(logGroupName="/aws/sagemaker/ProcessingJobs", logStreamNamePrefix=f"{name}/")
stream = streams["logStreams"][0]["logStreamName"]
assert stream.startswith(f"{name}/algo-1-"), stream

# Model quality, from a table that has the labels.
scored = []
for _ in range(1000):
    chance = random.random()
    scored.append([int(chance > 0.5), round(chance, 4), int(random.random() < chance)])
predictions = monitor(ModelQualityMonitor)
predictions.suggest_baseline(
    baseline_dataset=table("scored.csv", ["prediction", "probability", "label"], scored),
    dataset_format=DatasetFormat.csv(header=True), output_s3_uri=f"s3://{BUCKET}/baselines/scored",
    problem_type="BinaryClassification", inference_attribute="prediction", probability_attribute="probability",
    ground_truth_attribute="label", wait=True, logs=False)
found = predictions.latest_baselining_job
metrics = found.baseline_statistics().body_dict["binary_classification_metrics"]
right = sum(row[0] == row[2] for row in scored) / 1000
assert abs(metrics["accuracy"]["value"] - right) < 1e-12, (metrics["accuracy"], right)
bounds = found.suggested_constraints().body_dict["binary_classification_constraints"]
assert bounds["accuracy"] == {"threshold": metrics["accuracy"]["value"], "comparison_operator": "LessThanThreshold"}

# Bias, of a table that has the predictions.
loans = [[random.choice("FM"), random.randint(0, 1), random.randint(0, 1)] for _ in range(1000)]
bias = monitor(ModelBiasMonitor)
bias.suggest_baseline(
    data_config=DataConfig(
        s3_data_input_path=session.upload_data(
            table("loans.csv", ["sex", "approved", "predicted"], loans), bucket=BUCKET, key_prefix="loans"),
        s3_output_path=f"s3://{BUCKET}/baselines/loans", label="approved", headers=["sex", "approved", "predicted"],
        dataset_type="text/csv", predicted_label="predicted"),
    bias_config=BiasConfig(label_values_or_threshold=[1], facet_name="sex", facet_values_or_threshold=["F"]),
    model_config=None, wait=True, logs=False)
analysis = bias.latest_baselining_job.suggested_constraints().body_dict
women = [row for row in loans if row[0] == "F"]
men = [row for row in loans if row[0] == "M"]
sides = analysis["post_training_bias_metrics"]["facets"]["sex"][0]
dppl = next(one["value"] for one in sides["metrics"] if one["name"] == "DPPL")
share = lambda rows: sum(row[2] for row in rows) / len(rows)
assert abs(dppl - (share(men) - share(women))) < 1e-12, (dppl, share(men), share(women))
assert analysis["pre_training_bias_metrics"]["label"] == "approved", analysis

# Explanations, of an endpoint that is there: it answers with the row itself.
model("mirror")
configuration("mirror", "mirror")
client.create_endpoint(EndpointName="mirror", EndpointConfigName="mirror")
wait_in_service("mirror")
pairs = [[row % 10, row % 7] for row in range(60)]
explained = monitor(ModelExplainabilityMonitor)
explained.suggest_baseline(
    data_config=DataConfig(
        s3_data_input_path=session.upload_data(table("pairs.csv", ["a", "b"], pairs), bucket=BUCKET, key_prefix="pairs"),
        s3_output_path=f"s3://{BUCKET}/baselines/pairs", headers=["a", "b"], dataset_type="text/csv"),
    model_config=ModelConfig(endpoint_name="mirror", content_type="text/csv", accept_type="text/csv"),
    explainability_config=SHAPConfig(baseline=[[0, 0]], num_samples=20, agg_method="mean_abs"), wait=True, logs=False)
shap = explained.latest_baselining_job.suggested_constraints().body_dict["explanations"]["kernel_shap"]
values = shap["label0"]["global_shap_values"]
assert abs(values["a"] - sum(row[0] for row in pairs) / 60) < 1e-6 and abs(values["b"]) < 1e-6, values

# What the built-in analyser cannot do fails, and says what it was.
config = {"label": "approved", "headers": ["sex", "approved", "predicted"], "dataset_type": "text/csv",
          "predictor": {"model_name": "m"}, "methods": {"asymmetric_shapley_value": {}}}
boto3.client("s3").put_object(Bucket=BUCKET, Key="unsupported/analysis_config.json", Body=json.dumps(config))
source = lambda uri, path: {"S3Uri": uri, "LocalPath": path, "S3DataType": "S3Prefix"}
asked = {
    "ProcessingJobName": "unsupported",
    "ProcessingResources": {"ClusterConfig": {"InstanceCount": 1, "InstanceType": "ml.m5.xlarge", "VolumeSizeInGB": 1}},
    "AppSpecification": {"ImageUri": "205585389593.dkr.ecr.us-east-1.amazonaws.com/sagemaker-clarify-processing:1.0"},
    "RoleArn": ROLE,
    "ProcessingInputs": [
        {"InputName": "dataset", "S3Input": source(f"s3://{BUCKET}/loans/loans.csv", "/opt/ml/processing/input/data")},
        {"InputName": "analysis_config", "S3Input": source(
            f"s3://{BUCKET}/unsupported/analysis_config.json", "/opt/ml/processing/input/config")}],
}
client.create_processing_job(**asked)
waiter = client.get_waiter("processing_job_completed_or_stopped")
try:
    waiter.wait(ProcessingJobName="unsupported", WaiterConfig={"Delay": 1, "MaxAttempts": 60})
    raise AssertionError("it did not fail")
except boto3.exceptions.botocore.exceptions.WaiterError:
    pass
failed = client.describe_processing_job(ProcessingJobName="unsupported")
assert "asks for asymmetric_shapley_value" in failed["FailureReason"], failed
assert failed["FailureReason"].startswith("AlgorithmError: Error: "), failed
code, text = refusal(client.create_processing_job, **asked)
assert code == "ResourceInUse" and "a job with this name already exists" in text, (code, text)
asked["ProcessingJobName"] = "empty"
asked["ProcessingInputs"][0]["S3Input"]["S3Uri"] = f"s3://{BUCKET}/nothing-here"
client.create_processing_job(**asked)
while "ProcessingEndTime" not in (empty := client.describe_processing_job(ProcessingJobName="empty")):
    pass
assert empty["FailureReason"].startswith('ClientError: No S3 objects found under S3 URL "s3://'), empty
listed = client.list_processing_jobs(StatusEquals="Failed", SortBy="Name", SortOrder="Ascending")
assert [one["ProcessingJobName"] for one in listed["ProcessingJobSummaries"]] == ["empty", "unsupported"], listed
client.delete_processing_job(ProcessingJobName="empty")
assert refusal(client.describe_processing_job, ProcessingJobName="empty")[0] == "ResourceNotFound"
print("told")
