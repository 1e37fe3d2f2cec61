//! What keeping a registry at hand takes of the machine's memory.

use super::{Systems, open};
use crate::report::{Row, Section, Unit};
use crate::{Failure, process};

pub fn measure(systems: &Systems<'_>) -> Result<Section, Failure> {
    let mut section = Section::new(
        "memory",
        "ours: a process that has opened the registry that was made above, its artifacts and all, and has asked for\n\
         every version; all of it, the tokio runtime and the program itself included. MLflow: all processes of the\n\
         server after what was done above, without the consumers of jobs; what they share counts once.",
    );
    let folder = systems.ours.root().strip_prefix("file://").ok_or("the registry is in no folder")?;
    let mut ours = Vec::new();
    for _ in 0..systems.scale.rounds {
        ours.push(open::in_a_process(folder.as_ref())?.memory_listed);
    }
    let theirs = match systems.mlflow {
        Some(mlflow) => vec![process::memory_of_family(mlflow.process())?],
        None => Vec::new(),
    };
    section.add(Row::new("resident memory", Unit::Bytes, ours).beside("MLflow", theirs));
    Ok(section)
}
