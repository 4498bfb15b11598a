"""Clarify's processor as a notebook for AWS has it: bias and explanations of what a model answers, of data in every form.
Usage: clarify.py FOLDER MODEL.JSON"""
import json
import os
import random
import sys

import pandas
import sagemaker
from sagemaker.clarify import (
    BiasConfig, DataConfig, ModelConfig, ModelPredictedLabelConfig, PDPConfig, SageMakerClarifyProcessor, SHAPConfig)
from sagemaker.model_monitor import ModelBiasMonitor

from monitored import BUCKET, FOLDER, client, monitor, s3, session, xgboost
from story import ROLE, configuration, runtime, wait_in_service

MODEL = sys.argv[2]
random.seed(9)
FEATURES = [f"f{number}" for number in range(6)]
ROWS = 700

xgboost("judge", open(MODEL, "rb").read())
configuration("judge", "judge")
client.create_endpoint(EndpointName="judge", EndpointConfigName="judge")
wait_in_service("judge")

# Rows with a label, a town that the model is not told, and an id.
rows = pandas.DataFrame([[round(random.gauss(0, 1), 3) for _ in FEATURES] for _ in range(ROWS)], columns=FEATURES)
rows["paid"] = [int(value + random.gauss(0, 0.5) > 0) for value in rows["f0"]]
towns = pandas.DataFrame({"id": range(ROWS), "town": [random.choice(["north", "south"]) for _ in range(ROWS)]})
body = rows[FEATURES].to_csv(index=False, header=False)
answer = runtime.invoke_endpoint(EndpointName="judge", ContentType="text/csv", Body=body)["Body"].read().decode()
scores = [float(one) for one in answer.replace("\n", ",").split(",") if one]
assert len(scores) == ROWS, answer[:100]
THRESHOLD = sorted(scores)[ROWS // 2]


def dppl(predicted, has_facet):
    share = lambda wanted: sum(p for p, own in zip(predicted, has_facet) if own == wanted) / sum(own == wanted for own in has_facet)
    return share(False) - share(True)


def uploaded(name, key, write):
    path = os.path.join(FOLDER, name)
    write(path)
    return session.upload_data(path, bucket=BUCKET, key_prefix=key)


def measured(out, facet):
    analysis = json.loads(s3.get_object(Bucket=BUCKET, Key=f"{out}/analysis.json")["Body"].read())
    sides = analysis["post_training_bias_metrics"]["facets"][facet][0]["metrics"]
    return analysis, next(one["value"] for one in sides if one["name"] == "DPPL")


def equal(one, other):
    assert abs(one - other) < 1e-9, (one, other)


predicted = [int(score >= THRESHOLD) for score in scores]
expected = dppl(predicted, [value > 0 for value in rows["f5"]])
columns = ["paid"] + FEATURES
csv_uri = uploaded("rows.csv", "csv", lambda path: rows[columns].to_csv(path, index=False, header=False))
facet = BiasConfig(label_values_or_threshold=[1], facet_name="f5", facet_values_or_threshold=[0])
threshold = ModelPredictedLabelConfig(probability_threshold=THRESHOLD)
by_model = ModelConfig(
    model_name="judge", instance_count=1, instance_type="ml.m5.xlarge", content_type="text/csv", accept_type="text/csv",
    endpoint_name_prefix="bias-of-judge")
live = ModelConfig(endpoint_name="judge", content_type="text/csv", accept_type="text/csv")

# The bias monitor's baseline asks the model for its predictions.
monitor(ModelBiasMonitor).suggest_baseline(
    data_config=DataConfig(
        s3_data_input_path=csv_uri, s3_output_path=f"s3://{BUCKET}/baseline", label="paid", headers=columns,
        dataset_type="text/csv"),
    bias_config=facet, model_config=by_model, model_predicted_label_config=threshold, wait=True, logs=False)
analysis, found = measured("baseline", "f5")
equal(found, expected)
assert "pre_training_bias_metrics" in analysis
assert [one["EndpointName"] for one in client.list_endpoints()["Endpoints"]] == ["judge"], "the other is gone"

processor = SageMakerClarifyProcessor(
    role=ROLE, instance_count=1, instance_type="ml.m5.xlarge", sagemaker_session=session)

# After training only, of an endpoint that is there, and of data in Parquet.
parquet = uploaded("rows.parquet", "parquet", lambda path: rows[columns].to_parquet(path))
processor.run_post_training_bias(
    data_config=DataConfig(
        s3_data_input_path=parquet, s3_output_path=f"s3://{BUCKET}/of-parquet", label="paid",
        dataset_type="application/x-parquet"),
    data_bias_config=facet, model_config=live, model_predicted_label_config=threshold, wait=True, logs=False)
equal(measured("of-parquet", "f5")[1], expected)

# Bias and explanations in one job, of JSON Lines.
lines = uploaded("rows.jsonl", "jsonl", lambda path: open(path, "w").write("".join(
    json.dumps({"features": list(row[1:]), "label": int(row[0])}) + "\n" for row in rows[columns].values.tolist())))
processor.run_bias_and_explainability(
    data_config=DataConfig(
        s3_data_input_path=lines, s3_output_path=f"s3://{BUCKET}/of-lines", label="label", features="features",
        headers=FEATURES + ["paid"], dataset_type="application/jsonlines"),
    model_config=by_model, explainability_config=[
        SHAPConfig(baseline=[[0] * len(FEATURES)], num_samples=64, agg_method="mean_abs"),
        PDPConfig(grid_resolution=4, top_k_features=1)],
    bias_config=facet, model_predicted_label_config=threshold, wait=True, logs=False)
analysis, found = measured("of-lines", "f5")
equal(found, expected)
assert analysis["post_training_bias_metrics"]["label"] == "paid", analysis
values = analysis["explanations"]["kernel_shap"]["label0"]["global_shap_values"]
assert list(values) == FEATURES and max(values, key=values.get) == "f0", values
[curve] = analysis["explanations"]["pdp"]
assert curve["feature_name"] == "f0" and curve["data_type"] == "numerical", curve
assert [len(curve[part]) for part in ("feature_values", "data_distribution")] == [4, 4], curve
[means] = curve["model_predictions"]
assert len(means) == 4 and all(0 < mean < 1 for mean in means) and max(means) - min(means) > 0.1, curve

# One JSON document.
document = uploaded("rows.json", "json", lambda path: json.dump(
    {"rows": rows[FEATURES].values.tolist(), "said": rows["paid"].tolist()}, open(path, "w")))
processor.run_bias(
    data_config=DataConfig(
        s3_data_input_path=document, s3_output_path=f"s3://{BUCKET}/of-document", label="said", features="rows",
        headers=FEATURES + ["paid"], dataset_type="application/json"),
    bias_config=facet, model_config=live, model_predicted_label_config=threshold, wait=True, logs=False)
equal(measured("of-document", "f5")[1], expected)

# Facets and predictions in files of their own, found by an id.
known = rows[columns].assign(id=range(ROWS))
with_ids = uploaded("ids.csv", "ids", lambda path: known.to_csv(path, index=False))
shuffled = towns.sample(frac=1, random_state=1)
facets = uploaded("towns.csv", "towns", lambda path: shuffled.to_csv(path, index=False, header=False))
answers = uploaded("answers.csv", "answers", lambda path: pandas.DataFrame(
    {"id": range(ROWS), "answer": predicted}).to_csv(path, index=False))
processor.run_bias(
    data_config=DataConfig(
        s3_data_input_path=with_ids, s3_output_path=f"s3://{BUCKET}/beside", label="paid", dataset_type="text/csv",
        joinsource="id", facet_dataset_uri=facets, facet_headers=["id", "town"], predicted_label_dataset_uri=answers,
        predicted_label_headers=["id", "answer"], predicted_label="answer"),
    bias_config=BiasConfig(label_values_or_threshold=[1], facet_name="town", facet_values_or_threshold=["south"]),
    model_config=None, wait=True, logs=False)
equal(measured("beside", "town")[1], dppl(predicted, [town == "south" for town in towns["town"]]))

# Without an id the files must have as many rows, and what has not is told.
short = uploaded("short.csv", "short", lambda path: towns[["town"]].head(5).to_csv(path, index=False))
try:
    processor.run_pre_training_bias(
        data_config=DataConfig(
            s3_data_input_path=csv_uri, s3_output_path=f"s3://{BUCKET}/short-out", label="paid", headers=columns,
            dataset_type="text/csv", facet_dataset_uri=short),
        data_bias_config=BiasConfig(label_values_or_threshold=[1], facet_name="town", facet_values_or_threshold=["south"]),
        wait=True, logs=False)
    raise SystemExit("it did not fail")
except sagemaker.exceptions.UnexpectedStatusException:
    pass
newest = client.list_processing_jobs(SortBy="CreationTime", SortOrder="Descending", MaxResults=1)
failed = client.describe_processing_job(ProcessingJobName=newest["ProcessingJobSummaries"][0]["ProcessingJobName"])
assert "facet_dataset_uri has 5 rows, and the dataset 700" in failed["FailureReason"], failed
print("told")
