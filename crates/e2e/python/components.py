"""Two inference components that share an endpoint: deployed, called, scaled and deleted as the SageMaker SDK does it."""
import time

from story import QUICK, ROLE, full_capture, refusal, runtime, sagemaker, wait_in_service


def described(name):
    return sagemaker.describe_inference_component(InferenceComponentName=name)


def wait_for_component(name):
    for _ in range(QUICK["MaxAttempts"]):
        told = described(name)
        if told["InferenceComponentStatus"] not in ("Creating", "Updating"):
            assert told["InferenceComponentStatus"] == "InService", told
            return told
        time.sleep(0.2)
    raise AssertionError(told)


def invoke(component, body):
    answer = runtime.invoke_endpoint(
        EndpointName="shared", InferenceComponentName=component, Body=body, ContentType="text/csv"
    )
    return answer["Body"].read()


sagemaker.create_endpoint_config(
    EndpointConfigName="shared",
    ExecutionRoleArn=ROLE,
    ProductionVariants=[{"VariantName": "AllTraffic", "InstanceType": "ml.m5.large", "InitialInstanceCount": 1}],
    DataCaptureConfig=full_capture("s3://captures/components"),
)
sagemaker.create_endpoint(EndpointName="shared", EndpointConfigName="shared")
wait_in_service("shared")
sagemaker.create_model(ModelName="echo", PrimaryContainer={"Image": "captura/echo"}, ExecutionRoleArn=ROLE)
resources = {"NumberOfCpuCoresRequired": 1, "MinMemoryRequiredInMb": 256}
specifications = {
    "plain": {"ModelName": "echo", "ComputeResourceRequirements": resources},
    "fixed": {
        "Container": {"Image": "captura/echo", "Environment": {"CAPTURA_ECHO_RESPONSE": "7"}},
        "ComputeResourceRequirements": resources,
    },
}
for name, specification in specifications.items():
    created = sagemaker.create_inference_component(
        InferenceComponentName=name,
        EndpointName="shared",
        VariantName="AllTraffic",
        Specification=specification,
        RuntimeConfig={"CopyCount": 1},
    )
    assert created["InferenceComponentArn"].endswith(f":inference-component/{name}"), created
for name in specifications:
    wait_for_component(name)

assert invoke("plain", b"1,2") == b"1,2"
assert invoke("fixed", b"1,2") == b"7"
code, message = refusal(runtime.invoke_endpoint, EndpointName="shared", Body=b"1", ContentType="text/csv")
assert code == "ValidationError" and message.startswith("Inference Component Name header is required"), message

sagemaker.update_inference_component_runtime_config(
    InferenceComponentName="plain", DesiredRuntimeConfig={"CopyCount": 3}
)
assert wait_for_component("plain")["RuntimeConfig"] == {"DesiredCopyCount": 3, "CurrentCopyCount": 3}
# Another specification replaces the copies, and the name stays.
specification = dict(specifications["fixed"], Container={"Image": "captura/echo", "Environment": {"CAPTURA_ECHO_RESPONSE": "8"}})
updated = sagemaker.update_inference_component(InferenceComponentName="fixed", Specification=specification)
assert updated["InferenceComponentArn"].endswith(":inference-component/fixed"), updated
wait_for_component("fixed")
assert invoke("fixed", b"1,2") == b"8"
assert described("fixed")["Specification"]["Container"]["Environment"] == {"CAPTURA_ECHO_RESPONSE": "8"}
listed = sagemaker.get_paginator("list_inference_components").paginate(
    EndpointNameEquals="shared", SortBy="Name", SortOrder="Ascending", PaginationConfig={"PageSize": 1}
)
assert [one["InferenceComponentName"] for page in listed for one in page["InferenceComponents"]] == ["fixed", "plain"]

code, message = refusal(sagemaker.delete_endpoint, EndpointName="shared")
assert code == "ValidationException" and "inference components" in message, message
for name in specifications:
    sagemaker.delete_inference_component(InferenceComponentName=name)
for name in specifications:
    for _ in range(QUICK["MaxAttempts"]):
        try:
            described(name)
        except sagemaker.exceptions.ClientError as error:
            assert "Could not find" in str(error), error
            break
        time.sleep(0.2)
sagemaker.delete_endpoint(EndpointName="shared")
sagemaker.get_waiter("endpoint_deleted").wait(EndpointName="shared", WaiterConfig=QUICK)
