//! Markup that cannot be broken by what it is made of.

use serde::Serialize;

/// The attributes of an element.
pub(super) type Attributes<'a> = &'a [(&'static str, &'a str)];

/// A piece of HTML. Elements are closed as they were opened, and text is escaped: only constants of this crate
/// go in as they are.
#[derive(Debug, Default)]
pub(super) struct Html {
    markup: String,
}

impl Html {
    /// An element around `content`.
    pub(super) fn element(
        &mut self,
        tag: &'static str,
        attributes: Attributes<'_>,
        content: impl FnOnce(&mut Self),
    ) {
        self.void(tag, attributes);
        content(self);
        self.markup.push_str("</");
        self.markup.push_str(tag);
        self.markup.push('>');
    }

    /// An element around text.
    pub(super) fn leaf(&mut self, tag: &'static str, attributes: Attributes<'_>, text: &str) {
        self.element(tag, attributes, |html| html.text(text));
    }

    /// An element that has no end.
    pub(super) fn void(&mut self, tag: &'static str, attributes: Attributes<'_>) {
        self.markup.push('<');
        self.markup.push_str(tag);
        for (name, value) in attributes {
            self.markup.push(' ');
            self.markup.push_str(name);
            self.markup.push_str("=\"");
            self.text(value);
            self.markup.push('"');
        }
        self.markup.push('>');
    }

    /// Text, escaped for content and for attributes alike. Control characters, which HTML forbids, become
    /// U+FFFD.
    pub(super) fn text(&mut self, text: &str) {
        for character in text.chars() {
            match character {
                '&' => self.markup.push_str("&amp;"),
                '<' => self.markup.push_str("&lt;"),
                '>' => self.markup.push_str("&gt;"),
                '"' => self.markup.push_str("&quot;"),
                '\'' => self.markup.push_str("&#39;"),
                '\t' | '\n' => self.markup.push(character),
                control if control.is_control() => self.markup.push('\u{fffd}'),
                other => self.markup.push(other),
            }
        }
    }

    /// Markup of this crate, as it is.
    pub(super) fn constant(&mut self, markup: &'static str) {
        self.markup.push_str(markup);
    }

    /// JSON for the inside of a `<script>`: it holds no `<`, so that nothing in it ends the script. Nothing
    /// where there is no JSON of `value`.
    pub(super) fn json(&mut self, value: &impl Serialize) {
        let json = serde_json::to_string(value).unwrap_or_default();
        for character in json.chars() {
            match character {
                '<' => self.markup.push_str("\\u003c"),
                '>' => self.markup.push_str("\\u003e"),
                '&' => self.markup.push_str("\\u0026"),
                '\u{2028}' => self.markup.push_str("\\u2028"),
                '\u{2029}' => self.markup.push_str("\\u2029"),
                other => self.markup.push(other),
            }
        }
    }

    /// The markup.
    pub(super) fn into_string(self) -> String {
        self.markup
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn markup(write: impl FnOnce(&mut Html)) -> String {
        let mut html = Html::default();
        write(&mut html);
        html.into_string()
    }

    /// What a browser makes of escaped text.
    fn unescaped(text: &str) -> String {
        text.replace("&lt;", "<")
            .replace("&gt;", ">")
            .replace("&quot;", "\"")
            .replace("&#39;", "'")
            .replace("&amp;", "&")
    }

    #[test]
    fn elements_nest_and_close() {
        let html = markup(|html| {
            html.element("p", &[("class", "a\"b"), ("id", "x")], |html| {
                html.leaf("b", &[], "1 < 2");
                html.void("br", &[]);
            });
        });
        assert_eq!(html, "<p class=\"a&quot;b\" id=\"x\"><b>1 &lt; 2</b><br></p>");
    }

    proptest! {
        #[test]
        fn no_text_becomes_markup(text in any::<String>()) {
            let html = markup(|html| html.text(&text));
            let markup = html.contains(['<', '>', '"', '\'']);
            prop_assert!(!markup);
            let shown: String =
                text.chars().map(|c| if c.is_control() && c != '\t' && c != '\n' { '\u{fffd}' } else { c }).collect();
            prop_assert_eq!(unescaped(&html), shown);
        }

        #[test]
        fn no_json_ends_its_script(text in prop_oneof![any::<String>(), "</?(script|SCRIPT|!--)>?\\PC*"]) {
            let html = markup(|html| html.json(&text));
            let ends = html.contains(['<', '>', '&', '\u{2028}', '\u{2029}']);
            prop_assert!(!ends);
            prop_assert_eq!(serde_json::from_str::<String>(&html).unwrap(), text);
        }
    }
}
