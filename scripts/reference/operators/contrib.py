"""onnxruntime's own operators (com.microsoft), and a few of ai.onnx that the ONNX project does not test."""

import numpy as np
from onnx import TensorProto, helper

from .random_values import like, single

FLOAT, UINT8 = TensorProto.FLOAT, TensorProto.UINT8


def noise(random, *lengths, scale=1.0):
    return (scale * random.standard_normal(lengths)).astype(np.float32)


def own(operator, inputs, outputs, constants=(), **attributes):
    return single(operator, inputs, outputs, constants=constants, domain="com.microsoft", **attributes)


def lengths(random, least, most):
    return [int(n) for n in random.integers(1, 6, random.integers(least, most + 1))]


# Activations and normalisation.


def activation(operator, **attributes):
    def generate(random):
        x = noise(random, *lengths(random, 1, 4), scale=3)
        return own(operator, {"x": x}, {"y": like(x)}, **attributes)
    return generate


def with_bias(operator, always):
    def generate(random):
        x = noise(random, *lengths(random, 2, 3), scale=2)
        bias = noise(random, x.shape[-1]) if always or random.random() < 0.7 else None
        return own(operator, {"x": x, "bias": bias}, {"y": like(x)}, constants=("bias",) if random.random() < 0.5 else ())
    return generate


def skip_normalization(operator, beta):
    def generate(random):
        batch, time, size = (int(n) for n in random.integers(1, 6, 3))
        x, skip = noise(random, batch, time, size), noise(random, batch, time, size)
        inputs = {"x": x, "skip": skip, "gamma": noise(random, size)}
        if beta:
            inputs["beta"] = noise(random, size) if random.random() < 0.7 else None
        inputs["bias"] = noise(random, size) if random.random() < 0.5 else None
        return own(operator, inputs, {"y": like(x)}, constants=("gamma", "beta", "bias"), epsilon=1e-5)
    return generate


def simplified_normalization(random):
    x = noise(random, *lengths(random, 2, 3))
    return single("SimplifiedLayerNormalization", {"x": x, "scale": noise(random, x.shape[-1])}, {"y": like(x)},
                  constants=("scale",), axis=-1, epsilon=1e-5)


def embed_normalization(random):
    batch, time, size, words = (int(n) for n in random.integers(1, 6, 4))
    ids = random.integers(0, words, [batch, time]).astype(np.int32)
    segments = random.integers(0, 2, [batch, time]).astype(np.int32) if random.random() < 0.7 else None
    inputs = {"ids": ids, "segments": segments, "words": noise(random, words, size), "places": noise(random, 8, size),
              "kinds": noise(random, 2, size) if segments is not None else None, "gamma": noise(random, size),
              "beta": noise(random, size), "mask": (random.random([batch, time]) < 0.7).astype(np.int32)}
    return own("EmbedLayerNormalization", inputs, {"y": (FLOAT, 3), "index": (TensorProto.INT32, 1)},
               constants=("words", "places", "kinds", "gamma", "beta"), epsilon=1e-5)


# Attention.


def attention(random):
    batch, time, heads = (int(n) for n in random.integers(1, 4, 3))
    size = heads * int(random.choice([2, 4, 8]))
    x = noise(random, batch, time, size)
    mask = (random.random([batch, time]) < 0.8).astype(np.int32)
    mask[:, 0] = 1
    inputs = {"x": x, "weights": noise(random, size, 3 * size), "bias": noise(random, 3 * size)}
    outputs = {"y": like(x)}
    choice = random.random()
    if choice < 0.3:
        inputs |= {"mask": None, "past": noise(random, 2, batch, heads, int(random.integers(0, 4)), size // heads)}
        outputs["present"] = (FLOAT, 5)
    elif choice < 0.7:
        inputs["mask"] = mask
    return own("Attention", inputs, outputs, constants=("weights", "bias"), num_heads=heads,
               unidirectional=int(random.random() < 0.3))


def multi_head_attention(random):
    batch, queries, keys, heads = (int(n) for n in random.integers(1, 4, 4))
    size = heads * int(random.choice([2, 4, 8]))
    q, k, v = (noise(random, batch, n, size) for n in (queries, keys, keys))
    inputs = {"q": q, "k": k, "v": v, "bias": noise(random, 3 * size) if random.random() < 0.4 else None, "padding": None,
              "mask": noise(random, batch, heads, queries, keys) if random.random() < 0.4 else None}
    return own("MultiHeadAttention", inputs, {"y": like(q)}, num_heads=heads)


def group_query_attention(random):
    batch, groups, past = int(random.integers(1, 3)), int(random.integers(1, 3)), int(random.choice([0, 3]))
    heads, size = groups * int(random.integers(1, 3)), 8
    time = 1 if past else int(random.integers(1, 5))
    q, k, v = (noise(random, batch, time, n * size) for n in (heads, groups, groups))
    inputs = {"q": q, "k": k, "v": v, "past_k": noise(random, batch, groups, past, size),
              "past_v": noise(random, batch, groups, past, size),
              "last": np.full(batch, past + time - 1, dtype=np.int32), "total": np.array([past + time], dtype=np.int32)}
    outputs = {"y": like(q), "present_k": (FLOAT, 4), "present_v": (FLOAT, 4)}
    return own("GroupQueryAttention", inputs, outputs, num_heads=heads, kv_num_heads=groups)


def rotary_embedding(random):
    batch, time, heads, half = (int(n) for n in random.integers(1, 4, 4))
    size = 2 * half * 2
    x = noise(random, batch, heads, time, size)
    angles = noise(random, 8, size // 2)
    inputs = {"x": x, "ids": np.array([random.integers(0, 4)], dtype=np.int64), "cos": np.cos(angles), "sin": np.sin(angles)}
    return own("RotaryEmbedding", inputs, {"y": like(x)}, interleaved=int(random.integers(2)))


# Quantised operators.


def scale(random):
    return np.array(random.choice([0.01, 0.02, 0.05]), dtype=np.float32)


def quantised(random, kind, *lengths):
    low, high = np.iinfo(kind).min, np.iinfo(kind).max
    return random.integers(low, high + 1, lengths).astype(kind)


def zero(random, kind):
    return np.array(random.integers(-20, 20) if kind is np.int8 else random.integers(100, 156), dtype=kind)


def signedness(random):
    return [np.uint8, np.int8][random.integers(2)]


PARAMETERS = ("a_scale", "a_zero", "b_scale", "b_zero", "y_scale", "y_zero", "scale", "zero")


def q_binary(operator):
    def generate(random):
        kind, shape = signedness(random), lengths(random, 1, 3)
        a, b = quantised(random, kind, *shape), quantised(random, kind, *shape[random.integers(len(shape)):])
        inputs = {"a": a, "a_scale": scale(random), "a_zero": zero(random, kind), "b": b, "b_scale": scale(random),
                  "b_zero": zero(random, kind), "y_scale": scale(random), "y_zero": zero(random, kind)}
        return own(operator, inputs, {"y": like(a)}, constants=PARAMETERS)
    return generate


def q_unary(operator, **attributes):
    def generate(random):
        kind = signedness(random)
        a = quantised(random, kind, *lengths(random, 1, 3))
        y_scale = np.array(1 / 256, dtype=np.float32) if operator != "QLinearLeakyRelu" else scale(random)
        inputs = {"a": a, "a_scale": scale(random), "a_zero": zero(random, kind), "y_scale": y_scale, "y_zero": zero(random, kind)}
        return own(operator, inputs, {"y": like(a)}, constants=PARAMETERS, **attributes)
    return generate


def q_softmax(random):
    kind = np.uint8
    # onnxruntime 1.31 takes a probability of 1 for 0 when the scale cannot represent it
    a = quantised(random, kind, *lengths(random, 0, 2), int(random.integers(4, 9)))
    inputs = {"a": a, "a_scale": np.array(0.005, dtype=np.float32), "a_zero": zero(random, kind),
              "y_scale": np.array(1 / 256, dtype=np.float32), "y_zero": np.array(0, dtype=kind)}
    model, running = own("QLinearSoftmax", inputs, {"y": like(a)}, constants=PARAMETERS, axis=-1)
    model.graph.node[0].attribute.append(helper.make_attribute("opset", 13))
    return model, running


def q_concat(random):
    kind, shape = signedness(random), lengths(random, 2, 3)
    inputs = {"y_scale": scale(random), "y_zero": zero(random, kind)}
    for index in range(random.integers(1, 4)):
        part = list(shape)
        part[1] = int(random.integers(1, 4))
        inputs |= {f"x{index}": quantised(random, kind, *part), f"scale{index}": scale(random), f"zero{index}": zero(random, kind)}
    fixed = tuple(name for name in inputs if not name.startswith("x"))
    return own("QLinearConcat", inputs, {"y": like(inputs["x0"])}, constants=fixed, axis=1)


def q_average(operator, **attributes):
    def generate(random):
        kind = signedness(random)
        a = quantised(random, kind, int(random.integers(1, 3)), int(random.integers(1, 4)), 5, 6)
        inputs = {"a": a, "a_scale": scale(random), "a_zero": zero(random, kind), "y_scale": scale(random), "y_zero": zero(random, kind)}
        return own(operator, inputs, {"y": like(a)}, constants=PARAMETERS, **attributes)
    return generate


def q_conv(random):
    channels, outputs = (int(n) for n in random.integers(1, 4, 2))
    a, weights = quantised(random, np.uint8, 1, channels, 5, 5), quantised(random, np.int8, outputs, channels, 3, 3)
    inputs = {"a": a, "a_scale": scale(random), "a_zero": zero(random, np.uint8), "w": weights,
              "w_scale": np.full(outputs, 0.02, dtype=np.float32), "w_zero": np.zeros(outputs, dtype=np.int8),
              "y_scale": np.array(0.2, dtype=np.float32), "y_zero": zero(random, np.uint8),
              "bias": random.integers(-500, 500, outputs).astype(np.int32)}
    fixed = tuple(name for name in inputs if name != "a")
    return single("QLinearConv", inputs, {"y": like(a)}, constants=fixed, pads=[1, 1, 1, 1])


def q_gemm(random):
    rows, inner, columns = (int(n) for n in random.integers(1, 6, 3))
    kind = np.uint8
    inputs = {"a": quantised(random, kind, rows, inner), "a_scale": scale(random), "a_zero": zero(random, kind),
              "b": quantised(random, np.int8, inner, columns), "b_scale": scale(random), "b_zero": np.array(0, dtype=np.int8),
              "c": random.integers(-500, 500, columns).astype(np.int32)}
    fixed = tuple(name for name in inputs if name != "a")
    if random.random() < 0.5:
        return own("QGemm", inputs, {"y": (FLOAT, 2)}, constants=fixed)
    inputs |= {"y_scale": np.array(0.2, dtype=np.float32), "y_zero": zero(random, kind)}
    return own("QGemm", inputs, {"y": (UINT8, 2)}, constants=(*fixed, "y_scale", "y_zero"))


def dynamic_quantize_mat_mul(random):
    rows, inner, columns = (int(n) for n in random.integers(1, 6, 3))
    inputs = {"a": noise(random, rows, inner), "b": quantised(random, np.int8, inner, columns), "b_scale": scale(random),
              "b_zero": np.array(random.integers(-3, 4), dtype=np.int8), "bias": noise(random, columns) if random.random() < 0.5 else None}
    return own("DynamicQuantizeMatMul", inputs, {"y": (FLOAT, 2)}, constants=("b", "b_scale", "b_zero", "bias"))


def mat_mul_integer_to_float(random):
    rows, inner, columns = (int(n) for n in random.integers(1, 6, 3))
    inputs = {"a": quantised(random, np.uint8, rows, inner), "b": quantised(random, np.int8, inner, columns),
              "a_scale": scale(random), "b_scale": scale(random), "a_zero": zero(random, np.uint8),
              "b_zero": np.array(random.integers(-3, 4), dtype=np.int8), "bias": noise(random, columns) if random.random() < 0.5 else None}
    fixed = tuple(name for name in inputs if name != "a")
    return own("MatMulIntegerToFloat", inputs, {"y": (FLOAT, 2)}, constants=fixed)


def quantize_linear(random):
    x, kind = noise(random, *lengths(random, 1, 3)), signedness(random)
    inputs = {"x": x, "scale": scale(random), "zero": zero(random, kind)}
    return own("QuantizeLinear", inputs, {"y": (like(inputs["zero"])[0], x.ndim)}, constants=PARAMETERS)


def dequantize_linear(random):
    kind = signedness(random)
    x = quantised(random, kind, *lengths(random, 1, 3))
    inputs = {"x": x, "scale": scale(random), "zero": zero(random, kind)}
    return own("DequantizeLinear", inputs, {"y": (FLOAT, x.ndim)}, constants=PARAMETERS)


# Of ai.onnx.


def global_lp_pool(random):
    x = noise(random, *[int(n) for n in random.integers(1, 5, 4)])
    return single("GlobalLpPool", {"x": x}, {"y": like(x)}, p=int(random.integers(1, 4)))


def max_roi_pool(random):
    batch, channels = (int(n) for n in random.integers(1, 3, 2))
    x = noise(random, batch, channels, 7, 8)
    corners = np.sort(random.integers(0, 7, [int(random.integers(1, 4)), 2, 2]), axis=1).reshape(-1, 4)
    rois = np.concatenate([random.integers(0, batch, [len(corners), 1]), corners], axis=1).astype(np.float32)
    return single("MaxRoiPool", {"x": x, "rois": rois}, {"y": like(x)}, pooled_shape=[2, 2], spatial_scale=1.0)


OPERATORS = {
    "Gelu": activation("Gelu"), "QuickGelu": activation("QuickGelu", alpha=1.5), "FastGelu": with_bias("FastGelu", False),
    "BiasGelu": with_bias("BiasGelu", True), "SkipLayerNormalization": skip_normalization("SkipLayerNormalization", True),
    "SkipSimplifiedLayerNormalization": skip_normalization("SkipSimplifiedLayerNormalization", False),
    "SimplifiedLayerNormalization": simplified_normalization, "EmbedLayerNormalization": embed_normalization,
    "Attention": attention, "MultiHeadAttention": multi_head_attention, "GroupQueryAttention": group_query_attention,
    "RotaryEmbedding": rotary_embedding, "QLinearAdd": q_binary("QLinearAdd"), "QLinearMul": q_binary("QLinearMul"),
    "QLinearSigmoid": q_unary("QLinearSigmoid"), "QLinearLeakyRelu": q_unary("QLinearLeakyRelu", alpha=0.1),
    "QLinearSoftmax": q_softmax, "QLinearConcat": q_concat,
    "QLinearAveragePool": q_average("QLinearAveragePool", kernel_shape=[3, 2], strides=[2, 1], pads=[1, 0, 1, 1]),
    "QLinearGlobalAveragePool": q_average("QLinearGlobalAveragePool"), "QLinearConv": q_conv, "QGemm": q_gemm,
    "DynamicQuantizeMatMul": dynamic_quantize_mat_mul, "MatMulIntegerToFloat": mat_mul_integer_to_float,
    "QuantizeLinear": quantize_linear, "DequantizeLinear": dequantize_linear, "GlobalLpPool": global_lp_pool,
    "MaxRoiPool": max_roi_pool,
}
