"""GPT-2 (Radford et al. 2019) as a decoder with a cache: past keys and values go in, those of the new tokens come out."""

import math

import numpy as np
from onnx import numpy_helper

from graph import FLOAT, INT64, Graph
from layers import dimension, gelu_tanh, layer_norm, reshape, shape
from reference import Case, Reference

from .attention import attend, join_heads, split_heads
from .bert import FULL, LOWEST, TINY
from .inputs import generator

LONGEST = 64


def models(size):
    tiny = size == "tiny"
    sizes = TINY if tiny else FULL
    # Batch, tokens in the cache, new tokens: reading a prompt, then generating from it.
    calls = [(1, 0, 4), (3, 4, 1)] if tiny else [(1, 0, 32), (1, 32, 1), (3, 12, 5), (8, 20, 1), (64, 6, 2)]
    for name, about, by_slice in [
        ("gpt2", "causal mask sliced from a constant, applied by Where", True),
        ("gpt2_trilu", "causal mask made by Trilu", False),
    ]:
        yield Reference(name, about, gpt2(name, sizes, by_slice), cases(name, sizes, calls))


def cases(name, sizes, calls):
    random = generator(name)
    result = []
    for batch, past, sequence in calls:
        mask = np.ones((batch, past + sequence), dtype=np.int64)
        if batch > 1:
            mask[1, : past // 2] = 0  # a shorter prompt, padded on the left
        inputs = {"input_ids": random.integers(0, sizes.vocabulary, (batch, sequence)), "attention_mask": mask}
        for layer in range(sizes.layers):
            for kind in ("key", "value"):
                block = (batch, sizes.heads, past, sizes.width // sizes.heads)
                inputs[f"past_key_values.{layer}.{kind}"] = random.standard_normal(block, dtype=np.float32)
        result.append(Case(batch, inputs))
    return result


def gpt2(name, sizes, by_slice, opset=15):
    g = Graph(name, opset)
    width, heads, size = sizes.width, sizes.heads, sizes.width // sizes.heads
    ids = g.input("input_ids", ["batch", "sequence"], INT64)
    mask = g.input("attention_mask", ["batch", "total"], INT64)
    pasts = [
        [g.input(f"past_key_values.{layer}.{kind}", ["batch", heads, "past", size]) for kind in ("key", "value")]
        for layer in range(sizes.layers)
    ]
    bias = padding_bias(g, mask)
    embeddings = g.random.standard_normal((sizes.vocabulary, width), dtype=np.float32) * np.float32(0.5)
    with g.scope("wpe"):
        past, total = dimension(g, pasts[0][0], 2), dimension(g, mask, 1)
        numbers = g.op("Unsqueeze", g.op("Range", past, total, g.constant(1)), g.constant([0]))
        places = g.op("Gather", g.normal("weight", (LONGEST, width), 0.3), numbers)
    x = g.op("Add", g.op("Gather", g.weight("wte.weight", embeddings), ids), places)
    presents = []
    for layer, past in enumerate(pasts):
        with g.scope(f"h.{layer}"):
            x, present = block(g, x, past, bias, sizes, by_slice)
            presents.append(present)
    with g.scope("ln_f"):
        x = layer_norm(g, x, width, epsilon=1e-5)
    # The output layer is the embedding transposed, which the exporter folds.
    logits = g.op("MatMul", x, g.weight("lm_head.weight", embeddings.T / np.float32(math.sqrt(width))))
    g.output(logits, "logits", ["batch", "sequence", sizes.vocabulary])
    for layer, present in enumerate(presents):
        for kind, value in zip(("key", "value"), present):
            g.output(value, f"present.{layer}.{kind}", ["batch", heads, "total", size])
    return g.model()


def padding_bias(g, mask):
    wide = g.op("Unsqueeze", mask, g.constant([1, 2]))
    return g.op("Mul", g.op("Sub", g.scalar(1.0), g.op("Cast", wide, to=FLOAT)), g.scalar(LOWEST))


def block(g, x, past, bias, sizes, by_slice):
    width, heads, size = sizes.width, sizes.heads, sizes.width // sizes.heads
    with g.scope("attn"):
        with g.scope("ln_1"):
            normed = layer_norm(g, x, width, epsilon=1e-5)
        mixed = projection(g, normed, width, 3 * width)
        parts = g.op("Split", mixed, g.constant([width] * 3), outputs=3, axis=2)
        query, key, value = (split_heads(g, part, heads, size) for part in parts)
        key = g.op("Concat", past[0], key, axis=2)
        value = g.op("Concat", past[1], value, axis=2)
        scores = g.op("MatMul", query, g.op("Transpose", key, perm=[0, 1, 3, 2]))
        scores = g.op("Div", scores, g.scalar(math.sqrt(size)))
        scores = g.op("Where", causal(g, query, key, by_slice), scores, g.constant(LOWEST, np.float32))
        attended = join_heads(g, attend(g, g.op("Add", scores, bias), value), width)
        x = g.op("Add", projection(g, attended, width, width), x)
    with g.scope("mlp"):
        with g.scope("ln_2"):
            normed = layer_norm(g, x, width, epsilon=1e-5)
        inner = projection(g, gelu_tanh(g, projection(g, normed, width, sizes.inner)), sizes.inner, width)
        return g.op("Add", x, inner), (key, value)


def projection(g, x, inputs, outputs):
    """GPT-2's `Conv1D`: `Gemm` on the matrix of all tokens."""
    weight = g.normal("weight", (inputs, outputs), math.sqrt(1.0 / inputs))
    rows = g.op("Reshape", x, g.constant([-1, inputs]))
    rows = g.op("Gemm", rows, weight, g.normal("bias", (outputs,), 0.1), alpha=1.0, beta=1.0)
    return reshape(g, rows, dimension(g, x, 0), dimension(g, x, 1), outputs)


def causal(g, query, key, by_slice):
    """Whether a query may look at a key: [1, 1, queries, keys] or [queries, keys], booleans."""
    queries, keys = dimension(g, query, 2), dimension(g, key, 2)
    past = g.op("Sub", keys, queries)
    if not by_slice:
        ones = g.op("ConstantOfShape", shape(g, queries, keys), value=numpy_helper.from_array(np.ones(1, dtype=np.float32)))
        return g.op("Cast", g.op("Trilu", ones, past, upper=0), to=9)
    mask = g.weight("bias", np.tril(np.ones((LONGEST, LONGEST), dtype=bool))[np.newaxis, np.newaxis])
    start, end = (g.op("Unsqueeze", value, g.constant([0])) for value in (past, keys))
    mask = g.op("Slice", mask, start, end, g.constant([2]), g.constant([1]))
    return g.op("Slice", mask, g.constant([0]), end, g.constant([3]), g.constant([1]))

