//! The figures, for people and for programs.

use std::fmt;

use serde::Serialize;

use crate::process::Cost;

/// All that was measured.
#[derive(Debug, Default, Serialize)]
pub struct Report {
    /// The systems that took part, and their versions.
    pub systems: Vec<String>,
    pub comparisons: Vec<Comparison>,
    pub tables: Vec<Table>,
    /// What did not take part, and why.
    pub skipped: Vec<String>,
    /// Of the machine, before and after: how much else it did.
    pub load_average: [f64; 2],
}

/// One computation by several systems, ours first.
#[derive(Debug, Serialize)]
pub struct Comparison {
    pub title: String,
    /// Values or observations that are computed on.
    pub values: usize,
    /// What they take in memory, where that matters.
    pub input_bytes: Option<usize>,
    pub systems: Vec<Measured>,
    pub targets: Vec<Target>,
}

/// What a computation took of one system, round by round.
#[derive(Debug, Serialize)]
pub struct Measured {
    pub system: String,
    pub cpu_seconds: Vec<f64>,
    pub memory_bytes: Vec<f64>,
}

/// What was set out to be reached.
#[derive(Debug, Clone, Serialize)]
pub enum Target {
    /// So many times less processor time than the best of the others.
    TimesLessThanTheBest(f64),
    /// So many times less processor time than one of the others.
    TimesLessThan(String, f64),
    /// At most such a share of the input as extra memory.
    ShareOfTheInput(f64),
}

/// Text in rows and columns.
#[derive(Debug, Serialize)]
pub struct Table {
    pub title: String,
    pub columns: Vec<String>,
    pub rows: Vec<Vec<String>>,
}

impl Comparison {
    pub fn new(title: impl Into<String>, values: usize) -> Self {
        Self { title: title.into(), values, input_bytes: None, systems: Vec::new(), targets: Vec::new() }
    }

    pub fn of_input(mut self, bytes: usize) -> Self {
        self.input_bytes = Some(bytes);
        self
    }

    pub fn target(mut self, target: Target) -> Self {
        self.targets.push(target);
        self
    }

    /// Adds a round of a system.
    pub fn add(&mut self, system: &str, cost: Cost) {
        let position = self.systems.iter().position(|measured| measured.system == system);
        let position = position.unwrap_or_else(|| {
            let system = system.to_owned();
            self.systems.push(Measured { system, cpu_seconds: Vec::new(), memory_bytes: Vec::new() });
            self.systems.len() - 1
        });
        self.systems[position].cpu_seconds.push(cost.cpu_seconds);
        self.systems[position].memory_bytes.push(cost.memory_bytes);
    }

    fn others(&self) -> &[Measured] {
        self.systems.get(1..).unwrap_or_default()
    }

    /// What was reached, in words, and whether it is enough.
    fn reached(&self, target: &Target) -> Option<(String, bool)> {
        let ours = self.systems.first()?;
        let seconds = |measured: &Measured| median(&measured.cpu_seconds);
        match target {
            Target::TimesLessThanTheBest(wanted) => {
                let best = self.others().iter().min_by(|a, b| seconds(a).total_cmp(&seconds(b)))?;
                let times = seconds(best) / seconds(ours);
                let text = format!("{times:.1} x less than the best of the others ({})", best.system);
                Some((format!("{text}; wanted {wanted} x"), times >= *wanted))
            }
            Target::TimesLessThan(name, wanted) => {
                let other = self.others().iter().find(|other| other.system == *name)?;
                let times = seconds(other) / seconds(ours);
                Some((format!("{times:.1} x less than {name}; wanted {wanted} x"), times >= *wanted))
            }
            Target::ShareOfTheInput(wanted) => {
                let share = median(&ours.memory_bytes) / self.input_bytes? as f64;
                let (percent, most) = (100.0 * share, 100.0 * wanted);
                let text = format!("extra memory of {percent:.2} % of the input; wanted at most {most} %");
                Some((text, share <= *wanted))
            }
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "Beside {}.", self.systems.join(", "))?;
        writeln!(
            f,
            "Processor time (user and system) of one thread, median of the rounds; ratios are of the"
        )?;
        writeln!(f, "other's to ours. Memory is the peak above what the input and the program took before.")?;
        self.comparisons.iter().try_for_each(|comparison| comparison.fmt(f))?;
        self.tables.iter().try_for_each(|table| table.fmt(f))?;
        self.skipped.iter().try_for_each(|skipped| writeln!(f, "\nSKIPPED: {skipped}"))?;
        let [before, after] = self.load_average;
        writeln!(f, "\nload average of the machine: {before:.1} before, {after:.1} after")
    }
}

impl fmt::Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "\n{}", self.title)?;
        let Some(ours) = self.systems.first() else { return Ok(()) };
        for measured in &self.systems {
            let seconds = median(&measured.cpu_seconds);
            let nanoseconds = seconds * 1e9 / self.values as f64;
            let ratio = seconds / median(&ours.cpu_seconds);
            write!(f, "    {:<12} {:>10.4} s {nanoseconds:>10.2} ns per value", measured.system, seconds)?;
            write!(f, " {ratio:>9.1} x")?;
            if self.input_bytes.is_some() {
                write!(f, " {:>10.1} MiB", median(&measured.memory_bytes) / 1048576.0)?;
            }
            writeln!(f)?;
        }
        for (text, enough) in self.targets.iter().filter_map(|target| self.reached(target)) {
            writeln!(f, "    {}: {text}", if enough { "reached" } else { "MISSED" })?;
        }
        Ok(())
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "\n{}", self.title)?;
        let lines = || std::iter::once(&self.columns).chain(&self.rows);
        let width = |column: usize| {
            lines().filter_map(|line| line.get(column)).map(|text| text.chars().count()).max()
        };
        for line in lines() {
            write!(f, "   ")?;
            for (column, text) in line.iter().enumerate() {
                let width = width(column).unwrap_or(0);
                if column == 0 { write!(f, " {text:<width$}")? } else { write!(f, "  {text:>width$}")? }
            }
            writeln!(f)?;
        }
        Ok(())
    }
}

/// The middle one of some figures, or the mean of the two in the middle.
pub fn median(figures: &[f64]) -> f64 {
    let mut sorted = figures.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    match sorted.len() {
        0 => f64::NAN,
        length if length % 2 == 1 => sorted[middle],
        _ => f64::midpoint(sorted[middle - 1], sorted[middle]),
    }
}
