"""Random small models of operators of ai.onnx and com.microsoft, with what onnxruntime makes of random inputs.

    python scripts/reference/operator_cases.py OUTDIR [--count N] [--budget BYTES] [--only NAME]

Writes OUTDIR/<family>.cases, up to N cases for each operator (200) and, with --budget, no more bytes than that each.
A case that onnxruntime refuses is left out. The committed ones are made by:
operator_cases.py mlops-serve/tests/data/onnx-operators --count 20 --budget 2200
"""

import argparse
import zlib
from pathlib import Path

import numpy as np

from ml.cases import Skip, run, write
from operators import contrib, control, indexing, layout, network, signal

FAMILIES = {"layout": layout, "indexing": indexing, "control": control, "signal": signal, "contrib": contrib, "network": network}


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("outdir", type=Path)
    arguments.add_argument("--count", type=int, default=200)
    arguments.add_argument("--budget", type=int)
    arguments.add_argument("--only", default="")
    options = arguments.parse_args()
    options.outdir.mkdir(parents=True, exist_ok=True)
    for family, module in FAMILIES.items():
        written = []
        for name, generate in module.OPERATORS.items():
            if options.only not in name:
                continue
            random = np.random.default_rng(zlib.crc32(name.encode()))
            size, refused, count = 0, 0, 0
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
                size, count = size + len(case), count + 1
                written.append(case)
            print(f"{name}: {count} cases, {size} bytes, {refused} refused by onnxruntime")
        write(options.outdir / f"{family}.cases", written)


if __name__ == "__main__":
    main()
