"""wide.py FOLDER COLUMNS ROWS: a table of that many columns of numbers, wide.csv, and its first tenth, reference.csv."""

import os
import sys

import numpy as np

folder, columns, rows = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
os.makedirs(folder, exist_ok=True)
dice = np.random.default_rng(2)
header = ",".join(f"c{place}" for place in range(columns)) + "\n"
with open(f"{folder}/wide.csv", "w", buffering=1 << 22) as whole, open(f"{folder}/reference.csv", "w") as reference:
    whole.write(header)
    reference.write(header)
    for row in range(rows):
        line = ",".join("%.6g" % value for value in dice.standard_normal(columns)) + "\n"
        whole.write(line)
        if row < rows // 10:
            reference.write(line)
