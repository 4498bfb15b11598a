"""S3 as boto3, a plain HTTP client and awscli use it: every promise about buckets that a client can see.

Usage: buckets.py FOLDER      a folder for files of its own
"""
import hashlib
import io
import os
import subprocess
import sys
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor

import boto3
from boto3.s3.transfer import TransferConfig
from botocore.config import Config

from story import refusal

folder = sys.argv[1]
s3 = boto3.client("s3", config=Config(signature_version="s3v4"))
BUCKET = "sagemaker-us-east-1-000000000000"


def http(method, url, body=None, headers=()):
    request = urllib.request.Request(url, data=body, method=method, headers=dict(headers))
    try:
        with urllib.request.urlopen(request) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


def keys(**query):
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket=BUCKET, **query)
    return [line["Key"] for page in pages for line in page.get("Contents", [])]


# The steps of the SageMaker SDK's default_bucket(): look, be told 404, make it.
assert s3.list_buckets()["Buckets"] == []
assert refusal(s3.head_bucket, Bucket=BUCKET) == ("404", "Not Found")
s3.create_bucket(Bucket=BUCKET)
s3.put_object(Bucket=BUCKET, Key="prefix/")
assert s3.head_object(Bucket=BUCKET, Key="prefix/")["ContentLength"] == 0
assert keys(Prefix="prefix") == ["prefix/"]
s3.delete_object(Bucket=BUCKET, Key="prefix/")
assert keys(Prefix="prefix") == []
told = s3.head_bucket(Bucket=BUCKET)["ResponseMetadata"]
assert len(told["RequestId"]) == 36, told
assert [bucket["Name"] for bucket in s3.list_buckets()["Buckets"]] == [BUCKET]
assert s3.get_bucket_location(Bucket=BUCKET)["LocationConstraint"] is None

# Whole objects, with everything that is told of them.
told = s3.put_object(
    Bucket=BUCKET, Key="a/b c/é🦀.csv", Body=b"1,2\n", ContentType="text/csv", Metadata={"who": "me"}, Tagging="x=1"
)
assert told["ETag"] == f'"{hashlib.md5(b"1,2" + bytes([10])).hexdigest()}"', told
told = s3.get_object(Bucket=BUCKET, Key="a/b c/é🦀.csv")
assert (told["Body"].read(), told["ContentType"], told["Metadata"]) == (b"1,2\n", "text/csv", {"who": "me"})
assert s3.get_object_tagging(Bucket=BUCKET, Key="a/b c/é🦀.csv")["TagSet"] == [{"Key": "x", "Value": "1"}]
s3.put_object_tagging(Bucket=BUCKET, Key="a/b c/é🦀.csv", Tagging={"TagSet": [{"Key": "y", "Value": "<2>"}]})
assert s3.get_object_tagging(Bucket=BUCKET, Key="a/b c/é🦀.csv")["TagSet"] == [{"Key": "y", "Value": "<2>"}]
assert s3.get_object(Bucket=BUCKET, Key="a/b c/é🦀.csv")["TagCount"] == 1
s3.delete_object_tagging(Bucket=BUCKET, Key="a/b c/é🦀.csv")
assert s3.get_object_tagging(Bucket=BUCKET, Key="a/b c/é🦀.csv")["TagSet"] == []
for algorithm in ["CRC32", "CRC32C", "SHA1", "SHA256"]:
    try:
        s3.put_object(Bucket=BUCKET, Key="sum", Body=b"x", ChecksumAlgorithm=algorithm)
    except Exception as error:  # CRC32C needs a library that need not be there.
        assert algorithm == "CRC32C" and "crt" in str(error).lower(), error
        continue
    head = s3.head_object(Bucket=BUCKET, Key="sum", ChecksumMode="ENABLED")
    assert f"Checksum{algorithm}" in head, head

# Objects in parts, with the checksums that boto3 sends unasked, and ranges of them.
large = os.urandom(17 << 20)
path = os.path.join(folder, "large.bin")
with open(path, "wb") as file:
    file.write(large)
s3.upload_file(path, BUCKET, "large.bin", Config=TransferConfig(multipart_chunksize=8 << 20))
head = s3.head_object(Bucket=BUCKET, Key="large.bin")
parts = [hashlib.md5(large[start : start + (8 << 20)]).digest() for start in range(0, len(large), 8 << 20)]
assert head["ETag"] == f'"{hashlib.md5(b"".join(parts)).hexdigest()}-3"', head
back = io.BytesIO()
s3.download_fileobj(BUCKET, "large.bin", back)
assert back.getvalue() == large
part = s3.get_object(Bucket=BUCKET, Key="large.bin", Range="bytes=8388600-8388615")
assert part["Body"].read() == large[8388600:8388616] and part["ContentRange"] == f"bytes 8388600-8388615/{len(large)}"
s3.copy({"Bucket": BUCKET, "Key": "large.bin"}, BUCKET, "copied.bin", Config=TransferConfig(multipart_threshold=8 << 20))
assert s3.get_object(Bucket=BUCKET, Key="copied.bin")["Body"].read() == large
upload = s3.create_multipart_upload(Bucket=BUCKET, Key="never")["UploadId"]
assert [line["UploadId"] for line in s3.list_multipart_uploads(Bucket=BUCKET)["Uploads"]] == [upload]
s3.abort_multipart_upload(Bucket=BUCKET, Key="never", UploadId=upload)
assert refusal(s3.list_parts, Bucket=BUCKET, Key="never", UploadId=upload)[0] == "NoSuchUpload"

# Conditions.
assert refusal(s3.put_object, Bucket=BUCKET, Key="sum", Body=b"", IfNoneMatch="*")[0] == "PreconditionFailed"
with ThreadPoolExecutor(8) as pool:
    outcomes = list(
        pool.map(
            lambda n: http(
                "PUT",
                s3.generate_presigned_url("put_object", Params={"Bucket": BUCKET, "Key": "one", "IfNoneMatch": "*"}),
                str(n).encode(),
                [("If-None-Match", "*")],
            )[0],
            range(8),
        )
    )
assert sorted(outcomes) == [200] + [412] * 7, outcomes

# Presigned addresses, in both versions, and no signature at all.
url = s3.generate_presigned_url("put_object", Params={"Bucket": BUCKET, "Key": "signed/ü x"})
assert http("PUT", url, b"signed")[0] == 200
assert http("GET", s3.generate_presigned_url("get_object", Params={"Bucket": BUCKET, "Key": "signed/ü x"}))[1] == b"signed"
older = boto3.client("s3", config=Config(signature_version="s3"))
assert http("GET", older.generate_presigned_url("get_object", Params={"Bucket": BUCKET, "Key": "sum"})) == (200, b"x")
endpoint = os.environ["AWS_ENDPOINT_URL"]
assert http("GET", f"{endpoint}/{BUCKET}/signed/%C3%BC%20x") == (200, b"signed")
address = s3.generate_presigned_url(
    "get_object", Params={"Bucket": BUCKET, "Key": "sum", "ResponseContentDisposition": "attachment; filename=a.csv"}
)
with urllib.request.urlopen(address) as answer:
    assert answer.headers["content-disposition"] == "attachment; filename=a.csv"

# Listings.
for n in range(25):
    s3.put_object(Bucket=BUCKET, Key=f"list/{n % 5}/{n:02}", Body=b"")
assert keys(Prefix="list/", PaginationConfig={"PageSize": 4}) == sorted(f"list/{n % 5}/{n:02}" for n in range(25))
assert keys(Prefix="list/", StartAfter="list/4/14") == ["list/4/19", "list/4/24"]
pages = s3.get_paginator("list_objects").paginate(
    Bucket=BUCKET, Prefix="list/", Delimiter="/", PaginationConfig={"PageSize": 2}
)
assert [line["Prefix"] for page in pages for line in page["CommonPrefixes"]] == [f"list/{n}/" for n in range(5)]

# Refusals.
assert refusal(s3.get_object, Bucket=BUCKET, Key="none")[0] == "NoSuchKey"
assert refusal(s3.list_objects_v2, Bucket="no-such-bucket")[0] == "NoSuchBucket"
assert refusal(s3.put_object, Bucket=BUCKET, Key="../x", Body=b"")[0] == "InvalidArgument"
assert refusal(s3.put_object, Bucket=BUCKET, Key="list", Body=b"")[0] == "InvalidRequest"
assert refusal(s3.get_bucket_acl, Bucket=BUCKET)[0] == "NotImplemented"
assert refusal(s3.delete_bucket, Bucket=BUCKET)[0] == "BucketNotEmpty"

# What is too long, or only browsers do, is answered in S3's XML, whatever the caller still sends.
large = b"x" * (7 << 20)
for method, where in [("PUT", BUCKET), ("POST", BUCKET + "?delete"), ("PUT", BUCKET + "/sum?tagging")]:
    status, told = http(method, f"{endpoint}/{where}", large)
    assert status == 400 and b"<Code>MaxMessageLengthExceeded</Code><Message>" in told, (method, where, status, told)
form = s3.generate_presigned_post(BUCKET, "posted.csv")
assert form["url"] == f"{endpoint}/{BUCKET}", form
part = '--b\r\nContent-Disposition: form-data; name="{}"\r\n\r\n{}\r\n'
body = "".join(part.format(name, value) for name, value in [*form["fields"].items(), ("file", "1,2")]) + "--b--\r\n"
status, told = http("POST", form["url"], body.encode(), [("Content-Type", "multipart/form-data; boundary=b")])
assert status == 501 and b"<Code>NotImplemented</Code><Message>" in told, (status, told)
# A name that no client would sign for; on an open listener the signature says only which service is meant.
signed = "AWS4-HMAC-SHA256 Credential=AKID/20260131/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=0"
status, told = http("PUT", f"{endpoint}/No_Bucket", b"", [("Authorization", signed)])
assert status == 400 and b"<Code>InvalidBucketName</Code><Message>The specified bucket is not valid.<" in told, told

# The command line.
aws = os.path.join(os.path.dirname(sys.executable), "aws")
if os.path.exists(aws):

    def run(*arguments):
        return subprocess.run([aws, "s3", *arguments], check=True, capture_output=True, text=True).stdout

    down = os.path.join(folder, "down")
    run("cp", path, f"s3://{BUCKET}/cli/large.bin")
    run("sync", f"s3://{BUCKET}/list/", down)
    assert len([name for _, _, names in os.walk(down) for name in names]) == 25
    assert run("sync", down, f"s3://{BUCKET}/list/") == "", "nothing has changed"
    assert "large.bin" in run("ls", f"s3://{BUCKET}/cli/")
    assert http("GET", run("presign", f"s3://{BUCKET}/sum").strip()) == (200, b"x")
    run("mv", f"s3://{BUCKET}/cli/large.bin", f"s3://{BUCKET}/cli/moved.bin")
    assert keys(Prefix="cli/") == ["cli/moved.bin"]

# And everything goes.
gone = s3.delete_objects(Bucket=BUCKET, Delete={"Objects": [{"Key": key} for key in keys()]})
assert "Errors" not in gone, gone
s3.delete_bucket(Bucket=BUCKET)
assert s3.list_buckets()["Buckets"] == []
