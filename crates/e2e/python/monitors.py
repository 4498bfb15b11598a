"""Monitors as a notebook for AWS has them: from suggest_baseline to the last violation report."""
import json
import random
import time
from datetime import datetime, timezone

import boto3
from sagemaker.clarify import BiasConfig, DataConfig
from sagemaker.model_monitor import (
    BiasAnalysisConfig, CronExpressionGenerator, DefaultModelMonitor, EndpointInput, ModelBiasMonitor, ModelQualityMonitor)
from sagemaker.model_monitor.dataset_format import DatasetFormat
from sagemaker.predictor import Predictor

from monitored import BUCKET, NOW, PATIENCE_S, client, ended, monitor, s3, session, table
from story import configuration, full_capture, model, refusal, runtime, wait_in_service

cloudwatch = boto3.client("cloudwatch")
random.seed(11)


def archived(endpoint, calls):
    """Returns when that many calls of an endpoint are objects: a busy disk takes longer than executions wait."""
    deadline, found = time.monotonic() + PATIENCE_S, 0
    while time.monotonic() < deadline:
        pages = s3.get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Prefix=f"captures/{endpoint}/")
        keys = [one["Key"] for page in pages for one in page.get("Contents", []) if one["Key"].endswith(".jsonl")]
        found = sum(s3.get_object(Bucket=BUCKET, Key=key)["Body"].read().count(b"\n") for key in keys)
        if found == calls:
            return
        time.sleep(1)
    raise AssertionError(f"{found} of {calls} calls of {endpoint} are objects")


# An endpoint that answers with what it is asked, so that what it was asked is known on both sides.
model("people")
configuration("people", "people", full_capture(f"s3://{BUCKET}/captures"))
client.create_endpoint(EndpointName="people", EndpointConfigName="people")
wait_in_service("people")

# What data should look like: answer and question have the same two columns.
rows = [[age := random.randint(20, 60), shop := random.choice("ab"), age, shop] for _ in range(500)]
quality = monitor(DefaultModelMonitor)
quality.suggest_baseline(
    baseline_dataset=table("people.csv", ["answered_age", "answered_shop", "age", "shop"], rows),
    dataset_format=DatasetFormat.csv(header=True), output_s3_uri=f"s3://{BUCKET}/baselines/people", wait=True, logs=False)
baseline = quality.latest_baselining_job

# What comes instead: a shop that nobody knew.
for number in range(60):
    runtime.invoke_endpoint(
        EndpointName="people", ContentType="text/csv", InferenceId=f"call-{number}", Body=f"{random.randint(20, 60)},z")

# A schedule by the hour, through all that can be done to it.
hourly = monitor(DefaultModelMonitor)
hourly.create_monitoring_schedule(
    monitor_schedule_name="people-hourly", endpoint_input="people", output_s3_uri=f"s3://{BUCKET}/reports",
    statistics=baseline.baseline_statistics(), constraints=baseline.suggested_constraints(),
    schedule_cron_expression=CronExpressionGenerator.hourly(), enable_cloudwatch_metrics=True)
hourly._wait_for_schedule_changes_to_apply()
told = hourly.describe_schedule()
assert told["MonitoringScheduleStatus"] == "Scheduled", told
assert told["MonitoringScheduleConfig"]["ScheduleConfig"]["ScheduleExpression"] == "cron(0 * ? * * *)", told
assert told["EndpointName"] == "people" and told["MonitoringType"] == "DataQuality", told
assert hourly.list_executions() == []
definition = hourly.job_definition_name
hourly.update_monitoring_schedule(schedule_cron_expression=CronExpressionGenerator.daily(hour=3))
told = hourly.describe_schedule()
assert told["MonitoringScheduleConfig"]["ScheduleConfig"]["ScheduleExpression"] == "cron(0 3 ? * * *)", told
assert hourly.job_definition_name == definition
hourly.update_monitoring_schedule(max_runtime_in_seconds=900)
assert hourly.job_definition_name != definition, "another definition"
hourly.stop_monitoring_schedule()
assert hourly.describe_schedule()["MonitoringScheduleStatus"] == "Stopped"
hourly.start_monitoring_schedule()
assert hourly.describe_schedule()["MonitoringScheduleStatus"] == "Scheduled"
found = Predictor("people", sagemaker_session=session).list_monitors()
assert [one.monitoring_schedule_name for one in found] == ["people-hourly"], found
hourly.update_monitoring_alert(monitoring_alert_name="violations", data_points_to_alert=1, evaluation_period=2)
alerts, _ = hourly.list_monitoring_alerts()
assert [(one.alert_name, one.alert_status, one.evaluation_period) for one in alerts] == [("violations", "OK", 2)], alerts
hourly.delete_monitoring_schedule()
assert refusal(client.describe_monitoring_schedule, MonitoringScheduleName="people-hourly")[0] == "ResourceNotFound"

# Once, now: the last hour.
archived("people", 60)
quality.create_monitoring_schedule(
    monitor_schedule_name="people-now", endpoint_input="people", output_s3_uri=f"s3://{BUCKET}/reports",
    statistics=quality.baseline_statistics(), constraints=quality.suggested_constraints(), **NOW)

# Labels, of which half say something else than was answered.
hour = datetime.now(timezone.utc).strftime("%Y/%m/%d/%H")
labels = [
    {"groundTruthData": {"data": "0" if number % 2 else "30", "encoding": "CSV"},
     "eventMetadata": {"eventId": f"call-{number}"}, "eventVersion": "0"}
    for number in range(60)]
s3.put_object(
    Bucket=BUCKET, Key=f"labels/{hour}/labels.jsonl", Body="".join(json.dumps(label) + "\n" for label in labels))
scored = [[round(30 + random.random(), 3), 30] for _ in range(500)]
predictions = monitor(ModelQualityMonitor)
predictions.suggest_baseline(
    baseline_dataset=table("scored.csv", ["prediction", "label"], scored),
    dataset_format=DatasetFormat.csv(header=True), output_s3_uri=f"s3://{BUCKET}/baselines/scored",
    problem_type="Regression", inference_attribute="prediction", ground_truth_attribute="label", wait=True, logs=False)
predictions.create_monitoring_schedule(
    monitor_schedule_name="scores-now",
    endpoint_input=EndpointInput(
        endpoint_name="people", destination="/opt/ml/processing/input/endpoint", inference_attribute="0"),
    ground_truth_input=f"s3://{BUCKET}/labels", problem_type="Regression", output_s3_uri=f"s3://{BUCKET}/reports",
    constraints=predictions.suggested_constraints(), **NOW)

# Bias: one endpoint decides about people of two kinds, and later decides against one of them.
model("loans")
configuration("loans", "loans", full_capture(f"s3://{BUCKET}/captures"))
client.create_endpoint(EndpointName="loans", EndpointConfigName="loans")
wait_in_service("loans")
decided = [[random.choice("FM"), random.randint(0, 1), random.randint(0, 1)] for _ in range(1000)]
bias = monitor(ModelBiasMonitor)
bias.suggest_baseline(
    data_config=DataConfig(
        s3_data_input_path=session.upload_data(
            table("loans.csv", ["sex", "approved", "predicted"], decided), bucket=BUCKET, key_prefix="loans"),
        s3_output_path=f"s3://{BUCKET}/baselines/loans", label="approved", headers=["sex", "approved", "predicted"],
        dataset_type="text/csv", predicted_label="predicted"),
    bias_config=BiasConfig(label_values_or_threshold=[1], facet_name="sex", facet_values_or_threshold=["F"]),
    model_config=None, wait=True, logs=False)
for number in range(60):
    runtime.invoke_endpoint(
        EndpointName="loans", ContentType="text/csv", InferenceId=f"loan-{number}", Body="0,F" if number % 2 else "1,M")
labels = [
    {"groundTruthData": {"data": "1", "encoding": "CSV"}, "eventMetadata": {"eventId": f"loan-{number}"},
     "eventVersion": "0"} for number in range(60)]
s3.put_object(
    Bucket=BUCKET, Key=f"loan-labels/{hour}/labels.jsonl", Body="".join(json.dumps(label) + "\n" for label in labels))
archived("loans", 60)
bias.create_monitoring_schedule(
    monitor_schedule_name="loans-now",
    endpoint_input=EndpointInput(
        endpoint_name="loans", destination="/opt/ml/processing/input/endpoint", inference_attribute="0"),
    ground_truth_input=f"s3://{BUCKET}/loan-labels",
    analysis_config=BiasAnalysisConfig(
        BiasConfig(label_values_or_threshold=[1], facet_name="sex", facet_values_or_threshold=["F"]),
        headers=["answered_sex", "given", "sex", "approved"], label="approved"),
    output_s3_uri=f"s3://{BUCKET}/reports", constraints=bias.suggested_constraints(), **NOW)

# What was found.
done = ended("people-now")
assert done["MonitoringExecutionStatus"] == "CompletedWithViolations", done
assert done["MonitoringType"] == "DataQuality" and done["EndpointName"] == "people", done
execution = quality.list_executions()[-1]
job = execution.describe()
assert job["ExitMessage"].startswith("CompletedWithViolations: Job completed successfully with "), job["ExitMessage"]
assert job["MonitoringScheduleArn"].endswith(":monitoring-schedule/people-now"), job
violations = quality.latest_monitoring_constraint_violations().body_dict["violations"]
assert {one["constraint_check_type"] for one in violations} >= {"categorical_values_check"}, violations
assert {one["feature_name"] for one in violations} >= {"shop", "answered_shop"}, violations
assert quality.latest_monitoring_statistics().body_dict["dataset"]["item_count"] == 60
alerts, _ = quality.list_monitoring_alerts()
assert alerts[0].alert_status == "InAlert", alerts[0].alert_status
history, _ = quality.list_monitoring_alert_history(monitoring_alert_name="violations")
assert [one.alert_status for one in history] == ["InAlert"], history

done = ended("scores-now")
assert done["MonitoringExecutionStatus"] == "CompletedWithViolations", done
name = done["ProcessingJobArn"].rsplit("/", 1)[1]
merged = client.describe_processing_job(ProcessingJobName=name.replace("model-quality-monitoring", "groundtruth-merge"))
assert merged["ProcessingJobStatus"] == "Completed", merged
violations = predictions.latest_monitoring_constraint_violations().body_dict["violations"]
assert {one["metric_name"] for one in violations} >= {"mae", "mse", "rmse"}, violations

done = ended("loans-now")
assert done["MonitoringExecutionStatus"] == "CompletedWithViolations", done
violations = bias.latest_monitoring_constraint_violations().body_dict["violations"]
assert "DPPL" in {one["metric_name"] for one in violations}, violations
assert {one["constraint_check_type"] for one in violations} == {"bias_drift_check"}, violations

# What the jobs measured is in CloudWatch.
for kind, schedule, name in (
        ("data", "people-now", "feature_baseline_drift_shop"), ("model", "scores-now", "mae"),
        ("bias", "loans-now", "bias_metric_DPPL")):
    metrics = cloudwatch.list_metrics(Namespace=f"aws/sagemaker/Endpoints/{kind}-metrics")["Metrics"]
    dimensions = [{one["Name"]: one["Value"] for one in metric["Dimensions"]} for metric in metrics
                  if metric["MetricName"] == name]
    assert any(one.get("MonitoringSchedule") == schedule for one in dimensions), (kind, metrics)

# Nothing to look at.
empty = monitor(DefaultModelMonitor)
empty.create_monitoring_schedule(
    monitor_schedule_name="empty-now", endpoint_input="people", output_s3_uri=f"s3://{BUCKET}/reports",
    statistics=quality.baseline_statistics(), constraints=quality.suggested_constraints(),
    schedule_cron_expression=CronExpressionGenerator.now(),
    data_analysis_start_time="-P1D", data_analysis_end_time="-PT20H")
done = ended("empty-now")
assert (done["MonitoringExecutionStatus"], done["FailureReason"]) == ("Failed", "Job inputs had no data"), done

for one in (quality, predictions, bias, empty):
    one.delete_monitoring_schedule()
assert client.list_monitoring_schedules()["MonitoringScheduleSummaries"] == []
assert len(client.list_monitoring_executions(EndpointName="people")["MonitoringExecutionSummaries"]) == 3
print("told")
