"""LinearClassifier and LinearRegressor."""

import numpy as np
from onnx import TensorProto, helper

from .cases import model_of
from .trees import TRANSFORMS


def matrix(random, features: int, kinds=(np.float32, np.float64, np.int32, np.int64)) -> np.ndarray:
    count = int(random.choice([1, 2, 9]))
    x = random.standard_normal((count, features)) * 2
    kind = kinds[int(random.integers(len(kinds)))]
    return np.round(x).astype(kind) if kind in (np.int32, np.int64) else x.astype(kind)


def labels(random, classes: int, prefix: str) -> tuple:
    if random.random() < 0.5:
        return {"classlabels_strings": [f"c{c}" for c in range(classes)]}, TensorProto.STRING
    return {prefix: [int(random.choice([0, 7])) + 2 * c for c in range(classes)]}, TensorProto.INT64


def classifier(random):
    features = int(random.integers(1, 40))
    x = matrix(random, features)
    targets = int(random.choice([1, 1, 2, 3, 5]))
    classes = 2 if targets == 1 and random.random() < 0.7 else targets
    named, label = labels(random, classes, "classlabels_ints")
    attributes = {
        "coefficients": list(map(float, random.standard_normal(targets * features).astype(np.float32))),
        "intercepts": list(map(float, random.standard_normal(targets).astype(np.float32))),
        "multi_class": int(random.integers(2)),
        "post_transform": str(random.choice(TRANSFORMS)),
        **named,
    }
    if targets == 1 and attributes["post_transform"] == "PROBIT":
        attributes["post_transform"] = "NONE"  # onnxruntime leaves the second score as it finds it
    node = helper.make_node("LinearClassifier", ["x"], ["label", "scores"], domain="ai.onnx.ml", **attributes)
    return model_of([node], {"x": x}, {"label": (label, 1), "scores": (TensorProto.FLOAT, 2)}, 1), {"x": x}


def regressor(random):
    features = int(random.integers(1, 40))
    x = matrix(random, features, (np.float32,))
    targets = int(random.choice([1, 1, 2, 5]))
    attributes = {
        "coefficients": list(map(float, random.standard_normal(targets * features).astype(np.float32))),
        "targets": targets,
        "post_transform": str(random.choice(["NONE"] * 3 + TRANSFORMS)),
    }
    if random.random() < 0.7:
        attributes["intercepts"] = list(map(float, random.standard_normal(targets).astype(np.float32)))
    node = helper.make_node("LinearRegressor", ["x"], ["y"], domain="ai.onnx.ml", **attributes)
    return model_of([node], {"x": x}, {"y": (TensorProto.FLOAT, 2)}, 1), {"x": x}


OPERATORS = {"LinearClassifier": classifier, "LinearRegressor": regressor}
