//! Charts, drawn as SVG that stretches with the page; letters stay as large as they are.

mod categories;
mod histogram;
mod lines;
mod scale;

use super::block::Status;
use super::distribution::{Bins, Distribution};
use super::markup::Html;

pub use lines::{Lines, Pen, Series};

/// A chart with its heading.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Figure {
    /// The heading; may be empty.
    pub title: String,
    /// What it shows, in words, for those who cannot see it.
    pub description: String,
    /// How the thing stands that it is about.
    pub status: Option<Status>,
    /// The fragment with more about it.
    pub link: Option<String>,
    /// The chart.
    pub chart: Chart,
}

/// A drawing of numbers.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Chart {
    /// The reference against the current values.
    Distribution(Distribution),
    /// Numbers over windows, or over whatever has an order.
    Lines(Lines),
}

impl Figure {
    /// A chart with its heading.
    pub fn new(title: impl Into<String>, chart: Chart) -> Self {
        let title = title.into();
        let description = match &chart {
            Chart::Distribution(distribution) => distribution.describe(),
            Chart::Lines(lines) => lines.describe(),
        };
        Self { title, description, status: None, link: None, chart }
    }

    /// Sets how the thing stands that it is about.
    #[must_use]
    pub fn with_status(mut self, status: impl Into<Status>) -> Self {
        self.status = Some(status.into());
        self
    }

    /// Sets the fragment with more about it.
    #[must_use]
    pub fn with_link(mut self, fragment: impl Into<String>) -> Self {
        self.link = Some(fragment.into());
        self
    }

    pub(super) fn write(&self, html: &mut Html) {
        html.element("figure", &[], |html| {
            if !self.title.is_empty() || self.status.is_some() {
                html.element("figcaption", &[], |html| self.write_title(html));
            }
            match &self.chart {
                Chart::Distribution(distribution) => match &distribution.bins {
                    Bins::Categories { names } => {
                        categories::write(distribution, names, &self.description, html);
                    }
                    bins => histogram::write(distribution, bins, &self.description, html),
                },
                Chart::Lines(lines) => lines::write(lines, &self.description, html),
            }
        });
    }

    fn write_title(&self, html: &mut Html) {
        let hint = [("title", self.title.as_str())];
        let hint = if self.title.chars().count() > 24 { &hint[..] } else { &[] };
        let title = |html: &mut Html| html.leaf("bdi", hint, &self.title);
        match &self.link {
            Some(fragment) => html.element("a", &[("href", &format!("#{fragment}"))], title),
            None => title(html),
        }
        if let Some(status) = &self.status {
            status.write(html);
        }
    }
}

impl Chart {
    /// A glimpse of it, without letters.
    pub(super) fn write_glyph(&self, html: &mut Html) {
        match self {
            Self::Distribution(distribution) => histogram::write_glyph(distribution, html),
            Self::Lines(lines) => lines::write_glyph(lines, html),
        }
    }
}

/// What the two colours are.
fn write_legend<'a>(names: impl IntoIterator<Item = (&'static str, &'a str)>, html: &mut Html) {
    html.element("p", &[("class", "legend"), ("aria-hidden", "true")], |html| {
        for (class, name) in names {
            html.element("span", &[("class", class)], |html| html.text(name));
        }
    });
}
