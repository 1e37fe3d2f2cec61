//! What can be kept in the tags of MLflow: names and values within its limits.
//!
//! MLflow refuses names with other characters than letters, digits and `_-. :/`, names that are no clean path, and what
//! is too long; its tables hold 5000 characters of the tag of a model. So what is long is split over several tags, and
//! what MLflow might refuse as a name is kept in a value. All tags of ours begin with `mlops.`.

use std::collections::BTreeMap;

use mlops_core::{Digest, Error, Result};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::wire::Tag;

/// Where all names of ours begin.
pub(crate) const OURS: &str = "mlops.";

/// Where the names of tags of users begin that MLflow might refuse.
const USERS: &str = "mlops.tag.";

/// Bytes of a name.
const MAX_KEY_BYTES: usize = 250;

/// Bytes of a value.
pub(crate) const MAX_VALUE_BYTES: usize = 5000;

/// What the first part of a split value begins with; then come the number of parts and a colon. No JSON begins so.
const SPLIT: &str = "split:";

/// Bytes of a part, so that the first one has room for what it begins with.
const PART_BYTES: usize = MAX_VALUE_BYTES - 20;

/// `value` as JSON under `key`, in as many tags as it needs. The first part comes last, and makes the others count.
pub(crate) fn document(key: &str, value: &impl Serialize) -> Result<Vec<Tag>> {
    let text = serde_json::to_string(value)
        .map_err(|cause| Error::internal(format!("{key} cannot be written as JSON")).with_source(cause))?;
    Ok(split(key, &text))
}

/// What [`document`] has written under `key`, if it is there; `of` names the owner in errors.
pub(crate) fn read<T: DeserializeOwned>(
    of: &str,
    tags: &BTreeMap<String, String>,
    key: &str,
) -> Result<Option<T>> {
    let Some(text) = joined(of, tags, key)? else {
        return Ok(None);
    };
    serde_json::from_str(&text).map(Some).map_err(|cause| {
        Error::integrity(format!("the tag `{key}` of {of} cannot be read; was it edited?")).with_source(cause)
    })
}

/// The whole value under `key`.
pub(crate) fn joined(of: &str, tags: &BTreeMap<String, String>, key: &str) -> Result<Option<String>> {
    let Some(first) = tags.get(key) else {
        return Ok(None);
    };
    let Some((count, first)) = first.strip_prefix(SPLIT).and_then(|rest| rest.split_once(':')) else {
        return Ok(Some(first.clone()));
    };
    let missing = || Error::integrity(format!("the tag `{key}` of {of} is not whole; was it edited?"));
    let count: usize = count.parse().map_err(|_| missing())?;
    let mut whole = first.to_owned();
    for number in 2..=count {
        whole.push_str(tags.get(&part(key, number)).ok_or_else(missing)?);
    }
    Ok(Some(whole))
}

/// The names under which the value of `key` is kept, the first part first.
pub(crate) fn keys_of(tags: &BTreeMap<String, String>, key: &str) -> Vec<String> {
    let others = (2..).map(|number| part(key, number)).take_while(|key| tags.contains_key(key));
    std::iter::once(key.to_owned()).filter(|key| tags.contains_key(key)).chain(others).collect()
}

/// Whether a name is that of a further part.
pub(crate) fn is_part(key: &str) -> bool {
    key.starts_with(OURS) && key.contains('/')
}

fn part(key: &str, number: usize) -> String {
    format!("{key}/{number}")
}

fn split(key: &str, text: &str) -> Vec<Tag> {
    if text.len() <= MAX_VALUE_BYTES {
        return vec![Tag { key: key.to_owned(), value: text.to_owned() }];
    }
    let mut parts = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let (part, after) = rest.split_at(rest.floor_char_boundary(PART_BYTES));
        parts.push(part);
        rest = after;
    }
    let count = parts.len();
    let tag = |(index, text): (usize, &str)| match index {
        0 => Tag { key: key.to_owned(), value: format!("{SPLIT}{count}:{text}") },
        _ => Tag { key: part(key, index + 1), value: text.to_owned() },
    };
    parts.into_iter().enumerate().map(tag).rev().collect()
}

/// A tag of a user: as it is when MLflow takes it, otherwise as a document that holds name and value.
pub(crate) fn of_user(name: &str, value: &str) -> Result<Vec<Tag>> {
    if is_plain_name(name)
        && !name.starts_with(OURS)
        && value.len() <= MAX_VALUE_BYTES
        && !value.contains('\0')
    {
        return Ok(vec![Tag { key: name.to_owned(), value: value.to_owned() }]);
    }
    document(&encoded_key(name), &(name, value))
}

/// All names under which a tag of a user is kept now.
pub(crate) fn keys_of_user(tags: &BTreeMap<String, String>, name: &str) -> Vec<String> {
    let plain = (!name.starts_with(OURS) && tags.contains_key(name)).then(|| name.to_owned());
    keys_of(tags, &encoded_key(name)).into_iter().chain(plain).collect()
}

/// The tags of users among all tags of a version.
pub(crate) fn users(of: &str, tags: &BTreeMap<String, String>) -> Result<BTreeMap<String, String>> {
    let mut users: BTreeMap<_, _> = tags
        .iter()
        .filter(|(key, _)| !key.starts_with(OURS))
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect();
    for key in tags.keys().filter(|key| key.starts_with(USERS) && !is_part(key)) {
        users.extend(read::<(String, String)>(of, tags, key)?);
    }
    Ok(users)
}

fn encoded_key(name: &str) -> String {
    format!("{USERS}{}", &Digest::of(name.as_bytes()).hex()[..32])
}

/// Whether every MLflow server takes this name, for tags, metrics and parameters: on Windows it takes no colons, and
/// databases differ in what they make of spaces at the ends.
pub(crate) fn is_plain_name(name: &str) -> bool {
    name.len() <= MAX_KEY_BYTES
        && name.trim() == name
        && name.chars().all(|c| c.is_ascii_alphanumeric() || "_-. /".contains(c))
        && name.split('/').all(|part| !matches!(part, "" | "." | ".."))
}

/// As much of a text as MLflow shows.
pub(crate) fn shortened(text: &str) -> String {
    text[..text.floor_char_boundary(MAX_VALUE_BYTES)].replace('\0', "")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn map(tags: Vec<Tag>) -> BTreeMap<String, String> {
        tags.into_iter().map(|tag| (tag.key, tag.value)).collect()
    }

    #[test]
    fn long_values_are_split_and_joined() {
        let text = "ü\0\"".repeat(5000);
        let written = document("mlops.x", &text).unwrap();
        assert!(written.len() > 1 && written.last().unwrap().key == "mlops.x", "the first part comes last");
        assert!(written.iter().all(|tag| tag.value.len() <= MAX_VALUE_BYTES));
        let mut tags = map(written);
        assert_eq!(read::<String>("x", &tags, "mlops.x").unwrap().unwrap(), text);
        assert_eq!(keys_of(&tags, "mlops.x").len(), tags.len());
        tags.remove("mlops.x/2");
        assert_eq!(read::<String>("x", &tags, "mlops.x").unwrap_err().label(), "integrity");
        assert_eq!(read::<String>("x", &tags, "mlops.y").unwrap(), None);
    }

    #[test]
    fn names_that_mlflow_refuses_are_kept_in_values() {
        for plain in ["team", "a b", "a/b", "mlflow.note", "x.y-z_1"] {
            assert!(is_plain_name(plain), "{plain}");
        }
        for other in
            ["", "/a", "a/", "a//b", "../b", "a/./b", "a:b", "ü", "a\n", " a", "a ", &"a".repeat(251)]
        {
            assert!(!is_plain_name(other), "{other:?}");
        }
    }

    proptest! {
        #[test]
        fn tags_of_users_come_back(name in ".{1,40}|mlops\\..{1,9}", value in ".{0,40}|[aü]{4990,5010}") {
            let written = of_user(&name, &value).unwrap();
            for tag in &written {
                prop_assert!(is_plain_name(&tag.key) && tag.value.len() <= MAX_VALUE_BYTES, "{:?}", tag);
            }
            let mut tags = map(written);
            let expected = BTreeMap::from([(name.clone(), value)]);
            prop_assert_eq!(users("x", &tags).unwrap(), expected);
            for key in keys_of_user(&tags, &name) {
                tags.remove(&key);
            }
            prop_assert!(tags.is_empty());
        }
    }
}
