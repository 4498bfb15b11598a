"""generate.py FOLDER RECORDS: captures in SageMaker's form and a reference table, seeded.

capture.jsonl has 30 numeric features and one output a record; they imitate scikit-learn's breast cancer data with its
correlations. Feature 3 is shifted by half a standard deviation, 7 is scaled by 1.3, 1 % of 11 and 5 % of 20 are missing, 29 is
a whole number. baseline.csv has 20,000 rows of the same without the shifts, the output first, as captured rows have it."""

import os
import sys

import numpy as np
from sklearn.datasets import load_breast_cancer

folder, records = sys.argv[1], int(sys.argv[2])
os.makedirs(folder, exist_ok=True)
data = load_breast_cancer().data
mean, deviation = data.mean(0), data.std(0)
factor = np.linalg.cholesky(np.corrcoef(data.T) + 1e-3 * np.eye(30))
dice = np.random.default_rng(1)


def rows(count, shifted):
    features = np.abs(mean + deviation * (dice.standard_normal((count, 30)) @ factor.T))
    if shifted:
        features[:, 3] += 0.5 * deviation[3]
        features[:, 7] *= 1.3
    features[:, 29] = dice.integers(0, 200, count)
    answers = 1 / (1 + np.exp((features[:, 0] - 14) / 2 + dice.normal(0, 0.3, count)))
    return features, answers


features, answers = rows(20_000, False)
header = ",".join(["p"] + [f"f{place}" for place in range(30)])
np.savetxt(f"{folder}/baseline.csv", np.c_[answers, features], delimiter=",", fmt="%.8g", header=header, comments="")

SIDE = '{"observedContentType":"%s","mode":"%s","data":"%%s","encoding":"CSV"}'
LINE = (
    '{"captureData":{"endpointInput":' + SIDE % ("text/csv", "INPUT")
    + ',"endpointOutput":' + SIDE % ("text/csv; charset=utf-8", "OUTPUT")
    + '},"eventMetadata":{"eventId":"%s","inferenceTime":"2026-01-01T%02d:%02d:%02dZ"},"eventVersion":"0"}\n'
)
STEP = 20_000
with open(f"{folder}/capture.jsonl", "w", buffering=1 << 22) as out:
    for begin in range(0, records, STEP):
        count = min(STEP, records - begin)
        features, answers = rows(count, True)
        gaps = dice.random(count) < 0.01, dice.random(count) < 0.05
        digits = dice.bytes(16 * count).hex()
        lines = []
        for row in range(count):
            cells = ["%.8g" % value for value in features[row]]
            for place, missing in zip((11, 20), gaps):
                if missing[row]:
                    cells[place] = ""
            name = digits[32 * row : 32 * row + 32]
            name = f"{name[:8]}-{name[8:12]}-4{name[13:16]}-a{name[17:20]}-{name[20:]}"
            second = (begin + row) * 86_400 // records
            when = second // 3600, second // 60 % 60, second % 60
            lines.append(LINE % ((",".join(cells), "%.6g" % answers[row], name) + when))
        out.write("".join(lines))
