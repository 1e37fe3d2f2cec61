"""Graphs inside nodes, and sequences."""

import numpy as np
from onnx import TensorProto, helper

from ml.cases import model_of

from .random_values import axis, like, shape, values

FLOAT, INT64, BOOL = TensorProto.FLOAT, TensorProto.INT64, TensorProto.BOOL


def info(name, kind=FLOAT, lengths=None):
    return helper.make_tensor_value_info(name, kind, lengths)


def if_(random):
    """Both branches use values from outside, one of them computed; one has an If of its own."""
    x, y = (values(random, [2, 3], np.float32) for _ in "xy")
    inner = helper.make_graph([helper.make_node("Neg", ["d"], ["deep"])], "inner", [], [info("deep")])
    other = helper.make_graph([helper.make_node("Mul", ["d", "y"], ["deep"])], "other", [], [info("deep")])
    then = helper.make_graph([helper.make_node("Add", ["x", "d"], ["t"])], "then", [], [info("t")])
    otherwise = helper.make_graph([helper.make_node("If", ["second"], ["e"], then_branch=inner, else_branch=other)],
                                  "else", [], [info("e")])
    nodes = [helper.make_node("Mul", ["x", "y"], ["d"]),
             helper.make_node("If", ["first"], ["out"], then_branch=then, else_branch=otherwise),
             helper.make_node("Sub", ["out", "d"], ["last"])]
    inputs = {"x": x, "y": y, "first": np.array(random.random() < 0.5), "second": np.array(random.random() < 0.5)}
    return model_of(nodes, inputs, {"last": (FLOAT, 2)}, 3), inputs


def loop(random):
    """The state is summed up and a condition on it ends the loop; the body reads a value from outside."""
    x, step = values(random, [3], np.float32), np.abs(values(random, [3], np.float32))
    body = helper.make_graph(
        [helper.make_node("Add", ["state", "step"], ["next"]),
         helper.make_node("MatMul", ["next", "ones"], ["sum"]),
         helper.make_node("Less", ["sum", "most"], ["go_on"]),
         helper.make_node("Cast", ["i"], ["number"], to=FLOAT),
         helper.make_node("Mul", ["next", "number"], ["seen"])],
        "body", [info("i", INT64, []), info("c", BOOL, []), info("state", FLOAT, [3])],
        [info("go_on", BOOL, []), info("next", FLOAT, [3]), info("seen", FLOAT, [3]), info("sum", FLOAT, [])])
    trips = np.array(random.integers(0, 8), dtype=np.int64)
    inputs = {"x": x, "step": step, "most": np.array(random.integers(0, 30), dtype=np.float32),
              "ones": np.ones(3, dtype=np.float32)}
    names = ["", "", "x"]
    if random.random() < 0.7:
        inputs["trips"], names[0] = trips, "trips"
    else:
        inputs["step"] = step + np.float32(1)
    if random.random() < 0.5:
        inputs["begin"], names[1] = np.array(random.random() < 0.8), "begin"
    node = helper.make_node("Loop", names, ["final", "seen_all", "sums"], body=body)
    return model_of([node], inputs, {"final": (FLOAT, 1), "seen_all": (FLOAT, 2), "sums": (FLOAT, 1)}, 3), inputs


def scan(random):
    lengths = [int(n) for n in random.integers(1, 5, 2)]
    time = int(random.integers(1, 5))
    first, second = axis(random, 3), int(random.integers(0, 3))
    full = list(lengths)
    full.insert(first % 3, time)
    a = values(random, full, np.float32)
    full = list(lengths)
    full.insert(second, time)
    b = values(random, full, np.float32)
    state, factor = values(random, lengths, np.float32), values(random, [], np.float32)
    body = helper.make_graph(
        [helper.make_node("Mul", ["u", "factor"], ["scaled"]), helper.make_node("Add", ["s", "scaled"], ["added"]),
         helper.make_node("Sub", ["added", "v"], ["next"]), helper.make_node("Neg", ["next"], ["seen"]),
         helper.make_node("Reshape", ["next", "flat"], ["row"]), helper.make_node("Gather", ["row", "first"], ["corner"])],
        "body", [info("s", FLOAT, lengths), info("u", FLOAT, lengths), info("v", FLOAT, lengths)],
        [info("next", FLOAT, lengths), info("seen", FLOAT, lengths), info("corner", FLOAT, [])])
    node = helper.make_node(
        "Scan", ["state", "a", "b"], ["final", "seen_all", "firsts"], body=body, num_scan_inputs=2,
        scan_input_axes=[first, second], scan_input_directions=[int(n) for n in random.integers(0, 2, 2)],
        scan_output_axes=[axis(random, 3), 0], scan_output_directions=[int(n) for n in random.integers(0, 2, 2)])
    inputs = {"state": state, "a": a, "b": b, "factor": factor, "flat": np.array([-1]), "first": np.array(0)}
    return model_of([node], inputs, {"final": (FLOAT, 2), "seen_all": (FLOAT, 3), "firsts": (FLOAT, 1)}, 3), inputs


def scan_of_a_batch(random):
    """The form of operator set 8."""
    batch, time, size = (int(n) for n in random.integers(1, 4, 3))
    body = helper.make_graph(
        [helper.make_node("Add", ["s", "u"], ["next"]), helper.make_node("Neg", ["next"], ["seen"])],
        "body", [info("s", FLOAT, [size]), info("u", FLOAT, [size])], [info("next", FLOAT, [size]), info("seen", FLOAT, [size])])
    inputs = {"state": values(random, [batch, size], np.float32), "a": values(random, [batch, time, size], np.float32)}
    names = ["", "state", "a"]
    if random.random() < 0.6:
        inputs["lengths"], names[0] = random.integers(1, time + 1, batch).astype(np.int64), "lengths"
    node = helper.make_node("Scan", names, ["final", "seen_all"], body=body, num_scan_inputs=1,
                            directions=[int(random.integers(2))])
    return model_of([node], inputs, {"final": (FLOAT, 2), "seen_all": (FLOAT, 3)}, 1, opset=8), inputs


def sequence(random):
    """A list is made, changed and joined again."""
    data = values(random, shape(random, 1, 3, zero=0), np.float32)
    count = int(random.integers(1, 4))
    parts = {f"x{i}": values(random, data.shape, np.float32) for i in range(count)}
    at = lambda most: np.array(random.integers(-most, most), dtype=np.int64)
    nodes = [helper.make_node("SequenceConstruct", list(parts), ["list"]),
             helper.make_node("SequenceInsert", ["list", "new", "where"], ["longer"]),
             helper.make_node("SequenceErase", ["longer", "which"][: random.integers(1, 3)], ["shorter"]),
             helper.make_node("SequenceInsert", ["shorter", "new"], ["ended"]),
             helper.make_node("SequenceLength", ["ended"], ["length"]),
             helper.make_node("SequenceAt", ["ended", "which"], ["one"])]
    new_axis = int(random.integers(2))
    along = axis(random, data.ndim + new_axis)
    nodes.append(helper.make_node("ConcatFromSequence", ["ended"], ["joined"], axis=along, new_axis=new_axis))
    inputs = {**parts, "new": values(random, data.shape, np.float32), "where": at(count), "which": at(count + 1)}
    outputs = {"length": (INT64, 0), "one": like(data), "joined": like(data, data.ndim + new_axis)}
    return model_of(nodes, inputs, outputs, 3), inputs


def split_to_sequence(random):
    data = values(random, shape(random, 1, 3, zero=0), np.float32)
    along = axis(random, data.ndim)
    names, inputs, keep = ["x"], {"x": data}, 1
    choice = random.integers(3)
    if choice == 0:
        inputs["parts"] = np.array(random.integers(1, 4), dtype=np.int64)
    elif choice == 1:
        cut = int(random.integers(0, data.shape[along] + 1))
        inputs["parts"] = np.array([cut, data.shape[along] - cut], dtype=np.int64)
    else:
        keep = int(random.integers(2))
    names = list(inputs)
    nodes = [helper.make_node("SplitToSequence", names, ["list"], axis=along, keepdims=keep),
             helper.make_node("SequenceLength", ["list"], ["length"]),
             helper.make_node("SequenceAt", ["list", "last"], ["one"])]
    inputs["last"] = np.array(-1, dtype=np.int64)
    return model_of(nodes, inputs, {"length": (INT64, 0), "one": like(data, data.ndim - 1 + keep)}, 3), inputs


OPERATORS = {
    "If": if_, "Loop": loop, "Scan": scan, "Scan-8": scan_of_a_batch, "Sequence": sequence,
    "SplitToSequence": split_to_sequence,
}
