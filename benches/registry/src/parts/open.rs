//! Opening a registry with a long history, each time in a process of its own.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use mlops_core::Registry;
use mlops_registry::ObjectStoreRegistry;
use mlops_registry::reexports::object_store::local::LocalFileSystem;
use serde::{Deserialize, Serialize};

use super::Scale;
use crate::counting::Counting;
use crate::history::{History, Kind};
use crate::report::{Row, Section, Target, Unit};
use crate::{Failure, floor, process};

/// What opening a registry takes.
#[derive(Debug, Serialize, Deserialize)]
pub struct Opening {
    pub seconds: f64,
    pub objects_read: u64,
    pub lists: u64,
    /// Of the process, in bytes.
    pub memory_before: f64,
    pub memory: f64,
    /// After every version was asked for.
    pub memory_listed: f64,
}

/// How many transitions may come after the last checkpoint.
const TAIL: usize = 999;

pub async fn measure(scale: Scale, folder: &Path) -> Result<Section, Failure> {
    let transitions = scale.transitions;
    let mut section = Section::new(
        format!("opening a registry with {transitions} transitions"),
        format!(
            "`ObjectStoreRegistry::local` in a new process; the files are in the page cache. mixed: one transition in ten\n\
             registers a version, the others move an alias or set a tag. registrations: each registers a version.\n\
             with a tail: {TAIL} more registrations than the last checkpoint knows, the most there can be.\n\
             objects read: beside these, the log is listed. memory: what the process has more than before; listed: after\n\
             every version was asked for. read and hash: of the checkpoint's file alone, which is the least."
        ),
    );
    for (name, kind) in [("mixed", Kind::Mixed), ("registrations", Kind::Registrations)] {
        let registry = folder.join(name);
        let mut history = History::of(kind, transitions).await?;
        history.save(&registry).await?;
        rows(&mut section, name, &registry, scale, true)?;
        history.go_on(TAIL).await?;
        history.save(&registry).await?;
        rows(&mut section, &format!("{name}, with a tail"), &registry, scale, false)?;
    }
    Ok(section)
}

fn rows(
    section: &mut Section,
    name: &str,
    registry: &Path,
    scale: Scale,
    with_targets: bool,
) -> Result<(), Failure> {
    let state = largest(&registry.join("checkpoints"))?;
    let (mut openings, mut least) = (Vec::new(), Vec::new());
    for _ in 0..=scale.rounds {
        openings.push(in_a_process(registry)?);
        let began = Instant::now();
        std::hint::black_box(floor::read_and_hash(&state)?);
        least.push(began.elapsed().as_secs_f64());
    }
    // The first was to warm up.
    openings.remove(0);
    least.remove(0);
    let all = |pick: fn(&Opening) -> f64| openings.iter().map(pick).collect::<Vec<_>>();
    let time = Row::new(format!("{name}: time"), Unit::Seconds, all(|opening| opening.seconds))
        .beside("read and hash", least);
    let reads =
        Row::new(format!("{name}: objects read"), Unit::Count, all(|opening| opening.objects_read as f64));
    if with_targets {
        section.add(time.target(Target::Absolute(0.2)));
        section.add(reads.target(Target::Absolute(2.0)));
    } else {
        section.add(time);
        section.add(reads);
    }
    let memory = all(|opening| opening.memory - opening.memory_before);
    let listed = all(|opening| opening.memory_listed - opening.memory_before);
    let size = std::fs::metadata(&state)?.len() as f64;
    let row = |what, figure: Vec<f64>| {
        Row::new(format!("{name}: {what}"), Unit::Bytes, figure).beside("the checkpoint's file", size)
    };
    section.add(row("memory", memory));
    section.add(row("memory, listed", listed));
    Ok(())
}

/// Opens a registry in this process, and prints what that takes.
pub async fn print(folder: &Path) -> Result<(), Failure> {
    let memory_before = process::own_memory()?;
    let began = Instant::now();
    let registry = ObjectStoreRegistry::local(folder).await?;
    let seconds = began.elapsed().as_secs_f64();
    let memory = process::own_memory()?;
    for model in registry.models().await? {
        registry.versions(&model).await?;
    }
    let memory_listed = process::own_memory()?;
    let store = Counting::new(LocalFileSystem::new_with_prefix(folder)?);
    let (reads, lists) = (Arc::clone(&store.reads), Arc::clone(&store.lists));
    ObjectStoreRegistry::open(Arc::new(store), "").await?;
    let (objects_read, lists) = (reads.load(Ordering::Relaxed), lists.load(Ordering::Relaxed));
    let opening = Opening { seconds, objects_read, lists, memory_before, memory, memory_listed };
    println!("{}", serde_json::to_string(&opening)?);
    Ok(())
}

/// Opens a registry in a process of its own.
pub fn in_a_process(folder: &Path) -> Result<Opening, Failure> {
    let output = Command::new(std::env::current_exe()?).arg("--open").arg(folder).output()?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned().into());
    }
    Ok(serde_json::from_slice(&output.stdout)?)
}

fn largest(folder: &Path) -> Result<std::path::PathBuf, Failure> {
    let files = std::fs::read_dir(folder)?.filter_map(|entry| Some(entry.ok()?.path()));
    let states = files.filter(|file| file.extension().is_some_and(|extension| extension == "state"));
    states.max().ok_or_else(|| "no checkpoint was written".into())
}
