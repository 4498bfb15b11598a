"""An XGBoost model behind a Clarify explainer, through boto3. Usage: explaining.py MODEL.JSON PATIENTS.CSV"""
import io
import json
import sys
import tarfile

import boto3
from story import ROLE, full_capture, refusal, runtime, sagemaker, wait_in_service

MODEL, PATIENTS = sys.argv[1:]
IMAGE = "683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-xgboost:1.7-1"
s3 = boto3.client("s3")
features, *rows = open(PATIENTS).read().splitlines()
features = features.split(",")
baseline, rows = rows[:3], rows[3:]

packed = io.BytesIO()
with tarfile.open(fileobj=packed, mode="w:gz") as archive:
    archive.add(MODEL, "xgboost-model")
s3.create_bucket(Bucket="models")
s3.put_object(Bucket="models", Key="one/model.tar.gz", Body=packed.getvalue())
s3.put_object(Bucket="models", Key="baseline.csv", Body="\n".join(baseline).encode())
sagemaker.create_model(
    ModelName="one", ExecutionRoleArn=ROLE, PrimaryContainer={"Image": IMAGE, "ModelDataUrl": "s3://models/one/model.tar.gz"}
)
sagemaker.create_model(
    ModelName="many", ExecutionRoleArn=ROLE, PrimaryContainer={"Image": IMAGE, "Mode": "MultiModel", "ModelDataUrl": "s3://models/one/"}
)


def clarify(shap_baseline, inference=None, shap=None, **more):
    config = dict(more, ShapConfig={"ShapBaselineConfig": shap_baseline, **(shap or {})})
    if inference:
        config["InferenceConfig"] = inference
    return {"ClarifyExplainerConfig": config}


def configure(name, model, explainer):
    return sagemaker.create_endpoint_config(
        EndpointConfigName=name,
        ProductionVariants=[{"VariantName": "AllTraffic", "ModelName": model, "InitialInstanceCount": 1, "InstanceType": "ml.m5.xlarge"}],
        DataCaptureConfig=full_capture("s3://captures/explained"),
        ExplainerConfig=explainer,
    )


def serve(name, model, explainer):
    configure(name, model, explainer)
    sagemaker.create_endpoint(EndpointName=name, EndpointConfigName=name)
    wait_in_service(name)


def invoke(name, body, **more):
    answer = runtime.invoke_endpoint(EndpointName=name, ContentType="text/csv", Accept="text/csv", Body=body, **more)
    assert answer["ContentType"] == "application/json", answer
    return json.loads(answer["Body"].read())


def predictions(answer):
    return [float(line) for line in answer["predictions"]["data"].split()]


# Explained by default. What the features add is what lies between the baseline's mean and the prediction.
config = clarify({"ShapBaseline": "\n".join(baseline)}, {"FeatureHeaders": features, "LabelHeaders": ["progression"]})
serve("explained", "one", config)
assert sagemaker.describe_endpoint(EndpointName="explained")["ExplainerConfig"] == config
assert sagemaker.describe_endpoint_config(EndpointConfigName="explained")["ExplainerConfig"] == config
answer = invoke("explained", "\n".join(rows[:2]))
assert list(answer) == ["version", "predictions", "label_headers", "explanations"], answer
assert answer["version"] == "1.0" and answer["predictions"]["content_type"] == "text/csv; charset=utf-8", answer
assert answer["label_headers"] == ["progression"], answer

nothing = invoke("explained", "\n".join(baseline), EnableExplanations="`false`")
assert nothing["explanations"] == {}, nothing
expected = sum(predictions(nothing)) / len(baseline)
for record, prediction in zip(answer["explanations"]["kernel_shap"], predictions(answer)):
    assert [one["feature_header"] for one in record] == features, record
    added = [one["attributions"][0]["attribution"][0] for one in record]
    assert abs(expected + sum(added) - prediction) < 1e-6, (expected, added, prediction)
    assert any(abs(one) > 1 for one in added), added

# Which records are explained, a call may say for itself.
both = sorted(predictions(answer))
some = invoke("explained", "\n".join(rows[:2]), EnableExplanations=f"[0]>`{sum(both) / 2}`")
explained = [record is not None for record in some["explanations"]["kernel_shap"]]
assert explained == [one == both[1] for one in predictions(some)], some
for expression, words in [("[0", "EnableExplanations is not a JMESPath expression"), ("[0]", "finds a number")]:
    code, message = refusal(invoke, name="explained", body=rows[0], EnableExplanations=expression)
    assert code == "ModelError" and message.startswith("Received client error (400)") and words in message, (code, message)
code, message = refusal(invoke, name="explained", body="1,2,3")
assert code == "ModelError" and "the records have 3 features, but the SHAP baseline has 10" in message, (code, message)
code, message = refusal(
    runtime.invoke_endpoint_with_response_stream, EndpointName="explained", ContentType="text/csv", Body=rows[0]
)
assert code == "ValidationError" and "InvokeEndpointWithResponseStream" in message, (code, message)

# One of many models, with a baseline out of a bucket, and only when a call asks for it.
serve("many", "many", clarify({"ShapBaselineUri": "s3://models/baseline.csv"}, EnableExplanations="`false`"))
assert invoke("many", rows[0], TargetModel="model.tar.gz")["explanations"] == {}
asked = invoke("many", rows[0], TargetModel="model.tar.gz", EnableExplanations="`true`")
one, other = asked["explanations"]["kernel_shap"][0], answer["explanations"]["kernel_shap"][0]
assert [feature["attributions"] for feature in one] == [feature["attributions"] for feature in other], asked
assert list(one[0]) == ["attributions"], one

# What cannot be explained is said where it is asked for.
text = {"TextConfig": {"Language": "fr", "Granularity": "token"}}
code, message = refusal(configure, name="text", model="one", explainer=clarify({"ShapBaseline": "x"}, shap=text))
assert code == "ValidationException" and "TextConfig has Language fr, whose texts captura cannot cut" in message, (code, message)
configure("absent", "one", clarify({"ShapBaselineUri": "s3://models/absent.csv"}))
sagemaker.create_endpoint(EndpointName="absent", EndpointConfigName="absent")
try:
    wait_in_service("absent")
except Exception:
    described = sagemaker.describe_endpoint(EndpointName="absent")
    assert described["EndpointStatus"] == "Failed", described
    assert "ShapBaselineUri names no object: s3://models/absent.csv" in described["FailureReason"], described
else:
    raise AssertionError("an endpoint without its baseline is in service")
print("told")
