"""The same rows in every form that Model Monitor reads: baselines, ground truth, and data captured by transform jobs.
Usage: formats.py FOLDER"""
import json
import os
import random
import time

import pandas
from sagemaker.model_monitor import (
    BatchTransformInput, CronExpressionGenerator, DefaultModelMonitor, ModelQualityMonitor, MonitoringDatasetFormat)
from sagemaker.model_monitor.dataset_format import DatasetFormat

from monitored import BUCKET, FOLDER, PATIENCE_S, client, monitor, s3

random.seed(3)


def path(name):
    return os.path.join(FOLDER, name)


rows = pandas.DataFrame([
    {"age": random.randint(18, 80), "score": round(random.random(), 3), "shop": random.choice("abc")} for _ in range(400)])
rows.to_csv(path("header.csv"), index=False)
rows.to_csv(path("plain.csv"), index=False, header=False)
rows.to_json(path("lines.jsonl"), orient="records", lines=True)
rows.to_json(path("document.json"), orient="records", indent=1)
rows.to_parquet(path("rows.parquet"))
FORMS = {
    "header.csv": DatasetFormat.csv(header=True), "plain.csv": DatasetFormat.csv(header=False),
    "lines.jsonl": DatasetFormat.json(lines=True), "document.json": DatasetFormat.json(lines=False),
    "rows.parquet": {"parquet": {}},
}
told = {}
baselines = {}
for name, form in FORMS.items():
    baselines[name] = monitor(DefaultModelMonitor)
    baselines[name].suggest_baseline(
        baseline_dataset=path(name), dataset_format=form, output_s3_uri=f"s3://{BUCKET}/baselines/{name}", wait=True,
        logs=False)
    statistics = baselines[name].baseline_statistics().body_dict
    names = [one.pop("name") for one in statistics["features"]]
    assert names == (["_c0", "_c1", "_c2"] if name == "plain.csv" else ["age", "score", "shop"]), (name, names)
    told[name] = statistics
for name, statistics in told.items():
    assert statistics == told["header.csv"], (name, statistics, told["header.csv"])

# Ground truth beside predictions, as lines and as Parquet.
scored = pandas.DataFrame([{"predicted": row % 3 % 2, "label": row % 2} for row in range(300)])
scored.to_csv(path("scored.csv"), index=False)
scored.to_json(path("scored.jsonl"), orient="records", lines=True)
scored.to_parquet(path("scored.parquet"))
found = []
for name, form in (
        ("scored.csv", DatasetFormat.csv(header=True)), ("scored.jsonl", DatasetFormat.json(lines=True)),
        ("scored.parquet", {"parquet": {}})):
    quality = monitor(ModelQualityMonitor)
    quality.suggest_baseline(
        baseline_dataset=path(name), dataset_format=form, output_s3_uri=f"s3://{BUCKET}/baselines/{name}",
        problem_type="BinaryClassification", inference_attribute="predicted", ground_truth_attribute="label", wait=True,
        logs=False)
    found.append(quality.baseline_statistics().body_dict["binary_classification_metrics"])
assert found[0] == found[1] == found[2] and 0 < found[0]["accuracy"]["value"] < 1, found

# A transform job captured what went in: manifests below the hour name the objects.
hour = time.strftime("%Y/%m/%d/%H", time.gmtime())
older = rows.assign(age=rows["age"] + 100)
for name, form, write in (
        ("csv", MonitoringDatasetFormat.csv(header=True), lambda at: older.to_csv(at, index=False)),
        ("jsonl", MonitoringDatasetFormat.json(lines=True), lambda at: older.to_json(at, orient="records", lines=True)),
        ("json", MonitoringDatasetFormat.json(lines=False), lambda at: older.to_json(at, orient="records")),
        ("parquet", MonitoringDatasetFormat.parquet(), lambda at: older.to_parquet(at))):
    write(path(f"older.{name}"))
    s3.upload_file(path(f"older.{name}"), BUCKET, f"transformed/{name}/data/older.{name}")
    manifest = [{"prefix": f"s3://{BUCKET}/transformed/{name}/data/"}, f"older.{name}"]
    s3.put_object(
        Bucket=BUCKET, Key=f"transformed/{name}/output/{hour}/00-00-manifest.json", Body=json.dumps(manifest))
    held = monitor(DefaultModelMonitor)
    held.create_monitoring_schedule(
        monitor_schedule_name=f"held-{name}", output_s3_uri=f"s3://{BUCKET}/reports",
        batch_transform_input=BatchTransformInput(
            data_captured_destination_s3_uri=f"s3://{BUCKET}/transformed/{name}", dataset_format=form,
            destination="/opt/ml/processing/input"),
        statistics=baselines["header.csv"].baseline_statistics(),
        constraints=baselines["header.csv"].suggested_constraints(),
        schedule_cron_expression=CronExpressionGenerator.now(), data_analysis_start_time="-PT1H",
        data_analysis_end_time="-PT0H")
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        executions = client.list_monitoring_executions(MonitoringScheduleName=f"held-{name}")
        executions = executions["MonitoringExecutionSummaries"]
        if executions and executions[0]["MonitoringExecutionStatus"] not in ("Pending", "InProgress", "Stopping"):
            break
        time.sleep(0.5)
    assert executions[0]["MonitoringExecutionStatus"] == "CompletedWithViolations", (name, executions)
    assert held.latest_monitoring_statistics().body_dict["dataset"]["item_count"] == 400, name
    violations = held.latest_monitoring_constraint_violations().body_dict["violations"]
    assert {one["feature_name"] for one in violations} == {"age"}, (name, violations)
    held.delete_monitoring_schedule()
print("told")
