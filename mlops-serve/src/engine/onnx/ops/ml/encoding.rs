//! Categories and numbers for them: `LabelEncoder`, `CategoryMapper` and `OneHotEncoder`.

use std::collections::HashMap;
use std::hash::Hash;

use mlops_core::{DType, Error, Result};

use crate::engine::onnx::graph::{Attribute, Attributes};
use crate::engine::onnx::ops::{Context, Operator, Outputs, Source, one};
use crate::engine::onnx::tensor::{Data, HostTensor, Scalar, Shape, element_count, for_any};
use crate::engine::onnx::value::Inputs;

/// Which place a key has in a list.
#[derive(Debug)]
enum Places {
    Texts(HashMap<String, usize>),
    /// Integers of any width.
    Ints(HashMap<i64, usize>),
    /// The bits of numbers: floats that are equal have equal bits, after [`bits`].
    Floats {
        places: HashMap<u64, usize>,
        nan: bool,
    },
}

/// What makes equal numbers equal: -0 is 0, and all that is not a number is one.
fn bits(number: f64) -> u64 {
    if number.is_nan() { f64::NAN.to_bits() } else { (number + 0.0).to_bits() }
}

/// The first place of each key.
fn first_places<K: Hash + Eq>(keys: impl Iterator<Item = K>) -> HashMap<K, usize> {
    let mut places = HashMap::new();
    for (place, key) in keys.enumerate() {
        places.entry(key).or_insert(place);
    }
    places
}

impl Places {
    /// The places of keys. `nan`: whether a key that is not a number can be found.
    fn new(keys: &Data, nan: bool) -> Result<Self> {
        Ok(match keys {
            Data::Text(keys) => Self::Texts(first_places(keys.iter().cloned())),
            Data::I64(keys) => Self::Ints(first_places(keys.iter().copied())),
            Data::I32(keys) => Self::Ints(first_places(keys.iter().map(|&key| key.into()))),
            Data::I16(keys) => Self::Ints(first_places(keys.iter().map(|&key| key.into()))),
            Data::F32(keys) => {
                Self::Floats { places: first_places(keys.iter().map(|&key| bits(key.into()))), nan }
            }
            Data::F64(keys) => Self::Floats { places: first_places(keys.iter().map(|&key| bits(key))), nan },
            other => {
                let dtype = other.dtype();
                return Err(Error::unsupported(format!("keys of type {dtype} are not supported")));
            }
        })
    }

    /// The place of each element of the input; `None` where it is no key.
    fn find(&self, input: &HostTensor) -> Result<Vec<Option<usize>>> {
        let int = |places: &HashMap<i64, usize>, key: i64| places.get(&key).copied();
        let float = |places: &HashMap<u64, usize>, key: f64, nan: bool| {
            places.get(&bits(key)).copied().filter(|_| nan || !key.is_nan())
        };
        Ok(match (self, input.data()) {
            (Self::Texts(places), Data::Text(keys)) => {
                keys.iter().map(|key| places.get(key).copied()).collect()
            }
            (Self::Ints(places), Data::I64(keys)) => keys.iter().map(|&key| int(places, key)).collect(),
            (Self::Ints(places), Data::I32(keys)) => {
                keys.iter().map(|&key| int(places, key.into())).collect()
            }
            (Self::Ints(places), Data::I16(keys)) => {
                keys.iter().map(|&key| int(places, key.into())).collect()
            }
            (Self::Floats { places, nan }, Data::F32(keys)) => {
                keys.iter().map(|&key| float(places, key.into(), *nan)).collect()
            }
            (Self::Floats { places, nan }, Data::F64(keys)) => {
                keys.iter().map(|&key| float(places, key, *nan)).collect()
            }
            (_, other) => {
                let (dtype, kind) = (other.dtype(), self.kind());
                return Err(Error::engine(format!("the keys are {kind}, but the input is {dtype}")));
            }
        })
    }

    fn kind(&self) -> &'static str {
        match self {
            Self::Texts(_) => "strings",
            Self::Ints(_) => "integers",
            Self::Floats { .. } => "floats",
        }
    }
}

/// Gives each key its value, and all else a default.
#[derive(Debug)]
struct Mapping {
    keys: Places,
    values: HostTensor,
    /// One element of the type of the values.
    default: HostTensor,
}

impl Mapping {
    fn new(keys: &HostTensor, values: HostTensor, default: HostTensor, nan: bool) -> Result<Self> {
        if keys.len() != values.len() {
            let (keys, values) = (keys.len(), values.len());
            return Err(Error::invalid_input(format!("{keys} keys have {values} values")));
        }
        if default.len() != 1 || default.dtype() != values.dtype() {
            let dtype = values.dtype();
            return Err(Error::invalid_input(format!("the default must be one element of {dtype}")));
        }
        Ok(Self { keys: Places::new(keys.data(), nan)?, values, default })
    }

    fn apply(&self, input: &HostTensor) -> Result<HostTensor> {
        fn pick<T: Scalar>(places: &[Option<usize>], values: &[T], default: &HostTensor) -> Result<Data> {
            let [default] = default.elements::<T>()? else {
                return Err(Error::internal("a default of several elements"));
            };
            let value = |place: &Option<usize>| match place {
                Some(place) => values[*place].clone(),
                None => default.clone(),
            };
            Ok(T::wrap(places.iter().map(value).collect::<Vec<T>>().into()))
        }
        let places = self.keys.find(input)?;
        let data = for_any!(self.values.data(), |values| pick(&places, values, &self.default))?;
        HostTensor::from_data(Shape::from_slice(input.shape()), data)
    }
}

/// Both directions at once: which one is taken depends on the type of the input.
#[derive(Debug)]
struct TwoWays {
    to_ints: Mapping,
    to_texts: Mapping,
}

impl TwoWays {
    fn build(texts: &[String], ints: Vec<i64>, attributes: &Attributes) -> Result<Box<dyn Operator>> {
        let default_text = attributes.text("default_string")?.map_or("_Unused", String::as_str);
        let default_int = attributes.int("default_int64", -1)?;
        let (texts, ints) = (HostTensor::vector(texts.to_vec()), HostTensor::vector(ints));
        let to_ints = Mapping::new(&texts, ints.clone(), HostTensor::scalar(default_int), false)?;
        let to_texts = Mapping::new(&ints, texts, HostTensor::scalar(default_text.to_owned()), false)?;
        Ok(Box::new(Self { to_ints, to_texts }))
    }
}

impl Operator for TwoWays {
    fn run(&self, inputs: &mut Inputs<'_>, _: &mut Context<'_>) -> Result<Outputs> {
        let input = inputs.tensor(0)?;
        one(match input.dtype() {
            DType::Bytes => self.to_ints.apply(input)?,
            _ => self.to_texts.apply(input)?,
        })
    }
}

impl Operator for Mapping {
    fn run(&self, inputs: &mut Inputs<'_>, _: &mut Context<'_>) -> Result<Outputs> {
        one(self.apply(inputs.tensor(0)?)?)
    }
}

pub(super) fn category_mapper(source: &Source<'_>) -> Result<Box<dyn Operator>> {
    let attributes = &source.node.attributes;
    let texts = attributes.texts("cats_strings")?.map_or(&[][..], Vec::as_slice);
    TwoWays::build(texts, attributes.ints("cats_int64s")?.cloned().unwrap_or_default(), attributes)
}

pub(super) fn label_encoder(source: &Source<'_>) -> Result<Box<dyn Operator>> {
    let attributes = &source.node.attributes;
    if source.node.opset < 2 {
        let texts = attributes.texts("classes_strings")?.map_or(&[][..], Vec::as_slice);
        return TwoWays::build(texts, (0..texts.len() as i64).collect(), attributes);
    }
    let keys = list(attributes, "keys")?;
    let values = list(attributes, "values")?;
    let default = match attributes.tensor("default_tensor")? {
        Some(tensor) => tensor.clone(),
        None => match values.dtype() {
            DType::Bytes => {
                HostTensor::scalar(attributes.text("default_string")?.map_or("_Unused".into(), String::clone))
            }
            DType::Int64 => HostTensor::scalar(attributes.int("default_int64", -1)?),
            DType::Fp32 => HostTensor::scalar(attributes.float("default_float", -0.0)?),
            DType::Fp64 => HostTensor::scalar(-0.0_f64),
            DType::Int32 => HostTensor::scalar(-1_i32),
            DType::Int16 => HostTensor::scalar(-1_i16),
            other => return Err(Error::unsupported(format!("values of type {other} are not supported"))),
        },
    };
    Ok(Box::new(Mapping::new(&keys, values, default, source.node.opset >= 4)?))
}

/// The list `prefix_strings`, `prefix_int64s`, `prefix_floats` or `prefix_tensor`, whichever is given.
fn list(attributes: &Attributes, prefix: &str) -> Result<HostTensor> {
    let mut given = ["strings", "int64s", "floats", "tensor"].iter().filter_map(|kind| {
        match attributes.get(&format!("{prefix}_{kind}"))? {
            Attribute::Texts(list) => Some(HostTensor::vector(list.clone())),
            Attribute::Ints(list) => Some(HostTensor::vector(list.clone())),
            Attribute::Floats(list) => Some(HostTensor::vector(list.clone())),
            Attribute::Tensor(tensor) => Some(tensor.clone()),
            _ => None,
        }
    });
    match (given.next(), given.next()) {
        (Some(list), None) => Ok(list),
        (None, _) => Err(Error::invalid_input(format!("the attribute {prefix}_* is needed"))),
        (Some(_), Some(_)) => Err(Error::invalid_input(format!("the attribute {prefix}_* is given twice"))),
    }
}

/// 1 at the place of the category, else 0, in a new last dimension.
#[derive(Debug)]
struct OneHotEncoder {
    categories: Places,
    count: usize,
    /// Whether a category that is not known gives zeros; else it is an error.
    zeros: bool,
}

pub(super) fn one_hot_encoder(source: &Source<'_>) -> Result<Box<dyn Operator>> {
    let attributes = &source.node.attributes;
    let ints = attributes.ints("cats_int64s")?.filter(|categories| !categories.is_empty());
    let texts = attributes.texts("cats_strings")?.filter(|categories| !categories.is_empty());
    let categories = match (ints, texts) {
        (Some(ints), None) => HostTensor::vector(ints.clone()),
        (None, Some(texts)) => HostTensor::vector(texts.clone()),
        _ => return Err(Error::invalid_input("either cats_int64s or cats_strings is needed")),
    };
    Ok(Box::new(OneHotEncoder {
        categories: Places::new(categories.data(), false)?,
        count: categories.len(),
        zeros: attributes.flag("zeros", true)?,
    }))
}

impl Operator for OneHotEncoder {
    fn run(&self, inputs: &mut Inputs<'_>, context: &mut Context<'_>) -> Result<Outputs> {
        let input = inputs.tensor(0)?;
        let places = match (&self.categories, input.data()) {
            (Places::Ints(_), Data::F32(elements)) => {
                self.categories.find(&HostTensor::vector(elements.iter().map(|&x| x as i64).collect()))?
            }
            (Places::Ints(_), Data::F64(elements)) => {
                self.categories.find(&HostTensor::vector(elements.iter().map(|&x| x as i64).collect()))?
            }
            _ => self.categories.find(input)?,
        };
        let mut shape = Shape::from_slice(input.shape());
        shape.push(self.count);
        let mut output = context.memory.floats(element_count(&shape)?);
        output.fill(0.0);
        for (row, place) in output.chunks_exact_mut(self.count).zip(places) {
            match place {
                Some(place) => row[place] = 1.0,
                None if self.zeros => {}
                None => return Err(Error::engine("there is a category that the model does not know")),
            }
        }
        one(HostTensor::new(shape, output)?)
    }
}
