//! Numbers over windows, or over whatever has an order.

use std::fmt::Write as _;

use super::super::format::{self, number, percent};
use super::super::markup::Html;
use super::scale::{position, ticks};
use super::write_legend;

/// Units of width and height of a drawing.
const SIZE: f64 = 1000.0;

/// Numbers over windows, or over whatever has an order.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Lines {
    /// What stands below each point.
    pub labels: Vec<String>,
    /// The lines.
    pub series: Vec<Series>,
    /// Whether the axis begins at 0, as it has to where sizes are compared. Default true.
    pub from_zero: bool,
    /// Whether the numbers are shares of 1, shown in percent. Default false.
    pub percent: bool,
}

/// One line: a number, or none, per label.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Series {
    /// What it is.
    pub name: String,
    /// How it is drawn.
    pub pen: Pen,
    /// The numbers; where there is none, the line has a gap.
    pub values: Vec<Option<f64>>,
}

/// How a line is drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Pen {
    /// What the chart is about.
    Current,
    /// What it is compared with.
    Reference,
    /// A line not to be crossed, dashed.
    Limit,
    /// Something that is worth a look.
    Notice,
    /// Something that is wrong.
    Bad,
}

impl Lines {
    /// A chart without lines.
    pub fn new(labels: impl IntoIterator<Item = impl Into<String>>) -> Self {
        let labels = labels.into_iter().map(Into::into).collect();
        Self { labels, series: Vec::new(), from_zero: true, percent: false }
    }

    /// Adds a line.
    #[must_use]
    pub fn with(mut self, name: impl Into<String>, pen: Pen, values: Vec<Option<f64>>) -> Self {
        self.series.push(Series { name: name.into(), pen, values });
        self
    }

    /// Lets the axis begin near the least number.
    #[must_use]
    pub fn with_floating_axis(mut self) -> Self {
        self.from_zero = false;
        self
    }

    /// Shows the numbers, which are shares of 1, in percent.
    #[must_use]
    pub fn with_percent(mut self) -> Self {
        self.percent = true;
        self
    }

    pub(super) fn describe(&self) -> String {
        let mut text = format!("{} points.", self.labels.len());
        for series in &self.series {
            let last = series.values.iter().rev().flatten().next();
            if let Some(last) = last {
                let _ = write!(text, " {}: last {}.", series.name, self.say(*last));
            }
        }
        text
    }

    fn say(&self, value: f64) -> String {
        if self.percent { percent(value) } else { number(value) }
    }

    /// The ends of the axis.
    fn range(&self) -> (f64, f64) {
        let values = || self.series.iter().flat_map(|series| series.values.iter().flatten().copied());
        let finite = || values().filter(|value| value.is_finite());
        let (least, most) =
            (finite().fold(f64::INFINITY, f64::min), finite().fold(f64::NEG_INFINITY, f64::max));
        if least > most {
            return (0.0, 1.0);
        }
        let (least, most) = if self.from_zero { (least.min(0.0), most.max(0.0)) } else { (least, most) };
        let margin = if most > least { 0.08 * (most - least) } else { 0.5 * most.abs().max(1e-9) };
        (if self.from_zero && least == 0.0 { 0.0 } else { least - margin }, most + margin)
    }

    fn x(&self, index: usize) -> f64 {
        (index as f64 + 0.5) / self.labels.len().max(1) as f64
    }

    /// The line, and a dot where a point has no neighbours.
    fn path(&self, series: &Series, (from, to): (f64, f64), size: f64) -> (String, String) {
        let (mut line, mut dots, mut drawing) = (String::new(), String::new(), false);
        for (index, value) in series.values.iter().enumerate() {
            let Some(value) = value.filter(|value| value.is_finite()) else {
                drawing = false;
                continue;
            };
            let (x, y) = (size * self.x(index), size * (1.0 - position(value, from, to)));
            let _ = write!(line, "{}{x:.0} {y:.0}", if drawing { 'L' } else { 'M' });
            let _ = write!(dots, "M{x:.0} {y:.0}h0");
            drawing = true;
        }
        (line, dots)
    }
}

impl Pen {
    fn class(self) -> &'static str {
        match self {
            Self::Current => "current",
            Self::Reference => "reference",
            Self::Limit => "limit",
            Self::Notice => "notice",
            Self::Bad => "bad",
        }
    }
}

pub(super) fn write(lines: &Lines, description: &str, html: &mut Html) {
    let (from, to) = lines.range();
    html.element("div", &[("class", "lines")], |html| {
        html.element("div", &[("class", "axis"), ("aria-hidden", "true")], |html| {
            let ticks = ticks(from, to, 4);
            let labels = if lines.percent {
                ticks.iter().map(|tick| percent(*tick)).collect()
            } else {
                format::ticks(&ticks)
            };
            for (tick, label) in ticks.iter().zip(labels) {
                let style = format!("bottom:{:.1}%", 100.0 * position(*tick, from, to));
                html.leaf("span", &[("style", &style)], &label);
            }
        });
        html.element("div", &[("class", "plot")], |html| {
            write_drawing(lines, (from, to), description, html);
            html.element("div", &[("class", "ticks"), ("aria-hidden", "true")], |html| {
                let longest = lines.labels.iter().map(|label| label.chars().count()).max().unwrap_or(0);
                let every = lines.labels.len().div_ceil((84 / (longest + 4)).clamp(2, 8)).max(1);
                for (index, label) in lines.labels.iter().enumerate().step_by(every) {
                    let style = format!("left:{:.1}%", 100.0 * lines.x(index));
                    html.leaf("span", &[("style", &style)], label);
                }
            });
        });
    });
    html.leaf("output", &[("class", "readout")], "");
    write_legend(lines.series.iter().map(|series| (series.pen.class(), series.name.as_str())), html);
}

fn write_drawing(lines: &Lines, (from, to): (f64, f64), description: &str, html: &mut Html) {
    let labels = lines.labels.join("\n");
    let said = lines.series.iter().map(|series| {
        let values =
            series.values.iter().map(|value| value.map_or("–".to_owned(), |value| lines.say(value)));
        values.collect::<Vec<_>>().join(" ")
    });
    let said = said.collect::<Vec<_>>().join("\n");
    let attributes = [
        ("viewBox", "0 0 1000 1000"),
        ("preserveAspectRatio", "none"),
        ("role", "img"),
        ("tabindex", "0"),
        ("aria-label", description),
        ("data-labels", &labels),
        ("data-series", &said),
    ];
    html.element("svg", &attributes, |html| {
        let grid: String = ticks(from, to, 4)
            .iter()
            .map(|tick| format!("M0 {:.0}H1000", SIZE * (1.0 - position(*tick, from, to))))
            .collect();
        html.leaf("path", &[("class", "grid"), ("d", &grid)], "");
        for series in &lines.series {
            let (line, dots) = lines.path(series, (from, to), SIZE);
            html.leaf("path", &[("class", series.pen.class()), ("d", &line)], "");
            if series.pen != Pen::Limit {
                html.leaf("path", &[("class", &format!("dots {}", series.pen.class())), ("d", &dots)], "");
            }
        }
    });
}

pub(super) fn write_glyph(lines: &Lines, html: &mut Html) {
    let range = lines.range();
    let attributes = [("viewBox", "0 0 100 100"), ("preserveAspectRatio", "none"), ("aria-hidden", "true")];
    html.element("svg", &attributes, |html| {
        for series in &lines.series {
            let (line, _) = lines.path(series, range, 100.0);
            html.leaf("path", &[("class", &format!("line {}", series.pen.class())), ("d", &line)], "");
        }
    });
}
