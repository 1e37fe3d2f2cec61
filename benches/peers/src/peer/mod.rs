//! The systems.

#[cfg(feature = "generated")]
mod generated;
mod onnxruntime;
mod ours;
mod tract;

use std::fmt;
use std::num::NonZeroUsize;
use std::path::PathBuf;

use clap::ValueEnum;
use mlops_serve::engine::onnx::OnnxOptions;

use crate::Failure;

/// A system.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Kind {
    Ours,
    Onnxruntime,
    Tract,
    #[cfg(feature = "generated")]
    Generated,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Ours => "ours",
            Self::Onnxruntime => "onnxruntime",
            Self::Tract => "tract",
            #[cfg(feature = "generated")]
            Self::Generated => "generated",
        })
    }
}

/// What is measured.
#[derive(Debug, Clone)]
pub struct Setup {
    pub model: PathBuf,
    pub batch: usize,
    pub threads: usize,
    pub onnxruntime: Option<PathBuf>,
}

impl Setup {
    pub fn options(&self) -> OnnxOptions {
        OnnxOptions::new().with_threads(NonZeroUsize::new(self.threads).unwrap_or(NonZeroUsize::MIN))
    }
}

/// A loaded model with its inputs.
pub trait Runner {
    /// One call, outputs included.
    fn run(&mut self) -> Result<(), Failure>;
}

impl Kind {
    pub fn all() -> &'static [Self] {
        Self::value_variants()
    }

    pub fn load(self, setup: &Setup) -> Result<Box<dyn Runner>, Failure> {
        Ok(match self {
            Self::Ours => Box::new(ours::Ours::load(setup)?),
            Self::Onnxruntime => Box::new(onnxruntime::Onnxruntime::load(setup)?),
            Self::Tract => Box::new(tract::Tract::load(setup)?),
            #[cfg(feature = "generated")]
            Self::Generated => generated::load(setup)?,
        })
    }

    /// Several runners, for callers at the same time. They share one loaded model where the system can.
    pub fn load_shared(self, setup: &Setup, callers: usize) -> Result<Vec<Box<dyn Runner + Send>>, Failure> {
        match self {
            Self::Ours => {
                let first = ours::Ours::load(setup)?;
                (0..callers).map(|_| Ok(Box::new(first.again(setup)?) as _)).collect()
            }
            Self::Onnxruntime => {
                let runners = (0..callers).map(|_| Ok(Box::new(onnxruntime::Onnxruntime::load(setup)?) as _));
                runners.collect()
            }
            _ => Err("not measured with two callers".into()),
        }
    }
}
