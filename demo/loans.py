#!/usr/bin/env python3
"""Loans that a model scores and that are paid back or not, to try `captura quality` and `captura bias` on.

    python3 demo/loans.py ./loans

writes below ./loans, from a seed, so that it is the same every time:

    baseline.csv                         2,000 scored rows with labels
    captures/loans/AllTraffic/…          3,000 calls of a week by two consumers, as captura writes them
    labels/2026/03/dd/hh/…               what became of them, days later: some come twice, some are corrected

Two things are planted in the week: `kiosk` sends people whom the scores flatter, and people of region 2 are scored lower
than they deserve. Only the standard library is needed.
"""
import json
import math
import pathlib
import random
import sys
from datetime import datetime, timedelta

chance = random.Random(20260301)
root = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else "loans")
begin = datetime(2026, 3, 2)
if root.exists():
    sys.exit(f"{root} is there already")


def person():
    return {"age": chance.randint(18, 75), "region": chance.randint(1, 3), "income": round(chance.lognormvariate(3, 0.4), 2)}


def truth(p):
    """How likely a person is to pay back."""
    return 1 / (1 + math.exp(-(0.09 * (p["income"] - 20) + 0.02 * (p["age"] - 45))))


def score(p, planted):
    lower = 0.8 if planted and p["region"] == 2 else 0.0
    odds = math.log(truth(p) / (1 - truth(p))) - lower
    return round(1 / (1 + math.exp(-odds)), 4)


def write(path, text):
    path = root / path
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "a") as out:
        out.write(text)


def record(n, at, consumer, p):
    body = {"observedContentType": "text/csv", "encoding": "CSV"}
    return json.dumps({
        "captureData": {
            "endpointInput": body | {"mode": "INPUT", "data": f"{p['age']},{p['region']},{p['income']}"},
            "endpointOutput": body | {"mode": "OUTPUT", "data": str(score(p, True))}},
        "eventMetadata": {"eventId": f"00000000-0000-4000-8000-{n:012}", "inferenceId": f"loan-{n}",
                          "inferenceTime": at.strftime("%Y-%m-%dT%H:%M:%SZ")},
        "eventVersion": "0",
        "captura": {"lsn": f"00000001-1-{n}", "consumer": consumer, "outcome": "ok", "status": 200},
    }, separators=(",", ":")) + "\n"


def label(n, at, value):
    write(at.strftime("labels/%Y/%m/%d/%H/labels.jsonl"), json.dumps({
        "groundTruthData": {"data": str(value), "encoding": "CSV"},
        "eventMetadata": {"eventId": f"loan-{n}"}, "eventVersion": "0"}) + "\n")


rows = ["probability,paid_back,age,region,income"]
for _ in range(2000):
    p = person()
    rows.append(f"{score(p, False)},{int(chance.random() < truth(p))},{p['age']},{p['region']},{p['income']}")
write("baseline.csv", "\n".join(rows) + "\n")

for n in range(3000):
    at = begin + timedelta(seconds=n * 7 * 86400 / 3000)
    consumer = "kiosk" if n % 3 == 0 else "branch"
    p = person()
    write(at.strftime("captures/loans/AllTraffic/%Y/%m/%d/%H/00-00-000-00000000-0000-4000-8000-000000000000.jsonl"),
          record(n, at, consumer, p))
    likely = truth(p) * (0.7 if consumer == "kiosk" else 1.0)
    paid = int(chance.random() < likely)
    arrives = at + timedelta(hours=chance.expovariate(1 / 60))
    if arrives < begin + timedelta(days=8):
        label(n, arrives, paid if n % 50 else 1 - paid)
        if n % 50 == 0 or n % 40 == 0:
            label(n, arrives + timedelta(hours=5), paid)
