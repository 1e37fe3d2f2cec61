"""DistilBERT (Sanh et al. 2019, https://arxiv.org/abs/1910.01108): the mask is expanded and applied by `Where`."""

import math

import numpy as np

from graph import INT64, Graph
from layers import dimension, gelu, gemm, layer_norm, linear, reshape
from reference import Reference

from .attention import attend, join_heads, split_heads
from .bert import FULL, LOWEST, TINY, token_cases


LONGEST = 64


def models(size):
    tiny = size == "tiny"
    shape = TINY if tiny else FULL
    calls = [(1, 5), (3, 7)] if tiny else [(1, 64), (3, 17), (8, 31), (64, 8)]
    cases = token_cases("distilbert", shape.vocabulary, calls, token_types=False)
    yield Reference("distilbert", "mask by Equal, Expand and Where", distilbert("distilbert", shape), cases)


def distilbert(name, shape, opset=16):
    g = Graph(name, opset)
    ids = g.input("input_ids", ["batch", "sequence"], INT64)
    mask = g.input("attention_mask", ["batch", "sequence"], INT64)
    width, size = shape.width, shape.width // shape.heads
    with g.scope("embeddings"):
        words = g.op("Gather", g.normal("word_embeddings.weight", (shape.vocabulary, width), 1.0), ids)
        numbers = g.op("Range", g.constant(0), dimension(g, ids, 1), g.constant(1))
        numbers = g.op("Expand", g.op("Unsqueeze", numbers, g.constant([0])), g.op("Shape", ids))
        places = g.op("Gather", g.normal("position_embeddings.weight", (LONGEST, width), 0.5), numbers)
        with g.scope("LayerNorm"):
            x = layer_norm(g, g.op("Add", words, places), width)
    for number in range(shape.layers):
        with g.scope(f"layer.{number}"):
            with g.scope("attention"):
                query, key, value = (split_heads(g, linear(g, x, width, width), shape.heads, size) for _ in range(3))
                query = g.op("Div", query, g.scalar(math.sqrt(size)))
                scores = g.op("MatMul", query, g.op("Transpose", key, perm=[0, 1, 3, 2]))
                scores = masked(g, scores, mask)
                attended = linear(g, join_heads(g, attend(g, scores, value), width), width, width)
            with g.scope("sa_layer_norm"):
                x = layer_norm(g, g.op("Add", attended, x), width)
            with g.scope("ffn"):
                inner = linear(g, gelu(g, linear(g, x, width, shape.inner)), shape.inner, width, gain=2.0)
            with g.scope("output_layer_norm"):
                x = layer_norm(g, g.op("Add", inner, x), width)
    with g.scope("classifier"):
        first = g.op("Gather", x, g.constant(0), axis=1)
        hidden = g.op("Relu", gemm(g, first, width, width))
        g.output(gemm(g, hidden, width, shape.classes), "logits", ["batch", shape.classes])
    return g.model()


def masked(g, scores, mask):
    """The scores of padding become the lowest float."""
    padding = g.op("Equal", mask, g.constant(0))
    padding = reshape(g, padding, dimension(g, scores, 0), 1, 1, dimension(g, scores, 3))
    padding = g.op("Expand", padding, g.op("Shape", scores))
    return g.op("Where", padding, g.constant(LOWEST, np.float32), scores)
