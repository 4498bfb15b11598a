"""Requests with odd paths, queries, headers and bodies, signed by botocore: all right, and wrong when anything is altered.

Usage: signatures.py
"""
import http.client
import os
import random
import urllib.parse

from botocore.auth import S3SigV4Auth, S3SigV4QueryAuth, SigV4Auth, SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

URL = os.environ["AWS_ENDPOINT_URL"]
HOST = URL.split("//")[1]
CREDENTIALS = Credentials(os.environ["AWS_ACCESS_KEY_ID"], os.environ["AWS_SECRET_ACCESS_KEY"])
REGION = "eu-central-1"
# What a signature that is not right is answered with; after sixty of them in a minute, no reason is told any more.
REFUSED = {"InvalidSignatureException", "SignatureDoesNotMatch", "ThrottlingException", "SlowDown"}
chance = random.Random(20260131)
LETTERS = "aZ09-_.~!$&'()*+,;=:@ %/\u00e9\u1234\""


def word(letters, longest=12):
    return "".join(chance.choice(letters) for _ in range(chance.randint(1, longest)))


def target(safe):
    path = "/x/" + urllib.parse.quote(word(LETTERS), safe=safe)
    pairs = [(word(LETTERS, 4), word(LETTERS, 8)) for _ in range(chance.randint(0, 4))]
    query = "&".join(f"{urllib.parse.quote(key, safe='-_.~')}={urllib.parse.quote(value, safe='-_.~')}" for key, value in pairs)
    return path + ("?" + query if query else "")


def send(request, path=None, body=None):
    prepared = request.prepare()
    parts = urllib.parse.urlsplit(prepared.url)
    connection = http.client.HTTPConnection(HOST, timeout=30)
    where = path if path is not None else prepared.url.split(HOST, 1)[1]
    connection.request(prepared.method, where, body if body is not None else prepared.body, dict(prepared.headers))
    answer = connection.getresponse()
    text = answer.read().decode(errors="replace")
    connection.close()
    code = answer.getheader("x-amzn-errortype", "")
    return code, answer.status, text, parts


def signed(signer, service, method, where, body, headers, **more):
    request = AWSRequest(method=method, url=URL + where, data=body, headers=headers)
    signer(CREDENTIALS, service, REGION, **more).add_auth(request)
    return request


count = 0
for _ in range(150):
    for signer, service, more in [
        (SigV4Auth, "sagemaker", {}),
        (SigV4QueryAuth, "sagemaker", {"expires": 60}),
        (S3SigV4Auth, "s3", {}),
        (S3SigV4QueryAuth, "s3", {"expires": 60}),
    ]:
        is_s3 = service == "s3"
        method = chance.choice(["GET", "PUT", "POST", "DELETE"])
        body = word("abc \n", 50).encode() if method in ("PUT", "POST") and "Query" not in signer.__name__ else b""
        headers = {"X-Odd": f"  {word('ab c', 8)}   {word('de f', 8)} ", "Content-Type": "text/csv"} if body else {}
        where = target("/-_.~" if is_s3 else chance.choice(["/-_.~", "-_.~"]))
        request = signed(signer, service, method, where, body, headers, **more)
        code, status, text, parts = send(request)
        assert code not in REFUSED and status not in (403, 429), (signer.__name__, method, where, headers, code, status, text)
        altered = request.prepare().url.split(HOST, 1)[1].replace("/x/", "/y/", 1)
        code, status, text, _ = send(request, path=altered)
        assert code in REFUSED, (signer.__name__, where, altered, code, status, text)
        if body and not is_s3:
            code, status, text, _ = send(request, body=body[:-1] + b"x" if body[-1:] != b"x" else body[:-1] + b"y")
            assert code in REFUSED, (signer.__name__, where, code, status, text)
        count += 1
print(f"{count} requests agree")
