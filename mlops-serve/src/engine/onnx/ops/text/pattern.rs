//! Regular expressions in the syntax of [RE2](https://github.com/google/re2/wiki/Syntax), on the engine of the crate
//! `regex`, whose syntax differs in a few places.

use mlops_core::{Error, Result};
use regex_automata::meta::Regex;
use regex_automata::util::syntax;
use regex_automata::{Anchored, Input, MatchKind};

/// The memory a compiled pattern may take: as much as in RE2.
const LIMIT: usize = 8 << 20;

/// A pattern that finds the leftmost match, and of those that begin there the longest.
#[derive(Debug)]
pub(super) struct Pattern {
    leftmost: Regex,
    longest: Regex,
}

impl Pattern {
    pub(super) fn new(pattern: &str) -> Result<Self> {
        Ok(Self {
            leftmost: compile(pattern, MatchKind::LeftmostFirst)?,
            longest: compile(pattern, MatchKind::All)?,
        })
    }

    /// Whether the whole text matches.
    pub(super) fn is_full_match(&self, text: &str) -> bool {
        let input = Input::new(text).anchored(Anchored::Yes);
        self.longest.search_half(&input).is_some_and(|end| end.offset() == text.len())
    }

    /// Where the next match from `start` on begins and ends.
    pub(super) fn find(&self, text: &str, start: usize) -> Option<(usize, usize)> {
        if start > text.len() {
            return None;
        }
        let found = self.leftmost.search(&Input::new(text).range(start..))?;
        let input = Input::new(text).range(found.start()..).anchored(Anchored::Yes);
        let end = self.longest.search_half(&input).map_or(found.end(), |end| end.offset());
        Some((found.start(), end))
    }
}

fn compile(pattern: &str, kind: MatchKind) -> Result<Regex> {
    let config = Regex::config()
        .match_kind(kind)
        .utf8_empty(true)
        .nfa_size_limit(Some(LIMIT))
        .onepass_size_limit(Some(LIMIT))
        .hybrid_cache_capacity(LIMIT)
        .dfa(false);
    let syntax = syntax::Config::new().utf8(false).octal(true);
    Regex::builder().configure(config).syntax(syntax).build(&translate(pattern)).map_err(|cause| {
        let why = cause.syntax_error().map_or_else(|| cause.to_string(), ToString::to_string);
        Error::invalid_input(format!("`{pattern}` is no regular expression: {why}"))
    })
}

/// The same expression in the syntax of the crate: Perl's classes are ASCII, what is no repetition is literal, brackets
/// inside a class are literal, and `\Q..\E` quotes.
fn translate(pattern: &str) -> String {
    let mut translated = String::with_capacity(pattern.len() + 16);
    let mut rest = pattern;
    let mut in_class = false;
    while let Some(first) = rest.chars().next() {
        let mut length = first.len_utf8();
        match first {
            '\\' => {
                let escape = &rest[length..];
                let escaped = escape.chars().next();
                length += escaped.map_or(0, char::len_utf8);
                match escaped {
                    Some('Q') => {
                        let quoted = escape.get(1..).unwrap_or_default();
                        let (quoted, end) = match quoted.find("\\E") {
                            Some(end) => (&quoted[..end], end + 2),
                            None => (quoted, quoted.len()),
                        };
                        quoted.chars().for_each(|literal| push_literal(&mut translated, literal));
                        length += end;
                    }
                    Some('w') => translated.push_str("[0-9A-Za-z_]"),
                    Some('W') => translated.push_str("[^0-9A-Za-z_]"),
                    Some('d') => translated.push_str("[0-9]"),
                    Some('D') => translated.push_str("[^0-9]"),
                    Some('s') => translated.push_str(r"[\t\n\x0C\r\x20]"),
                    Some('S') => translated.push_str(r"[^\t\n\x0C\r\x20]"),
                    Some('b') if !in_class => translated.push_str(r"(?-u:\b)"),
                    Some('B') if !in_class => translated.push_str(r"(?-u:\B)"),
                    Some(literal) if literal.is_ascii_punctuation() => push_literal(&mut translated, literal),
                    Some('x' | 'p' | 'P') if rest[length..].starts_with('{') => {
                        length = rest.find('}').map_or(rest.len(), |end| end + 1);
                        translated.push_str(&rest[..length]);
                    }
                    _ => translated.push_str(&rest[..length]),
                }
            }
            '[' if !in_class => {
                in_class = true;
                translated.push('[');
                if rest[length..].starts_with('^') {
                    translated.push('^');
                    length += 1;
                }
                if rest[length..].starts_with(']') {
                    push_literal(&mut translated, ']');
                    length += 1;
                }
            }
            ']' if in_class => {
                in_class = false;
                translated.push(']');
            }
            '[' if rest.starts_with("[:") && rest.contains(":]") => {
                length = rest.find(":]").map_or(length, |end| end + 2);
                translated.push_str(&rest[..length]);
            }
            '[' | '&' | '~' if in_class => push_literal(&mut translated, first),
            '{' if !in_class && is_repetition(rest) => {
                length = rest.find('}').map_or(length, |end| end + 1);
                translated.push_str(&rest[..length]);
            }
            '{' | '}' | ']' if !in_class => push_literal(&mut translated, first),
            _ => translated.push(first),
        }
        rest = &rest[length..];
    }
    translated
}

fn push_literal(translated: &mut String, literal: char) {
    // As a number, a character is literal everywhere.
    if literal.is_ascii_punctuation() {
        translated.push_str(&format!("\\x{:02X}", u32::from(literal)));
    } else {
        translated.push(literal);
    }
}

/// Whether the text begins with `{n}`, `{n,}` or `{n,m}`.
fn is_repetition(text: &str) -> bool {
    let Some(end) = text.find('}') else { return false };
    let (least, most) = text[1..end].split_once(',').unwrap_or((&text[1..end], ""));
    !least.is_empty() && [least, most].iter().all(|count| count.bytes().all(|digit| digit.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn full_match(pattern: &str, text: &str) -> bool {
        Pattern::new(pattern).unwrap().is_full_match(text)
    }

    #[test]
    fn perl_classes_are_ascii() {
        assert!(full_match(r"[\w.]+", "a.b_1"));
        assert!(!full_match(r"\w+", "été"));
        assert!(full_match(r"\W+", "é "));
        assert!(full_match(r"[^\W]+", "abc"));
        assert!(!full_match(r"\d", "٣"));
        assert!(full_match(r"\p{Lu}\pL*", "Été"));
        assert!(full_match(r"(?i)STRASSE|É", "é"));
    }

    #[test]
    fn what_is_special_only_in_the_crate_is_literal() {
        assert!(full_match("[[a&&b]+", "[&a"));
        assert!(full_match("[]a]+", "]a"));
        assert!(full_match("{a}", "{a}"));
        assert!(full_match("a{2}", "aa"));
        assert!(full_match("a{,2}", "a{,2}"));
        assert!(full_match(r"\Qa.b\E+", "a.bb"));
        assert!(full_match(r"\<\_\>", "<_>"));
        assert!(full_match(r"[[:alpha:]]\x{e9}\xe9", "aéé"));
        assert!(full_match(r".*\bcat\b.*", "a cat!"));
        assert!(!full_match(".", "\n"));
    }

    #[test]
    fn the_leftmost_longest_match_is_found() {
        let pattern = Pattern::new("a|ab|c").unwrap();
        assert_eq!(pattern.find("xxab", 0), Some((2, 4)));
        assert_eq!(pattern.find("xxab", 3), None);
        assert_eq!(pattern.find("ab", 3), None);
    }

    #[test]
    fn a_pattern_that_is_none_or_too_large_is_refused() {
        for pattern in ["(", "a**b(", r"\", "[a", "(?P<n", "((a{1000}){1000}){1000}", r"\p{Nonsense}"] {
            assert!(Pattern::new(pattern).is_err(), "{pattern}");
        }
    }
}
