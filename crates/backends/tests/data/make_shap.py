#!/usr/bin/env python3
"""Note what the shap library says of small functions and of an XGBoost model.    usage: make_shap.py [OUTDIR]
needs: numpy shap xgboost, and the file shap/model.json that it writes itself.

Writes OUTDIR/model.json and OUTDIR/cases.json: [{"model", "link", "baseline": [row, ...], "row", "attributions": [[feature x output]]}].
The functions are those of the tests in src/explainer/kernel."""
import json, os, sys
import numpy as np, shap, xgboost as xgb

HERE = os.path.dirname(os.path.abspath(__file__))
OUT = sys.argv[1] if len(sys.argv) > 1 else os.path.join(HERE, "shap")
os.makedirs(OUT, exist_ok=True)
rng = np.random.default_rng(5)


def product(x):
    return np.stack([x[:, 0] * x[:, 1] + 2 * x[:, 2] - x[:, 3] ** 2], axis=1)


def probability(x):
    return 1 / (1 + np.exp(-(x[:, [0]] - x[:, [1]] * x[:, [2]] + 0.5 * np.abs(x[:, [3]]))))


def classes(x):
    scores = np.exp(np.stack([x[:, 0], x[:, 1] * x[:, 4], -x[:, 2] + x[:, 3] * x[:, 0]], axis=1))
    return scores / scores.sum(axis=1, keepdims=True)


X = np.round(rng.normal(size=(400, 6)), 3)
y = (X[:, 0] + X[:, 1] * X[:, 2] - 0.5 * X[:, 3] > 0).astype(float)
trained = xgb.train({"objective": "binary:logistic", "max_depth": 3, "eta": 0.4, "seed": 1, "nthread": 1}, xgb.DMatrix(X, label=y), 6)
trained.save_model(os.path.join(OUT, "model.json"))


def boosted(x):
    return trained.predict(xgb.DMatrix(x)).astype(float)[:, None]


cases = []
for name, function, features, rows, link in [
    ("product", product, 4, 1, "identity"),
    ("product", product, 4, 3, "identity"),
    ("probability", probability, 4, 2, "logit"),
    ("classes", classes, 5, 2, "identity"),
    ("xgboost", boosted, 6, 1, "identity"),
    ("xgboost", boosted, 6, 4, "identity"),
    ("xgboost", boosted, 6, 2, "logit"),
]:
    baseline = np.round(rng.normal(size=(rows, features)), 2)
    for row in np.round(rng.normal(size=(2, features)), 2):
        explainer = shap.KernelExplainer(function, baseline, link=link)
        # All subsets, and no feature selection.
        values = explainer.shap_values(row, nsamples=1 << 12, l1_reg=False, silent=True)
        cases.append({
            "model": name, "link": link, "baseline": baseline.tolist(), "row": row.tolist(),
            "attributions": np.asarray(values).reshape(features, -1).tolist(),
        })
with open(os.path.join(OUT, "cases.json"), "w") as file:
    file.write("[\n" + ",\n".join(json.dumps(case) for case in cases) + "\n]\n")
print(len(cases), "cases, shap", shap.__version__, "xgboost", xgb.__version__)
