//! What a computation takes of this process ([proc(5)](https://man7.org/linux/man-pages/man5/proc.5.html)).

use std::hint::black_box;
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

use crate::Failure;

/// What a computation took.
#[derive(Debug, Clone, Copy)]
pub struct Cost {
    /// Of all threads, in user mode and in the kernel.
    pub cpu_seconds: f64,
    /// The peak of resident memory above what there was before.
    pub memory_bytes: f64,
}

/// What a computation takes, and what it comes to.
pub fn measure<T>(compute: impl FnOnce() -> T) -> Result<(Cost, T), Failure> {
    std::fs::write("/proc/self/clear_refs", "5")?; // forgets the peak so far
    let before = memory("VmRSS:")?;
    let start = cpu_time();
    let result = black_box(compute());
    let cpu_seconds = (cpu_time() - start).as_secs_f64();
    let memory_bytes = (memory("VmHWM:")? - before).max(0.0);
    Ok((Cost { cpu_seconds, memory_bytes }, result))
}

fn cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), time.tv_nsec.unsigned_abs() as u32)
}

fn memory(name: &str) -> Result<f64, Failure> {
    let text = std::fs::read_to_string("/proc/self/status")?;
    let line = text.lines().find(|line| line.starts_with(name)).ok_or("/proc/self/status lacks a field")?;
    let kibibytes: f64 = line.split_whitespace().nth(1).ok_or("a field has no value")?.parse()?;
    Ok(kibibytes * 1024.0)
}

/// How many threads of all programs want to run, on average over the last minute.
pub fn load_average() -> Result<f64, Failure> {
    let text = std::fs::read_to_string("/proc/loadavg")?;
    Ok(text.split_whitespace().next().ok_or("/proc/loadavg is empty")?.parse()?)
}
