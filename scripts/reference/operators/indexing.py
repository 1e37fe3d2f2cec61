"""Operators that find elements by their place, and make tensors of places and shapes."""

import numpy as np
from onnx import TensorProto, helper

from .random_values import axis, like, shape, single, values

INT64 = TensorProto.INT64


def places(random, length, lengths, kind=None):
    """Indices into a dimension of that length, from both ends."""
    kind = kind or [np.int32, np.int64][random.integers(2)]
    return random.integers(-length, length, lengths).astype(kind)


def gather(random):
    data = values(random, shape(random, zero=0))
    along = axis(random, data.ndim)
    if data.dtype == object:  # of slices of strings, onnxruntime 1.31 copies only the first
        along = -1
    indices = places(random, data.shape[along], shape(random, 0, 3))
    return single("Gather", {"x": data, "indices": indices}, {"y": like(data, data.ndim + indices.ndim - 1)}, axis=along)


def gather_elements(random):
    data = values(random, shape(random, zero=0))
    along = axis(random, data.ndim)
    lengths = [int(random.integers(1, n + 1)) for n in data.shape]
    lengths[along] = int(random.integers(1, 6))
    return single("GatherElements", {"x": data, "indices": places(random, data.shape[along], lengths)}, {"y": like(data)}, axis=along)


def positions(random, data, batch_dimensions):
    width = int(random.integers(1, data.ndim - batch_dimensions + 1))
    lengths = list(data.shape[:batch_dimensions]) + shape(random, 0, 2)
    columns = [places(random, data.shape[batch_dimensions + i], lengths, np.int64) for i in range(width)]
    return np.stack(columns, axis=-1), width


def gather_nd(random):
    data = values(random, shape(random, zero=0))
    batch_dimensions = int(random.integers(0, min(2, data.ndim)))
    indices, width = positions(random, data, batch_dimensions)
    rank = indices.ndim - 1 + data.ndim - batch_dimensions - width
    return single("GatherND", {"x": data, "indices": indices}, {"y": like(data, rank)}, batch_dims=batch_dimensions)


REDUCTIONS = ["none", "add", "mul", "max", "min"]


def scatter_elements(random):
    reduction = REDUCTIONS[random.integers(5)]
    kind = None if reduction == "none" else [np.float32, np.float64, np.int32, np.int64][random.integers(4)]
    data = values(random, shape(random, zero=0), kind)
    along = axis(random, data.ndim)
    lengths = [int(random.integers(1, n + 1)) for n in data.shape]
    indices = places(random, data.shape[along], lengths)
    if reduction == "none":  # no duplicates
        order = np.argsort(random.random(data.shape), axis=along).astype(np.int64)
        indices = order[tuple(slice(n) for n in lengths)]
    updates = values(random, lengths, data.dtype.type)
    inputs = {"x": data, "indices": indices, "updates": updates}
    return single("ScatterElements", inputs, {"y": like(data)}, axis=along, reduction=reduction)


def scatter_nd(random):
    reduction = REDUCTIONS[random.integers(5)]
    kind = None if reduction == "none" else [np.float32, np.float64, np.int32, np.int64][random.integers(4)]
    data = values(random, shape(random, zero=0), kind)
    indices, width = positions(random, data, 0)
    if reduction == "none":
        indices = indices.reshape(-1, width)[:1]
    updates = values(random, list(indices.shape[:-1]) + list(data.shape[width:]), data.dtype.type)
    inputs = {"x": data, "indices": indices, "updates": updates}
    return single("ScatterND", inputs, {"y": like(data)}, reduction=reduction)


def slice_(random):
    data = values(random, shape(random))
    axes = random.permutation(data.ndim)[: random.integers(1, data.ndim + 1)]
    far = np.iinfo(np.int64)
    bound = lambda: random.choice([random.integers(-7, 8), far.max, far.min], p=[.9, .05, .05])
    starts, ends = (np.array([bound() for _ in axes], dtype=np.int64) for _ in "se")
    given = axes - data.ndim * random.integers(0, 2, len(axes))
    if random.random() < 0.2:
        lists = {name: [int(n) for n in array] for name, array in [("starts", starts), ("ends", ends), ("axes", given)]}
        return single("Slice", {"x": data}, {"y": like(data)}, opset=9, **lists)
    steps = random.choice([1, 2, 3, -1, -2, -3], len(axes)).astype(np.int64) if random.random() < 0.7 else None
    inputs = {"x": data, "starts": starts, "ends": ends, "axes": given.astype(np.int64), "steps": steps}
    constants = ("starts", "ends", "axes", "steps") if random.random() < 0.5 else ()
    return single("Slice", inputs, {"y": like(data)}, constants=constants)


def top_k(random):
    kind = [np.float32, np.float64, np.int32, np.int64][random.integers(4)]
    data = values(random, shape(random, zero=0), kind)
    along = axis(random, data.ndim)
    k = np.array([random.integers(0, data.shape[along] + 1)], dtype=np.int64)
    return single("TopK", {"x": data, "k": k}, {"values": like(data), "indices": (INT64, data.ndim)},
                  axis=along, largest=int(random.integers(2)), sorted=1)


def non_zero(random):
    data = values(random, shape(random), [np.float32, np.int64, np.bool_, np.int32][random.integers(4)])
    return single("NonZero", {"x": data}, {"y": (INT64, 2)})


def unique(random):
    kind = [np.float32, np.float64, np.int64, np.object_][random.integers(4)]
    data = values(random, shape(random, zero=0), kind)
    along = {"axis": axis(random, data.ndim)} if random.random() < 0.5 else {}
    outputs = {"y": like(data, data.ndim if along else 1), "first": (INT64, 1), "inverse": (INT64, 1), "counts": (INT64, 1)}
    return single("Unique", {"x": data}, outputs, sorted=int(random.integers(2)), **along)


def compress(random):
    data = values(random, shape(random, zero=0))
    along = {"axis": axis(random, data.ndim)} if random.random() < 0.5 else {}
    length = data.shape[along["axis"]] if along else data.size
    condition = random.random(random.integers(1, length + 1)) < 0.5
    return single("Compress", {"x": data, "condition": condition}, {"y": like(data, data.ndim if along else 1)}, **along)


def one_hot(random):
    kind = [np.float32, np.int32, np.int64][random.integers(3)]
    indices = random.integers(-6, 7, shape(random, 1, 3)).astype(kind)
    depth = np.array(random.integers(1, 6), dtype=np.int64)
    switch = values(random, [2], [np.float32, np.int64, np.int32][random.integers(3)])
    inputs = {"indices": indices, "depth": depth, "values": switch}
    return single("OneHot", inputs, {"y": like(switch, indices.ndim + 1)}, axis=int(random.integers(-indices.ndim - 1, indices.ndim + 1)))


def range_(random):
    kind = [np.float32, np.float64, np.int16, np.int32, np.int64][random.integers(5)]
    start, limit = (np.array(random.integers(-20, 21), dtype=kind) for _ in "sl")
    step = random.choice([-3, -2, -1, 1, 2, 3]) / (2 if np.issubdtype(kind, np.floating) else 1)
    inputs = {"start": start, "limit": limit, "delta": np.array(step, dtype=kind)}
    return single("Range", inputs, {"y": like(start, 1)})


def constant_of_shape(random):
    value = values(random, [1], [np.float32, np.int64, np.bool_, np.float64][random.integers(4)])
    lengths = np.array(shape(random, 0), dtype=np.int64)
    tensor = helper.make_tensor("value", like(value)[0], [1], value)
    return single("ConstantOfShape", {"shape": lengths}, {"y": like(value, len(lengths))}, value=tensor)


def shape_(random):
    data = values(random, shape(random))
    start, end = random.integers(-6, 7, 2)
    given = {"start": int(start), "end": int(end)} if random.random() < 0.8 else {}
    return single("Shape", {"x": data}, {"y": (INT64, 1)}, **given)


def eye_like(random):
    data = values(random, random.integers(1, 6, 2), [np.float32, np.int64][random.integers(2)])
    dtype = int([TensorProto.FLOAT, TensorProto.DOUBLE, TensorProto.INT32][random.integers(3)])
    return single("EyeLike", {"x": data}, {"y": (dtype, 2)}, k=int(random.integers(-5, 6)), dtype=dtype)


OPERATORS = {
    "Gather": gather, "GatherElements": gather_elements, "GatherND": gather_nd, "ScatterElements": scatter_elements,
    "ScatterND": scatter_nd, "Slice": slice_, "TopK": top_k, "NonZero": non_zero, "Unique": unique, "Compress": compress,
    "OneHot": one_hot, "Range": range_, "ConstantOfShape": constant_of_shape, "Shape": shape_, "EyeLike": eye_like,
}
