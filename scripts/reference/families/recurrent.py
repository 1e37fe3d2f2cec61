"""Classifiers of sequences: LSTM (Hochreiter and Schmidhuber 1997), GRU (Cho et al. 2014), plain recurrence."""

import math
from dataclasses import dataclass

import numpy as np
from onnx import TensorProto, numpy_helper

from graph import Graph
from layers import dimension, gemm, shape
from reference import Case, Reference

from .inputs import generator


@dataclass
class Shape:
    inputs: int
    hidden: int
    classes: int


GATES = {"LSTM": 4, "GRU": 3, "RNN": 1}


def models(size):
    tiny = size == "tiny"
    sizes = Shape(4, 5, 3) if tiny else Shape(24, 64, 6)
    calls = [(1, 4), (3, 6)] if tiny else [(1, 50), (3, 7), (8, 20), (64, 12)]

    def reference(name, about, model, lengths=False):
        return Reference(name, about, model, sequence_cases(name, sizes.inputs, calls, lengths))

    yield reference("lstm", "the last output of one layer", classifier("lstm", "LSTM", sizes))
    model = classifier("gru", "GRU", sizes, linear_before_reset=1)
    yield reference("gru", "linear before reset, as PyTorch has it", model)
    yield reference("gru_reset_first", "the equations of the paper", classifier("gru_reset_first", "GRU", sizes))
    yield reference("rnn", "plain recurrence", classifier("rnn", "RNN", sizes))
    yield reference("bidirectional_lstm", "two layers, both directions", bidirectional("bidirectional_lstm", sizes))
    about = "sequences of different lengths, peepholes, clipping, activations of its own"
    yield reference("lstm_lengths", about, with_lengths("lstm_lengths", sizes), lengths=True)
    about = "both directions, sequences of different lengths"
    yield reference("gru_lengths", about, gru_with_lengths("gru_lengths", sizes), lengths=True)


def sequence_cases(name, inputs, calls, lengths=False):
    random = generator(name)
    cases = []
    for batch, steps in calls:
        values = {"input": random.standard_normal((batch, steps, inputs), dtype=np.float32)}
        if lengths:
            values["lengths"] = random.integers(1, steps + 1, batch).astype(np.int32)
        cases.append(Case(batch, values))
    return cases


def classifier(name, operator, sizes, opset=14, **attributes):
    """Batch first outside, time first inside, a zero initial state of the batch's size, the last step's output."""
    g = Graph(name, opset)
    x = g.input("input", ["batch", "sequence", sizes.inputs])
    sequence, _ = recurrent_layer(g, x_time_first(g, x), x, operator, sizes.inputs, sizes.hidden, **attributes)
    sequence = g.op("Transpose", g.op("Squeeze", sequence, g.constant([1])), perm=[1, 0, 2])
    last = g.op("Gather", sequence, g.constant(-1), axis=1)
    with g.scope("fc"):
        g.output(gemm(g, last, sizes.hidden, sizes.classes, gain=4.0), "output", ["batch", sizes.classes])
    return g.model()


def bidirectional(name, sizes, opset=17):
    """The outputs of both directions feed the next layer; the last layer's final states feed the classifier."""
    g = Graph(name, opset)
    x = g.input("input", ["batch", "sequence", sizes.inputs])
    steps, inputs, hidden = x_time_first(g, x), sizes.inputs, sizes.hidden
    for _ in range(2):
        steps, final = recurrent_layer(g, steps, x, "LSTM", inputs, hidden, directions=2)
        steps = g.op("Transpose", steps, perm=[0, 2, 1, 3])
        steps = g.op("Reshape", steps, g.constant([0, 0, -1]))
        inputs = 2 * hidden
    ends = [g.op("Gather", final, g.constant(direction), axis=0) for direction in (-2, -1)]
    with g.scope("fc"):
        logits = gemm(g, g.op("Concat", *ends, axis=1), 2 * hidden, sizes.classes, gain=4.0)
    g.output(logits, "output", ["batch", sizes.classes])
    return g.model()


def with_lengths(name, sizes, opset=14):
    g = Graph(name, opset)
    x = g.input("input", ["batch", "sequence", sizes.inputs])
    lengths = g.input("lengths", ["batch"], TensorProto.INT32)
    weights = recurrent_weights(g, "LSTM", sizes.inputs, sizes.hidden, 1)
    states = [zero_state(g, x, 1, sizes.hidden) for _ in range(2)]
    peepholes = g.normal("peepholes", (1, 3 * sizes.hidden), 0.5)
    steps, final, cell = g.op(
        "LSTM", x_time_first(g, x), *weights, lengths, *states, peepholes, outputs=3,
        hidden_size=sizes.hidden, clip=0.9, activations=["HardSigmoid", "Tanh", "Softsign"],
        activation_alpha=[0.2], activation_beta=[0.5],
    )  # fmt: skip
    g.output(g.op("Squeeze", steps, g.constant([1])), "steps", ["sequence", "batch", sizes.hidden])
    g.output(final, "final", [1, "batch", sizes.hidden])
    g.output(cell, "cell", [1, "batch", sizes.hidden])
    return g.model()


def gru_with_lengths(name, sizes, opset=14):
    g = Graph(name, opset)
    x = g.input("input", ["batch", "sequence", sizes.inputs])
    lengths = g.input("lengths", ["batch"], TensorProto.INT32)
    weights = recurrent_weights(g, "GRU", sizes.inputs, sizes.hidden, 2)
    steps, final = g.op(
        "GRU", x_time_first(g, x), *weights, lengths, outputs=2,
        hidden_size=sizes.hidden, direction="bidirectional", linear_before_reset=1,
    )  # fmt: skip
    g.output(steps, "steps", ["sequence", 2, "batch", sizes.hidden])
    g.output(final, "final", [2, "batch", sizes.hidden])
    return g.model()


def recurrent_layer(g, steps, x, operator, inputs, hidden, directions=1, **attributes):
    """The outputs of every step and the final one."""
    weights = recurrent_weights(g, operator, inputs, hidden, directions)
    states = [zero_state(g, x, directions, hidden) for _ in range(2 if operator == "LSTM" else 1)]
    outputs = g.op(
        operator, steps, *weights, None, *states, outputs=3 if operator == "LSTM" else 2,
        hidden_size=hidden, direction="bidirectional" if directions == 2 else "forward", **attributes,
    )  # fmt: skip
    return outputs[0], outputs[1]


def recurrent_weights(g, operator, inputs, hidden, directions):
    rows = GATES[operator] * hidden
    scale = 0.9 / math.sqrt(hidden)
    return (
        g.normal("W", (directions, rows, inputs), 1.0 / math.sqrt(inputs)),
        g.normal("R", (directions, rows, hidden), scale),
        g.normal("B", (directions, 2 * rows), 0.2),
    )


def zero_state(g, x, directions, hidden):
    zero = numpy_helper.from_array(np.zeros(1, dtype=np.float32))
    return g.op("ConstantOfShape", shape(g, directions, dimension(g, x, 0), hidden), value=zero)


def x_time_first(g, x):
    return g.op("Transpose", x, perm=[1, 0, 2])
