"""Fourier transforms, windows, and the mel scale."""

import numpy as np
from onnx import TensorProto

from .random_values import like, shape, single


def noise(random, lengths, kind=np.float32):
    return random.standard_normal(lengths).astype(kind)


def dft(random):
    kind = [np.float32, np.float64][random.integers(2)]
    inverse, one_sided = int(random.random() < 0.4), int(random.random() < 0.4)
    parts = 2 if inverse or (not one_sided and random.random() < 0.5) else 1
    if inverse:
        one_sided = 0
    lengths = [int(n) for n in random.integers(1, 4, random.integers(1, 3))]
    along = int(random.integers(0, len(lengths)))
    lengths[along] = int(random.choice([1, 2, 3, 5, 8, 12, 30]))
    signal = noise(random, [*lengths, parts], kind)
    # onnxruntime computes lengths that are no power of two by a method of less precision in float32
    most = 40 if kind is np.float32 else 150
    length = np.array(random.integers(1, most), dtype=np.int64) if random.random() < 0.4 else None
    inputs = {"x": signal, "length": length, "axis": np.array(along, dtype=np.int64)}
    return single("DFT", inputs, {"y": like(signal)}, inverse=inverse, onesided=one_sided)


def stft(random):
    batch, frame = int(random.integers(1, 3)), int(random.choice([2, 3, 8, 10, 16, 32]))
    signal = noise(random, [batch, frame + int(random.integers(0, 60)), 1])
    inputs = {"x": signal, "step": np.array(random.integers(1, 20), dtype=np.int64),
              "window": noise(random, [frame]) if random.random() < 0.5 else None,
              "length": np.array(frame, dtype=np.int64)}
    return single("STFT", inputs, {"y": like(signal, 4)}, onesided=int(random.integers(2)))


def window(operator):
    def generate(random):
        size = np.array(random.integers(2, 30), dtype=[np.int32, np.int64][random.integers(2)])
        kind = [TensorProto.FLOAT, TensorProto.DOUBLE][random.integers(2)]
        return single(operator, {"size": size}, {"y": (kind, 1)}, periodic=int(random.integers(2)), output_datatype=kind)
    return generate


def mel_weight_matrix(random):
    number = lambda value: np.array(value, dtype=np.int64)
    inputs = {"bands": number(random.integers(1, 12)), "length": number(random.choice([16, 64, 100])),
              "rate": number(random.choice([8000, 16000])), "low": np.array(random.choice([0.0, 100.0]), dtype=np.float32),
              "high": np.array(random.choice([2000.0, 3900.0]), dtype=np.float32)}
    return single("MelWeightMatrix", inputs, {"y": (TensorProto.FLOAT, 2)})


OPERATORS = {
    "DFT": dft, "STFT": stft, "HannWindow": window("HannWindow"), "HammingWindow": window("HammingWindow"),
    "BlackmanWindow": window("BlackmanWindow"), "MelWeightMatrix": mel_weight_matrix,
}
