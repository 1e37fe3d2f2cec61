"""BERT (Devlin et al. 2018, https://arxiv.org/abs/1810.04805), taken to pieces and with the newer fused operators."""

import math
from dataclasses import dataclass

import numpy as np

from graph import FLOAT, INT64, Graph
from layers import dimension, gelu, gemm, layer_norm, layer_norm_weights, linear
from reference import Case, Reference

from .attention import attend, join_heads, split_heads
from .inputs import generator

LONGEST = 128
LOWEST = float(np.finfo(np.float32).min)


@dataclass
class Shape:
    layers: int
    width: int
    heads: int
    inner: int
    vocabulary: int
    classes: int


FULL = Shape(layers=4, width=256, heads=4, inner=1024, vocabulary=2000, classes=3)
TINY = Shape(layers=1, width=8, heads=2, inner=16, vocabulary=30, classes=3)


def models(size):
    tiny = size == "tiny"
    shape = TINY if tiny else FULL
    calls = [(1, 5), (3, 7)] if tiny else [(1, 128), (3, 17), (8, 64), (64, 9)]
    for name, about, opset in [
        ("bert", "LayerNorm and GELU taken to pieces", 14),
        ("bert_fused", "the operators LayerNormalization and Gelu", 20),
    ]:
        yield Reference(name, about, bert(name, shape, opset), token_cases(name, shape.vocabulary, calls))


def token_cases(name, vocabulary, calls, token_types=True):
    """Sentences of different lengths, padded to the longest; `calls` are pairs of batch and sequence length."""
    random = generator(name)
    cases = []
    for batch, sequence in calls:
        lengths = random.integers(max(1, sequence // 2), sequence + 1, batch)
        lengths[0] = sequence
        mask = (np.arange(sequence) < lengths[:, np.newaxis]).astype(np.int64)
        inputs = {"input_ids": random.integers(1, vocabulary, (batch, sequence)) * mask, "attention_mask": mask}
        if token_types:
            inputs["token_type_ids"] = (np.arange(sequence) > lengths[:, np.newaxis] // 2).astype(np.int64) * mask
        cases.append(Case(batch, inputs))
    return cases


def bert(name, shape, opset):
    g = Graph(name, opset)
    norm = fused_norm if opset >= 17 else layer_norm
    activation = (lambda g, x: g.op("Gelu", x)) if opset >= 20 else gelu
    ids = g.input("input_ids", ["batch", "sequence"], INT64)
    mask = g.input("attention_mask", ["batch", "sequence"], INT64)
    types = g.input("token_type_ids", ["batch", "sequence"], INT64)
    bias = mask_bias(g, mask)
    with g.scope("embeddings"):
        x = embed(g, ids, types, shape)
        with g.scope("LayerNorm"):
            x = norm(g, x, shape.width)
    for number in range(shape.layers):
        with g.scope(f"layer.{number}"):
            x = layer(g, x, bias, shape, norm, activation)
    g.output(x, "last_hidden_state", ["batch", "sequence", shape.width])
    with g.scope("pooler"):
        first = g.op("Gather", x, g.constant(0), axis=1)
        pooled = g.op("Tanh", gemm(g, first, shape.width, shape.width))
    with g.scope("classifier"):
        g.output(gemm(g, pooled, shape.width, shape.classes), "logits", ["batch", shape.classes])
    return g.model()


def mask_bias(g, mask):
    """0 where a token may be looked at, the lowest float where not: [batch, 1, 1, sequence]."""
    wide = g.op("Unsqueeze", g.op("Unsqueeze", mask, g.constant([1])), g.constant([2]))
    kept = g.op("Cast", wide, to=FLOAT)
    return g.op("Mul", g.op("Sub", g.scalar(1.0), kept), g.scalar(LOWEST))


def embed(g, ids, types, shape):
    words = g.op("Gather", g.normal("word_embeddings.weight", (shape.vocabulary, shape.width), 1.0), ids)
    kinds = g.op("Gather", g.normal("token_type_embeddings.weight", (2, shape.width), 0.5), types)
    every = g.weight("position_ids", np.arange(LONGEST, dtype=np.int64)[np.newaxis])
    end = g.op("Unsqueeze", dimension(g, ids, 1), g.constant([0]))
    numbers = g.op("Slice", every, g.constant([0]), end, g.constant([1]), g.constant([1]))
    places = g.op("Gather", g.normal("position_embeddings.weight", (LONGEST, shape.width), 0.5), numbers)
    return g.op("Add", g.op("Add", words, kinds), places)


def layer(g, x, bias, shape, norm, activation):
    width, size = shape.width, shape.width // shape.heads
    with g.scope("attention"):
        query, key, value = (linear(g, x, width, width) for _ in range(3))
        query, value = split_heads(g, query, shape.heads, size), split_heads(g, value, shape.heads, size)
        key = g.op("Transpose", split_heads(g, key, shape.heads, size), perm=[0, 1, 3, 2])
        scores = g.op("Div", g.op("MatMul", query, key), g.scalar(math.sqrt(size)))
        attended = join_heads(g, attend(g, g.op("Add", scores, bias), value), width)
        attended = linear(g, attended, width, width)
        with g.scope("LayerNorm"):
            x = norm(g, g.op("Add", attended, x), width)
    with g.scope("output"):
        inner = activation(g, linear(g, x, width, shape.inner))
        inner = linear(g, inner, shape.inner, width, gain=2.0)
        with g.scope("LayerNorm"):
            return norm(g, g.op("Add", inner, x), width)


def fused_norm(g, x, width):
    return g.op("LayerNormalization", x, *layer_norm_weights(g, width), axis=-1, epsilon=1e-12)
