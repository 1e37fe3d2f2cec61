"""Computes a reference's outputs by onnxruntime and writes model, inputs and outputs for the tests to read.

`DIRECTORY/model.onnx` is the model. `DIRECTORY/manifest.json` says what it is and lists its cases with their tensors.
`DIRECTORY/tensors.npy` holds the tensors' elements: one array after another, as repeated `numpy.save` writes them, in
the manifest's order, inputs before outputs. Strings are in the manifest itself, as the list of elements in row-major
order. The output of a `ZipMap` (a list of maps) is written as the matrix of its values, whose columns are the
manifest's `keys`.
"""

import json
import shutil

import numpy as np
import onnxruntime
from onnxruntime import GraphOptimizationLevel, InferenceSession, SessionOptions

# Names of the Open Inference Protocol, as mlops_core::DType spells them.
DTYPES = {
    "bool": "BOOL", "uint8": "UINT8", "uint16": "UINT16", "uint32": "UINT32", "uint64": "UINT64", "int8": "INT8",
    "int16": "INT16", "int32": "INT32", "int64": "INT64", "float16": "FP16", "float32": "FP32", "float64": "FP64",
    "object": "BYTES",
}  # fmt: skip

# The largest difference between two orders of computation: a tenth of what the tests allow.
STABLE = 1e-5


def write(reference, family, directory):
    """Writes everything, or fails if the model's outputs would prove nothing."""
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)
    model = reference.model.SerializeToString(deterministic=True)
    (directory / "model.onnx").write_bytes(model)
    default, plain = open_session(model), open_session(model, GraphOptimizationLevel.ORT_DISABLE_ALL)
    with (directory / "tensors.npy").open("wb") as arrays:
        cases = [_write_case(default, plain, case, arrays) for case in reference.cases]
    manifest = {
        "model": reference.name,
        "family": family,
        "about": reference.about,
        "opsets": {opset.domain or "ai.onnx": opset.version for opset in reference.model.opset_import},
        "onnxruntime": onnxruntime.__version__,
        "cases": cases,
    }
    (directory / "manifest.json").write_text(json.dumps(manifest, indent=1) + "\n")


def open_session(model, optimizations=GraphOptimizationLevel.ORT_ENABLE_ALL):
    """onnxruntime on the CPU, by default with its default optimizations: what most people run."""
    options = SessionOptions()
    options.graph_optimization_level = optimizations
    options.log_severity_level = 3  # errors only
    return InferenceSession(model, options, providers=["CPUExecutionProvider"])


def _write_case(default, plain, case, arrays):
    names = [output.name for output in default.get_outputs()]
    results = [_as_tensor(value) for value in default.run(names, case.inputs)]
    others = [_as_tensor(value) for value in plain.run(names, case.inputs)]
    for name, (array, _), (other, _) in zip(names, results, others):
        _require_telling(name, array, case.batch)
        _require_stable(name, array, other)
    return {"batch": case.batch, **_write_tensors(arrays, case.inputs, names, results)}


def answer_case(session, inputs, arrays):
    """Writes what a model answers, whatever it is, and gives the case's part of the manifest."""
    names = [output.name for output in session.get_outputs()]
    return _write_tensors(arrays, inputs, names, [_as_tensor(value) for value in session.run(names, inputs)])


def _write_tensors(arrays, inputs, names, results):
    inputs = [_write_tensor(arrays, name, array) for name, array in inputs.items()]
    outputs = [_write_tensor(arrays, name, array, keys) for name, (array, keys) in zip(names, results)]
    return {"inputs": inputs, "outputs": outputs}


def _as_tensor(value):
    """The tensor and, for the list of maps that `ZipMap` gives, the keys of its columns."""
    if isinstance(value, list) and value and isinstance(value[0], dict):
        keys = list(value[0])
        return np.array([[row[key] for key in keys] for row in value], dtype=np.float32), keys
    return np.asarray(value), None


def _require_telling(name, array, batch):
    """Outputs that are empty, not finite, vanish, explode or are the same for every row would hide mistakes."""
    if array.size == 0:
        raise ValueError(f"output `{name}` is empty")
    if array.dtype.kind != "f":
        return
    scale = np.abs(array).max()
    if not np.isfinite(array).all() or not 1e-3 < scale < 1e4:
        raise ValueError(f"output `{name}` is not finite or badly scaled: largest magnitude {scale}")
    if batch > 1 and array.shape[0] == batch and np.ptp(array, axis=0).max() < 1e-3 * scale:
        raise ValueError(f"output `{name}` hardly depends on the input")


def _require_stable(name, array, other):
    """What another order of computation already changes cannot be asked of another engine."""
    if array.dtype.kind == "f" and array.shape == other.shape:
        stable = np.abs(array - other).max() <= STABLE * np.abs(array).max()
    else:
        stable = np.array_equal(array, other)
    if not stable:
        raise ValueError(f"output `{name}` depends on onnxruntime's optimizations")


def _write_tensor(arrays, name, array, keys=None):
    if array.dtype.kind == "U":
        array = array.astype(object)
    tensor = {"name": name, "dtype": DTYPES[array.dtype.name], "shape": list(array.shape)}
    if array.dtype == object:
        tensor["strings"] = array.ravel().tolist()
    else:
        np.save(arrays, np.asarray(array, order="C"))
    if keys is not None:
        tensor["keys"] = keys
    return tensor
