#!/usr/bin/env python3
"""Trains the demo's model and writes its data. Run it only to change the demo; its results are committed.

    python3 -m venv /tmp/demo-venv
    /tmp/demo-venv/bin/pip install scikit-learn==1.9.1 xgboost-cpu==3.2.0
    /tmp/demo-venv/bin/python demo/make_demo.py

Real data: the 442 patients of Efron et al. (2004), bundled with scikit-learn, in clinical units (`scaled=False`), so that a
blood pressure reads as a blood pressure. Everything is seeded: the same versions write the same bytes.

Writes beside itself: model.json (XGBoost JSON), patients.csv (features, header, one patient a row), expected.csv (for each
row of patients.csv: the library's own prediction, the truth, and whether the model has seen it), MODEL.md.
"""
import csv
import json
import pathlib

import numpy as np
import sklearn
import xgboost
from sklearn.datasets import load_diabetes
from sklearn.metrics import mean_absolute_error, r2_score

HERE = pathlib.Path(__file__).resolve().parent
SEED = 7
HOLD_OUT = 142
# scikit-learn calls the six serum measures s1 to s6; these are what they measure.
MEANING = {"s1": "tc", "s2": "ldl", "s3": "hdl", "s4": "tch", "s5": "ltg", "s6": "glu"}
UNITS = {
    "age": "years",
    "sex": "1 or 2, as coded by the study",
    "bmi": "body mass index, kg/m²",
    "bp": "mean arterial blood pressure, mmHg",
    "tc": "total serum cholesterol, mg/dl",
    "ldl": "low-density lipoproteins, mg/dl",
    "hdl": "high-density lipoproteins, mg/dl",
    "tch": "total cholesterol / HDL",
    "ltg": "natural log of serum triglycerides, as published",
    "glu": "blood sugar, mg/dl",
}
SETTINGS = {
    "objective": "reg:squarederror",
    "max_depth": 2,
    "eta": 0.08,
    "subsample": 0.8,
    "colsample_bytree": 0.7,
    "min_child_weight": 5,
    "lambda": 5.0,
    "seed": SEED,
    "nthread": 1,
    "tree_method": "exact",
}
ROUNDS = 120


def plain(value):
    """A number as a person writes it: 59, 32.1, 4.8598."""
    return str(int(value)) if float(value).is_integer() else repr(float(value))


def main():
    bunch = load_diabetes(scaled=False)
    names = [MEANING.get(name, name) for name in bunch.feature_names]
    order = np.random.RandomState(SEED).permutation(len(bunch.target))
    rows, truth = bunch.data[order], bunch.target[order]
    train, test = slice(HOLD_OUT, None), slice(0, HOLD_OUT)

    # Four decimals lose nothing the study had, and keep what is trained on equal to what the file says.
    rows = np.round(rows, 4)
    fit = xgboost.DMatrix(rows[train], truth[train], feature_names=names)
    booster = xgboost.train(SETTINGS, fit, num_boost_round=ROUNDS)
    booster.save_model(HERE / "model.json")
    size = (HERE / "model.json").stat().st_size

    predicted = booster.predict(xgboost.DMatrix(rows, feature_names=names))
    scores = {
        "train": (r2_score(truth[train], predicted[train]), mean_absolute_error(truth[train], predicted[train])),
        "hold-out": (r2_score(truth[test], predicted[test]), mean_absolute_error(truth[test], predicted[test])),
    }

    with open(HERE / "patients.csv", "w", newline="") as file:
        out = csv.writer(file, lineterminator="\n")
        out.writerow(names)
        out.writerows([plain(value) for value in row] for row in rows)
    with open(HERE / "expected.csv", "w", newline="") as file:
        out = csv.writer(file, lineterminator="\n")
        out.writerow(["prediction", "progression", "part"])
        for index, value in enumerate(predicted):
            out.writerow([str(np.float32(value)), plain(truth[index]), "hold-out" if index < HOLD_OUT else "train"])

    for part, (r2, error) in scores.items():
        print(f"{part}: R² {r2:.3f}, mean absolute error {error:.1f}")
    print(f"model.json: {size} bytes, {len(json.loads(booster.save_raw('json'))['learner']['gradient_booster']['model']['trees'])} trees")
    write_card(names, scores, size, truth, rows)


def write_card(names, scores, size, truth, rows):
    ranges = "\n".join(
        f"| `{name}` | {UNITS[name]} | {plain(rows[:, i].min())} to {plain(rows[:, i].max())} | {rows[:, i].mean():.1f} |"
        for i, name in enumerate(names)
    )
    (HERE / "MODEL.md").write_text(
        f"""# The demo's model

A gradient-boosted tree regressor that predicts how far a patient's diabetes has progressed one year after the measures were
taken. It is small and honest, not good medicine: do not use it on people.

| | R² | mean absolute error |
| --- | --- | --- |
| train ({len(truth) - HOLD_OUT} patients) | {scores["train"][0]:.3f} | {scores["train"][1]:.1f} |
| hold-out ({HOLD_OUT} patients, never seen in training) | {scores["hold-out"][0]:.3f} | {scores["hold-out"][1]:.1f} |

The answer runs from {plain(truth.min())} to {plain(truth.max())} (mean {truth.mean():.0f}).

| feature | meaning and unit | range | mean |
| --- | --- | --- | --- |
{ranges}

In the demo one caller starts, half-way, to send `bp` in kPa instead of mmHg: the same patients, every number valid, every
answer plausible, and the model silently wrong. That is what captured calls are for.

## Where it comes from

- Data: 442 diabetes patients of B. Efron, T. Hastie, I. Johnstone and R. Tibshirani, "Least Angle Regression", Annals of
  Statistics 32 (2004), published by the authors as an open data set and bundled with scikit-learn (BSD-3-Clause) as
  `load_diabetes(scaled=False)`. No names, dates or places.
- Model: XGBoost {xgboost.__version__}, {ROUNDS} trees of depth {SETTINGS["max_depth"]}, {size} bytes of its JSON format; scikit-learn {sklearn.__version__}, numpy {np.__version__}, seed {SEED}.
- Rows of `patients.csv`: the first {HOLD_OUT} are the hold-out, the rest were trained on; `expected.csv` has XGBoost's own
  prediction for each.
- Made by `demo/make_demo.py`; run again it writes the same bytes.
"""
    )


if __name__ == "__main__":
    main()
