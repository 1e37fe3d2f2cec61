//! The contract of [`Model`].

use std::future::poll_fn;
use std::task::Poll;

use super::both;
use crate::{DType, Dimension, Error, Model, Request, Response, Tensor, TensorSpec, Tensors};

/// Exercises `model` with `inputs` that fit its signature, and with inputs that do not.
///
/// # Panics
/// With the promise that was broken.
pub async fn check(model: &impl Model, inputs: &Tensors) {
    assert!(!format!("{model:?}").is_empty(), "Debug says nothing");
    model.signature().check(inputs).expect("the inputs given to the suite must fit the signature");
    answers_what_fits(model, inputs).await;
    refuses_what_does_not_fit(model, inputs).await;
    calls_are_independent(model, inputs).await;
    abandoned_calls_do_no_harm(model, inputs).await;
}

async fn answers_what_fits(model: &impl Model, inputs: &Tensors) {
    let response = predict(model, inputs, "conformance-1").await;
    assert_eq!(response.id.as_deref(), Some("conformance-1"), "the response carries the id of its request");
    if let Err(violations) = model.signature().check_outputs(&response.outputs) {
        panic!("the outputs fit the signature; but {violations}");
    }
    let anonymous = model.predict(Request::new(inputs.clone())).await.expect("a request needs no id");
    assert_eq!(anonymous.id, None, "a request without an id gets a response without one");
    assert_eq!(anonymous.outputs.names().count(), response.outputs.names().count());
}

async fn refuses_what_does_not_fit(model: &impl Model, inputs: &Tensors) {
    refuse(model, inputs.clone().with("no such tensor", vec![0_u8]), "an unknown tensor").await;
    for spec in model.signature().inputs() {
        let name = spec.name();
        if !spec.is_optional() {
            let mut missing = inputs.clone();
            missing.remove(name);
            refuse(model, missing, &format!("a call without `{name}`")).await;
        }
        let Some(tensor) = inputs.get(name) else { continue };
        for (wrong, what) in misfits(spec, tensor) {
            refuse(model, inputs.clone().with(name, wrong), &format!("`{name}` {what}")).await;
        }
    }
}

/// Variations of a tensor that its specification does not allow.
fn misfits(spec: &TensorSpec, tensor: &Tensor) -> Vec<(Tensor, &'static str)> {
    let deeper: Vec<usize> = [1].iter().chain(tensor.shape()).copied().collect();
    let deeper = tensor.clone().reshape(&deeper).expect("a leading 1 changes no count");
    let other_type = if spec.dtype() == DType::Uint8 { DType::Int8 } else { DType::Uint8 };
    let retyped = Tensor::from_bytes(other_type, tensor.shape(), vec![0; tensor.len()]).expect("bytes");
    let mut misfits = vec![(deeper, "of a rank too many"), (retyped, "of another type")];
    if let Some(axis) = spec.shape().iter().position(|dimension| matches!(dimension, Dimension::Fixed(1..))) {
        let mut shape = tensor.shape().to_vec();
        shape[axis] = 0;
        let empty = Tensor::from_bytes(spec.dtype(), &shape, Vec::new()).expect("no bytes");
        misfits.push((empty, "with a fixed dimension too short"));
    }
    if spec.is_finite() && spec.dtype() == DType::Fp32 {
        let not_a_number =
            Tensor::from_vec(tensor.shape(), vec![f32::NAN; tensor.len()]).expect("same shape");
        misfits.extend((!tensor.is_empty()).then_some((not_a_number, "with NaN")));
    }
    misfits
}

async fn refuse(model: &impl Model, inputs: Tensors, what: &str) {
    match model.predict(Request::new(inputs)).await {
        Err(Error::InvalidInput(_)) => {}
        Err(other) => panic!("{what} is InvalidInput, but was {other:?}"),
        Ok(_) => panic!("{what} is refused, but was answered"),
    }
}

async fn calls_are_independent(model: &impl Model, inputs: &Tensors) {
    let before = predict(model, inputs, "before").await;
    let _ = model.predict(Request::new(Tensors::new().with("no such tensor", vec![0_u8]))).await;
    let (first, second) = both(predict(model, inputs, "first"), predict(model, inputs, "second")).await;
    assert_eq!(first.id.as_deref(), Some("first"), "concurrent answers are not mixed up");
    assert_eq!(second.id.as_deref(), Some("second"), "concurrent answers are not mixed up");
    for response in [&first, &second] {
        let shapes = |response: &Response| {
            response
                .outputs
                .iter()
                .map(|(name, tensor)| (name.to_owned(), tensor.shape().to_vec()))
                .collect::<Vec<_>>()
        };
        assert_eq!(shapes(response), shapes(&before), "a failed call changes no later one");
    }
}

async fn abandoned_calls_do_no_harm(model: &impl Model, inputs: &Tensors) {
    for _ in 0..8 {
        let mut call = model.predict(Request::new(inputs.clone()));
        let mut polled = false;
        poll_fn(|context| {
            if !polled {
                polled = true;
                let _ = call.as_mut().poll(context);
            }
            Poll::Ready(())
        })
        .await;
    }
    predict(model, inputs, "after abandoned calls").await;
}

async fn predict(model: &impl Model, inputs: &Tensors, id: &str) -> Response {
    match model.predict(Request::new(inputs.clone()).with_id(id)).await {
        Ok(response) => response,
        Err(error) => panic!("inputs that fit the signature are answered, but: {error}"),
    }
}
