"""Multilayer perceptrons."""

from graph import Graph
from layers import clip, gemm, linear
from reference import Reference

from .inputs import float_cases


def models(size):
    tiny = size == "tiny"
    batches = [1, 3] if tiny else [1, 3, 8, 64]
    widths = [8, 16, 8, 2] if tiny else [32, 128, 64, 2]
    yield Reference("mlp", "Gemm and Relu", perceptron("mlp", widths), float_cases("mlp", batches, widths[0]))
    if not tiny:
        heavy = [256, 1024, 1024, 1024, 10]
        model = perceptron("heavy_mlp", heavy)
        yield Reference("heavy_mlp", "the same, wider", model, float_cases("heavy_mlp", batches, heavy[0]))
    widths = [6, 12, 4] if tiny else [20, 96, 7]
    yield Reference(
        "mlp_softmax",
        "MatMul, Add and Softmax, as Keras models are exported",
        keras_perceptron("mlp_softmax", widths),
        float_cases("mlp_softmax", batches, widths[0]),
    )
    width = 8 if tiny else 48
    yield Reference(
        "mlp_activations",
        "a layer for every activation",
        activations("mlp_activations", width),
        float_cases("mlp_activations", batches, width),
    )


def perceptron(name, widths, opset=17):
    g = Graph(name, opset)
    x = g.input("input", ["batch", widths[0]])
    for layer, (inputs, outputs) in enumerate(zip(widths, widths[1:])):
        last = layer == len(widths) - 2
        with g.scope(f"net.{2 * layer}"):
            x = gemm(g, x, inputs, outputs, gain=1.0 if last else 2.0)
        if not last:
            x = g.op("Relu", x)
    g.output(x, "output", ["batch", widths[-1]])
    return g.model()


def keras_perceptron(name, widths):
    g = Graph(name, 15)
    x = g.input("input", ["batch", widths[0]])
    for layer, (inputs, outputs) in enumerate(zip(widths, widths[1:])):
        with g.scope(f"dense_{layer}"):
            x = linear(g, x, inputs, outputs, gain=2.0, bias_first=False)
        x = g.op("Relu", x) if layer < len(widths) - 2 else g.op("Softmax", x, axis=-1)
    g.output(x, "output", ["batch", widths[-1]])
    return g.model()


def activations(name, width):
    """Every activation has one layer, so that a mistake in it reaches the output."""
    g = Graph(name, 18)
    x = g.input("input", ["batch", width])
    slopes = g.weight("slopes", g.random.uniform(0.1, 0.4, width).astype("float32"))
    steps = [
        lambda x: g.op("LeakyRelu", x, alpha=0.2),
        lambda x: g.op("Elu", x, alpha=1.5),
        lambda x: g.op("Selu", x),
        lambda x: g.op("Celu", x, alpha=0.7),
        lambda x: g.op("PRelu", x, slopes),
        lambda x: g.op("Softplus", x),
        lambda x: g.op("Softsign", x),
        lambda x: g.op("HardSigmoid", x, alpha=0.25, beta=0.4),
        lambda x: g.op("HardSwish", x),
        lambda x: g.op("Mish", x),
        lambda x: g.op("ThresholdedRelu", x, alpha=0.1),
        lambda x: clip(g, x, -1.5, 2.0),
        lambda x: g.op("Tanh", x),
        lambda x: g.op("Sigmoid", x),
        lambda x: g.op("Mul", x, g.op("Tanh", g.op("Softplus", x))),
    ]
    for step in steps:
        with g.scope("layer"):
            # A residual connection: without it, fifteen saturating layers would forget the input.
            x = g.op("Add", step(gemm(g, x, width, width)), x)
            x = g.op("Mul", x, g.scalar(0.8))
    g.output(g.op("LogSoftmax", x, axis=1), "output", ["batch", width])
    return g.model()
