//! Weights of burn modules: read from burnpack, safetensors and PyTorch checkpoints, and written.

mod fill;
mod pickle;
mod pytorch;
mod report;
mod save;
mod source;

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use ::burn::module::Module;
use ::burn::store::KeyRemapper;
use bytes::Bytes;
use mlops_core::{Error, Result};

pub use save::{save_burnpack, save_safetensors};

use source::Data;

/// Weights on their way into a burn module.
///
/// The format is that of the constructor, or is seen in the content by [`open`](Self::open) and
/// [`from_bytes`](Self::from_bytes). Nothing is read before [`load_into`](Self::load_into), which reads one tensor
/// at a time: the peak is the module and its largest tensor.
///
/// Names are those of the module's fields (`encoder.layers.0.weight`); [`with_key_remap`](Self::with_key_remap)
/// renames those of the file. Every weight of the module must be in the file and the other way round, in its shape,
/// and finite, unless an option says otherwise. Floats and integers become those of the types that the module's device computes
/// in.
///
/// **Layout.** PyTorch keeps the weight of a linear layer as `[output, input]`, burn as `[input, output]`, and the two
/// differ in the names of normalisation weights. Checkpoints of PyTorch are in its [layout](Layout), and safetensors,
/// which do not say, are taken to be (as almost all are), unless burn wrote them; burnpack is in burn's. Both are
/// converted. PyTorch's counters `num_batches_tracked` are left out.
///
/// **Trust.** Files may be corrupt or hostile. PyTorch checkpoints are pickles, of which only the few forms that make
/// up a checkpoint are interpreted and no code is run; those that would take a lot of memory to read are refused.
///
/// ```
/// use burn::nn::LinearConfig;
/// use mlops_serve::engine::Device;
/// use mlops_serve::engine::burn::{Weights, save_safetensors};
///
/// let device = Device::Cpu.open()?;
/// let trained = LinearConfig::new(4, 3).init(&device);
/// let bytes = save_safetensors(&trained)?;
///
/// let loaded = Weights::safetensors(bytes).load_into(LinearConfig::new(4, 3).init(&device))?;
/// assert_eq!(loaded.weight.val().into_data(), trained.weight.val().into_data());
/// # Ok::<(), mlops_core::Error>(())
/// ```
#[derive(Debug, Clone)]
#[must_use]
pub struct Weights {
    data: Data,
    format: Format,
    options: Options,
}

/// A format of weights.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Format {
    /// burn's own.
    Burnpack,
    /// <https://github.com/huggingface/safetensors>
    Safetensors,
    /// What `torch.save` writes: a zip archive since PyTorch 1.6, a stream of pickles before.
    Pytorch,
}

/// Whose conventions of names and axes weights follow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Layout {
    /// Linear weights as `[input, output]`; normalisation weights called `gamma` and `beta`.
    Burn,
    /// Linear weights as `[output, input]`; normalisation weights called `weight` and `bias`.
    Pytorch,
}

#[derive(Debug, Clone)]
struct Options {
    top_level_key: Option<String>,
    remapper: KeyRemapper,
    contiguous_indices: bool,
    layout: Option<Layout>,
    allow_missing: bool,
    allow_unexpected: bool,
    allow_not_finite: bool,
    stored_precision: bool,
}

impl Weights {
    /// The weights in a burnpack, as [`save_burnpack`] writes it.
    pub fn burnpack(bytes: impl Into<Bytes>) -> Self {
        Self::new(Data::Memory(bytes.into()), Format::Burnpack)
    }

    /// The weights in a safetensors file.
    pub fn safetensors(bytes: impl Into<Bytes>) -> Self {
        Self::new(Data::Memory(bytes.into()), Format::Safetensors)
    }

    /// The weights in a checkpoint of PyTorch. It passes through a temporary file.
    pub fn pytorch(bytes: impl Into<Bytes>) -> Self {
        Self::new(Data::Memory(bytes.into()), Format::Pytorch)
    }

    /// The weights in a file whose format is seen in its content.
    ///
    /// # Errors
    /// [`Error::InvalidInput`] when it is in none of the [formats](Format).
    pub fn from_bytes(bytes: impl Into<Bytes>) -> Result<Self> {
        let bytes = bytes.into();
        let format = Format::of(&bytes)?;
        Ok(Self::new(Data::Memory(bytes), format))
    }

    /// The weights in the file at `path`, whose format is seen in its content, not in its name.
    ///
    /// Burnpack and safetensors are mapped into memory until they are loaded, and must not be changed in place
    /// meanwhile; to replace a file, rename another one over it. Checkpoints of PyTorch are read as needed.
    ///
    /// # Errors
    /// [`Error::NotFound`] when there is no such file; [`Error::Unavailable`] when it cannot be read;
    /// [`Error::InvalidInput`] when it is in none of the [formats](Format).
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        source::open(path.as_ref()).map(|(data, format)| Self::new(data, format))
    }

    fn new(data: Data, format: Format) -> Self {
        let options = Options {
            top_level_key: None,
            remapper: KeyRemapper::new(),
            contiguous_indices: false,
            layout: None,
            allow_missing: false,
            allow_unexpected: false,
            allow_not_finite: false,
            stored_precision: false,
        };
        Self { data, format, options }
    }

    /// The format.
    #[must_use]
    pub fn format(&self) -> Format {
        self.format
    }

    /// Renames tensors of the file: every match of the regular expression becomes the replacement, where `$1` is its
    /// first group. Several renamings follow one another.
    ///
    /// # Errors
    /// [`Error::InvalidInput`] when `pattern` is no regular expression.
    pub fn with_key_remap(mut self, pattern: &str, replacement: impl Into<String>) -> Result<Self> {
        self.options.remapper = self.options.remapper.add_pattern(pattern, replacement).map_err(|cause| {
            Error::invalid_input(format!("`{pattern}` is no regular expression: {cause}"))
        })?;
        Ok(self)
    }

    /// Takes the entry of that name of a PyTorch checkpoint that holds several, as `state_dict` or `model`.
    pub fn with_top_level_key(mut self, key: impl Into<String>) -> Self {
        self.options.top_level_key = Some(key.into());
        self
    }

    /// Counts layers anew without gaps, after renaming: `layers.0`, `layers.2` of the file become `layers.0`,
    /// `layers.1`. For an `nn.Sequential` whose layers without weights burn keeps elsewhere.
    pub fn with_contiguous_indices(mut self) -> Self {
        self.options.contiguous_indices = true;
        self
    }

    /// Says whose conventions the file follows, where it is not as the format suggests.
    pub fn with_layout(mut self, layout: Layout) -> Self {
        self.options.layout = Some(layout);
        self
    }

    /// Lets weights of the module that are not in the file keep their initial values.
    pub fn allow_missing(mut self) -> Self {
        self.options.allow_missing = true;
        self
    }

    /// Leaves tensors of the file out that are not in the module.
    pub fn allow_unexpected(mut self) -> Self {
        self.options.allow_unexpected = true;
        self
    }

    /// Lets weights be NaN or infinite.
    pub fn allow_not_finite(mut self) -> Self {
        self.options.allow_not_finite = true;
        self
    }

    /// Keeps weights in the types they are stored in, which the forward pass must then compute in.
    pub fn with_stored_precision(mut self) -> Self {
        self.options.stored_precision = true;
        self
    }

    /// The module with these weights, on the device it is on.
    ///
    /// # Errors
    /// [`Error::InvalidInput`] when the weights do not fit the module (all faults at once, by name, and which options
    /// would allow them), or the file is corrupt; [`Error::Unavailable`] when it cannot be read;
    /// [`Error::Engine`] when the device fails.
    pub fn load_into<M: Module>(&self, module: M) -> Result<M> {
        // Bindings of formats and devices may panic on what they did not expect.
        catch_unwind(AssertUnwindSafe(|| {
            let stored = source::read(&self.data, self.format, &self.options)?;
            fill::fill(module, stored, &self.options)
        }))
        .unwrap_or_else(|payload| Err(Error::panicked(&*payload)))
    }
}

/// Fills a module with weights written by [`save_burnpack`]: short for [`Weights::burnpack`] and
/// [`Weights::load_into`].
///
/// # Errors
/// [`Error::InvalidInput`] when the bytes are no burnpack or belong to another module.
pub fn load_burnpack<M: Module>(module: M, weights: &Bytes) -> Result<M> {
    Weights::burnpack(weights.clone()).load_into(module)
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Burnpack => "burnpack",
            Self::Safetensors => "safetensors",
            Self::Pytorch => "PyTorch checkpoint",
        })
    }
}

fn corrupt(format: Format, cause: impl fmt::Display) -> Error {
    Error::invalid_input(format!("the weights are no usable {format}: {cause}"))
}
