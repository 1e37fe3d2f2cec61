"""Makes the files beside it. Needs numpy and safetensors; not PyTorch, whose format it writes by hand.

The network, in PyTorch's words: Linear(4, 3), BatchNorm1d(3), ReLU, Linear(3, 2), in evaluation mode.

    python make.py
"""

import pickle
import struct
import sys
import types
import zipfile
from collections import OrderedDict
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

HERE = Path(__file__).parent


def numbers(*shape, seed, kind=np.float32):
    """Eighths between -5/8 and 5/8: exact in every float type."""
    count = int(np.prod(shape))
    return (((np.arange(count) * seed) % 11 - 5) / 8).astype(kind).reshape(shape)


NET = OrderedDict(
    [
        ("fc1.weight", numbers(3, 4, seed=7)),
        ("fc1.bias", numbers(3, seed=3)),
        ("norm.weight", numbers(3, seed=5) + 1),
        ("norm.bias", numbers(3, seed=2)),
        ("norm.running_mean", numbers(3, seed=4)),
        ("norm.running_var", numbers(3, seed=8) ** 2 + np.float32(0.5)),
        ("norm.num_batches_tracked", np.array(17, dtype=np.int64)),
        ("fc2.weight", numbers(2, 3, seed=9)),
        ("fc2.bias", numbers(2, seed=6)),
    ]
)


def forward(x):
    net = {name: value.astype(np.float64) for name, value in NET.items()}
    x = x @ net["fc1.weight"].T + net["fc1.bias"]
    x = (x - net["norm.running_mean"]) / np.sqrt(net["norm.running_var"] + 1e-5)
    x = np.maximum(x * net["norm.weight"] + net["norm.bias"], 0)
    return x @ net["fc2.weight"].T + net["fc2.bias"]


# --- What torch.save writes, after torch/serialization.py and torch/_utils.py ---

STORAGES = {
    np.dtype(np.float32): "FloatStorage",
    np.dtype(np.float16): "HalfStorage",
    np.dtype(np.int64): "LongStorage",
}
torch = types.ModuleType("torch")
torch._utils = types.ModuleType("torch._utils")
for kind in STORAGES.values():
    setattr(torch, kind, type(kind, (), {"__module__": "torch"}))


def _rebuild_tensor_v2(*_):
    raise NotImplementedError


_rebuild_tensor_v2.__module__ = "torch._utils"
torch._utils._rebuild_tensor_v2 = _rebuild_tensor_v2
sys.modules |= {"torch": torch, "torch._utils": torch._utils}


class Storage:
    def __init__(self, key, values):
        self.key, self.values = key, values


class Tensor:
    """Pickles as a torch.Tensor does. `transposed` stores the other order of axes and says so in the strides."""

    def __init__(self, key, values, transposed=False):
        kept = values.T if transposed else values
        self.storage = Storage(key, np.ascontiguousarray(kept).reshape(-1))
        strides = tuple(np.cumprod((1,) + kept.shape[:0:-1])[::-1].tolist()) if kept.ndim else ()
        self.shape, self.strides = values.shape, strides[::-1] if transposed else strides

    def __reduce__(self):
        return _rebuild_tensor_v2, (self.storage, 0, self.shape, self.strides, False, OrderedDict())


class Pickler(pickle.Pickler):
    def persistent_id(self, value):
        if isinstance(value, Storage):
            kind = getattr(torch, STORAGES[value.values.dtype])
            return "storage", kind, value.key, "cpu", value.values.size
        return None


def state_dict(transposed=False):
    return OrderedDict(
        (name, Tensor(str(key), value, transposed and value.ndim == 2))
        for key, (name, value) in enumerate(NET.items())
    )


def dump(value, file):
    Pickler(file, protocol=2).dump(value)


def save(path, value, tensors):
    stored = zipfile.ZipInfo
    when = (1980, 1, 1, 0, 0, 0)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        with archive.open(stored("archive/data.pkl", when), "w") as file:
            dump(value, file)
        archive.writestr(stored("archive/byteorder", when), "little")
        for tensor in tensors:
            entry = stored(f"archive/data/{tensor.storage.key}", when)
            archive.writestr(entry, tensor.storage.values.tobytes())
        archive.writestr(stored("archive/version", when), "3\n")


def save_stream(path, value, tensors):
    with open(path, "wb") as file:
        dump(0x1950A86A20F9469CFC6C, file)
        dump(1001, file)
        sizes = {"short": 2, "int": 4, "long": 4}
        dump({"protocol_version": 1001, "little_endian": True, "type_sizes": sizes}, file)
        dump(value, file)
        dump([tensor.storage.key for tensor in tensors], file)
        for tensor in tensors:
            file.write(struct.pack("<q", tensor.storage.values.size) + tensor.storage.values.tobytes())


if __name__ == "__main__":
    save_file(NET, HERE / "net.safetensors")
    halves = {name: value.astype(np.float16) if value.dtype == np.float32 else value for name, value in NET.items()}
    save_file(halves, HERE / "net_half.safetensors")
    other = {f"model.{name}".replace("fc1", "layers.0").replace("fc2", "layers.3"): value for name, value in NET.items()}
    save_file(other, HERE / "net_renamed.safetensors")

    tensors = state_dict()
    save(HERE / "net.pt", tensors, tensors.values())
    save_stream(HERE / "net_stream.pt", tensors, tensors.values())
    tensors = state_dict(transposed=True)
    save(HERE / "checkpoint.pt", {"epoch": 3, "state_dict": tensors, "loss": [0.5, 0.25]}, tensors.values())

    x = np.array([[1.0, -2.0, 0.5, 3.0], [0.0, 0.25, -1.0, 2.0]])
    print(forward(x).tolist())
