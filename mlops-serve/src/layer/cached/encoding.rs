//! Answers as bytes, for stores outside of the process.
//!
//! `MLA1`, then: the model (name, version), the variant, the reason; the number of outputs; for each its
//! name, type, shape and bytes. Numbers are little-endian; a text is its length (u32) and its UTF-8 bytes;
//! what may be missing is preceded by 0 or 1; types are numbered as in [`DType::ALL`].

use std::sync::Arc;

use mlops_core::reexports::bytes::{BufMut, Bytes, BytesMut};
use mlops_core::reexports::semver::Version;
use mlops_core::{DType, Error, ModelId, ModelName, Reason, Result, Tensor, Tensors, Variant};

use super::answer::Answer;

const MAGIC: &[u8; 4] = b"MLA1";

pub(super) fn encode(answer: &Answer) -> Bytes {
    let mut bytes = BytesMut::with_capacity(answer.weight() as usize);
    bytes.put_slice(MAGIC);
    bytes.put_u8(u8::from(answer.model.is_some()));
    if let Some(model) = &answer.model {
        put_text(&mut bytes, model.name.as_str());
        put_text(&mut bytes, &model.version.to_string());
    }
    bytes.put_u8(u8::from(answer.variant.is_some()));
    if let Some(variant) = &answer.variant {
        put_text(&mut bytes, variant.as_str());
    }
    put_reason(&mut bytes, answer.reason.as_ref());
    bytes.put_u64_le(answer.outputs.len() as u64);
    for (name, tensor) in answer.outputs.iter() {
        put_text(&mut bytes, name);
        bytes.put_u8(tensor.dtype() as u8);
        bytes.put_u64_le(tensor.shape().len() as u64);
        for length in tensor.shape() {
            bytes.put_u64_le(*length as u64);
        }
        bytes.put_u64_le(tensor.as_bytes().len() as u64);
        bytes.put_slice(tensor.as_bytes());
    }
    bytes.freeze()
}

/// # Errors
/// [`Error::Integrity`] that says what is wrong with the bytes. Nothing is allocated that is larger than
/// they are.
pub(super) fn decode(bytes: Bytes) -> Result<Answer> {
    let mut bytes = Reader(bytes);
    if *bytes.take(MAGIC.len() as u64)? != *MAGIC {
        return Err(Error::integrity("the bytes are no answer, or one of another version of the format"));
    }
    let broken = |error: Error| Error::integrity("a part of an answer").with_source(error);
    let model = bytes.optional(|bytes| {
        let name = ModelName::new(bytes.text()?).map_err(broken)?;
        let version = Version::parse(&bytes.text()?)
            .map_err(|error| Error::integrity("the version of an answer's model").with_source(error))?;
        Ok(Arc::new(ModelId::new(name, version)))
    })?;
    let variant = bytes.optional(|bytes| Variant::new(bytes.text()?).map_err(broken))?;
    let reason = bytes.reason()?;
    let mut outputs = Tensors::new();
    for _ in 0..bytes.u64()? {
        let name = bytes.text()?;
        let tensor = bytes.tensor()?;
        if outputs.insert(name.as_str(), tensor).is_some() {
            return Err(Error::integrity(format!("output `{name}` comes twice in an answer")));
        }
    }
    if !bytes.0.is_empty() {
        return Err(Error::integrity(format!("{} bytes follow an answer", bytes.0.len())));
    }
    Ok(Answer { outputs, model, variant, reason })
}

fn put_text(bytes: &mut BytesMut, text: &str) {
    // Longer texts are cut off where they would be 4 GiB; no name of a tensor is.
    let length = u32::try_from(text.len()).unwrap_or(u32::MAX);
    bytes.put_u32_le(length);
    bytes.put_slice(&text.as_bytes()[..length as usize]);
}

fn put_reason(bytes: &mut BytesMut, reason: Option<&Reason>) {
    match reason {
        None => bytes.put_u8(0),
        Some(Reason::Default) => bytes.put_u8(1),
        Some(Reason::Weighted) => bytes.put_u8(2),
        Some(Reason::Sticky) => bytes.put_u8(3),
        Some(Reason::Targeted(rule)) => {
            bytes.put_u8(4);
            put_text(bytes, rule);
        }
        Some(other) => {
            bytes.put_u8(5);
            put_text(bytes, &other.to_string());
        }
    }
}

/// What is left to read.
struct Reader(Bytes);

impl Reader {
    fn take(&mut self, length: u64) -> Result<Bytes> {
        let left = self.0.len();
        match usize::try_from(length) {
            Ok(length) if length <= left => Ok(self.0.split_to(length)),
            _ => Err(Error::integrity(format!("an answer needs {length} more bytes, but {left} are left"))),
        }
    }

    fn number<const N: usize>(&mut self) -> Result<[u8; N]> {
        let mut number = [0; N];
        number.copy_from_slice(&self.take(N as u64)?);
        Ok(number)
    }

    fn u8(&mut self) -> Result<u8> {
        self.number().map(u8::from_le_bytes)
    }

    fn u64(&mut self) -> Result<u64> {
        self.number().map(u64::from_le_bytes)
    }

    fn text(&mut self) -> Result<String> {
        let length = self.number().map(u32::from_le_bytes)?;
        let bytes = self.take(length.into())?;
        let text = str::from_utf8(&bytes)
            .map_err(|error| Error::integrity("a text of an answer").with_source(error))?;
        Ok(text.to_owned())
    }

    fn optional<T>(&mut self, read: impl FnOnce(&mut Self) -> Result<T>) -> Result<Option<T>> {
        match self.u8()? {
            0 => Ok(None),
            1 => read(self).map(Some),
            other => Err(Error::integrity(format!("a part of an answer is there or not, but not {other}"))),
        }
    }

    fn reason(&mut self) -> Result<Option<Reason>> {
        Ok(match self.u8()? {
            0 => None,
            1 => Some(Reason::Default),
            2 => Some(Reason::Weighted),
            3 => Some(Reason::Sticky),
            4 => Some(Reason::targeted(self.text()?)),
            5 => Some(Reason::Other(self.text()?.into())),
            other => return Err(Error::integrity(format!("{other} is no reason of an answer"))),
        })
    }

    fn tensor(&mut self) -> Result<Tensor> {
        let number = self.u8()?;
        let dtype = DType::ALL
            .get(usize::from(number))
            .ok_or_else(|| Error::integrity(format!("{number} is no data type of an answer")))?;
        let mut shape = Vec::new();
        for _ in 0..self.u64()? {
            let length = usize::try_from(self.u64()?);
            shape.push(length.map_err(|error| Error::integrity("a shape").with_source(error))?);
        }
        let length = self.u64()?;
        let bytes = self.take(length)?;
        Tensor::from_bytes(*dtype, &shape, bytes)
            .map_err(|error| Error::integrity("a tensor of an answer").with_source(error))
    }
}

#[cfg(test)]
mod tests {
    use mlops_core::Element;
    use proptest::prelude::*;

    use super::*;

    fn answer() -> Answer {
        let texts = Tensor::from_byte_strings(&[2, 1], ["", "text"]).unwrap();
        Answer {
            outputs: Tensors::new()
                .with("scores", Tensor::from_vec(&[1, 3], vec![0.1_f32, f32::NAN, -0.0]).unwrap())
                .with("texts", texts)
                .with("none", Vec::<i64>::new()),
            model: Some(Arc::new(ModelId::new(ModelName::new("digits").unwrap(), Version::new(2, 0, 1)))),
            variant: Some(Variant::new("canary").unwrap()),
            reason: Some(Reason::targeted("staff")),
        }
    }

    #[test]
    fn every_type_has_the_number_of_its_place() {
        assert!(DType::ALL.iter().enumerate().all(|(place, dtype)| *dtype as usize == place));
        assert_eq!(f32::DTYPE as u8, 11, "stored answers depend on it");
    }

    #[test]
    fn answers_come_back_as_they_were() {
        let reasons = [Reason::Default, Reason::Weighted, Reason::Sticky, Reason::Other("odd".into())];
        for reason in reasons.into_iter().map(Some).chain([None]) {
            let answer = Answer { reason, ..answer() };
            assert_eq!(decode(encode(&answer)).unwrap(), answer);
        }
        let bare = Answer { outputs: Tensors::new(), model: None, variant: None, reason: None };
        assert_eq!(decode(encode(&bare)).unwrap(), bare);
    }

    #[test]
    fn what_is_cut_off_or_goes_on_is_refused() {
        let whole = encode(&answer());
        for length in 0..whole.len() {
            let error = decode(whole.slice(..length)).unwrap_err();
            assert!(matches!(error, Error::Integrity { .. }), "{error:?}");
        }
        let mut longer = whole.to_vec();
        longer.push(0);
        assert!(decode(longer.into()).unwrap_err().to_string().contains("1 bytes follow an answer"));
    }

    proptest! {
        #[test]
        fn a_changed_byte_gives_an_answer_or_an_error_but_no_panic(at in any::<prop::sample::Index>(), to: u8) {
            let mut bytes = encode(&answer()).to_vec();
            let at = at.index(bytes.len());
            bytes[at] = to;
            match decode(bytes.into()) {
                Ok(answer) => prop_assert!(answer.outputs.len() <= 3),
                Err(error) => prop_assert!(matches!(error, Error::Integrity { .. }), "{error:?}"),
            }
        }

        #[test]
        fn arbitrary_bytes_never_panic(mut bytes: Vec<u8>, magic: bool) {
            if magic {
                bytes.splice(..0, MAGIC.iter().copied());
            }
            let _ = decode(bytes.into());
        }
    }
}
