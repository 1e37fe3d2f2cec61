//! Times, taken in turns.

use std::time::{Duration, Instant};

use mlops_serve::engine::{Device, onnx::OnnxEngine};

use crate::peer::{Kind, Runner, Setup};
use crate::{Failure, inputs};

/// The times of single calls, in seconds, in ascending order.
#[derive(Debug)]
pub struct Measured(Vec<f64>);

impl Measured {
    pub fn median(&self) -> f64 {
        self.quantile(0.5)
    }

    pub fn quantile(&self, level: f64) -> f64 {
        let last = self.0.len().saturating_sub(1);
        self.0.get((last as f64 * level).round() as usize).copied().unwrap_or(f64::NAN)
    }
}

/// Runs the systems in turns of about 20 ms.
pub fn side_by_side(systems: &[Kind], setup: &Setup, seconds: f64) -> Vec<(Kind, Result<Measured, Failure>)> {
    let mut runners: Vec<(Kind, Result<(Box<dyn Runner>, Vec<f64>), Failure>)> =
        systems.iter().map(|&system| (system, ready(system, setup))).collect();
    let deadline = Instant::now() + Duration::from_secs_f64(seconds);
    loop {
        for (_, runner) in &mut runners {
            let Ok((runner, times)) = runner else { continue };
            let turn = Instant::now();
            while turn.elapsed() < Duration::from_millis(20) {
                let started = Instant::now();
                runner.run().expect("ran before");
                times.push(started.elapsed().as_secs_f64());
            }
        }
        let enough =
            runners.iter().all(|(_, runner)| runner.as_ref().map_or(true, |(_, times)| times.len() >= 5));
        if Instant::now() >= deadline && enough {
            break;
        }
    }
    let sorted = |mut times: Vec<f64>| {
        times.sort_by(f64::total_cmp);
        Measured(times)
    };
    runners.into_iter().map(|(system, runner)| (system, runner.map(|(_, times)| sorted(times)))).collect()
}

/// Loaded and warm.
fn ready(system: Kind, setup: &Setup) -> Result<(Box<dyn Runner>, Vec<f64>), Failure> {
    let mut runner = system.load(setup)?;
    for _ in 0..3 {
        runner.run()?;
    }
    Ok((runner, Vec::new()))
}

/// How much more two callers get done than one, each on a core of its own.
pub fn scaling(system: Kind, setup: &Setup, seconds: f64) -> Result<f64, Failure> {
    let span = Duration::from_secs_f64(seconds / 4.0);
    let mut runners = system.load_shared(setup, 2)?;
    for runner in &mut runners {
        runner.run()?;
    }
    let count = |runner: &mut Box<dyn Runner + Send>| {
        let started = Instant::now();
        let mut calls = 0_u64;
        while started.elapsed() < span {
            runner.run().expect("ran before");
            calls += 1;
        }
        calls as f64 / started.elapsed().as_secs_f64()
    };
    let (mut alone, mut together) = (0.0, 0.0);
    for _ in 0..2 {
        alone += count(&mut runners[0]);
        together += std::thread::scope(|scope| {
            let threads: Vec<_> = runners.iter_mut().map(|runner| scope.spawn(|| count(runner))).collect();
            threads.into_iter().map(|thread| thread.join().expect("counts")).sum::<f64>()
        });
    }
    Ok(together / alone)
}

/// Load time and peak memory of this process, which does nothing else.
pub fn print_footprint(system: Kind, setup: &Setup) -> Result<(), Failure> {
    let before = peak_memory()?;
    let started = Instant::now();
    let mut runner = system.load(setup)?;
    let load = started.elapsed();
    runner.run()?;
    let peak = peak_memory()? - before;
    println!("load {:>8.1} ms  peak memory {:>7.1} MiB", load.as_secs_f64() * 1e3, peak as f64 / 1024.0);
    Ok(())
}

/// The high-water mark of this process's resident memory, in KiB.
fn peak_memory() -> Result<u64, Failure> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).ok_or("no VmHWM")?;
    Ok(line.split_whitespace().nth(1).ok_or("no value")?.parse()?)
}

/// Where one call of ours spends its time.
pub fn print_profile(setup: &Setup) -> Result<(), Failure> {
    let engine = OnnxEngine::load_with(std::fs::read(&setup.model)?, Device::Cpu, &setup.options())?;
    let inputs = inputs::tensors(&inputs::for_model(&setup.model, setup.batch)?)?;
    let mut best: Vec<(String, Duration)> = engine.profile(&inputs)?;
    for _ in 0..20 {
        let again = engine.profile(&inputs)?;
        if again.len() != best.len() {
            best = again; // the first call is not yet specialised for its shapes
            continue;
        }
        for (step, (_, time)) in best.iter_mut().zip(again) {
            step.1 = step.1.min(time);
        }
    }
    let total: Duration = best.iter().map(|(_, time)| *time).sum();
    println!("{}: {} steps, {:.1} us", setup.model.display(), best.len(), total.as_secs_f64() * 1e6);
    best.sort_by_key(|(_, time)| std::cmp::Reverse(*time));
    for (label, time) in best.iter().take(40) {
        println!(
            "{:>10.1} us  {:>5.1} %  {label}",
            time.as_secs_f64() * 1e6,
            time.as_secs_f64() / total.as_secs_f64() * 100.0
        );
    }
    Ok(())
}
