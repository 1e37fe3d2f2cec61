//! The burn engine keeps the contract of `Engine`, and as a model that of `Model`.
#![allow(clippy::unwrap_used, clippy::panic)]

use burn::nn::{Linear, LinearConfig};
use half::f16;
use mlops_core::{
    DType, Dimension, Engine, Error, Model, Request, Result, Signature, TensorSpec, Tensors, conformance,
};
use mlops_serve::engine::burn::{BurnEngine, Device, Inputs, Outputs, load_burnpack, save_burnpack};
use mlops_serve::{EngineExt, WarmUp, Workers};
use ndarray::{Array2, array};
use proptest::prelude::*;

fn spec(name: &str, dtype: DType, columns: usize) -> TensorSpec {
    TensorSpec::new(name, dtype, [Dimension::Batch, Dimension::Fixed(columns)])
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn hostile_weights_never_panic(
        bytes in prop::collection::vec(any::<u8>(), 0..200), at in any::<prop::sample::Index>(), flip in 1..=255_u8,
    ) {
        prop_assert!(load_burnpack(linear(), &bytes.clone().into()).is_err());
        let mut weights = save_burnpack(&linear()).unwrap().to_vec();
        let at = at.index(weights.len());
        weights[at] ^= flip;
        let _ = load_burnpack(linear(), &weights.into()); // a flipped weight is still a weight
    }
}

fn engine(
    inputs: impl IntoIterator<Item = TensorSpec>,
    outputs: impl IntoIterator<Item = TensorSpec>,
    forward: impl Fn(&Inputs<'_>) -> Result<Outputs> + Send + Sync + 'static,
) -> BurnEngine {
    BurnEngine::new(Signature::new(inputs, outputs).unwrap(), Device::Cpu, forward).unwrap()
}

fn linear() -> Linear {
    LinearConfig::new(4, 3).init(&Device::Cpu.open().unwrap())
}

fn linear_engine(module: Linear) -> BurnEngine {
    engine([spec("x", DType::Fp32, 4).finite()], [spec("y", DType::Fp32, 3)], move |inputs| {
        Ok(Outputs::new().float("y", module.forward(inputs.float::<2>("x")?)))
    })
}

#[tokio::test]
async fn it_keeps_the_contract_of_a_model() {
    let inputs = Tensors::new().with("x", Array2::<f32>::ones((5, 4)));
    conformance::model::check(&linear_engine(linear()).inline(), &inputs).await;
    let workers = Workers::new(2).with_warm_up(WarmUp::batches([1, 5]));
    conformance::model::check(&linear_engine(linear()).on_workers(workers).unwrap(), &inputs).await;
}

#[test]
fn a_batch_gives_what_its_rows_give_one_by_one() {
    let engine = linear_engine(linear());
    let rows = Array2::from_shape_fn((7, 4), |(row, column)| (row * 4 + column) as f32 * 0.1);
    let batch = engine.run(&Tensors::new().with("x", rows.clone())).unwrap();
    let batch = batch.require("y").unwrap().view::<f32>().unwrap();
    for (index, row) in rows.outer_iter().enumerate() {
        let row = row.to_owned().into_shape_with_order((1, 4)).unwrap();
        let single = engine.run(&Tensors::new().with("x", row)).unwrap();
        let single = single.require("y").unwrap().view::<f32>().unwrap();
        for column in 0..3 {
            assert!((batch[[index, column]] - single[[0, column]]).abs() < 1e-5);
        }
    }
}

#[test]
fn every_kind_and_type_goes_in_and_comes_out_as_the_signature_says() {
    let engine = engine(
        [spec("half", DType::Fp16, 2), spec("count", DType::Uint8, 2), spec("flag", DType::Bool, 2)],
        [spec("doubled", DType::Fp64, 2), spec("next", DType::Int32, 2), spec("not", DType::Bool, 2)],
        |inputs| {
            Ok(Outputs::new()
                .bool("not", inputs.bool::<2>("flag")?.bool_not())
                .float("doubled", inputs.float::<2>("half")?.mul_scalar(2.0))
                .int("next", inputs.int::<2>("count")?.add_scalar(1)))
        },
    );
    let outputs = engine
        .run(
            &Tensors::new()
                .with("half", array![[f16::from_f32(1.5), f16::from_f32(-2.0)]])
                .with("count", array![[7_u8, 200]])
                .with("flag", array![[true, false]]),
        )
        .unwrap();
    assert_eq!(
        outputs.names().collect::<Vec<_>>(),
        ["doubled", "next", "not"],
        "in the order of the signature"
    );
    assert_eq!(outputs.require("doubled").unwrap().as_slice::<f64>().unwrap(), [3.0, -4.0]);
    assert_eq!(outputs.require("next").unwrap().as_slice::<i32>().unwrap(), [8, 201]);
    assert_eq!(outputs.require("not").unwrap().as_slice::<bool>().unwrap(), [false, true]);
}

#[tokio::test]
async fn a_panic_or_a_broken_promise_is_an_error_of_that_call_alone() {
    let model = engine([spec("x", DType::Fp32, 2)], [spec("y", DType::Fp32, 2)], |inputs| {
        let x = inputs.float::<2>("x")?;
        let first = x.clone().into_data().try_to_vec::<f32>().unwrap()[0];
        Ok(match first {
            f if f < 0.0 => Outputs::new().float("y", x.reshape([3, 3])), // burn panics
            0.0 => Outputs::new(),                                        // the output is missing
            1.0 => Outputs::new().float("y", inputs.float::<3>("x")?),    // asks for the wrong rank
            _ => Outputs::new().float("y", x),
        })
    })
    .inline();
    let predict = |first: f32| model.predict(Request::new(Tensors::new().with("x", array![[first, 2.0]])));
    for (first, expected) in [(-1.0, "panicked"), (0.0, "break the signature"), (1.0, "of rank 3")] {
        let error = predict(first).await.unwrap_err();
        assert!(matches!(error, Error::Engine { .. }), "{error:?}");
        assert!(error.to_string().contains(expected), "{error}");
    }
    assert!(predict(2.0).await.is_ok());
}

#[test]
fn a_direct_run_does_not_panic_either() {
    let panics = engine([spec("x", DType::Fp32, 2)], [spec("y", DType::Fp32, 2)], |inputs| {
        Ok(Outputs::new().float("y", inputs.float::<2>("x")?.reshape([3, 3])))
    });
    for _ in 0..2 {
        let error = panics.run(&Tensors::new().with("x", array![[1.0_f32, 2.0]])).unwrap_err();
        assert!(matches!(error, Error::Engine { .. }), "{error:?}");
        assert!(error.to_string().contains("panicked"), "{error}");
    }
}

#[test]
fn an_integer_that_the_device_cannot_hold_is_refused_not_changed() {
    let engine = engine([spec("id", DType::Int64, 2)], [spec("same", DType::Int64, 2)], |inputs| {
        Ok(Outputs::new().int("same", inputs.int::<2>("id")?))
    });
    let run = |[a, b]: [i64; 2]| engine.run(&Tensors::new().with("id", array![[a, b]]));
    let outputs = run([i64::from(i32::MIN), 7]).unwrap();
    assert_eq!(outputs.require("same").unwrap().as_slice::<i64>().unwrap(), [i64::from(i32::MIN), 7]);
    let error = run([7, 5_000_000_000]).unwrap_err();
    assert!(matches!(error, Error::InvalidInput(_)), "{error:?}");
    assert!(error.to_string().contains("input `id` holds a number at element 1 that I32"), "{error}");
}

#[test]
fn devices_say_what_is_there() {
    let available = Device::available();
    assert!(available.iter().any(|found| found.to_string() == "cpu (the processor)"), "{available:?}");
    for absent in ["wgpu:no such adapter", "cuda:9999"] {
        let error = absent.parse::<Device>().unwrap().open().unwrap_err();
        assert!(matches!(error, Error::Unsupported { .. } | Error::Unavailable { .. }), "{error:?}");
    }
}

#[tokio::test]
async fn a_request_that_comes_after_its_deadline_is_not_computed() {
    let model = linear_engine(linear()).inline();
    let inputs = Tensors::new().with("x", Array2::<f32>::ones((1, 4)));
    let late = Request::new(inputs).with_deadline(mlops_core::Instant::now());
    assert!(matches!(model.predict(late).await, Err(Error::DeadlineExceeded { .. })));
}

#[test]
fn weights_round_trip_and_those_of_another_module_are_refused() {
    let trained = linear();
    let weights = save_burnpack(&trained).unwrap();
    let inputs = Tensors::new().with("x", Array2::<f32>::ones((2, 4)));
    let expected = linear_engine(trained).run(&inputs).unwrap();
    let fresh = linear_engine(linear());
    assert_ne!(fresh.run(&inputs).unwrap(), expected, "two initialisations differ");
    let loaded = linear_engine(load_burnpack(linear(), &weights).unwrap());
    assert_eq!(loaded.run(&inputs).unwrap(), expected);

    let other = LinearConfig::new(4, 5).init(&Device::Cpu.open().unwrap());
    for (module, bytes) in [
        (other, weights.clone()),
        (linear(), weights.slice(..weights.len() / 2)),
        (linear(), mlops_core::reexports::bytes::Bytes::from_static(b"not a burnpack")),
    ] {
        let error = load_burnpack(module, &bytes).unwrap_err();
        assert!(matches!(error, Error::InvalidInput(_)), "{error:?}");
    }
}
