//! A model as a graph of nodes over numbered values: what is decoded, rewritten and planned.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::Arc;

use mlops_core::{DType, Error, Result};

use super::tensor::HostTensor;

/// The place of a value in [`Graph::values`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct ValueId(pub(crate) usize);

/// Nodes in an order in which each comes after those it needs.
#[derive(Debug, Clone, Default)]
pub(crate) struct Graph {
    pub(crate) values: Vec<ValueInfo>,
    pub(crate) inputs: Vec<ValueId>,
    pub(crate) outputs: Vec<ValueId>,
    pub(crate) constants: BTreeMap<ValueId, HostTensor>,
    pub(crate) nodes: Vec<Node>,
    /// Of a subgraph: which of its node's [`captured`](Node::captured) values is which value in here.
    pub(crate) captures: Vec<(usize, ValueId)>,
}

/// What the file says about a value.
#[derive(Debug, Clone)]
pub(crate) struct ValueInfo {
    pub(crate) name: Arc<str>,
    pub(crate) kind: Option<Kind>,
}

/// The type of a value.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Kind {
    Tensor { dtype: DType, shape: Option<Vec<Length>> },
    Sequence(Box<Self>),
    Map { key: DType, value: Box<Self> },
    Optional(Box<Self>),
}

/// The length of a dimension, as the file states it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Length {
    Fixed(usize),
    Symbol(Arc<str>),
    Unknown,
}

/// Whose operators: a namespace of names and versions.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Domain {
    /// `ai.onnx`, the default.
    Onnx,
    /// `ai.onnx.ml`: preprocessing and classical models.
    Ml,
    /// `com.microsoft`: onnxruntime's own operators.
    Microsoft,
    /// Operators that rewrites put in the place of several others.
    Fused,
    Other(Arc<str>),
}

impl Domain {
    pub(crate) fn parse(name: &str) -> Self {
        match name {
            "" | "ai.onnx" => Self::Onnx,
            "ai.onnx.ml" => Self::Ml,
            "com.microsoft" => Self::Microsoft,
            other => Self::Other(other.into()),
        }
    }
}

impl fmt::Display for Domain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Onnx => "ai.onnx",
            Self::Ml => "ai.onnx.ml",
            Self::Microsoft => "com.microsoft",
            Self::Fused => "fused",
            Self::Other(name) => name,
        })
    }
}

/// One operation.
#[derive(Debug, Clone)]
pub(crate) struct Node {
    pub(crate) name: Arc<str>,
    pub(crate) domain: Domain,
    pub(crate) operator: Arc<str>,
    /// The version of the domain's operators the model was written for.
    pub(crate) opset: i64,
    /// `None` where an optional input is left out.
    pub(crate) inputs: Vec<Option<ValueId>>,
    /// `None` where an output is not asked for.
    pub(crate) outputs: Vec<Option<ValueId>>,
    pub(crate) attributes: Attributes,
    /// Values of this graph that the node's subgraphs use.
    pub(crate) captured: Vec<ValueId>,
}

impl Node {
    /// Whether this is that operator of the default domain.
    pub(crate) fn is(&self, operator: &str) -> bool {
        self.domain == Domain::Onnx && &*self.operator == operator
    }

    /// The input at that place, when there is one.
    pub(crate) fn input(&self, index: usize) -> Option<ValueId> {
        self.inputs.get(index).copied().flatten()
    }

    /// The output at that place, when it is asked for.
    pub(crate) fn output(&self, index: usize) -> Option<ValueId> {
        self.outputs.get(index).copied().flatten()
    }

    /// Whether the node itself may give something else each time.
    pub(crate) fn is_random(&self) -> bool {
        const RANDOM: [&str; 6] = [
            "Bernoulli",
            "Multinomial",
            "RandomNormal",
            "RandomNormalLike",
            "RandomUniform",
            "RandomUniformLike",
        ];
        // A dropout draws only in training mode, which its third input may switch on.
        self.domain == Domain::Onnx && RANDOM.contains(&&*self.operator)
            || self.is("Dropout") && self.input(2).is_some()
    }

    /// Everything it reads: its inputs and what its subgraphs capture.
    pub(crate) fn reads(&self) -> impl Iterator<Item = ValueId> + '_ {
        self.inputs.iter().flatten().chain(&self.captured).copied()
    }

    /// How messages name it: `Conv "layer1/conv"`.
    pub(crate) fn label(&self) -> String {
        format!("{} \"{}\"", self.operator, self.name)
    }
}

/// The parameters of a node, by name.
#[derive(Debug, Clone, Default)]
pub(crate) struct Attributes(BTreeMap<Arc<str>, Attribute>);

/// The value of a parameter.
#[derive(Debug, Clone)]
pub(crate) enum Attribute {
    Float(f32),
    Int(i64),
    Text(String),
    Tensor(HostTensor),
    Graph(Box<Graph>),
    Floats(Vec<f32>),
    Ints(Vec<i64>),
    Texts(Vec<String>),
    /// Several tensors; no operator takes them.
    Tensors,
    Graphs(Vec<Graph>),
    /// A type; no operator needs it.
    Type,
}

macro_rules! typed_attribute {
    ($($name:ident $variant:ident -> $type:ty, $what:literal;)*) => {
        $(
            #[doc = concat!("The parameter of that name, which must be ", $what, "; `None` when it is not given.")]
            pub(crate) fn $name(&self, name: &str) -> Result<Option<&$type>> {
                match self.0.get(name) {
                    None => Ok(None),
                    Some(Attribute::$variant(value)) => Ok(Some(value)),
                    Some(_) => Err(Error::invalid_input(format!(concat!("the attribute `{}` must be ", $what), name))),
                }
            }
        )*
    };
}

impl Attributes {
    pub(crate) fn insert(&mut self, name: impl Into<Arc<str>>, attribute: Attribute) {
        self.0.insert(name.into(), attribute);
    }

    pub(crate) fn get(&self, name: &str) -> Option<&Attribute> {
        self.0.get(name)
    }

    pub(crate) fn contains(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &Attribute)> {
        self.0.iter().map(|(name, attribute)| (&**name, attribute))
    }

    pub(crate) fn values_mut(&mut self) -> impl Iterator<Item = &mut Attribute> {
        self.0.values_mut()
    }

    typed_attribute! {
        tensor Tensor -> HostTensor, "a tensor";
        graph Graph -> Graph, "a graph";
        floats Floats -> Vec<f32>, "a list of floats";
        ints Ints -> Vec<i64>, "a list of integers";
        texts Texts -> Vec<String>, "a list of strings";
        text Text -> String, "a string";
    }

    /// The integer of that name, or what the specification takes in its absence.
    pub(crate) fn int(&self, name: &str, default: i64) -> Result<i64> {
        Ok(self.optional_int(name)?.unwrap_or(default))
    }

    /// The integer of that name.
    pub(crate) fn optional_int(&self, name: &str) -> Result<Option<i64>> {
        match self.0.get(name) {
            None => Ok(None),
            Some(Attribute::Int(value)) => Ok(Some(*value)),
            Some(_) => Err(Error::invalid_input(format!("the attribute `{name}` must be an integer"))),
        }
    }

    /// Whether the integer of that name is other than 0; `default` in its absence.
    pub(crate) fn flag(&self, name: &str, default: bool) -> Result<bool> {
        Ok(self.int(name, default.into())? != 0)
    }

    /// The float of that name, or what the specification takes in its absence.
    pub(crate) fn float(&self, name: &str, default: f32) -> Result<f32> {
        Ok(self.optional_float(name)?.unwrap_or(default))
    }

    /// The float of that name.
    pub(crate) fn optional_float(&self, name: &str) -> Result<Option<f32>> {
        match self.0.get(name) {
            None => Ok(None),
            Some(Attribute::Float(value)) => Ok(Some(*value)),
            Some(_) => Err(Error::invalid_input(format!("the attribute `{name}` must be a float"))),
        }
    }
}

impl Graph {
    /// A new value that only this graph knows.
    pub(crate) fn add_value(&mut self, name: impl Into<Arc<str>>, kind: Option<Kind>) -> ValueId {
        self.values.push(ValueInfo { name: name.into(), kind });
        ValueId(self.values.len() - 1)
    }

    /// A new constant.
    pub(crate) fn add_constant(&mut self, name: impl Into<Arc<str>>, tensor: HostTensor) -> ValueId {
        let id = self.add_value(name, None);
        self.constants.insert(id, tensor);
        id
    }

    pub(crate) fn constant(&self, id: Option<ValueId>) -> Option<&HostTensor> {
        self.constants.get(&id?)
    }

    /// The elements of the largest constant.
    pub(crate) fn largest_constant(&self) -> usize {
        self.constants.values().map(HostTensor::len).max().unwrap_or(0)
    }

    /// The name the file gives to a value.
    pub(crate) fn value_name(&self, id: ValueId) -> &Arc<str> {
        &self.values[id.0].name
    }

    /// Which node makes each value.
    pub(crate) fn producers(&self) -> HashMap<ValueId, usize> {
        let made = self.nodes.iter().enumerate();
        made.flat_map(|(index, node)| node.outputs.iter().flatten().map(move |&output| (output, index)))
            .collect()
    }

    /// Drops nodes and constants that no output needs. Returns whether there were any nodes.
    pub(crate) fn remove_unused(&mut self) -> bool {
        let mut needed: Vec<bool> = vec![false; self.values.len()];
        for output in &self.outputs {
            needed[output.0] = true;
        }
        let before = self.nodes.len();
        let mut kept = Vec::with_capacity(before);
        for mut node in std::mem::take(&mut self.nodes).into_iter().rev() {
            if !node.outputs.iter().flatten().any(|output| needed[output.0]) {
                continue;
            }
            for value in node.reads() {
                needed[value.0] = true;
            }
            for output in &mut node.outputs {
                *output = output.filter(|output| needed[output.0]);
            }
            kept.push(node);
        }
        kept.reverse();
        self.nodes = kept;
        self.constants.retain(|id, _| needed[id.0]);
        self.nodes.len() < before
    }
}
