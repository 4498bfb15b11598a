"""A model that cannot load makes an endpoint Failed with a reason that names the artefact. Usage: failure.py FILE_URL"""
import sys

from botocore.exceptions import WaiterError

from story import configuration, model, refusal, runtime, sagemaker, wait_in_service

model("broken", image="captura/trees", ModelDataUrl=sys.argv[1])
configuration("broken", "broken")
sagemaker.create_endpoint(EndpointName="broken", EndpointConfigName="broken")
try:
    wait_in_service("broken")
except WaiterError as error:
    print(error)
else:
    raise AssertionError("an endpoint with a broken model went into service")
seen = sagemaker.describe_endpoint(EndpointName="broken")
assert seen["EndpointStatus"] == "Failed", seen
assert len(seen["FailureReason"]) > 20, seen
print(seen["FailureReason"])
code, message = refusal(runtime.invoke_endpoint, EndpointName="broken", Body=b"1", ContentType="text/csv")
assert code in ("ValidationError", "ValidationException", "ModelNotReadyException"), (code, message)
sagemaker.delete_endpoint(EndpointName="broken")
