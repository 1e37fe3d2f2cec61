//! Predictions and their labels, together.

mod gather;

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};

use jiff::Timestamp;
use metrics::{counter, gauge};
use mlops_core::metrics::{LABELS_TOTAL, MODEL_PERFORMANCE, OBSERVATIONS_DROPPED_TOTAL};
use mlops_core::stats::Cbpe;
use mlops_core::stats::change::ChangeDetector;
use mlops_core::{Clock, Error, Observer, Prediction, Result, Role, SystemClock};
use serde::{Deserialize, Serialize};

use super::changes::Changes;
use super::names::{Busy, Code, Names};
use super::report::{LabelCounts, PerformanceReport};
use super::store::{Entry, Found, Group, Joined, LetGo, Limits, Row, Store, hash};
use super::tally::Tally;
use super::task::{Label, Task};
use super::{PerformanceOptions, PerformanceWindow};
use crate::{Table, Values};

/// Stores, so that threads seldom meet.
const SHARDS: usize = 16;

/// Variants that are told apart.
const MAX_VARIANTS: usize = 64;

/// What one call on the request path may let go of each kind.
const AT_ONCE: usize = 8;

/// Why a prediction was not kept: all the reasons there are.
const REASONS: [&str; 9] = [
    "no_id",
    "duplicate_id",
    "busy",
    "missing_tensor",
    "data_type",
    "shape",
    "not_a_probability",
    "not_finite",
    "unknown_class",
];

/// Keeps predictions until their labels come, and says how good they were.
///
/// **Predictions.** An [`Observer`]: it takes predictions that succeeded and whose request has an id, copies what
/// was predicted, and never waits; what it cannot take at once it drops and counts by reason (`no_id`,
/// `duplicate_id`, `busy`, `missing_tensor`, `data_type`, `shape`, `not_a_probability`, `not_finite`, `unknown_class`).
///
/// **Labels** are joined by [`label`](Self::label) with the prediction of the same id; the first one stays. Those
/// that come before their prediction wait for it a while. [`LabelOutcome`] says what else may happen; all is
/// counted in [`LABELS_TOTAL`].
///
/// **Windows** are those of the predictions, whenever their labels come, so that the order of events does not
/// matter; labels of windows that are no longer kept are late.
///
/// **Memory** is bounded: `capacity` predictions and as many hashes of ids that were let go (about 200 bytes
/// together and the probabilities), and for each window, variant and segment `sample` pairs (about 60 bytes).
/// Counts are exact (accuracy, precision, recall, F1, fairness); what needs single pairs (ROC AUC, log loss,
/// calibration, errors of numbers, averages over classes) is computed on them: on all of them until there are
/// more than the sample, and on a uniform sample then.
#[derive(Debug)]
pub struct PerformanceMonitor {
    task: Task,
    options: PerformanceOptions,
    clock: Arc<dyn Clock>,
    calibration: Option<Cbpe>,
    variants: Names,
    /// One for each attribute.
    segments: Vec<Names>,
    shards: Vec<Mutex<Shard>>,
    /// By window.
    tallies: Mutex<BTreeMap<i64, HashMap<Slice, Tally>>>,
    changes: Option<Mutex<Changes>>,
    requests: AtomicU64,
    /// The number of the latest window.
    latest: AtomicI64,
    dropped: [AtomicU64; REASONS.len()],
    expired: AtomicU64,
    counts: Counts,
}

#[derive(Debug)]
struct Shard {
    store: Store,
    /// Joined on the request path, where nobody waits for the tallies.
    joined: Vec<Joined>,
    /// Rows predicted in each window.
    predicted: HashMap<(i64, Group), u64>,
}

/// What became of labels. [`LABELS_TOTAL`] counts those that conflict as duplicates.
#[derive(Debug, Default)]
struct Counts {
    joined: Count,
    late: Count,
    duplicate: Count,
    conflicting: Count,
    unknown: Count,
}

#[derive(Debug, Default)]
struct Count(AtomicU64);

/// A variant, and an attribute with its value.
type Slice = (Code, Option<(usize, Code)>);

/// What became of a label.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum LabelOutcome {
    /// It was joined with its prediction.
    Joined,
    /// The prediction has the same label already.
    Duplicate,
    /// The prediction has another label already, which stays.
    Conflicting,
    /// The prediction has been let go, or its window is over.
    Late,
    /// No such prediction is known yet; the label waits for it.
    Waiting,
    /// No such prediction is known, and there is no room for the label to wait.
    Unknown,
}

impl PerformanceMonitor {
    /// Watches predictions of that task, by the clock of the system.
    ///
    /// # Errors
    /// [`Error::InvalidInput`] when the task or an option is impossible.
    pub fn new(task: Task, options: PerformanceOptions) -> Result<Self> {
        task.check()?;
        options.check()?;
        let limits = Limits {
            entries: options.capacity.div_ceil(SHARDS),
            max_age: options.max_age,
            early: options.early_labels.div_ceil(SHARDS),
            early_for: options.early_for,
        };
        let shard = || Shard { store: Store::new(limits), joined: Vec::new(), predicted: HashMap::new() };
        Ok(Self {
            task,
            clock: Arc::new(SystemClock),
            calibration: None,
            variants: Names::new(MAX_VARIANTS),
            segments: options.segments.iter().map(|_| Names::new(options.max_segments)).collect(),
            shards: (0..SHARDS).map(|_| Mutex::new(shard())).collect(),
            tallies: Mutex::default(),
            changes: None,
            requests: AtomicU64::new(0),
            latest: AtomicI64::new(i64::MIN),
            dropped: Default::default(),
            expired: AtomicU64::new(0),
            counts: Counts::default(),
            options,
        })
    }

    /// Sets the clock.
    #[must_use]
    pub fn with_clock(mut self, clock: impl Clock) -> Self {
        self.clock = Arc::new(clock);
        self
    }

    /// Calibrates the probabilities of [`Task::Binary`] by labelled data that the model has not seen in training, for
    /// what is [expected](super::PerformanceSlice::estimated) before labels come. Without it they are taken as they are.
    ///
    /// # Errors
    /// [`Error::InvalidInput`] when the task is another, or the data is empty or holds no probabilities.
    pub fn with_calibration(mut self, labels: &[bool], probabilities: &[f64]) -> Result<Self> {
        let Task::Binary { threshold, .. } = self.task else {
            return Err(Error::invalid_input("only probabilities of a binary classifier are calibrated"));
        };
        let calibration = Cbpe::fit(labels, probabilities, threshold).map_err(|cause| {
            Error::invalid_input(format!("the probabilities cannot be calibrated by this data: {cause}"))
        })?;
        self.calibration = Some(calibration);
        Ok(self)
    }

    /// Looks for changes in the errors of each variant, by a detector of its own: wrong classes as 1 and right ones
    /// as 0, absolute errors of numbers, and what a ranking misses of the best gain. It sees them in the order in which labels come, in a moment each.
    ///
    /// ```
    /// use mlops_core::stats::change::Adwin;
    /// use mlops_monitor::performance::{PerformanceMonitor, PerformanceOptions, Task};
    ///
    /// let monitor = PerformanceMonitor::new(Task::binary("probability"), PerformanceOptions::default())?
    ///     .with_change_detector(|| Box::new(Adwin::default()));
    /// # Ok::<(), mlops_core::Error>(())
    /// ```
    #[must_use]
    pub fn with_change_detector(
        mut self,
        make: impl Fn() -> Box<dyn ChangeDetector> + Send + Sync + 'static,
    ) -> Self {
        self.changes = Some(Mutex::new(Changes::new(Box::new(make))));
        self
    }

    /// Joins the label of a request with its prediction: of the first row, if it has several.
    ///
    /// # Errors
    /// [`Error::InvalidInput`] when the label does not fit the task.
    pub fn label(&self, id: &str, label: impl Into<Label>) -> Result<LabelOutcome> {
        self.label_row(id, 0, label)
    }

    /// Joins the label of one row of a request, from 0, with its prediction. A ranking has one label, that of row 0.
    ///
    /// # Errors
    /// [`Error::InvalidInput`] when the label does not fit the task, or the request has no such row.
    pub fn label_row(&self, id: &str, row: usize, label: impl Into<Label>) -> Result<LabelOutcome> {
        let truth = self.task.truth(&label.into())?;
        let now = self.clock.now();
        self.advance(now);
        let (found, early) = {
            let mut shard = lock(self.shard(id));
            let let_go = shard.store.let_go(now, usize::MAX);
            self.count_let_go(let_go);
            (shard.store.label(id, row, truth, now), std::mem::take(&mut shard.joined))
        };
        self.settle(early);
        let outcome = match found {
            Found::Joined(joined) => match self.settle(joined) {
                0 => LabelOutcome::Late,
                _ => LabelOutcome::Joined,
            },
            Found::Duplicate { same: true } => LabelOutcome::Duplicate,
            Found::Duplicate { same: false } => LabelOutcome::Conflicting,
            Found::Late => LabelOutcome::Late,
            Found::Waiting => LabelOutcome::Waiting,
            Found::Unknown => LabelOutcome::Unknown,
            Found::Misfit => {
                return Err(Error::invalid_input(format!(
                    "request `{id}` ranked another number of candidates; the label is a grade for each of them, or the row of one"
                )));
            }
            Found::NoSuchRow { rows } => {
                return Err(Error::invalid_input(format!(
                    "request `{id}` has {rows} rows; there is no row {row}, counted from 0"
                )));
            }
        };
        match outcome {
            LabelOutcome::Joined | LabelOutcome::Waiting => {}
            LabelOutcome::Duplicate => self.counts.duplicate.add("duplicate", 1),
            LabelOutcome::Conflicting => self.counts.conflicting.add("duplicate", 1),
            LabelOutcome::Late => self.counts.late.add("late", 1),
            LabelOutcome::Unknown => self.counts.unknown.add("unknown", 1),
        }
        Ok(outcome)
    }

    /// Joins the labels of a table, row by row. Rows without an id or a label are left out. Says how often each
    /// outcome came.
    ///
    /// # Errors
    /// [`Error::InvalidInput`] when a column is not there, or at the first label that does not fit the task.
    pub fn label_table(&self, table: &Table, id: &str, label: &str) -> Result<HashMap<LabelOutcome, u64>> {
        let column = |name: &str| {
            table.column(name).ok_or_else(|| Error::invalid_input(format!("there is no column `{name}`")))
        };
        let (ids, labels) = (texts(column(id)?.values()), column(label)?.values());
        let mut outcomes = HashMap::new();
        let mut add = |row: usize, id: &Option<String>, label: Option<Label>| -> Result<()> {
            let (Some(id), Some(label)) = (id, label) else { return Ok(()) };
            let in_row = |fault| Error::invalid_input(format!("row {row} of the labels: {fault}"));
            *outcomes.entry(self.label(id, label).map_err(in_row)?).or_default() += 1;
            Ok(())
        };
        match labels {
            Values::Numbers(numbers) => {
                for (row, (id, number)) in ids.iter().zip(numbers).enumerate() {
                    add(row, id, (!number.is_nan()).then_some(Label::Number(*number)))?;
                }
            }
            Values::Words(words) => {
                for (row, (id, word)) in ids.iter().zip(words.iter()).enumerate() {
                    add(row, id, word.map(Label::from))?;
                }
            }
        }
        Ok(outcomes)
    }

    /// What is known of all windows that are kept, together. Sets the gauge [`MODEL_PERFORMANCE`] of every metric
    /// of slices with enough labels.
    #[must_use]
    pub fn report(&self) -> PerformanceReport {
        let report = self.report_of(|_| true);
        for slice in report.slices.iter().filter(|slice| slice.labelled >= report.min_labels) {
            for metric in &slice.metrics {
                let labels = [
                    ("metric", metric.name.clone()),
                    ("variant", slice.variant.clone()),
                    ("segment", slice.segment_label()),
                ];
                gauge!(MODEL_PERFORMANCE, &labels).set(metric.value);
            }
        }
        report
    }

    /// Each window by itself, the oldest first: its number, and what is known of it. The number is that of the
    /// window since the Unix epoch, or since the monitor began.
    #[must_use]
    pub fn trend(&self) -> Vec<(i64, PerformanceReport)> {
        self.flush();
        let oldest = self.oldest();
        let mut windows: Vec<i64> = lock(&self.tallies).keys().copied().collect();
        for shard in &self.shards {
            windows.extend(lock(shard).predicted.keys().map(|(window, _)| *window));
        }
        windows.sort_unstable();
        windows.dedup();
        let windows = windows.into_iter().filter(|window| *window >= oldest);
        windows.map(|window| (window, self.report_of(|other| other == window))).collect()
    }

    /// Keeps a prediction, or says why not.
    fn keep(&self, prediction: &Prediction<'_>) -> Result<(), &'static str> {
        let (Ok(response), Some(id)) = (prediction.result, &prediction.request.id) else {
            return Err("no_id");
        };
        let rows = self.task.read(&response.outputs)?;
        let variant = prediction.variant.map_or("", |variant| variant.as_str());
        let context = &prediction.request.context;
        let segment = |(attribute, names): (&String, &Names)| {
            names.code(context.attribute(attribute).unwrap_or_default())
        };
        let segments = self.options.segments.iter().zip(&self.segments).map(segment);
        let busy = |_: Busy| "busy";
        let group = Group {
            variant: self.variants.code(variant).map_err(busy)?,
            segments: segments.collect::<Result<_, _>>().map_err(busy)?,
        };
        let mut shard = match self.shard(id).try_lock() {
            Ok(shard) => shard,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => return Err("busy"),
        };
        let now = self.clock.now();
        let request = self.requests.fetch_add(1, Ordering::Relaxed);
        let window = match self.options.window {
            PerformanceWindow::Requests(length) => (request / length) as i64,
            PerformanceWindow::Time(_) => self.window_at(now),
        };
        self.latest.fetch_max(window, Ordering::Relaxed);
        let number = rows.len() as u64;
        let rows = rows.into_iter().map(|predicted| Row { predicted, truth: None }).collect();
        let entry = Entry { id: Arc::clone(id), at: now, window, group: group.clone(), rows, previous: None };
        let (joined, misfits) = shard.store.insert(entry).ok_or("duplicate_id")?;
        shard.joined.extend(joined);
        let oldest = self.oldest();
        if !shard.predicted.contains_key(&(window, group.clone())) {
            shard.predicted.retain(|(window, _), _| *window >= oldest);
        }
        *shard.predicted.entry((window, group)).or_default() += number;
        let let_go = shard.store.let_go(now, AT_ONCE);
        drop(shard);
        self.count_let_go(let_go);
        self.counts.unknown.add("unknown", misfits);
        Ok(())
    }

    /// The number of the window of time.
    fn window_at(&self, now: Timestamp) -> i64 {
        match self.options.window {
            PerformanceWindow::Requests(_) => i64::MIN,
            PerformanceWindow::Time(length) => {
                let number = now.as_nanosecond().div_euclid(length.as_nanos() as i128);
                number.clamp(i64::MIN.into(), i64::MAX.into()) as i64
            }
        }
    }

    /// Windows end by time, too.
    fn advance(&self, now: Timestamp) {
        self.latest.fetch_max(self.window_at(now), Ordering::Relaxed);
    }

    /// The number of the first window that is kept.
    fn oldest(&self) -> i64 {
        self.latest.load(Ordering::Relaxed).saturating_sub(self.options.windows as i64 - 1)
    }

    /// Lets go what is too old, and counts what was joined on the request path.
    fn flush(&self) {
        let now = self.clock.now();
        self.advance(now);
        let oldest = self.oldest();
        for shard in &self.shards {
            let mut shard = lock(shard);
            let let_go = shard.store.let_go(now, usize::MAX);
            shard.predicted.retain(|(window, _), _| *window >= oldest);
            let joined = std::mem::take(&mut shard.joined);
            drop(shard);
            self.count_let_go(let_go);
            self.settle(joined);
        }
        lock(&self.tallies).retain(|window, _| *window >= oldest);
    }

    /// Counts pairs in the windows of their predictions. Says how many windows are still kept.
    fn settle(&self, joined: Vec<Joined>) -> usize {
        if joined.is_empty() {
            return 0;
        }
        let oldest = self.oldest();
        let mut tallies = lock(&self.tallies);
        tallies.retain(|window, _| *window >= oldest);
        let mut kept = 0;
        for joined in joined.iter().filter(|joined| joined.window >= oldest) {
            kept += 1;
            let window = tallies.entry(joined.window).or_default();
            for slice in slices_of(&joined.group) {
                let tally = window.entry(slice).or_insert_with(|| Tally::new(self.options.sample));
                tally.add(&self.task, joined);
            }
        }
        drop(tallies);
        if let Some(changes) = &self.changes {
            let (mut changes, latest) = (lock(changes), self.latest.load(Ordering::Relaxed));
            for joined in joined.iter().filter(|joined| joined.window >= oldest) {
                changes.add(&self.task, joined, latest);
            }
        }
        self.counts.joined.add("joined", kept as u64);
        kept
    }

    fn count_let_go(&self, let_go: LetGo) {
        if let_go != LetGo::default() {
            self.expired.fetch_add(let_go.unlabelled, Ordering::Relaxed);
            self.counts.unknown.add("unknown", let_go.unknown);
        }
    }

    fn shard(&self, id: &str) -> &Mutex<Shard> {
        &self.shards[(hash(id, 0) % SHARDS as u64) as usize]
    }
}

impl Observer for PerformanceMonitor {
    fn observe(&self, prediction: &Prediction<'_>) {
        if prediction.result.is_err() || prediction.role == Role::Shadow && !self.options.shadows {
            return;
        }
        if let Err(reason) = self.keep(prediction) {
            if let Some(index) = REASONS.iter().position(|known| *known == reason) {
                self.dropped[index].fetch_add(1, Ordering::Relaxed);
            }
            counter!(OBSERVATIONS_DROPPED_TOTAL, "reason" => reason).increment(1);
        }
    }
}

impl Counts {
    fn read(&self) -> LabelCounts {
        let read = |count: &Count| count.0.load(Ordering::Relaxed);
        LabelCounts {
            joined: read(&self.joined),
            late: read(&self.late),
            duplicate: read(&self.duplicate),
            conflicting: read(&self.conflicting),
            unknown: read(&self.unknown),
            waiting: 0,
        }
    }
}

impl Count {
    fn add(&self, outcome: &'static str, labels: u64) {
        if labels > 0 {
            self.0.fetch_add(labels, Ordering::Relaxed);
            counter!(LABELS_TOTAL, "outcome" => outcome).increment(labels);
        }
    }
}

/// The variant as a whole, and taken apart by each attribute.
fn slices_of(group: &Group) -> impl Iterator<Item = Slice> {
    let segments = group.segments.iter().enumerate();
    let segments = segments.map(|(attribute, value)| (group.variant, Some((attribute, *value))));
    std::iter::once((group.variant, None)).chain(segments)
}

/// Ids as text: whole numbers without a decimal point.
fn texts(values: &Values) -> Vec<Option<String>> {
    match values {
        Values::Words(words) => words.iter().map(|word| word.map(str::to_owned)).collect(),
        Values::Numbers(numbers) => {
            numbers.iter().map(|number| (!number.is_nan()).then(|| number.to_string())).collect()
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
