"""A call through the SDK. Usage: callers.py ENDPOINT, with the key of a consumer in the environment."""
import sys

from story import runtime

answer = runtime.invoke_endpoint(EndpointName=sys.argv[1], Body=b"1,2,3", ContentType="text/csv")
assert answer["Body"].read() == b"1,2,3", answer
