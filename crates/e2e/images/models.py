"""Makes the models that the images serve, and what each must answer; run inside the images' own file system."""

import io
import json
import os
import sys
import tarfile
import tempfile

import joblib
import mlflow.sklearn
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression

TOOLKIT_CODE = """
import os

import joblib


def model_fn(model_dir):
    print("toolkit: loading the model", flush=True)
    return joblib.load(os.path.join(model_dir, "model.joblib"))


def predict_fn(data, model):
    return model.predict(data)
"""

MULTI_MODEL_CODE = """
import os

import joblib
import numpy

model = None


def handle(data, context):
    global model
    if model is None:
        print("multi-model: loading the model", flush=True)
        model = joblib.load(os.path.join(context.system_properties["model_dir"], "model.joblib"))
    if not data:
        return None
    body = bytes(data[0]["body"]).decode()
    rows = numpy.array([[float(cell) for cell in row.split(",")] for row in body.splitlines()])
    context.set_response_content_type(0, "text/csv")
    return [",".join(str(label) for label in model.predict(rows))]
"""

MANIFEST = {
    "implementationVersion": "1.0", "description": "", "modelServerVersion": "1.0", "license": "Apache 2.0",
    "runtime": "python3", "model": {"modelName": "model", "handler": "handler:handle"},
}


def archive(path, files):
    """A model.tar.gz of these files: bytes, or the path of a file."""
    with tarfile.open(path, "w:gz") as tar:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))


def main(folder):
    rows, labels = load_iris(return_X_y=True)
    model = LogisticRegression(max_iter=500).fit(rows, labels)
    pickled = io.BytesIO()
    joblib.dump(model, pickled)
    pickled = pickled.getvalue()

    archive(f"{folder}/toolkit.tar.gz", {"model.joblib": pickled, "code/inference.py": TOOLKIT_CODE.encode()})
    archive(f"{folder}/multi-model.tar.gz", {
        "model.joblib": pickled,
        "handler.py": MULTI_MODEL_CODE.encode(),
        "MAR-INF/MANIFEST.json": json.dumps(MANIFEST).encode(),
    })
    with tempfile.TemporaryDirectory() as made:
        place = f"{made}/model"
        mlflow.sklearn.save_model(model, place, serialization_format="pickle", pip_requirements=["scikit-learn"])
        files = {}
        for name in sorted(os.listdir(place)):
            with open(f"{place}/{name}", "rb") as file:
                files[name] = file.read()
    archive(f"{folder}/mlflow.tar.gz", files)

    chosen = rows[::50].tolist()
    with open(f"{folder}/expected.json", "w") as file:
        json.dump({"rows": chosen, "labels": model.predict(chosen).tolist()}, file)


main(sys.argv[1])
