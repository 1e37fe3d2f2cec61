"""`TreeEnsemble` of ai.onnx.ml 5, which no exporter of ours writes yet: every mode of comparison, sets, missing values."""

import numpy as np
from onnx import helper, numpy_helper

from graph import finished
from reference import Case, Reference

from .inputs import generator

# The numbers of the specification.
MODES = {"<=": 0, "<": 1, ">=": 2, ">": 3, "==": 4, "!=": 5, "in": 6}
# Other transforms are left out: onnxruntime numbers SOFTMAX and LOGISTIC the other way round than the specification.
SUM, NO_TRANSFORM = 1, 0


def models(size):
    trees, depth, features, batches = (4, 3, 5, [1, 3]) if size == "tiny" else (60, 6, 12, [1, 3, 8, 64])
    for name, about, element in [
        ("tree_ensemble", "all modes, two targets", np.float32),
        ("tree_ensemble_double", "the same in double precision", np.float64),
    ]:
        forest = Forest(generator(f"trees of {name}"), features, targets=2)
        for _ in range(trees):
            forest.grow(depth)
        calls = cases(name, forest, batches, element)
        yield Reference(name, about, forest.model(name, NO_TRANSFORM, element), calls)


def cases(name, forest, batches, element):
    """Small integers, so that values meet thresholds exactly and fall into sets; some are missing."""
    random = generator(name)
    result = []
    for batch in batches:
        rows = random.integers(0, 10, (batch, forest.features)).astype(element)
        rows[random.random(rows.shape) < 0.1] = np.nan
        result.append(Case(batch, {"input": rows}))
    return result


class Forest:
    """Trees in the parallel arrays of the operator."""

    def __init__(self, random, features, targets):
        self.random, self.features, self.targets = random, features, targets
        self.roots, self.nodes, self.leaves, self.members = [], [], [], []

    def grow(self, depth):
        self.roots.append(self._branch(depth))

    def _branch(self, depth):
        """Adds a node and all below it; gives its number."""
        number = len(self.nodes)
        mode = str(self.random.choice(list(MODES)))
        node = {"mode": MODES[mode], "feature": int(self.random.integers(self.features))}
        node["split"] = float(self.random.integers(0, 10))
        node["missing_true"] = int(self.random.integers(2))
        self.nodes.append(node)
        if mode == "in":
            members = self.random.choice(10, 4, replace=False)
            self.members.append((number, [float(member) for member in sorted(members)]))
        for side in ("true", "false"):
            # Some branches end early, so that the trees are not perfect.
            leaf = depth == 1 or self.random.random() < 0.15
            node[side], node[f"{side}_leaf"] = (self._leaf() if leaf else self._branch(depth - 1)), int(leaf)
        return number

    def _leaf(self):
        self.leaves.append((int(self.random.integers(self.targets)), float(self.random.normal())))
        return len(self.leaves) - 1

    def model(self, name, transform, element):
        # Set members follow the order of the nodes that use them, each set closed by a NaN.
        members = [value for _, values in sorted(self.members) for value in [*values, float("nan")]]
        floats = {
            "nodes_splits": [node["split"] for node in self.nodes],
            "leaf_weights": [weight for _, weight in self.leaves],
        }
        if members:
            floats["membership_values"] = members
        tensors = {key: numpy_helper.from_array(np.array(values, element)) for key, values in floats.items()}
        modes = numpy_helper.from_array(np.array([node["mode"] for node in self.nodes], np.uint8))
        node = helper.make_node(
            "TreeEnsemble", ["input"], ["output"], domain="ai.onnx.ml", name="TreeEnsemble",
            n_targets=self.targets, aggregate_function=SUM, post_transform=transform, tree_roots=self.roots,
            nodes_modes=modes, nodes_featureids=[node["feature"] for node in self.nodes],
            nodes_truenodeids=[node["true"] for node in self.nodes],
            nodes_falsenodeids=[node["false"] for node in self.nodes],
            nodes_trueleafs=[node["true_leaf"] for node in self.nodes],
            nodes_falseleafs=[node["false_leaf"] for node in self.nodes],
            nodes_missing_value_tracks_true=[node["missing_true"] for node in self.nodes],
            leaf_targetids=[target for target, _ in self.leaves], **tensors,
        )  # fmt: skip
        kind = helper.np_dtype_to_tensor_dtype(np.dtype(element))
        inputs = [helper.make_tensor_value_info("input", kind, ["batch", self.features])]
        outputs = [helper.make_tensor_value_info("output", kind, ["batch", self.targets])]
        return finished(helper.make_graph([node], name, inputs, outputs), {"": 21, "ai.onnx.ml": 5})
