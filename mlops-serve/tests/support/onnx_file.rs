//! ONNX files written field by field, so that they can be as wrong as a test wants them to be.
//!
//! Field numbers are those of [`onnx.proto`](https://github.com/onnx/onnx/blob/main/onnx/onnx.proto).

/// A protobuf message in its encoded form.
#[derive(Debug, Clone, Default)]
pub(crate) struct Message(pub(crate) Vec<u8>);

impl Message {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    fn varint(&mut self, mut number: u64) {
        while number >= 0x80 {
            self.0.push(number as u8 | 0x80);
            number >>= 7;
        }
        self.0.push(number as u8);
    }

    pub(crate) fn int(mut self, field: u64, number: i64) -> Self {
        self.varint(field << 3);
        self.varint(number as u64);
        self
    }

    pub(crate) fn bytes(mut self, field: u64, content: impl AsRef<[u8]>) -> Self {
        self.varint(field << 3 | 2);
        self.varint(content.as_ref().len() as u64);
        self.0.extend_from_slice(content.as_ref());
        self
    }

    pub(crate) fn message(self, field: u64, inner: Self) -> Self {
        self.bytes(field, inner.0)
    }

    /// One field for each of the messages.
    pub(crate) fn messages(self, field: u64, inner: impl IntoIterator<Item = Self>) -> Self {
        inner.into_iter().fold(self, |message, inner| message.message(field, inner))
    }
}

pub(crate) const FLOAT: i64 = 1;
pub(crate) const INT64: i64 = 7;

/// A tensor with its elements as raw bytes.
pub(crate) fn tensor(name: &str, element_type: i64, dims: &[i64], raw: &[u8]) -> Message {
    let message = dims.iter().fold(Message::new(), |message, &dim| message.int(1, dim));
    message.int(2, element_type).bytes(8, name).bytes(9, raw)
}

pub(crate) fn floats(name: &str, dims: &[i64], elements: &[f32]) -> Message {
    tensor(name, FLOAT, dims, &elements.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<u8>>())
}

pub(crate) fn ints(name: &str, dims: &[i64], elements: &[i64]) -> Message {
    tensor(name, INT64, dims, &elements.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<u8>>())
}

/// The declaration of a tensor with these lengths.
pub(crate) fn value(name: &str, element_type: i64, dims: &[i64]) -> Message {
    let dims = dims.iter().map(|&dim| Message::new().int(1, dim));
    let tensor = Message::new().int(1, element_type).message(2, Message::new().messages(1, dims));
    Message::new().bytes(1, name).message(2, Message::new().message(1, tensor))
}

pub(crate) fn node(operator: &str, inputs: &[&str], outputs: &[&str], attributes: Vec<Message>) -> Message {
    let message = inputs.iter().fold(Message::new(), |message, input| message.bytes(1, input));
    let message = outputs.iter().fold(message, |message, output| message.bytes(2, output));
    message.bytes(4, operator).messages(5, attributes)
}

pub(crate) fn attribute_int(name: &str, number: i64) -> Message {
    Message::new().bytes(1, name).int(3, number).int(20, 2)
}

pub(crate) fn attribute_ints(name: &str, numbers: &[i64]) -> Message {
    let message = Message::new().bytes(1, name);
    numbers.iter().fold(message, |message, &number| message.int(8, number)).int(20, 7)
}

pub(crate) fn attribute_text(name: &str, text: &str) -> Message {
    Message::new().bytes(1, name).bytes(4, text).int(20, 3)
}

pub(crate) fn attribute_graph(name: &str, graph: Message) -> Message {
    Message::new().bytes(1, name).message(6, graph).int(20, 5)
}

/// A graph of nodes, initialisers, inputs and outputs.
pub(crate) fn graph(
    nodes: Vec<Message>,
    weights: Vec<Message>,
    inputs: Vec<Message>,
    outputs: Vec<Message>,
) -> Message {
    Message::new().messages(1, nodes).messages(5, weights).messages(11, inputs).messages(12, outputs)
}

pub(crate) fn opset(domain: &str, version: i64) -> Message {
    Message::new().bytes(1, domain).int(2, version)
}

/// A file for version 21 of the operators.
pub(crate) fn model(graph: Message) -> Vec<u8> {
    Message::new().int(1, 10).message(7, graph).message(8, opset("", 21)).message(8, opset("ai.onnx.ml", 5)).0
}
