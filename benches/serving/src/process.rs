//! What the system knows of another process ([proc(5)](https://man7.org/linux/man-pages/man5/proc.5.html)).

use std::time::Duration;

use crate::Failure;

/// Processor time is told in these, on all that Linux runs on today.
const TICK: Duration = Duration::from_millis(10);

/// The processor time of all threads of a process, in user mode and in the kernel, since it began.
pub fn cpu_time(process: u32) -> Result<Duration, Failure> {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat"))?;
    // The second field is the program's name in parentheses, and may hold anything.
    let (_, fields) = stat.rsplit_once(')').ok_or("/proc/PID/stat has no name")?;
    let mut fields = fields.split_whitespace().skip(11);
    let mut ticks =
        || -> Result<u32, Failure> { Ok(fields.next().ok_or("/proc/PID/stat is short")?.parse()?) };
    let (user, kernel) = (ticks()?, ticks()?);
    Ok(TICK * (user + kernel))
}

/// The resident memory of a process, in bytes.
pub fn memory(process: u32) -> Result<u64, Failure> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status"))?;
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).ok_or("no VmRSS")?;
    let kibibytes: u64 = line.split_whitespace().nth(1).ok_or("VmRSS has no value")?.parse()?;
    Ok(kibibytes * 1024)
}

/// How many threads of all programs want to run, on average over the last minute.
pub fn load_average() -> Result<f64, Failure> {
    let text = std::fs::read_to_string("/proc/loadavg")?;
    Ok(text.split_whitespace().next().ok_or("/proc/loadavg is empty")?.parse()?)
}
