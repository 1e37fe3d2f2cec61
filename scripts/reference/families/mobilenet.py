"""MobileNet v2 (Sandler et al. 2018, https://arxiv.org/abs/1801.04381): depthwise convolutions and ReLU6."""

from graph import Graph
from layers import batch_norm, clip, conv, gemm, reduce
from reference import Reference

from .inputs import IMAGES, TINY_IMAGES, image_cases

# Table 2 of the paper: expansion, channels, repeats, stride.
FULL = {
    "stem": 32,
    "blocks": [(1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1)],
    "head": 1280,
    "classes": 1000,
}  # fmt: skip
TINY = {"stem": 6, "blocks": [(1, 4, 1, 1), (3, 6, 2, 2)], "head": 12, "classes": 5}


def models(size):
    tiny = size == "tiny"
    cases = image_cases("mobilenet_v2", TINY_IMAGES if tiny else IMAGES)
    model = mobilenet_v2("mobilenet_v2", TINY if tiny else FULL)
    yield Reference("mobilenet_v2", "inverted residuals, ReLU6 as Clip", model, cases)


def mobilenet_v2(name, shape, opset=14):
    g = Graph(name, opset)
    x = g.input("input", ["batch", 3, "height", "width"])
    channels = shape["stem"]
    with g.scope("features"):
        with g.scope("stem"):
            x = conv_bn_relu6(g, x, 3, channels, 3, stride=2)
        for expansion, outputs, repeats, stride in shape["blocks"]:
            for number in range(repeats):
                with g.scope("block"):
                    x = inverted_residual(g, x, channels, outputs, expansion, stride if number == 0 else 1)
                channels = outputs
        with g.scope("head"):
            x = conv_bn_relu6(g, x, channels, shape["head"], 1)
    x = reduce(g, "ReduceMean", x, [2, 3], keepdims=0)
    with g.scope("classifier"):
        g.output(gemm(g, x, shape["head"], shape["classes"]), "output", ["batch", shape["classes"]])
    return g.model()


def inverted_residual(g, x, inputs, outputs, expansion, stride):
    width = inputs * expansion
    y = x
    if expansion != 1:
        with g.scope("expand"):
            y = conv_bn_relu6(g, y, inputs, width, 1)
    with g.scope("depthwise"):
        y = conv_bn_relu6(g, y, width, width, 3, stride=stride, groups=width)
    residual = stride == 1 and inputs == outputs
    with g.scope("project"):
        y = batch_norm(g, conv(g, y, width, outputs, 1), outputs, scale=0.6 if residual else 1.0)
    return g.op("Add", x, y) if residual else y


def conv_bn_relu6(g, x, inputs, outputs, kernel, stride=1, groups=1):
    y = conv(g, x, inputs, outputs, kernel, stride=stride, groups=groups)
    return clip(g, batch_norm(g, y, outputs), 0.0, 6.0)
