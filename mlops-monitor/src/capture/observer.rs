//! The observer that takes predictions, and the queue behind it.

use std::fmt;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use metrics::{Counter, counter};
use mlops_core::metrics::CAPTURED_TOTAL;
use mlops_core::{Clock, Error, Observer, Prediction, Result, Role};
use object_store::ObjectStore;
use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot};
use tokio::task::{JoinHandle, JoinSet};

use super::columns::{Columns, Layout};
use super::object;
use super::options::{CaptureOptions, Failures};
use super::record::Record;
use super::redact::Redactions;
use super::writer::{Command, Upload, Writer};
use crate::sampler::{Sampler, split_mix};

/// An [`Observer`] that writes a share of predictions to an object store. See the [module](super).
///
/// On the caller's thread a prediction is sampled and put into a bounded queue; its tensors are shared, not copied. When
/// the queue is full the prediction is dropped and counted. Everything else is done by a task. Counted in
/// [`CAPTURED_TOTAL`] (label `outcome`: `written`, `dropped`, `failed`) and in [`stats`](Self::stats); install the
/// recorder of metrics first.
///
/// Call [`shutdown`](Self::shutdown) before the runtime ends: what waits in memory is lost otherwise.
pub struct CaptureObserver {
    records: mpsc::Sender<Record>,
    commands: mpsc::UnboundedSender<Command>,
    task: Mutex<Option<JoinHandle<()>>>,
    counts: Arc<Counts>,
    options: CaptureOptions,
    sampler: Sampler,
}

/// How many predictions were captured.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct CaptureStats {
    /// How many are in the store.
    pub written: u64,
    /// How many there was no room for.
    pub dropped: u64,
    /// How many the store did not take, or could not be encoded.
    pub failed: u64,
    /// How many wait in memory.
    pub pending: u64,
}

pub(super) struct Counts {
    taken: AtomicU64,
    written: AtomicU64,
    dropped: AtomicU64,
    failed: AtomicU64,
    pub(super) queued_bytes: AtomicUsize,
    metrics: [Counter; 3],
}

impl CaptureObserver {
    /// Starts the task that writes to `prefix` of `store`, on the tokio runtime that this is called in.
    ///
    /// # Errors
    /// [`Error::InvalidInput`] when an option is impossible or the prefix is no path; [`Error::Unavailable`] outside of
    /// a runtime.
    pub fn start(store: Arc<dyn ObjectStore>, prefix: &str, options: CaptureOptions) -> Result<Self> {
        options.check()?;
        let folder = object::folder(prefix)?;
        let runtime = Handle::try_current().map_err(|_| {
            Error::unavailable(
                "there is no tokio runtime here to write captured predictions; start it within one",
            )
        })?;
        let counts = Arc::new(Counts::new());
        let (records, received) = mpsc::channel(options.queue);
        let (commands, commanded) = mpsc::unbounded_channel();
        let writer = Writer {
            folder,
            layout: Layout {
                features: options.features.clone(),
                redactions: Redactions::new(&options.redactions),
            },
            upload: Upload {
                store,
                format: options.format,
                attempts: options.attempts,
                back_off: options.back_off,
                counts: Arc::clone(&counts),
            },
            counts: Arc::clone(&counts),
            options: options.clone(),
            columns: Columns::default(),
            began: None,
            uploads: JoinSet::new(),
        };
        let task = runtime.spawn(writer.run(received, commanded));
        let sampler = Sampler::new(options.sampling);
        Ok(Self { records, commands, task: Mutex::new(Some(task)), counts, options, sampler })
    }

    /// How many predictions were captured so far.
    #[must_use]
    pub fn stats(&self) -> CaptureStats {
        self.counts.stats()
    }

    /// Writes what has come so far, and waits until it has been put or given up.
    ///
    /// # Errors
    /// [`Error::Unavailable`] after [`shutdown`](Self::shutdown).
    pub async fn flush(&self) -> Result<CaptureStats> {
        let gone = || Error::unavailable("the capture log has been shut down");
        let (done, is_done) = oneshot::channel();
        self.commands.send(Command::Flush(done)).map_err(|_| gone())?;
        is_done.await.map_err(|_| gone())?;
        Ok(self.stats())
    }

    /// Takes nothing more, writes what has come, and waits until it has been put or given up. What is observed from now
    /// on is dropped and counted. A second call answers at once.
    pub async fn shutdown(&self) -> CaptureStats {
        let task = self.task.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(task) = task {
            // It has ended by itself if it cannot be told.
            let _ = self.commands.send(Command::Stop);
            if let Err(error) = task.await {
                tracing::error!(%error, "the task that writes captured predictions has failed");
            }
        }
        self.stats()
    }

    fn wants(&self, prediction: &Prediction<'_>) -> bool {
        if prediction.role == Role::Shadow && !self.options.shadows {
            return false;
        }
        match (prediction.result.is_err(), self.options.failures) {
            (true, Failures::Never) => false,
            (true, Failures::Always) => true,
            _ => match prediction.request.id.as_deref() {
                Some(id) => self.sampler.takes(hash(id.as_bytes())),
                None => self.sampler.takes_next(),
            },
        }
    }

    fn queue(&self, record: Record) {
        let bytes = record.bytes;
        let room = self.options.queue_bytes.saturating_sub(bytes);
        let queued = self.counts.queued_bytes.fetch_add(bytes, Ordering::Relaxed);
        let too_large = bytes > self.options.max_bytes || bytes > self.options.queue_bytes;
        self.counts.taken.fetch_add(1, Ordering::Relaxed);
        if too_large || queued > room || self.records.try_send(record).is_err() {
            self.counts.queued_bytes.fetch_sub(bytes, Ordering::Relaxed);
            self.counts.dropped(1);
        }
    }
}

impl Observer for CaptureObserver {
    fn observe(&self, prediction: &Prediction<'_>) {
        if self.wants(prediction) {
            self.queue(Record::of(prediction, self.options.clock.now()));
        }
    }
}

impl Counts {
    fn new() -> Self {
        Self {
            taken: AtomicU64::new(0),
            written: AtomicU64::new(0),
            dropped: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            queued_bytes: AtomicUsize::new(0),
            metrics: ["written", "dropped", "failed"]
                .map(|outcome| counter!(CAPTURED_TOTAL, "outcome" => outcome)),
        }
    }

    pub(super) fn written(&self, predictions: u64) {
        self.written.fetch_add(predictions, Ordering::Relaxed);
        self.metrics[0].increment(predictions);
    }

    fn dropped(&self, predictions: u64) {
        self.dropped.fetch_add(predictions, Ordering::Relaxed);
        self.metrics[1].increment(predictions);
    }

    pub(super) fn failed(&self, predictions: u64) {
        self.failed.fetch_add(predictions, Ordering::Relaxed);
        self.metrics[2].increment(predictions);
    }

    fn stats(&self) -> CaptureStats {
        let [written, dropped, failed, taken] = [&self.written, &self.dropped, &self.failed, &self.taken]
            .map(|count| count.load(Ordering::Relaxed));
        CaptureStats { written, dropped, failed, pending: taken.saturating_sub(written + dropped + failed) }
    }
}

/// FNV-1a, mixed: the same on every machine and in every version.
fn hash(id: &[u8]) -> u64 {
    let step = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
    split_mix(id.iter().fold(0xcbf2_9ce4_8422_2325, step))
}

impl fmt::Debug for CaptureObserver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CaptureObserver").field("stats", &self.stats()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_spread_evenly_and_hash_the_same_everywhere() {
        let sampler = Sampler::new(0.1);
        let taken = (0..100_000).filter(|id| sampler.takes(hash(format!("request-{id}").as_bytes()))).count();
        assert!((9_500..10_500).contains(&taken), "{taken}");
        assert_eq!(hash(b"request-1"), hash(b"request-1"));
        assert_eq!(hash(b""), split_mix(0xcbf2_9ce4_8422_2325));
    }
}
