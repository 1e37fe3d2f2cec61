//! Reductions along dimensions, positions of extremes, running sums, and the softmax family.

mod cumulative;
mod extreme;
mod fold;
mod reduce;
mod softmax;
#[cfg(test)]
mod tests;

use super::{Entry, onnx};

pub(super) const OPERATORS: &[Entry] = &[
    onnx("ArgMax", 1, extreme::arg_max),
    onnx("ArgMin", 1, extreme::arg_min),
    onnx("CumProd", 26, cumulative::cum_prod),
    onnx("CumSum", 11, cumulative::cum_sum),
    onnx("Hardmax", 1, softmax::hardmax),
    onnx("LogSoftmax", 1, softmax::log_softmax),
    onnx("ReduceL1", 1, reduce::l1),
    onnx("ReduceL2", 1, reduce::l2),
    onnx("ReduceLogSum", 1, reduce::log_sum),
    onnx("ReduceLogSumExp", 1, reduce::log_sum_exp),
    onnx("ReduceMax", 1, reduce::max),
    onnx("ReduceMean", 1, reduce::mean),
    onnx("ReduceMin", 1, reduce::min),
    onnx("ReduceProd", 1, reduce::prod),
    onnx("ReduceSum", 1, reduce::sum),
    onnx("ReduceSumSquare", 1, reduce::sum_square),
    onnx("Softmax", 1, softmax::softmax),
];
