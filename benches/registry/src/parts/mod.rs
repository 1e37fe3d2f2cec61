//! The parts of the run.

pub mod artifacts;
pub mod create;
pub mod list;
pub mod memory;
pub mod open;
pub mod resolve;

use std::path::Path;
use std::time::Instant;

use mlops_core::ModelName;
use mlops_registry::ObjectStoreRegistry;

use crate::Failure;
use crate::mlflow::Mlflow;

/// Ours and theirs, on the same disk.
pub struct Systems<'a> {
    pub ours: ObjectStoreRegistry,
    pub mlflow: Option<&'a Mlflow>,
    /// The model with many versions.
    pub model: ModelName,
    /// A folder of ours, on the disk of both.
    pub folder: &'a Path,
    pub scale: Scale,
}

/// How much is done.
#[derive(Debug, Clone, Copy)]
pub struct Scale {
    pub versions: usize,
    pub megabytes: usize,
    pub transitions: usize,
    pub rounds: usize,
}

/// One of those who take turns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turn {
    Ours,
    Theirs,
    Floor,
}

/// Everyone once; in each round somebody else begins.
pub fn turns(round: usize) -> impl Iterator<Item = Turn> {
    const ALL: [Turn; 3] = [Turn::Ours, Turn::Theirs, Turn::Floor];
    (0..ALL.len()).map(move |index| ALL[(round + index) % ALL.len()])
}

/// The seconds that something takes.
pub async fn seconds<T>(work: impl Future<Output = Result<T, Failure>>) -> Result<f64, Failure> {
    timed(work).await.map(|(_, seconds)| seconds)
}

/// What something gives, and the seconds that it takes.
pub async fn timed<T>(work: impl Future<Output = Result<T, Failure>>) -> Result<(T, f64), Failure> {
    let began = Instant::now();
    let done = work.await?;
    Ok((done, began.elapsed().as_secs_f64()))
}
