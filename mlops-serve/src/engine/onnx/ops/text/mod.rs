//! Strings: normalising, joining, splitting and matching them, and counting n-grams.

mod n_grams;
mod normalizer;
mod pattern;
mod strings;
mod tokenizer;

use super::{Entry, microsoft, onnx};

pub(super) const OPERATORS: &[Entry] = &[
    onnx("RegexFullMatch", 20, strings::regex_full_match),
    onnx("StringConcat", 20, strings::string_concat),
    onnx("StringNormalizer", 10, normalizer::string_normalizer),
    onnx("StringSplit", 20, strings::string_split),
    onnx("TfIdfVectorizer", 9, n_grams::tf_idf_vectorizer),
    microsoft("Tokenizer", tokenizer::tokenizer),
];
