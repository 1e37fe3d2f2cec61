//! A model in the place of another whose callers know only the other's signature.

use async_trait::async_trait;
use mlops_core::{Change, Error, Model, Request, Response, Result, Signature};

/// A model seen through a signature that its own is compatible with.
///
/// A replacement may accept more and give more than what it replaces. Its callers must not notice: what the
/// signature they know refuses is refused, and outputs they do not know are left out. Nothing is done where
/// the signatures are the same.
#[derive(Debug)]
pub(super) struct Narrowed<M> {
    model: M,
    /// `None` where it is the model's own.
    signature: Option<Signature>,
}

impl<M: Model> Narrowed<M> {
    /// # Errors
    /// [`Error::Conflict`] when the model would break callers who know `signature`; `what` names the model.
    pub(super) fn new(model: M, signature: &Signature, what: &str) -> Result<Self> {
        match signature.change_to(model.signature()) {
            Change::Identical => Ok(Self { model, signature: None }),
            Change::Compatible(_) => Ok(Self { model, signature: Some(signature.clone()) }),
            breaking @ Change::Breaking(_) => {
                Err(Error::conflict(format!("{what} would break callers: {breaking}")))
            }
        }
    }
}

#[async_trait]
impl<M: Model> Model for Narrowed<M> {
    fn signature(&self) -> &Signature {
        self.signature.as_ref().unwrap_or_else(|| self.model.signature())
    }

    async fn predict(&self, request: Request) -> Result<Response> {
        let Some(signature) = &self.signature else { return self.model.predict(request).await };
        signature.check(&request.inputs)?;
        let mut response = self.model.predict(request).await?;
        let known = |name: &str| signature.outputs().iter().any(|spec| spec.name() == name);
        response.outputs = response.outputs.into_iter().filter(|(name, _)| known(name)).collect();
        Ok(response)
    }
}

#[cfg(test)]
mod tests {
    use mlops_core::{DType, Dimension, Tensor, TensorSpec, Tensors, conformance};

    use super::*;

    /// Takes `x` and, where it comes, `y`; gives both back.
    #[derive(Debug)]
    struct Wide(Signature);

    fn spec(name: &str) -> TensorSpec {
        TensorSpec::new(name, DType::Fp32, [Dimension::Batch])
    }

    fn wide() -> Wide {
        Wide(Signature::new([spec("x"), spec("y").optional()], [spec("x"), spec("y").optional()]).unwrap())
    }

    #[async_trait]
    impl Model for Wide {
        fn signature(&self) -> &Signature {
            &self.0
        }

        async fn predict(&self, request: Request) -> Result<Response> {
            self.0.check(&request.inputs)?;
            let x = request.inputs.require("x")?.clone();
            let y = request.inputs.get("y").unwrap_or(&x).clone();
            Ok(Response::new(Tensors::new().with("x", x).with("y", y)).with_id(request.id))
        }
    }

    #[tokio::test]
    async fn callers_see_what_they_were_promised_and_no_more() {
        let narrow = Signature::new([spec("x")], [spec("x")]).unwrap();
        let model = Narrowed::new(wide(), &narrow, "the new model").unwrap();
        assert_eq!(model.signature(), &narrow);
        let inputs = Tensors::new().with("x", Tensor::from(vec![1.0_f32, 2.0]));
        conformance::model::check(&model, &inputs).await;
        let response = model.predict(Request::new(inputs)).await.unwrap();
        assert_eq!(response.outputs.names().collect::<Vec<_>>(), ["x"]);
    }

    #[tokio::test]
    async fn the_same_signature_changes_nothing() {
        let model = Narrowed::new(wide(), &wide().0, "the new model").unwrap();
        assert!(model.signature.is_none());
        conformance::model::check(&model, &Tensors::new().with("x", vec![1.0_f32])).await;
    }

    #[test]
    fn what_breaks_callers_is_a_conflict_that_says_how() {
        let needs_more = Signature::new([spec("x"), spec("z")], [spec("x")]).unwrap();
        let error = Narrowed::new(wide(), &needs_more, "the new model").unwrap_err();
        assert!(matches!(error, Error::Conflict { .. }), "{error:?}");
        let expected = "the new model would break callers: breaking: input `z` (FP32 [batch]) is removed";
        assert!(error.to_string().contains(expected), "{error}");
    }
}
