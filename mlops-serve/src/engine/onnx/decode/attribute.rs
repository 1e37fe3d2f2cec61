//! Parameters of nodes.

use mlops_core::{Error, Result};

use super::builder::Scope;
use super::kind::kind;
use super::tensor::{tensor, text};
use crate::engine::onnx::graph::Attribute;
use crate::engine::onnx::proto::{AttributeProto, attribute_type};

/// The value of a parameter. Graphs in it may use the values of `scope`.
pub(super) fn attribute(proto: AttributeProto, scope: &mut Scope<'_>) -> Result<Attribute> {
    let name = proto.name.unwrap_or_default();
    let missing = || Error::invalid_input(format!("the attribute `{name}` has no value"));
    let external = scope.external();
    Ok(match proto.r#type.unwrap_or(0) {
        attribute_type::FLOAT => Attribute::Float(proto.f.unwrap_or_default()),
        attribute_type::INT => Attribute::Int(proto.i.unwrap_or_default()),
        attribute_type::STRING => Attribute::Text(text(&proto.s.unwrap_or_default())?),
        attribute_type::TENSOR => Attribute::Tensor(tensor(*proto.t.ok_or_else(missing)?, external)?),
        attribute_type::GRAPH => Attribute::Graph(Box::new(scope.subgraph(*proto.g.ok_or_else(missing)?)?)),
        attribute_type::FLOATS => Attribute::Floats(proto.floats),
        attribute_type::INTS => Attribute::Ints(proto.ints),
        attribute_type::STRINGS => Attribute::Texts(proto.strings.iter().map(text).collect::<Result<_>>()?),
        attribute_type::TENSORS => Attribute::Tensors(
            proto.tensors.into_iter().map(|proto| tensor(proto, external)).collect::<Result<_>>()?,
        ),
        attribute_type::GRAPHS => Attribute::Graphs(
            proto.graphs.into_iter().map(|proto| scope.subgraph(proto)).collect::<Result<_>>()?,
        ),
        attribute_type::SPARSE_TENSOR => {
            Attribute::Tensor(scope.dense(*proto.sparse_tensor.ok_or_else(missing)?)?.1)
        }
        attribute_type::TYPE_PROTO => {
            Attribute::Type(kind(*proto.tp.ok_or_else(missing)?)?.ok_or_else(missing)?)
        }
        other => {
            return Err(Error::unsupported(format!(
                "the attribute `{name}` is of a kind ({other}) that is not supported"
            )));
        }
    })
}
