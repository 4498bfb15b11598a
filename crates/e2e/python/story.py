"""What every story told through boto3 needs: clients, waiters that poll every second, and requests spelled out once."""
import boto3
from botocore.exceptions import ClientError

sagemaker = boto3.client("sagemaker")
runtime = boto3.client("sagemaker-runtime")

ROLE = "arn:aws:iam::000000000000:role/captura-stories"
# The real waiters look every 30 s; a story has no time for that.
QUICK = {"Delay": 1, "MaxAttempts": 60}


def model(name, image="captura/echo", **container):
    return sagemaker.create_model(
        ModelName=name, PrimaryContainer={"Image": image, **container}, ExecutionRoleArn=ROLE
    )["ModelArn"]


def configuration(name, model_name, capture=None, **more):
    if capture is not None:
        more["DataCaptureConfig"] = capture
    return sagemaker.create_endpoint_config(
        EndpointConfigName=name,
        ProductionVariants=[
            {
                "VariantName": "AllTraffic",
                "ModelName": model_name,
                "InitialInstanceCount": 1,
                "InstanceType": "ml.m5.large",
                "InitialVariantWeight": 1.0,
            }
        ],
        **more,
    )["EndpointConfigArn"]


def full_capture(destination):
    return {
        "EnableCapture": True,
        "InitialSamplingPercentage": 100,
        "DestinationS3Uri": destination,
        "CaptureOptions": [{"CaptureMode": "Input"}, {"CaptureMode": "Output"}],
        "CaptureContentTypeHeader": {"CsvContentTypes": ["text/csv"], "JsonContentTypes": ["application/json"]},
    }


def wait_in_service(name):
    sagemaker.get_waiter("endpoint_in_service").wait(EndpointName=name, WaiterConfig=QUICK)


def refusal(call, **arguments):
    """Code and message of a call that must be refused."""
    try:
        answer = call(**arguments)
    except ClientError as error:
        return error.response["Error"]["Code"], error.response["Error"]["Message"]
    raise AssertionError(f"accepted: {arguments} -> {answer}")
