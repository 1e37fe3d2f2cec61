use mlops_core::Dimension::{self, Batch, Fixed, Free};
use mlops_core::{DType, Error, Tensors};

use super::*;
use crate::EngineExt;
use crate::layer::pipeline::{Graph, Step};

fn spec(name: &str, shape: &[Dimension]) -> TensorSpec {
    TensorSpec::new(name, DType::Fp32, shape.iter().copied())
}

fn node(name: &str, inputs: &[TensorSpec], outputs: &[TensorSpec]) -> Node {
    let signature = Signature::new(inputs.to_vec(), outputs.to_vec()).unwrap();
    Node::new(name, Step::new(name, signature, |_| Ok(Tensors::new())).inline())
}

fn signature(graph: Result<Graph>) -> Signature {
    graph.unwrap().signature().clone()
}

fn refusal(graph: Result<Graph>) -> String {
    let error = graph.unwrap_err();
    assert!(matches!(error, Error::InvalidInput(_)), "{error:?}");
    error.to_string()
}

const ROW: &[Dimension] = &[Batch, Fixed(2)];

#[test]
fn the_signature_is_that_of_the_nodes_under_the_names_of_the_graph() {
    let one = node("one", &[spec("x", &[Batch, Free])], &[spec("y", ROW)]);
    let two = node("two", &[spec("x", ROW).finite()], &[spec("y", &[Batch])]);
    let graph = Graph::new(
        ["data"],
        [
            one.with_input("x", "data").with_output("y", "a"),
            two.with_input("x", "data").with_output("y", "b"),
        ],
        ["b", "a"],
    );
    let signature = signature(graph);
    assert_eq!(signature.inputs(), [spec("data", ROW).finite()], "what fits both nodes");
    assert_eq!(signature.outputs(), [spec("b", &[Batch]), spec("a", ROW)]);
}

#[test]
fn everything_that_does_not_fit_is_named_at_once() {
    let give = node("give", &[spec("x", ROW)], &[spec("y", ROW)]);
    let take = node("take", &[spec("y", &[Batch, Fixed(3)]), spec("z", ROW)], &[spec("y", ROW)]);
    let lone =
        node("lone", &[spec("x", ROW)], &[spec("w", ROW)]).with_input("no", "x").with_output("no", "v");
    assert_eq!(
        refusal(Graph::new(["x", "unused"], [give, take, lone], ["label"])),
        "invalid input: the graph does not fit together: \
         tensor `y` comes from node `give` and from node `take`; rename one; \
         node `lone` has no output `no` (there are `w`); \
         node `take` takes `y` as FP32 [batch, 3], but node `take` gives `y` as FP32 [batch, 2]; \
         node `take` takes `z` from `z`, which nothing gives (there are `x`, `unused`, `y`, `y`, `w`); \
         node `lone` has no input `no` (there are `x`); \
         output `label` is given by nothing (there are `x`, `unused`, `y`, `y`, `w`); \
         input `unused` is taken by no node; \
         nothing takes what node `give` gives; \
         nothing takes what node `lone` gives; \
         the nodes `take` wait for each other"
    );
}

#[test]
fn nodes_that_wait_for_each_other_are_named() {
    let pair = |name: &str, takes: &str, gives: &str| node(name, &[spec(takes, ROW)], &[spec(gives, ROW)]);
    let graph = Graph::new(["x"], [pair("a", "x", "p"), pair("b", "r", "q"), pair("c", "q", "r")], ["p"]);
    let expected = "invalid input: the graph does not fit together: the nodes `b`, `c` wait for each other";
    assert_eq!(refusal(graph), expected);
}

#[test]
fn two_nodes_of_the_same_name_and_none_at_all_are_refused() {
    let twice =
        [node("a", &[spec("x", ROW)], &[spec("y", ROW)]), node("a", &[spec("x", ROW)], &[spec("z", ROW)])];
    assert!(refusal(Graph::new(["x"], twice, ["y", "z"])).contains("there are two nodes `a`"));
    for graph in [Graph::sequence([]), Graph::ensemble([]), Graph::new([""; 0], [], [""; 0])] {
        assert!(refusal(graph).contains("there are no nodes"));
    }
}

#[test]
fn an_input_that_two_nodes_take_differently_is_refused() {
    let one = node("one", &[spec("x", ROW)], &[spec("a", ROW)]);
    let two = node("two", &[spec("x", &[Batch, Fixed(3)])], &[spec("b", ROW)]);
    let message = refusal(Graph::new(["x"], [one, two], ["a", "b"]));
    assert!(
        message
            .contains("node `two` takes `x` as FP32 [batch, 3], but the caller gives `x` as FP32 [batch, 2]")
    );
}

#[test]
fn optional_inputs_are_left_out_unless_something_feeds_them() {
    let model = || node("m", &[spec("x", ROW), spec("mask", ROW).optional()], &[spec("y", ROW)]);
    assert_eq!(signature(Graph::new(["x"], [model()], ["y"])).inputs(), [spec("x", ROW)]);
    let both = signature(Graph::new(["x", "mask"], [model()], ["y"]));
    assert_eq!(both.inputs(), [spec("x", ROW), spec("mask", ROW).optional()]);
    let wrong = Graph::new(["x"], [model().with_input("mask", "masque")], ["y"]);
    assert!(refusal(wrong).contains("node `m` takes `mask` from `masque`, which nothing gives"));
}

#[test]
fn what_may_fail_can_only_feed_what_is_optional() {
    let source = || node("source", &[spec("x", ROW)], &[spec("y", ROW)]).may_fail();
    let needs = node("needs", &[spec("y", ROW)], &[spec("z", ROW)]);
    let message = refusal(Graph::new(["x"], [source(), needs], ["z"]));
    assert!(message.contains("but node `source` gives `y` as FP32 [batch, 2] optional"), "{message}");
    let could = node("could", &[spec("x", ROW), spec("y", ROW).optional()], &[spec("z", ROW)]);
    let outputs = signature(Graph::new(["x"], [source(), could], ["z", "y"]));
    assert_eq!(outputs.outputs(), [spec("z", ROW), spec("y", ROW).optional()]);
}

#[test]
fn a_batch_that_does_not_run_through_all_of_it_is_no_batch_of_the_whole() {
    let first = || node("first", &[spec("x", ROW)], &[spec("y", ROW)]);
    let second = |shape: &[Dimension]| node("second", &[spec("y", shape)], &[spec("z", shape)]);
    assert_eq!(signature(Graph::sequence([first(), second(ROW)])).inputs(), [spec("x", ROW)]);
    let mixed = signature(Graph::sequence([first(), second(&[Free, Fixed(2)])]));
    assert_eq!(mixed.inputs(), [spec("x", &[Free, Fixed(2)])]);
    let mean = node("mean", &[spec("y", ROW)], &[spec("z", &[Fixed(2)])]);
    let spread = node("spread", &[spec("x", ROW), spec("z", &[Fixed(2)])], &[spec("w", ROW)]);
    let whole = signature(Graph::new(["x"], [first(), mean, spread], ["w"]));
    assert_eq!(whole.outputs(), [spec("w", &[Free, Fixed(2)])], "a row depends on the others");
}

#[test]
fn a_sequence_joins_neighbours_only() {
    let first = || node("first", &[spec("x", ROW)], &[spec("y", ROW), spec("unused", ROW)]);
    let last = || node("last", &[spec("y", ROW), spec("extra", ROW).optional()], &[spec("y", ROW)]);
    let plain = signature(Graph::sequence([first(), last()]));
    assert_eq!((plain.inputs(), plain.outputs()), (&[spec("x", ROW)][..], &[spec("y", ROW)][..]));
    let mapped = [first().with_input("x", "in"), last().with_input("y", "unused").with_output("y", "out")];
    let mapped = signature(Graph::sequence(mapped));
    assert_eq!((mapped.inputs(), mapped.outputs()), (&[spec("in", ROW)][..], &[spec("out", ROW)][..]));
    let middle = node("middle", &[spec("unused", ROW)], &[spec("z", ROW)]);
    assert_eq!(
        refusal(Graph::sequence([first(), middle, last()])),
        "invalid input: the graph does not fit together: node `last` takes `y` from `middle/y`, which nothing gives \
         (there are `x`, `first/y`, `first/unused`, `middle/z`, `y`); nothing takes what node `middle` gives"
    );
}

#[test]
fn members_of_an_ensemble_share_their_inputs() {
    let member = |name: &str, also: &str| node(name, &[spec("x", ROW), spec(also, ROW)], &[spec("y", ROW)]);
    let whole = signature(Graph::ensemble([member("a", "p"), member("b", "q").may_fail()]));
    assert_eq!(whole.inputs(), [spec("x", ROW), spec("p", ROW), spec("q", ROW)]);
    assert_eq!(whole.outputs(), [spec("a/y", ROW), spec("b/y", ROW).optional()]);
}
