"""A case: a model, its inputs, and the outputs of onnxruntime, in a form that is read without any library.

A file is a list of cases. Numbers are little-endian; a text is its length (u32) and its bytes.
    case    text name, text model, u8 inputs, tensor.., u8 outputs, tensor..
    tensor  text name, u8 ONNX element type, u8 rank, u32 dimension.., elements (strings are texts)
"""

import struct
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper

onnxruntime.set_default_logger_severity(4)


class Skip(Exception):
    """onnxruntime refuses the model or its inputs."""


def element_type(array: np.ndarray) -> int:
    if array.dtype.kind in "OUS":
        return TensorProto.STRING
    return helper.np_dtype_to_tensor_dtype(array.dtype)


def session(model: bytes) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 4
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def model_of(nodes, inputs: dict, outputs: dict, ml_opset: int, opset: int = 21, fixed=False) -> onnx.ModelProto:
    """A model whose outputs are {name: (element type, rank)}; its inputs have open dimensions unless `fixed`."""
    graph = helper.make_graph(
        list(nodes),
        "g",
        [helper.make_tensor_value_info(name, element_type(a), a.shape if fixed else [f"{name}{i}" for i in range(a.ndim)])
         for name, a in inputs.items()],
        [helper.make_tensor_value_info(name, kind, [f"{name}{i}" for i in range(rank)])
         for name, (kind, rank) in outputs.items()],
    )
    imports = [helper.make_opsetid("", opset), helper.make_opsetid("ai.onnx.ml", ml_opset)]
    if any(node.domain == "com.microsoft" for node in nodes):
        imports.append(helper.make_opsetid("com.microsoft", 1))
    return helper.make_model(graph, opset_imports=imports, ir_version=10, producer_name="")


def run(name: str, model: onnx.ModelProto, inputs: dict) -> bytes:
    """The case in bytes."""
    try:
        encoded = model.SerializeToString()
        running = session(encoded)
        results = running.run(None, inputs)
    except Exception as cause:
        raise Skip(cause) from cause
    outputs = {output.name: plain(result) for output, result in zip(running.get_outputs(), results)}
    tensors = b"".join(struct.pack("<B", len(side)) + b"".join(tensor(*item) for item in side.items())
                       for side in (inputs, outputs))
    return text(name.encode()) + text(encoded) + tensors


def plain(result) -> np.ndarray:
    """Maps from labels to scores become the scores, in the order of the labels."""
    if isinstance(result, list):
        return np.array([list(row.values()) for row in result], dtype=np.float32)
    return np.asarray(result)


def text(content: bytes) -> bytes:
    return struct.pack("<I", len(content)) + content


def tensor(name: str, array: np.ndarray) -> bytes:
    head = text(name.encode()) + struct.pack(f"<BB{array.ndim}I", element_type(array), array.ndim, *array.shape)
    if element_type(array) == TensorProto.STRING:
        return head + b"".join(text(str(element).encode()) for element in array.flat)
    return head + np.ascontiguousarray(array).tobytes()


def write(path: Path, cases: list) -> None:
    path.write_bytes(b"".join(cases))
