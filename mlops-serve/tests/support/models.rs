//! Small models that clients talk to.
#![allow(dead_code)]

use async_trait::async_trait;
use mlops_core::{
    DType, Dimension, Model, Request, Response, Result, Signature, Tensor, TensorSpec, Tensors,
};

/// Gives back what it takes: one optional tensor of two dimensions for every data type, named as the type is.
#[derive(Debug)]
pub(crate) struct Echo(Signature);

impl Echo {
    pub(crate) fn new() -> Result<Self> {
        let spec = |dtype: DType| {
            TensorSpec::new(dtype.name(), dtype, [Dimension::Batch, Dimension::Free]).optional()
        };
        Ok(Self(Signature::new(DType::ALL.map(spec), DType::ALL.map(spec))?))
    }
}

#[async_trait]
impl Model for Echo {
    fn signature(&self) -> &Signature {
        &self.0
    }

    async fn predict(&self, request: Request) -> Result<Response> {
        self.0.check(&request.inputs)?;
        Ok(Response::new(request.inputs).with_id(request.id))
    }
}

/// `OUTPUT0` is the sum of `INPUT0` and `INPUT1`, and `OUTPUT1` their difference, as in Triton's example `simple`.
#[derive(Debug)]
pub(crate) struct Adder(Signature);

impl Adder {
    pub(crate) fn new() -> Result<Self> {
        let spec = |name| TensorSpec::new(name, DType::Int32, [Dimension::Batch, Dimension::Fixed(16)]);
        let inputs = [spec("INPUT0"), spec("INPUT1")];
        Ok(Self(Signature::new(inputs, [spec("OUTPUT0"), spec("OUTPUT1")])?))
    }
}

#[async_trait]
impl Model for Adder {
    fn signature(&self) -> &Signature {
        &self.0
    }

    async fn predict(&self, request: Request) -> Result<Response> {
        self.0.check(&request.inputs)?;
        let first = request.inputs.require("INPUT0")?.view::<i32>()?;
        let second = request.inputs.require("INPUT1")?.view::<i32>()?;
        let outputs = Tensors::from([
            ("OUTPUT0", Tensor::from(&first + &second)),
            ("OUTPUT1", Tensor::from(&first - &second)),
        ]);
        Ok(Response::new(outputs).with_id(request.id))
    }
}
