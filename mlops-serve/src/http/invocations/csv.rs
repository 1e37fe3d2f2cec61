//! Data frames as CSV, a row of names before the others.

use ::csv::{ReaderBuilder, StringRecord};
use mlops_core::{DType, Error, Result, Scalar, Signature, Tensors};

use super::frame::Frame;

/// What pandas takes for a missing value, beside nothing at all.
const MISSING: [&str; 6] = ["NA", "N/A", "NULL", "null", "None", "<NA>"];

pub(super) fn parse(body: &[u8], signature: &Signature) -> Result<Tensors> {
    let refused = |cause: ::csv::Error| Error::invalid_input(format!("the body is no CSV: {cause}"));
    let mut reader = ReaderBuilder::new().from_reader(body);
    let names: Vec<String> = reader.headers().map_err(refused)?.iter().map(str::to_owned).collect();
    if names.is_empty() {
        return Err(Error::invalid_input("the body is no CSV: it has no row of names"));
    }
    let mut frame = Frame::new(signature, names)?;
    let mut record = StringRecord::new();
    while reader.read_record(&mut record).map_err(refused)? {
        frame.push_texts(record.iter())?;
    }
    Ok(frame.finish()?)
}

/// What the text of a cell means in a column of that type. What it cannot mean stays text, to be refused with it.
pub(super) fn scalar(text: &str, dtype: DType) -> Scalar<'_> {
    let trimmed = text.trim();
    let parsed = match dtype {
        DType::Bytes => Some(Scalar::Text(text)),
        _ if trimmed.is_empty() || MISSING.contains(&trimmed) => Some(Scalar::Null),
        DType::Bool => match trimmed {
            "true" | "True" | "TRUE" => Some(Scalar::Bool(true)),
            "false" | "False" | "FALSE" => Some(Scalar::Bool(false)),
            _ => None,
        },
        DType::Fp16 | DType::Bf16 | DType::Fp32 | DType::Fp64 => trimmed.parse().ok().map(Scalar::Float),
        _ => {
            let unsigned = trimmed.parse().ok().map(Scalar::Unsigned);
            unsigned.or_else(|| trimmed.parse().ok().map(Scalar::Signed))
        }
    };
    parsed.unwrap_or(Scalar::Text(text))
}
