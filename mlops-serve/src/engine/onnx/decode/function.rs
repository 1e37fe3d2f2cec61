//! Functions a model brings along: operators defined by other operators.

use std::collections::HashMap;

use mlops_core::Result;
use prost::Message;

use super::opsets;
use crate::engine::onnx::graph::Domain;
use crate::engine::onnx::proto::{AttributeProto, FunctionProto, NodeProto};

/// The functions of a model, by domain, name and overload.
#[derive(Debug)]
pub(super) struct Functions(HashMap<(Domain, String, String), Function>);

/// A function's formal inputs, outputs and attributes, and its body.
#[derive(Debug)]
pub(super) struct Function {
    pub(super) inputs: Vec<String>,
    pub(super) outputs: Vec<String>,
    pub(super) defaults: HashMap<String, AttributeProto>,
    pub(super) opsets: Vec<(Domain, i64)>,
    /// The nodes of the body, and the bytes each takes in the file.
    pub(super) nodes: Vec<(NodeProto, usize)>,
    pub(super) bytes_of_defaults: usize,
}

impl Functions {
    pub(super) fn new(protos: Vec<FunctionProto>) -> Result<Self> {
        let mut functions = HashMap::new();
        for proto in protos {
            let domain = Domain::parse(proto.domain.as_deref().unwrap_or_default());
            let key = (domain, proto.name.unwrap_or_default(), proto.overload.unwrap_or_default());
            let named = |attribute: AttributeProto| (attribute.name.clone().unwrap_or_default(), attribute);
            let sized = |node: NodeProto| {
                let bytes = node.encoded_len();
                (node, bytes)
            };
            let function = Function {
                bytes_of_defaults: proto.attribute_proto.iter().map(Message::encoded_len).sum(),
                inputs: proto.input,
                outputs: proto.output,
                defaults: proto.attribute_proto.into_iter().map(named).collect(),
                opsets: opsets(&proto.opset_import)?,
                nodes: proto.node.into_iter().map(sized).collect(),
            };
            functions.insert(key, function);
        }
        Ok(Self(functions))
    }

    pub(super) fn find(&self, domain: &Domain, name: &str, overload: Option<&str>) -> Option<&Function> {
        if self.0.is_empty() {
            return None;
        }
        self.0.get(&(domain.clone(), name.to_owned(), overload.unwrap_or_default().to_owned()))
    }
}
