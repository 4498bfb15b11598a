#!/usr/bin/env python3
"""Note what scikit-learn says of rankings, what Shapley's definition says of small functions, and what the shap library says of
boosted trees.    usage: make_attribution_references.py [OUT.json]
needs: numpy scikit-learn shap xgboost; and crates/backends/tests/data/shap/model.json.

ndcg: [{"worth", "scores", "ndcg"}] · shapley: of `tangle`, which the tests know too: rows, baseline, values [row][feature][output] ·
trees: of a model of boosted trees: rows, baseline, values [row][feature] of its probability from the definition, and log_odds
[row][feature] against the first baseline row by TreeExplainer, which is exact for what the trees add up to (and only near for
probabilities)."""
import itertools, json, math, os, sys
import numpy as np, shap, xgboost as xgb
from sklearn.metrics import ndcg_score

HERE = os.path.dirname(os.path.abspath(__file__))
OUT = sys.argv[1] if len(sys.argv) > 1 else os.path.join(HERE, "attribution_references.json")
rng = np.random.default_rng(11)


def tangle(x):
    a, b, c, d, e = x
    return [a * b + 2 * c - d * d, 1 / (1 + math.exp(-(a - b * e + 0.5 * abs(d))))]


def shapley(function, row, baseline):
    count = len(row)

    def worth(kept):
        mixed = [[row[i] if i in kept else base[i] for i in range(count)] for base in baseline]
        return np.mean([function(one) for one in mixed], axis=0)

    values = []
    for feature in range(count):
        others = [i for i in range(count) if i != feature]
        total = 0
        for size in range(count):
            weight = math.factorial(size) * math.factorial(count - size - 1) / math.factorial(count)
            for kept in itertools.combinations(others, size):
                total = total + weight * (worth(set(kept) | {feature}) - worth(set(kept)))
        values.append(np.asarray(total).tolist())
    return values


ndcg = []
for features in [2, 3, 5, 8, 20]:
    for ties in [False, True]:
        worth, scores = rng.gamma(0.7, size=features), rng.gamma(0.7, size=features)
        if ties:
            scores = np.round(scores * 2) / 2
        ndcg.append({"worth": worth.tolist(), "scores": scores.tolist(), "ndcg": float(ndcg_score([worth], [scores]))})

rows, baseline = np.round(rng.normal(size=(6, 5)), 2).tolist(), np.round(rng.normal(size=(3, 5)), 2).tolist()
exact = {"rows": rows, "baseline": baseline, "values": [shapley(tangle, row, baseline) for row in rows]}

model = xgb.Booster(model_file=os.path.join(HERE, "../../../backends/tests/data/shap/model.json"))
rows, baseline = np.round(rng.normal(size=(60, 6)), 3), np.round(rng.normal(size=(4, 6)), 3)
values = np.zeros(rows.shape)
for place, row in enumerate(rows):
    masks = [np.array([kept >> feature & 1 for feature in range(6)], bool) for kept in range(64)]
    worth = [model.predict(xgb.DMatrix(np.where(mask, row, baseline))).astype(float).mean() for mask in masks]
    for feature, kept in itertools.product(range(6), range(64)):
        if not kept >> feature & 1:
            size = bin(kept).count("1")
            weight = math.factorial(size) * math.factorial(5 - size) / math.factorial(6)
            values[place, feature] += weight * (worth[kept | 1 << feature] - worth[kept])
explainer = shap.TreeExplainer(model, data=baseline[:1], feature_perturbation="interventional", model_output="raw")
log_odds = explainer.shap_values(rows)
expected = float(model.predict(xgb.DMatrix(baseline)).astype(float).mean())
assert np.allclose(values.sum(axis=1) + expected, model.predict(xgb.DMatrix(rows)), atol=1e-6)
trees = {"rows": rows.tolist(), "baseline": baseline.tolist(), "expected": expected, "values": np.round(values, 9).tolist(),
         "log_odds": np.round(log_odds, 7).tolist()}

with open(OUT, "w") as file:
    json.dump({"ndcg": ndcg, "shapley": exact, "trees": trees}, file)
    file.write("\n")
print(len(ndcg), "rankings", values.shape, "shap", shap.__version__, "xgboost", xgb.__version__)
