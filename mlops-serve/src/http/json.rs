//! Bodies that are JSON objects.

use std::marker::PhantomData;

use mlops_core::{Error, Result};
use serde::de::{DeserializeOwned, DeserializeSeed};
use serde_json::value::RawValue;

/// The object in `json`, which is called `what` in errors. Only an object: serde would take an array, too, as the fields
/// of a struct in their order.
pub(super) fn object<T: DeserializeOwned>(json: &[u8], what: &str) -> Result<T> {
    match json.trim_ascii_start().first() {
        Some(b'{') | None => read(json, PhantomData, what),
        Some(_) => Err(Error::invalid_input(format!("the body is no {what}: expected an object"))),
    }
}

/// What `seed` makes of `json`, all of it.
pub(super) fn read<'de, S: DeserializeSeed<'de>>(json: &'de [u8], seed: S, what: &str) -> Result<S::Value> {
    // All at once, rather than text by text.
    let json = std::str::from_utf8(json).map_err(|cause| refused(what, &cause))?;
    let mut reader = serde_json::Deserializer::from_str(json);
    let value = seed.deserialize(&mut reader).and_then(|value| reader.end().map(|()| value));
    value.map_err(|cause| refused(what, &cause))
}

/// Reads a part of the body that was kept for later. Errors do not say where in the part: it would mislead.
pub(super) fn read_part<'de, S: DeserializeSeed<'de>>(
    part: &'de RawValue,
    seed: S,
) -> Result<S::Value, String> {
    seed.deserialize(&mut serde_json::Deserializer::from_str(part.get())).map_err(|cause| {
        let place = format!(" at line {} column {}", cause.line(), cause.column());
        let text = cause.to_string();
        text.strip_suffix(&place).unwrap_or(&text).to_owned()
    })
}

fn refused(what: &str, cause: &dyn std::error::Error) -> Error {
    Error::invalid_input(format!("the body is no {what}: {cause}"))
}
