"""Parts that the transformers share, in the operators of PyTorch's exporter."""

from layers import dimension, reshape


def split_heads(g, x, heads, size):
    """[batch, sequence, heads * size] to [batch, heads, sequence, size]."""
    x = reshape(g, x, dimension(g, x, 0), dimension(g, x, 1), heads, size)
    return g.op("Transpose", x, perm=[0, 2, 1, 3])


def join_heads(g, x, width):
    """The way back."""
    x = g.op("Transpose", x, perm=[0, 2, 1, 3])
    return reshape(g, x, dimension(g, x, 0), dimension(g, x, 1), width)


def attend(g, scores, values):
    return g.op("MatMul", g.op("Softmax", scores, axis=-1), values)
