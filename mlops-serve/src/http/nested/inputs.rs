//! All inputs of a request.

use std::fmt;

use mlops_core::{DType, Scalar, Signature, TensorSpec, Tensors};
use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};

use super::Column;
use super::column::{BASE64_KEY, Value, visit_scalars};

/// Reads inputs row by row: a list with an object of all inputs per row, or with nothing but the value of the only input.
pub(in crate::http) struct Instances<'s>(pub(in crate::http) &'s Signature);

/// Reads inputs as whole tensors: an object of all inputs, or nothing but the only input.
pub(in crate::http) struct Columns<'s>(pub(in crate::http) &'s Signature);

impl<'de> DeserializeSeed<'de> for Instances<'_> {
    type Value = Tensors;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Tensors, D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for Instances<'_> {
    type Value = Tensors;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of instances")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut instances: A) -> Result<Tensors, A::Error> {
        let mut inputs = Inputs::new(self.0);
        if let Some(spec) = self.0.inputs().iter().find(|spec| spec.batch_axis().is_some_and(|axis| axis > 0))
        {
            let name = spec.name();
            return Err(A::Error::custom(format!(
                "input `{name}` of {spec} does not come in rows; send whole tensors as `inputs`"
            )));
        }
        let mut rows = 0;
        while instances.next_element_seed(OneOfEach { inputs: &mut inputs, depth: 1, row: rows })?.is_some() {
            rows += 1;
        }
        inputs.finish(Some(rows))
    }
}

impl<'de> DeserializeSeed<'de> for Columns<'_> {
    type Value = Tensors;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Tensors, D::Error> {
        let mut inputs = Inputs::new(self.0);
        OneOfEach { inputs: &mut inputs, depth: 0, row: 0 }.deserialize(deserializer)?;
        inputs.finish(None)
    }
}

/// The inputs of a signature, as far as they have come.
struct Inputs<'s> {
    columns: Vec<Column<'s>>,
    /// The one that is meant by a value without a name.
    only: Option<usize>,
}

impl<'s> Inputs<'s> {
    fn new(signature: &'s Signature) -> Self {
        let specs = signature.inputs();
        let mut required = (0..specs.len()).filter(|index| specs.len() == 1 || !specs[*index].is_optional());
        let only = required.next().filter(|_| required.next().is_none());
        Self { columns: specs.iter().map(Column::new).collect(), only }
    }

    /// Whether `{"b64": ...}` is a value of the only input, and no object of inputs.
    fn takes_base64(&self) -> bool {
        self.only.is_some_and(|only| self.columns[only].spec().dtype() == DType::Bytes)
    }

    fn names(&self) -> String {
        self.columns.iter().map(|column| column.spec().name()).collect::<Vec<_>>().join("`, `")
    }

    /// The tensors. `rows` is how many instances came, if the inputs came so.
    fn finish<E: Error>(self, rows: Option<usize>) -> Result<Tensors, E> {
        let mut inputs = Tensors::new();
        for mut column in self.columns {
            let spec: &TensorSpec = column.spec();
            match rows {
                // What is missing is for the signature to say.
                None | Some(1..) if column.taken() == 0 => continue,
                Some(0) if spec.is_optional() => continue,
                Some(rows) if column.taken() < rows => {
                    return Err(missing(spec, column.taken()));
                }
                Some(rows) => column.close_array(0, rows).map_err(E::custom)?,
                None => {}
            }
            inputs.insert(spec.name(), column.finish().map_err(E::custom)?);
        }
        Ok(inputs)
    }
}

fn missing<E: Error>(spec: &TensorSpec, row: usize) -> E {
    E::custom(format!("input `{}` is missing in instance {row}, but others have it", spec.name()))
}

/// One value of each input, or of the only one, with `depth` arrays around it.
struct OneOfEach<'a, 's> {
    inputs: &'a mut Inputs<'s>,
    depth: usize,
    row: usize,
}

impl<'a, 's> OneOfEach<'a, 's> {
    fn only<E: Error>(self) -> Result<Value<'a, 's>, E> {
        let Some(only) = self.inputs.only else {
            let names = self.inputs.names();
            return Err(E::custom(format!("the model has several inputs; name them: `{names}`")));
        };
        self.column(only)
    }

    fn column<E: Error>(self, index: usize) -> Result<Value<'a, 's>, E> {
        let column = &mut self.inputs.columns[index];
        match column.taken() {
            taken if taken > self.row => {
                Err(E::custom(format!("input `{}` comes twice", column.spec().name())))
            }
            taken if taken < self.row => Err(missing(column.spec(), taken)),
            _ => Ok(column.next_value(self.depth)),
        }
    }

    fn scalar<E: Error>(self, value: Scalar<'_>) -> Result<(), E> {
        self.only()?.scalar(value)
    }
}

impl<'de> DeserializeSeed<'de> for OneOfEach<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for OneOfEach<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "an object of the inputs `{}`, or the value of the only one", self.inputs.names())
    }

    visit_scalars!();

    fn visit_seq<A: SeqAccess<'de>>(self, values: A) -> Result<(), A::Error> {
        self.only()?.visit_seq(values)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<(), A::Error> {
        let Self { inputs, depth, row } = self;
        while let Some(key) = object.next_key_seed(InputName(inputs))? {
            match key {
                Key::Input(index) => {
                    let one = OneOfEach { inputs: &mut *inputs, depth, row };
                    object.next_value_seed(one.column(index)?)?;
                }
                Key::Base64 => return OneOfEach { inputs, depth, row }.only()?.base64(object),
            }
        }
        Ok(())
    }
}

/// Which input a key names.
struct InputName<'a, 's>(&'a Inputs<'s>);

enum Key {
    Input(usize),
    Base64,
}

impl<'de> DeserializeSeed<'de> for InputName<'_, '_> {
    type Value = Key;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Key, D::Error> {
        deserializer.deserialize_identifier(self)
    }
}

impl Visitor<'_> for InputName<'_, '_> {
    type Value = Key;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the name of an input")
    }

    fn visit_str<E: Error>(self, name: &str) -> Result<Key, E> {
        match self.0.columns.iter().position(|column| column.spec().name() == name) {
            Some(index) => Ok(Key::Input(index)),
            None if name == BASE64_KEY && self.0.takes_base64() => Ok(Key::Base64),
            None => {
                let (name, known) = (name.escape_debug(), self.0.names());
                Err(E::custom(format!("there is no input `{name}`; there are `{known}`")))
            }
        }
    }
}
