"""job_duckdb.py CAPTURES REFERENCE THREADS: read_json, string_split, and one wide aggregate; distances from 199 approximate quantiles."""

import sys

import duckdb
import numpy as np
from shared import COLUMNS, edges, in_bins, stability

captures, reference, threads = sys.argv[1], sys.argv[2], int(sys.argv[3])
database = duckdb.connect(config={"threads": threads})
data = "STRUCT(endpointInput STRUCT(data VARCHAR), endpointOutput STRUCT(data VARCHAR))"
cells = ", ".join(f"TRY_CAST(v[{place + 1}] AS DOUBLE) f{place}" for place in range(30))
database.execute(
    f"""CREATE TEMP TABLE t AS SELECT {cells}, TRY_CAST(p AS DOUBLE) p FROM (
    SELECT string_split(captureData.endpointInput.data, ',') v, captureData.endpointOutput.data p
    FROM read_json('{captures}', format='newline_delimited', columns={{captureData: '{data}'}}))"""
)
shares = np.linspace(0, 1, 201)[1:-1]
wanted = [round(float(share), 4) for share in shares]
of = "count({0}), avg({0}), stddev_samp({0}), min({0}), max({0}), approx_count_distinct({0}), approx_quantile({0}, {1})"
found = database.execute("SELECT count(*), " + ", ".join(of.format(name, wanted) for name in COLUMNS) + " FROM t").fetchone()
table = np.genfromtxt(reference, delimiter=",", names=True)
for place, name in enumerate(COLUMNS):
    quantiles = np.maximum.accumulate(np.array(found[7 * place + 7]))
    then = np.sort(table[name])
    bounds = edges(then)
    cumulated = np.interp(bounds, quantiles, shares, left=0, right=1)
    psi = stability(np.diff(np.r_[0, cumulated, 1]), in_bins(then, bounds))
    ks = float(np.abs(shares - np.searchsorted(then, quantiles, side="right") / len(then)).max())
    if name == "f3":
        print(f"{found[0]} rows, f3 PSI {psi:.4f} KS {ks:.4f}")
