"""Reads an invocation table with DuckDB and pyarrow, and compares it with the captured lines of the same calls.

Usage: table.py TABLE CAPTURES EXPECTED.CSV DOCUMENT   the first two local folders; runs the snippets of DOCUMENT (docs/table.md)
as they are written, and prints how many files, calls and rows there are
"""
import base64
import glob
import json
import os
import re
import sys
import tempfile

import duckdb
import pyarrow as pa
import pyarrow.dataset as dataset

TABLE, CAPTURES, EXPECTED, DOCUMENT = sys.argv[1:]


def body(side):
    data = side.get("data")
    return base64.b64decode(data) if side["encoding"] == "BASE64" else data.encode()


lines = {}
for name in glob.glob(f"{CAPTURES}/**/*.jsonl", recursive=True):
    with open(name, newline="\n") as file:
        for text in file:
            line = json.loads(text)
            lines[line["eventMetadata"]["eventId"]] = line

db = duckdb.connect()
db.sql("SET TimeZone = 'UTC'")
for half in ("invocations", "rows"):
    files = f"{TABLE}/{half}/*/*/*/*.parquet"
    db.sql(f"CREATE VIEW {half} AS SELECT * FROM read_parquet('{files}', hive_partitioning = true, union_by_name = true)")

calls = db.sql("SELECT event_id, endpoint, request_raw, response_raw, status_code, lsn_node, lsn_epoch, lsn_n, model, date, hour, event_time FROM invocations").fetchall()
assert sorted(call[0] for call in calls) == sorted(lines), (len(calls), len(lines))
for event_id, endpoint, request, response, status, node, epoch, n, model, date, hour, time in calls:
    line = lines[event_id]
    own = line["captura"]
    assert request == body(line["captureData"]["endpointInput"]), event_id
    assert response == body(line["captureData"]["endpointOutput"]), event_id
    assert f"{node:08x}-{epoch}-{n}" == own["lsn"] and (status, model) == (own["status"], own["modelName"]), (event_id, own)
    assert (time.strftime("%Y-%m-%d"), time.hour) == (str(date), int(hour)), (time, date, hour)

# No call is lost among the rows, and every row of a decoded call is there once.
[(missing,)] = db.sql("SELECT count(*) FROM invocations ANTI JOIN rows USING (event_id)").fetchall()
assert missing == 0, missing
[(doubled,)] = db.sql('SELECT count(*) - count(DISTINCT (event_id, row_index)) FROM rows').fetchall()
assert doubled == 0, doubled

# The model's own answers, row by row, under the names of its signature.
types = dict(db.sql("SELECT column_name, column_type FROM (DESCRIBE rows)").fetchall())
assert types["in.bmi"] == "DOUBLE" and types["event_time"] == "TIMESTAMP WITH TIME ZONE", types
[output] = [name for name in types if name.startswith("out.")]
[(largest,)] = db.sql("SELECT max(row_count) FROM rows WHERE endpoint = 'patients'").fetchall()
with open(EXPECTED) as file:
    expected = [float(row.split(",")[0]) for row in file.read().splitlines()[1:]]
answers = db.sql(f'''SELECT "{output}" FROM rows WHERE endpoint = 'patients' AND row_count = {largest} ORDER BY row_index''').fetchall()
assert largest == len(expected) and all(abs(a - e) < 1e-3 for (a,), e in zip(answers, expected)), answers[:3]
reasons = db.sql("SELECT DISTINCT endpoint, decode_error FROM rows WHERE decode_error IS NOT NULL ORDER BY ALL").fetchall()
assert ("echo", "the model states no signature") in reasons, reasons
assert any(endpoint == "patients" and "values, the signature 10" in reason for endpoint, reason in reasons), reasons

# pyarrow sees the same, with partitions as columns.
for half in ("invocations", "rows"):
    partitions = dataset.partitioning(
        pa.schema([("endpoint", pa.string()), ("date", pa.string()), ("hour", pa.int32())]), flavor="hive"
    )
    found = dataset.dataset(f"{TABLE}/{half}", format="parquet", partitioning=partitions)
    [(counted,)] = db.sql(f"SELECT count(*) FROM {half}").fetchall()
    assert found.count_rows() == counted, half
    assert found.schema.field("event_time").type == pa.timestamp("us", tz="UTC"), found.schema
    assert found.schema.field("sampling_probability").type == pa.float64(), found.schema

# What the document tells people to run, where its paths lead to this table.
with open(DOCUMENT) as file:
    snippets = re.findall(r"```(sql|python)\n(.*?)```", file.read(), re.DOTALL)
sql = next(text for language, text in snippets if language == "sql" and "read_parquet" in text)
python = next(text for language, text in snippets if language == "python" and "pyarrow" in text)
with tempfile.TemporaryDirectory() as folder:
    os.makedirs(f"{folder}/lake")
    os.symlink(os.path.abspath(TABLE), f"{folder}/lake/captura")
    os.chdir(folder)
    fresh = duckdb.connect()
    [(day,)] = db.sql("SELECT max(date) FROM rows").fetchall()
    # The day of the example is the only thing that is not the reader's own.
    statements = re.sub(r"--[^\n]*", "", re.sub(r"DATE '[^']*'", f"DATE '{day}'", sql)).split(";")
    statements = [statement.strip() for statement in statements if statement.strip()]
    for statement in statements:
        if statement.startswith("CREATE"):
            fresh.execute(statement)
    asked = [fresh.execute(statement).fetchall() for statement in statements if statement.startswith("SELECT")]
    by_consumer, by_hour, bodies = asked
    assert sum(calls for _, calls, _, _ in by_consumer) > 60 and by_hour and by_hour[0][2] > 0, (by_consumer, by_hour)
    names = {}
    exec(python, names)
    [(counted,)] = fresh.execute("SELECT count(*) FROM rows WHERE endpoint = 'patients'").fetchall()
    assert names["rows"].count_rows() == counted, counted
    os.chdir("/")

[(rows,)] = db.sql("SELECT count(*) FROM rows").fetchall()
files = [name for name in glob.glob(f"{TABLE}/**/*", recursive=True) if os.path.isfile(name)]
print(json.dumps({"files": len(files), "calls": len(calls), "rows": rows}))
