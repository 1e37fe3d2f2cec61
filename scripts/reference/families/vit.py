"""Vision transformer (Dosovitskiy et al. 2020, https://arxiv.org/abs/2010.11929), as torchvision's is exported."""

import math

from graph import Graph
from layers import conv, dimension, gelu, gemm, layer_norm_weights, linear, reshape, shape
from reference import Reference

from .inputs import image_cases

FULL = {"picture": 96, "patch": 16, "layers": 3, "width": 128, "heads": 4, "classes": 100}
TINY = {"picture": 8, "patch": 4, "layers": 1, "width": 8, "heads": 2, "classes": 4}


def models(size):
    sizes = TINY if size == "tiny" else FULL
    side = (sizes["picture"], sizes["picture"])
    cases = image_cases("vit", [(batch, side) for batch in ([1, 2] if size == "tiny" else [1, 3, 64])])
    yield Reference("vit", "patches by Conv, a class token, fused LayerNormalization", vit("vit", sizes), cases)


def vit(name, sizes, opset=17):
    width, side, patch = sizes["width"], sizes["picture"], sizes["patch"]
    count = (side // patch) ** 2
    g = Graph(name, opset)
    pictures = g.input("input", ["batch", 3, side, side])
    batch = dimension(g, pictures, 0)
    with g.scope("conv_proj"):
        x = conv(g, pictures, 3, width, patch, stride=patch, bias=True, gain=1.0, padding=0)
    x = g.op("Transpose", reshape(g, x, batch, width, count), perm=[0, 2, 1])
    token = g.op("Expand", g.normal("class_token", (1, 1, width), 0.5), shape(g, batch, 1, width))
    x = g.op("Concat", token, x, axis=1)
    x = g.op("Add", x, g.normal("encoder.pos_embedding", (1, count + 1, width), 0.3))
    for number in range(sizes["layers"]):
        with g.scope(f"encoder_layer_{number}"):
            x = g.op("Add", attention(g, norm(g, x, width), width, sizes["heads"]), x)
            inner = gelu(g, linear(g, norm(g, x, width), width, 4 * width))
            x = g.op("Add", x, linear(g, inner, 4 * width, width))
    first = g.op("Gather", norm(g, x, width), g.constant(0), axis=1)
    with g.scope("heads"):
        g.output(gemm(g, first, width, sizes["classes"]), "output", ["batch", sizes["classes"]])
    return g.model()


def norm(g, x, width):
    return g.op("LayerNormalization", x, *layer_norm_weights(g, width), axis=-1, epsilon=1e-6)


def attention(g, x, width, heads):
    """`nn.MultiheadAttention`: one product for queries, keys and values, and heads joined to the batch."""
    size = width // heads
    with g.scope("self_attention"):
        batch, length = dimension(g, x, 0), dimension(g, x, 1)
        x = g.op("Transpose", x, perm=[1, 0, 2])
        mixed = reshape(g, linear(g, x, width, 3 * width), length, batch, 3, width)
        mixed = g.op("Transpose", g.op("Unsqueeze", mixed, g.constant([0])), perm=[3, 1, 2, 0, 4])
        mixed = g.op("Squeeze", mixed, g.constant([3]))
        together = g.op("Mul", batch, g.constant(heads))
        query, key, value = (
            g.op("Transpose", reshape(g, g.op("Gather", mixed, g.constant(part), axis=0), length, together, size), perm=[1, 0, 2])
            for part in range(3)
        )  # fmt: skip
        query = g.op("Mul", query, g.scalar(1.0 / math.sqrt(size)))
        scores = g.op("MatMul", query, g.op("Transpose", key, perm=[0, 2, 1]))
        attended = g.op("MatMul", g.op("Softmax", scores, axis=-1), value)
        attended = g.op("Transpose", attended, perm=[1, 0, 2])
        # All tokens as one matrix, which makes the product a `Gemm`.
        rows = reshape(g, attended, g.op("Mul", batch, length), width)
        rows = reshape(g, gemm(g, rows, width, width), length, batch, width)
        return g.op("Transpose", rows, perm=[1, 0, 2])
