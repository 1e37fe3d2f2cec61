//! The conformance suite of `Model` refuses models that break the contract, each for its own reason.
#![allow(clippy::unwrap_used)]

use async_trait::async_trait;
use mlops_core::{
    DType, Dimension, Error, Model, Request, Response, Result, Signature, TensorSpec, Tensors, conformance,
};
use ndarray::Array2;

#[derive(Debug, Clone, Copy, PartialEq)]
enum Fault {
    None,
    ForgetsTheId,
    InventsAnId,
    ChecksNothing,
    BlamesTheEngine,
    BreaksItsSignature,
    FailsOnGoodInput,
}

#[derive(Debug)]
struct Faulty {
    signature: Signature,
    fault: Fault,
}

#[async_trait]
impl Model for Faulty {
    fn signature(&self) -> &Signature {
        &self.signature
    }

    async fn predict(&self, request: Request) -> Result<Response> {
        match (self.signature.check(&request.inputs), self.fault) {
            (Ok(()), Fault::FailsOnGoodInput) => return Err(Error::engine("no reason")),
            (Err(violations), Fault::BlamesTheEngine) => {
                return Err(Error::engine("wrong inputs").with_source(violations));
            }
            (Err(_), Fault::ChecksNothing) | (Ok(()), _) => {}
            (Err(violations), _) => return Err(violations.into()),
        }
        let output = if self.fault == Fault::BreaksItsSignature { "z" } else { "y" };
        let outputs = Tensors::new().with(output, Array2::<f32>::zeros((3, 1)));
        let id = match self.fault {
            Fault::ForgetsTheId => None,
            Fault::InventsAnId => request.id.or_else(|| Some("made-up".into())),
            _ => request.id,
        };
        Ok(Response::new(outputs).with_id(id))
    }
}

async fn check(fault: Fault) {
    let spec = |name, columns: usize| {
        TensorSpec::new(name, DType::Fp32, [Dimension::Batch, columns.into()]).finite()
    };
    let signature = Signature::new([spec("x", 2)], [spec("y", 1)]).unwrap();
    let inputs = Tensors::new().with("x", Array2::<f32>::ones((3, 2)));
    conformance::model::check(&Faulty { signature, fault }, &inputs).await;
}

#[tokio::test]
async fn a_model_that_keeps_the_contract_passes() {
    check(Fault::None).await;
}

macro_rules! refused {
    ($($name:ident: $fault:ident because $reason:literal;)*) => {$(
        #[tokio::test]
        #[should_panic(expected = $reason)]
        async fn $name() {
            check(Fault::$fault).await;
        }
    )*};
}

refused! {
    an_id_must_come_back: ForgetsTheId because "carries the id of its request";
    an_id_is_not_made_up: InventsAnId because "a response without one";
    inputs_are_checked: ChecksNothing because "is refused, but was answered";
    wrong_input_is_the_callers_fault: BlamesTheEngine because "is InvalidInput, but was";
    outputs_fit_the_signature: BreaksItsSignature because "output `y` is missing";
    good_input_is_answered: FailsOnGoodInput because "inputs that fit the signature are answered";
}
