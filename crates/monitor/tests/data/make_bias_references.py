#!/usr/bin/env python3
"""Writes bias_references.json beside this file: what Clarify's open library, fairlearn and scikit-learn say.

    python3 -m venv /tmp/venv && /tmp/venv/bin/pip install smclarify fairlearn scikit-learn scipy
    /tmp/venv/bin/python make_bias_references.py

The committed file was made with smclarify 0.5, fairlearn 0.15 and scikit-learn 1.9; running it again must give the same
numbers to 12 digits. Divergences are also checked against SciPy here.
"""
import json
import math
import pathlib

import numpy as np
import pandas as pd
from fairlearn.metrics import (demographic_parity_difference, demographic_parity_ratio,
                               equal_opportunity_difference)
from scipy import stats
from scipy.spatial.distance import jensenshannon
from smclarify.bias.metrics import posttraining, pretraining

here = pathlib.Path(__file__).parent
random = np.random.default_rng(20260706)


def plain(value):
    value = float(value)
    return value if math.isfinite(value) else ("Infinity" if value > 0 else "-Infinity")


def case(rows, share, shift):
    facet = random.random(rows) < share
    group = random.integers(0, 3, rows)
    features = np.round(random.normal(0, 1, (rows, 2)) + shift * facet[:, None], 5)
    actual = features[:, 0] + random.normal(0, 0.7, rows) > 0.1 * group
    predicted = features[:, 0] + 0.4 * features[:, 1] > 0.2
    d, y, p, g = pd.Series(facet), pd.Series(actual), pd.Series(predicted), pd.Series(group)
    x = pd.Series(np.zeros(rows))
    pre = {
        "CDDL": pretraining.CDDL(x, d, y, g), "CI": pretraining.CI(x, d), "DPL": pretraining.DPL(x, d, y),
        "JS": pretraining.JS(y, d), "KL": pretraining.KL(y, d), "KS": pretraining.KS(y, d),
        "LP": pretraining.LP(y, d), "TVD": pretraining.TVD(y, d),
    }
    a, b = [np.array([1 - s.mean(), s.mean()]) for s in (y[~d], y[d])]
    assert np.isclose(pre["KL"], stats.entropy(a, b)) and np.isclose(pre["JS"], jensenshannon(a, b) ** 2)
    post = {name: getattr(posttraining, name)(x, d, y, p)
            for name in ["AD", "DAR", "DCA", "DCR", "DRR", "RD", "SD", "TE"]}
    post |= {
        "CDDPL": posttraining.CDDPL(x, d, p, g), "DI": posttraining.DI(x, d, p), "DPPL": posttraining.DPPL(x, d, p),
        "GE": posttraining.GE(y, p), "FT": posttraining.FT(pd.DataFrame(features), d, p),
    }
    fair = {
        "demographic_parity_difference": demographic_parity_difference(y, p, sensitive_features=d),
        "demographic_parity_ratio": demographic_parity_ratio(y, p, sensitive_features=d),
        "equal_opportunity_difference": equal_opportunity_difference(y, p, sensitive_features=d),
    }
    return {
        "facet": facet.astype(int).tolist(), "actual": actual.astype(int).tolist(),
        "predicted": predicted.astype(int).tolist(), "group": group.tolist(), "features": features.tolist(),
        "pre_training": {k: plain(v) for k, v in pre.items()}, "post_training": {k: plain(v) for k, v in post.items()},
        "fairlearn": {k: plain(v) for k, v in fair.items()},
    }


json.dump({"cases": [case(300, 0.3, -0.6), case(200, 0.5, 0.0), case(120, 0.1, 0.8)]},
          open(here / "bias_references.json", "w"), separators=(",", ":"))
