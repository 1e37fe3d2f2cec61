//! All rules over all signals, through time.

use std::collections::{BTreeMap, HashMap};

use jiff::Timestamp;
use metrics::gauge;
use mlops_core::metrics::ALERTS_FIRING;
use mlops_core::{Error, Result};
use serde::{Deserialize, Serialize};

use super::instance::{Instance, Next, Reading};
use super::{Alert, AlertRule, AlertStatus, Condition, Silence};
use crate::Signal;

type Labels = BTreeMap<String, String>;
type Instances = BTreeMap<Labels, Instance>;

/// The version of [`AlertsState`].
const VERSION: u32 = 1;

/// Rules over signals: who has to know what, and when.
///
/// A state machine. It knows no time but the one it is told and does nothing by itself, so a test, a
/// simulation and a server get the same alerts from the same signals. There is one alert for each rule and
/// each set of labels:
///
/// ```text
///             breach                 breach for `for`               clear for `keep_firing_for`
///   (none) ─────────▶ pending ─────────────────────────▶ firing ─────────────────────────────────▶ resolved
///      ▲                 │ no breach                        │ no signal for `absent_after`
///      └─────────────────┘                                  └────────────────────────────────────▶ gone
/// ```
///
/// - An alert is told when it begins to fire, again after every `repeat`, and when it has ended.
/// - A signal that does not come says nothing: an alert stays what it is, and fires only while its signal is
///   there. After `absent_after` without the signal a pending alert is forgotten, one that fires is
///   [gone](AlertStatus::Gone). So is one whose rule is no longer there. That a signal is missing is itself
///   worth an alert by [`Condition::Absent`].
/// - NaN is no number: such a signal counts as absent.
/// - While the clock is behind a time it has told before, no time passes.
///
/// ```
/// use jiff::{SignedDuration, Timestamp};
/// use mlops_monitor::Signal;
/// use mlops_monitor::alert::{AlertStatus, Alerts};
///
/// let mut alerts = Alerts::from_toml(
///     r#"
///     [[rules]]
///     name = "income drifts"
///     signal = "drift.psi"
///     match = { feature = "income" }
///     above = 0.2
///     clear = 0.1
///     for = "5m"
///     severity = "critical"
///     annotations = { summary = "PSI of {feature} is {value}" }
///     "#,
/// )?;
///
/// let start = Timestamp::UNIX_EPOCH;
/// let signal = |psi| [Signal::new("drift.psi", psi).with_label("feature", "income")];
/// assert!(alerts.evaluate(start, &signal(0.3)).is_empty());
///
/// let later = start + SignedDuration::from_mins(5);
/// let told = alerts.evaluate(later, &signal(0.31));
/// assert_eq!(told[0].status, AlertStatus::Firing);
/// assert_eq!(told[0].annotations["summary"], "PSI of income is 0.31");
///
/// // A restart goes on where it was.
/// let state = serde_json::to_string(&alerts.state())?;
/// let mut alerts = Alerts::new(alerts.rules().to_vec())?;
/// alerts.restore(serde_json::from_str(&state)?)?;
/// assert_eq!(alerts.evaluate(later, &signal(0.05))[0].status, AlertStatus::Resolved);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct Alerts {
    rules: Vec<AlertRule>,
    silences: Vec<Silence>,
    /// Those that came while it ran, and survive a restart with the state.
    added: Vec<Silence>,
    /// By the name of the rule.
    instances: BTreeMap<String, Instances>,
}

/// What [`Alerts`] know of the past: to be stored, and restored after a restart.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AlertsState {
    version: u32,
    alerts: Vec<Instance>,
    silences: Vec<Silence>,
}

/// Rules and silences as documents have them.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    #[serde(default)]
    rules: Vec<AlertRule>,
    #[serde(default)]
    silences: Vec<Silence>,
}

impl Alerts {
    /// These rules; nothing has happened yet.
    ///
    /// # Errors
    /// [`Error::InvalidInput`] when two rules have the same name.
    pub fn new(rules: impl IntoIterator<Item = AlertRule>) -> Result<Self> {
        let rules: Vec<_> = rules.into_iter().collect();
        for (index, rule) in rules.iter().enumerate() {
            if rules[..index].iter().any(|other| other.name == rule.name) {
                return Err(Error::invalid_input(format!("two rules have the name `{}`", rule.name)));
            }
        }
        Ok(Self { rules, silences: Vec::new(), added: Vec::new(), instances: BTreeMap::new() })
    }

    /// Reads `[[rules]]` and `[[silences]]` from TOML. [`AlertRule`] and [`Silence`] say which keys there are.
    ///
    /// # Errors
    /// [`Error::InvalidInput`] with line and column, and the name of the rule where it is known.
    pub fn from_toml(document: &str) -> Result<Self> {
        let document: Document = toml::from_str(document).map_err(document_fault)?;
        Ok(Self::new(document.rules)?.with_silences(document.silences))
    }

    /// Adds silences that belong to the rules. They are not part of the [`state`](Self::state).
    #[must_use]
    pub fn with_silences(mut self, silences: impl IntoIterator<Item = Silence>) -> Self {
        self.silences.extend(silences);
        self
    }

    /// Adds a silence while it runs. It is part of the [`state`](Self::state) until it is over.
    pub fn silence(&mut self, silence: Silence) {
        self.added.push(silence);
    }

    /// All silences: those of the rules, then those added since.
    pub fn silences(&self) -> impl Iterator<Item = &Silence> {
        self.silences.iter().chain(&self.added)
    }

    /// Ends the silences that were added while it ran and for which `ends` is true.
    pub fn end_silences(&mut self, mut ends: impl FnMut(&Silence) -> bool) {
        self.added.retain(|silence| !ends(silence));
    }

    /// The rules.
    #[must_use]
    pub fn rules(&self) -> &[AlertRule] {
        &self.rules
    }

    /// Looks at all signals of this moment, and says who has to know what: alerts that begin to fire, that
    /// are told again, and that have ended, by rule and labels.
    ///
    /// Sets the gauge [`ALERTS_FIRING`] of every rule.
    #[must_use = "nobody is told unless the alerts are sent"]
    pub fn evaluate(&mut self, now: Timestamp, signals: &[Signal]) -> Vec<Alert> {
        self.added.retain(|silence| !silence.is_over(now));
        let mut by_name: HashMap<&str, Vec<&Signal>> = HashMap::new();
        for signal in signals {
            by_name.entry(&signal.name).or_default().push(signal);
        }
        let mut told = self.orphans(now);
        let silences: Vec<_> =
            self.silences.iter().chain(&self.added).filter(|silence| silence.is_active(now)).collect();
        for rule in &self.rules {
            let selected = by_name.get(rule.selector.signal()).into_iter().flatten().copied();
            let readings = readings(rule, selected.filter(|signal| rule.selector.matches(signal)));
            let known = self.instances.remove(&rule.name).unwrap_or_default();
            let (instances, messages) = advance(rule, now, known, readings, &silences);
            told.extend(messages);
            let firing = instances.values().filter(|instance| instance.is_firing()).count();
            gauge!(ALERTS_FIRING, "rule" => rule.name.clone(), "severity" => rule.severity.name())
                .set(firing as f64);
            if !instances.is_empty() {
                self.instances.insert(rule.name.clone(), instances);
            }
        }
        told
    }

    /// All alerts that fire or are pending, silenced ones included, by rule and labels.
    pub fn active(&self, now: Timestamp) -> impl Iterator<Item = Alert> {
        self.instances.values().flat_map(BTreeMap::values).filter_map(move |instance| {
            let rule = self.rules.iter().find(|rule| rule.name == instance.rule)?;
            let status = if instance.is_firing() { AlertStatus::Firing } else { AlertStatus::Pending };
            Some(instance.alert(rule, now, status))
        })
    }

    /// What it knows of the past.
    #[must_use]
    pub fn state(&self) -> AlertsState {
        let alerts = self.instances.values().flat_map(BTreeMap::values).cloned().collect();
        AlertsState { version: VERSION, alerts, silences: self.added.clone() }
    }

    /// Goes on from there. Rules may have changed since.
    ///
    /// # Errors
    /// [`Error::Unsupported`] when a newer version of this library wrote the state.
    pub fn restore(&mut self, state: AlertsState) -> Result<()> {
        if state.version != VERSION {
            return Err(Error::unsupported(format!(
                "the state of the alerts has version {}, this library knows version {VERSION}",
                state.version
            )));
        }
        self.instances.clear();
        for instance in state.alerts {
            let of_rule = self.instances.entry(instance.rule.clone()).or_default();
            of_rule.insert(instance.labels.clone(), instance);
        }
        self.added = state.silences;
        Ok(())
    }

    /// Ends the alerts whose rule is no longer there.
    fn orphans(&mut self, now: Timestamp) -> Vec<Alert> {
        let rules = &self.rules;
        let orphaned = |name: &String, _: &mut Instances| rules.iter().all(|rule| rule.name != *name);
        let orphans =
            self.instances.extract_if(.., orphaned).flat_map(|(_, instances)| instances.into_values());
        orphans.filter_map(|instance| instance.orphaned(now)).collect()
    }
}

/// Why rules cannot be read.
pub(crate) fn document_fault(cause: toml::de::Error) -> Error {
    Error::invalid_input(format!("the alert rules cannot be read: {cause}"))
}

/// What the signals of a rule say about each of its alerts.
fn readings<'a>(
    rule: &AlertRule,
    signals: impl Iterator<Item = &'a Signal>,
) -> BTreeMap<Labels, Reading<'a>> {
    if rule.condition == Condition::Absent {
        let absent = signals.count() == 0;
        return BTreeMap::from([(rule.selector.fixed_labels(), Reading::absence(absent))]);
    }
    let mut readings = BTreeMap::new();
    for signal in signals {
        let reading = readings.entry(rule.group(&signal.labels)).or_insert_with(Reading::none);
        reading.add(rule.condition, signal);
    }
    readings
}

/// The alerts of a rule a moment later, and what has to be told.
fn advance(
    rule: &AlertRule,
    now: Timestamp,
    mut known: Instances,
    readings: BTreeMap<Labels, Reading<'_>>,
    silences: &[&Silence],
) -> (Instances, Vec<Alert>) {
    for (labels, reading) in &readings {
        if reading.breaches() && !known.contains_key(labels) {
            known.insert(labels.clone(), Instance::new(rule, labels.clone(), now));
        }
    }
    let mut told = Vec::new();
    known.retain(|labels, instance| {
        let next = instance.advance(rule, now, readings.get(labels));
        told.extend(instance.message(next, rule, now, silences));
        next == Next::Stays
    });
    (known, told)
}
