#!/usr/bin/env python3
"""Writes reference models with inputs and onnxruntime's outputs, against which mlops-serve is tested and timed.

    python scripts/reference/generate.py OUTDIR            every family, at the sizes of real models
    python scripts/reference/generate.py OUTDIR --tiny     small ones, as committed in mlops-serve/tests/data/onnx
    python scripts/reference/generate.py OUTDIR --bench    the models of the benches

Needs the packages of requirements.txt. The weights are random but seeded: the same versions write the same models.
"""

import argparse
import hashlib
import sys
import time
import warnings
from pathlib import Path


def main():
    arguments = parse_arguments()
    fingerprint = fingerprint_of_sources(arguments)
    stamp = arguments.outdir / "fingerprint"
    if stamp.exists() and stamp.read_text() == fingerprint:
        print(f"{arguments.outdir} is up to date")
        return
    stamp.unlink(missing_ok=True)

    # Here, because importing scikit-learn and its kin takes seconds.
    from families import FAMILIES, bench
    from graph import settled, shortened
    from writing import write

    warnings.filterwarnings("ignore")
    families = {"bench": bench.models} if arguments.bench else FAMILIES
    chosen = arguments.family or list(families)
    if unknown := set(chosen) - set(families):
        sys.exit(f"unknown family {', '.join(sorted(unknown))}; there are {', '.join(families)}")
    began = time.perf_counter()
    for family in chosen:
        for reference in families[family]("tiny" if arguments.tiny else "full"):
            reference.model = settled(reference.model, reference.name)
            if arguments.tiny:
                reference.model = shortened(reference.model)
            write(reference, family, arguments.outdir / reference.name)
            elapsed = time.perf_counter() - began
            print(f"{elapsed:6.1f} s  {family}: {reference.name}", flush=True)
    # The committed models go without: their sources are beside them.
    if not arguments.tiny:
        stamp.write_text(fingerprint)


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("outdir", type=Path)
    parser.add_argument("--family", action="append", help="only this family (can be given several times)")
    size = parser.add_mutually_exclusive_group()
    size.add_argument("--tiny", action="store_true")
    size.add_argument("--bench", action="store_true")
    return parser.parse_args()


def fingerprint_of_sources(arguments):
    """Changes whenever another run could write something else."""
    here = Path(__file__).parent
    digest = hashlib.sha256(f"{sys.version} {arguments.family} {arguments.tiny} {arguments.bench}".encode())
    for source in sorted([*here.rglob("*.py"), here / "requirements.txt"]):
        digest.update(source.read_bytes())
    return digest.hexdigest()


if __name__ == "__main__":
    main()
