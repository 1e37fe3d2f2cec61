//! Long lists that readers filter and sort.

use super::block::{Block, Status};
use super::chart::Chart;
use super::format::{count, number, percent};
use super::markup::Html;

/// Names of more letters are shown in full where the entry opens.
const LONG: usize = 40;

/// A long list to filter and sort, whose entries open: features, columns, expectations.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Catalogue {
    /// What the entries are: `features`.
    pub noun: String,
    /// What the score of an entry is: `PSI`.
    pub score: String,
    /// Whether scores are shares of 1, shown in percent. Default false.
    pub percent: bool,
    /// What else is said of each entry: `missing`.
    pub measures: Vec<String>,
    /// The entries, in the order in which they are to be seen first.
    pub entries: Vec<Entry>,
}

/// An entry of a [`Catalogue`].
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Entry {
    /// The fragment that links to it; unique on the page.
    pub id: String,
    /// The name, which the filter looks at.
    pub name: String,
    /// How it stands.
    pub status: Status,
    /// A glimpse of it.
    pub glyph: Option<Chart>,
    /// The score, and the score from which on it is too high.
    pub score: Option<(f64, Option<f64>)>,
    /// One text per measure of the catalogue.
    pub measures: Vec<String>,
    /// What it opens.
    pub blocks: Vec<Block>,
}

impl Catalogue {
    /// A catalogue of `noun` with scores.
    pub fn new(noun: impl Into<String>, score: impl Into<String>) -> Self {
        Self {
            noun: noun.into(),
            score: score.into(),
            percent: false,
            measures: Vec::new(),
            entries: Vec::new(),
        }
    }

    /// Shows the scores, which are shares of 1, in percent.
    #[must_use]
    pub fn with_percent(mut self) -> Self {
        self.percent = true;
        self
    }

    /// Adds what is said of each entry.
    #[must_use]
    pub fn with_measure(mut self, measure: impl Into<String>) -> Self {
        self.measures.push(measure.into());
        self
    }
}

impl Entry {
    /// An entry that opens nothing.
    pub fn new(id: impl Into<String>, name: impl Into<String>, status: impl Into<Status>) -> Self {
        let (id, name, status) = (id.into(), name.into(), status.into());
        Self { id, name, status, glyph: None, score: None, measures: Vec::new(), blocks: Vec::new() }
    }
}

pub(super) fn write(catalogue: &Catalogue, id: &str, html: &mut Html) {
    let bare = catalogue.entries.iter().all(|entry| entry.glyph.is_none());
    let class = if bare { "catalogue bare" } else { "catalogue" };
    html.element("div", &[("class", class), ("id", id)], |html| {
        write_tools(catalogue, id, html);
        html.element("div", &[("class", "row heads"), ("aria-hidden", "true")], |html| {
            let heads: &[&str] = if bare { &["", &catalogue.score] } else { &["", "", &catalogue.score] };
            for head in heads.iter().copied().chain(catalogue.measures.iter().map(String::as_str)) {
                html.leaf("span", &[], head);
            }
        });
        html.element("ul", &[("class", "entries")], |html| {
            for (index, entry) in catalogue.entries.iter().enumerate() {
                write_entry(catalogue, entry, index, html);
            }
        });
        html.leaf("p", &[("class", "none"), ("hidden", "")], "Nothing matches.");
    });
}

fn write_tools(catalogue: &Catalogue, id: &str, html: &mut Html) {
    let (entries, field) = (&catalogue.entries, format!("{id}-filter"));
    html.element("div", &[("class", "tools"), ("role", "search")], |html| {
        html.leaf(
            "label",
            &[("class", "unseen"), ("for", &field)],
            &format!("Filter {} by name", catalogue.noun),
        );
        let hint = format!("Filter {} {}", count(entries.len() as u64), catalogue.noun);
        let attributes = [
            ("type", "search"),
            ("id", &*field),
            ("placeholder", &*hint),
            ("autocomplete", "off"),
            ("spellcheck", "false"),
        ];
        html.void("input", &attributes);

        let mut found: Vec<(&Status, u64)> = Vec::new();
        for entry in entries {
            match found.iter_mut().find(|(status, _)| *status == &entry.status) {
                Some((_, number)) => *number += 1,
                None => found.push((&entry.status, 1)),
            }
        }
        found.sort_by_key(|(status, _)| std::cmp::Reverse(status.tone));
        html.element("div", &[("class", "chips"), ("role", "group"), ("aria-label", "Show only")], |html| {
            for (status, number) in found {
                let attributes =
                    [("type", "button"), ("aria-pressed", "false"), ("data-status", &*status.label)];
                html.element("button", &attributes, |html| {
                    status.write(html);
                    html.leaf("b", &[], &count(number));
                });
            }
        });
        html.element("label", &[("class", "sort")], |html| {
            html.text("Sort by ");
            html.element("select", &[], |html| {
                for (value, title) in [
                    ("status", "verdict"),
                    ("score", &*catalogue.score),
                    ("name", "name"),
                    ("order", "original order"),
                ] {
                    html.leaf("option", &[("value", value)], title);
                }
            });
        });
        html.leaf("button", &[("type", "button"), ("class", "plain"), ("data-open", "")], "Open all shown");
        html.leaf("output", &[("for", &field), ("aria-live", "polite")], "");
    });
}

fn write_entry(catalogue: &Catalogue, entry: &Entry, index: usize, html: &mut Html) {
    let score = entry.score.map_or(f64::NEG_INFINITY, |(score, _)| score);
    let (index, tone) = (index.to_string(), (entry.status.tone as u8).to_string());
    let score = if score.is_finite() { score.to_string() } else { String::new() };
    let attributes = [
        ("id", &*entry.id),
        ("data-name", &*entry.name),
        ("data-status", &*entry.status.label),
        ("data-tone", &*tone),
        ("data-score", &*score),
        ("data-order", &*index),
    ];
    html.element("li", &attributes, |html| {
        html.element("details", &[], |html| {
            html.element("summary", &[("class", "row")], |html| {
                html.element("span", &[("class", "name")], |html| {
                    entry.status.write(html);
                    let hint = [("title", entry.name.as_str())];
                    let hint = if entry.name.chars().count() > LONG { &hint[..] } else { &[] };
                    html.leaf("bdi", hint, &entry.name);
                });
                if let Some(chart) = &entry.glyph {
                    html.element("span", &[("class", "glyph")], |html| chart.write_glyph(html));
                }
                html.element("span", &[("class", "score")], |html| write_score(catalogue, entry, html));
                for (title, measure) in catalogue.measures.iter().zip(&entry.measures) {
                    html.element("span", &[("class", "measure")], |html| {
                        html.leaf("small", &[], title);
                        html.text(measure);
                    });
                }
            });
            html.element("div", &[("class", "body")], |html| {
                if entry.name.chars().count() > LONG {
                    html.element("p", &[("class", "full")], |html| html.leaf("bdi", &[], &entry.name));
                }
                for (index, block) in entry.blocks.iter().enumerate() {
                    block.write(&format!("{}-{index}", entry.id), html);
                }
            });
        });
    });
}

/// The score, and a bar that reaches its middle at the threshold and its end never.
fn write_score(catalogue: &Catalogue, entry: &Entry, html: &mut Html) {
    html.leaf("small", &[], &catalogue.score);
    let Some((score, threshold)) = entry.score else {
        html.text("–");
        return;
    };
    if let Some(threshold) = threshold.filter(|threshold| *threshold > 0.0) {
        let width = format!("width:{:.1}%", (100.0 * score / (score + threshold)).clamp(0.0, 100.0));
        html.element("span", &[("class", "gauge"), ("aria-hidden", "true")], |html| {
            html.leaf("span", &[("class", entry.status.tone.class()), ("style", &width)], "");
        });
    }
    html.leaf("b", &[], &if catalogue.percent { percent(score) } else { number(score) });
}
