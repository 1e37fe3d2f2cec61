//! The networks, and how they are trained: plain burn.

use burn::module::Module;
use burn::nn::loss::CrossEntropyLossConfig;
use burn::nn::{Embedding, EmbeddingConfig, Linear, LinearConfig};
use burn::optim::{AdamConfig, GradientsParams};
use burn::tensor::activation::{relu, softmax};
use burn::tensor::{Device, Int, Tensor, TensorData};
use ndarray::Axis;

use crate::data::{CLASSES, Digits, PIXELS, Random};

/// The shapes a network can have. The registry keeps it as a parameter of the version.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Architecture {
    /// Logistic regression.
    Linear,
    /// One hidden layer.
    Mlp,
    /// A learnt vector for each of the 16 levels a 4-bit pixel can have, then one hidden layer.
    LookupTable,
}

#[derive(Module, Debug)]
pub struct Network {
    levels: Option<Embedding>,
    hidden: Option<Linear>,
    output: Linear,
}

const HIDDEN: usize = 64;
const LEVELS: usize = 16;
const LEVEL_SIZE: usize = 1;

impl Architecture {
    pub const ALL: [Self; 3] = [Self::Linear, Self::Mlp, Self::LookupTable];

    pub fn name(self) -> &'static str {
        match self {
            Self::Linear => "linear",
            Self::Mlp => "mlp",
            Self::LookupTable => "lookup-table",
        }
    }

    pub fn init(self, device: &Device) -> Network {
        let levels =
            (self == Self::LookupTable).then(|| EmbeddingConfig::new(LEVELS, LEVEL_SIZE).init(device));
        let features = if levels.is_some() { PIXELS * LEVEL_SIZE } else { PIXELS };
        let hidden = (self != Self::Linear).then(|| LinearConfig::new(features, HIDDEN).init(device));
        let features = if hidden.is_some() { HIDDEN } else { features };
        Network { levels, hidden, output: LinearConfig::new(features, CLASSES).init(device) }
    }
}

impl Network {
    /// From pixels `[batch, 64]`, 0 to 16, to the probability of each digit `[batch, 10]`.
    pub fn scores(&self, pixels: Tensor<2>) -> Tensor<2> {
        softmax(self.logits(pixels), 1)
    }

    fn logits(&self, pixels: Tensor<2>) -> Tensor<2> {
        let features = match &self.levels {
            Some(levels) => levels.forward(pixels.int()).flatten(1, 2),
            None => pixels.div_scalar(16.0),
        };
        self.output.forward(match &self.hidden {
            Some(hidden) => relu(hidden.forward(features)),
            None => features,
        })
    }
}

/// Trains by Adam on shuffled batches of 64.
pub fn train(
    architecture: Architecture,
    digits: &Digits,
    epochs: usize,
    seed: u64,
    device: &Device,
) -> Network {
    const BATCH: usize = 64;
    device.seed(seed);
    let device = device.clone().autodiff();
    let mut network = architecture.init(&device);
    let mut optimizer = AdamConfig::new().init();
    let loss = CrossEntropyLossConfig::new().init(&device);
    let mut random = Random(seed);
    let mut order: Vec<usize> = (0..digits.len()).collect();
    for _ in 0..epochs {
        random.shuffle(&mut order);
        for rows in order.chunks(BATCH) {
            let pixels = digits.pixels.select(Axis(0), rows).into_raw_vec_and_offset().0;
            let pixels = Tensor::<2>::from_data(TensorData::new(pixels, [rows.len(), PIXELS]), &device);
            let labels: Vec<i64> = rows.iter().map(|row| digits.labels[*row]).collect();
            let labels = Tensor::<1, Int>::from_data(TensorData::new(labels, [rows.len()]), &device);
            let gradients = loss.forward(network.logits(pixels), labels).backward();
            let gradients = GradientsParams::from_grads(gradients, &network);
            network = optimizer.step(5e-3, network, gradients);
        }
    }
    network.valid()
}
