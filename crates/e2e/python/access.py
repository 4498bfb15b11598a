"""Keys that count. Usage: access.py LIMITED_ID LIMITED_SECRET, with a key that may do everything in the environment."""
import os
import sys

import boto3
from story import configuration, full_capture, model, refusal, runtime, sagemaker, wait_in_service

LIMITED = sys.argv[1], sys.argv[2]
ID, SECRET = os.environ["AWS_ACCESS_KEY_ID"], os.environ["AWS_SECRET_ACCESS_KEY"]


def client(service, key, secret, token=None):
    return boto3.client(service, aws_access_key_id=key, aws_secret_access_key=secret, aws_session_token=token)


# The right key does everything, and is who its consumer is.
model("signed")
configuration("signed", "signed", full_capture("s3://captures/signed"))
sagemaker.create_endpoint(EndpointName="signed", EndpointConfigName="signed")
wait_in_service("signed")
answer = runtime.invoke_endpoint(
    EndpointName="signed", Body=b"1,2,3", ContentType="text/csv", CustomAttributes="a  b", InferenceId="order 57"
)
assert answer["Body"].read() == b"1,2,3", answer
identity = boto3.client("sts").get_caller_identity()
assert identity["Account"] == "000000000000", identity
assert identity["Arn"] == "arn:aws:iam::000000000000:user/notebook", identity
assert identity["UserId"] == ID, identity

# A wrong secret, an unknown key and a token that nobody gave out are told in each service's own words.
invocation = {"EndpointName": "signed", "Body": b"1", "ContentType": "text/csv"}
for key, secret, token, json, query in [
    (ID, "wrong", None, "InvalidSignatureException", "SignatureDoesNotMatch"),
    ("AKIANOBODYNOBODYNOBO", SECRET, None, "UnrecognizedClientException", "InvalidClientTokenId"),
    (ID, SECRET, "token", "UnrecognizedClientException", "InvalidClientTokenId"),
]:
    code, message = refusal(client("sagemaker", key, secret, token).list_endpoints)
    assert code == json and message, (code, message)
    code, message = refusal(client("sagemaker-runtime", key, secret, token).invoke_endpoint, **invocation)
    assert code == json and message, (code, message)
    code, message = refusal(client("sts", key, secret, token).get_caller_identity)
    assert code == query and message, (code, message)

# A limited key invokes its endpoint, knows itself, and does nothing else.
app = client("sagemaker-runtime", *LIMITED)
assert app.invoke_endpoint(**invocation)["Body"].read() == b"1"
assert client("sts", *LIMITED).get_caller_identity()["Arn"].endswith(":user/app")
code, message = refusal(app.invoke_endpoint, **{**invocation, "EndpointName": "other"})
assert code == "AccessDeniedException", code
assert message == (
    "User: arn:aws:iam::000000000000:user/app is not authorized to perform: sagemaker:InvokeEndpoint on resource: "
    "arn:aws:sagemaker:us-east-1:000000000000:endpoint/other because no identity-based policy allows the "
    "sagemaker:InvokeEndpoint action"
), message
limited = client("sagemaker", *LIMITED)
for call, arguments in [
    (limited.list_endpoints, {}),
    (limited.describe_endpoint, {"EndpointName": "signed"}),
    (limited.delete_endpoint, {"EndpointName": "signed"}),
    (limited.add_tags, {"ResourceArn": "arn:aws:sagemaker:us-east-1:000000000000:endpoint/signed", "Tags": [{"Key": "a", "Value": "b"}]}),
]:
    code, message = refusal(call, **arguments)
    assert code == "AccessDeniedException" and "arn:aws:iam::000000000000:user/app" in message, (code, message)
assert sagemaker.describe_endpoint(EndpointName="signed")["EndpointStatus"] == "InService"
