"""Copies a bucket into a folder: download.py BUCKET FOLDER. The store is the one that AWS_ENDPOINT_URL names."""

import pathlib
import sys

import boto3
from botocore.config import Config

bucket, folder = sys.argv[1], pathlib.Path(sys.argv[2])
addressing = Config(s3={"addressing_style": "path"}, retries={"max_attempts": 1})
s3 = boto3.client("s3", config=addressing)
objects = 0
for page in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, PaginationConfig={"PageSize": 3}):
    for entry in page.get("Contents", []):
        path = folder / entry["Key"]
        path.parent.mkdir(parents=True, exist_ok=True)
        s3.download_file(bucket, entry["Key"], str(path))
        assert path.stat().st_size == entry["Size"], entry
        objects += 1
assert objects > 0, f"the bucket {bucket} is empty"
print(f"{objects} objects")
