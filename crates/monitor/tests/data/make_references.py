#!/usr/bin/env python3
"""Writes references.json and sample.csv beside this file: what NumPy and SciPy say about a small table.

    python3 -m venv /tmp/venv && /tmp/venv/bin/pip install numpy scipy && /tmp/venv/bin/python make_references.py

The committed files were made with NumPy 2 and SciPy 1; running it again must give the same numbers to 12 digits.
"""
import json
import pathlib

import numpy as np
from scipy import stats

here = pathlib.Path(__file__).parent
random = np.random.default_rng(20260131)

# A table with every kind of column: whole numbers, heavy tails, tiny spread on a large offset, gaps, categories.
rows = 400
columns = {
    "count": random.poisson(7, rows).astype(float),
    "amount": np.round(random.lognormal(3, 1.5, rows), 4),
    "offset": 1e6 + np.round(random.normal(0, 1e-2, rows), 6),
    "gaps": np.where(random.random(rows) < 0.1, np.nan, np.round(random.normal(-2, 3, rows), 5)),
}
plan = random.choice(["basic", "plus", "pro"], rows, p=[0.6, 0.3, 0.1])


def cell(name, value):
    if np.isnan(value):
        return ""
    return str(int(value)) if name == "count" else repr(float(value))


with open(here / "sample.csv", "w") as out:
    out.write(",".join(columns) + ",plan\n")
    for i in range(rows):
        out.write(",".join(cell(name, values[i]) for name, values in columns.items()) + f",{plan[i]}\n")

features = {}
for name, values in columns.items():
    present = values[~np.isnan(values)]
    counts, edges = np.histogram(present, bins=10)
    features[name] = {
        "present": int(present.size),
        "missing": int(values.size - present.size),
        "sum": float(np.sum(present)),
        "mean": float(np.mean(present)),
        "std_dev": float(np.std(present)),
        "min": float(present.min()),
        "max": float(present.max()),
        "distinct": int(np.unique(present).size),
        "histogram": counts.tolist(),
    }

# Two-sample Kolmogorov-Smirnov distances between halves of each column.
distances = {
    name: float(stats.ks_2samp(values[:200][~np.isnan(values[:200])], values[200:][~np.isnan(values[200:])]).statistic)
    for name, values in columns.items()
}

tails = [[x, df, float(stats.chi2.sf(x, df))] for x, df in [(3.84, 1), (1, 2), (20, 4), (100, 60), (0.1, 9), (300, 3)]]

# Chi-square goodness of fit where no cell is small.
baseline, current = {"a": 500, "b": 300, "c": 200}, {"a": 110, "b": 50, "c": 40}
expected = [baseline[k] / 1000 * 200 for k in "abc"]
fit = float(stats.chisquare([current[k] for k in "abc"], expected).pvalue)

json.dump(
    {"features": features, "ks_of_halves": distances, "chi2_tails": tails,
     "chi2_fit": {"baseline": baseline, "current": current, "p_value": fit}},
    open(here / "references.json", "w"), indent=1)
