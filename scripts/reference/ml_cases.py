"""Random small models of the operators of ai.onnx.ml and of text, with what onnxruntime makes of random inputs.

    python scripts/reference/ml_cases.py OUTDIR [--count N] [--budget BYTES] [--exports] [--only NAME]

Writes OUTDIR/<operator>.cases, up to N cases each (200) and, with --budget, no more bytes than that each. A case that
onnxruntime refuses is left out. --exports adds models that scikit-learn, XGBoost and LightGBM trained.
The committed ones are made by: ml_cases.py mlops-serve/tests/data/onnx-ml --count 40 --budget 6000
"""

import argparse
import zlib
from pathlib import Path

import numpy as np

from ml import linear, preprocessing, svm, text, trees
from ml.cases import Skip, run, write


def operators() -> dict:
    return {**trees.OPERATORS, **linear.OPERATORS, **svm.OPERATORS, **preprocessing.OPERATORS, **text.OPERATORS}


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("outdir", type=Path)
    arguments.add_argument("--count", type=int, default=200)
    arguments.add_argument("--budget", type=int)
    arguments.add_argument("--exports", action="store_true")
    arguments.add_argument("--only", default="")
    options = arguments.parse_args()
    options.outdir.mkdir(parents=True, exist_ok=True)
    for name, generate in operators().items():
        if options.only not in name:
            continue
        random = np.random.default_rng(zlib.crc32(name.encode()))
        cases, size, refused = [], 0, 0
        for number in range(options.count):
            try:
                case = run(f"{name} {number}", *generate(random))
            except Skip as cause:
                refused += 1
                if refused < 3:
                    print(f"  {name} {number}: {str(cause)[:200]}")
                continue
            if options.budget and size + len(case) > options.budget:
                continue
            size += len(case)
            cases.append(case)
        write(options.outdir / f"{name}.cases", cases)
        print(f"{name}: {len(cases)} cases, {size} bytes, {refused} refused by onnxruntime")
    if options.exports:
        from ml import exports

        write(options.outdir / "exports.cases", exports.cases(options.only))


if __name__ == "__main__":
    main()
