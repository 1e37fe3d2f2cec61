//! The systems under load, in turns.

use std::time::Duration;

use serde::Serialize;

use crate::Failure;
use crate::load::{self, Seen};
use crate::sample::Sample;
use crate::system::{Running, System};
use crate::wire::{Call, Wire};

/// What is asked of the systems.
#[derive(Debug)]
pub struct Plan {
    pub wires: Vec<Wire>,
    pub connections: Vec<usize>,
    pub rounds: usize,
    /// Of each window.
    pub time: Duration,
    /// How often each system is started, to see how long that takes.
    pub starts: usize,
}

/// What one system did with one model.
#[derive(Debug, Serialize)]
pub struct Record {
    pub system: String,
    pub footprint: Footprint,
    pub loads: Vec<Load>,
}

/// Start and memory of a system.
#[derive(Debug, Serialize)]
pub struct Footprint {
    /// From its start to its first right answer; the median of all starts.
    pub ready_ms: f64,
    /// After its first answer.
    pub idle_mib: f64,
    /// The most after any window.
    pub loaded_mib: f64,
}

/// One setting; medians over the rounds.
#[derive(Debug, Serialize)]
pub struct Load {
    pub wire: Wire,
    pub connections: usize,
    pub requests_per_second: f64,
    /// Processor time of the server, in user mode and in the kernel.
    pub cpu_us: f64,
    pub p50_us: f64,
    pub p99_us: f64,
    /// The processor time of each round, to see the noise.
    pub cpu_us_of_rounds: Vec<f64>,
}

/// A system on its way through the plan.
struct Candidate {
    running: Running,
    record: Record,
}

/// Before the first window of a wire.
const WARM_UP: Duration = Duration::from_secs(1);
const WARM_UP_CONNECTIONS: usize = 16;
/// What a server still does after its first answer is done then.
const SETTLE: Duration = Duration::from_millis(500);

/// Loads all systems in turns, so that a change in the machine's mood meets all of them. Those that fail are left out,
/// and said so.
pub async fn side_by_side(systems: &[System], sample: &Sample, plan: &Plan) -> Result<Vec<Record>, Failure> {
    let mut candidates = Vec::new();
    for system in systems {
        match Candidate::start(system, sample, plan.starts).await {
            Ok(candidate) => candidates.push(candidate),
            Err(cause) => eprintln!("{system} is left out: {cause}"),
        }
    }
    for &wire in &plan.wires {
        let mut speakers = Vec::new();
        for candidate in &mut candidates {
            match candidate.warm_up(wire, sample).await {
                Ok(Some(call)) => speakers.push((candidate, call)),
                Ok(None) => {}
                Err(cause) => eprintln!("{} is left out on {wire:?}: {cause}", candidate.record.system),
            }
        }
        for &connections in &plan.connections {
            eprintln!("{}: {wire:?}, {connections} connections", sample.name);
            let mut windows: Vec<Result<Vec<Window>, Failure>> =
                speakers.iter().map(|_| Ok(Vec::new())).collect();
            for _ in 0..plan.rounds {
                for ((candidate, call), windows) in speakers.iter_mut().zip(&mut windows) {
                    let Ok(earlier) = windows else { continue };
                    match candidate.window(wire, call, connections, plan.time).await {
                        Ok(window) => earlier.push(window),
                        Err(cause) => *windows = Err(cause),
                    }
                }
            }
            for ((candidate, _), windows) in speakers.iter_mut().zip(windows) {
                let record = &mut candidate.record;
                match windows {
                    Ok(windows) => record.loads.push(Load::of(wire, connections, &windows)),
                    Err(cause) => eprintln!("{} is left out here: {cause}", record.system),
                }
            }
        }
    }
    let mut records = Vec::new();
    for candidate in candidates {
        candidate.running.stop().await?;
        records.push(candidate.record);
    }
    Ok(records)
}

/// What clients and the system's own books say of one window.
struct Window {
    seen: Seen,
    cpu: Duration,
}

impl Candidate {
    async fn start(system: &System, sample: &Sample, starts: usize) -> Result<Self, Failure> {
        let mut ready = Vec::new();
        for _ in 1..starts {
            let running = system.start(sample).await?;
            ready.push(running.ready);
            running.stop().await?;
        }
        let running = system.start(sample).await?;
        ready.push(running.ready);
        tokio::time::sleep(SETTLE).await;
        let idle_mib = mebibytes(running.memory()?);
        let ready_ms = median(ready.iter().map(|time| time.as_secs_f64() * 1e3));
        let footprint = Footprint { ready_ms, idle_mib, loaded_mib: idle_mib };
        Ok(Self { running, record: Record { system: system.to_string(), footprint, loads: Vec::new() } })
    }

    /// The request on that wire, where the system speaks it, with some load of it behind.
    async fn warm_up(&self, wire: Wire, sample: &Sample) -> Result<Option<Call>, Failure> {
        let Some(call) = self.running.call(wire, sample).await? else { return Ok(None) };
        load::run(wire, self.running.port(wire), &call, WARM_UP_CONNECTIONS, WARM_UP).await?;
        Ok(Some(call))
    }

    async fn window(
        &mut self,
        wire: Wire,
        call: &Call,
        connections: usize,
        time: Duration,
    ) -> Result<Window, Failure> {
        let before = self.running.cpu_time()?;
        let seen = load::run(wire, self.running.port(wire), call, connections, time).await?;
        let cpu = self.running.cpu_time()? - before;
        let loaded = &mut self.record.footprint.loaded_mib;
        *loaded = loaded.max(mebibytes(self.running.memory()?));
        Ok(Window { seen, cpu })
    }
}

impl Load {
    fn of(wire: Wire, connections: usize, windows: &[Window]) -> Self {
        let over_rounds = |value: &dyn Fn(&Window) -> f64| median(windows.iter().map(value));
        let cpu = |window: &Window| microseconds(window.cpu) / window.seen.requests as f64;
        Self {
            wire,
            connections,
            requests_per_second: over_rounds(&|window| {
                window.seen.requests as f64 / window.seen.time.as_secs_f64()
            }),
            cpu_us: over_rounds(&cpu),
            p50_us: over_rounds(&|window| microseconds(window.seen.p50)),
            p99_us: over_rounds(&|window| microseconds(window.seen.p99)),
            cpu_us_of_rounds: windows.iter().map(cpu).collect(),
        }
    }
}

fn microseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}

fn mebibytes(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

/// The middle one, or the mean of the two in the middle.
pub fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => f64::NAN,
        count if count % 2 == 0 => f64::midpoint(values[middle - 1], values[middle]),
        _ => values[middle],
    }
}
