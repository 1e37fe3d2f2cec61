"""Writes the ONNX project's own backend tests of single operators, which its package makes on demand.

    python scripts/reference/node_tests.py OUTDIR

Each test becomes OUTDIR/<name>/model.onnx with test_data_set_<n>/{input,output}_<i>.pb and kinds.txt, which says of
each .pb file whether it holds a tensor, a sequence, an optional or a map.
"""

import sys
from pathlib import Path

import onnx
from onnx import numpy_helper
from onnx.backend.test.loader import load_node_model_tests

WRITERS = {
    "tensor_type": lambda value: value if isinstance(value, onnx.TensorProto) else numpy_helper.from_array(value),
    "sequence_type": numpy_helper.from_list,
    "optional_type": numpy_helper.from_optional,
    "map_type": numpy_helper.from_dict,
}


def write(case, folder: Path) -> None:
    folder.mkdir(parents=True)
    (folder / "model.onnx").write_bytes(case.model.SerializeToString())
    graph = case.model.graph
    for number, (inputs, outputs) in enumerate(case.data_sets):
        data_set = folder / f"test_data_set_{number}"
        data_set.mkdir()
        kinds = []
        for direction, values, infos in [("input", inputs, graph.input), ("output", outputs, graph.output)]:
            for index, (value, info) in enumerate(zip(values, infos)):
                kind = info.type.WhichOneof("value")
                name = f"{direction}_{index}.pb"
                (data_set / name).write_bytes(WRITERS[kind](value).SerializeToString())
                kinds.append(f"{name} {kind}\n")
        (data_set / "kinds.txt").write_text("".join(kinds))


def main() -> None:
    root = Path(sys.argv[1])
    skipped = []
    cases = load_node_model_tests()
    for case in cases:
        try:
            write(case, root / case.name)
        except Exception as cause:  # a test that cannot be written is named, never dropped in silence
            skipped.append(f"{case.name}: {cause}")
    print(f"{len(cases) - len(skipped)} tests written, onnx {onnx.__version__}, opset {onnx.defs.onnx_opset_version()}")
    print("\n".join(skipped))


if __name__ == "__main__":
    main()
