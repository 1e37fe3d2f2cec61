//! From the bytes of a file to a [`Graph`].

mod attribute;
mod builder;
mod external;
mod function;
mod kind;
mod size;
mod tensor;

use bytes::Bytes;
use mlops_core::{Error, Result};
use prost::Message;

pub(crate) use builder::SPARSE_LIMIT;
pub(crate) use external::ExternalData;
pub(crate) use kind::dtype_of;

use super::graph::{Domain, Graph};
use super::proto::ModelProto;

/// A decoded file.
#[derive(Debug)]
pub(crate) struct Model {
    pub(crate) graph: Graph,
    pub(crate) producer: String,
    pub(crate) opsets: Vec<(Domain, i64)>,
    pub(crate) metadata: Vec<(String, String)>,
}

/// Reads a file. Weights kept outside it are looked up in `external`.
pub(crate) fn decode(bytes: &Bytes, external: &ExternalData) -> Result<Model> {
    let proto = parse(bytes)?;
    let graph = proto.graph.ok_or_else(|| Error::invalid_input("the ONNX file has no graph"))?;
    let opsets = opsets(&proto.opset_import)?;
    let functions = function::Functions::new(proto.functions)?;
    let graph = builder::model_graph(graph, &opsets, &functions, external)?;
    let producer = [proto.producer_name, proto.producer_version].into_iter().flatten();
    let metadata = proto.metadata_props.into_iter();
    Ok(Model {
        graph,
        producer: producer.filter(|part| !part.is_empty()).collect::<Vec<_>>().join(" "),
        opsets,
        metadata: metadata.map(|e| (e.key.unwrap_or_default(), e.value.unwrap_or_default())).collect(),
    })
}

/// The messages of a file.
pub(crate) fn parse(bytes: &Bytes) -> Result<ModelProto> {
    if bytes.is_empty() {
        return Err(Error::invalid_input("the ONNX file is empty"));
    }
    size::check(bytes)?;
    ModelProto::decode(bytes.clone()).map_err(|cause| {
        Error::invalid_input("this is not an ONNX file, or it is cut short or damaged").with_source(cause)
    })
}

fn opsets(imports: &[super::proto::OperatorSetIdProto]) -> Result<Vec<(Domain, i64)>> {
    let mut opsets = Vec::new();
    for import in imports {
        let domain = Domain::parse(import.domain.as_deref().unwrap_or_default());
        let version = import.version.unwrap_or(1);
        if version < 1 {
            return Err(Error::invalid_input(format!("the operator set {domain} {version} does not exist")));
        }
        opsets.push((domain, version));
    }
    if opsets.is_empty() {
        return Err(Error::invalid_input("the ONNX file does not say which operator sets it uses"));
    }
    Ok(opsets)
}

/// The tensor of a message that stands alone.
pub(crate) fn tensor(proto: super::proto::TensorProto) -> Result<super::tensor::HostTensor> {
    tensor::tensor(proto, &ExternalData::default())
}

/// The tensor of a sparse message that stands alone, with all its elements.
pub(crate) fn dense(proto: super::proto::SparseTensorProto) -> Result<super::tensor::HostTensor> {
    let mut left = SPARSE_LIMIT;
    Ok(tensor::dense(proto, &ExternalData::default(), &mut left)?.1)
}
