//! The names of artifacts for files that MLflow's own clients have stored, in folders and under any name.
//!
//! A path that is a name stays as it is. In others, each `/` becomes `__`, any other character that names must not have
//! becomes `_`, and a first one that is no letter or digit gets an `x` before it. What is too long then, or already the
//! name of another file, is cut, and gets `-` and 16 digits of the path's SHA-256.

use std::collections::{BTreeMap, BTreeSet};

use mlops_core::{Digest, ModelName};

/// Bytes of a name.
const MAX_NAME_BYTES: usize = 128;

/// Digits that tell paths apart.
const DIGITS: usize = 16;

/// A name for each path: always the same ones for the same paths.
pub(crate) fn of_paths<'a>(paths: impl IntoIterator<Item = &'a str>) -> BTreeMap<String, &'a str> {
    let paths: BTreeSet<&str> = paths.into_iter().collect();
    let (names, others): (Vec<&str>, Vec<&str>) =
        paths.into_iter().partition(|path| ModelName::new(path).is_ok());
    let mut named: BTreeMap<String, &str> = names.into_iter().map(|name| (name.to_owned(), name)).collect();
    for path in others {
        let simple = simplified(path);
        let taken = simple.len() > MAX_NAME_BYTES || named.contains_key(&simple);
        named.insert(if taken { distinguished(&simple, path) } else { simple }, path);
    }
    named
}

fn simplified(path: &str) -> String {
    let mut name = String::with_capacity(path.len() + 8);
    for c in path.chars() {
        match c {
            '/' => name.push_str("__"),
            c if c.is_ascii_alphanumeric() || "._-".contains(c) => name.push(c),
            _ => name.push('_'),
        }
    }
    if !name.starts_with(|first: char| first.is_ascii_alphanumeric()) {
        name.insert(0, 'x');
    }
    name
}

fn distinguished(simple: &str, path: &str) -> String {
    // All of it is ASCII.
    let kept = &simple[..simple.len().min(MAX_NAME_BYTES - DIGITS - 1)];
    format!("{kept}-{}", &Digest::of(path.as_bytes()).hex()[..DIGITS])
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn paths_become_names() {
        let named = of_paths(["MLmodel", "data/model.pkl", ".hidden", "a b", "a_b", "ü", "x__y", "x/y"]);
        let told: Vec<_> = named.iter().map(|(name, path)| (name.as_str(), *path)).collect();
        let digits = |path: &str| Digest::of(path.as_bytes()).hex()[..DIGITS].to_owned();
        let (space, slash) = (format!("a_b-{}", digits("a b")), format!("x__y-{}", digits("x/y")));
        let mut expected = vec![
            ("MLmodel", "MLmodel"),
            ("data__model.pkl", "data/model.pkl"),
            ("x.hidden", ".hidden"),
            (space.as_str(), "a b"),
            ("a_b", "a_b"),
            ("x_", "ü"),
            ("x__y", "x__y"),
            (slash.as_str(), "x/y"),
        ];
        expected.sort_unstable();
        assert_eq!(told, expected);
    }

    proptest! {
        #[test]
        fn every_path_has_a_valid_name_of_its_own(
            paths in prop::collection::btree_set("[a-c_/ .ü-]{1,6}|[a-b/]{120,140}", 0..40),
        ) {
            let named = of_paths(paths.iter().map(String::as_str));
            prop_assert_eq!(named.len(), paths.len());
            for name in named.keys() {
                prop_assert!(ModelName::new(name).is_ok(), "{}", name);
            }
        }
    }
}
