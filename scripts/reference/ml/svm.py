"""SVMClassifier and SVMRegressor."""

import numpy as np
from onnx import TensorProto, helper

from .cases import model_of
from .linear import labels, matrix
from .trees import TRANSFORMS


def floats(random, count: int, scale: float = 1.0) -> list:
    return [float(v) for v in (random.standard_normal(count) * scale).astype(np.float32)]


def kernel(random) -> dict:
    gamma, offset = float(np.float32(random.uniform(0.05, 0.4))), float(np.float32(random.uniform(0, 1)))
    return {
        "kernel_type": str(random.choice(["LINEAR", "POLY", "RBF", "SIGMOID"])),
        "kernel_params": [gamma, offset, float(random.choice([1, 2, 3, 4]))],
    }


def classifier(random):
    features = int(random.integers(1, 20))
    x = matrix(random, features)
    classes = int(random.choice([2, 2, 3, 4]))
    named, label = labels(random, classes, "classlabels_ints")
    attributes = {**kernel(random), **named, "post_transform": str(random.choice(["NONE"] * 3 + TRANSFORMS))}
    if random.random() < 0.2:  # as LIBLINEAR
        weights = floats(random, classes * features)
        if random.random() < 0.5:
            weights = [abs(w) for w in weights]
        attributes |= {"coefficients": weights, "rho": floats(random, 1)}
    else:
        per_class = [int(random.integers(1, 5)) for _ in range(classes)]
        vectors, pairs = sum(per_class), classes * (classes - 1) // 2
        attributes |= {
            "vectors_per_class": per_class,
            "support_vectors": floats(random, vectors * features),
            "coefficients": floats(random, vectors * (classes - 1)),
            "rho": floats(random, pairs),
        }
        if random.random() < 0.5:
            attributes |= {"prob_a": floats(random, pairs), "prob_b": floats(random, pairs, 0.3)}
        elif classes == 2 and attributes["post_transform"] == "PROBIT":
            attributes["post_transform"] = "NONE"  # onnxruntime leaves the second score as it finds it
    node = helper.make_node("SVMClassifier", ["x"], ["label", "scores"], domain="ai.onnx.ml", **attributes)
    return model_of([node], {"x": x}, {"label": (label, 1), "scores": (TensorProto.FLOAT, 2)}, 1), {"x": x}


def regressor(random):
    features = int(random.integers(1, 20))
    x = matrix(random, features, (np.float32,))
    vectors = int(random.integers(0, 9))
    attributes = {
        **kernel(random),
        "n_supports": vectors,
        "coefficients": floats(random, vectors or features),
        "rho": floats(random, 1),
        "one_class": int(random.random() < 0.2),
    }
    if vectors:
        attributes["support_vectors"] = floats(random, vectors * features)
    node = helper.make_node("SVMRegressor", ["x"], ["y"], domain="ai.onnx.ml", **attributes)
    return model_of([node], {"x": x}, {"y": (TensorProto.FLOAT, 2)}, 1), {"x": x}


OPERATORS = {"SVMClassifier": classifier, "SVMRegressor": regressor}
