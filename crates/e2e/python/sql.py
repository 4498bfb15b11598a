"""Asks captura and DuckDB the same of the same captured lines, and of the invocation table of the same calls.

Usage: sql.py PROGRAM CAPTURES TABLE   the last two local folders; prints how many calls and rows there are
"""
import csv
import io
import json
import math
import subprocess
import sys

import duckdb

PROGRAM, CAPTURES, TABLE = sys.argv[1:]


def captura(sql, *sources):
    sources = [argument for source in sources for argument in ("--from", source)]
    told = subprocess.run([PROGRAM, "sql", sql, *sources, "--format", "csv"], capture_output=True, text=True)
    assert told.returncode == 0, told.stderr
    return list(csv.reader(io.StringIO(told.stdout)))[1:]


def same(ours, theirs, what):
    assert len(ours) == len(theirs), (what, ours, theirs)
    for our, their in zip(ours, theirs):
        assert len(our) == len(their), (what, our, their)
        for a, b in zip(our, their):
            if isinstance(b, float):
                assert math.isclose(float(a), b, rel_tol=1e-12), (what, our, their)
            else:
                assert a == ("" if b is None else str(b)), (what, our, their)


db = duckdb.connect()
db.sql("SET TimeZone = 'UTC'")
columns = "{'captureData': 'JSON', 'eventMetadata': 'JSON', 'captura': 'JSON'}"
db.sql(f"""CREATE TABLE lines AS SELECT captura, eventMetadata AS metadata, captureData->'endpointInput' AS input, filename
    FROM read_json('{CAPTURES}/**/*.jsonl', format = 'newline_delimited', columns = {columns}, filename = true)""")
db.sql("""CREATE TABLE sent AS SELECT metadata->>'eventId' AS event_id, string_split(unnest(string_split(
    rtrim(input->>'data', chr(10)), chr(10))), ',') AS cells FROM lines WHERE captura->>'status' = '200' AND contains(filename, '/patients/')""")

# Calls: who, how they ended, how long they took.
same(
    captura("SELECT consumer_id, status_code, count(*), sum(total_latency_us), max(lsn_n) FROM invocations GROUP BY 1, 2 ORDER BY 1, 2", CAPTURES),
    db.sql("""SELECT captura->>'consumer', CAST(captura->>'status' AS INT), count(*), CAST(sum(CAST(captura->>'totalLatencyUs' AS BIGINT)) AS BIGINT),
        max(CAST(string_split(captura->>'lsn', '-')[3] AS BIGINT)) FROM lines GROUP BY 1, 2 ORDER BY 1, 2""").fetchall(),
    "calls",
)
# Rows: the cells of the bodies, as numbers.
theirs = db.sql("""SELECT count(*), avg(CAST(cells[3] AS DOUBLE)), stddev_samp(CAST(cells[1] AS DOUBLE)), max(CAST(cells[10] AS BIGINT)) FROM sent""").fetchall()
same(
    captura("""SELECT count(*), avg("in.2"), stddev_samp(CAST("in.0" AS DOUBLE)), max("in.9") FROM rows WHERE endpoint = 'patients' AND status_code = 200""", CAPTURES),
    theirs,
    "rows",
)
# The table of the same calls, where inputs have the names of the model's signature.
same(
    captura("""SELECT count(*), avg("in.bmi"), stddev_samp("in.age"), CAST(max("in.glu") AS BIGINT) FROM rows WHERE endpoint = 'patients' AND status_code = 200""", TABLE),
    theirs,
    "table",
)
by_hour = "SELECT endpoint, CAST(date AS VARCHAR), hour, count(*) FROM {} GROUP BY 1, 2, 3 ORDER BY 1, 2, 3"
parquet = f"read_parquet('{TABLE}/invocations/*/*/*/*.parquet', hive_partitioning = true, union_by_name = true)"
theirs = [(endpoint, date, int(hour), calls) for endpoint, date, hour, calls in db.sql(by_hour.format(parquet)).fetchall()]
same(captura(by_hour.format("invocations"), TABLE), theirs, "hours of the table")
same(captura(by_hour.format("invocations"), CAPTURES), theirs, "hours of the captures")
# Lines and table joined: every call is in both.
[[calls]] = captura("SELECT count(*) FROM a.invocations JOIN b.invocations USING (event_id)", f"a={CAPTURES}", f"b={TABLE}")
[(rows,)] = db.sql("SELECT count(*) FROM sent").fetchall()
print(json.dumps({"calls": int(calls), "rows": rows}))
