#!/usr/bin/env python3
"""Writes quality_references.json beside this file: what scikit-learn says about random predictions.

    python3 -m venv /tmp/venv && /tmp/venv/bin/pip install scikit-learn && /tmp/venv/bin/python make_quality_references.py

The committed file was made with scikit-learn 1.9 and NumPy 2; running it again must give the same numbers to 12 digits.
"""
import json
import pathlib

import numpy as np
from sklearn import metrics as m

here = pathlib.Path(__file__).parent
random = np.random.default_rng(20260704)


def fs(actual, predicted, **how):
    return {f"f{name}": m.fbeta_score(actual, predicted, beta=beta, zero_division=0, **how)
            for name, beta in [("0_5", 0.5), ("1", 1), ("2", 2)]}


def binary(name, rows, share, digits):
    actual = (random.random(rows) < share).astype(int)
    scores = np.round(np.clip(actual * 0.35 + random.random(rows) * 0.65, 0, 1), digits)
    predicted = (scores >= 0.5).astype(int)
    constant = np.full(rows, int(actual.sum() * 2 > rows))
    matrix = m.confusion_matrix(actual, predicted, labels=[0, 1])
    tn, fp, fn, tp = matrix.ravel()
    values = {
        "recall": m.recall_score(actual, predicted),
        "precision": m.precision_score(actual, predicted),
        "accuracy": m.accuracy_score(actual, predicted),
        "recall_best_constant_classifier": m.recall_score(actual, constant, zero_division=0),
        "precision_best_constant_classifier": m.precision_score(actual, constant, zero_division=0),
        "accuracy_best_constant_classifier": m.accuracy_score(actual, constant),
        "true_positive_rate": tp / (tp + fn),
        "true_negative_rate": tn / (tn + fp),
        "false_positive_rate": fp / (tn + fp),
        "false_negative_rate": fn / (tp + fn),
        "auc": m.roc_auc_score(actual, scores),
        **fs(actual, predicted),
        **{k + "_best_constant_classifier": v for k, v in fs(actual, constant).items()},
    }
    fpr, tpr, _ = m.roc_curve(actual, scores, drop_intermediate=False)
    # Thresholds falling from recall 0, up to the first that finds all positives.
    precision, recall, _ = m.precision_recall_curve(actual, scores)
    precision, recall = precision[::-1], recall[::-1]
    end = int(np.argmax(recall == 1)) + 1
    return {
        "name": name, "actual": actual.tolist(), "predicted": predicted.tolist(), "scores": scores.tolist(),
        "metrics": {k: float(v) for k, v in values.items()},
        "curves": {"false_positive_rates": fpr.tolist(), "true_positive_rates": tpr.tolist(),
                   "precisions": precision[:end].tolist(), "recalls": recall[:end].tolist()},
    }


def multiclass(classes, rows):
    actual = random.choice(classes, rows, p=np.arange(1, classes + 1) / (classes * (classes + 1) / 2))
    predicted = np.where(random.random(rows) < 0.7, actual, random.integers(0, classes - 1, rows))
    best = int(np.argmax(np.bincount(actual, minlength=classes)))

    def of(predicted):
        how = {"average": "weighted", "zero_division": 0}
        return {
            "accuracy": m.accuracy_score(actual, predicted),
            "weighted_recall": m.recall_score(actual, predicted, **how),
            "weighted_precision": m.precision_score(actual, predicted, **how),
            **{"weighted_" + k: v for k, v in fs(actual, predicted, average="weighted").items()},
        }

    values = {**of(predicted), **{k + "_best_constant_classifier": v for k, v in of(np.full(rows, best)).items()}}
    return {"classes": classes, "actual": actual.tolist(), "predicted": predicted.tolist(),
            "metrics": {k: float(v) for k, v in values.items()}}


actual = np.round(random.normal(50, 12, 300), 3)
predicted = np.round(actual + random.normal(1, 6, 300), 3)
regression = {
    "actual": actual.tolist(), "predicted": predicted.tolist(),
    "metrics": {
        "mae": m.mean_absolute_error(actual, predicted), "mse": m.mean_squared_error(actual, predicted),
        "rmse": m.mean_squared_error(actual, predicted) ** 0.5, "r2": m.r2_score(actual, predicted),
    },
}
json.dump(
    {"binary": [binary("balanced", 300, 0.5, 4), binary("rare positives", 250, 0.12, 2),
                binary("frequent positives", 120, 0.8, 1)],
     "multiclass": [multiclass(3, 300), multiclass(7, 400)],
     "regression": regression},
    open(here / "quality_references.json", "w"), separators=(",", ":"))
