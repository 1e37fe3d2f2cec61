"""TreeEnsembleClassifier, TreeEnsembleRegressor and TreeEnsemble."""

import numpy as np
from onnx import TensorProto, helper

from .cases import element_type, model_of

MODES = ["BRANCH_LEQ", "BRANCH_LT", "BRANCH_GTE", "BRANCH_GT", "BRANCH_EQ", "BRANCH_NEQ"]
TRANSFORMS = ["NONE", "SOFTMAX", "LOGISTIC", "SOFTMAX_ZERO", "PROBIT"]
GRID = np.array([-2, -1.5, -1, -0.5, 0, 0.5, 1, 1.5, 2])


def rows(random, features: int, kinds=(np.float32, np.float64, np.int32, np.int64)) -> np.ndarray:
    """Rows on the grid of thresholds, so that many are equal to one; some values are missing."""
    count = int(random.choice([1, 2, 7]))
    kind = random.choice(np.array([0, 0, 0, 1, 2, 3]))
    x = random.choice(GRID, (count, features))
    if kinds[kind % len(kinds)] in (np.int32, np.int64):
        return np.round(x).astype(kinds[kind % len(kinds)])
    if random.random() < 0.4:
        x = np.where(random.random(x.shape) < 0.2, np.nan, x)
    if random.random() < 0.1:
        x = np.where(random.random(x.shape) < 0.1, np.inf, x)
    return x.astype(kinds[kind % len(kinds)])


def tree(random, features: int, depth: int, modes: list, tree_id: int, nodes: list) -> list:
    """Appends the nodes of a tree, children after their parents; returns the numbers of its leaves."""
    leaves = []

    def grow(level: int) -> int:
        number = sum(1 for node in nodes if node["tree"] == tree_id)
        node = {"tree": tree_id, "id": number, "mode": "LEAF", "feature": 0, "value": 0.0, "yes": 0, "no": 0,
                "missing": int(random.integers(2))}
        nodes.append(node)
        if level == depth or (level > 0 and random.random() < 0.2):
            leaves.append(number)
            return number
        node.update(mode=str(random.choice(modes)), feature=int(random.integers(features)),
                    value=float(random.choice(GRID)))
        # onnxruntime expects the false child right after its parent in some versions; both orders are valid
        node["no"] = grow(level + 1)
        node["yes"] = grow(level + 1)
        return number

    grow(0)
    return leaves


def forest(random):
    features = int(random.integers(1, 6))
    modes = MODES if random.random() < 0.3 else [str(random.choice(MODES))]
    if random.random() < 0.5:
        modes = ["BRANCH_LEQ"]
    nodes, leaves = [], []
    for tree_id in range(int(random.integers(1, 6))):
        depth = int(random.integers(0, 4))
        leaves += [(tree_id, leaf) for leaf in tree(random, features, depth, modes, tree_id, nodes)]
    return features, nodes, leaves


def node_attributes(random, nodes: list) -> dict:
    attributes = {
        "nodes_treeids": [node["tree"] for node in nodes],
        "nodes_nodeids": [node["id"] for node in nodes],
        "nodes_featureids": [node["feature"] for node in nodes],
        "nodes_modes": [node["mode"] for node in nodes],
        "nodes_truenodeids": [node["yes"] for node in nodes],
        "nodes_falsenodeids": [node["no"] for node in nodes],
    }
    if random.random() < 0.6:
        attributes["nodes_missing_value_tracks_true"] = [node["missing"] for node in nodes]
    return attributes


def numbers(x: np.ndarray, attributes: dict, name: str, values: list) -> None:
    """As floats, or for inputs of doubles as a tensor of doubles."""
    if x.dtype == np.float64 and values:
        attributes[name + "_as_tensor"] = helper.make_tensor(name, TensorProto.DOUBLE, [len(values)], values)
    elif values:
        attributes[name] = values


def classifier(random):
    features, nodes, leaves = forest(random)
    x = rows(random, features)
    classes = int(random.choice([1, 2, 2, 2, 3, 4]))
    style = random.choice(["one", "all", "some", "single"])
    single = int(random.integers(classes))
    weights = []
    sign = random.random() < 0.4
    for place in leaves:
        chosen = {
            "one": [int(random.integers(classes))],
            "all": list(range(classes)),
            "some": [c for c in range(classes) if random.random() < 0.5] or [0],
            "single": [single],
        }[style]
        for c in chosen:
            value = float(np.float32(random.choice(GRID) * 0.3 + 0.05 * random.standard_normal()))
            weights.append((*place, c, abs(value) if sign else value))
    attributes = node_attributes(random, nodes)
    attributes |= {
        "class_treeids": [w[0] for w in weights],
        "class_nodeids": [w[1] for w in weights],
        "class_ids": [w[2] for w in weights],
        "post_transform": str(random.choice(TRANSFORMS)),
    }
    numbers(x, attributes, "nodes_values", [node["value"] for node in nodes])
    numbers(x, attributes, "class_weights", [w[3] for w in weights])
    alone = classes == 2 and style != "all"
    if alone and attributes["post_transform"] == "PROBIT":
        attributes["post_transform"] = "NONE"  # onnxruntime leaves the second score as it finds it
    if random.random() < 0.5:
        # with one base value it does so, too, where the leaves have weights of both classes now and then
        length = int(random.integers(1, classes + 1)) if classes == 1 or style in ("all", "single") else classes
        numbers(x, attributes, "base_values", [float(v) for v in random.choice(GRID, length) * 0.25])
    if classes > 1 and random.random() < 0.5:  # with a single string onnxruntime reads beyond the labels
        attributes["classlabels_strings"] = [f"c{c}" for c in range(classes)]
        label = TensorProto.STRING
    else:
        start = int(random.choice([0, 0, 5]))
        attributes["classlabels_int64s"] = [start + c for c in range(classes)]
        label = TensorProto.INT64
    version = 3 if x.dtype == np.float64 else int(random.choice([1, 3]))
    node = helper.make_node("TreeEnsembleClassifier", ["x"], ["label", "scores"], domain="ai.onnx.ml", **attributes)
    outputs = {"label": (label, 1), "scores": (TensorProto.FLOAT, 2)}
    return model_of([node], {"x": x}, outputs, version), {"x": x}


def regressor(random):
    features, nodes, leaves = forest(random)
    x = rows(random, features)
    targets = int(random.choice([1, 1, 2, 3]))
    weights = []
    for place in leaves:
        chosen = range(targets) if random.random() < 0.5 else [int(random.integers(targets))]
        weights += [(*place, t, float(np.float32(random.standard_normal()))) for t in chosen]
    attributes = node_attributes(random, nodes)
    attributes |= {
        "target_treeids": [w[0] for w in weights],
        "target_nodeids": [w[1] for w in weights],
        "target_ids": [w[2] for w in weights],
        "n_targets": targets,
        "post_transform": str(random.choice(["NONE"] * 4 + TRANSFORMS)),
        "aggregate_function": str(random.choice(["SUM", "SUM", "AVERAGE", "MIN", "MAX"])),
    }
    numbers(x, attributes, "nodes_values", [node["value"] for node in nodes])
    numbers(x, attributes, "target_weights", [w[3] for w in weights])
    if random.random() < 0.5:
        numbers(x, attributes, "base_values", [float(v) for v in random.choice(GRID, targets)])
    version = 3 if x.dtype == np.float64 else int(random.choice([1, 3]))
    node = helper.make_node("TreeEnsembleRegressor", ["x"], ["y"], domain="ai.onnx.ml", **attributes)
    return model_of([node], {"x": x}, {"y": (TensorProto.FLOAT, 2)}, version), {"x": x}


def ensemble(random):
    """Version 5: branches and leaves in lists of their own, and tests for membership."""
    features = int(random.integers(1, 6))
    x = rows(random, features, (np.float32, np.float64))
    kind = element_type(x)
    modes = [0] if random.random() < 0.4 else [0, 1, 2, 3, 4, 5, 6]
    branches, leaves, roots, sets = [], [], [], []
    targets = int(random.choice([1, 1, 2, 3]))

    def grow(level: int) -> tuple:
        if level > 0 and (level == 3 or random.random() < 0.25):
            leaves.append((int(random.integers(targets)), float(np.float32(random.standard_normal()))))
            return len(leaves) - 1, 1
        place = len(branches)
        branches.append({"mode": int(random.choice(modes)), "feature": int(random.integers(features)),
                         "value": float(random.choice(GRID)), "missing": int(random.integers(2))})
        branches[place]["yes"] = grow(level + 1)
        branches[place]["no"] = grow(level + 1)
        return place, 0

    for _ in range(int(random.integers(1, 5))):
        roots.append(grow(0)[0])
    for branch in branches:
        if branch["mode"] == 6:
            # onnxruntime knows sets of integers only
            sets += [float(v) for v in random.choice(np.arange(-2, 4), int(random.integers(1, 4)), replace=False)]
            sets.append(float("nan"))
    attributes = {
        "tree_roots": roots,
        "nodes_featureids": [b["feature"] for b in branches],
        "nodes_modes": helper.make_tensor("m", TensorProto.UINT8, [len(branches)], [b["mode"] for b in branches]),
        "nodes_splits": helper.make_tensor("s", kind, [len(branches)], [b["value"] for b in branches]),
        "nodes_truenodeids": [b["yes"][0] for b in branches],
        "nodes_trueleafs": [b["yes"][1] for b in branches],
        "nodes_falsenodeids": [b["no"][0] for b in branches],
        "nodes_falseleafs": [b["no"][1] for b in branches],
        "leaf_targetids": [leaf[0] for leaf in leaves],
        "leaf_weights": helper.make_tensor("w", kind, [len(leaves)], [leaf[1] for leaf in leaves]),
        "n_targets": targets,
        "aggregate_function": int(random.choice([0, 1, 1, 2, 3])),
        # 1 and 2 are SOFTMAX and LOGISTIC by the specification, but the other way round in onnxruntime
        "post_transform": int(random.choice([0, 0, 0, 3, 4])),
    }
    if sets:
        x = np.round(x)  # onnxruntime takes -0.5 for a member of [0]
        attributes["membership_values"] = helper.make_tensor("v", kind, [len(sets)], sets)
    if random.random() < 0.5:
        attributes["nodes_missing_value_tracks_true"] = [b["missing"] for b in branches]
    node = helper.make_node("TreeEnsemble", ["x"], ["y"], domain="ai.onnx.ml", **attributes)
    return model_of([node], {"x": x}, {"y": (kind, 2)}, 5), {"x": x}


OPERATORS = {"TreeEnsembleClassifier": classifier, "TreeEnsembleRegressor": regressor, "TreeEnsemble": ensemble}
