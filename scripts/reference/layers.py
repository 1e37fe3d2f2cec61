"""The chains of operators that PyTorch's exporter writes for common layers."""

import math

import numpy as np


def conv(g, x, inputs, outputs, kernel, stride=1, groups=1, bias=False, gain=2.0, padding=None):
    """A square convolution whose weights keep the variance of what a ReLU gave (`gain` 2) or of anything (1)."""
    fan_in = inputs // groups * kernel * kernel
    weights = [g.normal("weight", (outputs, inputs // groups, kernel, kernel), math.sqrt(gain / fan_in))]
    if bias:
        weights.append(g.normal("bias", (outputs,), 0.1))
    pad = kernel // 2 if padding is None else padding
    return g.op(
        "Conv", x, *weights,
        dilations=[1, 1], group=groups, kernel_shape=[kernel, kernel], pads=[pad] * 4, strides=[stride, stride],
    )  # fmt: skip


def batch_norm(g, x, channels, scale=1.0):
    random = g.random
    gamma = g.weight("bn.weight", (random.uniform(0.8, 1.2, channels) * scale).astype(np.float32))
    beta = g.normal("bn.bias", (channels,), 0.1)
    mean = g.normal("bn.running_mean", (channels,), 0.1)
    variance = g.weight("bn.running_var", random.uniform(0.7, 1.3, channels).astype(np.float32))
    return g.op("BatchNormalization", x, gamma, beta, mean, variance, epsilon=1e-5, momentum=0.9)


def gemm(g, x, inputs, outputs, gain=1.0):
    """`nn.Linear` on a matrix."""
    weight = g.normal("weight", (outputs, inputs), math.sqrt(gain / inputs))
    return g.op("Gemm", x, weight, g.normal("bias", (outputs,), 0.1), alpha=1.0, beta=1.0, transB=1)


def linear(g, x, inputs, outputs, gain=1.0, bias_first=True):
    """`nn.Linear` on more than two dimensions: `MatMul` and `Add`, the bias on the left as PyTorch has it."""
    product = g.op("MatMul", x, g.normal("weight", (inputs, outputs), math.sqrt(gain / inputs)))
    bias = g.normal("bias", (outputs,), 0.1)
    return g.op("Add", bias, product) if bias_first else g.op("Add", product, bias)


def reduce(g, operator, x, axes, keepdims=1):
    """A reduction; its axes became an input with operator set 18 (13 for `ReduceSum`)."""
    if g.opset >= (13 if operator == "ReduceSum" else 18):
        return g.op(operator, x, g.constant(axes), keepdims=keepdims)
    return g.op(operator, x, axes=axes, keepdims=keepdims)


def dimension(g, x, axis):
    """`x.size(axis)`: a scalar."""
    return g.op("Gather", g.op("Shape", x), g.constant(axis), axis=0)


def shape(g, *dimensions):
    """A shape of scalars (values) and numbers."""
    parts = [
        g.constant([part]) if isinstance(part, int) else g.op("Unsqueeze", part, g.constant([0]))
        for part in dimensions
    ]
    return g.op("Concat", *parts, axis=0)


def reshape(g, x, *dimensions):
    return g.op("Reshape", x, shape(g, *dimensions))


def layer_norm_weights(g, width):
    gamma = g.weight("weight", g.random.uniform(0.8, 1.2, width).astype(np.float32))
    return gamma, g.normal("bias", (width,), 0.1)


def layer_norm(g, x, width, epsilon=1e-12):
    """LayerNorm below operator set 17: taken to pieces."""
    gamma, beta = layer_norm_weights(g, width)
    centred = g.op("Sub", x, reduce(g, "ReduceMean", x, [-1]))
    variance = reduce(g, "ReduceMean", g.op("Pow", centred, g.scalar(2.0)), [-1])
    deviation = g.op("Sqrt", g.op("Add", variance, g.scalar(epsilon)))
    return g.op("Add", g.op("Mul", g.op("Div", centred, deviation), gamma), beta)


def gelu(g, x):
    """GELU with the error function, taken to pieces."""
    erf = g.op("Erf", g.op("Div", x, g.scalar(math.sqrt(2.0))))
    return g.op("Mul", g.op("Mul", x, g.op("Add", erf, g.scalar(1.0))), g.scalar(0.5))


def gelu_tanh(g, x):
    """GELU's approximation by a hyperbolic tangent, as GPT-2 computes it."""
    half = g.op("Mul", x, g.scalar(0.5))
    cubic = g.op("Add", x, g.op("Mul", g.op("Pow", x, g.scalar(3.0)), g.scalar(0.044715)))
    tanh = g.op("Tanh", g.op("Mul", cubic, g.scalar(math.sqrt(2.0 / math.pi))))
    return g.op("Mul", half, g.op("Add", tanh, g.scalar(1.0)))


def silu(g, x):
    return g.op("Mul", x, g.op("Sigmoid", x))


def clip(g, x, low, high):
    return g.op("Clip", x, g.scalar(low), g.scalar(high))
