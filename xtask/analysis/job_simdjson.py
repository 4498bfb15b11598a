"""job_simdjson.py CAPTURES: parses every line with simdjson and fetches both bodies, and nothing else."""

import sys

import simdjson

parser, size, count = simdjson.Parser(), 0, 0
with open(sys.argv[1], "rb") as lines:
    for line in lines:
        data = parser.parse(line)["captureData"]
        size += len(data["endpointInput"]["data"]) + len(data["endpointOutput"]["data"])
        count += 1
        del data
print(f"{count} records, {size} bytes of bodies")
