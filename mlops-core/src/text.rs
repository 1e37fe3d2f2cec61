//! Texts that are cheap to clone.

use std::borrow::Cow;
use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use smol_str::SmolStr;

/// A text that is cloned without an allocation: one of the program itself, a short one (up to 23 bytes), which is copied,
/// or one that the clones share.
///
/// ```
/// use mlops_core::Text;
///
/// let (constant, made) = (Text::from("staff"), Text::from(format!("sta{}", "ff")));
/// assert_eq!(constant, made);
/// assert_eq!(made.clone().len(), 5);
/// ```
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Text(SmolStr);

impl Text {
    /// The text itself.
    #[must_use]
    #[inline]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Deref for Text {
    type Target = str;

    fn deref(&self) -> &str {
        self.as_str()
    }
}

impl AsRef<str> for Text {
    fn as_ref(&self) -> &str {
        self.as_str()
    }
}

impl From<&'static str> for Text {
    fn from(text: &'static str) -> Self {
        Self(SmolStr::new_static(text))
    }
}

impl From<Arc<str>> for Text {
    fn from(text: Arc<str>) -> Self {
        Self(text.into())
    }
}

impl From<String> for Text {
    fn from(text: String) -> Self {
        Self(text.into())
    }
}

impl From<Cow<'static, str>> for Text {
    fn from(text: Cow<'static, str>) -> Self {
        match text {
            Cow::Borrowed(text) => text.into(),
            Cow::Owned(text) => text.into(),
        }
    }
}

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self)
    }
}

impl Serialize for Text {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self)
    }
}

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(Self::from)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn where_a_text_is_kept_makes_no_difference() {
        let kept = [
            Text::from("rule"),
            Text::from("rule".to_owned()),
            Text::from(Arc::<str>::from("rule")),
            Text::from(Cow::Borrowed("rule")),
            serde_json::from_str(r#""rule""#).unwrap(),
        ];
        assert_eq!(kept.iter().collect::<HashSet<_>>().len(), 1);
        for text in kept {
            assert_eq!((text.as_str(), text.to_string()), ("rule", "rule".to_owned()));
            assert_eq!(serde_json::to_string(&text).unwrap(), r#""rule""#);
        }
        assert_ne!(Text::from("rule"), Text::from("role"));
    }

    #[test]
    fn clones_share_a_long_text() {
        let text = Text::from("made up while the program runs".to_owned());
        assert!(std::ptr::eq(text.as_str(), text.clone().as_str()));
    }
}
