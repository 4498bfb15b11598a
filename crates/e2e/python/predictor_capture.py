"""Data capture switched on, changed and switched off through the SDK's Predictor; the endpoint serves all the while."""
import boto3
import sagemaker
from sagemaker.deserializers import StringDeserializer
from sagemaker.model_monitor import DataCaptureConfig
from sagemaker.predictor import Predictor
from sagemaker.serializers import CSVSerializer

from story import configuration, full_capture, model, wait_in_service

BUCKET = "sagemaker-us-east-1-000000000000"
client = boto3.client("sagemaker")
session = sagemaker.Session(default_bucket=BUCKET)
model("churn")
configuration("churn", "churn")
client.create_endpoint(EndpointName="churn", EndpointConfigName="churn", Tags=[{"Key": "team", "Value": "risk"}])
wait_in_service("churn")
predictor = Predictor("churn", sagemaker_session=session, serializer=CSVSerializer(), deserializer=StringDeserializer())


def described():
    return client.describe_endpoint(EndpointName="churn").get("DataCaptureConfig")


assert predictor.predict("1,2") == "1,2"
assert not (described() or {}).get("EnableCapture"), described()

predictor.enable_data_capture()
seen = described()
assert seen["CaptureStatus"] == "Started" and seen["CurrentSamplingPercentage"] == 20, seen
assert seen["DestinationS3Uri"] == f"s3://{BUCKET}/model-monitor/data-capture", seen

predictor.update_data_capture_config(
    DataCaptureConfig(enable_capture=True, sampling_percentage=100, destination_s3_uri="s3://captures/predictor", sagemaker_session=session)
)
seen = described()
assert seen["CurrentSamplingPercentage"] == 100 and seen["DestinationS3Uri"] == "s3://captures/predictor", seen
assert predictor.predict("3,4") == "3,4"

predictor.disable_data_capture()
seen = described()
assert seen["EnableCapture"] is False and seen["CaptureStatus"] == "Stopped", seen
assert predictor.predict("5,6") == "5,6"

# Each change made a configuration of its own, and each of them can be put into service again.
names = [one["EndpointConfigName"] for one in client.list_endpoint_configs()["EndpointConfigs"]]
assert len(names) == 4, names
predictor.delete_model()
predictor.delete_endpoint()
print("told")
