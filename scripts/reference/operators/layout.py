"""Operators that arrange elements otherwise."""

import numpy as np
from onnx import TensorProto

from .random_values import axis, like, shape, single, values

INT64 = TensorProto.INT64


def some_constants(random, *names):
    """Parameters that are weights of the model in half of the cases."""
    return names if random.random() < 0.5 else ()


def reshape(random):
    data = values(random, shape(random))
    new = list(data.shape)
    random.shuffle(new)
    if len(new) > 1 and random.random() < 0.5:
        new = [new[0] * new[1], *new[2:]]
    if new and random.random() < 0.5 and data.size:
        new[random.integers(len(new))] = -1
    allow_zero = int(random.random() < 0.3)
    inputs = {"x": data, "shape": np.array(new, dtype=np.int64)}
    return single("Reshape", inputs, {"y": like(data, len(new))}, allowzero=allow_zero,
                  constants=some_constants(random, "shape"))


def flatten(random):
    data = values(random, shape(random))
    return single("Flatten", {"x": data}, {"y": like(data, 2)}, axis=axis(random, data.ndim))


def transpose(random):
    data = values(random, shape(random, 1, 6))
    permutation = {"perm": [int(i) for i in random.permutation(data.ndim)]} if random.random() < 0.9 else {}
    return single("Transpose", {"x": data}, {"y": like(data)}, **permutation)


def squeeze(random):
    lengths = [int(n) for n in random.choice([1, 1, 3], random.integers(1, 5))]
    ones = [i if random.random() < 0.5 else i - len(lengths) for i, n in enumerate(lengths) if n == 1]
    axes = np.array(ones, dtype=np.int64) if random.random() < 0.7 else None
    data = values(random, lengths)
    return single("Squeeze", {"x": data, "axes": axes}, {"y": like(data, len(lengths) - len(ones))},
                  constants=some_constants(random, "axes"))


def unsqueeze(random):
    data = values(random, shape(random))
    rank = data.ndim + int(random.integers(1, 3))
    axes = random.choice(rank, rank - data.ndim, replace=False) - rank * random.integers(0, 2, rank - data.ndim)
    return single("Unsqueeze", {"x": data, "axes": axes.astype(np.int64)}, {"y": like(data, rank)})


def concat(random):
    lengths, kind = shape(random), None
    along, parts = axis(random, len(lengths)), {}
    for index in range(random.integers(1, 5)):
        own = list(lengths)
        own[along] = int(random.integers(0, 4))
        parts[f"x{index}"] = values(random, own, kind)
        kind = parts["x0"].dtype.type
    return single("Concat", parts, {"y": like(parts["x0"])}, axis=along)


def split(random):
    data = values(random, shape(random, zero=0))
    along = axis(random, data.ndim)
    count = int(random.integers(1, data.shape[along] + 1))
    outputs = {f"y{i}": like(data) for i in range(count)}
    if random.random() < 0.5:
        return single("Split", {"x": data}, outputs, axis=along, num_outputs=count)
    cuts = np.sort(random.integers(0, data.shape[along] + 1, count - 1))
    lengths = np.diff([0, *cuts, data.shape[along]]).astype(np.int64)
    return single("Split", {"x": data, "split": lengths}, outputs, axis=along, constants=some_constants(random, "split"))


def expand(random):
    data = values(random, [int(n) for n in random.choice([1, 1, 2, 3, 0], random.integers(0, 4), p=[.3, .3, .18, .18, .04])])
    new = [int(random.choice([1, n])) if n != 1 else int(random.integers(1, 4)) for n in data.shape]
    new = [int(random.integers(1, 3)) for _ in range(random.integers(0, 2))] + new
    if len(new) == data.ndim:
        new = new[int(random.integers(0, 2)):]
    rank = max(len(new), data.ndim)
    return single("Expand", {"x": data, "shape": np.array(new, dtype=np.int64)}, {"y": like(data, rank)})


def tile(random):
    data = values(random, shape(random))
    repeats = random.integers(0 if random.random() < 0.1 else 1, 4, data.ndim).astype(np.int64)
    return single("Tile", {"x": data, "repeats": repeats}, {"y": like(data)}, constants=some_constants(random, "repeats"))


def pad(random):
    mode = str(random.choice(["constant", "reflect", "edge", "wrap"]))
    kind = [np.float32, np.float64, np.int32, np.int64, np.uint8][random.integers(5)]
    data = values(random, shape(random, zero=0), kind)
    axes = random.permutation(data.ndim)[: random.integers(1, data.ndim + 1)] if random.random() < 0.5 else None
    over = range(data.ndim) if axes is None else axes
    bounds = [data.shape[axis] for axis in over]
    # onnxruntime reflects and wraps only once, and not what is cropped
    most = [n - 1 if mode == "reflect" else n if mode == "wrap" else 3 for n in bounds]
    least = -1 if mode in ("constant", "edge") else 0
    pads = np.array([random.integers(least if n > 2 else 0, m + 1) for _ in "be" for n, m in zip(bounds, most)], dtype=np.int64)
    value = values(random, [], kind) if mode == "constant" and random.random() < 0.5 else None
    axes = None if axes is None else np.where(random.random(len(axes)) < 0.5, axes, axes - data.ndim).astype(np.int64)
    inputs = {"x": data, "pads": pads, "value": value, "axes": axes}
    return single("Pad", inputs, {"y": like(data)}, mode=mode, constants=some_constants(random, "pads", "axes"))


def depth_to_space(random):
    size = int(random.integers(1, 4))
    batch, depth, height, width = random.integers(1, 4, 4)
    data = values(random, [batch, depth * size * size, height, width], np.float32)
    mode = str(random.choice(["DCR", "CRD"]))
    return single("DepthToSpace", {"x": data}, {"y": like(data)}, blocksize=size, mode=mode)


def space_to_depth(random):
    size = int(random.integers(1, 4))
    batch, depth, height, width = random.integers(1, 4, 4)
    data = values(random, [batch, depth, height * size, width * size], np.float32)
    return single("SpaceToDepth", {"x": data}, {"y": like(data)}, blocksize=size)


def reverse_sequence(random):
    data = values(random, shape(random, 2, 4, zero=0))
    batch_axis = int(random.integers(2))
    lengths = random.integers(0, data.shape[1 - batch_axis] + 1, data.shape[batch_axis]).astype(np.int64)
    return single("ReverseSequence", {"x": data, "lengths": lengths}, {"y": like(data)},
                  batch_axis=batch_axis, time_axis=1 - batch_axis)


def trilu(random):
    data = values(random, shape(random, 2, 4))
    k = np.array(random.integers(-5, 6), dtype=np.int64) if random.random() < 0.7 else None
    return single("Trilu", {"x": data, "k": k}, {"y": like(data)}, upper=int(random.integers(2)))


def center_crop_pad(random):
    data = values(random, shape(random, zero=0), np.float32)
    axes = [int(a) for a in random.permutation(data.ndim)[: random.integers(1, data.ndim + 1)]]
    new = random.integers(1, 8, len(axes)).astype(np.int64)
    return single("CenterCropPad", {"x": data, "shape": new}, {"y": like(data)}, axes=axes)


def col2im(random):
    rank = 2  # in three dimensions, onnxruntime 1.31 differs from the specification's own implementation
    block, strides, dilations = (random.integers(1, 3, rank) for _ in range(3))
    pads = random.integers(0, 2, 2 * rank)
    image = random.integers(3, 6, rank)
    counts = [(image[i] + pads[i] + pads[rank + i] - dilations[i] * (block[i] - 1) - 1) // strides[i] + 1 for i in range(rank)]
    batch, channels = random.integers(1, 3, 2)
    data = values(random, [batch, channels * np.prod(block), np.prod(counts)], np.float32)
    inputs = {"x": data, "image": image.astype(np.int64), "block": block.astype(np.int64)}
    return single("Col2Im", inputs, {"y": like(data, rank + 2)}, strides=[int(n) for n in strides],
                  dilations=[int(n) for n in dilations], pads=[int(n) for n in pads])


OPERATORS = {
    "Reshape": reshape, "Flatten": flatten, "Transpose": transpose, "Squeeze": squeeze, "Unsqueeze": unsqueeze,
    "Concat": concat, "Split": split, "Expand": expand, "Tile": tile, "Pad": pad, "DepthToSpace": depth_to_space,
    "SpaceToDepth": space_to_depth, "ReverseSequence": reverse_sequence, "Trilu": trilu,
    "CenterCropPad": center_crop_pad, "Col2Im": col2im,
}
