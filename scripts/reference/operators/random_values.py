"""Random inputs."""

import numpy as np
from onnx import helper, numpy_helper

from ml.cases import element_type, model_of

TYPES = [np.float32, np.float32, np.float64, np.int32, np.int64, np.uint8, np.bool_, np.object_]


def shape(random, least=1, most=4, zero=0.05) -> list:
    """The lengths of `least` to `most` dimensions, rarely 0."""
    return [0 if random.random() < zero else int(random.integers(1, 5)) for _ in range(random.integers(least, most + 1))]


def values(random, lengths, kind=None) -> np.ndarray:
    """Elements of a random type, or of `kind`; few different ones, so that some are equal."""
    kind = TYPES[random.integers(len(TYPES))] if kind is None else kind
    integers = np.asarray(random.integers(-6, 7, lengths))
    if kind is np.object_:
        return np.asarray(np.vectorize(lambda number: f"s{number}", otypes=[object])(integers))
    if kind is np.uint8 or kind is np.bool_:
        return np.abs(integers).astype(kind)
    return np.asarray(integers / (2 if np.issubdtype(kind, np.floating) else 1)).astype(kind)


def axis(random, rank: int) -> int:
    """An axis, from the front or from the back."""
    return int(random.integers(-rank, rank))


def single(operator: str, inputs: dict, outputs: dict, opset=21, constants=(), **attributes):
    """A model of one node. Inputs of value None are left out; those in `constants` become weights."""
    names = [name if array is not None else "" for name, array in inputs.items()]
    while names and not names[-1]:
        names.pop()
    given = {name: array for name, array in inputs.items() if array is not None}
    node = helper.make_node(operator, names, list(outputs), **attributes)
    running = {name: array for name, array in given.items() if name not in constants}
    model = model_of([node], running, outputs, 3, opset)
    model.graph.initializer.extend(numpy_helper.from_array(given[name], name) for name in constants if name in given)
    return model, running


def like(array, rank=None) -> tuple:
    """Element type and rank of an output."""
    return element_type(array), array.ndim if rank is None else rank
