//! Creating versions with a tiny artifact, one after the other and from several writers.

use futures_util::future::try_join_all;
use mlops_core::{ModelName, Registry};
use mlops_registry::ObjectStoreRegistry;

use super::{Systems, Turn, seconds, timed, turns};
use crate::mlflow::Client;
use crate::report::{Row, Section, Target, Unit};
use crate::{Failure, sample};

const WRITERS: usize = 8;

/// The versions are created in so many goes.
const GOES: usize = 10;

/// Creates the versions of [`Systems::model`].
pub async fn measure(systems: &Systems<'_>) -> Result<Section, Failure> {
    let (ours, model) = (&systems.ours, &systems.model);
    let versions = systems.scale.versions;
    let mut section = Section::new(
        format!("creating {versions} versions with an artifact of 1 KiB: time for each"),
        "ours: `register`, which is on disk when it answers. MLflow: create a run, upload through the server, create\n\
         the version; its files need not be on disk yet. `version only`: the third of these requests alone.\n\
         8 writers: of the same model, at once; ours as 8 tasks of a process, and as 8 that know nothing of each\n\
         other, as processes would; MLflow's as 8 connections, each of which tries again when it was refused.",
    );
    let mut client = match systems.mlflow {
        Some(mlflow) => Some(mlflow.connect().await?),
        None => None,
    };
    let warm = ModelName::new("warm-up")?;
    register(ours, &warm, 0).await?;
    if let Some(client) = &mut client {
        client.create_model(warm.as_str()).await?;
        client.create_model(model.as_str()).await?;
        create(client, &warm, 0).await?;
    }
    let go = versions / GOES;
    let (mut times, mut their_times, mut bare_times) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..GOES {
        let numbers = || (round * go..(round + 1) * go).map(|number| number as u64);
        for turn in turns(round) {
            match (turn, &mut client) {
                (Turn::Ours, _) => {
                    let all = async {
                        for number in numbers() {
                            register(ours, model, number).await?;
                        }
                        Ok(())
                    };
                    times.push(seconds(all).await? / go as f64);
                }
                (Turn::Theirs, Some(client)) => {
                    let mut bare = 0.0;
                    let all = async {
                        for number in numbers() {
                            bare += create(client, model, number).await?;
                        }
                        Ok(())
                    };
                    their_times.push(seconds(all).await? / go as f64);
                    bare_times.push(bare / go as f64);
                }
                _ => {}
            }
        }
    }
    let row = |what: &str| Row::new(what, Unit::Seconds, times.clone());
    section.add(row("one after the other").beside("MLflow", their_times).target(Target::Ratio(1.0 / 20.0)));
    if client.is_some() {
        section.add(row("one after the other").beside("MLflow, version only", bare_times));
    }
    at_once(systems, &mut section).await?;
    Ok(section)
}

async fn at_once(systems: &Systems<'_>, section: &mut Section) -> Result<(), Failure> {
    let each = (systems.scale.versions / 40).max(1);
    let all = (WRITERS * each) as f64;
    let shared = ModelName::new("shared")?;
    let path = systems.ours.root().strip_prefix("file://").ok_or("the registry is in no folder")?.to_owned();
    let apart = try_join_all((0..WRITERS).map(|_| ObjectStoreRegistry::local(&path))).await?;
    let together = vec![systems.ours.clone(); WRITERS];
    let mut clients = Vec::new();
    if let Some(mlflow) = systems.mlflow {
        clients = try_join_all((0..WRITERS).map(|_| mlflow.connect())).await?;
        clients[0].create_model(shared.as_str()).await?;
    }
    let (mut as_tasks, mut as_processes, mut theirs) = (Vec::new(), Vec::new(), Vec::new());
    let mut refused = 0;
    let mut number = 1 << 32;
    for round in 0..=systems.scale.rounds.div_ceil(2) {
        for turn in turns(round) {
            number += 1 << 20;
            match turn {
                Turn::Ours => as_tasks.push(write(&together, &shared, number, each).await? / all),
                Turn::Floor => as_processes.push(write(&apart, &shared, number, each).await? / all),
                Turn::Theirs if !clients.is_empty() => {
                    let writers = clients.iter_mut().map(|client| create_each(client, &shared, each));
                    let (failures, time) = timed(try_join_all(writers)).await?;
                    refused += failures.iter().sum::<usize>();
                    theirs.push(time / all);
                }
                Turn::Theirs => {}
            }
        }
    }
    for times in [&mut as_tasks, &mut as_processes, &mut theirs] {
        if !times.is_empty() {
            times.remove(0);
        }
    }
    let mlflow = match refused {
        0 => "MLflow".to_owned(),
        refused => format!("MLflow, refused {refused} times"),
    };
    section.add(Row::new("8 writers, tasks", Unit::Seconds, as_tasks).beside(&mlflow, theirs.clone()));
    section.add(Row::new("8 writers, as processes", Unit::Seconds, as_processes).beside(&mlflow, theirs));
    Ok(())
}

/// The seconds in which these write that many versions each, at once.
async fn write(
    writers: &[ObjectStoreRegistry],
    model: &ModelName,
    first: u64,
    each: usize,
) -> Result<f64, Failure> {
    let tasks = writers.iter().enumerate().map(|(index, registry)| {
        let (registry, model, first) = (registry.clone(), model.clone(), first + (index << 16) as u64);
        let task = tokio::spawn(async move {
            for number in first..first + each as u64 {
                register(&registry, &model, number).await?;
            }
            Ok::<_, Failure>(())
        });
        async { task.await? }
    });
    seconds(try_join_all(tasks)).await
}

async fn register(registry: &ObjectStoreRegistry, model: &ModelName, number: u64) -> Result<(), Failure> {
    registry.register(sample::version(model, sample::tiny(number))?).await?;
    Ok(())
}

/// Creates a version; returns the seconds of the last of its requests.
async fn create(client: &mut Client, model: &ModelName, number: u64) -> Result<f64, Failure> {
    let run = client.create_run().await?;
    client.upload(&run, sample::ARTIFACT, sample::tiny(number)).await?;
    seconds(client.create_version(model.as_str(), &run)).await
}

/// Creates versions; returns how often the server refused.
async fn create_each(client: &mut Client, model: &ModelName, count: usize) -> Result<usize, Failure> {
    const TRIES: usize = 100;
    let (mut created, mut refused) = (0, 0);
    while created < count {
        match create(client, model, 0).await {
            Ok(_) => created += 1,
            Err(cause) if refused >= TRIES => return Err(cause),
            Err(_) => refused += 1,
        }
    }
    Ok(refused)
}
