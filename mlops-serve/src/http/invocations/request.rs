//! The body of an invocation, in one of MLflow's forms.

use std::fmt;

use axum::http::HeaderValue;
use mlops_core::{Result, Signature, Tensors};
use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, Visitor};

use super::csv;
use super::failure::Fault;
use super::records::Records;
use super::split::Split;
use crate::http::json;
use crate::http::nested::{Columns, Instances};
use crate::server::Parameters;

/// How a body is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    Json,
    Csv,
}

/// What a caller asks.
#[derive(Default)]
pub(super) struct Invocation {
    pub(super) inputs: Tensors,
    pub(super) parameters: Parameters,
}

impl Format {
    /// That of the header `Content-Type`; JSON where there is none.
    pub(super) fn of(content_type: Option<&HeaderValue>) -> Result<Self, Fault> {
        let Some(value) = content_type else { return Ok(Self::Json) };
        let unknown = || {
            let what = format!("the content type is {value:?}; expected `application/json` or `text/csv`");
            Fault::unsupported_media_type(what)
        };
        let mut parts = value.to_str().map_err(|_| unknown())?.split(';').map(str::trim);
        let format = match parts.next().unwrap_or_default() {
            kind if kind.eq_ignore_ascii_case("application/json") => Self::Json,
            kind if kind.eq_ignore_ascii_case("text/csv") => Self::Csv,
            _ => return Err(unknown()),
        };
        for parameter in parts {
            let charset = parameter.split_once('=').filter(|(name, _)| name.eq_ignore_ascii_case("charset"));
            if charset.is_some_and(|(_, charset)| !charset.trim_matches('"').eq_ignore_ascii_case("utf-8")) {
                return Err(Fault::unsupported_media_type("only UTF-8 is read here".to_owned()));
            }
        }
        Ok(format)
    }
}

impl Invocation {
    pub(super) fn parse(format: Format, body: &[u8], signature: &Signature) -> Result<Self> {
        match format {
            Format::Csv => Ok(Self { inputs: csv::parse(body, signature)?, ..Self::default() }),
            Format::Json => json::read(body, Reader(signature), "invocation"),
        }
    }
}

struct Reader<'s>(&'s Signature);

impl<'de> DeserializeSeed<'de> for Reader<'_> {
    type Value = Invocation;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Invocation, D::Error> {
        deserializer.deserialize_map(self)
    }
}

#[derive(Deserialize)]
#[serde(field_identifier, rename_all = "snake_case")]
enum Field {
    DataframeSplit,
    DataframeRecords,
    Instances,
    Inputs,
    /// Vertex AI's word for it.
    #[serde(alias = "parameters")]
    Params,
    #[serde(other)]
    Ignored,
}

/// The names of the four forms, for errors.
const FORMS: &str = "`dataframe_split`, `dataframe_records`, `instances` or `inputs`";

impl<'de> Visitor<'de> for Reader<'_> {
    type Value = Invocation;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "an object with exactly one of {FORMS}")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<Invocation, A::Error> {
        let Self(signature) = self;
        let (mut inputs, mut parameters) = (None, None);
        while let Some(field) = object.next_key()? {
            let tensors = match field {
                Field::DataframeSplit => object.next_value_seed(Split(signature))?,
                Field::DataframeRecords => object.next_value_seed(Records(signature))?,
                Field::Instances => object.next_value_seed(Instances(signature))?,
                Field::Inputs => object.next_value_seed(Columns(signature))?,
                Field::Params => {
                    if parameters.replace(object.next_value()?).is_some() {
                        return Err(A::Error::duplicate_field("params"));
                    }
                    continue;
                }
                Field::Ignored => {
                    object.next_value::<IgnoredAny>()?;
                    continue;
                }
            };
            if inputs.replace(tensors).is_some() {
                return Err(A::Error::custom(format!("exactly one of {FORMS} may come, and only once")));
            }
        }
        let inputs = inputs.ok_or_else(|| A::Error::custom(format!("none of {FORMS} came")))?;
        Ok(Invocation { inputs, parameters: parameters.unwrap_or_default() })
    }
}
