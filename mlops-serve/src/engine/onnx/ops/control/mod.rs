//! Branches and loops with graphs inside; sequences and optionals.

mod accumulator;
mod body;
mod branch;
mod optional;
mod repeat;
mod scan;
mod sequence;

use super::{Entry, onnx};

pub(super) const OPERATORS: &[Entry] = &[
    onnx("ConcatFromSequence", 11, sequence::concat_from_sequence),
    onnx("If", 1, branch::branch),
    onnx("Loop", 1, repeat::repeat),
    onnx("Optional", 15, optional::optional),
    onnx("OptionalGetElement", 15, optional::optional_get_element),
    onnx("OptionalHasElement", 15, optional::optional_has_element),
    onnx("Scan", 8, scan::scan),
    onnx("SequenceAt", 11, sequence::sequence_at),
    onnx("SequenceConstruct", 11, sequence::sequence_construct),
    onnx("SequenceEmpty", 11, sequence::sequence_empty),
    onnx("SequenceErase", 11, sequence::sequence_erase),
    onnx("SequenceInsert", 11, sequence::sequence_insert),
    onnx("SequenceLength", 11, sequence::sequence_length),
    onnx("SequenceMap", 17, sequence::sequence_map),
    onnx("SplitToSequence", 11, sequence::split_to_sequence),
];
