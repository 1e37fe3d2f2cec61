//! The page itself.

use jiff::Timestamp;
use serde::Serialize;

use super::block::{Section, Status};
use super::markup::Html;

const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");
/// Runs before anything is painted, so that nothing flashes.
const THEME: &str = "try{const t=localStorage.getItem('mlops-theme');\
                     if(t==='light'||t==='dark')document.documentElement.dataset.theme=t}catch{}";
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'";

/// One self-contained HTML page.
#[derive(Debug, Clone, PartialEq)]
pub struct Page {
    title: String,
    subject: String,
    generated_at: Timestamp,
    status: Option<(Status, String)>,
    sections: Vec<Section>,
    data: Option<serde_json::Value>,
}

impl Page {
    /// A page without sections.
    pub fn new(title: impl Into<String>, subject: impl Into<String>, generated_at: Timestamp) -> Self {
        let (title, subject) = (title.into(), subject.into());
        Self { title, subject, generated_at, status: None, sections: Vec::new(), data: None }
    }

    /// Sets how the subject stands, and the sentence that says so.
    #[must_use]
    pub fn with_status(mut self, status: impl Into<Status>, sentence: impl Into<String>) -> Self {
        self.status = Some((status.into(), sentence.into()));
        self
    }

    /// Adds a section.
    #[must_use]
    pub fn with(mut self, section: Section) -> Self {
        self.sections.push(section);
        self
    }

    /// Lets the page hold the data it was made of, for programs and for a reader to save.
    #[must_use]
    pub fn with_data(mut self, data: &impl Serialize) -> Self {
        self.data = serde_json::to_value(data).ok();
        self
    }

    /// The page.
    #[must_use]
    pub fn to_html(&self) -> String {
        let mut html = Html::default();
        html.constant("<!doctype html>\n");
        html.element("html", &[("lang", "en")], |html| {
            html.element("head", &[], |html| self.write_head(html));
            html.element("body", &[], |html| self.write_body(html));
        });
        html.constant("\n");
        html.into_string()
    }

    fn write_head(&self, html: &mut Html) {
        html.void("meta", &[("charset", "utf-8")]);
        html.void("meta", &[("http-equiv", "Content-Security-Policy"), ("content", POLICY)]);
        html.void("meta", &[("name", "viewport"), ("content", "width=device-width, initial-scale=1")]);
        html.void("meta", &[("name", "color-scheme"), ("content", "light dark")]);
        html.leaf("title", &[], &format!("{} · {}", self.subject, self.title));
        html.element("script", &[], |html| html.constant(THEME));
        html.element("style", &[], |html| html.constant(STYLE));
    }

    fn write_body(&self, html: &mut Html) {
        html.leaf("a", &[("class", "skip"), ("href", "#main")], "To the content");
        html.element("header", &[("class", "top")], |html| self.write_header(html));
        html.element("nav", &[("aria-label", "Sections")], |html| self.write_contents(html));
        html.element("main", &[("id", "main")], |html| {
            self.sections.iter().for_each(|section| section.write(html));
        });
        html.element("footer", &[], |html| {
            html.leaf("p", &[], &format!("{}, made {}.", self.title, self.made_at()));
        });
        if let Some(data) = &self.data {
            html.element("script", &[("type", "application/json"), ("id", "data")], |html| html.json(data));
        }
        html.element("script", &[], |html| html.constant(SCRIPT));
    }

    fn write_header(&self, html: &mut Html) {
        html.element("div", &[("class", "title")], |html| {
            html.leaf("p", &[("class", "eyebrow")], &self.title);
            html.element("h1", &[], |html| html.leaf("bdi", &[], &self.subject));
            html.element("p", &[("class", "made")], |html| {
                let at = self.generated_at.to_string();
                html.leaf("time", &[("datetime", &at)], &self.made_at());
            });
        });
        html.element("div", &[("class", "actions")], |html| {
            if self.data.is_some() {
                html.leaf("button", &[("type", "button"), ("id", "save")], "Save JSON");
            }
            html.leaf(
                "button",
                &[("type", "button"), ("id", "theme"), ("aria-label", "Dark colours")],
                "Dark",
            );
        });
        if let Some((status, sentence)) = &self.status {
            let class = format!("verdict {}", status.tone.class());
            html.element("div", &[("class", &class), ("role", "status")], |html| {
                status.write(html);
                html.leaf("p", &[], sentence);
            });
        }
    }

    fn write_contents(&self, html: &mut Html) {
        html.element("ul", &[], |html| {
            for section in &self.sections {
                html.element("li", &[], |html| {
                    html.element("a", &[("href", &format!("#{}", section.id))], |html| {
                        html.text(&section.title);
                        if let Some(status) = &section.status {
                            let class = format!("dot {}", status.tone.class());
                            let attributes =
                                [("class", &*class), ("role", "img"), ("aria-label", &*status.label)];
                            html.leaf("span", &attributes, "");
                        }
                    });
                });
            }
        });
    }

    fn made_at(&self) -> String {
        self.generated_at.strftime("%-d %B %Y, %H:%M UTC").to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_constants_do_not_end_their_elements() {
        for text in [STYLE, SCRIPT, THEME] {
            assert!(!text.contains("</") && !text.contains("<!--"), "{text}");
        }
    }
}
