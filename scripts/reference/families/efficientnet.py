"""EfficientNet (Tan and Le 2019, https://arxiv.org/abs/1905.11946) and its kin MobileNet v3: squeeze-and-excitation."""

from graph import Graph
from layers import batch_norm, conv, gemm, reduce, silu
from reference import Reference

from .inputs import IMAGES, TINY_IMAGES, image_cases

# Expansion, channels, repeats, stride, kernel: EfficientNet-B0 with fewer repeats.
FULL = {
    "stem": 32,
    "blocks": [(1, 16, 1, 1, 3), (6, 24, 2, 2, 3), (6, 40, 2, 2, 5), (6, 80, 2, 2, 3), (6, 112, 1, 1, 5), (6, 192, 2, 2, 5)],
    "head": 640,
    "classes": 100,
}  # fmt: skip
TINY = {"stem": 6, "blocks": [(1, 4, 1, 1, 3), (3, 4, 1, 1, 5)], "head": 10, "classes": 5}


def models(size):
    tiny = size == "tiny"
    shape = TINY if tiny else FULL
    sizes = TINY_IMAGES if tiny else IMAGES
    yield Reference(
        "efficientnet",
        "SiLU as Sigmoid and Mul, excitation by ReduceMean, convolutions and Sigmoid",
        efficientnet("efficientnet", shape, 18, lambda g, x: silu(g, x), excite_by_sigmoid),
        image_cases("efficientnet", sizes),
    )
    yield Reference(
        "hard_swish_net",
        "HardSwish, excitation by GlobalAveragePool and HardSigmoid",
        efficientnet("hard_swish_net", shape, 14, lambda g, x: g.op("HardSwish", x), excite_by_hard_sigmoid),
        image_cases("hard_swish_net", sizes),
    )


def efficientnet(name, shape, opset, activation, excite):
    g = Graph(name, opset)
    x = g.input("input", ["batch", 3, "height", "width"])
    channels = shape["stem"]
    with g.scope("stem"):
        x = activation(g, batch_norm(g, conv(g, x, 3, channels, 3, stride=2), channels))
    for expansion, outputs, repeats, stride, kernel in shape["blocks"]:
        for number in range(repeats):
            with g.scope("block"):
                step = stride if number == 0 else 1
                x = block(g, x, channels, outputs, expansion, step, kernel, activation, excite)
            channels = outputs
    with g.scope("head"):
        x = activation(g, batch_norm(g, conv(g, x, channels, shape["head"], 1, gain=1.0), shape["head"]))
    x = g.op("Flatten", g.op("GlobalAveragePool", x), axis=1)
    with g.scope("classifier"):
        g.output(gemm(g, x, shape["head"], shape["classes"], gain=4.0), "output", ["batch", shape["classes"]])
    return g.model()


def block(g, x, inputs, outputs, expansion, stride, kernel, activation, excite):
    width = inputs * expansion
    y = x
    # Both activations leave about a third of the variance, which the gain of 3 makes up for.
    if expansion != 1:
        with g.scope("expand"):
            y = activation(g, batch_norm(g, conv(g, y, inputs, width, 1, gain=1.0), width))
    with g.scope("depthwise"):
        y = conv(g, y, width, width, kernel, stride=stride, groups=width, gain=3.0)
        y = activation(g, batch_norm(g, y, width))
    with g.scope("excitation"):
        y = excite(g, y, width, max(2, inputs // 4))
    residual = stride == 1 and inputs == outputs
    with g.scope("project"):
        # Makes up for the gate, which about halves what passes it.
        y = batch_norm(g, conv(g, y, width, outputs, 1, gain=5.0), outputs, scale=0.6 if residual else 1.0)
    return g.op("Add", y, x) if residual else y


def excite_by_sigmoid(g, x, channels, squeezed):
    scale = conv(g, reduce(g, "ReduceMean", x, [2, 3]), channels, squeezed, 1, bias=True)
    scale = conv(g, silu(g, scale), squeezed, channels, 1, bias=True)
    return g.op("Mul", g.op("Sigmoid", scale), x)


def excite_by_hard_sigmoid(g, x, channels, squeezed):
    scale = g.op("Relu", conv(g, g.op("GlobalAveragePool", x), channels, squeezed, 1, bias=True))
    scale = conv(g, scale, squeezed, channels, 1, bias=True)
    return g.op("Mul", g.op("HardSigmoid", scale, alpha=1 / 6, beta=0.5), x)
