//! Documents under the digest of their text.

use mlops_core::{Digest, Error, Result};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::Transition;
use crate::limits;

/// The format this library writes, and the only one it reads.
const FORMAT: u32 = 1;

/// A transition together with the digest of its text.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Document {
    pub(crate) transition: Transition,
    pub(crate) digest: Digest,
}

/// What is in a file. The digest is that of the text of the content, to the byte.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Sealed<'a> {
    format: u32,
    pub(crate) digest: Digest,
    #[serde(borrow)]
    content: &'a RawValue,
}

impl<'a> Sealed<'a> {
    pub(crate) fn new(content: &'a RawValue) -> Self {
        Self { format: FORMAT, digest: Digest::of(content.get().as_bytes()), content }
    }

    /// Opens `bytes`, which should be a `kind`; `file` names them in errors.
    pub(crate) fn open(file: &str, kind: &str, bytes: &'a [u8]) -> Result<Self> {
        #[derive(Deserialize)]
        struct AnyFormat {
            format: u32,
        }
        let unreadable =
            |cause| Error::integrity(format!("{file} is no {kind} of a registry")).with_source(cause);
        let AnyFormat { format } = serde_json::from_slice(bytes).map_err(unreadable)?;
        check_format(file, format)?;
        let sealed: Self = serde_json::from_slice(bytes).map_err(unreadable)?;
        sealed.digest.verify(&format!("the {kind} in {file}"), sealed.content.get().as_bytes())?;
        Ok(sealed)
    }

    pub(crate) fn content<T: Deserialize<'a>>(&self, file: &str, kind: &str) -> Result<T> {
        serde_json::from_str(self.content.get()).map_err(|cause| {
            Error::integrity(format!("{file} is no {kind} of a registry")).with_source(cause)
        })
    }
}

/// Whether this library reads that format.
pub(crate) fn check_format(file: &str, format: u32) -> Result<()> {
    if format == FORMAT {
        return Ok(());
    }
    Err(Error::unsupported(format!(
        "{file} has format {format}, but this version of mlops-registry reads format {FORMAT} only"
    )))
}

const KIND: &str = "transition";

impl Document {
    /// The document of a transition, and its bytes.
    pub(crate) fn encode(transition: Transition) -> Result<(Self, Vec<u8>)> {
        let unwritable = |cause| Error::internal("a transition cannot be written as JSON").with_source(cause);
        let text = serde_json::value::to_raw_value(&transition).map_err(unwritable)?;
        let sealed = Sealed::new(&text);
        let bytes = serde_json::to_vec(&sealed).map_err(unwritable)?;
        if bytes.len() > limits::MAX_TRANSITION_BYTES {
            return Err(Error::invalid_input(format!(
                "this needs {} bytes in the log, the content of artifacts not counted; at most {} are allowed",
                bytes.len(),
                limits::MAX_TRANSITION_BYTES
            )));
        }
        Ok((Self { transition, digest: sealed.digest }, bytes))
    }

    /// Reads the document `bytes` of transition `sequence`; `file` names it in errors.
    pub(crate) fn decode(file: &str, sequence: u64, bytes: &[u8]) -> Result<Self> {
        let sealed = Sealed::open(file, KIND, bytes)?;
        let transition: Transition = sealed.content(file, KIND)?;
        if transition.sequence != sequence {
            return Err(Error::integrity(format!("{file} holds transition {}", transition.sequence)));
        }
        Ok(Self { transition, digest: sealed.digest })
    }
}
