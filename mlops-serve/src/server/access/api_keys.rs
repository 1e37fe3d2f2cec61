//! The API keys of a server: a file of their hashes, read again when it changes.

use std::collections::HashMap;
use std::path::PathBuf;
use std::time::Duration;

use mlops_core::reexports::jiff::Timestamp;
use mlops_core::{Clock, Error, Result};
use serde::Deserialize;

use super::caller::{CallerName, Method};
use super::credential::Refusal;
use super::{Caller, KeyHash, Scope, Scopes};
use crate::server::watched::Watched;

/// Callers by their API keys, from a file in [TOML](https://toml.io) that holds hashes, never keys:
///
/// ```toml
/// [[key]]
/// name = "batch-scoring"
/// hash = "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
/// scopes = ["infer:fraud-*", "inspect:*"]
/// expires = "2027-01-31T00:00:00Z"   # may be left out
/// ```
///
/// [`ApiKey::entry`](super::ApiKey::entry) makes such entries. Several keys may have one name, so that the new
/// one works before the old one is taken out. A file without keys says so: `key = []`.
///
/// The file is looked at again when a key is asked for, at most once a second, and used from then on when its
/// content has changed: no restart, no signal. A file that cannot be read, or has a fault, leaves the old keys
/// in use, and an error in the log. Write the new file under another name and rename it, so that no half of it
/// is ever read.
#[derive(Debug)]
pub struct ApiKeys {
    keys: Watched<Keys>,
}

impl ApiKeys {
    /// The keys in that file.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when the file cannot be read; [`Error::InvalidInput`] that says what is wrong
    /// with it, and in which line.
    pub fn open(file: impl Into<PathBuf>) -> Result<Self> {
        let parse = |contents: &[Vec<u8>]| Keys::parse(contents.first().map_or(&[], Vec::as_slice));
        Ok(Self { keys: Watched::open(vec![file.into()], Duration::from_secs(1), parse)? })
    }

    /// How long the file is not looked at again; one second unless set. So long a key that was taken out may
    /// still work.
    #[must_use]
    pub fn with_reload_every(mut self, every: Duration) -> Self {
        self.keys = self.keys.every(every);
        self
    }

    /// Whose key it is.
    pub(super) fn caller(&self, key: &str, clock: &dyn Clock) -> Result<Caller, Refusal> {
        let keys = self.keys.current(clock.instant());
        let key = keys.find(KeyHash::of(key)).ok_or(Refusal::UnknownKey)?;
        if key.expires.is_some_and(|expires| clock.now() >= expires) {
            return Err(Refusal::ExpiredKey(key.name.clone()));
        }
        Ok(Caller::known(Method::ApiKey, key.name.clone(), key.scopes.clone()))
    }
}

/// The keys by the beginnings of their hashes.
struct Keys(HashMap<[u8; 8], Vec<Key>>);

struct Key {
    name: CallerName,
    hash: KeyHash,
    scopes: Scopes,
    expires: Option<Timestamp>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    key: Vec<Entry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    name: CallerName,
    hash: KeyHash,
    scopes: Vec<Scope>,
    expires: Option<Timestamp>,
}

impl Keys {
    fn parse(content: &[u8]) -> Result<Self> {
        let text = std::str::from_utf8(content)
            .map_err(|_| Error::invalid_input("the file of API keys is not UTF-8"))?;
        // Not the error's own text, which shows the line: a key in clear may stand there by mistake.
        let document: Document = toml::from_str(text).map_err(|error| {
            let before = error.span().and_then(|span| text.get(..span.start));
            let line = before.map_or(1, |before| 1 + before.matches('\n').count());
            let message = error.message();
            Error::invalid_input(format!("the file of API keys has a fault in line {line}: {message}"))
        })?;
        let mut keys = Self(HashMap::with_capacity(document.key.len()));
        for Entry { name, hash, scopes, expires } in document.key {
            if let Some(other) = keys.find(hash) {
                let what = format!("the API keys of {:?} and {name:?} are the same key", other.name);
                return Err(Error::invalid_input(what));
            }
            let key = Key { name, hash, scopes: scopes.into_iter().collect(), expires };
            keys.0.entry(hash.beginning()).or_default().push(key);
        }
        Ok(keys)
    }

    fn find(&self, hash: KeyHash) -> Option<&Key> {
        self.0.get(&hash.beginning())?.iter().find(|key| key.hash == hash)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::access::ApiKey;

    fn fault(text: &str) -> String {
        Keys::parse(text.as_bytes()).err().unwrap().to_string()
    }

    fn entry(rest: &str) -> String {
        format!("\n[[key]]\nname = \"a\"\nhash = \"{}\"\n{rest}\n", KeyHash::of("a"))
    }

    #[test]
    fn entries_of_new_keys_are_what_the_file_holds() {
        let key = ApiKey::generate().unwrap();
        let scopes: Scopes = "infer:fraud-* admin:*".parse().unwrap();
        let expires = "2027-01-31T00:00:00Z".parse().unwrap();
        let name = r#"Zoë's "\t" key"#;
        let keys = Keys::parse(key.entry(name, &scopes, Some(expires)).unwrap().as_bytes()).unwrap();
        let found = keys.find(key.hash()).unwrap();
        assert_eq!((found.name.as_str(), &found.scopes, found.expires), (name, &scopes, Some(expires)));
        assert!(keys.find(KeyHash::of("another")).is_none());
        assert!(Keys::parse(b"key = []").unwrap().find(key.hash()).is_none());
    }

    #[test]
    fn faults_are_told_with_their_line() {
        assert!(
            fault("").contains("missing field `key`"),
            "an emptied file is a fault, not the end of all keys"
        );
        assert!(fault(&entry("")).contains("in line 2: missing field `scopes`"), "{}", fault(&entry("")));
        let unknown = entry("scopes = [\"infer:*\", \"read:*\"]");
        assert!(
            fault(&unknown).contains("line 5") && fault(&unknown).contains("`read:*`"),
            "{}",
            fault(&unknown)
        );
        assert!(fault(&entry("scopes = []\nscope = []")).contains("unknown field `scope`"));
        assert!(fault(&entry("scopes = []\nexpires = \"tomorrow\"")).contains("line 6"));
        assert!(fault(&entry("scopes = []").replace("\"a\"", "\"\"")).contains("is empty"));
        assert!(fault(&entry("scopes = []").repeat(2)).contains("are the same key"));
        assert!(Keys::parse(b"\xff").is_err());
    }

    #[test]
    fn a_key_in_clear_in_place_of_its_hash_is_not_repeated() {
        let key = ApiKey::generate().unwrap();
        let text = format!("[[key]]\nname = \"a\"\nhash = \"{}\"\nscopes = []\n", key.reveal());
        assert!(fault(&text).contains("line 3") && !fault(&text).contains(key.reveal()), "{}", fault(&text));
    }
}
