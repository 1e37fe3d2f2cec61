//! What became of the copies that a shadow saw.

use std::fmt;

use mlops_core::{DType, Tensor, Variant};
use serde::{Deserialize, Serialize};

use super::compare::DistributionReport;

/// How often a shadow agreed with the answers that callers got.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ShadowComparison {
    /// Requests that both answered.
    pub compared: u64,
    /// Requests to which the answers agreed.
    pub agreed: u64,
}

/// All that is known of a shadow: its copies, and how its outputs compare with those that callers got.
/// Displayed as a table.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ShadowReport {
    /// Which variant.
    pub shadow: Variant,
    /// Copies of requests that were taken. Those that are neither answered nor failed nor late are waiting or
    /// under way.
    pub copies: u64,
    /// Copies that were not taken, because there was no room for them.
    pub dropped: u64,
    /// Copies that the shadow answered.
    pub answered: u64,
    /// Copies by which it failed or panicked.
    pub failed: u64,
    /// Copies that were not answered in time.
    pub late: u64,
    /// How often it agreed in every output that is compared request by request.
    pub comparison: ShadowComparison,
    /// Output by output, in the order of their names. Those that were given a comparer are here even if no
    /// answer ever had them.
    pub outputs: Vec<OutputReport>,
}

/// How one output of a shadow compares with that of the callers' answers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct OutputReport {
    /// The name of the output.
    pub output: String,
    /// Answers in which it was compared.
    pub compared: u64,
    /// Answers in which it disagreed, the incomparable included.
    pub disagreed: u64,
    /// Answers in which no number said how far: another type or shape, NaN, missing.
    pub incomparable: u64,
    /// The mean difference, of those that a number says, in the unit of the comparer.
    pub mean_difference: Option<f64>,
    /// The largest difference.
    pub largest_difference: Option<f64>,
    /// The test of its distribution, where one was asked for.
    pub distribution: Option<DistributionReport>,
    /// A uniform sample of the disagreements.
    pub disagreements: Vec<Disagreement>,
}

/// One answer of a shadow that was not what the caller got.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Disagreement {
    /// The id of the request, if it had one.
    pub request: Option<String>,
    /// What the caller got; `None` when that answer did not have the output.
    pub primary: Option<OutputValues>,
    /// What the shadow said.
    pub shadow: Option<OutputValues>,
    /// How far apart they are, where a number says so.
    pub difference: Option<f64>,
}

/// What an output held, as text, so that NaN and infinities survive every format.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct OutputValues {
    /// The type of its elements.
    pub datatype: DType,
    /// Its shape.
    pub shape: Vec<usize>,
    /// The first elements in row-major order, 16 at most; strings to 64 characters.
    pub values: Vec<String>,
}

impl ShadowComparison {
    /// The share that agreed, 0 to 1; `None` before anything was compared.
    #[must_use]
    pub fn share(&self) -> Option<f64> {
        (self.compared > 0).then(|| self.agreed as f64 / self.compared as f64)
    }

    pub(super) fn add(&mut self, agreed: bool) {
        self.compared += 1;
        self.agreed += u64::from(agreed);
    }
}

impl ShadowReport {
    /// The report of one output.
    #[must_use]
    pub fn output(&self, name: &str) -> Option<&OutputReport> {
        self.outputs.iter().find(|report| report.output == name)
    }
}

impl OutputReport {
    /// The share of the answers in which it disagreed, 0 to 1; `None` before anything was compared.
    #[must_use]
    pub fn share_disagreed(&self) -> Option<f64> {
        (self.compared > 0).then(|| self.disagreed as f64 / self.compared as f64)
    }
}

impl OutputValues {
    pub(super) fn of(tensor: &Tensor) -> Self {
        Self { datatype: tensor.dtype(), shape: tensor.shape().to_vec(), values: first_elements(tensor) }
    }
}

fn first_elements(tensor: &Tensor) -> Vec<String> {
    const ELEMENTS: usize = 16;
    const CHARACTERS: usize = 64;
    macro_rules! text {
        ($($dtype:ident: $element:ty),*) => {
            match tensor.dtype() {
                $(DType::$dtype => {
                    let elements = tensor.as_slice::<$element>().unwrap_or_default();
                    elements.iter().take(ELEMENTS).map(ToString::to_string).collect()
                })*
                DType::Bytes => {
                    let strings = tensor.byte_strings().into_iter().flatten().take(ELEMENTS);
                    strings.map(|bytes| String::from_utf8_lossy(bytes).chars().take(CHARACTERS).collect()).collect()
                }
            }
        };
    }
    use mlops_core::reexports::half::{bf16, f16};
    text!(
        Bool: bool, Uint8: u8, Uint16: u16, Uint32: u32, Uint64: u64, Int8: i8, Int16: i16, Int32: i32,
        Int64: i64, Fp16: f16, Bf16: bf16, Fp32: f32, Fp64: f64
    )
}

impl fmt::Display for ShadowReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { shadow, copies, dropped, answered, failed, late, .. } = self;
        writeln!(
            f,
            "shadow {shadow}: {copies} copies taken, {dropped} dropped; {answered} answered, {failed} failed, {late} late"
        )?;
        let ShadowComparison { compared, agreed } = self.comparison;
        match self.comparison.share() {
            Some(share) => writeln!(f, "{agreed} of {compared} answers agree ({:.2} %)", 100.0 * share)?,
            None => writeln!(f, "no answer was compared")?,
        }
        let names = self.outputs.iter().map(|output| output.output.chars().count());
        let width = names.max().unwrap_or(0).max("output".len());
        write!(
            f,
            "{:width$}  {:>9}  {:>9}  {:>12}  {:>11}  {:>11}  distribution",
            "output", "compared", "disagreed", "incomparable", "mean", "largest"
        )?;
        let number =
            |number: Option<f64>| number.map_or_else(|| "-".to_owned(), |number| format!("{number:.4e}"));
        for report in &self.outputs {
            let OutputReport { output, compared, disagreed, incomparable, .. } = report;
            let (mean, largest) = (number(report.mean_difference), number(report.largest_difference));
            write!(
                f,
                "\n{output:width$}  {compared:>9}  {disagreed:>9}  {incomparable:>12}  {mean:>11}  {largest:>11}  "
            )?;
            match &report.distribution {
                Some(distribution) => write!(f, "{distribution}")?,
                None => f.write_str("-")?,
            }
        }
        for OutputReport { output, disagreements, .. } in &self.outputs {
            for disagreement in disagreements {
                write!(f, "\n{output}: {disagreement}")?;
            }
        }
        Ok(())
    }
}

impl fmt::Display for Disagreement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let values = |side: &Option<OutputValues>| {
            side.as_ref().map_or_else(|| "nothing".to_owned(), OutputValues::to_string)
        };
        let request = self.request.as_deref().unwrap_or("without an id");
        write!(f, "request {request}: {} | {}", values(&self.primary), values(&self.shadow))?;
        match self.difference {
            Some(difference) => write!(f, " ({difference:.4e} apart)"),
            None => f.write_str(" (incomparable)"),
        }
    }
}

impl fmt::Display for OutputValues {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {:?} {}", self.datatype, self.shape, self.values.join(", "))?;
        let all: usize = self.shape.iter().product();
        match all.saturating_sub(self.values.len()) {
            0 => Ok(()),
            more => write!(f, ", ... {more} more"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_of_every_type_are_shown_and_cut() {
        let shown = |tensor: Tensor| OutputValues::of(&tensor).to_string();
        assert_eq!(shown(vec![f32::NAN, f32::INFINITY, 0.1].into()), "FP32 [3] NaN, inf, 0.1");
        assert_eq!(shown(vec![true, false].into()), "BOOL [2] true, false");
        assert_eq!(shown(vec![i64::MIN].into()), format!("INT64 [1] {}", i64::MIN));
        assert!(shown(vec![0_u8; 20].into()).ends_with("0, ... 4 more"));
        let text = Tensor::from_byte_strings(&[2], [&[0xff, b'a'][..], "é".repeat(100).as_bytes()]).unwrap();
        assert_eq!(OutputValues::of(&text).values, ["\u{fffd}a".to_owned(), "é".repeat(64)]);
        for dtype in DType::ALL {
            let Some(size) = dtype.size() else { continue };
            let tensor = Tensor::from_bytes(dtype, &[1, 1], vec![0; size]).unwrap();
            assert_eq!(OutputValues::of(&tensor).values.len(), 1, "{dtype}");
        }
    }
}
