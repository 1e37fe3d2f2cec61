//! Artifacts of some size on their way in and out.

use std::hint::black_box;
use std::path::PathBuf;

use futures_util::TryStreamExt;
use mlops_core::{Content, ModelName, ModelVersion, Registry};

use super::{Systems, Turn, seconds, timed, turns};
use crate::mlflow::Client;
use crate::report::{Row, Section, Target, Unit};
use crate::{Failure, floor, sample};

/// What takes part.
struct Party<'a> {
    systems: &'a Systems<'a>,
    model: ModelName,
    client: Option<Client>,
    /// The file that is registered.
    file: PathBuf,
    /// Where it is copied to.
    copies: PathBuf,
}

#[derive(Default)]
struct Times {
    register: Vec<f64>,
    their_register: Vec<f64>,
    floor: Vec<f64>,
    fetch: Vec<f64>,
    stream: Vec<f64>,
    their_fetch: Vec<f64>,
    coreutils: Vec<f64>,
    read: Vec<f64>,
}

pub async fn measure(systems: &Systems<'_>) -> Result<Section, Failure> {
    let (small, large) = (1, systems.scale.megabytes);
    let mut section = Section::new(
        "registering and fetching artifacts",
        "register: a file with content that nobody has seen, on disk when it answers. floor: SHA-256 of the file, by\n\
         the library that ours uses, then a copy of it on the same disk, with fsync of file and folder. MLflow: create\n\
         a run, upload through the server, create the version; neither digests nor fsync.\n\
         fetch: into memory, and proven; stream: piece by piece into memory. `sha256sum` and `cp`: the programs.\n\
         read and hash: of the file, into memory. MLflow: downloads through the server into memory; proves nothing.",
    );
    for (megabytes, rounds) in [(small, 3 * systems.scale.rounds), (large, systems.scale.rounds)] {
        let model = ModelName::new(format!("artifact-{megabytes}"))?;
        let mut client = None;
        if let Some(mlflow) = systems.mlflow {
            let mut connected = mlflow.connect().await?;
            connected.create_model(model.as_str()).await?;
            client = Some(connected);
        }
        let (file, copies) = (systems.folder.join("content"), systems.folder.join("copies"));
        std::fs::create_dir_all(&copies)?;
        let mut party = Party { systems, model, client, file, copies };
        let mut times = Times::default();
        for round in 0..=rounds {
            // The first round is to warm up.
            if round == 1 {
                times = Times::default();
            }
            party.round(megabytes << 20, round, &mut times).await?;
        }
        rows(&mut section, megabytes, times, megabytes == large);
    }
    Ok(section)
}

fn rows(section: &mut Section, megabytes: usize, times: Times, with_targets: bool) {
    let row = |what: &str, ours: &Vec<f64>, name: &str, other: &Vec<f64>| {
        Row::new(format!("{what} {megabytes} MiB"), Unit::Seconds, ours.clone()).beside(name, other.clone())
    };
    let floor = row("register", &times.register, "floor", &times.floor);
    section.add(if with_targets { floor.target(Target::Ratio(1.3)) } else { floor });
    let Times { register, their_register, fetch, stream, their_fetch, coreutils, read, .. } = &times;
    if !their_register.is_empty() {
        section.add(row("register", register, "MLflow", their_register));
    }
    for (what, ours) in [("fetch", fetch), ("stream", stream)] {
        section.add(row(what, ours, "`sha256sum` and `cp`", coreutils));
        section.add(row(what, ours, "read and hash", read));
        if !their_fetch.is_empty() {
            section.add(row(what, ours, "MLflow", their_fetch));
        }
    }
}

impl Party<'_> {
    async fn round(&mut self, size: usize, round: usize, times: &mut Times) -> Result<(), Failure> {
        floor::write_fresh(&self.file, size, (size + round) as u64)?;
        let (mut version, mut run) = (None, None);
        for turn in turns(round) {
            match (turn, &mut self.client) {
                (Turn::Ours, _) => {
                    let new = sample::version(&self.model, Content::file(&self.file))?;
                    let register = async { Ok(self.systems.ours.register(new).await?) };
                    let (registered, time) = timed(register).await?;
                    times.register.push(time);
                    floor::give_back(&self.systems.folder.join("ours"))?;
                    version = Some(registered);
                }
                (Turn::Theirs, Some(client)) => {
                    let model = self.model.as_str();
                    let upload = async {
                        let content = std::fs::read(&self.file)?.into();
                        let run = client.create_run().await?;
                        client.upload(&run, sample::ARTIFACT, content).await?;
                        client.create_version(model, &run).await?;
                        Ok(run)
                    };
                    let (created, time) = timed(upload).await?;
                    times.their_register.push(time);
                    floor::give_back(&self.systems.folder.join("mlflow"))?;
                    run = Some(created);
                }
                (Turn::Floor, _) => {
                    // It stays, as what the others write does.
                    let copy = self.copies.join(format!("{size}-{round}"));
                    let floor = async {
                        black_box(floor::hash(&self.file)?);
                        floor::copy_durably(&self.file, &copy)
                    };
                    times.floor.push(seconds(floor).await?);
                    floor::give_back(&self.copies)?;
                }
                _ => {}
            }
        }
        let version = version.ok_or("nothing was registered")?;
        // Each fetches once before, so that the file is in the page cache.
        for turn in turns(round) {
            match (turn, &mut self.client, &run) {
                (Turn::Ours, ..) => self.fetch(&version, size, times).await?,
                (Turn::Theirs, Some(client), Some(run)) => {
                    client.download(run, sample::ARTIFACT).await?;
                    let (length, time) = timed(client.download(run, sample::ARTIFACT)).await?;
                    check(length, size)?;
                    times.their_fetch.push(time);
                }
                (Turn::Floor, ..) => {
                    let copy = self.copies.join("again");
                    let programs = async { floor::checksum_and_copy(&self.file, &copy) };
                    times.coreutils.push(seconds(programs).await?);
                    std::fs::remove_file(&copy)?;
                    times.read.push(seconds(async { floor::read_and_hash(&self.file) }).await?);
                }
                _ => {}
            }
        }
        Ok(())
    }

    async fn fetch(&self, version: &ModelVersion, size: usize, times: &mut Times) -> Result<(), Failure> {
        let registry = &self.systems.ours;
        registry.fetch(version, sample::ARTIFACT).await?;
        let whole = async { Ok(registry.fetch(version, sample::ARTIFACT).await?) };
        let (bytes, time) = timed(whole).await?;
        check(bytes.len(), size)?;
        times.fetch.push(time);
        drop(bytes);
        let pieces = async {
            let mut content = Vec::with_capacity(size);
            let mut stream = registry.fetch_stream(version, sample::ARTIFACT).await?;
            while let Some(piece) = stream.try_next().await? {
                content.extend_from_slice(&piece);
            }
            Ok(content)
        };
        let (content, time) = timed(pieces).await?;
        check(content.len(), size)?;
        times.stream.push(time);
        Ok(())
    }
}

fn check(length: usize, wanted: usize) -> Result<(), Failure> {
    if length == wanted { Ok(()) } else { Err(format!("{length} bytes came instead of {wanted}").into()) }
}
