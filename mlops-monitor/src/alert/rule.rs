//! What somebody wants to know, and how urgently.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use jiff::fmt::serde::unsigned_duration::friendly::compact;
use mlops_core::{Error, Result};
use serde::{Deserialize, Serialize};

use super::{Condition, Matcher, Selector};

/// How long an alert waits before it is told again.
const REPEAT: Duration = Duration::from_secs(4 * 3600);

/// How long an alert outlives its signal.
const ABSENT_AFTER: Duration = Duration::from_secs(3600);

/// What somebody wants to know, and how urgently.
///
/// ```
/// use std::time::Duration;
/// use mlops_monitor::alert::{AlertRule, Condition, Selector, Severity};
///
/// let rule = AlertRule::new("psi", Selector::new("drift.psi"), Condition::above(0.2).with_clear(0.1)?)?
///     .with_hold(Duration::from_secs(300))
///     .with_severity(Severity::Critical);
///
/// let same: AlertRule = toml::from_str(
///     r#"
///     name = "psi"
///     signal = "drift.psi"
///     above = 0.2
///     clear = 0.1
///     for = "5m"
///     severity = "critical"
///     "#,
/// )
/// .unwrap();
/// assert_eq!(rule, same);
/// # Ok::<(), mlops_core::Error>(())
/// ```
///
/// | key | is | without it |
/// |---|---|---|
/// | `name` | the name, different from those of all other rules | |
/// | `signal` | the name of the signals | |
/// | `match` | what their labels have to be, as a [`Matcher`] each | any |
/// | `above`, `below`, `outside = [low, high]`, `absent = true` | the [`Condition`], one of them | |
/// | `clear` | hysteresis, a number or a range | the threshold |
/// | `for` | how long the condition has to hold | `0s` |
/// | `keep_firing_for` | how long it has to be clear | `0s` |
/// | `severity` | `info`, `warning` or `critical` | `warning` |
/// | `repeat` | how long until the alert is told again while it fires; `0s` is never | `4h` |
/// | `absent_after` | how long an alert outlives its signal | `1h` |
/// | `by` | labels that tell alerts apart; the worst of the signals that share them speaks for them | all |
/// | `labels` | labels of the alert beside those of the signal, which they override | none |
/// | `annotations` | texts for people; `{value}` and `{label}` are replaced | none |
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Fields", into = "Fields")]
pub struct AlertRule {
    pub(crate) name: String,
    pub(crate) selector: Selector,
    pub(crate) condition: Condition,
    pub(crate) hold: Duration,
    pub(crate) keep_firing_for: Duration,
    pub(crate) severity: Severity,
    pub(crate) repeat: Duration,
    pub(crate) absent_after: Duration,
    pub(crate) by: Option<Vec<String>>,
    pub(crate) labels: BTreeMap<String, String>,
    pub(crate) annotations: BTreeMap<String, String>,
}

/// How urgent an alert is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Good to know.
    Info,
    /// Somebody should look at it.
    #[default]
    Warning,
    /// Somebody has to look at it now.
    Critical,
}

impl AlertRule {
    /// A rule that fires at once, of severity [`Severity::Warning`].
    ///
    /// # Errors
    /// [`Error::InvalidInput`] when a name is empty or a threshold is impossible.
    pub fn new(name: impl Into<String>, selector: Selector, condition: Condition) -> Result<Self> {
        let rule = Self {
            name: name.into(),
            selector,
            condition,
            hold: Duration::ZERO,
            keep_firing_for: Duration::ZERO,
            severity: Severity::default(),
            repeat: REPEAT,
            absent_after: ABSENT_AFTER,
            by: None,
            labels: BTreeMap::new(),
            annotations: BTreeMap::new(),
        };
        rule.checked()
    }

    /// Sets how long the condition has to hold before the alert fires.
    #[must_use]
    pub fn with_hold(mut self, hold: Duration) -> Self {
        self.hold = hold;
        self
    }

    /// Sets how long the number has to be clear before the alert ends.
    #[must_use]
    pub fn with_keep_firing_for(mut self, duration: Duration) -> Self {
        self.keep_firing_for = duration;
        self
    }

    /// Sets how urgent it is.
    #[must_use]
    pub fn with_severity(mut self, severity: Severity) -> Self {
        self.severity = severity;
        self
    }

    /// Sets how long until an alert that fires is told again. Zero is never.
    #[must_use]
    pub fn with_repeat(mut self, interval: Duration) -> Self {
        self.repeat = interval;
        self
    }

    /// Sets how long an alert outlives its signal.
    #[must_use]
    pub fn with_absent_after(mut self, duration: Duration) -> Self {
        self.absent_after = duration;
        self
    }

    /// Sets the labels that tell alerts apart. Signals that share them make one alert, for which the worst
    /// of them speaks.
    #[must_use]
    pub fn with_grouping(mut self, labels: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.by = Some(labels.into_iter().map(Into::into).collect());
        self
    }

    /// Adds a label to its alerts, which overrides that of the signal.
    #[must_use]
    pub fn with_label(mut self, label: impl Into<String>, value: impl Into<String>) -> Self {
        self.labels.insert(label.into(), value.into());
        self
    }

    /// Adds a text for people. `{value}` and `{label}` are replaced by the number and by labels.
    #[must_use]
    pub fn with_annotation(mut self, name: impl Into<String>, text: impl Into<String>) -> Self {
        self.annotations.insert(name.into(), text.into());
        self
    }

    /// The name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// How urgent it is.
    #[must_use]
    pub fn severity(&self) -> Severity {
        self.severity
    }

    /// Which signals it is about.
    #[must_use]
    pub fn selector(&self) -> &Selector {
        &self.selector
    }

    /// When it fires.
    #[must_use]
    pub fn condition(&self) -> Condition {
        self.condition
    }

    /// The labels of a signal that tell alerts apart.
    pub(crate) fn group(&self, labels: &BTreeMap<String, String>) -> BTreeMap<String, String> {
        match &self.by {
            None => labels.clone(),
            Some(by) => {
                let kept = by.iter().filter_map(|label| labels.get_key_value(label));
                kept.map(|(label, value)| (label.clone(), value.clone())).collect()
            }
        }
    }

    /// The annotations of an alert with these labels.
    pub(crate) fn texts(&self, labels: &BTreeMap<String, String>, value: f64) -> BTreeMap<String, String> {
        let replacement = |name: &str| match name {
            "value" => Some(value.to_string()),
            label => labels.get(label).cloned(),
        };
        self.annotations.iter().map(|(name, text)| (name.clone(), filled(text, replacement))).collect()
    }

    fn checked(self) -> Result<Self> {
        if self.name.is_empty() {
            return Err(Error::invalid_input("a rule has no name"));
        }
        self.selector.check().map_err(|fault| self.fault(&fault))?;
        self.condition.checked().map_err(|fault| self.fault(&fault))?;
        Ok(self)
    }

    fn fault(&self, fault: &Error) -> Error {
        in_place(&format!("rule `{}`", self.name), fault)
    }
}

/// The text with every `{name}` that has a replacement replaced, once: replacements are no templates.
fn filled(text: &str, replacement: impl Fn(&str) -> Option<String>) -> String {
    let (mut filled, mut rest) = (String::with_capacity(text.len()), text);
    while let Some((before, after)) = rest.split_once('{') {
        filled.push_str(before);
        let named = after.split_once('}').and_then(|(name, after)| Some((replacement(name)?, after)));
        match named {
            Some((value, after)) => {
                filled.push_str(&value);
                rest = after;
            }
            None => {
                filled.push('{');
                rest = after;
            }
        }
    }
    filled + rest
}

/// The fault, with the place where it is.
pub(crate) fn in_place(place: &str, fault: &Error) -> Error {
    match fault {
        Error::InvalidInput(fault) => Error::invalid_input(format!("{place}: {fault}")),
        fault => Error::invalid_input(format!("{place}: {fault}")),
    }
}

impl Severity {
    /// `info`, `warning` or `critical`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Critical => "critical",
        }
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// A rule as documents have it.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Fields {
    name: String,
    signal: String,
    #[serde(default, rename = "match", skip_serializing_if = "BTreeMap::is_empty")]
    matches: BTreeMap<String, Matcher>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    above: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    below: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    outside: Option<(f64, f64)>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    absent: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    clear: Option<Clear>,
    #[serde(default, rename = "for", with = "compact::required")]
    hold: Duration,
    #[serde(default, with = "compact::required")]
    keep_firing_for: Duration,
    #[serde(default)]
    severity: Severity,
    #[serde(default = "repeat", with = "compact::required")]
    repeat: Duration,
    #[serde(default = "absent_after", with = "compact::required")]
    absent_after: Duration,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    by: Option<Vec<String>>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    labels: BTreeMap<String, String>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    annotations: BTreeMap<String, String>,
}

#[derive(Clone, Copy, Serialize, Deserialize)]
#[serde(untagged, expecting = "a number, or a range `[low, high]`")]
pub(crate) enum Clear {
    At(f64),
    Within(f64, f64),
}

fn repeat() -> Duration {
    REPEAT
}

fn absent_after() -> Duration {
    ABSENT_AFTER
}

/// The condition that keys of a document say.
pub(crate) fn condition(
    above: Option<f64>,
    below: Option<f64>,
    outside: Option<(f64, f64)>,
    absent: bool,
    clear: Option<Clear>,
) -> Result<Condition> {
    let condition = match (above, below, outside, absent) {
        (Some(threshold), None, None, false) => Condition::above(threshold),
        (None, Some(threshold), None, false) => Condition::below(threshold),
        (None, None, Some((low, high)), false) => Condition::outside(low, high),
        (None, None, None, true) => Condition::Absent,
        _ => {
            let what = "exactly one of `above`, `below`, `outside` and `absent = true` has to be there";
            return Err(Error::invalid_input(what));
        }
    };
    match clear {
        None => condition.checked(),
        Some(Clear::At(clear)) => condition.with_clear(clear),
        Some(Clear::Within(low, high)) => condition.with_clear_range(low, high),
    }
}

impl TryFrom<Fields> for AlertRule {
    type Error = Error;

    fn try_from(fields: Fields) -> Result<Self> {
        let Fields { above, below, outside, absent, clear, .. } = fields;
        let condition = condition(above, below, outside, absent, clear)
            .map_err(|fault| in_place(&format!("rule `{}`", fields.name), &fault))?;
        let rule = Self {
            name: fields.name,
            selector: Selector::from_parts(fields.signal, fields.matches),
            condition,
            hold: fields.hold,
            keep_firing_for: fields.keep_firing_for,
            severity: fields.severity,
            repeat: fields.repeat,
            absent_after: fields.absent_after,
            by: fields.by,
            labels: fields.labels,
            annotations: fields.annotations,
        };
        rule.checked()
    }
}

impl From<AlertRule> for Fields {
    fn from(rule: AlertRule) -> Self {
        let (mut above, mut below, mut outside) = (None, None, None);
        let clear = match rule.condition {
            Condition::Above { threshold, clear } => {
                above = Some(threshold);
                (clear != threshold).then_some(Clear::At(clear))
            }
            Condition::Below { threshold, clear } => {
                below = Some(threshold);
                (clear != threshold).then_some(Clear::At(clear))
            }
            Condition::Outside { range, clear } => {
                outside = Some(range);
                (clear != range).then_some(Clear::Within(clear.0, clear.1))
            }
            Condition::Absent => None,
        };
        Self {
            name: rule.name,
            signal: rule.selector.signal().to_owned(),
            matches: rule.selector.labels().clone(),
            above,
            below,
            outside,
            absent: rule.condition == Condition::Absent,
            clear,
            hold: rule.hold,
            keep_firing_for: rule.keep_firing_for,
            severity: rule.severity,
            repeat: rule.repeat,
            absent_after: rule.absent_after,
            by: rule.by,
            labels: rule.labels,
            annotations: rule.annotations,
        }
    }
}
