//! Named tensors, in order.

use std::fmt;
use std::sync::Arc;

use serde::de::{Error as _, SeqAccess, Visitor};
use serde::ser::{SerializeMap, SerializeSeq};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::tensor::{TensorFields, TensorJson};
use crate::{Error, Result, Tensor};

/// A small ordered map from name to tensor: the inputs or the outputs of a model.
///
/// ```
/// use mlops_core::{Tensor, Tensors};
///
/// let inputs = Tensors::from([("user", Tensor::from(vec![7_i64])), ("age", Tensor::from(vec![41.0_f32]))]);
/// assert_eq!(inputs.get("age").map(Tensor::len), Some(1));
/// assert_eq!(inputs.names().collect::<Vec<_>>(), ["user", "age"]);
/// ```
///
/// In serde it is the list of the Open Inference Protocol:
/// `[{"name": "age", "shape": [1], "datatype": "FP32", "data": [41.0]}]`.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Tensors {
    entries: Vec<(Arc<str>, Tensor)>,
}

impl Tensors {
    /// No tensor yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// This map and one more tensor, for building in a chain.
    #[must_use]
    pub fn with(mut self, name: impl Into<Arc<str>>, tensor: impl Into<Tensor>) -> Self {
        self.insert(name, tensor);
        self
    }

    /// Puts a tensor at the end, or in the place of the one that had the name, which is returned.
    pub fn insert(&mut self, name: impl Into<Arc<str>>, tensor: impl Into<Tensor>) -> Option<Tensor> {
        let (name, tensor) = (name.into(), tensor.into());
        match self.entries.iter_mut().find(|(known, _)| *known == name) {
            Some((_, slot)) => Some(std::mem::replace(slot, tensor)),
            None => {
                self.entries.push((name, tensor));
                None
            }
        }
    }

    /// The tensor of that name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Tensor> {
        self.entries.iter().find(|(known, _)| **known == *name).map(|(_, tensor)| tensor)
    }

    /// The tensor of that name, or an error that says which names there are.
    ///
    /// # Errors
    /// [`Error::InvalidInput`] when there is none.
    pub fn require(&self, name: &str) -> Result<&Tensor> {
        self.get(name).ok_or_else(|| {
            let known = self.names().collect::<Vec<_>>().join("`, `");
            Error::invalid_input(format!("there is no tensor `{name}`; there are `{known}`"))
        })
    }

    /// Takes the tensor of that name out.
    pub fn remove(&mut self, name: &str) -> Option<Tensor> {
        let index = self.entries.iter().position(|(known, _)| **known == *name)?;
        Some(self.entries.remove(index).1)
    }

    /// The names, in order.
    pub fn names(&self) -> impl ExactSizeIterator<Item = &str> {
        self.entries.iter().map(|(name, _)| &**name)
    }

    /// Names and tensors, in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &Tensor)> {
        self.entries.iter().map(|(name, tensor)| (&**name, tensor))
    }

    /// How many tensors there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}

impl fmt::Debug for Tensors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

impl<N: Into<Arc<str>>, T: Into<Tensor>> FromIterator<(N, T)> for Tensors {
    fn from_iter<I: IntoIterator<Item = (N, T)>>(entries: I) -> Self {
        entries.into_iter().fold(Self::new(), |tensors, (name, tensor)| tensors.with(name, tensor))
    }
}

impl<N: Into<Arc<str>>, T: Into<Tensor>, const COUNT: usize> From<[(N, T); COUNT]> for Tensors {
    fn from(entries: [(N, T); COUNT]) -> Self {
        entries.into_iter().collect()
    }
}

impl IntoIterator for Tensors {
    type Item = (Arc<str>, Tensor);
    type IntoIter = std::vec::IntoIter<(Arc<str>, Tensor)>;

    fn into_iter(self) -> Self::IntoIter {
        self.entries.into_iter()
    }
}

impl Serialize for Tensors {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        struct Named<'a>(&'a str, &'a Tensor);

        impl Serialize for Named<'_> {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                let mut map = serializer.serialize_map(Some(4))?;
                map.serialize_entry("name", self.0)?;
                TensorFields(self.1).write(&mut map)?;
                map.end()
            }
        }

        let mut list = serializer.serialize_seq(Some(self.len()))?;
        for (name, tensor) in self.iter() {
            list.serialize_element(&Named(name, tensor))?;
        }
        list.end()
    }
}

impl<'de> Deserialize<'de> for Tensors {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ListVisitor;

        impl<'de> Visitor<'de> for ListVisitor {
            type Value = Tensors;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of named tensors")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Tensors, A::Error> {
                let mut tensors = Tensors::new();
                while let Some(TensorJson { name, tensor }) = list.next_element()? {
                    let name = name.ok_or_else(|| A::Error::missing_field("name"))?;
                    let tensor = tensor.map_err(|error| A::Error::custom(error.of(name.as_str())))?;
                    if tensors.insert(name.as_str(), tensor).is_some() {
                        return Err(A::Error::custom(format!("tensor `{name}` comes twice")));
                    }
                }
                Ok(tensors)
            }
        }

        deserializer.deserialize_seq(ListVisitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_protocols_list_is_read_and_written() {
        let json = r#"[{"name":"a","shape":[2],"datatype":"INT8","data":[1,-2]},{"name":"b","shape":[1],"datatype":"BYTES","data":["x"]}]"#;
        let tensors: Tensors = serde_json::from_str(json).unwrap();
        assert_eq!(tensors.names().collect::<Vec<_>>(), ["a", "b"]);
        assert_eq!(serde_json::to_string(&tensors).unwrap(), json);
    }

    #[test]
    fn faults_name_the_tensor_even_when_its_name_comes_last() {
        let error = |json: &str| serde_json::from_str::<Tensors>(json).unwrap_err().to_string();
        let late_name = r#"[{"shape":[2],"datatype":"FP32","data":[1],"name":"late"}]"#;
        assert!(error(late_name).contains("tensor `late`: shape [2] holds 2 elements, but 1 came"));
        let twice = r#"[{"name":"a","shape":[0],"datatype":"FP32","data":[]},{"name":"a","shape":[0],"datatype":"FP32","data":[]}]"#;
        assert!(error(twice).contains("tensor `a` comes twice"));
        assert!(error(r#"[{"shape":[0],"datatype":"FP32","data":[]}]"#).contains("missing field `name`"));
    }

    #[test]
    fn an_inserted_name_replaces_in_place() {
        let mut tensors = Tensors::new().with("a", vec![1_u8]).with("b", vec![2_u8]);
        assert_eq!(tensors.insert("a", vec![3_u8]), Some(Tensor::from(vec![1_u8])));
        assert_eq!(tensors.names().collect::<Vec<_>>(), ["a", "b"]);
        assert_eq!(tensors.remove("a"), Some(Tensor::from(vec![3_u8])));
        let error = tensors.require("a").unwrap_err().to_string();
        assert_eq!(error, "invalid input: there is no tensor `a`; there are `b`");
    }
}
