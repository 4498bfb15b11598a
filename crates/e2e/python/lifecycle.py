"""An endpoint's whole life as a notebook written for AWS lives it. Usage: lifecycle.py"""
from story import configuration, full_capture, model, refusal, runtime, sagemaker, wait_in_service, QUICK

ACCOUNT = "arn:aws:sagemaker:us-east-1:000000000000"

# Creation gives ARNs, and the same name twice is refused in AWS's words.
assert model("churn") == f"{ACCOUNT}:model/churn"
code, message = refusal(
    sagemaker.create_model, ModelName="churn", PrimaryContainer={"Image": "captura/echo"}, ExecutionRoleArn="arn:aws:iam::000000000000:role/x"
)
assert (code, "Cannot create already existing model" in message) == ("ValidationException", True), (code, message)
assert configuration("churn-1", "churn", full_capture("s3://captures/lifecycle")) == f"{ACCOUNT}:endpoint-config/churn-1"
configuration("churn-2", "churn")

answer = sagemaker.create_endpoint(EndpointName="churn", EndpointConfigName="churn-1", Tags=[{"Key": "team", "Value": "risk"}])
assert answer["EndpointArn"] == f"{ACCOUNT}:endpoint/churn", answer
wait_in_service("churn")

# What is described is what was asked for.
seen = sagemaker.describe_endpoint(EndpointName="churn")
assert seen["EndpointStatus"] == "InService" and seen["EndpointConfigName"] == "churn-1", seen
assert seen["DataCaptureConfig"]["EnableCapture"] is True, seen
assert seen["DataCaptureConfig"]["CaptureStatus"] == "Started", seen
assert seen["DataCaptureConfig"]["CurrentSamplingPercentage"] == 100, seen
assert seen["DataCaptureConfig"]["DestinationS3Uri"] == "s3://captures/lifecycle", seen
assert [one["VariantName"] for one in seen["ProductionVariants"]] == ["AllTraffic"], seen
kept = sagemaker.describe_endpoint_config(EndpointConfigName="churn-1")
assert kept["DataCaptureConfig"] == full_capture("s3://captures/lifecycle"), kept
assert sagemaker.describe_model(ModelName="churn")["PrimaryContainer"]["Image"] == "captura/echo"

# An invocation answers, names its variant, and says what became of its capture.
answer = runtime.invoke_endpoint(EndpointName="churn", Body=b"1,2,3\n", ContentType="text/csv")
assert answer["Body"].read() == b"1,2,3\n"
assert answer["InvokedProductionVariant"] == "AllTraffic", answer
headers = answer["ResponseMetadata"]["HTTPHeaders"]
assert headers["x-captura-capture"].split(";")[0] == "written", headers
assert headers["x-amzn-requestid"] and headers["x-captura-event-id"], headers
code, message = refusal(runtime.invoke_endpoint, EndpointName="nobody", Body=b"1", ContentType="text/csv")
assert code in ("ValidationError", "ValidationException"), (code, message)

# An update switches; the old configuration may then go.
sagemaker.update_endpoint(EndpointName="churn", EndpointConfigName="churn-2")
wait_in_service("churn")
assert sagemaker.describe_endpoint(EndpointName="churn")["EndpointConfigName"] == "churn-2"
answer = runtime.invoke_endpoint(EndpointName="churn", Body=b"4", ContentType="text/csv")
capture = answer["ResponseMetadata"]["HTTPHeaders"].get("x-captura-capture", "")
assert not capture.startswith(("written", "durable")), capture
sagemaker.delete_endpoint_config(EndpointConfigName="churn-1")

# Weights and counts change in place.
answer = sagemaker.update_endpoint_weights_and_capacities(
    EndpointName="churn",
    DesiredWeightsAndCapacities=[{"VariantName": "AllTraffic", "DesiredWeight": 0.25, "DesiredInstanceCount": 2}],
)
assert answer["EndpointArn"] == f"{ACCOUNT}:endpoint/churn", answer
wait_in_service("churn")
[variant] = sagemaker.describe_endpoint(EndpointName="churn")["ProductionVariants"]
assert (variant["CurrentWeight"], variant["CurrentInstanceCount"], variant["DesiredInstanceCount"]) == (0.25, 2, 2), variant
code, message = refusal(
    sagemaker.update_endpoint_weights_and_capacities,
    EndpointName="churn",
    DesiredWeightsAndCapacities=[{"VariantName": "Nobody", "DesiredWeight": 1.0}],
)
assert code == "ValidationException" and "Nobody" in message, (code, message)

# Lists page, and every page but the last names the next.
for number in range(5):
    model(f"page-{number}")
pages = sagemaker.get_paginator("list_models").paginate(NameContains="page-", SortBy="Name", SortOrder="Ascending", PaginationConfig={"PageSize": 2})
pages = [[one["ModelName"] for one in page["Models"]] for page in pages]
assert [len(page) for page in pages] == [2, 2, 1] and sum(pages, []) == [f"page-{n}" for n in range(5)], pages
assert [one["EndpointName"] for one in sagemaker.list_endpoints(StatusEquals="InService")["Endpoints"]] == ["churn"]
assert [one["EndpointConfigName"] for one in sagemaker.list_endpoint_configs()["EndpointConfigs"]] == ["churn-2"]

# Tags come and go.
arn = f"{ACCOUNT}:endpoint/churn"
sagemaker.add_tags(ResourceArn=arn, Tags=[{"Key": "stage", "Value": "test"}])
assert {tag["Key"]: tag["Value"] for tag in sagemaker.list_tags(ResourceArn=arn)["Tags"]} == {"team": "risk", "stage": "test"}
sagemaker.delete_tags(ResourceArn=arn, TagKeys=["team"])
assert sagemaker.list_tags(ResourceArn=arn)["Tags"] == [{"Key": "stage", "Value": "test"}]

# A deleted endpoint is gone, in the words that waiters look for.
sagemaker.delete_endpoint(EndpointName="churn")
sagemaker.get_waiter("endpoint_deleted").wait(EndpointName="churn", WaiterConfig=QUICK)
code, message = refusal(sagemaker.describe_endpoint, EndpointName="churn")
assert (code, message) == ("ValidationException", f'Could not find endpoint "{arn}".'), (code, message)
sagemaker.delete_endpoint_config(EndpointConfigName="churn-2")
sagemaker.delete_model(ModelName="churn")
code, message = refusal(sagemaker.describe_model, ModelName="churn")
assert code == "ValidationException" and "Could not find model" in message, (code, message)
print("told")
