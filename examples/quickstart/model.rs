//! From networks to versions in the registry, and back to models that serve.

use burn::tensor::{Tensor as BurnTensor, TensorData};
use mlops_core::{
    DType, Dimension, Error, Model, ModelVersion, Registry, Result, Signature, TensorSpec, Tensors,
};
use mlops_serve::EngineExt;
use mlops_serve::engine::burn::{BurnEngine, Device, Outputs, load_burnpack};
use ndarray::{ArrayView1, Axis};

use crate::data::{CLASSES, Digits, PIXELS};
use crate::network::{Architecture, Network};

/// What every version of the model takes and gives.
pub fn signature() -> Result<Signature> {
    Signature::new(
        [TensorSpec::new("pixels", DType::Fp32, [Dimension::Batch, PIXELS.into()]).finite()],
        [
            TensorSpec::new("scores", DType::Fp32, [Dimension::Batch, CLASSES.into()]).finite(),
            TensorSpec::new("digit", DType::Int64, [Dimension::Batch]),
        ],
    )
}

/// The model of a registered version: its weights are fetched, verified, and put into a fresh network.
pub async fn load(registry: &dyn Registry, version: &ModelVersion) -> Result<impl Model> {
    let name = version.parameters.get("architecture").map_or("", String::as_str);
    let architecture =
        Architecture::ALL.into_iter().find(|architecture| architecture.name() == name).ok_or_else(|| {
            Error::invalid_input(format!("{} has the unknown architecture `{name}`", version.id))
        })?;
    let weights = registry.fetch(version, "weights").await?;
    let network = load_burnpack(architecture.init(&Device::Cpu.open()?), &weights)?;
    Ok(serving(network)?.with_id(version.id.clone()))
}

fn serving(network: Network) -> Result<mlops_serve::Inline<BurnEngine>> {
    let engine = BurnEngine::new(signature()?, Device::Cpu, move |inputs| {
        let scores = network.scores(inputs.float::<2>("pixels")?);
        let digit = scores.clone().argmax(1).squeeze_dim::<1>(1);
        Ok(Outputs::new().float("scores", scores).int("digit", digit))
    })?;
    Ok(engine.inline())
}

/// How good a network is on labelled images: the share it gets right, and its mean log loss in nats.
pub struct Quality {
    pub accuracy: f64,
    pub log_loss: f64,
}

impl Quality {
    pub fn measure(network: &Network, digits: &Digits) -> Result<Self> {
        let rows = digits.len();
        let pixels = TensorData::new(digits.pixels.iter().copied().collect::<Vec<f32>>(), [rows, PIXELS]);
        let scores = network.scores(BurnTensor::<2>::from_data(pixels, &Device::Cpu.open()?));
        let scores = scores.into_data().try_into_vec::<f32>();
        let scores = scores.map_err(|cause| Error::engine(format!("the scores cannot be read: {cause}")))?;
        let (mut right, mut loss) = (0_u32, 0.0);
        for (row, label) in scores.chunks_exact(CLASSES).zip(&digits.labels) {
            let label = usize::try_from(*label).unwrap_or(usize::MAX);
            let best = (0..CLASSES).max_by(|a, b| row[*a].total_cmp(&row[*b]));
            right += u32::from(best == Some(label));
            loss -= f64::from(row[label].max(f32::MIN_POSITIVE)).ln();
        }
        Ok(Self { accuracy: f64::from(right) / rows as f64, log_loss: loss / rows as f64 })
    }
}

/// One image as the inputs of a request.
pub fn inputs(image: ArrayView1<'_, f32>) -> Tensors {
    Tensors::new().with("pixels", image.insert_axis(Axis(0)).to_owned())
}
