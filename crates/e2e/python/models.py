"""Models of several containers, and many models behind one endpoint. Usage: models.py MODEL.JSON ROW PREDICTION OTHER_ROW OTHER"""
import io
import sys
import tarfile

import boto3
from story import ROLE, configuration, full_capture, refusal, runtime, sagemaker, wait_in_service

MODEL, ROW, PREDICTION, OTHER_ROW, OTHER = sys.argv[1:]
s3 = boto3.client("s3")


def serve(name, **model):
    sagemaker.create_model(ModelName=name, ExecutionRoleArn=ROLE, **model)
    configuration(name, name, full_capture("s3://captures/models"))
    sagemaker.create_endpoint(EndpointName=name, EndpointConfigName=name)
    wait_in_service(name)


def invoke(name, body, **more):
    answer = runtime.invoke_endpoint(EndpointName=name, Body=body, ContentType="text/csv", Accept="text/csv", **more)
    return answer["Body"].read().decode().strip()


def same(one, other):
    assert float(one) == float(other), (one, other)


packed = io.BytesIO()
with tarfile.open(fileobj=packed, mode="w:gz") as archive:
    archive.add(MODEL, "model.json")
s3.create_bucket(Bucket="models")
s3.put_object(Bucket="models", Key="regions/north.tar.gz", Body=packed.getvalue())
s3.put_object(Bucket="models", Key="single/model.tar.gz", Body=packed.getvalue())

# A pipeline: what the first container answers is what the second is asked.
row = {"Image": "captura/echo", "Environment": {"CAPTURA_ECHO_RESPONSE": OTHER_ROW, "CAPTURA_ECHO_CONTENT_TYPE": "text/csv"}}
score = {
    "Image": "captura/trees",
    "ModelDataSource": {
        "S3DataSource": {"S3Uri": "s3://models/single/model.tar.gz", "S3DataType": "S3Object", "CompressionType": "Gzip"}
    },
}
serve("pipeline", Containers=[row, score])
same(invoke("pipeline", ROW), OTHER)
told = sagemaker.describe_model(ModelName="pipeline")
assert [one["ContainerHostname"] for one in told["Containers"]] == ["container-1", "container-2"], told
[variant] = sagemaker.describe_endpoint(EndpointName="pipeline")["ProductionVariants"]
assert [one["SpecifiedImage"] for one in variant["DeployedImages"]] == ["captura/echo", "captura/trees"], variant

# What goes wrong names the container.
broken = dict(row, Environment={"CAPTURA_ECHO_RESPONSE": "a,b", "CAPTURA_ECHO_CONTENT_TYPE": "text/csv"}, ContainerHostname="clean")
serve("broken", Containers=[broken, dict(score, ContainerHostname="score")])
code, message = refusal(invoke, name="broken", body=ROW)
assert code == "ModelError" and message.startswith("Received client error (400) from score with message"), (code, message)

# Containers that are called directly.
serve("direct", Containers=[dict(row, ContainerHostname="clean"), dict(score, ContainerHostname="score")], InferenceExecutionConfig={"Mode": "Direct"})
same(invoke("direct", ROW, TargetContainerHostname="score"), PREDICTION)
assert invoke("direct", ROW, TargetContainerHostname="clean") == OTHER_ROW
for arguments in [{}, {"TargetContainerHostname": "other"}]:
    code, message = refusal(invoke, name="direct", body=ROW, **arguments)
    assert code == "ValidationError", (code, message)

# Many models: those that are there, one that comes later, and none outside of the prefix.
serve("many", PrimaryContainer={"Image": "captura/trees", "Mode": "MultiModel", "ModelDataUrl": "s3://models/regions/"})
same(invoke("many", ROW, TargetModel="north.tar.gz"), PREDICTION)
code, message = refusal(invoke, name="many", body=ROW, TargetModel="south/model.json")
assert code == "ValidationError", (code, message)
assert message.startswith("Failed to download model data(bucket: models, key: regions/south/model.json). Please ensure"), message
s3.upload_file(MODEL, "models", "regions/south/model.json")
same(invoke("many", OTHER_ROW, TargetModel="south/model.json"), OTHER)
for arguments in [{}, {"TargetModel": "../single/model.tar.gz"}, {"TargetModel": "/regions/north.tar.gz"}]:
    code, message = refusal(invoke, name="many", body=ROW, **arguments)
    assert code == "ValidationError", (code, message)
code, message = refusal(invoke, name="pipeline", body=ROW, TargetModel="north.tar.gz")
assert message == "Endpoint pipeline is not a multi-model endpoint and does not support target model header.", message
