//! From words to numbers.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use mlops_core::{DType, Error, Result, Tensor, TensorSpec};

use crate::layer::pipeline::{Preprocess, Step, fit};

/// Words (BYTES) become their numbers in a vocabulary (INT64).
///
/// A word that is not in it is [`Error::InvalidInput`], unless there is a number for such words.
///
/// ```
/// use mlops_serve::layer::pipeline::steps::Lookup;
///
/// // Before a model that takes `country_id`, callers send `country`:
/// let ids = Lookup::new("country", "country_id", ["NO", "SE", "DK"])?.with_unknown(-1);
/// # let _ = ids;
/// # Ok::<(), mlops_core::Error>(())
/// ```
#[derive(Clone)]
pub struct Lookup {
    words: String,
    numbers: String,
    vocabulary: Arc<HashMap<Box<[u8]>, i64>>,
    unknown: Option<i64>,
}

impl Lookup {
    /// Callers send the tensor `words`; the model takes `numbers`. The first word of the vocabulary has number 0.
    ///
    /// # Errors
    /// [`Error::InvalidInput`] for a word that comes twice.
    pub fn new(
        words: impl Into<String>,
        numbers: impl Into<String>,
        vocabulary: impl IntoIterator<Item = impl AsRef<[u8]>>,
    ) -> Result<Self> {
        let mut known = HashMap::new();
        for (number, word) in (0..).zip(vocabulary) {
            if let Some(first) = known.insert(word.as_ref().into(), number) {
                return Err(Error::invalid_input(format!(
                    "words {first} and {number} of the vocabulary are the same"
                )));
            }
        }
        Ok(Self { words: words.into(), numbers: numbers.into(), vocabulary: Arc::new(known), unknown: None })
    }

    /// The number of every word that is not in the vocabulary.
    #[must_use]
    pub fn with_unknown(mut self, number: i64) -> Self {
        self.unknown = Some(number);
        self
    }

    fn look_up(&self, words: &Tensor) -> Result<Tensor> {
        let number = |(index, word): (usize, &[u8])| {
            let number = self.vocabulary.get(word).copied().or(self.unknown);
            number.ok_or_else(|| Error::invalid_input(format!("word {index} is not in the vocabulary")))
        };
        let numbers: Vec<i64> = words.byte_strings()?.enumerate().map(number).collect::<Result<_>>()?;
        Ok(Tensor::from_vec(words.shape(), numbers)?)
    }
}

impl Preprocess for Lookup {
    fn before(self, needed: &[TensorSpec]) -> Result<Step> {
        let needed = fit::require(needed, &self.numbers)?;
        let words = fit::like(needed, &self.words, DType::Bytes, needed.shape());
        let numbers = fit::like(needed, &self.numbers, DType::Int64, needed.shape());
        Step::unary("lookup", words, numbers, move |words| self.look_up(&words))
    }
}

/// A vocabulary is long: its size is shown.
impl fmt::Debug for Lookup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lookup")
            .field("words", &self.words)
            .field("numbers", &self.numbers)
            .field("vocabulary", &self.vocabulary.len())
            .field("unknown", &self.unknown)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use mlops_core::{Dimension, Engine, Tensors};

    use super::*;

    fn run(lookup: Lookup, words: &[&str]) -> Result<Tensor> {
        let needed = [TensorSpec::new("ids", DType::Int64, [Dimension::Batch, 2.into()])];
        let step = lookup.before(&needed)?;
        assert_eq!(step.signature().inputs()[0].to_string(), "BYTES [batch, 2]");
        let words = Tensor::from_byte_strings(&[words.len() / 2, 2], words)?;
        Ok(step.apply(Tensors::new().with("words", words))?.require("ids")?.clone())
    }

    #[test]
    fn words_become_their_numbers() {
        let lookup = Lookup::new("words", "ids", ["a", "", "b"]).unwrap();
        let numbers = Tensor::from_vec(&[2, 2], vec![2_i64, 0, 1, 2]).unwrap();
        assert_eq!(run(lookup.clone(), &["b", "a", "", "b"]).unwrap(), numbers);
        let error = run(lookup.clone(), &["b", "z"]).unwrap_err();
        assert!(matches!(error, Error::InvalidInput(_)), "{error:?}");
        assert!(
            error.to_string().contains("step `lookup(words)`: word 1 is not in the vocabulary"),
            "{error}"
        );
        let unknown = run(lookup.with_unknown(7), &["b", "z"]).unwrap();
        assert_eq!(unknown.as_slice::<i64>().unwrap(), [2, 7]);
    }

    #[test]
    fn a_word_that_comes_twice_is_refused() {
        let error = Lookup::new("words", "ids", ["a", "b", "a"]).unwrap_err().to_string();
        assert_eq!(error, "invalid input: words 0 and 2 of the vocabulary are the same");
    }
}
