"""Calls an echo under full capture in every encoding, and writes down what was sent and answered.

Usage: capture.py OUT      one JSON line per call: eventId, contentType, request and response in base64, …
"""
import base64
import json
import sys

from story import configuration, full_capture, model, runtime, sagemaker, wait_in_service

CALLS = [
    dict(Body=b"1,2,3", ContentType="text/csv"),
    dict(Body=b" 5.1, 3.5 ,\"a \"\"quoted\"\" cell\"\n6,7,\n", ContentType="text/csv"),
    dict(Body="média,São Paulo,😀\r\n".encode(), ContentType="text/csv; charset=utf-8"),
    dict(Body=b"\xff\xfe not UTF-8 \x00", ContentType="text/csv"),
    dict(Body=b'{\n    "instances": [[1, 2.50, "\\u00e9\\/"]]\n}\n', ContentType="application/json"),
    dict(Body=bytes(range(256)), ContentType="application/octet-stream"),
    dict(Body=b"", ContentType="text/csv"),
    dict(Body=b"9", ContentType="text/csv", InferenceId="order-57", CustomAttributes="trace=abc"),
    dict(Body=b"7," * 100_000 + b"7", ContentType="text/csv"),
]

model("echo")
configuration("echo", "echo", full_capture("s3://captures/bytes/"))
sagemaker.create_endpoint(EndpointName="echo", EndpointConfigName="echo")
wait_in_service("echo")
with open(sys.argv[1], "w") as out:
    for call in CALLS:
        answer = runtime.invoke_endpoint(EndpointName="echo", **call)
        body = answer["Body"].read()
        line = {
            "eventId": answer["ResponseMetadata"]["HTTPHeaders"]["x-captura-event-id"],
            "capture": answer["ResponseMetadata"]["HTTPHeaders"]["x-captura-capture"],
            "contentType": call["ContentType"],
            "answeredContentType": answer["ContentType"],
            "inferenceId": call.get("InferenceId"),
            "customAttributes": call.get("CustomAttributes"),
            "request": base64.b64encode(call["Body"]).decode(),
            "response": base64.b64encode(body).decode(),
        }
        print(json.dumps(line), file=out)
