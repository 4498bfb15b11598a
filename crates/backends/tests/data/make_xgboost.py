#!/usr/bin/env python3
"""Write small XGBoost models in the formats that SageMaker's containers left behind (XGBoost's binary format, pickled
boosters and wrappers), and note what the library that wrote them predicts.    usage: make_xgboost.py [OUTDIR]
needs: numpy scipy scikit-learn and one of xgboost 0.90, 1.3.3, 1.5.2, 1.7.6, 2.1.4, 3.0.2; run once with each.

Adds to OUTDIR: <version>_<model>.<bin|pkl>, and lines of expected.json:
{file: {"rows": [[float32 as text, ...], ...]}} for the first ROWS lines of numeric.csv in the folder trees (blank = missing)."""
import json, os, pickle, sys, warnings
import numpy as np, xgboost as xgb

warnings.filterwarnings("ignore")
HERE = os.path.dirname(os.path.abspath(__file__))
OUT = sys.argv[1] if len(sys.argv) > 1 else os.path.join(HERE, "xgboost")
os.makedirs(OUT, exist_ok=True)
VERSION = tuple(int(part) for part in xgb.__version__.split(".")[:2])
TAG = "xgb%d_%d" % VERSION
BINARY = VERSION < (3, 0)
# Every objective and protocol from the first and the last version that AWS's containers had for long.
ALL = VERSION in ((0, 90), (1, 7))
ROWS = 12
path = lambda name: os.path.join(OUT, name)
expected = json.load(open(path("expected.json"))) if os.path.exists(path("expected.json")) else {}
expected = {name: value for name, value in expected.items() if not name.startswith(TAG + "_")}

rows = open(os.path.join(HERE, "trees", "numeric.csv")).read().splitlines()[:ROWS]
numeric = np.array([[float(c) if c else np.nan for c in row.split(",")] for row in rows])
rng = np.random.default_rng(11)
N = 300
X = np.round(rng.normal(size=(N, 6)), 3)
X[rng.random(X.shape) < 0.1] = np.nan
filled = np.nan_to_num(X)
signal = filled[:, 0] + 0.5 * filled[:, 1] * (filled[:, 2] > 0) + 0.3 * rng.normal(size=N)
y = {
    "real": signal * 3 + 10, "binary": (signal > 0).astype(float), "counts": rng.poisson(np.exp(signal / 2)).astype(float),
    "classes": np.digitize(signal, [-0.7, 0.7]).astype(float), "positive": np.exp(signal / 2) + 0.05,
}

def note(file, predictions):
    table = np.asarray(predictions, dtype=np.float32)
    table = table.reshape(len(table), -1)
    expected[file] = {"rows": [[str(np.float32(v)) for v in row] for row in table]}

def train(target, rounds=3, names=None, stop=False, **params):
    data = xgb.DMatrix(X, label=y[target], feature_names=names)
    more = {}
    if stop:
        held = xgb.DMatrix(X[150:], label=rng.permutation(y[target][150:]), feature_names=names)
        more = {"evals": [(held, "held")], "early_stopping_rounds": 2, "verbose_eval": False}
    if params["objective"].startswith("rank:"):
        data.set_group([30] * (N // 30))
    params = {"max_depth": 3, "eta": 0.4, "seed": 1, "nthread": 1, **params}
    return xgb.train(params, data, rounds, **more)

def save(name, model):
    """In the binary format; the reference is the library's own answer after it has read the file again."""
    file = "%s_%s.bin" % (TAG, name)
    # Any ending but json and ubj is the binary format.
    model.save_model(path(file) + ".deprecated")
    os.replace(path(file) + ".deprecated", path(file))
    note(file, xgb.Booster(model_file=path(file)).predict(xgb.DMatrix(numeric), validate_features=False))

def dump(name, model, protocol, best=None):
    """Pickled; the reference is what the object answers after it has been unpickled again."""
    file = "%s_%s_p%d.pkl" % (TAG, name, protocol)
    with open(path(file), "wb") as out:
        pickle.dump(model, out, protocol=protocol)
    booster = pickle.load(open(path(file), "rb"))
    booster = booster.get_booster() if hasattr(booster, "get_booster") else booster
    # As SageMaker's container asks: without a limit 0.90 goes on dropping trees of dart at random.
    best = getattr(booster, "best_ntree_limit", best) if VERSION < (1, 4) and name != "linear" else best
    limit = {} if best is None else {"ntree_limit": best} if VERSION < (1, 4) else {"iteration_range": (0, best)}
    note(file, booster.predict(xgb.DMatrix(numeric), validate_features=False, **limit))

if BINARY:
    save("binary", train("binary", objective="binary:logistic", base_score=0.3))
    save("softprob", train("classes", objective="multi:softprob", num_class=3, rounds=2))
    save("softmax", train("classes", objective="multi:softmax", num_class=3, rounds=2))
    save("linear", train("real", objective="reg:squarederror", booster="gblinear"))
    save("dart", train("binary", objective="binary:logistic", booster="dart", rate_drop=0.5, rounds=6))
    save("poisson", train("counts", objective="count:poisson", base_score=0.7))
if BINARY and ALL:
    save("linear_classes", train("classes", objective="multi:softprob", num_class=3, booster="gblinear"))
    save("gamma", train("positive", objective="reg:gamma"))
    save("tweedie", train("counts", objective="reg:tweedie"))
    save("logitraw", train("binary", objective="binary:logitraw"))
    save("hinge", train("binary", objective="binary:hinge"))
    save("reglogistic", train("binary", objective="reg:logistic"))
    save("linear_name", train("real", objective="reg:linear", rounds=2))
    save("pairwise", train("counts", objective="rank:pairwise", rounds=2))
    save("cox", train("positive", objective="survival:cox", rounds=2))
    save("forest", train("binary", objective="binary:logistic", num_parallel_tree=3, subsample=0.6, rounds=2))

names = ["age", "bmi", "bp", "s1", "s2", "s3"]
named = train("binary", objective="binary:logistic", names=names, base_score=0.3)
for protocol in range(6) if ALL else (2, 4):
    dump("named", named, protocol)
dump("classes", train("classes", objective="multi:softprob", num_class=3, rounds=2), 4)
dump("linear", train("real", objective="reg:squarederror", booster="gblinear"), 3)
dump("dart", train("real", objective="reg:squarederror", booster="dart", rate_drop=0.5, rounds=5), 2)
stopped = train("binary", objective="binary:logistic", rounds=30, stop=True, num_parallel_tree=1)
dump("stopped", stopped, 4, best=stopped.best_iteration + 1)
wrapper = xgb.XGBClassifier(n_estimators=3, max_depth=3, n_jobs=1)
wrapper.fit(X, y["binary"].astype(int))
dump("classifier", wrapper, 4)
regressor = xgb.XGBRegressor(n_estimators=3, max_depth=3, n_jobs=1)
regressor.fit(X, y["real"])
dump("regressor", regressor, 0 if ALL else 5)
odd = xgb.XGBRegressor(n_estimators=1, max_depth=1, n_jobs=1, missing=-999.0)
odd.fit(filled, y["real"])
with open(path(TAG + "_missing.pkl"), "wb") as out:
    pickle.dump(odd, out, protocol=4)

lines = ["%s:%s" % (json.dumps(name), json.dumps(value, separators=(",", ":"))) for name, value in sorted(expected.items())]
open(path("expected.json"), "w").write("{\n" + ",\n".join(lines) + "\n}\n")
print(xgb.__version__, len(expected), "models,", sum(os.path.getsize(path(f)) for f in os.listdir(OUT)) // 1024, "KiB")
