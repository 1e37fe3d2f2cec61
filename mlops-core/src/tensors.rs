//! Named tensors, in order.

use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use serde::de::{DeserializeSeed, Error as _, SeqAccess, Visitor};
use serde::ser::{SerializeMap, SerializeSeq};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use smallvec::SmallVec;

use crate::tensor::{ReadTensor, TensorFields, TensorJson};
use crate::{Error, InvalidInput, Result, Tensor};

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
///
/// A clone takes no memory: it shares the map until one of the two is changed.
#[derive(Clone, Default)]
pub struct Tensors {
    /// `None` where there has never been a tensor.
    shared: Option<Arc<Entries>>,
}

/// Models have few inputs and outputs, so that most maps are one piece of memory.
type Entries = SmallVec<[(Arc<str>, Tensor); 2]>;

impl Tensors {
    /// No tensor yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The tensors in that order, if no two have the same name. Takes time in proportion to their number, however many
    /// there are, which [`insert`](Self::insert) one after another does not.
    ///
    /// # Errors
    /// [`InvalidInput`] when a name comes twice.
    pub fn distinct(entries: Vec<(Arc<str>, Tensor)>) -> Result<Self, InvalidInput> {
        /// Fewer are compared faster than hashed.
        const FEW: usize = 16;
        let twice = if entries.len() <= FEW {
            let mut names = entries.iter().map(|(name, _)| name).enumerate();
            names.find(|(index, name)| entries[..*index].iter().any(|(known, _)| known == *name))
        } else {
            let mut known = HashSet::with_capacity(entries.len());
            entries.iter().map(|(name, _)| name).enumerate().find(|(_, name)| !known.insert(*name))
        };
        match twice {
            Some((_, name)) => Err(InvalidInput::Other(format!("tensor `{name}` comes twice"))),
            None if entries.is_empty() => Ok(Self::new()),
            None => Ok(Self { shared: Some(Arc::new(SmallVec::from_vec(entries))) }),
        }
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
        let entries = Arc::make_mut(self.shared.get_or_insert_default());
        match entries.iter_mut().find(|(known, _)| *known == name) {
            Some((_, slot)) => Some(std::mem::replace(slot, tensor)),
            None => {
                entries.push((name, tensor));
                None
            }
        }
    }

    /// The tensor of that name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Tensor> {
        self.entries().iter().find(|(known, _)| **known == *name).map(|(_, tensor)| tensor)
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
        let index = self.entries().iter().position(|(known, _)| **known == *name)?;
        let entries = Arc::make_mut(self.shared.as_mut()?);
        Some(entries.remove(index).1)
    }

    /// The names, in order.
    pub fn names(&self) -> impl ExactSizeIterator<Item = &str> {
        self.entries().iter().map(|(name, _)| &**name)
    }

    /// Names and tensors, in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &Tensor)> {
        self.entries().iter().map(|(name, tensor)| (&**name, tensor))
    }

    /// How many tensors there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries().len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries().is_empty()
    }

    fn entries(&self) -> &[(Arc<str>, Tensor)] {
        self.shared.as_deref().map_or(&[], SmallVec::as_slice)
    }
}

/// The same tensors under the same names in the same order.
impl PartialEq for Tensors {
    fn eq(&self, other: &Self) -> bool {
        self.entries() == other.entries()
    }
}

impl Eq for Tensors {}

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
    type IntoIter = smallvec::IntoIter<[(Arc<str>, Tensor); 2]>;

    fn into_iter(self) -> Self::IntoIter {
        self.shared.map(Arc::unwrap_or_clone).unwrap_or_default().into_iter()
    }
}

impl Serialize for Tensors {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut list = serializer.serialize_seq(Some(self.len()))?;
        for (name, tensor) in self.iter() {
            list.serialize_element(&NamedTensor(name, tensor))?;
        }
        list.end()
    }
}

/// An element of the list that [`Tensors`] are in serde, to write without a list:
/// `{"name": "age", "shape": [1], "datatype": "FP32", "data": [41.0]}`.
#[derive(Debug, Clone, Copy)]
pub struct NamedTensor<'a>(pub &'a str, pub &'a Tensor);

impl Serialize for NamedTensor<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(4))?;
        map.serialize_entry("name", self.0)?;
        TensorFields(self.1).write(&mut map)?;
        map.end()
    }
}

impl<'de> Deserialize<'de> for Tensors {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(ReadTensors { binary: None })
    }
}

/// Reads [`Tensors`] whose elements may follow the JSON as bytes, as in the [binary tensor data
/// extension](https://github.com/triton-inference-server/server/blob/main/docs/protocol/extension_binary_data.md) of the
/// protocol: a tensor that has a parameter `binary_data_size` instead of `data` takes so many bytes from the begin of
/// these, in the order of the list.
///
/// ```
/// use mlops_core::TensorsWithBinary;
/// use mlops_core::reexports::bytes::Bytes;
/// use serde::de::DeserializeSeed;
///
/// let json = r#"[{"name": "x", "shape": [2], "datatype": "INT16", "parameters": {"binary_data_size": 4}}]"#;
/// let mut behind = Bytes::from_static(&[1, 0, 2, 0, 3]);
/// let inputs = TensorsWithBinary(&mut behind).deserialize(&mut serde_json::Deserializer::from_str(json))?;
/// assert_eq!(inputs.require("x")?.as_slice::<i16>()?, [1, 2]);
/// assert_eq!(*behind, [3]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct TensorsWithBinary<'b>(pub &'b mut Bytes);

impl<'de> DeserializeSeed<'de> for TensorsWithBinary<'_> {
    type Value = Tensors;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Tensors, D::Error> {
        deserializer.deserialize_seq(ReadTensors { binary: Some(self.0) })
    }
}

struct ReadTensors<'b> {
    binary: Option<&'b mut Bytes>,
}

impl<'de> Visitor<'de> for ReadTensors<'_> {
    type Value = Tensors;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of named tensors")
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut list: A) -> Result<Tensors, A::Error> {
        let mut entries = Vec::new();
        while let Some(TensorJson { name, tensor }) =
            list.next_element_seed(ReadTensor { binary: self.binary.as_deref_mut() })?
        {
            let name = name.ok_or_else(|| A::Error::missing_field("name"))?;
            let tensor = tensor.map_err(|error| A::Error::custom(error.of(name.as_str())))?;
            entries.push((name.into(), tensor));
        }
        Tensors::distinct(entries).map_err(A::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clones_share_until_one_of_them_changes() {
        let one = Tensors::new().with("a", vec![1_i8]).with("b", vec![2_i8]);
        let mut other = one.clone();
        assert!(std::ptr::eq(one.entries(), other.entries()));
        other.insert("a", vec![9_i8]);
        assert_eq!(other.remove("b"), Some(Tensor::from(vec![2_i8])));
        assert_eq!(one, Tensors::from([("a", vec![1_i8]), ("b", vec![2_i8])]));
        assert_eq!(other.into_iter().map(|(name, _)| name).collect::<Vec<_>>(), ["a".into()]);
        assert_eq!(one.iter().len(), 2);
    }

    #[test]
    fn a_map_that_was_emptied_equals_a_new_one() {
        let mut emptied = Tensors::new().with("a", vec![1_i8]);
        emptied.remove("a");
        assert_eq!(emptied, Tensors::new());
        assert_eq!(Tensors::distinct(Vec::new()).unwrap(), emptied);
        assert_eq!(Tensors::new().into_iter().len(), 0);
        assert!(Tensors::new().remove("a").is_none());
    }

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
    fn elements_behind_the_json_are_taken_in_order_and_no_more_than_there_are() {
        let read = |json: &str, bytes: &'static [u8]| {
            let mut behind = Bytes::from_static(bytes);
            let tensors =
                TensorsWithBinary(&mut behind).deserialize(&mut serde_json::Deserializer::from_str(json));
            tensors.map(|tensors| (tensors, behind.len())).map_err(|error| error.to_string())
        };
        let of =
            |name: &str, rest: &str| format!(r#"{{"name":"{name}","shape":[1],"datatype":"UINT8",{rest}}}"#);
        let apart = |name: &str| of(name, r#""parameters":{"binary_data_size":1,"other":[]}"#);
        let mixed = format!("[{},{},{}]", apart("b"), of("json", r#""data":[9]"#), apart("a"));
        let expected = Tensors::new().with("b", vec![1_u8]).with("json", vec![9_u8]).with("a", vec![2_u8]);
        assert_eq!(read(&mixed, &[1, 2, 3]).unwrap(), (expected, 1));
        let fault = read(&mixed, &[1]).unwrap_err();
        assert!(
            fault.contains("1 bytes of binary data are declared of tensor `a`, but 0 are left"),
            "{fault}"
        );
        let both = of("a", r#""data":[1],"parameters":{"binary_data_size":1}"#);
        let fault = read(&format!("[{both}]"), &[1]).unwrap_err();
        assert!(fault.contains("both `data` and `binary_data_size` of tensor `a`"), "{fault}");
        let short = apart("a").replace("[1]", "[2]");
        assert!(read(&format!("[{short}]"), &[1]).unwrap_err().contains("tensor `a`"));
        assert!(serde_json::from_str::<Tensors>(&format!("[{}]", apart("a"))).is_err());
    }

    #[test]
    fn a_name_that_comes_twice_is_found_among_few_and_many() {
        for count in [2, 16, 17, 1000] {
            let entry = |index: usize| (index.to_string().into(), Tensor::from(vec![0_u8]));
            assert_eq!(Tensors::distinct((0..count).map(entry).collect()).unwrap().len(), count);
            let twice = (0..count).chain([count / 2]).map(entry).collect();
            let fault = Tensors::distinct(twice).unwrap_err().to_string();
            assert_eq!(fault, format!("tensor `{}` comes twice", count / 2));
        }
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
