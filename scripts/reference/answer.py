#!/usr/bin/env python3
"""Asks onnxruntime what changed models answer to the inputs of the models they were made from.

    python scripts/reference/answer.py FOLDER

Each folder in FOLDER holds a `model.onnx` and, in the file `made_from`, the path of a reference as generate.py writes
them. It becomes a reference itself: the changed model, the inputs of the second case, which are several rows, and
onnxruntime's outputs for them.
"""

import json
import sys
from pathlib import Path

import numpy as np
import onnx
from onnxruntime import GraphOptimizationLevel

from writing import answer_case, open_session


def main():
    folders = sorted(path.parent for path in Path(sys.argv[1]).glob("*/made_from"))
    if not folders:
        sys.exit(f"there are no models in {sys.argv[1]}")
    for folder in folders:
        answer(folder, Path((folder / "made_from").read_text()))


def answer(folder, origin):
    onnx.checker.check_model(str(folder / "model.onnx"))
    # By its further optimizations, onnxruntime would turn products with INT8 weights into approximate ones.
    session = open_session((folder / "model.onnx").read_bytes(), GraphOptimizationLevel.ORT_ENABLE_BASIC)
    manifest = json.loads((origin / "manifest.json").read_text())
    manifest["model"] = folder.name
    with (origin / "tensors.npy").open("rb") as arrays, (folder / "tensors.npy").open("wb") as answers:
        first, second = manifest["cases"][:2]
        for tensor in first["inputs"] + first["outputs"]:
            read(arrays, tensor)
        inputs = {tensor["name"]: cropped(read(arrays, tensor)) for tensor in second["inputs"]}
        manifest["cases"] = [{"batch": second["batch"], **answer_case(session, inputs, answers)}]
    (folder / "manifest.json").write_text(json.dumps(manifest, indent=1) + "\n")


def cropped(array):
    """Small pictures instead of large ones, which would take long without saying more."""
    return array[..., :32, :32] if array.ndim == 4 and array.shape[1] == 3 else array


def read(arrays, tensor):
    if "strings" in tensor:
        return np.array(tensor["strings"], dtype=object).reshape(tensor["shape"])
    return np.load(arrays)


if __name__ == "__main__":
    main()
