#!/usr/bin/env python3
"""Writes drift_references.json beside this file: what SciPy says about distances, tails and many p-values.

    python3 -m venv /tmp/venv && /tmp/venv/bin/pip install numpy scipy && /tmp/venv/bin/python make_drift_references.py

The committed file was made with NumPy 2 and SciPy 1; running it again must give the same numbers to 10 digits.
"""
import json
import pathlib

import numpy as np
from scipy import special, stats
from scipy.spatial import distance

random = np.random.default_rng(20260217)


def floats(values):
    return [float(value) for value in values]


kolmogorov = [floats([x, special.kolmogorov(x)]) for x in (0.3, 0.5, 0.8276, 1.0, 1.17, 1.19, 1.3581, 1.6276, 2.5, 5.0)]
gamma = []
for x, mean, variance in [(1, 1, 1), (14.1, 9, 18), (0.05, 0.02, 0.0001), (3, 2, 0.5), (60, 30, 100), (420, 400, 420)]:
    gamma.append(floats([x, mean, variance, stats.gamma.sf(x, mean * mean / variance, scale=variance / mean)]))
normal = [floats([x, stats.norm.sf(x)]) for x in (-2, -0.5, 0.1, 1, 1.959964, 4, 8)]

ks_exact = []
for n, m, d in [(5, 4, 0.6), (30, 30, 0.3), (50, 37, 0.22), (100, 80, 0.13), (200, 31, 0.4)]:
    # The distance must be one that samples can have.
    grid = np.unique(np.abs(np.arange(n + 1)[:, None] / n - np.arange(m + 1)[None, :] / m))
    d = float(grid[np.searchsorted(grid, d)])
    # Scipy's exact mode, through samples that have this distance, is checked on the samples below; here its formula's
    # own count of paths in exact integers.
    paths = [[0] * (m + 1) for _ in range(n + 1)]
    for i in range(n + 1):
        for j in range(m + 1):
            if abs(i * m - j * n) >= round(d * n * m):
                continue
            paths[i][j] = 1 if i == j == 0 else (paths[i - 1][j] if i else 0) + (paths[i][j - 1] if j else 0)
    from fractions import Fraction
    from math import comb
    ks_exact.append([n, m, d, float(1 - Fraction(paths[n][m], comb(n + m, n)))])


def psi(counts):
    shares = (counts + 0.5) / (counts.sum(axis=0) + 0.5 * len(counts))
    return float(np.sum((shares[:, 1] - shares[:, 0]) * np.log(shares[:, 1] / shares[:, 0])))


def over_cells(counts):
    chi = stats.chi2_contingency(counts.T, correction=False)
    return {"psi": psi(counts), "jensen_shannon": float(distance.jensenshannon(counts[:, 0], counts[:, 1], base=2)),
            "chi_square": float(chi.statistic), "chi_square_p": float(chi.pvalue)}


samples = []
for n, m, shift, scale in [(200, 150, 0.0, 1.0), (150, 130, 0.5, 1.0), (150, 300, 0.0, 1.8), (300, 200, 1.5, 0.7)]:
    then = np.round(random.gamma(2, 1, n), 4)
    now = np.round(random.gamma(2, 1, m) * scale + shift, 4)
    ks = stats.ks_2samp(then, now, method="exact")
    # Ten cells: the smallest value that has an i-th tenth of the reference at or below it ends the i-th.
    ordered = np.sort(then)
    edges = np.unique([ordered[int(np.ceil(i * n / 10)) - 1] for i in range(1, 10)])
    cells = [np.bincount(np.searchsorted(edges, side, side="left"), minlength=len(edges) + 1) for side in (then, now)]
    counts = np.array(cells).T.astype(float)
    assert (counts.sum(axis=1) / (n + m) * min(n, m)).min() >= 5, "no cell is small here"
    samples.append({"reference": floats(then), "current": floats(now), "ks": float(ks.statistic), "ks_p": float(ks.pvalue),
                    "wasserstein": float(stats.wasserstein_distance(then, now) / np.std(then)), **over_cells(counts)})

categories = []
for then, now in [([500, 300, 200], [110, 50, 40]), ([40, 30, 20, 10], [12, 25, 40, 23])]:
    counts = np.array([then, now]).T.astype(float)
    shares = counts / counts.sum(axis=0)
    categories.append({"reference": then, "current": now, "l_infinity": float(np.abs(shares[:, 0] - shares[:, 1]).max()),
                       **over_cells(counts)})

# Areas between the cumulative curves of samples of one population, by simulation: mean, and the point one in twenty exceeds.
areas = []
for name, draw in [("normal", random.normal), ("exponential", random.exponential), ("uniform", random.random)]:
    for n, m in [(2000, 300), (400, 400)]:
        found = [stats.wasserstein_distance(draw(size=n), draw(size=m)) for _ in range(4000)]
        areas.append([name, n, m, float(np.mean(found)), float(np.quantile(found, 0.95))])

p_values = floats(np.concatenate([random.random(12), random.random(4) * 0.002, [0.03, 0.03]]))
discovery = {"p_values": p_values, "bh": floats(stats.false_discovery_control(p_values, method="bh")),
             "by": floats(stats.false_discovery_control(p_values, method="by"))}

json.dump({"kolmogorov": kolmogorov, "gamma": gamma, "normal": normal, "ks_exact": ks_exact, "samples": samples,
           "categories": categories, "areas": areas, "discovery": discovery},
          open(pathlib.Path(__file__).parent / "drift_references.json", "w"), separators=(",", ":"))
