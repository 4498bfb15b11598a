"""Runs a monitoring script as SageMaker's analyser does: `driver.py preprocess FILE` or `driver.py postprocess FILE`.

preprocess: a captured record in JSON a line comes in, and a line goes out for each: `rows` with a JSON list of rows, `skipped`, or
`failed` with the reason as JSON text, with a tab behind the word. What the script prints goes to standard error.
"""
import importlib.machinery
import importlib.util
import inspect
import json
import logging
import math
import os
import re
import sys
import traceback


class Part:
    """A part of a record: its members as attributes in snake case, or as of a dict under either name."""

    def __init__(self, members):
        self._members = dict(members)
        for name, value in self._members.items():
            setattr(self, snake(name), part(value))

    def get(self, name, default=None):
        return getattr(self, snake(str(name)), default)

    def __getitem__(self, name):
        try:
            return getattr(self, snake(str(name)))
        except AttributeError:
            raise KeyError(name) from None

    def __contains__(self, name):
        return hasattr(self, snake(str(name)))

    def __repr__(self):
        return repr(self._members)


def part(value):
    return Part(value) if isinstance(value, dict) else value


def snake(name):
    return re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()


def side(members):
    if members is None:
        return None
    return Part({"encoding": "BASE64", "observedContentType": None, "mode": None, **members})


def inference_record(record):
    captured, metadata = record["captureData"], record.get("eventMetadata") or {}
    made = Part({name: value for name, value in record.items() if name not in ("captureData", "eventMetadata")})
    made._members = record
    made.endpoint_input, made.endpoint_output = side(captured.get("endpointInput")), side(captured.get("endpointOutput"))
    custom = metadata.get("customAttributes")
    made.event_metadata = Part({"inferenceId": None, "inferenceTime": None, "customAttributes": custom, **metadata})
    made.event_metadata.custom_attribute = custom[0] if custom else None
    made.event_id = metadata.get("eventId")
    if "groundTruthData" in record:
        made.ground_truth = made.ground_truth_data = side(record["groundTruthData"])
    return made


def plain(value):
    """Values of numpy and pandas as JSON has them; what is no number is missing."""
    if hasattr(value, "item") and not isinstance(value, (dict, list, tuple)):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, dict):
        return {str(name): plain(one) for name, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(one) for one in value]
    return value


def rows_of(returned):
    if returned is None or (isinstance(returned, (list, tuple, dict)) and not returned):
        return None
    if isinstance(returned, dict):
        return [returned]
    if isinstance(returned, (list, tuple)):
        if all(isinstance(one, (dict, list, tuple)) for one in returned):
            return list(returned)
        if not any(isinstance(one, (dict, list, tuple)) for one in returned):
            return [returned]
        raise TypeError("preprocess_handler returned a list of rows and values mixed")
    raise TypeError(f"preprocess_handler returned {type(returned).__name__}, and not a dict, a list of dicts or a list")


def answer(handler, line):
    try:
        rows = rows_of(handler(inference_record(json.loads(line))))
        return "skipped\t" if rows is None else "rows\t" + json.dumps(plain(rows), default=str, allow_nan=False)
    except Exception as error:
        inside = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename == SCRIPT]
        where = f" (line {inside[-1].lineno})" if inside else ""
        return "failed\t" + json.dumps(f"{type(error).__name__}: {error}{where}")


def load():
    loader = importlib.machinery.SourceFileLoader("monitoring_script", SCRIPT)
    spec = importlib.util.spec_from_loader(loader.name, loader)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    sys.path.insert(0, os.path.dirname(SCRIPT))
    spec.loader.exec_module(module)
    return module


def called(function, logger):
    """The function with or without a logger, as it takes one."""
    takes = len(inspect.signature(function).parameters)
    return (lambda *given: function(*given, logger)) if takes > ARGUMENTS[MODE] else function


MODE, SCRIPT = sys.argv[1], os.path.abspath(sys.argv[2])
HANDLERS, ARGUMENTS = {"preprocess": "preprocess_handler", "postprocess": "postprocess_handler"}, {"preprocess": 1, "postprocess": 0}
replies = os.fdopen(os.dup(1), "w", encoding="utf-8")
os.dup2(2, 1)
logging.basicConfig(stream=sys.stderr, level=logging.WARNING)
loaded = load()
if not hasattr(loaded, HANDLERS[MODE]):
    sys.exit(f"{SCRIPT} has no {HANDLERS[MODE]}")
function = called(getattr(loaded, HANDLERS[MODE]), logging.getLogger(HANDLERS[MODE]))
if MODE == "postprocess":
    function()
else:
    for record in sys.stdin.buffer:
        replies.write(answer(function, record) + "\n")
        replies.flush()
