"""Networks of 8-bit integers made by onnxruntime's quantizer, in each of the forms that it writes."""

import logging
import tempfile
from pathlib import Path

import onnx
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_dynamic, quantize_static

from graph import Graph
from layers import conv, gemm
from reference import Reference

from .inputs import float_cases
from .mlp import keras_perceptron, perceptron


def models(size):
    tiny = size == "tiny"
    batches = [1, 3] if tiny else [1, 3, 8, 64]
    widths = [8, 12, 3] if tiny else [32, 96, 48, 5]

    def cases(name):
        return float_cases(name, batches, widths[0])

    def picture_cases(name):
        return float_cases(name, batches, 3, 8, 8)

    name = "quantized_mlp"
    model = static(perceptron(name, widths), cases("calibration")[-1], QuantFormat.QDQ)
    yield Reference(name, "QuantizeLinear and DequantizeLinear around Gemm", model, cases(name))

    name = "quantized_convolutions"
    network = convolutions(name, 4 if tiny else 16)
    model = static(network, picture_cases("calibration")[-1], QuantFormat.QDQ, per_channel=True)
    yield Reference(name, "the same around Conv, a scale for each channel", model, picture_cases(name))

    name = "quantized_operators"
    network = plain_convolutions(name, 4 if tiny else 16)
    model = static(network, picture_cases("calibration")[-1], QuantFormat.QOperator)
    yield Reference(name, "QLinearConv and QLinearMatMul", model, picture_cases(name))

    name = "quantized_dynamically"
    model = in_files(keras_perceptron(name, widths), dynamic)
    yield Reference(name, "DynamicQuantizeLinear and MatMulInteger", model, cases(name))

    name = "quantized_dynamic_convolutions"
    model = in_files(plain_convolutions(name, 4 if tiny else 16), dynamic)
    yield Reference(name, "DynamicQuantizeLinear and ConvInteger", model, picture_cases(name))


def convolutions(name, channels, opset=17):
    g = Graph(name, opset)
    x = g.input("input", ["batch", 3, 8, 8])
    x = g.op("Relu", conv(g, x, 3, channels, 3, bias=True))
    y = g.op("Relu", conv(g, x, channels, channels, 3, bias=True))
    x = g.op("Add", y, x)
    x = g.op("MaxPool", x, kernel_shape=[2, 2], strides=[2, 2])
    x = g.op("Flatten", g.op("GlobalAveragePool", x), axis=1)
    g.output(gemm(g, x, channels, 4, gain=2.0), "output", ["batch", 4])
    return g.model()


def plain_convolutions(name, channels, opset=13):
    """Only what has a quantized operator in ONNX itself; onnxruntime has more of its own."""
    g = Graph(name, opset)
    x = g.input("input", ["batch", 3, 8, 8])
    x = g.op("Relu", conv(g, x, 3, channels, 3, stride=2, bias=True))
    x = g.op("Relu", conv(g, x, channels, channels, 3, stride=2, bias=True))
    x = g.op("Flatten", x, axis=1)
    weight = g.normal("weight", (4 * channels, 4), 0.5 / channels**0.5)
    g.output(g.op("MatMul", x, weight), "output", ["batch", 4])
    return g.model()


class Calibration(CalibrationDataReader):
    """Shows the quantizer one batch, from which it takes the ranges."""

    def __init__(self, case):
        self.batches = [case.inputs]

    def get_next(self):
        return self.batches.pop() if self.batches else None


def static(model, calibration, format, per_channel=False):
    def quantize(source, target):
        quantize_static(
            source, target, Calibration(calibration), quant_format=format, per_channel=per_channel,
            activation_type=QuantType.QUInt8, weight_type=QuantType.QInt8,
            # Seven bits: on processors without VNNI, onnxruntime's sums of eight-bit products saturate.
            reduce_range=True,
        )  # fmt: skip

    return in_files(model, quantize)


def dynamic(source, target):
    quantize_dynamic(source, target, weight_type=QuantType.QInt8, reduce_range=True)


def in_files(model, quantize):
    """The quantizer takes and gives files."""
    logging.disable(logging.WARNING)  # it advises a preparation that these small models do not need
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder, "source.onnx"), Path(folder, "target.onnx")
        onnx.save(model, source)
        quantize(source, target)
        return onnx.load(target)
