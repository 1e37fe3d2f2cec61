"""Arrays of every data type of the protocol, each with values at the ends of its range."""

import ml_dtypes
import numpy as np

_INTEGERS = {
    "UINT8": np.uint8,
    "UINT16": np.uint16,
    "UINT32": np.uint32,
    "UINT64": np.uint64,
    "INT8": np.int8,
    "INT16": np.int16,
    "INT32": np.int32,
    "INT64": np.int64,
}
_FLOATS = {"FP16": np.float16, "BF16": ml_dtypes.bfloat16, "FP32": np.float32, "FP64": np.float64}


def all_types():
    """Arrays of shape [2, 3], by the name of their type."""
    arrays = {"BOOL": np.array([[True, False, True], [False, False, True]])}
    for name, dtype in _INTEGERS.items():
        limits = np.iinfo(dtype)
        arrays[name] = np.array([[limits.min, 0, 1], [2, 3, limits.max]], dtype=dtype)
    for name, dtype in _FLOATS.items():
        arrays[name] = np.array([[-1.5, 0.0, 0.25], [1.0, 2.0, 4096.0]], dtype=dtype)
    arrays["BYTES"] = np.array([[b"", b"text", "æøå".encode()], [b"a", b"b", b"c"]], dtype=np.object_)
    return arrays


def operands():
    """Two inputs of the model `simple`."""
    first = np.arange(32, dtype=np.int32).reshape(2, 16)
    return first, np.full((2, 16), 3, dtype=np.int32)
