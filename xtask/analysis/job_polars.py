"""job_polars.py CAPTURES REFERENCE: a streaming scan and Polars' own mean, deviation and gaps; the rest from one sort a column."""

import sys

import polars as pl
from shared import COLUMNS, described

side = pl.Struct({"data": pl.String})
lines = pl.scan_ndjson(sys.argv[1], schema={"captureData": pl.Struct({"endpointInput": side, "endpointOutput": side})})
data = pl.col("captureData").struct
cells = data.field("endpointInput").struct.field("data").str.split_exact(",", 29).alias("cells")
answer = data.field("endpointOutput").struct.field("data").alias("p")
table = lines.select(cells, answer).unnest("cells").rename({f"field_{place}": f"f{place}" for place in range(30)})
table = table.with_columns(pl.all().cast(pl.Float64, strict=False)).collect(engine="streaming")
table.select(pl.all().null_count().name.suffix("_gaps"), pl.all().mean().name.suffix("_mean"), pl.all().std().name.suffix("_std"))
reference = pl.read_csv(sys.argv[2])
found = {name: described(table[name].drop_nulls().to_numpy(), reference[name].to_numpy().astype(float)) for name in COLUMNS}
print(f"{len(table)} rows, f3 PSI {found['f3']['psi']:.4f} KS {found['f3']['ks']:.4f}")
