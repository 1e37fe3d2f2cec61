//! How much memory the messages of a file will take, before they are read.
//!
//! A message takes a few bytes in the file, but some hundred in memory: without a limit, a small file could ask for more
//! than there is. The fields are walked without being kept; what the messages, their lists and their numbers take is
//! added up, and [`check`] refuses a file that goes beyond [`PER_BYTE`] times its own size and [`FREE`].

use mlops_core::{Error, Result};

use crate::engine::onnx::proto;

/// The bytes in memory for each byte of the file. What is mostly weights takes one or two; lists of small integers, as
/// tree ensembles have, up to sixteen.
pub(super) const PER_BYTE: usize = 32;

/// The bytes in memory that any file may have: small graphs are mostly messages.
pub(super) const FREE: usize = 32 << 20;

/// The deepest nesting of messages: that of the reader.
const DEPTH: usize = 100;

/// The messages of a file, as far as they are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Message {
    Model,
    Opset,
    Entry,
    Graph,
    Node,
    Attribute,
    Tensor,
    Sparse,
    ValueInfo,
    Type,
    TensorType,
    ElementType,
    Shape,
    Dimension,
    Function,
}

/// What a field holds.
#[derive(Debug, Clone, Copy)]
enum Field {
    /// Nothing that is kept, or nothing that is counted by itself.
    Other,
    Message(Message),
    /// A string of a list, copied.
    Text,
    /// A string of a list that stays in the file.
    Bytes,
    /// A list of varints, of so many bytes each in memory.
    Varints(usize),
    /// A list of numbers of so many bytes each, in the file as in memory.
    Fixed(usize),
}

impl Message {
    /// The size of the message itself.
    fn size(self) -> usize {
        match self {
            Self::Model => size_of::<proto::ModelProto>(),
            Self::Opset => size_of::<proto::OperatorSetIdProto>(),
            Self::Entry => size_of::<proto::StringStringEntryProto>(),
            Self::Graph => size_of::<proto::GraphProto>(),
            Self::Node => size_of::<proto::NodeProto>(),
            Self::Attribute => size_of::<proto::AttributeProto>(),
            Self::Tensor => size_of::<proto::TensorProto>(),
            Self::Sparse => size_of::<proto::SparseTensorProto>(),
            Self::ValueInfo => size_of::<proto::ValueInfoProto>(),
            Self::Type | Self::TensorType | Self::ElementType => size_of::<proto::TypeProto>(),
            Self::Shape => size_of::<proto::TensorShapeProto>(),
            Self::Dimension => size_of::<proto::DimensionProto>(),
            Self::Function => size_of::<proto::FunctionProto>(),
        }
    }

    /// What the field of that number holds; the numbers are those of `proto.rs`.
    fn field(self, number: u64) -> Field {
        match (self, number) {
            (Self::Model, 7) => Field::Message(Self::Graph),
            (Self::Model, 8) | (Self::Function, 9) => Field::Message(Self::Opset),
            (Self::Model, 14) | (Self::Tensor, 13) => Field::Message(Self::Entry),
            (Self::Model, 25) => Field::Message(Self::Function),
            (Self::Graph, 1) | (Self::Function, 7) => Field::Message(Self::Node),
            (Self::Graph, 5) | (Self::Attribute, 5 | 10) | (Self::Sparse, 1 | 2) => {
                Field::Message(Self::Tensor)
            }
            (Self::Graph, 11..=13) => Field::Message(Self::ValueInfo),
            (Self::Graph, 15) | (Self::Attribute, 22) => Field::Message(Self::Sparse),
            (Self::Node, 1 | 2) | (Self::Function, 4..=6) => Field::Text,
            (Self::Node, 5) | (Self::Function, 11) => Field::Message(Self::Attribute),
            (Self::Attribute, 6 | 11) => Field::Message(Self::Graph),
            (Self::Attribute, 7) | (Self::Tensor, 4) => Field::Fixed(4),
            (Self::Attribute, 8) | (Self::Tensor, 1 | 7 | 11) | (Self::Sparse, 3) => Field::Varints(8),
            (Self::Attribute, 9) | (Self::Tensor, 6) => Field::Bytes,
            (Self::Attribute, 14) | (Self::ValueInfo, 2) | (Self::ElementType, 1 | 2) => {
                Field::Message(Self::Type)
            }
            (Self::Tensor, 5) => Field::Varints(4),
            (Self::Tensor, 10) => Field::Fixed(8),
            (Self::Type, 1 | 8) => Field::Message(Self::TensorType),
            (Self::Type, 4 | 5 | 9) => Field::Message(Self::ElementType),
            (Self::TensorType, 2) => Field::Message(Self::Shape),
            (Self::Shape, 1) => Field::Message(Self::Dimension),
            _ => Field::Other,
        }
    }
}

/// Refuses a file whose messages would take too much memory. One that is damaged is left to the reader.
pub(super) fn check(file: &[u8]) -> Result<()> {
    let limit = file.len().saturating_mul(PER_BYTE).saturating_add(FREE);
    let mut room = Room { left: limit };
    let fits = room.message(Message::Model, file, DEPTH);
    match fits {
        Err(Full) => Err(Error::invalid_input(format!(
            "the messages of the ONNX file would take more than {limit} bytes of memory, which is out of proportion to \
             its {} bytes",
            file.len()
        ))),
        Ok(()) => Ok(()),
    }
}

/// The memory that is not taken yet.
struct Room {
    left: usize,
}

/// There is no memory left.
struct Full;

impl Room {
    fn take(&mut self, bytes: usize) -> Result<(), Full> {
        self.left = self.left.checked_sub(bytes).ok_or(Full)?;
        Ok(())
    }

    /// Takes what an element of a list takes: a list has room for twice as many when it has just grown.
    fn take_in_list(&mut self, bytes: usize) -> Result<(), Full> {
        self.take(bytes.saturating_mul(2))
    }

    /// Takes the memory of what is in a message.
    fn message(&mut self, message: Message, mut content: &[u8], depth: usize) -> Result<(), Full> {
        if depth == 0 {
            return Ok(()); // the reader refuses what is nested deeper
        }
        while !content.is_empty() {
            let Some((key, rest)) = varint(content) else { return Ok(()) };
            let field = message.field(key >> 3);
            let Some((value, rest)) = value(key & 7, rest) else { return Ok(()) };
            content = rest;
            match (field, value) {
                (Field::Message(inner), Value::Delimited(inside)) => {
                    self.take_in_list(inner.size())?;
                    self.message(inner, inside, depth - 1)?;
                }
                (Field::Text, Value::Delimited(text)) => {
                    self.take_in_list(size_of::<String>())?;
                    self.take(text.len())?;
                }
                (Field::Bytes, Value::Delimited(_)) => self.take_in_list(size_of::<bytes::Bytes>())?,
                (Field::Varints(size), Value::Delimited(packed)) => {
                    let count = packed.iter().filter(|&&byte| byte < 0x80).count(); // the last byte of each
                    self.take_in_list(count.saturating_mul(size))?;
                }
                (Field::Fixed(_), Value::Delimited(packed)) => self.take_in_list(packed.len())?,
                (Field::Varints(size) | Field::Fixed(size), Value::Number) => self.take_in_list(size)?,
                (Field::Other, Value::Delimited(text)) => self.take(text.len())?,
                _ => {}
            }
        }
        Ok(())
    }
}

/// A value as it is written.
enum Value<'a> {
    Number,
    Delimited(&'a [u8]),
    Group,
}

/// The value of that kind, and what follows; `None` when it is cut short or of no kind that is read.
fn value(kind: u64, content: &[u8]) -> Option<(Value<'_>, &[u8])> {
    match kind {
        0 => varint(content).map(|(_, rest)| (Value::Number, rest)),
        1 => content.get(8..).map(|rest| (Value::Number, rest)),
        2 => {
            let (length, rest) = varint(content)?;
            let (inside, rest) = rest.split_at_checked(usize::try_from(length).ok()?)?;
            Some((Value::Delimited(inside), rest))
        }
        3 => group(content).map(|rest| (Value::Group, rest)),
        5 => content.get(4..).map(|rest| (Value::Number, rest)),
        _ => None,
    }
}

/// What follows a group: an old way to nest, which the reader skips.
fn group(mut content: &[u8]) -> Option<&[u8]> {
    let mut open = 1_usize;
    while open > 0 {
        let (key, rest) = varint(content)?;
        content = match key & 7 {
            3 => {
                open += 1;
                rest
            }
            4 => {
                open -= 1;
                rest
            }
            kind => value(kind, rest)?.1,
        };
    }
    Some(content)
}

/// A number of seven bits a byte, least significant first, and what follows.
fn varint(content: &[u8]) -> Option<(u64, &[u8])> {
    let mut number = 0_u64;
    for (index, &byte) in content.iter().enumerate().take(10) {
        number |= u64::from(byte & 0x7f) << (7 * index as u32).min(63);
        if byte < 0x80 {
            return Some((number, &content[index + 1..]));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A field of that number with that content.
    fn field(number: u8, content: &[u8]) -> Vec<u8> {
        let mut field = vec![number << 3 | 2];
        let mut length = content.len();
        while length >= 0x80 {
            field.push(length as u8 | 0x80);
            length >>= 7;
        }
        field.push(length as u8);
        field.extend_from_slice(content);
        field
    }

    #[test]
    fn a_file_of_nothing_but_empty_messages_is_refused() {
        const COUNT: usize = 2 << 20;
        let nodes = field(1, &[]).repeat(COUNT);
        let file = field(7, &nodes);
        let refused = check(&file).unwrap_err().to_string();
        assert!(refused.contains("out of proportion"), "{refused}");
        let attributes = field(7, &field(1, &field(5, &[]).repeat(COUNT)));
        assert!(check(&attributes).is_err());
    }

    #[test]
    fn a_group_hides_nothing() {
        let unknown = [9 << 3 | 3, 1 << 3 | 3, 2 << 3, 5, 1 << 3 | 4, 9 << 3 | 4];
        let nodes = [&unknown[..], &field(1, &[]).repeat(2 << 20)].concat();
        assert!(check(&field(7, &nodes)).is_err());
    }

    #[test]
    fn weights_and_lists_of_small_numbers_pass() {
        let weights = field(7, &field(5, &field(9, &vec![7; 8 << 20])));
        assert!(check(&weights).is_ok());
        let packed = field(7, &field(1, &field(5, &field(8, &vec![1; 8 << 20]))));
        assert!(check(&packed).is_ok());
        let single: Vec<u8> = [8 << 3, 1].repeat(4 << 20);
        assert!(check(&field(7, &field(1, &field(5, &single)))).is_ok());
    }

    #[test]
    fn what_is_damaged_is_left_to_the_reader() {
        for file in
            [&[0xff; 40][..], &[0x3a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f], &[0x3b], &[0x3a]]
        {
            assert!(check(file).is_ok());
        }
        let mut deep = Vec::new();
        for _ in 0..300 {
            deep = field(6, &field(1, &field(5, &deep)));
        }
        assert!(check(&field(7, &deep)).is_ok());
    }
}
