"""job_pandas.py CAPTURES REFERENCE: json.loads line by line, read_csv, describe, and SciPy's KS."""

import io
import json
import sys

import numpy as np
import pandas as pd
from scipy.stats import ks_2samp
from shared import COLUMNS, QUANTILES, edges, stability

rows = []
with open(sys.argv[1]) as lines:
    for line in lines:
        data = json.loads(line)["captureData"]
        rows.append(data["endpointInput"]["data"] + "," + data["endpointOutput"]["data"])
table = pd.read_csv(io.StringIO("\n".join(rows)), names=COLUMNS)
del rows
reference = pd.read_csv(sys.argv[2])
found = {}
for name in COLUMNS:
    column, then = table[name], reference[name].to_numpy(float)
    values = column.dropna().to_numpy(float)
    bounds = np.r_[-np.inf, edges(then), np.inf]
    counts = [np.histogram(part, bounds)[0] for part in (values, then)]
    found[name] = {
        "gaps": int(column.isna().sum()), "mean": column.mean(), "std": column.std(), "min": column.min(), "max": column.max(),
        "quantiles": column.quantile(QUANTILES).tolist(), "histogram": np.histogram(values, 10)[0].tolist(),
        "distinct": int(column.nunique()), "psi": stability(*counts), "ks": float(ks_2samp(values, then).statistic),
    }
print(f"{len(table)} rows, f3 PSI {found['f3']['psi']:.4f} KS {found['f3']['ks']:.4f}")
