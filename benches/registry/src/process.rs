//! What the system knows of a process and its children
//! ([proc(5)](https://man7.org/linux/man-pages/man5/proc.5.html)).

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

use crate::Failure;

/// Processor time is told in these, on all that Linux runs on today.
const TICK: Duration = Duration::from_millis(10);

/// The processor time of this process, of all its threads, since it began.
pub fn own_cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), time.tv_nsec.unsigned_abs() as u32)
}

/// The processor time of a process and of all that it started, in user mode and in the kernel.
pub fn cpu_time(process: u32) -> Result<Duration, Failure> {
    let mut ticks = 0;
    for process in family(process)? {
        // One that has ended by now is in the figures of its parent.
        let Ok(fields) = stat(process) else { continue };
        for field in fields.get(11..15).ok_or("/proc/PID/stat is short")? {
            ticks += field.parse::<u32>()?;
        }
    }
    Ok(TICK * ticks)
}

/// The resident memory of a process and of all that it started, in bytes. What several of them share counts once.
pub fn memory_of_family(process: u32) -> Result<f64, Failure> {
    let files = family(process)?.into_iter().map(|process| format!("/proc/{process}/smaps_rollup"));
    Ok(files.filter_map(|file| field(&file, "Pss:").ok()).sum())
}

/// The resident memory of this process, in bytes.
pub fn own_memory() -> Result<f64, Failure> {
    field("/proc/self/status", "VmRSS:")
}

/// How many threads of all programs want to run, on average over the last minute.
pub fn load_average() -> Result<f64, Failure> {
    let text = std::fs::read_to_string("/proc/loadavg")?;
    Ok(text.split_whitespace().next().ok_or("/proc/loadavg is empty")?.parse()?)
}

/// A process and all that it started, and that they did.
fn family(process: u32) -> Result<Vec<u32>, Failure> {
    let mut parents = Vec::new();
    for entry in std::fs::read_dir("/proc")? {
        let Some(process) = entry?.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else {
            continue;
        };
        if let Ok(fields) = stat(process) {
            parents.push((process, fields[1].parse::<u32>()?));
        }
    }
    let mut family = vec![process];
    let mut next = 0;
    while let Some(parent) = family.get(next).copied() {
        family.extend(parents.iter().filter(|(_, of)| *of == parent).map(|(process, _)| *process));
        next += 1;
    }
    Ok(family)
}

/// The fields of /proc/PID/stat after the program's name, which is in parentheses and may hold anything.
fn stat(process: u32) -> Result<Vec<String>, Failure> {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat"))?;
    let (_, fields) = stat.rsplit_once(')').ok_or("/proc/PID/stat has no name")?;
    Ok(fields.split_whitespace().map(str::to_owned).collect())
}

/// A field that is told in KiB.
fn field(file: &str, name: &str) -> Result<f64, Failure> {
    let text = std::fs::read_to_string(file)?;
    let line =
        text.lines().find(|line| line.starts_with(name)).ok_or_else(|| format!("no {name} in {file}"))?;
    let kibibytes: f64 =
        line.split_whitespace().nth(1).ok_or_else(|| format!("{name} has no value"))?.parse()?;
    Ok(kibibytes * 1024.0)
}
