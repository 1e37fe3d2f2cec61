//! Expectations held against live requests.

use std::fmt;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};

use metrics::{Counter, counter};
use mlops_core::metrics::{OBSERVATIONS_DROPPED_TOTAL, QUALITY_VIOLATIONS_TOTAL};
use mlops_core::{Clock, Instant, Observer, Prediction, Result, Role, Tensor, Tensors};

use super::options::ObserverOptions;
use super::places::Places;
use super::report::QualityReport;
use super::state::{Check, State, Tally};
use super::suite::Suite;
use crate::features::Misfit;
use crate::sampler::Sampler;
use crate::{Features, Source as TensorSource, Span, TensorFeatures};

/// An [`Observer`] that holds live predictions against a [`Suite`].
///
/// The columns of the expectations are [`Features`], of inputs and of outputs. It looks at predictions that the caller got and that succeeded
/// ([`ObserverOptions`] can widen that), on the caller's thread. Expectations about values and pairs are counted in
/// atomics; those about a whole window (`unique`, `mean`, `std`, `quantile`) are behind a lock that is only ever tried.
/// No lock is waited for and no prediction fails because of it. What could not be taken is counted in
/// [`OBSERVATIONS_DROPPED_TOTAL`] (labels `missing_tensor`, `shape`, `busy`) and in the report; violations are counted
/// in [`QUALITY_VIOLATIONS_TOTAL`] (labels `expectation`, `column`). Install the recorder of metrics first: handles are
/// made once.
///
/// ```
/// use mlops_core::{Model, ModelExt};
/// use mlops_monitor::quality::{Expectation, ObserverOptions, QualityObserver, Suite};
/// use mlops_monitor::{Features, Span, TensorFeatures};
/// use std::sync::Arc;
///
/// fn checked(model: impl Model) -> mlops_core::Result<(impl Model, Arc<QualityObserver>)> {
///     let suite = Suite::new([Expectation::between("age", 0.0..=120.0).with_mostly(0.999)])?;
///     let features = Features::new([TensorFeatures::columns("customer", ["age", "income"])])?;
///     let options = ObserverOptions::default().with_window(Span::Rows(10_000));
///     let quality = Arc::new(QualityObserver::new(suite, features, options)?);
///     Ok((model.observed(Arc::clone(&quality)), quality))
/// }
/// ```
#[derive(Debug)]
pub struct QualityObserver {
    suite: Suite,
    features: Features,
    options: ObserverOptions,
    sampler: Sampler,
    lives: Vec<Live>,
    rows: AtomicU64,
    dropped: AtomicU64,
    started: Instant,
    /// Nanoseconds after the start.
    window_began: AtomicU64,
    /// Held while a window is ended; the hot path only ever tries to take it.
    complete: Mutex<Option<Arc<QualityReport>>>,
}

/// What one expectation has seen in the running window.
struct Live {
    /// Where its columns are.
    places: Places,
    counts: [AtomicU64; 3],
    /// How many offenders are named.
    named: AtomicUsize,
    redacted: bool,
    state: Mutex<State>,
    violations: Counter,
}

impl QualityObserver {
    /// Holds the columns that `features` name against `suite`.
    ///
    /// # Errors
    /// [`Error::InvalidInput`](mlops_core::Error::InvalidInput) when an expectation is about a column that is no feature, or an option is impossible.
    pub fn new(suite: Suite, features: Features, options: ObserverOptions) -> Result<Self> {
        options.check()?;
        let live = |check: &Check| {
            let places = Places::of(check, &features)?;
            let labels = [
                ("expectation", check.expectation.name().to_owned()),
                ("column", check.expectation.column().unwrap_or_default().to_owned()),
            ];
            Ok(Live {
                places,
                counts: Default::default(),
                named: AtomicUsize::new(0),
                redacted: check.is_redacted(&options.check),
                state: Mutex::new(State::new(check, &options.check)),
                violations: counter!(QUALITY_VIOLATIONS_TOTAL, &labels),
            })
        };
        let lives = suite.checks().iter().map(live).collect::<Result<Vec<_>>>()?;
        Ok(Self {
            sampler: Sampler::new(options.sampling),
            started: options.clock.instant(),
            window_began: AtomicU64::new(0),
            suite,
            features,
            options,
            lives,
            rows: AtomicU64::new(0),
            dropped: AtomicU64::new(0),
            complete: Mutex::default(),
        })
    }

    /// The expectations.
    #[must_use]
    pub fn suite(&self) -> &Suite {
        &self.suite
    }

    /// What the last complete window says; before the first is complete, or without an end of windows, what the running
    /// one says.
    ///
    /// Statistics are read under their lock, so a prediction that comes in that moment is missing in them.
    #[must_use]
    pub fn report(&self) -> Arc<QualityReport> {
        let mut complete = self.complete();
        if self.is_over() {
            *complete = Some(Arc::new(self.end_window(self.states())));
        }
        let complete = complete.clone();
        complete.unwrap_or_else(|| {
            let load = |cell: &AtomicU64| cell.load(Ordering::Relaxed);
            let rows = load(&self.rows);
            let findings = self.suite.checks().iter().zip(&self.lives);
            let findings = findings.map(|(check, live)| {
                let mut state = live.state();
                self.name_columns(check, &mut state, rows);
                state.finding(check, rows, live.tally(load))
            });
            Arc::new(QualityReport::new(rows, load(&self.dropped), findings.collect()))
        })
    }

    /// Ends the window and begins the next one.
    pub fn rotate(&self) -> Arc<QualityReport> {
        let mut complete = self.complete();
        let report = Arc::new(self.end_window(self.states()));
        *complete = self.options.window.map(|_| Arc::clone(&report));
        report
    }

    /// All that the expectations have seen, so that it ends at once.
    fn states(&self) -> Vec<MutexGuard<'_, State>> {
        self.lives.iter().map(Live::state).collect()
    }

    /// The same, unless others are looking at it.
    fn try_states(&self) -> Option<Vec<MutexGuard<'_, State>>> {
        self.lives.iter().map(Live::try_state).collect()
    }

    /// Judges the window when its locks are free again.
    fn end_window(&self, states: Vec<MutexGuard<'_, State>>) -> QualityReport {
        self.window_began.store(self.since_start(), Ordering::Relaxed);
        let take = |cell: &AtomicU64| cell.swap(0, Ordering::Relaxed);
        let (rows, dropped) = (take(&self.rows), take(&self.dropped));
        let checks = self.suite.checks();
        let ended = checks.iter().zip(&self.lives).zip(states).map(|((check, live), mut state)| {
            live.named.store(0, Ordering::Relaxed);
            let seen = std::mem::replace(&mut *state, State::new(check, &self.options.check));
            (seen, live.tally(take))
        });
        let ended: Vec<_> = ended.collect();
        let findings = checks.iter().zip(ended).map(|(check, (mut state, tally))| {
            self.name_columns(check, &mut state, rows);
            state.finding(check, rows, tally)
        });
        QualityReport::new(rows, dropped, findings.collect())
    }

    /// The columns of requests are the features; those of tensors that did not come have been named before.
    fn name_columns(&self, check: &Check, state: &mut State, rows: u64) {
        if rows > 0 && check.is_about_columns() {
            state.see_names(check, &self.features.names().collect::<Vec<_>>());
        }
    }

    fn observe_rows(&self, prediction: &Prediction<'_>) {
        let (mut tensors, mut rows, mut misfits) =
            (Vec::with_capacity(self.features.tensors().len()), 0, false);
        let none = Tensors::new();
        let outputs = prediction.result.map_or(&none, |response| &response.outputs);
        for features in self.features.tensors() {
            if is_beyond(prediction, features) {
                tensors.push(None);
                continue;
            }
            let tensor = features.tensor_in(&prediction.request.inputs, outputs);
            match tensor.ok_or(Misfit::Missing).and_then(|tensor| Ok((tensor, features.rows_in(tensor)?))) {
                Ok((tensor, count)) => {
                    rows = count.max(rows);
                    tensors.push(Some(tensor));
                }
                Err(misfit) => {
                    misfits = true;
                    self.drop_one(misfit.label());
                    tensors.push(None);
                }
            }
        }
        for (check, live) in self.suite.checks().iter().zip(&self.lives) {
            if misfits && check.is_about_columns() {
                self.name_those_that_came(check, live, &tensors, prediction);
            } else if !live.places.is_empty() {
                self.observe_check(check, live, &tensors, prediction);
            }
        }
        self.rows.fetch_add(rows as u64, Ordering::Relaxed);
        if self.is_over()
            && let Ok(mut complete) = self.complete.try_lock()
            && self.is_over()
            && let Some(states) = self.try_states()
        {
            *complete = Some(Arc::new(self.end_window(states)));
        }
    }

    fn observe_check(
        &self,
        check: &Check,
        live: &Live,
        tensors: &[Option<&Tensor>],
        prediction: &Prediction<'_>,
    ) {
        // A tensor that has not come was dropped and counted as such.
        let Some(sources) = live.places.sources(tensors) else { return };
        let request = prediction.request.id.clone();
        if check.only_counts() {
            let named = live.named.load(Ordering::Relaxed);
            let room = self.options.check.offenders.saturating_sub(named);
            let mut state = State::of_request(live.redacted, room, request);
            state.see(check, sources);
            live.add(state);
        } else if let Some(mut state) = live.try_state() {
            let before = state.tally.violations;
            state.begin(0, request);
            state.see(check, sources);
            live.violations.increment(state.tally.violations - before);
        } else {
            self.drop_one("busy");
        }
    }

    fn name_those_that_came(
        &self,
        check: &Check,
        live: &Live,
        tensors: &[Option<&Tensor>],
        prediction: &Prediction<'_>,
    ) {
        let came = self.features.tensors().iter().zip(tensors);
        let came = came.filter(|(features, tensor)| tensor.is_some() || is_beyond(prediction, features));
        let names: Vec<&str> = came.flat_map(|(features, _)| features.names()).collect();
        match live.try_state() {
            Some(mut state) => state.see_names(check, &names),
            None => self.drop_one("busy"),
        }
    }

    fn is_over(&self) -> bool {
        match self.options.window {
            None => false,
            Some(Span::Rows(rows)) => self.rows.load(Ordering::Relaxed) >= rows,
            Some(Span::Time(time)) => {
                let began = self.window_began.load(Ordering::Relaxed);
                u128::from(self.since_start().saturating_sub(began)) >= time.as_nanos()
            }
        }
    }

    /// In nanoseconds.
    fn since_start(&self) -> u64 {
        self.options.clock.instant().saturating_duration_since(self.started).as_nanos() as u64
    }

    fn drop_one(&self, reason: &'static str) {
        self.dropped.fetch_add(1, Ordering::Relaxed);
        counter!(OBSERVATIONS_DROPPED_TOTAL, "reason" => reason).increment(1);
    }

    fn complete(&self) -> MutexGuard<'_, Option<Arc<QualityReport>>> {
        self.complete.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Observer for QualityObserver {
    fn observe(&self, prediction: &Prediction<'_>) {
        let wanted = (self.options.shadows || prediction.role != Role::Shadow)
            && (self.options.failures || prediction.result.is_ok());
        if wanted && self.sampler.takes_next() {
            self.observe_rows(prediction);
        }
    }
}

impl Live {
    /// Adds what one request has brought. Offenders that come while others are being added or read are not named.
    fn add(&self, request: State) {
        let Tally { checked, missing, violations } = request.tally;
        for (cell, count) in self.counts.iter().zip([checked, missing, violations]) {
            if count > 0 {
                cell.fetch_add(count, Ordering::Relaxed);
            }
        }
        if violations > 0 {
            self.violations.increment(violations);
        }
        if !request.offenders.named.is_empty()
            && let Some(mut state) = self.try_state()
        {
            let offenders = &mut state.offenders;
            let room = offenders.room.saturating_sub(offenders.named.len());
            offenders.named.extend(request.offenders.named.into_iter().take(room));
            self.named.store(offenders.named.len(), Ordering::Relaxed);
        }
    }

    fn tally(&self, read: impl Fn(&AtomicU64) -> u64) -> Tally {
        let [checked, missing, violations] = &self.counts;
        // Violations first: whoever adds counts what was checked before what did not fit.
        let violations = read(violations);
        Tally { violations, missing: read(missing), checked: read(checked).max(violations) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn try_state(&self) -> Option<MutexGuard<'_, State>> {
        match self.state.try_lock() {
            Ok(state) => Some(state),
            Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        }
    }
}

/// Whether the tensor is an output of a prediction that has failed and has none.
fn is_beyond(prediction: &Prediction<'_>, features: &TensorFeatures) -> bool {
    prediction.result.is_err() && features.source() == TensorSource::Output
}

impl fmt::Debug for Live {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Live").field("counts", &self.counts).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use mlops_core::{Request, Response, Tensors};

    use super::*;
    use crate::quality::Expectation;

    #[test]
    fn a_window_whose_state_is_being_read_ends_later_and_no_request_waits() {
        let suite = Suite::new([Expectation::between("x", 0.0..), Expectation::mean("x", 0.0..)]).unwrap();
        let features = Features::new([TensorFeatures::column("x")]).unwrap();
        let options = ObserverOptions::default().with_window(Span::Rows(2));
        let observer = Arc::new(QualityObserver::new(suite, features, options).unwrap());
        let observe = {
            let observer = Arc::clone(&observer);
            move || {
                let request = Request::new(Tensors::new().with("x", vec![1.0_f32, 2.0]));
                let response = Response::default();
                observer.observe(&Prediction::new(&request, Ok(&response), Duration::ZERO));
            }
        };
        let reading = observer.lives[1].state();
        let (done, is_done) = std::sync::mpsc::channel();
        let requests = std::thread::spawn({
            let observe = observe.clone();
            move || {
                observe();
                done.send(()).unwrap();
            }
        });
        let waited = is_done.recv_timeout(Duration::from_secs(10));
        drop(reading);
        requests.join().unwrap();
        assert!(waited.is_ok(), "the request waited for the report");
        assert!(observer.complete().is_none());

        observe();
        let report = observer.report();
        assert_eq!((report.rows, report.dropped), (4, 1));
        assert_eq!(report.findings[0].checked, 4);
    }
}
