//! The body of a prediction.

use std::fmt;

use mlops_core::{Result, Signature, Tensors};
use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, Visitor};

use crate::http::json;
use crate::http::nested::{Columns, Instances};
use crate::server::Parameters;

/// The name of the only signature that a model here has; callers may leave it out.
pub(super) const SIGNATURE: &str = "serving_default";

/// What a caller asks.
pub(super) struct PredictRequest {
    pub(super) form: Form,
    pub(super) inputs: Tensors,
    pub(super) parameters: Parameters,
}

/// How the inputs came, and the outputs go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// `instances` and `predictions`.
    Rows,
    /// `inputs` and `outputs`.
    Columns,
}

impl PredictRequest {
    pub(super) fn parse(body: &[u8], signature: &Signature) -> Result<Self> {
        json::read(body, Reader(signature), "predict request")
    }
}

struct Reader<'s>(&'s Signature);

impl<'de> DeserializeSeed<'de> for Reader<'_> {
    type Value = PredictRequest;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<PredictRequest, D::Error> {
        deserializer.deserialize_map(self)
    }
}

#[derive(Deserialize)]
#[serde(field_identifier, rename_all = "snake_case")]
enum Field {
    SignatureName,
    Instances,
    Inputs,
    Parameters,
    #[serde(other)]
    Ignored,
}

impl<'de> Visitor<'de> for Reader<'_> {
    type Value = PredictRequest;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object with `instances` or `inputs`")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<PredictRequest, A::Error> {
        let (mut inputs, mut parameters) = (None, None);
        while let Some(field) = object.next_key()? {
            let form = match field {
                Field::Instances => Form::Rows,
                Field::Inputs => Form::Columns,
                Field::SignatureName => {
                    check_signature_name(object.next_value()?)?;
                    continue;
                }
                Field::Parameters => {
                    if parameters.replace(object.next_value()?).is_some() {
                        return Err(A::Error::duplicate_field("parameters"));
                    }
                    continue;
                }
                Field::Ignored => {
                    object.next_value::<IgnoredAny>()?;
                    continue;
                }
            };
            if inputs.is_some() {
                return Err(A::Error::custom("`instances` or `inputs` may come, and only once"));
            }
            let tensors = match form {
                Form::Rows => object.next_value_seed(Instances(self.0))?,
                Form::Columns => object.next_value_seed(Columns(self.0))?,
            };
            inputs = Some((form, tensors));
        }
        let (form, inputs) =
            inputs.ok_or_else(|| A::Error::custom("missing field `instances` or `inputs`"))?;
        Ok(PredictRequest { form, inputs, parameters: parameters.unwrap_or_default() })
    }
}

fn check_signature_name<E: Error>(name: Option<String>) -> Result<(), E> {
    match name.as_deref() {
        None | Some("" | SIGNATURE) => Ok(()),
        Some(other) => {
            let other: String = other.chars().take(80).collect();
            Err(E::custom(format!(
                "there is no signature `{}`; a model here has one, `{SIGNATURE}`",
                other.escape_debug()
            )))
        }
    }
}

#[cfg(test)]
mod tests {
    use mlops_core::{DType, Dimension, Tensor, TensorSpec};
    use proptest::prelude::*;

    use super::*;

    fn two_inputs() -> Signature {
        Signature::new(
            [
                TensorSpec::new("tag", DType::Bytes, [Dimension::Batch]),
                TensorSpec::new("signal", DType::Fp32, [Dimension::Batch, Dimension::Fixed(2)]),
                TensorSpec::new("weight", DType::Int32, [Dimension::Batch]).optional(),
            ],
            [TensorSpec::new("y", DType::Fp32, [Dimension::Batch])],
        )
        .unwrap()
    }

    fn one_input(dtype: DType, shape: &[Dimension]) -> Signature {
        let x = TensorSpec::new("x", dtype, shape.iter().copied());
        Signature::new([x.clone()], [x]).unwrap()
    }

    fn parse(json: &str, signature: &Signature) -> Result<PredictRequest, String> {
        PredictRequest::parse(json.as_bytes(), signature).map_err(|error| error.to_string())
    }

    #[test]
    fn rows_and_columns_mean_the_same() {
        let rows = r#"{"instances": [{"tag": "foo", "signal": [1, 2]}, {"signal": [3.5, 4], "tag": {"b64": "AP8"}}],
            "signature_name": "serving_default"}"#;
        let columns = r#"{"inputs": {"signal": [[1, 2], [3.5, 4]], "tag": ["foo", {"b64": "AP8="}]}}"#;
        let (rows, columns) = (parse(rows, &two_inputs()).unwrap(), parse(columns, &two_inputs()).unwrap());
        assert_eq!((rows.form, columns.form), (Form::Rows, Form::Columns));
        let signal = Tensor::from_vec(&[2, 2], vec![1.0_f32, 2.0, 3.5, 4.0]).unwrap();
        let tag = Tensor::from_byte_strings(&[2], [&b"foo"[..], &[0, 0xff]]).unwrap();
        for inputs in [rows.inputs, columns.inputs] {
            assert_eq!(inputs.get("signal"), Some(&signal));
            assert_eq!(inputs.get("tag"), Some(&tag));
            assert_eq!(inputs.len(), 2);
        }
    }

    #[test]
    fn the_only_input_needs_no_name() {
        let x = one_input(DType::Fp32, &[Dimension::Batch, Dimension::Fixed(2)]);
        let expected = Tensor::from_vec(&[2, 2], vec![1.0_f32, 2.0, 3.0, 4.0]).unwrap();
        for json in [
            r#"{"instances": [[1, 2], [3, 4]]}"#,
            r#"{"instances": [{"x": [1, 2]}, {"x": [3, 4]}]}"#,
            r#"{"inputs": [[1, 2], [3, 4]]}"#,
            r#"{"inputs": {"x": [[1, 2], [3, 4]]}}"#,
        ] {
            assert_eq!(parse(json, &x).unwrap().inputs.get("x"), Some(&expected), "{json}");
        }
        let text = one_input(DType::Bytes, &[Dimension::Batch]);
        let expected = Tensor::from_byte_strings(&[2], [&b"a"[..], &[0xff]]).unwrap();
        let inputs = parse(r#"{"instances": ["a", {"b64": "/w=="}]}"#, &text).unwrap().inputs;
        assert_eq!(inputs.get("x"), Some(&expected));
        let scalar = one_input(DType::Int64, &[]);
        let inputs = parse(r#"{"inputs": 7}"#, &scalar).unwrap().inputs;
        assert_eq!(inputs.get("x"), Some(&Tensor::from_vec(&[], vec![7_i64]).unwrap()));
    }

    #[test]
    fn no_rows_are_a_batch_of_none() {
        let x = one_input(DType::Fp32, &[Dimension::Batch, Dimension::Fixed(2)]);
        let inputs = parse(r#"{"instances": []}"#, &x).unwrap().inputs;
        assert_eq!(inputs.get("x").unwrap().shape(), [0, 2]);
        let inputs = parse(r#"{"instances": []}"#, &two_inputs()).unwrap().inputs;
        assert_eq!(inputs.names().collect::<Vec<_>>(), ["tag", "signal"]);
    }

    #[test]
    fn every_fault_says_what_was_expected_and_what_came() {
        for (json, expected) in [
            ("[]", "expected an object with `instances` or `inputs`"),
            ("{}", "missing field `instances` or `inputs`"),
            (r#"{"instances": [], "inputs": {}}"#, "and only once"),
            (r#"{"instances": {}}"#, "expected a list of instances"),
            (r#"{"instances": [1]}"#, "the model has several inputs; name them: `tag`, `signal`, `weight`"),
            (
                r#"{"instances": [{"tog": 1}]}"#,
                "there is no input `tog`; there are `tag`, `signal`, `weight`",
            ),
            (r#"{"instances": [{"tag": "a", "tag": "b"}]}"#, "input `tag` comes twice"),
            (
                r#"{"instances": [{"tag": "a"}, {"tag": "b", "weight": 1}]}"#,
                "input `weight` is missing in instance 0, but others have it",
            ),
            (
                r#"{"instances": [{"tag": "a", "weight": 1}, {"tag": "b"}]}"#,
                "input `weight` is missing in instance 1, but others have it",
            ),
            (r#"{"instances": [{"tag": 1}]}"#, "tensor `tag`: element 0 is 1, which is no BYTES"),
            (r#"{"instances": [{"weight": 1.0}]}"#, "tensor `weight`: element 0 is 1.0, which is no INT32"),
            (r#"{"instances": [{"weight": null}]}"#, "element 0 is null, which is no INT32"),
            (r#"{"instances": [{"signal": {"b64": ""}}]}"#, "but an object came for a value"),
            (r#"{"instances": [{"tag": {"b64": "?"}}]}"#, "input `tag` has a value that is no base64"),
            (r#"{"instances": [{"tag": {"b64": "", "x": 1}}]}"#, "an object with `b64` has no other key"),
            (r#"{"instances": [{"tag": {"b64": 1}}]}"#, "expected bytes in base64"),
            (
                r#"{"instances": [{"signal": [1, 2]}, {"signal": [3]}]}"#,
                "tensor `signal`: ragged data: at depth 1 an array has 1 items where its sibling has 2",
            ),
            (
                r#"{"instances": [{"signal": [[1, 2]]}]}"#,
                "input `signal` has more arrays around a value than FP32 [batch, 2]",
            ),
            (r#"{"instances": [], "signature_name": "regress"}"#, "there is no signature `regress`"),
            (r#"{"instances": [], "parameters": []}"#, "invalid type: sequence"),
            (r#"{"instances": []} trailing"#, "trailing characters"),
        ] {
            let error = parse(json, &two_inputs()).err().unwrap_or_default();
            assert!(error.contains(expected), "{json}\n  says: {error}");
        }
        let columns = one_input(DType::Fp32, &[Dimension::Free, Dimension::Batch]);
        let error = parse(r#"{"instances": [[1]]}"#, &columns).err().unwrap_or_default();
        assert!(error.contains("does not come in rows; send whole tensors as `inputs`"), "{error}");
    }

    proptest! {
        #[test]
        fn arbitrary_bodies_never_panic(
            bytes in any::<Vec<u8>>(), text in any::<String>(),
            data in "[\\[\\]{}:,\"xb640-9.\\-]{0,40}", key in "instances|inputs",
        ) {
            for signature in [two_inputs(), one_input(DType::Bytes, &[Dimension::Batch, Dimension::Free])] {
                let _ = PredictRequest::parse(&bytes, &signature).is_ok();
                let _ = parse(&text, &signature).is_ok();
                let _ = parse(&format!(r#"{{"{key}": {data}}}"#), &signature).is_ok();
                let _ = parse(&format!(r#"{{"{key}": [{data}]}}"#), &signature).is_ok();
            }
        }
    }
}
