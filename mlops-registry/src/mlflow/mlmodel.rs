//! The signature in the file `MLmodel` that MLflow keeps beside a model: YAML that holds the inputs and the outputs as
//! texts of JSON.
//!
//! Only what MLflow itself writes is read, and of it only the signature: block style, and any style of scalars.

use mlops_core::{DType, Dimension, Signature, TensorSpec};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Bytes of a file that is looked into.
pub(crate) const MAX_BYTES: usize = 1 << 20;

/// One input or output, as MLflow writes it.
#[derive(Deserialize)]
struct Column {
    name: Option<String>,
    #[serde(rename = "type")]
    kind: String,
    #[serde(default = "yes")]
    required: bool,
    #[serde(rename = "tensor-spec")]
    tensor: Option<Tensor>,
    items: Option<Value>,
}

#[derive(Serialize, Deserialize)]
struct Tensor {
    dtype: String,
    shape: Vec<i64>,
}

fn yes() -> bool {
    true
}

/// The signature in a file, if there is one that says all about every tensor. A column becomes a tensor of one value
/// for each row. A tensor without a name is called by its place: `input-0`, `output-0`.
pub(crate) fn signature(file: &str) -> Option<Signature> {
    let block: Vec<&str> = file
        .lines()
        .skip_while(|line| line.trim_end() != "signature:")
        .skip(1)
        .take_while(|line| line.trim().is_empty() || line.starts_with(' '))
        .collect();
    let block = block.join("\n");
    let (mut inputs, mut outputs) = (None, None);
    let mut rest = block.as_str();
    while let Some((key, after)) = rest.split_once(':') {
        let (value, after) = scalar(after);
        match key.trim() {
            "inputs" => inputs = value,
            "outputs" => outputs = value,
            _ => {}
        }
        rest = after;
    }
    let tensors = |text: Option<String>, side: &str| {
        let columns: Vec<Column> = text.map_or(Some(Vec::new()), |text| serde_json::from_str(&text).ok())?;
        columns
            .into_iter()
            .enumerate()
            .map(|(index, column)| column.tensor(side, index))
            .collect::<Option<Vec<_>>>()
    };
    Signature::new(tensors(inputs, "input")?, tensors(outputs, "output")?).ok()
}

/// A file with this signature. What MLflow has no type for is left out: then it is one without a signature.
pub(crate) fn file(signature: &Signature, created: &str) -> String {
    let side = |specs: &[TensorSpec]| {
        let columns = specs.iter().map(column).collect::<Option<Vec<_>>>()?;
        let json = serde_json::to_string(&columns).ok()?;
        Some(json.replace('\'', "''"))
    };
    let created = created.replace('\'', "''");
    let head = format!("flavors:\n  mlops: {{}}\nutc_time_created: '{created}'\n");
    match (side(signature.inputs()), side(signature.outputs())) {
        (Some(inputs), Some(outputs)) => {
            format!("{head}signature:\n  inputs: '{inputs}'\n  outputs: '{outputs}'\n  params: null\n")
        }
        _ => head,
    }
}

fn column(spec: &TensorSpec) -> Option<Value> {
    let dtype = match spec.dtype() {
        DType::Bool => "bool",
        DType::Uint8 => "uint8",
        DType::Uint16 => "uint16",
        DType::Uint32 => "uint32",
        DType::Uint64 => "uint64",
        DType::Int8 => "int8",
        DType::Int16 => "int16",
        DType::Int32 => "int32",
        DType::Int64 => "int64",
        DType::Fp16 => "float16",
        DType::Fp32 => "float32",
        DType::Fp64 => "float64",
        DType::Bytes => "object",
        DType::Bf16 => return None,
    };
    let length = |dimension: &Dimension| match dimension {
        Dimension::Fixed(length) => i64::try_from(*length).ok(),
        Dimension::Batch | Dimension::Free => Some(-1),
    };
    let shape = spec.shape().iter().map(length).collect::<Option<_>>()?;
    let tensor = Tensor { dtype: dtype.to_owned(), shape };
    Some(serde_json::json!({ "name": spec.name(), "type": "tensor", "tensor-spec": tensor }))
}

impl Column {
    fn tensor(self, side: &str, index: usize) -> Option<TensorSpec> {
        let name = self.name.filter(|name| !name.is_empty()).unwrap_or_else(|| format!("{side}-{index}"));
        let spec = match self.kind.as_str() {
            "tensor" => {
                let tensor = self.tensor?;
                let dimensions = tensor.shape.iter().enumerate().map(|(axis, length)| match (axis, length) {
                    (0, -1) => Some(Dimension::Batch),
                    (_, -1) => Some(Dimension::Free),
                    (_, length) => usize::try_from(*length).ok().map(Dimension::Fixed),
                });
                TensorSpec::new(name, tensor_type(&tensor.dtype)?, dimensions.collect::<Option<Vec<_>>>()?)
            }
            "array" => {
                let item = self.items?;
                let item = column_type(item.get("type")?.as_str()?)?;
                TensorSpec::new(name, item, [Dimension::Batch, Dimension::Free])
            }
            kind => TensorSpec::new(name, column_type(kind)?, [Dimension::Batch]),
        };
        Some(if self.required { spec } else { spec.optional() })
    }
}

/// The types of columns.
fn column_type(kind: &str) -> Option<DType> {
    Some(match kind {
        "boolean" => DType::Bool,
        "integer" => DType::Int32,
        "long" => DType::Int64,
        "float" => DType::Fp32,
        "double" => DType::Fp64,
        "string" | "binary" => DType::Bytes,
        _ => return None,
    })
}

/// The types of tensors, which are those of numpy.
fn tensor_type(dtype: &str) -> Option<DType> {
    Some(match dtype {
        "bool" => DType::Bool,
        "uint8" => DType::Uint8,
        "uint16" => DType::Uint16,
        "uint32" => DType::Uint32,
        "uint64" => DType::Uint64,
        "int8" => DType::Int8,
        "int16" => DType::Int16,
        "int32" => DType::Int32,
        "int64" => DType::Int64,
        "float16" => DType::Fp16,
        "float32" => DType::Fp32,
        "float64" => DType::Fp64,
        "str" | "bytes" | "object" => DType::Bytes,
        _ => return None,
    })
}

/// The YAML scalar that `text` begins with, and what comes after it; `None` for null, and for what is no scalar.
fn scalar(text: &str) -> (Option<String>, &str) {
    let begin = text.trim_start_matches(' ');
    match begin.chars().next() {
        Some(quote @ ('\'' | '"')) => quoted(&begin[1..], quote),
        _ => {
            let (line, rest) = begin.split_once('\n').unwrap_or((begin, ""));
            let plain = line.trim();
            (Some(plain.to_owned()).filter(|plain| !matches!(plain.as_str(), "" | "null" | "~")), rest)
        }
    }
}

/// A scalar in quotes, after the first one. A line break in it stands for a space.
fn quoted(text: &str, quote: char) -> (Option<String>, &str) {
    let mut read = String::new();
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        rest = &rest[c.len_utf8()..];
        match c {
            '\'' if quote == '\'' && rest.starts_with('\'') => {
                read.push('\'');
                rest = &rest[1..];
            }
            c if c == quote => return (Some(read), rest),
            '\n' => {
                read.truncate(read.trim_end_matches(' ').len());
                read.push(' ');
                rest = rest.trim_start_matches(' ');
            }
            '\\' if quote == '"' => {
                let Some(escaped) = rest.chars().next() else { return (None, "") };
                rest = &rest[escaped.len_utf8()..];
                match escaped {
                    '\n' => rest = rest.trim_start_matches(' '),
                    'n' => read.push('\n'),
                    't' => read.push('\t'),
                    'x' | 'u' => {
                        let digits = if escaped == 'x' { 2 } else { 4 };
                        let code = rest.get(..digits).and_then(|code| u32::from_str_radix(code, 16).ok());
                        let Some(code) = code.and_then(char::from_u32) else { return (None, "") };
                        read.push(code);
                        rest = &rest[digits..];
                    }
                    other => read.push(other),
                }
            }
            c => read.push(c),
        }
    }
    (None, "")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// As MLflow 3.17 writes it, lines broken.
    const COLUMNS: &str = r#"flavors:
  python_function:
    code: null
run_id: 300b853309fc4e84a67ed11f816a02fc
signature:
  inputs: '[{"type": "double", "name": "it''s", "required": true}, {"type": "string",
    "name": "b", "required": false}, {"type": "boolean", "name": "\u00fc", "required":
    true}, {"type": "array", "items": {"type": "float"}, "name": "e", "required": true}]'
  outputs: '[{"type": "long", "required": true}]'
  params: null
type_hint_from_example: false
"#;

    const TENSORS: &str = r#"signature:
  inputs: '[{"name": "x", "type": "tensor", "tensor-spec": {"dtype": "float32", "shape":
    [-1, 4, -1]}}, {"name": "a long name", "type": "tensor", "tensor-spec": {"dtype": "str", "shape": [-1]}}]'
  outputs: "[{\"type\": \"tensor\", \"tensor-spec\": {\"dtype\": \"int64\",\
    \ \"shape\": [2]}}]"
"#;

    #[test]
    fn signatures_are_read() {
        let batch = Dimension::Batch;
        let columns = Signature::new(
            [
                TensorSpec::new("it's", DType::Fp64, [batch]),
                TensorSpec::new("b", DType::Bytes, [batch]).optional(),
                TensorSpec::new("ü", DType::Bool, [batch]),
                TensorSpec::new("e", DType::Fp32, [batch, Dimension::Free]),
            ],
            [TensorSpec::new("output-0", DType::Int64, [batch])],
        );
        assert_eq!(signature(COLUMNS), Some(columns.unwrap()));
        let tensors = Signature::new(
            [
                TensorSpec::new("x", DType::Fp32, [batch, Dimension::Fixed(4), Dimension::Free]),
                TensorSpec::new("a long name", DType::Bytes, [batch]),
            ],
            [TensorSpec::new("output-0", DType::Int64, [Dimension::Fixed(2)])],
        );
        assert_eq!(signature(TENSORS), Some(tensors.unwrap()));
    }

    #[test]
    fn what_cannot_be_told_is_no_signature() {
        let of = |inputs: &str| signature(&format!("signature:\n  inputs: '{inputs}'\n  outputs: null\n"));
        assert!(of("[]").is_some());
        for inputs in [
            r#"[{"type": "datetime", "name": "x"}]"#,
            r#"[{"type": "object", "name": "x", "properties": {}}]"#,
            r#"[{"type": "tensor", "tensor-spec": {"dtype": "complex64", "shape": [-1]}}]"#,
            r#"[{"type": "tensor", "tensor-spec": {"dtype": "int64", "shape": [-2]}}]"#,
            r#"[{"type": "long", "name": "x"}, {"type": "long", "name": "x"}]"#,
            "[",
        ] {
            assert_eq!(of(inputs), None, "{inputs}");
        }
    }

    #[test]
    fn what_is_written_is_read() {
        let specs = [
            TensorSpec::new("it's \"x\"", DType::Fp32, [Dimension::Batch, Dimension::Fixed(4)]),
            TensorSpec::new("text", DType::Bytes, [Dimension::Batch, Dimension::Free]),
        ];
        let written = Signature::new(specs, []).unwrap();
        assert_eq!(signature(&file(&written, "2026-11-03 12:00:00")), Some(written));
        let bf16 = Signature::new([TensorSpec::new("x", DType::Bf16, [Dimension::Batch])], []).unwrap();
        assert!(!file(&bf16, "").contains("signature"));
    }

    proptest! {
        #[test]
        fn arbitrary_files_never_panic(text in any::<String>(), yaml in "[ \n'\"\\\\:a-z\\[\\]{}xu0-9]{0,60}") {
            let _ = signature(&text);
            let _ = signature(&format!("signature:\n  inputs: {yaml}"));
            let _ = signature(&format!("signature:\n  inputs: \"{yaml}"));
        }
    }
}
