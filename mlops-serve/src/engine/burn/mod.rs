//! Any [burn](https://burn.dev) module as an [`Engine`].
//!
//! # GPUs and their first calls
//! A GPU compiles kernels for what it is asked to compute, and measures variants of them to keep the fastest: the first
//! call of a shape takes seconds, the next ones their time. So run [`warm_up`](crate::EngineExt::warm_up) with the
//! batch sizes to come before the model is ready, or give [`Workers`](crate::Workers) the warm-up.
//!
//! What was compiled and measured is kept for the life of the process. To keep it on disk, turn burn's own feature
//! `persistence` on in your application (`burn = { version = "0.22", features = ["persistence"] }`; it brings a
//! database along, which is why no feature here does), and say where in a file `cubecl.toml` in the directory the
//! application runs in, or in one above it:
//!
//! ```toml
//! [environment]
//! path = { directory = "/var/cache/my-application" }
//! ```
//!
//! `CUBECL_AUTOTUNE_LEVEL=minimal` in the environment of the process shortens the measuring, where that matters more
//! than the fastest kernel.

mod convert;
mod open;
mod weights;

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};

use ::burn::tensor::{Bool, ExecutionError, Int, Tensor as BurnTensor, TensorData, Transaction};
use mlops_core::{Engine, Error, Result, Signature, Tensor, Tensors};

pub use open::AvailableDevice;

pub use crate::engine::{Device, WgpuAdapter};
pub use weights::{Format, Layout, Weights, load_burnpack, save_burnpack, save_safetensors};

/// Runs the forward pass of a burn module on a device chosen at run time.
///
/// The forward pass is a closure that owns the module. It takes the named inputs as burn tensors of the rank
/// and kind it asks for, and gives named outputs; the [`Signature`] says what they are to the outside.
///
/// ```
/// use mlops_core::{DType, Dimension, Engine, Signature, Tensor, TensorSpec, Tensors};
/// use mlops_serve::engine::burn::{BurnEngine, Device, Outputs};
///
/// let signature = Signature::new(
///     [TensorSpec::new("x", DType::Fp32, [Dimension::Batch, Dimension::Fixed(3)])],
///     [TensorSpec::new("best", DType::Int64, [Dimension::Batch])],
/// )?;
/// let engine = BurnEngine::new(signature, Device::Cpu, |inputs| {
///     let x = inputs.float::<2>("x")?;
///     Ok(Outputs::new().int("best", x.argmax(1).squeeze_dim::<1>(1)))
/// })?;
///
/// let x = Tensor::from_vec(&[2, 3], vec![0.1_f32, 0.7, 0.2, 0.9, 0.0, 0.1])?;
/// let outputs = engine.run(&Tensors::new().with("x", x))?;
/// assert_eq!(outputs.require("best")?.as_slice::<i64>()?, [1, 0]);
/// # Ok::<(), mlops_core::Error>(())
/// ```
pub struct BurnEngine {
    signature: Signature,
    device: Device,
    opened: ::burn::tensor::Device,
    forward: Box<Forward>,
}

type Forward = dyn Fn(&Inputs<'_>) -> Result<Outputs> + Send + Sync;

impl BurnEngine {
    /// An engine that computes `forward` on `device`.
    ///
    /// # Errors
    /// [`Error::Unavailable`] or [`Error::Unsupported`] when the device is not there.
    pub fn new(
        signature: Signature,
        device: Device,
        forward: impl Fn(&Inputs<'_>) -> Result<Outputs> + Send + Sync + 'static,
    ) -> Result<Self> {
        let opened = device.open()?;
        Ok(Self { signature, device, opened, forward: Box::new(forward) })
    }

    /// Where it computes.
    #[must_use]
    pub fn device(&self) -> &Device {
        &self.device
    }
}

impl fmt::Debug for BurnEngine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BurnEngine")
            .field("signature", &self.signature)
            .field("device", &self.device)
            .finish_non_exhaustive()
    }
}

impl Engine for BurnEngine {
    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn run(&self, inputs: &Tensors) -> Result<Tensors> {
        // burn panics on shapes that do not match and on devices that are lost.
        catch_unwind(AssertUnwindSafe(|| self.compute(inputs)))
            .unwrap_or_else(|payload| Err(Error::panicked(&*payload)))
    }
}

impl BurnEngine {
    fn compute(&self, inputs: &Tensors) -> Result<Tensors> {
        let outputs = (self.forward)(&Inputs { tensors: inputs, device: &self.opened })?;
        let mut read = outputs.read().map_err(|cause| {
            Error::engine(format!("the outputs cannot be read from `{}`: {cause}", self.device))
        })?;
        self.signature
            .outputs()
            .iter()
            .filter_map(|spec| {
                let position = read.iter().position(|(name, _)| name == spec.name())?;
                let (_, data) = read.swap_remove(position);
                Some(convert::to_tensor(spec, data).map(|tensor| (spec.name(), tensor)))
            })
            .collect()
    }
}

/// The inputs of a forward pass, as burn tensors on the engine's device.
#[derive(Debug)]
pub struct Inputs<'a> {
    tensors: &'a Tensors,
    device: &'a ::burn::tensor::Device,
}

impl Inputs<'_> {
    /// The float input of that name, in the device's float type.
    ///
    /// # Errors
    /// [`Error::Engine`] when it is missing, of a rank other than `D`, or no float: the signature has
    /// let the call pass, so the forward pass contradicts it.
    pub fn float<const D: usize>(&self, name: &str) -> Result<BurnTensor<D>> {
        let tensor = self.tensor::<D>(name)?;
        let data = convert::float_data(tensor).ok_or_else(|| wrong_kind(name, tensor, "floating-point"))?;
        Ok(BurnTensor::from_data(data, self.device))
    }

    /// The integer input of that name, in the device's integer type (32 bits, as burn has it).
    ///
    /// # Errors
    /// [`Error::InvalidInput`] when a number is too large for that type.
    /// [`Error::Engine`] when it is missing, of a rank other than `D`, or no integer: the signature has
    /// let the call pass, so the forward pass contradicts it.
    pub fn int<const D: usize>(&self, name: &str) -> Result<BurnTensor<D, Int>> {
        let tensor = self.tensor::<D>(name)?;
        let data = convert::int_data(tensor).ok_or_else(|| wrong_kind(name, tensor, "integer"))?;
        let int = self.device.settings().int_dtype;
        if let Some(index) = convert::out_of_range(tensor, int) {
            return Err(Error::invalid_input(format!(
                "input `{name}` holds a number at element {index} that {int:?}, the integers of the device, cannot hold"
            )));
        }
        Ok(BurnTensor::from_data(data, self.device))
    }

    /// The boolean input of that name.
    ///
    /// # Errors
    /// [`Error::Engine`] when it is missing, of a rank other than `D`, or not boolean: the signature has
    /// let the call pass, so the forward pass contradicts it.
    pub fn bool<const D: usize>(&self, name: &str) -> Result<BurnTensor<D, Bool>> {
        let tensor = self.tensor::<D>(name)?;
        let data = convert::bool_data(tensor).ok_or_else(|| wrong_kind(name, tensor, "boolean"))?;
        Ok(BurnTensor::from_data(data, self.device))
    }

    /// Whether an optional input came.
    #[must_use]
    pub fn contains(&self, name: &str) -> bool {
        self.tensors.get(name).is_some()
    }

    /// The device the engine computes on, for tensors made in the forward pass.
    #[must_use]
    pub fn device(&self) -> &::burn::tensor::Device {
        self.device
    }

    fn tensor<const D: usize>(&self, name: &str) -> Result<&Tensor> {
        let tensor = self.tensors.get(name).ok_or_else(|| {
            Error::engine(format!("the forward pass asks for `{name}`, which the call does not have"))
        })?;
        if tensor.shape().len() != D {
            let shape = tensor.shape();
            let what = format!("the forward pass asks for `{name}` of rank {D}, but its shape is {shape:?}");
            return Err(Error::engine(what));
        }
        Ok(tensor)
    }
}

fn wrong_kind(name: &str, tensor: &Tensor, kind: &str) -> Error {
    let dtype = tensor.dtype();
    Error::engine(format!("the forward pass asks for `{name}` as {kind}, but it holds {dtype}"))
}

/// The outputs of a forward pass, by name. They are read from the device together, once the pass is done.
#[derive(Default)]
pub struct Outputs {
    names: Vec<String>,
    tensors: Transaction,
}

impl Outputs {
    /// No output yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a float output. It leaves the engine in the float type the signature names.
    #[must_use]
    pub fn float<const D: usize>(self, name: impl Into<String>, tensor: BurnTensor<D>) -> Self {
        self.with(name, |tensors| tensors.register(tensor))
    }

    /// Adds an integer output. It leaves the engine in the integer type the signature names.
    #[must_use]
    pub fn int<const D: usize>(self, name: impl Into<String>, tensor: BurnTensor<D, Int>) -> Self {
        self.with(name, |tensors| tensors.register(tensor))
    }

    /// Adds a boolean output.
    #[must_use]
    pub fn bool<const D: usize>(self, name: impl Into<String>, tensor: BurnTensor<D, Bool>) -> Self {
        self.with(name, |tensors| tensors.register(tensor))
    }

    fn with(mut self, name: impl Into<String>, register: impl FnOnce(Transaction) -> Transaction) -> Self {
        self.names.push(name.into());
        self.tensors = register(self.tensors);
        self
    }

    fn read(self) -> std::result::Result<Vec<(String, TensorData)>, ExecutionError> {
        if self.names.is_empty() {
            return Ok(Vec::new());
        }
        Ok(self.names.into_iter().zip(self.tensors.try_execute()?).collect())
    }
}

impl fmt::Debug for Outputs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Outputs").field("names", &self.names).finish_non_exhaustive()
    }
}
