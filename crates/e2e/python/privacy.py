"""Calls about people, through the SDK: rules take their data out of what is captured, and nothing out of the answers.

Usage: privacy.py PERSON CALLS      how many calls about that person, and as many about somebody else
"""
import sys

from story import configuration, full_capture, model, runtime, sagemaker, wait_in_service

person, calls = sys.argv[1], int(sys.argv[2])
model("people")
configuration("people", "people", full_capture("s3://captures/people"))
sagemaker.create_endpoint(EndpointName="people", EndpointConfigName="people")
wait_in_service("people")

for number in range(calls):
    for who in (person, "somebody-else"):
        row = f"{who},{who}@example.org,{number},31".encode()
        answer = runtime.invoke_endpoint(
            EndpointName="people",
            Body=row,
            ContentType="text/csv",
            InferenceId=f"{number}-{who}",
            CustomAttributes=f"who={who}",
        )
        assert answer["Body"].read() == row, "the model and its caller see everything"

# A body that rules cannot be applied to is answered all the same, and not kept.
broken = f'{person},"{person}'.encode()
answer = runtime.invoke_endpoint(EndpointName="people", Body=broken, ContentType="text/csv")
assert answer["Body"].read() == broken
