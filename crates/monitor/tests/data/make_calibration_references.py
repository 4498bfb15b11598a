#!/usr/bin/env python3
"""Writes calibration_references.json beside this file: NumPy, SciPy and scikit-learn on random forecasts.

    python3 -m venv /tmp/venv && /tmp/venv/bin/pip install scikit-learn
    /tmp/venv/bin/python make_calibration_references.py

The committed file was made with scikit-learn 1.9, SciPy 1.17 and NumPy 2; running it again must give the same numbers
to 12 digits.
"""
import json
import pathlib

import numpy as np
from scipy import stats
from sklearn.calibration import calibration_curve
from sklearn.isotonic import IsotonicRegression
from sklearn.metrics import brier_score_loss

here = pathlib.Path(__file__).parent
random = np.random.default_rng(20260705)


def diagram(probabilities, came_true, place):
    bins = []
    for b in np.unique(place):
        inside = place == b
        n, k = int(inside.sum()), int(came_true[inside].sum())
        interval = stats.binomtest(k, n).proportion_ci(method="wilson")
        bins.append({"rows": n, "mean": float(probabilities[inside].mean()), "observed": float(came_true[inside].mean()),
                     "wilson": [interval.low, interval.high]})
    gaps = np.array([abs(b["mean"] - b["observed"]) for b in bins])
    weights = np.array([b["rows"] for b in bins]) / len(probabilities)
    return {"bins": bins, "ece": float(gaps @ weights), "mce": float(gaps.max())}


def case(rows, distort, digits):
    probabilities = np.round(random.beta(1.2, 1.7, rows), digits)
    came_true = (random.random(rows) < distort(probabilities)).astype(int)
    width = np.searchsorted(np.arange(1, 10) / 10, probabilities)
    order = np.argsort(probabilities, kind="stable")
    # Ties go where the first of them goes.
    first = np.searchsorted(probabilities[order], probabilities)
    mass = first * 10 // rows
    observed, mean = calibration_curve(came_true, probabilities, n_bins=10, strategy="uniform")
    mine = diagram(probabilities, came_true, width)
    assert np.allclose([b["observed"] for b in mine["bins"]], observed)
    assert np.allclose([b["mean"] for b in mine["bins"]], mean)
    isotonic = IsotonicRegression(out_of_bounds="clip").fit(probabilities, came_true)
    scores = np.round(np.linspace(0, 1, 41), 3)
    return {
        "probabilities": probabilities.tolist(), "came_true": came_true.tolist(),
        "equal_width": mine, "equal_mass": diagram(probabilities, came_true, mass),
        "brier": float(brier_score_loss(came_true, probabilities)),
        "isotonic": {"scores": scores.tolist(), "probabilities": isotonic.predict(scores).tolist()},
    }


json.dump({"cases": [case(400, lambda p: p, 4), case(300, lambda p: p ** 2, 2), case(250, lambda p: 0.3 + 0.4 * p, 1)]},
          open(here / "calibration_references.json", "w"), separators=(",", ":"))
