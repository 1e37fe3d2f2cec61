//! Recurrent layers over whole sequences.

mod activations;
mod cell;
mod plain;

use super::{Entry, onnx};

pub(super) const OPERATORS: &[Entry] =
    &[onnx("GRU", 7, cell::gru), onnx("LSTM", 7, cell::lstm), onnx("RNN", 7, cell::rnn)];
