"""A decoder in the manner of Llama (Touvron et al. 2023, https://arxiv.org/abs/2302.13971): rotary embeddings, root
mean square norms, gated SiLU, fewer heads of keys than of queries."""

import math
from dataclasses import dataclass

import numpy as np

from graph import FLOAT, INT64, Graph
from layers import dimension, reduce, reshape, shape, silu
from reference import Reference

from .attention import attend, join_heads, split_heads
from .bert import LOWEST, token_cases


@dataclass
class Shape:
    layers: int
    width: int
    heads: int
    key_heads: int
    inner: int
    vocabulary: int


def models(size):
    tiny = size == "tiny"
    sizes = Shape(1, 8, 4, 2, 12, 16) if tiny else Shape(3, 192, 6, 2, 512, 500)
    calls = [(1, 4), (3, 5)] if tiny else [(1, 48), (3, 17), (8, 30), (64, 6)]
    cases = token_cases("llama", sizes.vocabulary, calls, token_types=False)
    yield Reference("llama", "rotary embeddings, RMS norms, grouped queries", llama("llama", sizes), cases)


def llama(name, sizes, opset=21):
    g = Graph(name, opset)
    ids = g.input("input_ids", ["batch", "sequence"], INT64)
    mask = g.input("attention_mask", ["batch", "sequence"], INT64)
    x = g.op("Gather", g.normal("embed_tokens.weight", (sizes.vocabulary, sizes.width), 1.0), ids)
    rotation = rotations(g, ids, sizes.width // sizes.heads)
    bias = causal_bias(g, ids, mask)
    for number in range(sizes.layers):
        with g.scope(f"layers.{number}"):
            x = attention(g, x, rotation, bias, sizes)
            with g.scope("mlp"):
                normed = norm(g, x, sizes.width)
                gate = silu(g, matmul(g, normed, sizes.width, sizes.inner))
                up = matmul(g, normed, sizes.width, sizes.inner)
                x = g.op("Add", x, matmul(g, g.op("Mul", gate, up), sizes.inner, sizes.width))
    logits = matmul(g, norm(g, x, sizes.width), sizes.width, sizes.vocabulary)
    g.output(logits, "logits", ["batch", "sequence", sizes.vocabulary])
    return g.model()


def attention(g, x, rotation, bias, sizes):
    size = sizes.width // sizes.heads
    with g.scope("self_attn"):
        normed = norm(g, x, sizes.width)
        query = split_heads(g, matmul(g, normed, sizes.width, sizes.width), sizes.heads, size)
        key, value = (
            split_heads(g, matmul(g, normed, sizes.width, sizes.key_heads * size), sizes.key_heads, size)
            for _ in range(2)
        )
        query, key = rotated(g, query, rotation, size), rotated(g, key, rotation, size)
        key, value = repeated(g, key, sizes, size), repeated(g, value, sizes, size)
        # The root of the scale on both sides, as PyTorch's scaled_dot_product_attention is exported.
        root = g.scalar(size**-0.25)
        query = g.op("Mul", query, root)
        key = g.op("Mul", g.op("Transpose", key, perm=[0, 1, 3, 2]), root)
        scores = g.op("Add", g.op("MatMul", query, key), bias)
        attended = join_heads(g, attend(g, scores, value), sizes.width)
        return g.op("Add", x, matmul(g, attended, sizes.width, sizes.width))


def matmul(g, x, inputs, outputs):
    return g.op("MatMul", x, g.normal("weight", (inputs, outputs), math.sqrt(1.0 / inputs)))


def norm(g, x, width):
    """Divides by the root of the mean square, taken to pieces."""
    mean = reduce(g, "ReduceMean", g.op("Pow", x, g.scalar(2.0)), [-1])
    root = g.op("Sqrt", g.op("Add", mean, g.scalar(1e-5)))
    scaled = g.op("Mul", x, g.op("Div", g.scalar(1.0), root))
    return g.op("Mul", g.weight("norm.weight", g.random.uniform(0.8, 1.2, width).astype(np.float32)), scaled)


def rotations(g, ids, size):
    """Cosine and sine of every position times every frequency: [1, 1, sequence, size]."""
    with g.scope("rotary_emb"):
        places = g.op("Cast", g.op("Range", g.constant(0), dimension(g, ids, 1), g.constant(1)), to=FLOAT)
        frequencies = 10000.0 ** (-np.arange(0, size, 2, dtype=np.float32) / size)
        frequencies = g.weight("inv_freq", frequencies.astype(np.float32)[np.newaxis])
        angles = g.op("MatMul", g.op("Unsqueeze", places, g.constant([1])), frequencies)
        angles = g.op("Unsqueeze", g.op("Concat", angles, angles, axis=-1), g.constant([0, 1]))
        return g.op("Cos", angles), g.op("Sin", angles)


def rotated(g, x, rotation, size):
    """Turns each pair of elements that are half a head apart by its angle."""
    cosine, sine = rotation
    part = lambda low, high: g.op("Slice", x, g.constant([low]), g.constant([high]), g.constant([3]), g.constant([1]))
    turned = g.op("Concat", g.op("Neg", part(size // 2, np.iinfo(np.int64).max)), part(0, size // 2), axis=-1)
    return g.op("Add", g.op("Mul", x, cosine), g.op("Mul", turned, sine))


def repeated(g, x, sizes, size):
    """Gives every head of queries its own copy of the keys or values it shares."""
    batch, sequence = dimension(g, x, 0), dimension(g, x, 2)
    group = sizes.heads // sizes.key_heads
    wide = g.op("Unsqueeze", x, g.constant([2]))
    wide = g.op("Expand", wide, shape(g, batch, sizes.key_heads, group, sequence, size))
    return reshape(g, wide, batch, sizes.heads, sequence, size)


def causal_bias(g, ids, mask):
    """0 where a token may look, the lowest float where it may not: [batch, 1, sequence, sequence]."""
    sequence = dimension(g, ids, 1)
    lowest = g.op("Expand", g.scalar(LOWEST), shape(g, sequence, sequence))
    later = g.op("Unsqueeze", g.op("Trilu", lowest, g.constant(1), upper=1), g.constant([0, 1]))
    padding = g.op("Not", g.op("Cast", g.op("Unsqueeze", mask, g.constant([1, 2])), to=9))
    return g.op("Where", padding, g.scalar(LOWEST), later)
