#!/usr/bin/env python3
"""Asks onnxruntime what changed models answer to the inputs of the models they were made from.

    python scripts/reference/answer.py FOLDER

Each folder in FOLDER holds a `model.onnx` and, in the file `made_from`, the path of a reference as generate.py writes
them. It becomes a reference itself: the changed model, the same inputs, and onnxruntime's outputs for them.
"""

import json
import sys
from pathlib import Path

import numpy as np
import onnx

from writing import answer_case, open_session


def main():
    folders = sorted(path.parent for path in Path(sys.argv[1]).glob("*/made_from"))
    if not folders:
        sys.exit(f"there are no models in {sys.argv[1]}")
    for folder in folders:
        answer(folder, Path((folder / "made_from").read_text()))


def answer(folder, origin):
    onnx.checker.check_model(str(folder / "model.onnx"))
    session = open_session((folder / "model.onnx").read_bytes())
    manifest = json.loads((origin / "manifest.json").read_text())
    manifest["model"] = folder.name
    with (origin / "tensors.npy").open("rb") as arrays, (folder / "tensors.npy").open("wb") as answers:
        for case in manifest["cases"]:
            inputs = {tensor["name"]: read(arrays, tensor) for tensor in case["inputs"]}
            for tensor in case["outputs"]:
                read(arrays, tensor)
            case.update(answer_case(session, inputs, answers))
    (folder / "manifest.json").write_text(json.dumps(manifest, indent=1) + "\n")


def read(arrays, tensor):
    if "strings" in tensor:
        return np.array(tensor["strings"], dtype=object).reshape(tensor["shape"])
    return np.load(arrays)


if __name__ == "__main__":
    main()
