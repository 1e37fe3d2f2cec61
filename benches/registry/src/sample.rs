//! What is registered: versions as a team would register them.

use bytes::Bytes;
use mlops_core::{
    Alias, AliasMove, Content, DType, Digest, Dimension, Lineage, ModelName, ModelVersion, NewVersion,
    Signature, Tagging, TensorSpec,
};

use crate::Failure;

/// The alias that is asked for.
pub const ALIAS: &str = "champion";

/// The artifact of each version.
pub const ARTIFACT: &str = "weights";

/// A new version with that content.
pub fn version(model: &ModelName, content: impl Into<Content>) -> Result<NewVersion, Failure> {
    let columns = |name: &str, count: usize| {
        TensorSpec::new(name, DType::Fp32, [Dimension::Batch, Dimension::Fixed(count)])
    };
    let signature = Signature::new([columns("customer", 24), columns("merchant", 8)], [columns("risk", 1)])?;
    let lineage = Lineage::default()
        .with_data(Digest::of(b"the data"))
        .with_data_rows(1_250_000)
        .with_code("4f1c2e7d9b60a8354f1c2e7d9b60a8354f1c2e7d")
        .with_environment("rust", "1.95.0");
    Ok(NewVersion::new(model.clone(), signature)
        .with_artifact(ARTIFACT, content)
        .with_metric("auc", 0.973_215)
        .with_metric("log_loss", 0.184_61)
        .with_parameter("learning_rate", 0.003)
        .with_parameter("layers", 4)
        .with_parameter("epochs", 30)
        .with_tag("team", "payments")
        .with_description("Trained on a week of payments.")
        .with_lineage(lineage)
        .by("ci"))
}

/// A kilobyte that no other number gives.
pub fn tiny(number: u64) -> Bytes {
    number.to_le_bytes().repeat(128).into()
}

pub fn promotion(version: &ModelVersion) -> Result<AliasMove, Failure> {
    let (name, number) = (version.id.name.clone(), version.id.version.clone());
    Ok(AliasMove::new(name, Alias::new(ALIAS)?, number).by("alice").because("better on last week"))
}

pub fn note(version: &ModelVersion, number: usize) -> Tagging {
    Tagging::set(version.id.clone(), "reviewed", format!("round {number}")).by("bob")
}
