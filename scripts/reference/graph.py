"""Builds an ONNX graph node by node, naming nodes and weights as PyTorch's exporter does."""

import zlib
from contextlib import contextmanager

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

FLOAT = TensorProto.FLOAT
INT64 = TensorProto.INT64

# The format version that came with an operator set, as exporters write it: (newest operator set, format).
FORMATS = [(18, 8), (20, 9), (22, 10), (24, 11)]


class Graph:
    """A graph under construction. Values are their names; weights come from `random`, seeded by the model's name."""

    def __init__(self, name, opset):
        self.name = name
        self.opset = opset
        self.random = np.random.default_rng(zlib.crc32(name.encode()))
        self.nodes, self.inputs, self.outputs, self.weights = [], [], [], []
        self.renamed = {}
        self.path = []
        self.uses = {}

    @contextmanager
    def scope(self, name):
        """Nodes added inside are named `/outer/name/..`, weights `outer.name...`."""
        self.path.append(name)
        yield
        self.path.pop()

    def input(self, name, shape, element=FLOAT):
        self.inputs.append(helper.make_tensor_value_info(name, element, shape))
        return name

    def output(self, value, name, shape, element=FLOAT):
        """Makes `value` an output of the model under `name`."""
        self.renamed[value] = name
        self.outputs.append(helper.make_tensor_value_info(name, element, shape))

    def op(self, operator, *inputs, outputs=1, **attributes):
        """Adds a node; gives its output, or the list of them if there are several. `None` is an absent input."""
        name = self._unique("/" + "/".join([*self.path, operator]))
        results = [f"{name}_output_{number}" for number in range(outputs)]
        names = [value or "" for value in inputs]
        self.nodes.append(helper.make_node(operator, names, results, name=name, **attributes))
        return results[0] if outputs == 1 else results

    def weight(self, name, array):
        """An initializer."""
        name = self._unique(".".join([*self.path, name]))
        self.weights.append(numpy_helper.from_array(np.asarray(array, order="C"), name))
        return name

    def normal(self, name, shape, scale):
        """An initializer of normally distributed weights."""
        return self.weight(name, self.random.standard_normal(shape, dtype=np.float32) * np.float32(scale))

    def constant(self, value, element=np.int64):
        """A `Constant` node, as exporters write axes, indices, shapes and scalars."""
        return self.op("Constant", value=numpy_helper.from_array(np.asarray(value, dtype=element)))

    def scalar(self, value):
        return self.constant(value, np.float32)

    def model(self):
        """The finished model, checked."""
        for node in self.nodes:
            node.input[:] = [self.renamed.get(value, value) for value in node.input]
            node.output[:] = [self.renamed.get(value, value) for value in node.output]
        graph = helper.make_graph(self.nodes, self.name, self.inputs, self.outputs, self.weights)
        return finished(graph, {"": self.opset})

    def _unique(self, name):
        count = self.uses.get(name, 0)
        self.uses[name] = count + 1
        return name if count == 0 else f"{name}_{count}"


def finished(graph, opsets):
    """A model of `graph`, checked, in the format that is as old as its operator sets."""
    ir_version = next(ir for newest, ir in FORMATS if opsets.get("", 18) <= newest)
    imports = [helper.make_opsetid(domain, version) for domain, version in opsets.items()]
    model = helper.make_model(graph, opset_imports=imports, ir_version=ir_version, producer_name="mlops-reference")
    onnx.checker.check_model(model, full_check=True)
    return model


def settled(model, name):
    """The model without what differs from run to run of some exporters: a random name, the order of the opsets."""
    model.graph.name = name
    imports = sorted(model.opset_import, key=lambda opset: opset.domain)
    del model.opset_import[:]
    model.opset_import.extend(imports)
    return model


def shortened(model):
    """The model with numbers for names, as older exporters wrote them, where only the model itself uses the name."""
    graph = model.graph
    kept = {"", *(value.name for value in [*graph.input, *graph.output])}
    numbers = {}

    def short(name):
        return name if name in kept else numbers.setdefault(name, str(len(numbers)))

    for node in graph.node:
        if any(attribute.HasField("g") for attribute in node.attribute):
            return model  # a graph inside uses names of this one
    for node in graph.node:
        node.name = ""
        node.input[:] = [short(value) for value in node.input]
        node.output[:] = [short(value) for value in node.output]
    for weight in graph.initializer:
        weight.name = short(weight.name)
    del graph.value_info[:]
    return model
