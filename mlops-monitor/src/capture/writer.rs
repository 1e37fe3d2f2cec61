//! The task that fills files and puts them into the store.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use arrow::array::RecordBatch;
use mlops_core::{Clock, Instant};
use object_store::path::Path;
use object_store::{Error as StoreError, ObjectStore, PutMode, PutOptions, PutPayload};
use tokio::sync::{mpsc, oneshot};
use tokio::task::{JoinSet, spawn_blocking};
use tokio::time::{MissedTickBehavior, interval, sleep};

use super::columns::{Columns, Layout};
use super::object;
use super::observer::Counts;
use super::options::{CaptureOptions, Format};
use super::record::Record;

/// The longest wait between two attempts.
const LONGEST: Duration = Duration::from_secs(10);

/// Fills files with records, and puts them.
pub(super) struct Writer {
    pub(super) folder: Path,
    pub(super) layout: Layout,
    pub(super) options: CaptureOptions,
    pub(super) counts: Arc<Counts>,
    pub(super) upload: Upload,
    pub(super) columns: Columns,
    /// When the first record of the file came.
    pub(super) began: Option<Instant>,
    pub(super) uploads: JoinSet<()>,
}

/// Puts one file.
#[derive(Clone)]
pub(super) struct Upload {
    pub(super) store: Arc<dyn ObjectStore>,
    pub(super) format: Format,
    pub(super) attempts: u32,
    pub(super) back_off: Duration,
    pub(super) counts: Arc<Counts>,
}

/// What a writer is asked to do at once.
pub(super) enum Command {
    /// Write what has come so far.
    Flush(oneshot::Sender<()>),
    /// Take nothing more, and write what has come.
    Stop,
}

impl Writer {
    pub(super) async fn run(
        mut self,
        mut records: mpsc::Receiver<Record>,
        mut commands: mpsc::UnboundedReceiver<Command>,
    ) {
        let often = (self.options.max_age / 10).clamp(Duration::from_millis(10), Duration::from_secs(1));
        let mut tick = interval(often);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                record = records.recv() => match record {
                    Some(record) => self.take(record).await,
                    None => break,
                },
                command = commands.recv() => match command {
                    Some(Command::Flush(done)) => {
                        while let Ok(record) = records.try_recv() {
                            self.take(record).await;
                        }
                        self.finish().await;
                        // Whoever asked may have gone.
                        let _ = done.send(());
                    }
                    Some(Command::Stop) | None => records.close(),
                },
                _ = tick.tick() => self.end_old_file().await,
                Some(_) = self.uploads.join_next() => {}
            }
        }
        self.finish().await;
    }

    async fn take(&mut self, record: Record) {
        self.counts.queued_bytes.fetch_sub(record.bytes, Ordering::Relaxed);
        if !self.columns.push(&record, &self.layout) {
            self.end_file().await;
            if !self.columns.push(&record, &self.layout) {
                return self.counts.failed(1);
            }
        }
        self.began.get_or_insert_with(|| self.options.clock.instant());
        if self.columns.rows() >= self.options.max_rows || self.columns.bytes() >= self.options.max_bytes {
            self.end_file().await;
        }
    }

    async fn end_old_file(&mut self) {
        let now = self.options.clock.instant();
        if self.began.is_some_and(|began| now.saturating_duration_since(began) >= self.options.max_age) {
            self.end_file().await;
        }
    }

    /// Hands the file on, once there is room for another that is on its way.
    async fn end_file(&mut self) {
        self.began = None;
        let columns = std::mem::take(&mut self.columns);
        let Some(span) = columns.span() else { return };
        while self.uploads.len() >= self.options.uploads {
            self.uploads.join_next().await;
        }
        let name = object::name(&self.folder, span, self.options.format);
        self.uploads.spawn(self.upload.clone().run(name, columns));
    }

    /// Hands the file on, and waits until all files have been put or given up.
    async fn finish(&mut self) {
        self.end_file().await;
        while self.uploads.join_next().await.is_some() {}
    }
}

impl Upload {
    async fn run(self, name: Path, columns: Columns) {
        let predictions = columns.predictions();
        let (format, counts) = (self.format, Arc::clone(&self.counts));
        let encoded = spawn_blocking(move || {
            let batch: RecordBatch = columns.into_batch()?;
            format.encode(&batch)
        });
        let written = match encoded.await {
            Ok(Ok(bytes)) => self.put(&name, bytes.into()).await.map_err(|error| error.to_string()),
            Ok(Err(error)) => Err(error.to_string()),
            Err(error) => Err(error.to_string()),
        };
        match written {
            Ok(()) => counts.written(predictions),
            Err(error) => {
                tracing::warn!(object = %name, predictions, error, "captured predictions could not be written");
                counts.failed(predictions);
            }
        }
    }

    /// Creates the object. Its name is like no other, so that it exists already means that an earlier attempt has
    /// taken effect.
    async fn put(&self, name: &Path, payload: PutPayload) -> Result<(), StoreError> {
        let mut wait = self.back_off;
        for attempt in 1.. {
            let options = PutOptions::from(PutMode::Create);
            match self.store.put_opts(name, payload.clone(), options).await {
                Ok(_) => break,
                Err(StoreError::AlreadyExists { .. }) if attempt > 1 => break,
                Err(error) if attempt >= self.attempts || !may_pass(&error) => return Err(error),
                Err(error) => tracing::debug!(object = %name, attempt, %error, "a capture file is put again"),
            }
            sleep(wait).await;
            wait = (2 * wait).min(LONGEST);
        }
        Ok(())
    }
}

/// Whether the same call may succeed later.
fn may_pass(error: &StoreError) -> bool {
    !matches!(
        error,
        StoreError::PermissionDenied { .. }
            | StoreError::Unauthenticated { .. }
            | StoreError::InvalidPath { .. }
            | StoreError::NotSupported { .. }
            | StoreError::NotImplemented { .. }
            | StoreError::UnknownConfigurationKey { .. }
            | StoreError::AlreadyExists { .. }
    )
}
