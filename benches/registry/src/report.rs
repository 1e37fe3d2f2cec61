//! The figures, for people and for programs.

use std::fmt;

use serde::Serialize;

/// All that was measured.
#[derive(Debug, Default, Serialize)]
pub struct Report {
    /// The version of the MLflow server; `None` when there was none.
    pub mlflow: Option<String>,
    pub sections: Vec<Section>,
    /// What did not take part, and why.
    pub skipped: Vec<String>,
    /// Of the machine, before and after: how much else it did.
    pub load_average: [f64; 2],
}

/// Rows that belong together.
#[derive(Debug, Serialize)]
pub struct Section {
    pub title: String,
    /// What the rows mean.
    pub meaning: String,
    pub rows: Vec<Row>,
}

/// One figure of ours, beside another.
#[derive(Debug, Serialize)]
pub struct Row {
    pub what: String,
    pub unit: Unit,
    pub ours: Figure,
    pub beside: Option<Beside>,
    pub target: Option<Target>,
}

/// What ours is compared with.
#[derive(Debug, Serialize)]
pub struct Beside {
    pub name: String,
    pub figure: Figure,
}

/// The median of what was measured, and all of it.
#[derive(Debug, Clone, Serialize)]
pub struct Figure {
    pub median: f64,
    pub samples: Vec<f64>,
}

#[derive(Debug, Clone, Copy, Serialize)]
pub enum Unit {
    Seconds,
    Bytes,
    Count,
}

/// What was set out to be reached: at most that.
#[derive(Debug, Clone, Copy, Serialize)]
pub enum Target {
    /// In the unit of the row.
    Absolute(f64),
    /// Ours divided by the other.
    Ratio(f64),
}

impl Section {
    pub fn new(title: impl Into<String>, meaning: impl Into<String>) -> Self {
        Self { title: title.into(), meaning: meaning.into(), rows: Vec::new() }
    }

    /// Adds a row, if it was measured.
    pub fn add(&mut self, row: Row) {
        if !row.ours.samples.is_empty() {
            self.rows.push(row);
        }
    }
}

impl Row {
    pub fn new(what: impl Into<String>, unit: Unit, ours: impl Into<Figure>) -> Self {
        Self { what: what.into(), unit, ours: ours.into(), beside: None, target: None }
    }

    /// Compares with what was measured of another; with nothing, if nothing was.
    pub fn beside(mut self, name: impl Into<String>, figure: impl Into<Figure>) -> Self {
        let figure = figure.into();
        self.beside = (!figure.samples.is_empty()).then(|| Beside { name: name.into(), figure });
        self
    }

    pub fn target(mut self, target: Target) -> Self {
        self.target = Some(target);
        self
    }

    /// Ours divided by the other.
    fn ratio(&self) -> Option<f64> {
        self.beside.as_ref().map(|beside| self.ours.median / beside.figure.median)
    }

    /// Whether its target is reached; `None` when there is none, or nothing to compare with.
    fn reached(&self) -> Option<bool> {
        match self.target? {
            Target::Absolute(most) => Some(self.ours.median <= most),
            Target::Ratio(most) => Some(self.ratio()? <= most),
        }
    }
}

impl From<Vec<f64>> for Figure {
    fn from(samples: Vec<f64>) -> Self {
        let mut sorted = samples.clone();
        sorted.sort_by(f64::total_cmp);
        let middle = sorted.len() / 2;
        let median = match sorted.len() {
            0 => f64::NAN,
            length if length % 2 == 1 => sorted[middle],
            _ => f64::midpoint(sorted[middle - 1], sorted[middle]),
        };
        Self { median, samples }
    }
}

impl From<f64> for Figure {
    fn from(value: f64) -> Self {
        vec![value].into()
    }
}

impl Unit {
    fn show(self, value: f64) -> String {
        let scaled = |steps: &[(f64, &str)]| {
            let (size, name) = steps
                .iter()
                .rfind(|(size, _)| value >= *size)
                .or(steps.first())
                .copied()
                .unwrap_or((1.0, ""));
            format!("{:.4} {name}", Digits(value / size))
        };
        match self {
            Self::Seconds => scaled(&[(1e-9, "ns"), (1e-6, "us"), (1e-3, "ms"), (1.0, "s")]),
            Self::Bytes => scaled(&[(1.0, "B"), (1024.0, "KiB"), (1048576.0, "MiB")]),
            Self::Count => format!("{value}"),
        }
    }
}

/// A number with that many digits that count, as the precision says.
struct Digits(f64);

impl fmt::Display for Digits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(value) = *self;
        let wanted = f.precision().unwrap_or(3) as i32;
        let before = if value > 0.0 { value.log10().floor() as i32 + 1 } else { 1 };
        write!(f, "{value:.0$}", (wanted - 1 - before).clamp(0, 8) as usize)
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Absolute(_) => f.write_str("at most "),
            Self::Ratio(most) => write!(f, "at most {most} x"),
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let others =
            self.mlflow.as_ref().map_or("nothing else".to_owned(), |version| format!("MLflow {version}"));
        writeln!(f, "mlops-registry beside {others}; medians; ratios are ours divided by the other's")?;
        for section in &self.sections {
            section.fmt(f)?;
        }
        for skipped in &self.skipped {
            writeln!(f, "\nSKIPPED: {skipped}")?;
        }
        let [before, after] = self.load_average;
        writeln!(f, "\nload average of the machine: {before:.1} before, {after:.1} after")
    }
}

impl fmt::Display for Section {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "\n{}\n  {}", self.title, self.meaning.replace('\n', "\n  "))?;
        for row in &self.rows {
            row.fmt(f)?;
        }
        Ok(())
    }
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ours = self.unit.show(self.ours.median);
        write!(f, "    {:<46} {ours:>11}", self.what)?;
        let (beside, ratio) = match &self.beside {
            Some(beside) => {
                let theirs = self.unit.show(beside.figure.median);
                let ratio = self.ratio().unwrap_or(f64::NAN);
                (format!("{:<28} {theirs:>11}", beside.name), format!("{:.3} x", Digits(ratio)))
            }
            None => (String::new(), String::new()),
        };
        write!(f, "   {beside:<40} {ratio:>12}")?;
        if let Some(target) = self.target {
            let most = match target {
                Target::Absolute(most) => self.unit.show(most),
                Target::Ratio(_) => String::new(),
            };
            let reached = match self.reached() {
                Some(true) => "reached",
                Some(false) => "MISSED",
                None => "not compared",
            };
            write!(f, "   {target}{most}: {reached}")?;
        }
        writeln!(f)
    }
}
