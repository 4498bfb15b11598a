"""Reads streamed answers through the SDK's own event-stream decoder: pieces, errors before the first byte, and nothing lost.

Usage: streaming.py OUT      one JSON line per call that was answered: eventId, request and response in base64
"""
import base64
import json
import sys
import time

from botocore.exceptions import ClientError

from story import configuration, full_capture, model, runtime, sagemaker, wait_in_service

for name, environment in {
    "lines": {"CAPTURA_ECHO_PIECE_DELAY_MS": "100"},
    "whole": {},
    "failing": {"CAPTURA_ECHO_STATUS": "400"},
}.items():
    model(name, Environment=environment)
    configuration(name, name, full_capture("s3://captures/streams"))
    sagemaker.create_endpoint(EndpointName=name, EndpointConfigName=name)
for name in ("lines", "whole", "failing"):
    wait_in_service(name)


def stream(endpoint, body):
    """The answer, and its pieces with the time of their arrival."""
    answer = runtime.invoke_endpoint_with_response_stream(
        EndpointName=endpoint, Body=body, ContentType="text/csv", Accept="text/csv", InferenceId="order-57"
    )
    assert answer["ContentType"] == "text/csv", answer
    assert answer["InvokedProductionVariant"] == "AllTraffic", answer
    pieces = [(event["PayloadPart"]["Bytes"], time.monotonic()) for event in answer["Body"]]
    return answer, pieces


with open(sys.argv[1], "w") as out:
    large = b"x" * 3_000_000
    for endpoint, body, expected in [
        ("lines", b"one\ntwo\nthree", [b"one\n", b"two\n", b"three"]),
        ("whole", b"1,2,3", [b"1,2,3"]),
        ("whole", large, [large[:1_048_576], large[:1_048_576], large[: 3_000_000 - 2 * 1_048_576]]),
    ]:
        answer, pieces = stream(endpoint, body)
        assert [piece for piece, _ in pieces] == expected, [len(piece) for piece, _ in pieces]
        if endpoint == "lines":
            apart = pieces[-1][1] - pieces[0][1]
            assert apart > 0.1, f"all pieces came at once, within {apart} s"
        line = {
            "eventId": answer["ResponseMetadata"]["HTTPHeaders"]["x-captura-event-id"],
            "request": base64.b64encode(body).decode(),
            "response": base64.b64encode(b"".join(expected)).decode(),
        }
        print(json.dumps(line), file=out)

try:
    stream("failing", b"no")
    raise AssertionError("a model that fails was streamed")
except ClientError as error:
    assert error.response["Error"]["Code"] == "ModelError", error.response
    assert error.response["OriginalStatusCode"] == 400, error.response
