"""ResNet (He et al. 2015, https://arxiv.org/abs/1512.03385), with its batch normalizations left in place."""

from dataclasses import dataclass

from graph import Graph
from layers import batch_norm, conv, gemm
from reference import Reference

from .inputs import IMAGES, TINY_IMAGES, image_cases


@dataclass
class Shape:
    stem: int
    blocks: list
    widths: list
    expansion: int  # 1: two 3x3 convolutions a block; 4: the bottleneck of ResNet-50
    classes: int


RESNET18 = Shape(64, [2, 2, 2, 2], [64, 128, 256, 512], 1, 1000)
RESNET50 = Shape(64, [3, 4, 6, 3], [64, 128, 256, 512], 4, 1000)
TINY18 = Shape(4, [1, 1], [4, 8], 1, 5)
TINY50 = Shape(6, [1, 1], [3, 4], 4, 5)


def models(size):
    tiny = size == "tiny"
    sizes = TINY_IMAGES if tiny else IMAGES
    for name, shape in [("resnet18", TINY18 if tiny else RESNET18), ("resnet50", TINY50 if tiny else RESNET50)]:
        about = "basic blocks" if shape.expansion == 1 else "bottleneck blocks"
        yield Reference(name, about, resnet(name, shape), image_cases(name, sizes))


def resnet(name, shape, opset=13):
    g = Graph(name, opset)
    x = g.input("input", ["batch", 3, "height", "width"])
    with g.scope("conv1"):
        x = conv(g, x, 3, shape.stem, 7, stride=2)
        x = g.op("Relu", batch_norm(g, x, shape.stem))
    x = g.op("MaxPool", x, ceil_mode=0, kernel_shape=[3, 3], pads=[1, 1, 1, 1], strides=[2, 2])
    channels = shape.stem
    for stage, (count, width) in enumerate(zip(shape.blocks, shape.widths)):
        for number in range(count):
            stride = 2 if stage > 0 and number == 0 else 1
            with g.scope(f"layer{stage + 1}"), g.scope(str(number)):
                x = block(g, x, channels, width, shape.expansion, stride)
            channels = width * shape.expansion
    x = g.op("Flatten", g.op("GlobalAveragePool", x), axis=1)
    with g.scope("fc"):
        g.output(gemm(g, x, channels, shape.classes), "output", ["batch", shape.classes])
    return g.model()


def block(g, x, channels, width, expansion, stride):
    outputs = width * expansion
    if expansion == 1:
        steps = [(channels, width, 3, stride), (width, width, 3, 1)]
    else:
        steps = [(channels, width, 1, 1), (width, width, 3, stride), (width, outputs, 1, 1)]
    y = x
    for step, (inner, outer, kernel, step_stride) in enumerate(steps):
        last = step == len(steps) - 1
        with g.scope(f"conv{step + 1}"):
            y = conv(g, y, inner, outer, kernel, stride=step_stride)
            # Trained networks damp their residual branches too; at full strength the sum would grow block by block.
            y = batch_norm(g, y, outer, scale=0.4 if last else 1.0)
        if not last:
            y = g.op("Relu", y)
    if channels != outputs or stride != 1:
        with g.scope("downsample"):
            x = batch_norm(g, conv(g, x, channels, outputs, 1, stride=stride, gain=1.0), outputs)
    return g.op("Relu", g.op("Add", y, x))
