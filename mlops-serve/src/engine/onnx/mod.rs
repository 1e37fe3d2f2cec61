//! Any [ONNX](https://onnx.ai) model as an [`Engine`], loaded at run time.
//!
#![doc = include_str!("../../../docs/onnx-operators.md")]

pub mod compress;
mod decode;
#[cfg(feature = "burn")]
mod device;
mod graph;
mod limits;
mod memory;
#[cfg(test)]
mod node_tests;
mod ops;
mod optimize;
mod options;
mod plan;
mod proto;
mod signature;
mod tensor;
mod value;
mod workspaces;

use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use mlops_core::{DType, Engine, Error, Result, Signature, Tensor, Tensors};

use crate::engine::Device;
use crate::kernels::parallel::Threads;
use decode::ExternalData;
use graph::{Graph, Kind, Length};
use limits::Limits;
pub use options::OnnxOptions;
use plan::{Plan, Timeline, Workspace};
use tensor::{HostTensor, Shape};
use value::Value;
use workspaces::Workspaces;

/// Runs an ONNX model.
///
/// The bytes are decoded, checked, rewritten and planned once, at load: an operator that is not there is reported
/// then, by name and node, never at the first request. A call may come from any number of threads at once; each works
/// in memory of its own, which is kept for the next.
///
/// ```no_run
/// use mlops_core::{Engine, Tensor, Tensors};
/// use mlops_serve::engine::{Device, onnx::OnnxEngine};
///
/// let artifact = std::fs::read("fraud.onnx")?; // or the bytes of a registry's artifact
/// let engine = OnnxEngine::load(artifact, Device::Cpu)?;
/// println!("{:#?}", engine.signature());
///
/// let rows = Tensor::from_vec(&[1, 32], vec![0.5_f32; 32])?;
/// let outputs = engine.run(&Tensors::new().with("input", rows))?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct OnnxEngine {
    signature: Signature,
    device: Device,
    producer: String,
    metadata: Vec<(String, String)>,
    input_names: Vec<Arc<str>>,
    output_names: Vec<Arc<str>>,
    plan: Plan,
    threads: Threads,
    limits: Limits,
    workspaces: Workspaces,
}

impl OnnxEngine {
    /// Loads a model from the bytes of its file.
    ///
    /// # Errors
    /// [`Error::InvalidInput`] when the bytes are no valid ONNX model; [`Error::Unsupported`] when it needs operators
    /// or types that are not there, all of them named; [`Error::Unavailable`] when the device is not there.
    pub fn load(model: impl Into<Bytes>, device: Device) -> Result<Self> {
        Self::load_with(model, device, &OnnxOptions::new())
    }

    /// Loads a model with options.
    ///
    /// # Errors
    /// As [`load`](Self::load).
    pub fn load_with(model: impl Into<Bytes>, device: Device, options: &OnnxOptions) -> Result<Self> {
        Self::new(&model.into(), &ExternalData::default(), device, options)
    }

    /// Loads a model from a file. Weights in files beside it are found there; nothing outside its folder is read.
    ///
    /// # Errors
    /// As [`load`](Self::load); [`Error::NotFound`] or [`Error::Unavailable`] when the file cannot be read.
    pub fn load_file(path: impl AsRef<Path>, device: Device, options: &OnnxOptions) -> Result<Self> {
        let path = path.as_ref();
        let bytes = std::fs::read(path).map_err(|cause| {
            let what = format!("the model {} cannot be read: {cause}", path.display());
            if cause.kind() == std::io::ErrorKind::NotFound {
                Error::not_found(what)
            } else {
                Error::unavailable(what)
            }
        })?;
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        Self::new(&bytes.into(), &ExternalData::in_folder(folder), device, options)
    }

    fn new(bytes: &Bytes, external: &ExternalData, device: Device, options: &OnnxOptions) -> Result<Self> {
        let limits = Limits { time: None, ..options.limits() };
        limits::within(limits, || Self::build(bytes, external, device, options))
    }

    fn build(bytes: &Bytes, external: &ExternalData, device: Device, options: &OnnxOptions) -> Result<Self> {
        let decode::Model { mut graph, producer, metadata, .. } = decode::decode(bytes, external)?;
        let missing = ops::missing(&graph);
        if !missing.is_empty() {
            return Err(Error::unsupported(format!(
                "the model needs what is not there: {}",
                missing.join("; ")
            )));
        }
        let threads = Threads::new(options.threads().get()).map_err(|cause| {
            Error::unavailable(format!("the threads of the engine cannot be started: {cause}"))
        })?;
        let declared = match options.signature() {
            Some(signature) => Some(signature.clone()),
            None if declares_outputs(&graph) => Some(signature::signature(&graph, &|_| None)?),
            None => None,
        };
        let names = |ids: &[graph::ValueId]| ids.iter().map(|&id| Arc::clone(graph.value_name(id))).collect();
        let (input_names, output_names): (Vec<_>, Vec<_>) = (names(&graph.inputs), names(&graph.outputs));
        let written = graph.clone(); // shares the weights
        if options.optimizes() {
            optimize::optimize(&mut graph)?;
            if device == Device::Cpu {
                optimize::lay_out(&mut graph);
            }
        }
        let plan = plan_for(&graph, &device)?;
        let signature = match declared {
            Some(signature) => signature,
            None => {
                let probed = probe(&written, &plan, &threads);
                signature::signature(&written, &|index| probed.get(index).cloned().flatten())?
            }
        };
        Ok(Self {
            signature,
            device,
            producer,
            metadata,
            input_names,
            output_names,
            plan,
            threads,
            limits: options.limits(),
            workspaces: Workspaces::default(),
        })
    }

    /// Where it computes.
    #[must_use]
    pub fn device(&self) -> Device {
        self.device.clone()
    }

    /// Which tool wrote the file, as far as it says so.
    #[must_use]
    pub fn producer(&self) -> &str {
        &self.producer
    }

    /// The key-value pairs the file carries along.
    pub fn metadata(&self) -> impl ExactSizeIterator<Item = (&str, &str)> {
        self.metadata.iter().map(|(key, value)| (key.as_str(), value.as_str()))
    }

    /// The number of steps of a call, after rewriting.
    #[must_use]
    pub fn steps(&self) -> usize {
        self.plan.len()
    }

    /// Computes the outputs, and says how long each step took, in order: operator and node of the file, and time.
    ///
    /// # Errors
    /// As [`run`](Engine::run).
    pub fn profile(&self, inputs: &Tensors) -> Result<Vec<(String, Duration)>> {
        let mut timeline = Timeline::new();
        self.compute(inputs, Some(&mut timeline))?;
        Ok(timeline.into_iter().map(|(label, time)| (label.to_string(), time)).collect())
    }

    fn compute(&self, inputs: &Tensors, timeline: Option<&mut Timeline>) -> Result<Tensors> {
        limits::within(self.limits, || self.compute_within(inputs, timeline))
    }

    fn compute_within(&self, inputs: &Tensors, timeline: Option<&mut Timeline>) -> Result<Tensors> {
        let mut values = Vec::with_capacity(self.input_names.len());
        for name in &self.input_names {
            values.push(Value::Tensor(HostTensor::try_from(inputs.require(name)?)?));
        }
        let mut workspace = self.workspaces.take();
        let outputs = self.plan.run(values.into_iter(), &mut workspace, &self.threads, timeline);
        self.workspaces.give_back(workspace);
        let outputs = outputs?;
        #[cfg(feature = "burn")]
        let outputs = read_back(outputs)?;
        let named = self.output_names.iter().zip(outputs).map(|(name, value)| match value {
            Value::Tensor(tensor) => Ok((Arc::clone(name), Tensor::try_from(tensor)?)),
            _ => Err(Error::engine(format!("the output `{name}` is no tensor"))),
        });
        named.collect()
    }
}

impl fmt::Debug for OnnxEngine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OnnxEngine")
            .field("signature", &self.signature)
            .field("device", &self.device)
            .field("producer", &self.producer)
            .field("steps", &self.plan.len())
            .finish_non_exhaustive()
    }
}

impl Engine for OnnxEngine {
    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn run(&self, inputs: &Tensors) -> Result<Tensors> {
        self.compute(inputs, None)
    }
}

/// The plan of a graph, for the processor or another device.
fn plan_for(graph: &Graph, device: &Device) -> Result<Plan> {
    if *device == Device::Cpu {
        return Plan::new(graph, &mut ops::build);
    }
    #[cfg(feature = "burn")]
    {
        let mut placement = device::Placement::on(device)?;
        Plan::new(graph, &mut |source| placement.build(source))
    }
    #[cfg(not(feature = "burn"))]
    Err(Error::unsupported(format!("this build has no {device}: enable the feature `wgpu` or `cuda`")))
}

#[cfg(feature = "burn")]
fn read_back(mut outputs: Vec<Value>) -> Result<Vec<Value>> {
    outputs.iter_mut().try_for_each(Value::read_back)?;
    Ok(outputs)
}

/// Whether the file says of every output which type and shape it has, and may be believed: where inputs have open
/// dimensions, an output without any is doubtful.
fn declares_outputs(graph: &Graph) -> bool {
    let shape = |id: &graph::ValueId| match &graph.values[id.0].kind {
        Some(Kind::Tensor { shape, .. }) => shape.as_deref(),
        _ => None,
    };
    let is_open = |shape: &[Length]| shape.iter().any(|length| !matches!(length, Length::Fixed(_)));
    let open_inputs = graph.inputs.iter().filter_map(shape).any(is_open);
    graph.outputs.iter().all(|id| match &graph.values[id.0].kind {
        None | Some(Kind::Tensor { shape: None, .. }) => false,
        Some(Kind::Tensor { shape: Some(shape), .. }) => !open_inputs || is_open(shape),
        Some(_) => true,
    })
}

/// The longest a run may take that finds out shapes.
const PROBING: Duration = Duration::from_secs(2);

/// The most elements a tensor may have in such a run, if no weight has more.
const PROBED_TENSOR: usize = 1 << 24;

/// Type and shape of each output, found by running the plan on zeros of two different sizes: a length that
/// changes is open. Nothing is known when a run fails, or takes too much.
fn probe(graph: &Graph, plan: &Plan, threads: &Threads) -> Vec<Option<(DType, Vec<Length>)>> {
    let elements = graph.largest_constant().max(PROBED_TENSOR);
    let limits = Limits { elements, time: Some(PROBING) };
    let run = |open| limits::within(limits, || probe_once(graph, plan, threads, open));
    let runs: Option<Vec<Vec<Value>>> = [2, 3].into_iter().map(run).collect();
    let Some([first, second]) = runs.and_then(|runs| <[_; 2]>::try_from(runs).ok()) else {
        return Vec::new();
    };
    let compared = first.iter().zip(&second).map(|values| match values {
        (Value::Tensor(first), Value::Tensor(second)) if first.rank() == second.rank() => {
            let lengths = first.shape().iter().zip(second.shape());
            let lengths = lengths.map(|(a, b)| if a == b { Length::Fixed(*a) } else { Length::Unknown });
            Some((first.dtype(), lengths.collect()))
        }
        _ => None,
    });
    compared.collect()
}

fn probe_once(graph: &Graph, plan: &Plan, threads: &Threads, open: usize) -> Option<Vec<Value>> {
    let zeros = graph.inputs.iter().map(|id| match &graph.values[id.0].kind {
        Some(Kind::Tensor { dtype, shape: Some(shape) }) => {
            let lengths = shape.iter().map(|length| match length {
                Length::Fixed(length) => *length,
                Length::Symbol(_) | Length::Unknown => open,
            });
            tensor::zeros(*dtype, lengths.collect::<Shape>()).ok().map(Value::Tensor)
        }
        _ => None,
    });
    let zeros: Vec<Value> = zeros.collect::<Option<_>>()?;
    let run = || plan.run(zeros.into_iter(), &mut Workspace::default(), threads, None);
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(run)).ok()?.ok()
}
