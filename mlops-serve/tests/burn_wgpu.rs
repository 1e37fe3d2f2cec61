//! The burn engine on whatever adapter wgpu finds: a GPU, or software Vulkan (`mesa-vulkan-drivers` on Debian).
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout)]

use burn::module::Module;
use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::nn::{LayerNorm, LayerNormConfig, Linear, LinearConfig};
use burn::tensor::activation::{relu, softmax};
use mlops_core::{
    DType, Dimension, Engine, Error, Model, Request, Response, Signature, Tensor, TensorSpec, Tensors,
    conformance,
};
use mlops_serve::engine::burn::{BurnEngine, Device, Outputs, Weights, save_burnpack};
use mlops_serve::{EngineExt, WarmUp, Workers};
use ndarray::{Array2, Array4, array};

#[path = "support/skip.rs"]
mod skip;

use skip::skip;

/// The adapter to test on. Without one the test is skipped, or fails where nothing may be skipped.
fn adapter() -> Option<Device> {
    let found = Device::available().into_iter().find(|found| matches!(found.device, Device::Wgpu(_)));
    if let Some(found) = found {
        return Some(found.device);
    }
    skip("wgpu finds no adapter; `apt-get install mesa-vulkan-drivers libvulkan1` gives a software one");
    None
}

/// A little of everything: convolution, normalisation, matrix products, reductions.
#[derive(Module, Debug)]
struct Net {
    conv: Conv2d,
    norm: LayerNorm,
    linear: Linear,
}

impl Net {
    fn new(device: &Device) -> Self {
        let device = device.open().unwrap();
        Self {
            conv: Conv2dConfig::new([1, 4], [3, 3]).init(&device),
            norm: LayerNormConfig::new(4 * 6 * 6).init(&device),
            linear: LinearConfig::new(4 * 6 * 6, 3).init(&device),
        }
    }

    fn engine(self, device: Device) -> BurnEngine {
        let fixed = |sizes: &[usize]| {
            std::iter::once(Dimension::Batch)
                .chain(sizes.iter().map(|size| Dimension::Fixed(*size)))
                .collect::<Vec<_>>()
        };
        let signature = Signature::new(
            [TensorSpec::new("image", DType::Fp32, fixed(&[1, 8, 8]))],
            [
                TensorSpec::new("scores", DType::Fp32, fixed(&[3])),
                TensorSpec::new("best", DType::Int64, fixed(&[])),
            ],
        );
        BurnEngine::new(signature.unwrap(), device, move |inputs| {
            let x = relu(self.conv.forward(inputs.float::<4>("image")?));
            let x = self.norm.forward(x.flatten::<2>(1, 3));
            let scores = softmax(self.linear.forward(x), 1);
            Ok(Outputs::new()
                .int("best", scores.clone().argmax(1).squeeze_dim::<1>(1))
                .float("scores", scores))
        })
        .unwrap()
    }
}

fn images(count: usize) -> Tensors {
    let pixel = |(image, _, row, column): (usize, usize, usize, usize)| {
        ((image * 31 + row * 7 + column * 3) % 11) as f32 / 11.0
    };
    Tensors::new().with("image", Array4::from_shape_fn((count, 1, 8, 8), pixel))
}

#[test]
fn it_computes_what_the_processor_computes() {
    let Some(device) = adapter() else { return };
    let cpu = Net::new(&Device::Cpu);
    let weights = Weights::burnpack(save_burnpack(&cpu).unwrap());
    let gpu = weights.load_into(Net::new(&device)).unwrap();
    let (cpu, gpu) = (cpu.engine(Device::Cpu), gpu.engine(device));
    let took = gpu.warm_up(&WarmUp::batches([1, 5])).unwrap();
    println!("warm-up on {}: {took:?}", gpu.device());
    for count in [1, 5] {
        let (cpu, gpu) = (cpu.run(&images(count)).unwrap(), gpu.run(&images(count)).unwrap());
        let scores =
            |outputs: &Tensors| outputs.require("scores").unwrap().as_slice::<f32>().unwrap().to_vec();
        for (expected, got) in scores(&cpu).into_iter().zip(scores(&gpu)) {
            assert!((expected - got).abs() < 1e-4, "{got} for {expected}");
        }
        assert_eq!(cpu.require("best").unwrap(), gpu.require("best").unwrap());
    }
}

#[tokio::test]
async fn on_workers_it_keeps_the_contract_and_answers_callers_at_once() {
    let Some(device) = adapter() else { return };
    let engine = Net::new(&device).engine(device);
    let model = engine.on_workers(Workers::new(2).with_warm_up(WarmUp::batches([1, 2]))).unwrap();
    conformance::model::check(&model, &images(2)).await;
    let call = || model.predict(Request::new(images(1)));
    let (a, b, c, d) = tokio::join!(call(), call(), call(), call());
    let best =
        |answer: mlops_core::Result<Response>| answer.unwrap().outputs.require("best").unwrap().clone();
    let first = best(a);
    for answer in [b, c, d] {
        assert_eq!(best(answer), first);
    }
}

#[test]
fn every_kind_goes_in_and_comes_out() {
    let Some(device) = adapter() else { return };
    let spec = |name, dtype| TensorSpec::new(name, dtype, [Dimension::Batch, Dimension::Fixed(2)]);
    let signature = Signature::new(
        [spec("float", DType::Fp64), spec("int", DType::Int64), spec("bool", DType::Bool)],
        [spec("doubled", DType::Fp64), spec("next", DType::Int64), spec("not", DType::Bool)],
    );
    let engine = BurnEngine::new(signature.unwrap(), device, |inputs| {
        Ok(Outputs::new()
            .bool("not", inputs.bool::<2>("bool")?.bool_not())
            .float("doubled", inputs.float::<2>("float")?.mul_scalar(2.0))
            .int("next", inputs.int::<2>("int")?.add_scalar(1)))
    })
    .unwrap();
    let inputs = |int: i64| {
        Tensors::new()
            .with("float", array![[1.5_f64, -2.0]])
            .with("int", array![[int, 7]])
            .with("bool", array![[true, false]])
    };
    let outputs = engine.run(&inputs(-3)).unwrap();
    assert_eq!(outputs.require("doubled").unwrap().as_slice::<f64>().unwrap(), [3.0, -4.0]);
    assert_eq!(outputs.require("next").unwrap().as_slice::<i64>().unwrap(), [-2, 8]);
    assert_eq!(outputs.require("not").unwrap().as_slice::<bool>().unwrap(), [false, true]);
    assert!(matches!(engine.run(&inputs(1 << 40)), Err(Error::InvalidInput(_))));
}

#[test]
fn a_panic_is_an_error_of_that_call_alone() {
    let Some(device) = adapter() else { return };
    let spec = |name| TensorSpec::new(name, DType::Fp32, [Dimension::Batch, Dimension::Fixed(2)]);
    let engine = BurnEngine::new(Signature::new([spec("x")], [spec("y")]).unwrap(), device, |inputs| {
        let x = inputs.float::<2>("x")?;
        Ok(Outputs::new().float("y", if x.dims()[0] == 3 { x.reshape([5, 5]) } else { x.add_scalar(1.0) }))
    })
    .unwrap();
    for _ in 0..2 {
        let error = engine.run(&Tensors::new().with("x", Array2::<f32>::ones((3, 2)))).unwrap_err();
        assert!(matches!(error, Error::Engine { .. }), "{error:?}");
        let outputs = engine.run(&Tensors::new().with("x", Array2::<f32>::ones((1, 2)))).unwrap();
        assert_eq!(outputs.require("y").unwrap(), &Tensor::from_vec(&[1, 2], vec![2.0_f32, 2.0]).unwrap());
    }
}

#[test]
fn opening_is_the_same_device_from_every_thread_and_says_what_is_there() {
    let Some(device) = adapter() else { return };
    let opened: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(|| device.open().unwrap())).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert!(opened.windows(2).all(|pair| pair[0] == pair[1]));
    assert_eq!("wgpu:0".parse::<Device>().unwrap().open().unwrap(), opened[0]);
    for absent in ["wgpu:no such adapter", "wgpu:99"] {
        let error = absent.parse::<Device>().unwrap().open().unwrap_err();
        assert!(matches!(error, Error::Unavailable { .. }), "{error:?}");
        assert!(error.to_string().contains("there are wgpu:0 ("), "{error}");
    }
}
