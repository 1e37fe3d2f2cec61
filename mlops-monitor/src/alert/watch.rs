//! Reports, alerts and triggers on a schedule.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use jiff::Timestamp;
use mlops_core::{Clock, Error, Result};
use serde::{Deserialize, Serialize};

use super::alerts::{AlertsState, document_fault};
use super::{Alert, AlertRule, Alerts, Dispatcher, RetrainEvent, RetrainState, RetrainTrigger, Silence};
use crate::Signal;

type Source = Box<dyn FnMut() -> Vec<Signal> + Send>;
type OnRetrain = Box<dyn FnMut(&RetrainEvent) + Send>;

/// Asks reports for their signals, and tells those who are to know.
///
/// [`step`](Self::step) does it once, at the time it is told; [`spawn`](Self::spawn) does it again and again, on a
/// thread of its own, since reports compute and do not wait.
///
/// ```
/// use std::sync::Arc;
/// use jiff::Timestamp;
/// use mlops_monitor::Signal;
/// use mlops_monitor::alert::Watch;
///
/// let mut watch = Watch::from_toml(
///     r#"
///     [[rules]]
///     name = "drift"
///     signal = "drift.psi"
///     above = 0.2
///
///     [[triggers]]
///     name = "credit"
///     drift = [{ signal = "drift.psi", above = 0.5 }]
///     "#,
/// )?
/// .with_source(|| vec![Signal::new("drift.psi", 0.6)]) // say, `move || monitor.report().signals()`
/// .on_retrain(|event| println!("train again: {:?}", event.reasons));
///
/// let step = watch.step(Timestamp::UNIX_EPOCH);
/// assert_eq!((step.signals, step.alerts.len(), step.retrain.len()), (1, 1, 1));
/// # Ok::<(), mlops_core::Error>(())
/// ```
pub struct Watch {
    sources: Vec<Source>,
    alerts: Alerts,
    triggers: Vec<RetrainTrigger>,
    dispatcher: Option<Dispatcher>,
    on_retrain: Vec<OnRetrain>,
}

/// What came of one step of a [`Watch`].
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Step {
    /// How many signals there were.
    pub signals: usize,
    /// Sources that panicked; their signals are absent.
    pub failed_sources: usize,
    /// The alerts that were told.
    pub alerts: Vec<Alert>,
    /// The events of the triggers.
    pub retrain: Vec<RetrainEvent>,
}

/// What a [`Watch`] knows of the past: to be stored, and restored after a restart.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WatchState {
    alerts: AlertsState,
    /// By the name of the trigger.
    triggers: Vec<(String, RetrainState)>,
}

/// Rules, silences and triggers as documents have them.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    #[serde(default)]
    rules: Vec<AlertRule>,
    #[serde(default)]
    silences: Vec<Silence>,
    #[serde(default)]
    triggers: Vec<RetrainTrigger>,
}

impl Watch {
    /// Watches by these rules. There is nothing to watch yet, and nobody to tell.
    #[must_use]
    pub fn new(alerts: Alerts) -> Self {
        let (sources, triggers, on_retrain) = (Vec::new(), Vec::new(), Vec::new());
        Self { sources, alerts, triggers, dispatcher: None, on_retrain }
    }

    /// Reads `[[rules]]`, `[[silences]]` and `[[triggers]]` from TOML. [`AlertRule`], [`Silence`] and
    /// [`RetrainTrigger`] say which keys there are.
    ///
    /// # Errors
    /// [`Error::InvalidInput`] with line and column, and the name of the rule where it is known.
    pub fn from_toml(document: &str) -> Result<Self> {
        let Document { rules, silences, triggers } = toml::from_str(document).map_err(document_fault)?;
        let mut watch = Self::new(Alerts::new(rules)?.with_silences(silences));
        for trigger in triggers {
            watch = watch.with_trigger(trigger)?;
        }
        Ok(watch)
    }

    /// Asks this for signals, in every step: the `signals()` of a report.
    #[must_use]
    pub fn with_source(mut self, source: impl FnMut() -> Vec<Signal> + Send + 'static) -> Self {
        self.sources.push(Box::new(source));
        self
    }

    /// Sends alerts through this.
    #[must_use]
    pub fn with_dispatcher(mut self, dispatcher: Dispatcher) -> Self {
        self.dispatcher = Some(dispatcher);
        self
    }

    /// Adds a trigger.
    ///
    /// # Errors
    /// [`Error::InvalidInput`] when there is one of that name.
    pub fn with_trigger(mut self, trigger: RetrainTrigger) -> Result<Self> {
        if self.triggers.iter().any(|other| other.name() == trigger.name()) {
            return Err(Error::invalid_input(format!("two triggers have the name `{}`", trigger.name())));
        }
        self.triggers.push(trigger);
        Ok(self)
    }

    /// Hands events of the triggers to this. It should start the training, not do it.
    #[must_use]
    pub fn on_retrain(mut self, act: impl FnMut(&RetrainEvent) + Send + 'static) -> Self {
        self.on_retrain.push(Box::new(act));
        self
    }

    /// The alerts: to look at those that are active, or to silence some.
    pub fn alerts_mut(&mut self) -> &mut Alerts {
        &mut self.alerts
    }

    /// The alerts.
    #[must_use]
    pub fn alerts(&self) -> &Alerts {
        &self.alerts
    }

    /// Asks all sources, evaluates rules and triggers, and tells those who are to know. A source that panics
    /// counts as one without signals.
    pub fn step(&mut self, now: Timestamp) -> Step {
        let (mut signals, mut failed_sources) = (Vec::new(), 0);
        for (index, source) in self.sources.iter_mut().enumerate() {
            match catch_unwind(AssertUnwindSafe(source)) {
                Ok(found) => signals.extend(found),
                Err(_) => {
                    tracing::error!(source = index, "a source of signals panicked");
                    failed_sources += 1;
                }
            }
        }
        let alerts = self.alerts.evaluate(now, &signals);
        if let Some(dispatcher) = &self.dispatcher {
            dispatcher.send(&alerts);
        }
        let events = self.triggers.iter_mut().filter_map(|trigger| trigger.evaluate(now, &signals));
        let retrain: Vec<_> = events.collect();
        for event in &retrain {
            tracing::info!(trigger = %event.trigger, id = %event.id, reasons = ?event.reasons, "train again");
            for act in &mut self.on_retrain {
                if catch_unwind(AssertUnwindSafe(|| act(event))).is_err() {
                    tracing::error!(trigger = %event.trigger, id = %event.id, "who was to train again panicked");
                }
            }
        }
        Step { signals: signals.len(), failed_sources, alerts, retrain }
    }

    /// What it knows of the past.
    #[must_use]
    pub fn state(&self) -> WatchState {
        let triggers = self.triggers.iter();
        let triggers = triggers.map(|trigger| (trigger.name().to_owned(), trigger.state().clone()));
        WatchState { alerts: self.alerts.state(), triggers: triggers.collect() }
    }

    /// Goes on from there. Rules and triggers may have changed since.
    ///
    /// # Errors
    /// [`Error::Unsupported`] when a newer version of this library wrote the state.
    pub fn restore(&mut self, state: WatchState) -> Result<()> {
        self.alerts.restore(state.alerts)?;
        for (name, state) in state.triggers {
            if let Some(trigger) = self.triggers.iter_mut().find(|trigger| trigger.name() == name) {
                trigger.restore(state);
            }
        }
        Ok(())
    }

    /// Steps at once and then at that interval, on a thread of its own, until the handle is dropped. The times
    /// are those of `clock`; the interval is real.
    ///
    /// # Errors
    /// [`Error::InvalidInput`] when the interval is zero; [`Error::Unavailable`] when no thread can be started.
    pub fn spawn(self, clock: impl Clock, interval: Duration) -> Result<WatchHandle> {
        if interval.is_zero() {
            return Err(Error::invalid_input("the interval of a watch is zero; say, 30 s is usual"));
        }
        let shared =
            Arc::new(Shared { watch: Mutex::new(self), stopped: Mutex::new(false), wake: Condvar::new() });
        let running = Arc::clone(&shared);
        let thread = std::thread::Builder::new().name("mlops-watch".to_owned());
        let thread = thread.spawn(move || running.run(&clock, interval)).map_err(|cause| {
            Error::unavailable("no thread can be started to watch the model").with_source(cause)
        })?;
        Ok(WatchHandle { shared, thread: Some(thread) })
    }
}

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watch")
            .field("sources", &self.sources.len())
            .field("alerts", &self.alerts)
            .field("triggers", &self.triggers)
            .field("dispatcher", &self.dispatcher)
            .finish_non_exhaustive()
    }
}

/// A [`Watch`] that runs. It stops when this is dropped.
#[derive(Debug)]
pub struct WatchHandle {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    watch: Mutex<Watch>,
    stopped: Mutex<bool>,
    wake: Condvar,
}

impl WatchHandle {
    /// The watch, between two steps: to silence alerts, or to store its state. A source, or what
    /// [`on_retrain`](Watch::on_retrain) calls, would wait for itself here.
    pub fn with<T>(&self, act: impl FnOnce(&mut Watch) -> T) -> T {
        act(&mut lock(&self.shared.watch))
    }
}

impl Drop for WatchHandle {
    fn drop(&mut self) {
        *lock(&self.shared.stopped) = true;
        self.shared.wake.notify_all();
        if let Some(thread) = self.thread.take() {
            // It has caught all panics; there is nothing to be done about others.
            let _ = thread.join();
        }
    }
}

impl Shared {
    fn run(&self, clock: &dyn Clock, interval: Duration) {
        while !*lock(&self.stopped) {
            lock(&self.watch).step(clock.now());
            let stopped = lock(&self.stopped);
            let waited = self.wake.wait_timeout_while(stopped, interval, |stopped| !*stopped);
            drop(waited.unwrap_or_else(PoisonError::into_inner));
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
