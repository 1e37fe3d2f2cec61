//! What a page is built of.

use mlops_core::Verdict;

use super::catalogue::{self, Catalogue};
use super::chart::Figure;
use super::format::count;
use super::markup::{Attributes, Html};

/// A part of a page, with a heading and a place in the table of contents.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Section {
    /// The fragment that links to it: `drift`.
    pub id: String,
    /// The heading.
    pub title: String,
    /// One sentence that says the most important.
    pub summary: String,
    /// How it stands, shown in the table of contents.
    pub status: Option<Status>,
    /// The content.
    pub blocks: Vec<Block>,
}

/// A piece of a section.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Block {
    /// A paragraph.
    Text(String),
    /// Numbers that stand out.
    Facts(Vec<Fact>),
    /// How many things stand how, as one bar.
    Tally(Vec<(Status, u64)>),
    /// A table.
    Table(Table),
    /// A chart.
    Chart(Figure),
    /// Small charts side by side.
    Gallery(Vec<Figure>),
    /// A long list to filter and sort, whose entries open.
    Catalogue(Catalogue),
    /// Blocks under a line that opens them.
    Details {
        /// The line.
        title: String,
        /// What it opens.
        blocks: Vec<Block>,
    },
}

/// How something stands: a tone, and the word for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// How alarming it is.
    pub tone: Tone,
    /// The word: `drifted`.
    pub label: String,
}

/// How alarming something is, from least to most.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Tone {
    /// Not known.
    Unknown,
    /// As it should be.
    Good,
    /// Worth a look.
    Notice,
    /// Wrong.
    Bad,
}

/// A number that stands out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fact {
    /// What it is: `rows`.
    pub label: String,
    /// The number, as text.
    pub value: String,
    /// What it is to be compared with; may be empty.
    pub note: String,
}

/// A table.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Table {
    /// What it shows, for those who do not see it beside its heading.
    pub caption: String,
    /// The heads of the columns.
    pub columns: Vec<Column>,
    /// The rows, one cell per column.
    pub rows: Vec<Vec<Cell>>,
}

/// The head of a column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    title: String,
    numeric: bool,
}

/// A cell of a table.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Cell {
    /// Text.
    Text(String),
    /// How something stands.
    Status(Status),
}

impl Section {
    /// A section without content.
    pub fn new(id: impl Into<String>, title: impl Into<String>, summary: impl Into<String>) -> Self {
        let (id, title, summary) = (id.into(), title.into(), summary.into());
        Self { id, title, summary, status: None, blocks: Vec::new() }
    }

    /// Sets how it stands.
    #[must_use]
    pub fn with_status(mut self, status: impl Into<Status>) -> Self {
        self.status = Some(status.into());
        self
    }

    /// Adds a block.
    #[must_use]
    pub fn with(mut self, block: Block) -> Self {
        self.blocks.push(block);
        self
    }

    pub(super) fn write(&self, html: &mut Html) {
        let heading = format!("{}-title", self.id);
        html.element("section", &[("id", &self.id), ("aria-labelledby", &heading)], |html| {
            html.element("header", &[], |html| {
                html.leaf("h2", &[("id", &heading)], &self.title);
                html.leaf("p", &[], &self.summary);
            });
            for (index, block) in self.blocks.iter().enumerate() {
                block.write(&format!("{}-{index}", self.id), html);
            }
        });
    }
}

impl Block {
    /// `id` is unique on the page.
    pub(super) fn write(&self, id: &str, html: &mut Html) {
        match self {
            Self::Text(text) => html.leaf("p", &[("class", "text")], text),
            Self::Facts(facts) => html.element("dl", &[("class", "facts")], |html| {
                facts.iter().for_each(|fact| fact.write(html));
            }),
            Self::Tally(parts) => tally(parts, html),
            Self::Table(table) => table.write(html),
            Self::Chart(figure) => figure.write(html),
            Self::Gallery(figures) => html.element("div", &[("class", "gallery")], |html| {
                figures.iter().for_each(|figure| figure.write(html));
            }),
            Self::Catalogue(catalogue) => catalogue::write(catalogue, id, html),
            Self::Details { title, blocks } => html.element("details", &[("class", "more")], |html| {
                html.leaf("summary", &[], title);
                for (index, block) in blocks.iter().enumerate() {
                    block.write(&format!("{id}-{index}"), html);
                }
            }),
        }
    }
}

impl Status {
    /// A tone and the word for it.
    pub fn new(tone: Tone, label: impl Into<String>) -> Self {
        Self { tone, label: label.into() }
    }

    pub(super) fn write(&self, html: &mut Html) {
        let class = format!("status {}", self.tone.class());
        html.element("span", &[("class", &class)], |html| {
            html.leaf("i", &[("aria-hidden", "true")], "");
            html.text(&self.label);
        });
    }
}

impl From<Verdict> for Status {
    fn from(verdict: Verdict) -> Self {
        let tone = match verdict {
            Verdict::TooFewSamples => Tone::Unknown,
            Verdict::Stable => Tone::Good,
            Verdict::Warning => Tone::Notice,
            Verdict::Drifted => Tone::Bad,
        };
        Self::new(tone, verdict.to_string())
    }
}

impl Tone {
    pub(super) fn class(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Good => "good",
            Self::Notice => "notice",
            Self::Bad => "bad",
        }
    }
}

impl Fact {
    /// A number without anything to compare it with.
    pub fn new(label: impl Into<String>, value: impl Into<String>) -> Self {
        Self { label: label.into(), value: value.into(), note: String::new() }
    }

    /// Adds what it is to be compared with.
    #[must_use]
    pub fn with_note(mut self, note: impl Into<String>) -> Self {
        self.note = note.into();
        self
    }

    fn write(&self, html: &mut Html) {
        html.element("div", &[], |html| {
            html.leaf("dt", &[], &self.label);
            html.leaf("dd", &[], &self.value);
            if !self.note.is_empty() {
                html.leaf("dd", &[("class", "note")], &self.note);
            }
        });
    }
}

impl Table {
    /// A table without rows.
    pub fn new(caption: impl Into<String>, columns: impl IntoIterator<Item = Column>) -> Self {
        Self { caption: caption.into(), columns: columns.into_iter().collect(), rows: Vec::new() }
    }

    /// Adds a row.
    pub fn push(&mut self, cells: impl IntoIterator<Item = Cell>) {
        self.rows.push(cells.into_iter().collect());
    }

    fn write(&self, html: &mut Html) {
        html.element("div", &[("class", "table")], |html| {
            html.element("table", &[], |html| {
                html.leaf("caption", &[], &self.caption);
                html.element("thead", &[], |html| {
                    html.element("tr", &[], |html| {
                        for column in &self.columns {
                            let attributes = [&[("scope", "col")], column.attributes()].concat();
                            html.leaf("th", &attributes, &column.title);
                        }
                    });
                });
                html.element("tbody", &[], |html| {
                    for row in &self.rows {
                        html.element("tr", &[], |html| self.write_row(row, html));
                    }
                });
            });
        });
    }

    fn write_row(&self, row: &[Cell], html: &mut Html) {
        for (index, (cell, column)) in row.iter().zip(&self.columns).enumerate() {
            let attributes = column.attributes();
            let (tag, attributes) =
                if index == 0 { ("th", &[("scope", "row")][..]) } else { ("td", attributes) };
            html.element(tag, attributes, |html| match cell {
                Cell::Text(text) if column.numeric => html.text(text),
                Cell::Text(text) => html.leaf("bdi", &[], text),
                Cell::Status(status) => status.write(html),
            });
        }
    }
}

impl Column {
    /// A column of text.
    pub fn text(title: impl Into<String>) -> Self {
        Self { title: title.into(), numeric: false }
    }

    /// A column of numbers.
    pub fn number(title: impl Into<String>) -> Self {
        Self { title: title.into(), numeric: true }
    }

    fn attributes(&self) -> Attributes<'static> {
        if self.numeric { &[("class", "number")] } else { &[] }
    }
}

impl<T: Into<String>> From<T> for Cell {
    fn from(text: T) -> Self {
        Self::Text(text.into())
    }
}

/// One bar, as long as all of them, and the numbers below it.
fn tally(parts: &[(Status, u64)], html: &mut Html) {
    let all = parts.iter().map(|(_, number)| *number).sum::<u64>().max(1) as f64;
    html.element("div", &[("class", "tally")], |html| {
        html.element("div", &[("class", "strip"), ("aria-hidden", "true")], |html| {
            for (status, number) in parts.iter().filter(|(_, number)| *number > 0) {
                let width = format!("flex-grow:{:.4}", *number as f64 / all);
                html.leaf("span", &[("class", status.tone.class()), ("style", &width)], "");
            }
        });
        html.element("ul", &[], |html| {
            for (status, number) in parts {
                html.element("li", &[], |html| {
                    let attributes = [("type", "button"), ("data-pick", status.label.as_str())];
                    html.element("button", &attributes, |html| {
                        html.leaf("b", &[], &count(*number));
                        html.text(" ");
                        status.write(html);
                    });
                });
            }
        });
    });
}
