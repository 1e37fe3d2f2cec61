//! Which version an alias means.

use std::hint::black_box;
use std::time::{Duration, Instant};

use mlops_core::{Alias, Registry, Selector};

use super::{Systems, Turn, turns};
use crate::report::{Row, Section, Target, Unit};
use crate::{Failure, process, sample};

/// Wall-clock and processor time of each call.
#[derive(Default)]
struct Times {
    wall: Vec<f64>,
    cpu: Vec<f64>,
}

const LIVE_CALLS: u32 = 200_000;
const FRESH_CALLS: u32 = 1_000;
const THEIR_CALLS: u32 = 100;

pub async fn measure(systems: &Systems<'_>) -> Result<Section, Failure> {
    let mut section = Section::new(
        format!("resolving an alias in a registry of {} versions: each call", systems.scale.versions),
        "live: `LiveView::resolve`, out of what a task keeps up to date in the background. fresh: `resolve`, which\n\
         looks into the store first, and so knows what was acknowledged before, by whatever process.\n\
         MLflow: GET `registered-models/alias`. Processor time is that of this process, and of all of the server's.",
    );
    let (model, selector) = (&systems.model, Selector::Alias(Alias::new(sample::ALIAS)?));
    let latest = systems.ours.resolve(model, &Selector::Latest).await?;
    systems.ours.move_alias(sample::promotion(&latest)?).await?;
    let mut client = None;
    if let Some(mlflow) = systems.mlflow {
        let mut connected = mlflow.connect().await?;
        let latest = systems.scale.versions.to_string();
        connected.set_alias(model.as_str(), sample::ALIAS, &latest).await?;
        client = Some((connected, mlflow.process()));
    }
    let view = systems.ours.live();
    let (mut live, mut fresh, mut theirs) = (Times::default(), Times::default(), Times::default());
    for round in 0..=systems.scale.rounds {
        for turn in turns(round) {
            match (turn, &mut client) {
                (Turn::Ours, _) => {
                    let began = (Instant::now(), process::own_cpu_time());
                    for _ in 0..LIVE_CALLS {
                        black_box(view.resolve(model, black_box(&selector))?);
                    }
                    live.add(began, process::own_cpu_time(), LIVE_CALLS);
                }
                (Turn::Floor, _) => {
                    let began = (Instant::now(), process::own_cpu_time());
                    for _ in 0..FRESH_CALLS {
                        black_box(systems.ours.resolve(model, &selector).await?);
                    }
                    fresh.add(began, process::own_cpu_time(), FRESH_CALLS);
                }
                (Turn::Theirs, Some((client, server))) => {
                    let began = (Instant::now(), process::cpu_time(*server)?);
                    for _ in 0..THEIR_CALLS {
                        black_box(client.resolve(model.as_str(), sample::ALIAS).await?);
                    }
                    theirs.add(began, process::cpu_time(*server)?, THEIR_CALLS);
                }
                _ => {}
            }
        }
    }
    for times in [&mut live, &mut fresh, &mut theirs] {
        times.forget_first();
    }
    let row = |what, ours: Vec<f64>, theirs: &Vec<f64>| {
        Row::new(what, Unit::Seconds, ours).beside("MLflow", theirs.clone())
    };
    section.add(row("live, time", live.wall, &theirs.wall).target(Target::Absolute(2e-6)));
    section.add(row("live, processor time", live.cpu, &theirs.cpu).target(Target::Ratio(1e-3)));
    section.add(row("fresh, time", fresh.wall, &theirs.wall));
    section.add(row("fresh, processor time", fresh.cpu, &theirs.cpu));
    Ok(section)
}

impl Times {
    fn add(&mut self, (began, cpu_began): (Instant, Duration), cpu: Duration, calls: u32) {
        self.wall.push(began.elapsed().as_secs_f64() / f64::from(calls));
        self.cpu.push((cpu - cpu_began).as_secs_f64() / f64::from(calls));
    }

    /// The first round was to warm up.
    fn forget_first(&mut self) {
        for times in [&mut self.wall, &mut self.cpu] {
            if !times.is_empty() {
                times.remove(0);
            }
        }
    }
}
