#!/usr/bin/env python3
"""Exports the ONNX models that the tests of captura-backends run: what users of scikit-learn, XGBoost and LightGBM really
deploy, each a few kilobytes, with some rows and what the model answers to them.

    python3 -m venv venv
    venv/bin/pip install scikit-learn skl2onnx onnxmltools xgboost-cpu lightgbm onnx onnxruntime pandas "protobuf<6"
    venv/bin/python make_onnx.py onnx

The answers are ONNX Runtime's own, after they were compared with those of the library that trained the model.
Writes external/ and endless/ (see below), NAME.onnx for every other model, and expected.json:
    {NAME: {"family": what it is, "rows": rows as JSON, "columns": their names or null,
            "expected": for each row all outputs side by side, "content": "csv" when rows can be sent as CSV too}}
"""
import json
import os
import sys
import warnings

import lightgbm as lgb
import numpy as np
import onnx
import onnxruntime as ort
import pandas as pd
import xgboost as xgb
from onnx import TensorProto, helper, numpy_helper
from onnxmltools.convert import convert_lightgbm, convert_xgboost
from onnxmltools.convert.common.data_types import FloatTensorType as ToolsFloat
from skl2onnx import to_onnx
from skl2onnx.common.data_types import DoubleTensorType, FloatTensorType, Int64TensorType, StringTensorType
from sklearn.cluster import KMeans
from sklearn.compose import ColumnTransformer
from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits, load_iris
from sklearn.decomposition import PCA
from sklearn.ensemble import (AdaBoostClassifier, BaggingClassifier, ExtraTreesClassifier, GradientBoostingClassifier,
                              GradientBoostingRegressor, HistGradientBoostingClassifier, HistGradientBoostingRegressor,
                              IsolationForest, RandomForestClassifier, RandomForestRegressor, StackingClassifier,
                              VotingClassifier)
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge
from sklearn.multioutput import MultiOutputClassifier
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, OneHotEncoder, StandardScaler
from sklearn.svm import SVC, SVR
from sklearn.tree import DecisionTreeClassifier

warnings.filterwarnings("ignore")
OUT = sys.argv[1] if len(sys.argv) > 1 else "onnx"
OPSET = {"": 17, "ai.onnx.ml": 3}
ROWS = 4
index = {}
rng = np.random.default_rng(7)


def flat(outputs, rows):
    """All outputs of a row side by side, maps by ascending key, as the CSV answer has them."""
    cells = [[] for _ in range(rows)]

    def put(row, value):
        if isinstance(value, dict):
            for key in sorted(value):
                put(row, value[key])
        elif isinstance(value, (list, np.ndarray)):
            for item in np.asarray(value).ravel():
                put(row, item)
        else:
            cells[row].append(value.item() if isinstance(value, np.generic) else value)

    for output in outputs:
        if isinstance(output, list) and len(output) != rows or (isinstance(output, list) and isinstance(output[0], np.ndarray)):
            for part in output:
                for row in range(rows):
                    put(row, part[row])
        else:
            for row in range(rows):
                put(row, output[row])
    return cells


def keep(name, family, model, feeds, rows, reference=None, columns=None, content="csv", one_by_one=False):
    """Saves a model with what it answers; `reference` is what the training library says, output by output."""
    path = os.path.join(OUT, name + ".onnx")
    onnx.checker.check_model(model)
    with open(path, "wb") as file:
        file.write(model.SerializeToString())
    session = ort.InferenceSession(path, providers=["CPUExecutionProvider"])
    count = len(rows)
    if one_by_one:
        expected = [flat(session.run(None, {k: v[i:i + 1] for k, v in feeds.items()}), 1)[0] for i in range(count)]
    else:
        expected = flat(session.run(None, feeds), count)
    if reference is not None:
        want = flat([np.asarray(part) for part in reference], count)
        for got, wanted in zip(expected, want):
            assert len(got) == len(wanted), (name, got, wanted)
            for a, b in zip(got, wanted):
                assert a == b if isinstance(b, str) else abs(a - b) <= 1e-4 * max(1, abs(b)), (name, a, b)
    index[name] = {"family": family, "rows": rows, "columns": columns, "expected": expected, "content": content}


def plain(values):
    """Numbers of a matrix as JSON has them: missing ones are null."""
    return [[None if np.isnan(v) else float(v) for v in row] for row in np.asarray(values, dtype=np.float64)]


def classifier(name, family, estimator, X, y, zipmap=False, reference=True, X_fit=None):
    estimator.fit(X if X_fit is None else X_fit, y)
    options = {id(estimator): {"zipmap": zipmap}}
    model = to_onnx(estimator, X[:1], options=options, target_opset=OPSET)
    some = X[sample(y)]
    expect = [estimator.predict(some), estimator.predict_proba(some)] if reference else None
    keep(name, family, model, {model.graph.input[0].name: some}, plain(some), expect)


def regressor(name, family, estimator, X, y):
    estimator.fit(X, y)
    model = to_onnx(estimator, X[:1], target_opset=OPSET)
    some = X[:ROWS]
    keep(name, family, model, {model.graph.input[0].name: some}, plain(some), [estimator.predict(some)])


def sample(y):
    """Rows of every class."""
    y = np.asarray(y)
    first = [int(np.flatnonzero(y == label)[0]) for label in np.unique(y)]
    return (first + [5, 60, 77])[:max(ROWS, len(first))]


def tensor(array, name):
    return numpy_helper.from_array(np.asarray(array, dtype=np.float32), name)


def build(nodes, inputs, outputs, initializers):
    graph = helper.make_graph(nodes, "model", inputs, outputs, initializers)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def scikit_learn():
    cancer, diabetes, iris, digits = load_breast_cancer(), load_diabetes(), load_iris(), load_digits()
    B, b = cancer.data[:, :8].astype(np.float32), cancer.target
    D, d = diabetes.data.astype(np.float32), diabetes.target
    I, i = iris.data.astype(np.float32), iris.target
    names = np.array(iris.target_names)[i]
    holes = B.copy()
    holes[rng.random(holes.shape) < 0.1] = np.nan

    classifier("scaler_logreg", "scaler + logistic regression", make_pipeline(StandardScaler(), LogisticRegression()), B, b)
    classifier("logreg_zipmap", "logistic regression, ZipMap", LogisticRegression(max_iter=500), I, i, zipmap=True)
    classifier("logreg_text_labels_zipmap", "logistic regression, text labels, ZipMap", LogisticRegression(max_iter=500), I,
               names, zipmap=True)
    classifier("logreg_text_labels", "logistic regression, text labels", LogisticRegression(max_iter=500), I, names)
    classifier("imputer_logreg", "imputer + scaler + logistic regression",
               make_pipeline(SimpleImputer(), MinMaxScaler(), LogisticRegression()), holes, b)
    classifier("svc", "support vectors, classifier",
               make_pipeline(StandardScaler(), SVC(C=5, probability=True, random_state=0)), I[::3], i[::3], reference=False)
    classifier("knn", "nearest neighbours", KNeighborsClassifier(3), I[::3], i[::3])
    classifier("decision_tree", "decision tree", DecisionTreeClassifier(max_depth=3, random_state=0), I, i)
    classifier("random_forest", "random forest, classifier", RandomForestClassifier(8, max_depth=4, random_state=0), B, b)
    classifier("random_forest_zipmap", "random forest, ZipMap", RandomForestClassifier(6, max_depth=3, random_state=0), I, i,
               zipmap=True)
    classifier("extra_trees", "extra trees", ExtraTreesClassifier(6, max_depth=4, random_state=0), I, i)
    classifier("gradient_boosting", "gradient boosting, classifier", GradientBoostingClassifier(n_estimators=8, random_state=0),
               B, b)
    classifier("hist_gradient_boosting", "histogram gradient boosting, classifier",
               HistGradientBoostingClassifier(max_iter=6, max_leaf_nodes=6), holes, b)
    classifier("adaboost", "AdaBoost", AdaBoostClassifier(n_estimators=5, random_state=0), I, i)
    classifier("bagging", "bagging",
               BaggingClassifier(DecisionTreeClassifier(max_depth=3), n_estimators=4, random_state=0), I, i)
    classifier("naive_bayes", "naive Bayes", GaussianNB(), I, i)
    classifier("mlp", "neural network, classifier",
               make_pipeline(StandardScaler(), MLPClassifier((8, 4), max_iter=300, random_state=0)), I, i)
    classifier("voting", "voting", VotingClassifier(
        [("a", LogisticRegression(max_iter=500)), ("b", DecisionTreeClassifier(max_depth=3, random_state=0))], voting="soft", flatten_transform=False), I, i)
    classifier("stacking", "stacking", StackingClassifier(
        [("a", GaussianNB()), ("b", DecisionTreeClassifier(max_depth=3, random_state=0))], LogisticRegression()), I, i)
    classifier("pca_logreg", "PCA + logistic regression", make_pipeline(PCA(3), LogisticRegression(max_iter=500)), I, i)

    regressor("linear", "linear regression", LinearRegression(), D, d)
    regressor("scaler_ridge", "scaler + ridge", make_pipeline(StandardScaler(), Ridge()), D, d)
    regressor("svr", "support vectors, regressor", make_pipeline(StandardScaler(), SVR(C=50)), D[::8], d[::8])
    regressor("random_forest_regressor", "random forest, regressor", RandomForestRegressor(6, max_depth=4, random_state=0), D, d)
    regressor("gradient_boosting_regressor", "gradient boosting, regressor",
              GradientBoostingRegressor(n_estimators=8, random_state=0), D, d)
    regressor("hist_gradient_boosting_regressor", "histogram gradient boosting, regressor",
              HistGradientBoostingRegressor(max_iter=6, max_leaf_nodes=6), D, d)
    regressor("mlp_regressor", "neural network, regressor",
              make_pipeline(StandardScaler(), MLPRegressor(hidden_layer_sizes=(8,), max_iter=500, random_state=0)), D, d)

    double = make_pipeline(StandardScaler(), Ridge()).fit(D.astype(np.float64), d)
    model = to_onnx(double, initial_types=[("X", DoubleTensorType([None, D.shape[1]]))], target_opset=OPSET)
    some = diabetes.data[:ROWS]
    keep("double_ridge", "ridge in double precision", model, {"X": some}, plain(some), [double.predict(some)])

    isolation = IsolationForest(n_estimators=6, max_samples=32, random_state=0).fit(I)
    model = to_onnx(isolation, I[:1], target_opset={"": 17, "ai.onnx.ml": 3})
    keep("isolation_forest", "isolation forest", model, {"X": I[:ROWS]}, plain(I[:ROWS]),
         [isolation.predict(I[:ROWS]), isolation.decision_function(I[:ROWS])])

    kmeans = KMeans(3, n_init=3, random_state=0).fit(I)
    model = to_onnx(kmeans, I[:1], target_opset=OPSET)
    keep("kmeans", "k-means", model, {"X": I[:ROWS]}, plain(I[:ROWS]), [kmeans.predict(I[:ROWS]), kmeans.transform(I[:ROWS])])

    both = np.stack([i, (I[:, 0] > 5.8).astype(int)], axis=1)
    many = MultiOutputClassifier(DecisionTreeClassifier(max_depth=2, random_state=0)).fit(I, both)
    model = to_onnx(many, I[:1], options={id(many): {"zipmap": False}}, target_opset=OPSET)
    some = I[sample(i)]
    keep("multi_output", "classifier of two targets", model, {"X": some}, plain(some), [many.predict(some), *many.predict_proba(some)])
    return digits


def mixed():
    count = 300
    frame = pd.DataFrame({
        "age": rng.integers(18, 80, count).astype(np.float32),
        "income": np.round(rng.lognormal(10, 0.5, count)).astype(np.float32),
        "visits": rng.integers(0, 9, count),
        "city": rng.choice(["Lisboa", "São Paulo", "Porto"], count),
        "plan": rng.choice(["basic", "gold, family"], count),
    })
    target = ((frame["age"] > 45) ^ (frame["city"] == "Porto") ^ (frame["visits"] > 6)).astype(int)
    columns = ColumnTransformer([("numbers", StandardScaler(), ["age", "income", "visits"]),
                                 ("words", OneHotEncoder(handle_unknown="ignore"), ["city", "plan"])])
    pipeline = make_pipeline(columns, RandomForestClassifier(5, max_depth=4, random_state=0)).fit(frame, target)
    types = [("age", FloatTensorType([None, 1])), ("income", FloatTensorType([None, 1])), ("visits", Int64TensorType([None, 1])),
             ("city", StringTensorType([None, 1])), ("plan", StringTensorType([None, 1]))]
    some = frame.iloc[:ROWS]
    feeds = {name: some[[name]].to_numpy(dtype=object if some[name].dtype.kind in "OUT" else some[name].dtype) for name in frame.columns}
    rows = [[v.item() if isinstance(v, np.generic) else v for v in row] for row in some.itertuples(index=False)]
    for name, zipmap in (("mixed_columns", False), ("mixed_columns_zipmap", True)):
        model = to_onnx(pipeline, initial_types=types, options={id(pipeline): {"zipmap": zipmap}}, target_opset=OPSET)
        keep(name, "text and number columns, one-hot" + (", ZipMap" if zipmap else ""), model, feeds, rows,
             [pipeline.predict(some), pipeline.predict_proba(some)], columns=list(frame.columns))

    words = frame[["city", "plan"]].to_numpy(dtype=object)
    encoder = make_pipeline(OneHotEncoder(handle_unknown="ignore"), LogisticRegression()).fit(words, target)
    model = to_onnx(encoder, initial_types=[("X", StringTensorType([None, 2]))], options={id(encoder): {"zipmap": False}},
                    target_opset=OPSET)
    keep("text_matrix", "text matrix, one-hot + logistic regression", model, {"X": words[:ROWS]}, words[:ROWS].tolist(),
         [encoder.predict(words[:ROWS]), encoder.predict_proba(words[:ROWS])])


def boosters():
    cancer, diabetes, iris = load_breast_cancer(), load_diabetes(), load_iris()
    B, b = cancer.data[:, :8].astype(np.float32), cancer.target
    D, d = diabetes.data.astype(np.float32), diabetes.target
    I, i = iris.data.astype(np.float32), iris.target
    sets = {"binary": (B, b), "multiclass": (I, i), "regressor": (D, d)}
    for kind, (X, y) in sets.items():
        some = X[:ROWS] if kind == "regressor" else X[sample(y)]
        X = X if kind != "binary" else np.where(rng.random(X.shape) < 0.05, np.nan, X).astype(np.float32)
        shape = [("input", ToolsFloat([None, X.shape[1]]))]
        size = {"n_estimators": 6, "max_depth": 3, "random_state": 0}
        if kind == "regressor":
            boosted = xgb.XGBRegressor(**size).fit(X, y)
            keep("xgboost_" + kind, "XGBoost, " + kind, convert_xgboost(boosted, initial_types=shape, target_opset=15),
                 {"input": some}, plain(some), [boosted.predict(some)])
            light = lgb.LGBMRegressor(**size, verbose=-1).fit(X, y)
            keep("lightgbm_" + kind, "LightGBM, " + kind, convert_lightgbm(light, initial_types=shape, target_opset=15),
                 {"input": some}, plain(some), [light.predict(some)])
            continue
        boosted = xgb.XGBClassifier(**size).fit(X, y)
        keep("xgboost_" + kind, "XGBoost, " + kind, convert_xgboost(boosted, initial_types=shape, target_opset=15),
             {"input": some}, plain(some), [boosted.predict(some), boosted.predict_proba(some)])
        light = lgb.LGBMClassifier(**size, verbose=-1).fit(X, y)
        for name, zipmap in (("", False), ("_zipmap", True)):
            model = convert_lightgbm(light, initial_types=shape, target_opset=15, zipmap=zipmap)
            keep(f"lightgbm_{kind}{name}", f"LightGBM, {kind}" + (", ZipMap" if zipmap else ""), model, {"input": some},
                 plain(some), [light.predict(some), light.predict_proba(some)])


def networks(digits):
    info, FLOAT = helper.make_tensor_value_info, TensorProto.FLOAT
    weights = [tensor(rng.normal(0, 0.5, (4, 1, 3, 3)), "k"), tensor(rng.normal(0, 0.1, 4), "kb"),
               tensor(rng.normal(0, 0.2, (64, 10)), "w"), tensor(rng.normal(0, 0.1, 10), "wb")]
    nodes = [helper.make_node("Conv", ["image", "k", "kb"], ["c"], pads=[1, 1, 1, 1]), helper.make_node("Relu", ["c"], ["r"]),
             helper.make_node("MaxPool", ["r"], ["p"], kernel_shape=[2, 2], strides=[2, 2]), helper.make_node("Flatten", ["p"], ["f"]),
             helper.make_node("Gemm", ["f", "w", "wb"], ["g"]), helper.make_node("Softmax", ["g"], ["probabilities"])]
    images = (digits.images[:ROWS, None] / 16).astype(np.float32)
    as_json = images.astype(np.float64).tolist()
    model = build(nodes, [info("image", FLOAT, ["N", 1, 8, 8])], [info("probabilities", FLOAT, ["N", 10])], weights)
    keep("cnn", "convolutional network", model, {"image": images}, as_json, content="csv")

    pooled = [helper.make_node("Conv", ["image", "k", "kb"], ["c"], pads=[1, 1, 1, 1]),
              helper.make_node("GlobalAveragePool", ["c"], ["a"]), helper.make_node("Flatten", ["a"], ["features"])]
    model = build(pooled, [info("image", FLOAT, ["N", 1, "H", "W"])], [info("features", FLOAT, ["N", 4])], weights[:2])
    keep("cnn_any_size", "convolutional network, images of any size", model, {"image": images}, as_json, content="json")

    linear = [helper.make_node("MatMul", ["x", "m"], ["y"])]
    model = build(linear, [info("x", FLOAT, [1, 3])], [info("y", FLOAT, [1, 2])], [tensor(rng.normal(0, 1, (3, 2)), "m")])
    some = rng.normal(0, 1, (ROWS, 3)).astype(np.float32)
    keep("one_row_at_a_time", "network with a fixed batch of one", model, {"x": some}, plain(some), one_by_one=True)

    count = [helper.make_node("Cast", ["pixels"], ["f"], to=FLOAT), helper.make_node("ReduceMean", ["f"], ["mean"], axes=[1], keepdims=0),
             helper.make_node("And", ["wanted", "wanted"], ["kept"])]
    model = build(count, [info("pixels", TensorProto.UINT8, ["N", 3]), info("wanted", TensorProto.BOOL, ["N"])],
                  [info("mean", FLOAT, ["N"]), info("kept", TensorProto.BOOL, ["N"])], [])
    pixels = rng.integers(0, 255, (ROWS, 3)).astype(np.uint8)
    wanted = np.array([True, False, False, True])
    rows = [[*map(int, row), int(flag)] for row, flag in zip(pixels, wanted)]
    keep("bytes_and_truths", "byte and truth inputs", model, {"pixels": pixels, "wanted": wanted}, rows)


def external():
    """A model that keeps its weights in a file beside it: external/model.onnx, external/weights.bin; y = 2 x."""
    folder = os.path.join(OUT, "external")
    os.makedirs(folder, exist_ok=True)
    info = helper.make_tensor_value_info
    model = build([helper.make_node("MatMul", ["x", "m"], ["y"])], [info("x", TensorProto.FLOAT, ["N", 3])],
                  [info("y", TensorProto.FLOAT, ["N", 3])], [tensor(2 * np.eye(3), "m")])
    weights = os.path.join(folder, "weights.bin")
    if os.path.exists(weights):
        os.remove(weights)
    onnx.save(model, os.path.join(folder, "model.onnx"), save_as_external_data=True, location="weights.bin", size_threshold=0)


def endless():
    """A model that counts for ever when x is not 0: endless/model.onnx; it stands for models that take too long."""
    os.makedirs(os.path.join(OUT, "endless"), exist_ok=True)
    info = helper.make_tensor_value_info
    body = helper.make_graph(
        [helper.make_node("Identity", ["go"], ["go_on"]), helper.make_node("Add", ["sum", "one"], ["next"])], "body",
        [info("turn", TensorProto.INT64, []), info("go", TensorProto.BOOL, []), info("sum", TensorProto.FLOAT, [])],
        [info("go_on", TensorProto.BOOL, []), info("next", TensorProto.FLOAT, [])])
    nodes = [helper.make_node("ReduceSum", ["x"], ["total"], keepdims=0), helper.make_node("Cast", ["total"], ["some"], to=TensorProto.BOOL),
             helper.make_node("Loop", ["", "some", "total"], ["end"], body=body),
             helper.make_node("Add", ["x", "end"], ["y"])]
    model = build(nodes, [info("x", TensorProto.FLOAT, ["N", 1])], [info("y", TensorProto.FLOAT, ["N", 1])], [tensor(1, "one")])
    onnx.checker.check_model(model)
    onnx.save(model, os.path.join(OUT, "endless", "model.onnx"))


if __name__ == "__main__":
    os.makedirs(OUT, exist_ok=True)
    external()
    endless()
    digits = scikit_learn()
    mixed()
    boosters()
    networks(digits)
    with open(os.path.join(OUT, "expected.json"), "w") as file:
        entries = [f" {json.dumps(name)}: {json.dumps(entry, ensure_ascii=False)}" for name, entry in index.items()]
        file.write("{\n" + ",\n".join(entries) + "\n}\n")
    size = sum(os.path.getsize(os.path.join(folder, name)) for folder, _, names in os.walk(OUT) for name in names)
    print(f"{len(index)} models, {size} bytes")
