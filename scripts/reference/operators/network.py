"""Operators of networks: products, convolutions, poolings, normalisations, recurrent layers, attention, resampling."""

import numpy as np
from onnx import TensorProto

from .random_values import like, single

FLOAT, INT64 = TensorProto.FLOAT, TensorProto.INT64


def noise(random, *lengths, kind=np.float32):
    return random.standard_normal([int(length) for length in lengths]).astype(kind)


def some(random, least, most):
    return int(random.integers(least, most + 1))


def lengths(random, count, least=1, most=4):
    return [some(random, least, most) for _ in range(count)]


def chance(random, probability=0.5):
    return bool(random.random() < probability)


def fixed(random, *names):
    """These inputs as weights, or none of them."""
    return names if chance(random) else ()


# Products.


def mat_mul(random):
    kind = [np.float32, np.float32, np.float64, np.int32, np.int64][some(random, 0, 4)]
    batch, (rows, depth, columns) = lengths(random, some(random, 0, 2)), lengths(random, 3, 1, 6)
    left = [1 if chance(random, 0.3) else n for n in batch][some(random, 0, len(batch)):] + [rows, depth]
    right = [1 if chance(random, 0.3) else n for n in batch][some(random, 0, len(batch)):] + [depth, columns]
    a, b = (2 * noise(random, *(side[-1:] if len(side) == 2 and chance(random, 0.1) and at == 0 else side))
            for at, side in enumerate((left, right)))
    a, b = a.astype(kind), b.astype(kind)
    rank = max(a.ndim, b.ndim) - (a.ndim == 1)
    return single("MatMul", {"a": a, "b": b}, {"y": like(a, rank)}, constants=fixed(random, "b"))


def gemm(random):
    rows, depth, columns = lengths(random, 3, 1, 6)
    turn_a, turn_b = some(random, 0, 1), some(random, 0, 1)
    kind = np.float64 if chance(random, 0.2) else np.float32
    a = noise(random, *((depth, rows) if turn_a else (rows, depth)), kind=kind)
    b = noise(random, *((columns, depth) if turn_b else (depth, columns)), kind=kind)
    shapes = [None, (), (1,), (columns,), (1, columns), (rows, 1), (rows, columns)]
    shape = shapes[some(random, 0, len(shapes) - 1)]
    c = None if shape is None else noise(random, *shape, kind=kind).reshape(shape)
    return single("Gemm", {"a": a, "b": b, "c": c}, {"y": like(a, 2)}, constants=fixed(random, "b", "c"), transA=turn_a,
                  transB=turn_b, alpha=float(random.choice([1, 0.5])), beta=float(random.choice([1, 2, 0])))


EQUATIONS = ["ij,jk->ik", "bij,bjk->bik", "...ij,...jk->...ik", "ii->i", "ii", "ij->ji", "ij->", "i,j->ij", "ij,ij->ij", "ij,jk->k",
             "bhqd,bhkd->bhqk", "bqhd,bkhd->bhqk", "ijk,kl,lm->im", "ab,cd", "ij,k", "ijk->kij", "bnij,bjd->bnid", "...ii->...i"]


def einsum(random):
    equation = EQUATIONS[some(random, 0, len(EQUATIONS) - 1)]
    sizes = {letter: some(random, 1, 4) for letter in "abcdefghijklmnopqrstuvwxyz"}
    outer = lengths(random, 2)
    kind = [np.float32, np.float32, np.float64][some(random, 0, 2)]
    inputs = {}
    for index, term in enumerate(equation.split("->")[0].split(",")):
        dots = term.startswith("...")
        shape = (outer if dots else []) + [sizes[letter] for letter in term.replace("...", "")]
        inputs[f"x{index}"] = noise(random, *shape, kind=kind)
    if "->" in equation:
        output = equation.split("->")[1]
        rank = len(output.replace("...", "")) + (2 if "..." in output else 0)
    else:
        letters = equation.replace(",", "")
        rank = sum(letters.count(letter) == 1 for letter in set(letters))
    return single("Einsum", inputs, {"y": like(inputs["x0"], rank)}, equation=equation)


def det(random):
    size = some(random, 1, 5)
    x = noise(random, *lengths(random, some(random, 0, 2)), size, size)
    return single("Det", {"x": x}, {"y": like(x, x.ndim - 2)})


# Windows.


def window(random, rank, kernel):
    """Strides, dilations and padding for a kernel, and the least length of the input they need."""
    if chance(random, 0.2):
        # onnxruntime differs from the specification where these meet dilations or windows that leave elements out.
        auto_pad = ["SAME_UPPER", "SAME_LOWER", "VALID"][some(random, 0, 2)]
        return {"strides": [some(random, 1, k) for k in kernel], "auto_pad": auto_pad}, kernel
    dilations = [some(random, 1, 2) if chance(random, 0.3) else 1 for _ in range(rank)]
    attributes = {"strides": lengths(random, rank, 1, 3), "dilations": dilations}
    if chance(random, 0.7):
        attributes["pads"] = [some(random, 0, k - 1) for k in kernel * 2]
    return attributes, [(k - 1) * d + 1 for k, d in zip(kernel, dilations)]


def conv(random):
    rank, groups = some(random, 1, 3), some(random, 1, 2)
    kernel = lengths(random, rank, 1, 3)
    attributes, extent = window(random, rank, kernel)
    per_group, outputs = some(random, 1, 3), groups * some(random, 1, 3)
    x = noise(random, some(random, 1, 2), groups * per_group, *[n + some(random, 0, 5 if rank < 3 else 2) for n in extent])
    inputs = {"x": x, "w": noise(random, outputs, per_group, *kernel), "b": noise(random, outputs) if chance(random) else None}
    return single("Conv", inputs, {"y": like(x)}, constants=fixed(random, "w", "b"), group=groups, **attributes)


def conv_transpose(random):
    rank, groups = some(random, 1, 3), some(random, 1, 2)
    kernel, strides = lengths(random, rank, 1, 3), lengths(random, rank, 1, 3)
    size = lengths(random, rank, 2, 4)
    choice = some(random, 0, 3)
    if choice == 0:
        # onnxruntime makes less than the specification says where strides are longer than kernels.
        strides = [min(k, s) for k, s in zip(kernel, strides)]
    attributes = {"strides": strides, "dilations": [some(random, 1, 2) if chance(random, 0.3) else 1 for _ in range(rank)]}
    if choice == 0:
        attributes["auto_pad"] = ["SAME_UPPER", "SAME_LOWER", "VALID"][some(random, 0, 2)]
    elif choice == 1:
        attributes["output_padding"] = [some(random, 0, s - 1) for s in strides]
    elif choice == 2:
        attributes["pads"] = [some(random, 0, k - 1) for k in kernel * 2]
    else:
        attributes["output_shape"] = [n * s for n, s in zip(size, strides)]
    per_group = some(random, 1, 3)
    x = noise(random, some(random, 1, 2), groups * some(random, 1, 3), *size)
    inputs = {"x": x, "w": noise(random, x.shape[1], per_group, *kernel),
              "b": noise(random, groups * per_group) if chance(random) else None}
    return single("ConvTranspose", inputs, {"y": like(x)}, constants=fixed(random, "w", "b"), group=groups, **attributes)


def deform_conv(random):
    groups, per_group, kernel = some(random, 1, 2), some(random, 1, 2), lengths(random, 2, 1, 3)
    x = noise(random, 1, groups * per_group, 5, 6)
    size = [n - k + 1 for n, k in zip(x.shape[2:], kernel)]
    taps, outputs = int(np.prod(kernel)), groups * some(random, 1, 2)
    inputs = {"x": x, "w": noise(random, outputs, per_group, *kernel), "offset": noise(random, 1, groups * taps * 2, *size),
              "b": noise(random, outputs), "mask": noise(random, 1, groups * taps, *size) if chance(random) else None}
    return single("DeformConv", inputs, {"y": like(x)}, opset=22, constants=("w", "b"), group=groups, offset_group=groups)


def pool(operator, **choices):
    def generate(random):
        rank = some(random, 1, 3)
        kernel = lengths(random, rank, 1, 3)
        attributes, extent = window(random, rank, kernel)
        attributes |= {name: values[some(random, 0, len(values) - 1)] for name, values in choices.items()}
        x = noise(random, some(random, 1, 2), some(random, 1, 3), *[n + some(random, 1, 4 if rank < 3 else 2) for n in extent])
        outputs = {"y": like(x)}
        if operator == "MaxPool" and chance(random, 0.4):
            # Equal maxima would make the place of the first a matter of order.
            outputs["indices"] = (INT64, x.ndim)
        elif operator == "MaxPool" and chance(random, 0.3):
            x = random.integers(-9, 9, x.shape).astype(np.int8)
            outputs = {"y": like(x)}
        return single(operator, {"x": x}, outputs, opset=18 if operator == "LpPool" else 21, kernel_shape=kernel, **attributes)
    return generate


# Normalisation.


def batch_normalization(random):
    x = noise(random, *lengths(random, some(random, 2, 5)))
    inputs = {"x": x, "scale": noise(random, x.shape[1]), "b": noise(random, x.shape[1]), "mean": noise(random, x.shape[1]),
              "var": np.abs(noise(random, x.shape[1])) + np.float32(0.1)}
    return single("BatchNormalization", inputs, {"y": like(x)}, constants=fixed(random, "scale", "b", "mean", "var"))


def layer_normalization(random):
    x = noise(random, *lengths(random, some(random, 1, 4), 2, 5))
    first = some(random, -x.ndim, x.ndim - 1)
    row = x.shape[first:]
    inputs = {"x": x, "scale": noise(random, *row), "b": noise(random, *row) if chance(random) else None}
    return single("LayerNormalization", inputs, {"y": like(x)}, axis=first, epsilon=1e-3)


def channels(operator, opset=21, **attributes):
    def generate(random):
        x = noise(random, some(random, 1, 2), 4, *lengths(random, some(random, 1, 3), 2, 4))
        own = dict(attributes)
        if operator == "GroupNormalization":
            own["num_groups"] = [1, 2, 4][some(random, 0, 2)]
        inputs = {"x": x, "scale": noise(random, 4), "b": noise(random, 4)}
        return single(operator, inputs, {"y": like(x)}, opset=opset, epsilon=1e-3, **own)
    return generate


def local_response(random):
    x = noise(random, some(random, 1, 2), some(random, 1, 6), *lengths(random, 2))
    size = [1, 3, 5][some(random, 0, 2)]
    return single("LRN", {"x": x}, {"y": like(x)}, size=size, alpha=0.1, beta=float(random.choice([0.75, 0.5])), bias=1.5)


def lp_normalization(random):
    x = noise(random, *lengths(random, some(random, 1, 3)))
    return single("LpNormalization", {"x": x}, {"y": like(x)}, axis=some(random, -x.ndim, x.ndim - 1), p=some(random, 1, 2))


def moments(random):
    x = noise(random, *lengths(random, 4, 2, 4))
    axes = {"axes": [[0, 2, 3], [1, 2], [2, 3]][some(random, 0, 2)]} if chance(random) else {}
    return single("MeanVarianceNormalization", {"x": x}, {"y": like(x)}, **axes)


# Sequences.


def recurrent(operator, gates):
    functions = {"LSTM": ["HardSigmoid", "Softsign", "Relu"], "GRU": ["HardSigmoid", "LeakyRelu"], "RNN": ["Relu"]}

    def generate(random):
        direction = ["forward", "reverse", "bidirectional"][some(random, 0, 2)]
        directions = 2 if direction == "bidirectional" else 1
        steps, batch, size, hidden = lengths(random, 4, 1, 4)
        state = (directions, batch, hidden)
        inputs = {"x": noise(random, steps, batch, size), "w": noise(random, directions, gates * hidden, size),
                  "r": noise(random, directions, gates * hidden, hidden),
                  "b": noise(random, directions, 2 * gates * hidden) if chance(random) else None,
                  "lens": random.integers(1, steps + 1, batch).astype(np.int32) if chance(random, 0.3) else None,
                  "h": noise(random, *state) if chance(random) else None}
        outputs = {"y": (FLOAT, 4), "y_h": (FLOAT, 3)}
        attributes = {"hidden_size": hidden, "direction": direction}
        if operator == "LSTM":
            inputs |= {"c": noise(random, *state) if chance(random) else None,
                       "p": noise(random, directions, 3 * hidden) if chance(random, 0.3) else None}
            outputs["y_c"] = (FLOAT, 3)
        if operator == "GRU":
            attributes["linear_before_reset"] = some(random, 0, 1)
        if chance(random, 0.2):
            attributes["clip"] = 0.7
        if chance(random, 0.3):
            attributes["activations"] = functions[operator] * directions
        return single(operator, inputs, outputs, constants=fixed(random, "w", "r", "b", "p"), **attributes)
    return generate


def attention(random):
    batch, key_heads, queries, keys = lengths(random, 4, 1, 4)
    heads, size, value_size = key_heads * some(random, 1, 2), 2 * some(random, 1, 4), 2 * some(random, 1, 4)
    q, k = noise(random, batch, heads, queries, size), noise(random, batch, key_heads, keys, size)
    inputs = {"q": q, "k": k, "v": noise(random, batch, key_heads, keys, value_size), "mask": None}
    if chance(random):
        inputs["mask"] = noise(random, *[(queries, keys), (batch, 1, queries, keys), (1, heads, queries, keys)][some(random, 0, 2)])
    return single("Attention", inputs, {"y": like(q)}, opset=23, is_causal=some(random, 0, 1))


# Resampling.

COORDINATES = ["half_pixel", "pytorch_half_pixel", "align_corners", "asymmetric"]


def resize(random):
    x = noise(random, 1, some(random, 1, 2), *lengths(random, 2, 2, 5))
    sizes = np.array([*x.shape[:2], *lengths(random, 2, 1, 8)], dtype=np.int64)
    mode = ["nearest", "linear", "cubic"][some(random, 0, 2)]
    attributes = {"mode": mode, "coordinate_transformation_mode": COORDINATES[some(random, 0, 3)]}
    if mode == "nearest":
        attributes["nearest_mode"] = ["round_prefer_floor", "round_prefer_ceil", "floor", "ceil"][some(random, 0, 3)]
    if mode == "cubic":
        attributes["cubic_coeff_a"] = float(random.choice([-0.5, -0.75]))
        attributes["exclude_outside"] = some(random, 0, 1)
    if chance(random):
        # With scales that make no whole length, the project's suite and onnxruntime align corners differently.
        factors = [1, 2, 3] if attributes["coordinate_transformation_mode"] == "align_corners" else [0.5, 1, 1.5, 2, 3]
        scales = np.array([1, 1, *random.choice(factors, 2)], dtype=np.float32)
        return single("Resize", {"x": x, "roi": None, "scales": scales}, {"y": like(x)}, constants=("scales",), **attributes)
    inputs = {"x": x, "roi": None, "scales": None, "sizes": sizes}
    return single("Resize", inputs, {"y": like(x)}, constants=("sizes",), **attributes)


def upsample(random):
    x = noise(random, 1, some(random, 1, 2), *lengths(random, 2, 1, 4))
    scales = np.array([1, 1, *random.choice([1, 1.5, 2, 3], 2)], dtype=np.float32)
    mode = ["nearest", "linear"][some(random, 0, 1)]
    if chance(random):
        return single("Upsample", {"x": x}, {"y": like(x)}, opset=7, mode=mode, scales=[float(scale) for scale in scales])
    return single("Upsample", {"x": x, "scales": scales}, {"y": like(x)}, opset=9, constants=("scales",), mode=mode)


def grid_sample(random):
    rank = some(random, 2, 3)
    x = noise(random, some(random, 1, 2), some(random, 1, 2), *lengths(random, rank, 2, 4))
    grid = random.uniform(-1.5, 1.5, [x.shape[0], *lengths(random, rank, 1, 3), rank]).astype(np.float32)
    mode = ["linear", "nearest", "cubic"][some(random, 0, 2 if rank == 2 else 1)]
    padding = ["zeros", "border", "reflection"][some(random, 0, 2)]
    return single("GridSample", {"x": x, "grid": grid}, {"y": like(x)}, mode=mode, padding_mode=padding,
                  align_corners=some(random, 0, 1))


def affine_grid(random):
    rank, batch = some(random, 2, 3), some(random, 1, 2)
    theta = noise(random, batch, rank, rank + 1)
    size = np.array([batch, 1, *lengths(random, rank, 2)], dtype=np.int64)
    return single("AffineGrid", {"theta": theta, "size": size}, {"grid": like(theta, rank + 2)}, align_corners=some(random, 0, 1))


# Detection.


def non_max_suppression(random):
    batch, classes, boxes = some(random, 1, 2), some(random, 1, 2), some(random, 1, 12)
    inputs = {"boxes": random.random([batch, boxes, 4]).astype(np.float32),
              "scores": random.random([batch, classes, boxes]).astype(np.float32),
              "most": np.array([some(random, 0, 5)], dtype=np.int64), "overlap": np.array([0.3], dtype=np.float32),
              "least": np.array([0.2], dtype=np.float32) if chance(random) else None}
    return single("NonMaxSuppression", inputs, {"y": (INT64, 2)}, center_point_box=some(random, 0, 1))


def roi_align(random):
    x, count = noise(random, 2, some(random, 1, 2), 6, 7), some(random, 1, 3)
    corners = np.sort(random.uniform(0, 12, [count, 2, 2]), axis=1).reshape(-1, 4).astype(np.float32)
    inputs = {"x": x, "rois": corners, "batch": random.integers(0, 2, count)}
    return single("RoiAlign", inputs, {"y": like(x)}, output_height=2, output_width=3, sampling_ratio=some(random, 0, 2),
                  spatial_scale=0.5, mode=["avg", "max"][some(random, 0, 1)],
                  coordinate_transformation_mode=["half_pixel", "output_half_pixel"][some(random, 0, 1)])


OPERATORS = {
    "MatMul": mat_mul, "Gemm": gemm, "Einsum": einsum, "Det": det, "Conv": conv, "ConvTranspose": conv_transpose,
    "DeformConv": deform_conv, "MaxPool": pool("MaxPool", ceil_mode=[0, 1], storage_order=[0, 1]),
    "AveragePool": pool("AveragePool", ceil_mode=[0, 1], count_include_pad=[0, 1]), "LpPool": pool("LpPool", p=[1, 2, 3]),
    "BatchNormalization": batch_normalization, "LayerNormalization": layer_normalization,
    "GroupNormalization": channels("GroupNormalization"), "InstanceNormalization": channels("InstanceNormalization"),
    "LRN": local_response, "LpNormalization": lp_normalization, "MeanVarianceNormalization": moments,
    "LSTM": recurrent("LSTM", 4), "GRU": recurrent("GRU", 3), "RNN": recurrent("RNN", 1), "Attention": attention,
    "Resize": resize, "Upsample": upsample, "GridSample": grid_sample, "AffineGrid": affine_grid,
    "NonMaxSuppression": non_max_suppression, "RoiAlign": roi_align,
}
