//! The figures, for people and for programs.

use std::fmt;

use serde::Serialize;

use crate::in_process::Figure;
use crate::run::{Load, Record};
use crate::wire::Wire;

/// All that was measured.
#[derive(Debug, Default, Serialize)]
pub struct Report {
    pub scenarios: Vec<Scenario>,
    pub in_process: Vec<Figure>,
    /// Of the machine, before and after: how much else it did.
    pub load_average: [f64; 2],
}

/// All systems with one model.
#[derive(Debug, Serialize)]
pub struct Scenario {
    pub model: String,
    pub records: Vec<Record>,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for scenario in &self.scenarios {
            scenario.fmt(f)?;
        }
        if let [first, ..] = self.in_process.as_slice() {
            writeln!(f, "in process, heavy_mlp; times the {}", first.way)?;
            for figure in &self.in_process {
                let lone = figure.lone_us / first.lone_us;
                let calls = figure.calls_per_second / first.calls_per_second;
                writeln!(f, "{figure}   {lone:>5.2} {calls:>5.2}")?;
            }
        }
        let [before, after] = self.load_average;
        writeln!(f, "load average of the machine: {before:.1} before, {after:.1} after")
    }
}

impl fmt::Display for Scenario {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.model)?;
        writeln!(f, "  {:<16} {:>10} {:>10} {:>12}", "", "ready ms", "idle MiB", "loaded MiB")?;
        for Record { system, footprint, .. } in &self.records {
            let (ready, idle, loaded) = (footprint.ready_ms, footprint.idle_mib, footprint.loaded_mib);
            writeln!(f, "  {system:<16} {ready:>10.1} {idle:>10.1} {loaded:>12.1}")?;
        }
        for (wire, connections) in self.settings() {
            let loads = self.loads(wire, connections);
            let ours: Vec<_> = loads.iter().filter(|(system, _)| system.starts_with("ours")).collect();
            let setting = format!("{wire:?} {connections}");
            write!(
                f,
                "  {setting:<16} {:>12} {:>10} {:>10} {:>10}",
                "requests/s", "CPU us", "p50 us", "p99 us"
            )?;
            for (system, _) in &ours {
                write!(f, "   {:>22}", format!("{system}: CPU, req/s"))?;
            }
            writeln!(f)?;
            for (system, load) in &loads {
                let Load { requests_per_second, cpu_us, p50_us, p99_us, .. } = load;
                write!(
                    f,
                    "    {system:<14} {requests_per_second:>12.0} {cpu_us:>10.1} {p50_us:>10.0} {p99_us:>10.0}"
                )?;
                for (_, ours) in &ours {
                    let cpu = ours.cpu_us / cpu_us;
                    let throughput = ours.requests_per_second / requests_per_second;
                    write!(f, "   {cpu:>15.2} {throughput:>6.2}")?;
                }
                writeln!(f)?;
            }
        }
        Ok(())
    }
}

impl Scenario {
    /// Wires and connections, in the order of the run.
    fn settings(&self) -> Vec<(Wire, usize)> {
        let mut settings = Vec::new();
        for load in self.records.iter().flat_map(|record| &record.loads) {
            let setting = (load.wire, load.connections);
            if !settings.contains(&setting) {
                settings.push(setting);
            }
        }
        settings
    }

    fn loads(&self, wire: Wire, connections: usize) -> Vec<(&str, &Load)> {
        let loads = self
            .records
            .iter()
            .flat_map(|record| record.loads.iter().map(|load| (record.system.as_str(), load)));
        loads.filter(|(_, load)| load.wire == wire && load.connections == connections).collect()
    }
}
