#!/usr/bin/env python3
"""Train small XGBoost and LightGBM models, one for each objective and shape that the tree backend claims to reproduce,
and note what the libraries themselves predict.    usage: make_trees.py [OUTDIR]
needs: numpy scipy scikit-learn xgboost-cpu==3.2.0 lightgbm==4.7.0
Run again with another XGBoost (PYTHONPATH to 1.5.2, 1.7.6, 2.1.4) it adds a few models as that version writes them.

Writes OUTDIR/<model>.{json,ubj,txt}, the request bodies numeric.csv and mixed.csv (blank cells are missing), and
expected.json: {model file: {"input": body file, "rows": [[number as text, ...], ...]}}, where the text is the shortest
that reads back as the library's own float32 (XGBoost) or float64 (LightGBM)."""
import json, os, sys, warnings
import lightgbm as lgb, numpy as np, xgboost as xgb

warnings.filterwarnings("ignore")
OUT = sys.argv[1] if len(sys.argv) > 1 else os.path.join(os.path.dirname(os.path.abspath(__file__)), "trees")
os.makedirs(OUT, exist_ok=True)
path = lambda name: os.path.join(OUT, name)
rng = np.random.default_rng(7)
OLD = None if xgb.__version__.startswith("3.") else "_".join(xgb.__version__.split(".")[:2])
expected = json.load(open(path("expected.json"))) if OLD else {}

def write_input(name, rows):
    with open(path(name), "w") as file:
        for row in rows:
            file.write(",".join("" if np.isnan(v) else repr(float(v)) for v in row) + "\n")
    # What the models see is what is in the file.
    return np.array([[float(c) if c else np.nan for c in line.rstrip("\n").split(",")] for line in open(path(name))])

# Six numeric features with blanks and zeros; the same with two category columns at places 2 and 4.
N = 600
X = np.round(rng.normal(size=(N, 6)), 3)
X[rng.random(X.shape) < 0.08] = np.nan
X[rng.random(X.shape) < 0.08] = 0.0
M = X.copy()
M[:, 2] = rng.integers(0, 5, N)
M[:, 4] = rng.integers(0, 70, N)
M[rng.random(N) < 0.1, 4] = np.nan
filled = np.nan_to_num(X)
signal = filled[:, 0] + 0.5 * filled[:, 1] * (filled[:, 2] > 0) + 0.3 * rng.normal(size=N)
y = {
    "real": signal * 3 + 10, "binary": (signal > 0).astype(float), "unit": 1 / (1 + np.exp(-signal)),
    "positive": np.exp(signal / 2) + 0.05, "counts": rng.poisson(np.exp(signal / 2)).astype(float),
    "classes": np.digitize(signal, [-0.7, 0.7]).astype(float),
}
cat_signal = np.isin(M[:, 2], [1, 3]) * 1.5 + (np.nan_to_num(M[:, 4]) % 7 > 3) + 0.3 * filled[:, 0]
y["mixed"] = (cat_signal > 1.2).astype(float)
numeric = write_input("numeric.csv", X[:40])
odd = np.full((4, 6), np.nan)
odd[1] = [0, 0, 0, 0, 0, 0]
odd[2] = [1e9, -1e9, 1, 5, 200, -3]
odd[3] = [0.1, 0.2, 9, 0.4, 31, 1e-20]
mixed = write_input("mixed.csv", np.vstack([M[:36], odd]))

def note(name, body, predictions):
    rows = np.asarray(predictions)
    rows = rows.reshape(len(rows), -1)
    expected[name] = {"input": body, "rows": [[str(v) for v in row] for row in rows]}

def train_xgb(name, target, params, data=None, rounds=4, form="json", names=None, types=None, **more):
    source, body, rows = (X, "numeric.csv", numeric) if data is None else data
    train = xgb.DMatrix(source, label=target, feature_names=names, feature_types=types, enable_categorical=types is not None)
    if params.get("objective") == "survival:aft":
        train = xgb.DMatrix(source)
        train.set_float_info("label_lower_bound", target)
        train.set_float_info("label_upper_bound", target * 1.5)
    if params.get("objective", "").startswith("rank:"):
        train.set_group([30] * (N // 30))
    model = xgb.train({"max_depth": 3, "eta": 0.4, "seed": 1, "nthread": 1, **params}, train, rounds, **more)
    file = f"{name}.{form}"
    model.save_model(path(file))
    test = xgb.DMatrix(rows, feature_names=names, feature_types=types, enable_categorical=types is not None)
    best = model.attributes().get("best_iteration")
    used = (0, int(best) + 1) if best else (0, 0)
    note(file, body, model.predict(test, iteration_range=used).astype(np.float32))
    return model

def finish():
    lines = [f"{json.dumps(name)}:{json.dumps(value, separators=(',', ':'))}" for name, value in sorted(expected.items())]
    open(path("expected.json"), "w").write("{\n" + ",\n".join(lines) + "\n}\n")
    print(len(expected), "models,", sum(os.path.getsize(path(f)) for f in os.listdir(OUT)) // 1024, "KiB")

O = lambda objective, **more: {"objective": objective, **more}
if OLD:
    form = "json" if OLD == "1_5" else "ubj"
    train_xgb(f"xgb{OLD}_binary", y["binary"], O("binary:logistic", base_score=0.3), form="json")
    train_xgb(f"xgb{OLD}_logitraw", y["binary"], O("binary:logitraw", base_score=0.3), rounds=2, form=form)
    train_xgb(f"xgb{OLD}_softprob", y["classes"], O("multi:softprob", num_class=3, num_parallel_tree=2, subsample=0.5), rounds=2, form=form)
    train_xgb(f"xgb{OLD}_gamma", y["positive"], O("reg:gamma"), rounds=2, form=form)
    train_xgb(f"xgb{OLD}_dart", y["real"], O("reg:squarederror", booster="dart", rate_drop=0.5), rounds=6, form=form)
    train_xgb(f"xgb{OLD}_linear", y["classes"], O("multi:softprob", num_class=3, booster="gblinear"), form=form)
    held = xgb.DMatrix(X[300:], label=rng.permutation(y["binary"][300:]))
    train_xgb(f"xgb{OLD}_stopped", y["binary"], O("binary:logistic"), rounds=40, form=form, evals=[(held, "held")], early_stopping_rounds=2, verbose_eval=False)
    finish()
    sys.exit()
train_xgb("xgb_squarederror", y["real"], O("reg:squarederror"))
train_xgb("xgb_squarederror_names", y["real"], O("reg:squarederror"), names=list("abcdef"), form="ubj")
train_xgb("xgb_squaredlogerror", y["positive"], O("reg:squaredlogerror"), form="ubj")
train_xgb("xgb_pseudohuber", y["real"], O("reg:pseudohubererror"), form="ubj")
train_xgb("xgb_absoluteerror", y["real"], O("reg:absoluteerror"), form="ubj")
train_xgb("xgb_quantile", y["real"], O("reg:quantileerror", quantile_alpha=[0.1, 0.9]), form="ubj")
train_xgb("xgb_reglogistic", y["unit"], O("reg:logistic"), form="ubj")
binary = train_xgb("xgb_binary", y["binary"], O("binary:logistic"), rounds=12)
binary.save_model(path("xgb_binary.ubj"))
expected["xgb_binary.ubj"] = expected["xgb_binary.json"]
train_xgb("xgb_binary_base", y["binary"], O("binary:logistic", base_score=0.3))
train_xgb("xgb_logitraw", y["binary"], O("binary:logitraw"), form="ubj")
train_xgb("xgb_hinge", y["binary"], O("binary:hinge"), form="ubj")
train_xgb("xgb_softmax", y["classes"], O("multi:softmax", num_class=3), form="ubj")
train_xgb("xgb_softprob", y["classes"], O("multi:softprob", num_class=3))
train_xgb("xgb_poisson", y["counts"], O("count:poisson"))
train_xgb("xgb_gamma", y["positive"], O("reg:gamma"), form="ubj")
train_xgb("xgb_tweedie", y["counts"], O("reg:tweedie", tweedie_variance_power=1.3), form="ubj")
train_xgb("xgb_pairwise", y["counts"], O("rank:pairwise"), form="ubj")
train_xgb("xgb_ndcg", np.minimum(y["counts"], 4), O("rank:ndcg"), form="ubj")
train_xgb("xgb_cox", y["positive"], O("survival:cox"), form="ubj")
train_xgb("xgb_aft", y["positive"], O("survival:aft", aft_loss_distribution="logistic"), form="ubj")
train_xgb("xgb_dart", y["binary"], O("binary:logistic", booster="dart", rate_drop=0.5), rounds=10)
train_xgb("xgb_linear", y["real"], O("reg:squarederror", booster="gblinear"))
train_xgb("xgb_linear_classes", y["classes"], O("multi:softprob", num_class=3, booster="gblinear"), form="ubj")
train_xgb("xgb_forest", y["binary"], O("binary:logistic", num_parallel_tree=5, subsample=0.6, colsample_bynode=0.5), rounds=2)
train_xgb("xgb_targets", np.c_[y["real"], y["unit"]], O("reg:squarederror"))
train_xgb("xgb_deep", y["real"], O("reg:squarederror", grow_policy="lossguide", max_leaves=60, max_depth=0), rounds=3)
kinds = ["float", "float", "c", "float", "c", "float"]
at = (M, "mixed.csv", mixed)
train_xgb("xgb_onehot", y["mixed"], O("binary:logistic", max_cat_to_onehot=100), data=at, types=kinds)
train_xgb("xgb_partition", y["mixed"], O("binary:logistic", max_cat_to_onehot=1), data=at, types=kinds, rounds=8)
train_xgb("xgb_partition_names", y["mixed"], O("binary:logistic", max_cat_to_onehot=1), data=at, types=kinds, names=list("abcdef"), form="ubj")
held = xgb.DMatrix(X[300:], label=rng.permutation(y["binary"][300:]))
train_xgb("xgb_stopped", y["binary"], O("binary:logistic"), rounds=40, evals=[(held, "held")], early_stopping_rounds=3, verbose_eval=False)
assert json.load(open(path("xgb_stopped.json")))["learner"]["attributes"]["best_iteration"]

def train_lgb(name, target, params, data=None, rounds=4, whole_file=False, **more):
    source, body, rows = (X, "numeric.csv", numeric) if data is None else data
    data_set = lgb.Dataset(source, label=target, free_raw_data=False, **more)
    base = {"verbose": -1, "num_leaves": 7, "learning_rate": 0.3, "num_threads": 1, "seed": 1, "deterministic": True, "min_data_in_leaf": 5}
    model = lgb.train({**base, **params}, data_set, rounds)
    text = model.model_to_string()
    # The parameters of the training fill most of a small file and say nothing about the model.
    open(path(f"{name}.txt"), "w").write(text if whole_file else text.split("end of trees")[0] + "end of trees\n")
    note(f"{name}.txt", body, model.predict(rows))

ranked = np.full(N // 30, 30)
train_lgb("lgb_regression", y["real"], O("regression"), whole_file=True)
train_lgb("lgb_sqrt", y["real"] - 10, O("regression", reg_sqrt=True))
for objective in ("regression_l1", "huber", "fair", "quantile", "mape"):
    train_lgb(f"lgb_{objective}", y["real"], O(objective), rounds=2)
for objective in ("poisson", "tweedie"):
    train_lgb(f"lgb_{objective}", y["counts"], O(objective), rounds=2)
train_lgb("lgb_gamma", y["positive"], O("gamma"), rounds=2)
train_lgb("lgb_binary", y["binary"], O("binary", sigmoid=1.7), rounds=12, feature_name=list("abcdef"))
train_lgb("lgb_multiclass", y["classes"], O("multiclass", num_class=3))
train_lgb("lgb_multiclassova", y["classes"], O("multiclassova", num_class=3, sigmoid=2))
train_lgb("lgb_cross_entropy", y["unit"], O("cross_entropy"), rounds=2)
train_lgb("lgb_cross_entropy_lambda", y["unit"], O("cross_entropy_lambda"), rounds=2)
train_lgb("lgb_lambdarank", np.minimum(y["counts"], 4), O("lambdarank"), rounds=2, group=ranked)
train_lgb("lgb_rank_xendcg", np.minimum(y["counts"], 4), O("rank_xendcg"), rounds=2, group=ranked)
train_lgb("lgb_forest", y["binary"], O("binary", boosting="rf", bagging_freq=1, bagging_fraction=0.6))
train_lgb("lgb_dart", y["binary"], O("binary", boosting="dart", drop_rate=0.5), rounds=8)
train_lgb("lgb_zero_missing", y["real"], O("regression", zero_as_missing=True))
train_lgb("lgb_none_missing", y["real"], O("regression", use_missing=False))
train_lgb("lgb_deep", y["real"], O("regression", num_leaves=60, min_data_in_leaf=1), rounds=2)
train_lgb("lgb_stump", np.ones(N), O("regression"), rounds=2)
train_lgb("lgb_categories", y["mixed"], O("binary", min_data_per_group=1, cat_smooth=1, max_cat_to_onehot=1), data=at, rounds=6, categorical_feature=[2, 4])
train_lgb("lgb_onehot", y["mixed"], O("binary", min_data_per_group=1, cat_smooth=1, max_cat_to_onehot=100), data=at, rounds=4, categorical_feature=[2, 4])
train_lgb("lgb_linear_tree", y["real"], O("regression", linear_tree=True), rounds=1)
expected.pop("lgb_linear_tree.txt")

finish()
