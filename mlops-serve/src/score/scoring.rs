//! Scoring of whole files.

use std::fmt;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::{self, TryStreamExt};
use mlops_core::{Clock, Error, Instant, Model, ModelId, Result, SystemClock};
use serde_json::Value as Json;

use super::batches::{Batch, Batches, Closes};
use super::call::{Asking, score};
use super::folder::{Finished, Folder};
use super::format::Format;
use super::job::{self, Job};
use super::mapping::{self, Columns};
use super::output::{Output, Scored, Written};
use super::progress::Progress;
use super::thread::{OnThread, on_thread};
use super::writer;

/// Scores a file, or all files of a folder, and writes the answers as parts into another folder.
///
/// # Columns
/// An input `x` of shape `[batch]` takes the column `x`. One of shape `[batch, 3]` takes a column `x` of lists, or
/// the columns `x_0`, `x_1` and `x_2`, or [those you name](Self::with_columns). Longer shapes are filled in row-major
/// order. Where rows name their columns themselves, in JSON Lines, the first row of a file tells which of these it has.
/// An output is written as a column of its name; a list, in CSV, as the columns `y_0`, `y_1`, ...
///
/// An empty field of CSV is a null for all types but BYTES, where it is the empty text. Numbers of other types are
/// taken where nothing is lost but precision: 3.0 is an INT64, 3.5 is none. BYTES are text, in UTF-8, both ways.
/// JSON knows no NaN and no infinity, so they are written as null; copied lists and objects are JSON in the text
/// columns of CSV and Parquet.
///
/// # What is kept in memory
/// As many batches as are in flight, one that is read and one that is written, each of at most twice
/// [`with_record_bytes`](Self::with_record_bytes) of CSV or JSON; of Parquet, 1 024 rows that were decoded, and 65 536
/// that are encoded.
///
/// # Rows that cannot be scored
/// A row that does not parse, has a null without a [value for it](Self::with_fill), or that the model refuses, is
/// written to `_quarantine/`: as a JSON object with its file, row, line, reason, and the record as it stood. The
/// others of its batch are scored. Rows are counted from 1, the header apart.
///
/// # Ended and begun again
/// A part is there when it is finished, and not before: it is written under another name, brought to the disk and
/// renamed. A run that was ended at any moment, by dropping its future, by a kill or by a power cut, is gone on with
/// by the same call: parts that are there are never written again, and those that follow come out as they would have.
/// What may change between the runs is how the model is asked (batch, concurrency, patience, priority); if the input
/// or anything else has changed, the answer is [`Error::Conflict`], unless the job is [restarted](Self::restarted).
///
/// ```
/// use mlops_core::{Model, Result};
/// use mlops_serve::score::{Format, Scoring};
///
/// async fn score(model: impl Model) -> Result<()> {
///     let done = Scoring::new(model, "customers/", "scores/")
///         .with_columns("features", ["age", "income", "children"])
///         .with_fill("children", 0)
///         .with_kept(["customer_id"])
///         .with_output_format(Format::JsonLines)
///         .on_progress(|progress| println!("{:.0} %", 100.0 * progress.share()))
///         .run()
///         .await?;
///     println!("{} rows at {:.0} per second", done.scored, done.rows_per_second());
///     Ok(())
/// }
/// ```
pub struct Scoring {
    model: Arc<dyn Model>,
    input: PathBuf,
    output: PathBuf,
    model_id: Option<ModelId>,
    columns: Columns,
    input_format: Option<Format>,
    output_format: Option<Format>,
    batch_rows: usize,
    part_rows: u64,
    concurrency: usize,
    record_bytes: usize,
    max_errors: u64,
    asking: Asking,
    restart: bool,
    clock: Arc<dyn Clock>,
    on_progress: Box<dyn FnMut(&Progress) + Send>,
}

impl Scoring {
    /// Scores `input`, a file or a folder, into the folder `output`, which is made if it is not there.
    ///
    /// In a folder, all files are read, those of its folders too, in the order of their paths; names that begin with
    /// a dot or an underscore are passed over.
    pub fn new(model: impl Model, input: impl Into<PathBuf>, output: impl Into<PathBuf>) -> Self {
        Self {
            model: Arc::new(model),
            input: input.into(),
            output: output.into(),
            model_id: None,
            columns: Columns::default(),
            input_format: None,
            output_format: None,
            batch_rows: 256,
            part_rows: 100_000,
            concurrency: 4,
            record_bytes: 4 << 20,
            max_errors: u64::MAX,
            asking: Asking { priority: 0, patience: Duration::from_secs(30) },
            restart: false,
            clock: Arc::new(SystemClock),
            on_progress: Box::new(|_| ()),
        }
    }

    /// Says which model this is, so that a run does not go on with the output of another.
    #[must_use]
    pub fn with_model_id(mut self, id: ModelId) -> Self {
        self.model_id = Some(id);
        self
    }

    /// Says which columns, one after the other, are a row of the input.
    #[must_use]
    pub fn with_columns(
        mut self,
        input: impl Into<String>,
        columns: impl IntoIterator<Item = impl Into<String>>,
    ) -> Self {
        self.columns.inputs.insert(input.into(), columns.into_iter().map(Into::into).collect());
        self
    }

    /// What stands in for nulls in a column. Without it, a row with a null is not scored.
    #[must_use]
    pub fn with_fill(mut self, column: impl Into<String>, value: impl Into<Json>) -> Self {
        self.columns.fill.insert(column.into(), value.into());
        self
    }

    /// The columns that are copied to the output, before those of the model: what tells the rows apart.
    #[must_use]
    pub fn with_kept(mut self, columns: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.columns.kept = columns.into_iter().map(Into::into).collect();
        self
    }

    /// The format of all input files, whatever their extensions.
    #[must_use]
    pub fn with_input_format(mut self, format: Format) -> Self {
        self.input_format = Some(format);
        self
    }

    /// The format of the output: that of the input unless set.
    #[must_use]
    pub fn with_output_format(mut self, format: Format) -> Self {
        self.output_format = Some(format);
        self
    }

    /// How many rows the model is asked at once: 256 unless set.
    #[must_use]
    pub fn with_batch_rows(mut self, rows: usize) -> Self {
        self.batch_rows = rows;
        self
    }

    /// How many rows of the input make a part of the output: 100 000 unless set. It is what is lost at most when a
    /// run is ended.
    #[must_use]
    pub fn with_part_rows(mut self, rows: u64) -> Self {
        self.part_rows = rows;
        self
    }

    /// How many batches are in flight at once: 4 unless set. As many as the model has workers, and one more to be read
    /// meanwhile, keep them busy.
    #[must_use]
    pub fn with_concurrency(mut self, batches: usize) -> Self {
        self.concurrency = batches;
        self
    }

    /// The longest line of JSON, or row of CSV, in bytes: 4 MiB unless set, and not less than 64 KiB. A longer line of
    /// JSON is a bad row; a longer row of CSV is the end of the run, because nothing tells where the next one begins.
    /// A batch ends before its number of rows when its rows are so long together.
    #[must_use]
    pub fn with_record_bytes(mut self, bytes: usize) -> Self {
        self.record_bytes = bytes.max(64 << 10);
        self
    }

    /// With one bad row more than that, those of earlier runs included, the run ends. Any number may be bad unless set.
    #[must_use]
    pub fn with_max_errors(mut self, rows: u64) -> Self {
        self.max_errors = rows;
        self
    }

    /// So long a batch is offered again to a model that is overloaded, unavailable or late, ever less often, before
    /// the run ends: 30 seconds unless set.
    #[must_use]
    pub fn with_patience(mut self, patience: Duration) -> Self {
        self.asking.patience = patience;
        self
    }

    /// The [priority](mlops_core::Request::priority) of the requests: 0 unless set. Below 0, others who ask the same
    /// model are served first.
    #[must_use]
    pub fn with_priority(mut self, priority: i32) -> Self {
        self.asking.priority = priority;
        self
    }

    /// Removes what an earlier run of whatever job has written to the output, and begins anew.
    #[must_use]
    pub fn restarted(mut self) -> Self {
        self.restart = true;
        self
    }

    /// Where the time comes from that [`Progress::elapsed`] says.
    #[must_use]
    pub fn with_clock(mut self, clock: impl Clock) -> Self {
        self.clock = Arc::new(clock);
        self
    }

    /// Calls `report` after every batch that was written, on the task that awaits the run.
    #[must_use]
    pub fn on_progress(mut self, report: impl FnMut(&Progress) + Send + 'static) -> Self {
        self.on_progress = Box::new(report);
        self
    }

    /// Scores all rows that are not scored yet.
    ///
    /// Files are read and written on threads of their own, and the model is asked on the task that awaits this: a
    /// model that computes on the calling thread holds that one up.
    ///
    /// # Errors
    /// * [`Error::InvalidInput`]: an option is impossible, a column is missing, a file is malformed, or too many rows
    ///   are bad. [`Error::Unsupported`]: the model or the format cannot be scored from files.
    /// * [`Error::Conflict`]: the output was begun with something else, is written by another run, or holds other files.
    /// * [`Error::NotFound`], [`Error::PermissionDenied`], [`Error::Unavailable`]: a file cannot be read or written;
    ///   the disk is full. The same call goes on when that is mended.
    /// * [`Error::Integrity`]: what an earlier run has stored was changed.
    /// * What the model answers, unless it is the fault of a row.
    pub async fn run(mut self) -> Result<Progress> {
        let began = self.clock.instant();
        self.check()?;
        let plan = self.plan().await?;
        let mut state = State::new(&plan, began);
        let Plan { paths, job, folder, finished } = plan;
        let quarantined = finished.iter().map(|finished| finished.quarantined).sum();
        let reader = Batches::new(Arc::clone(&job), self.batch_rows, paths, finished);
        let reader = OnThread::start("score-read", reader)?;
        let output = Output::new(folder, job, self.max_errors, quarantined);
        let output = OnThread::start("score-write", output)?;
        let result = self.score(reader, &output, &mut state).await;
        // Whatever came of it: the next run must not find the folder locked.
        let closed = output.call(|output| {
            output.close();
            Ok(())
        });
        let closed = closed.await;
        result.and(closed)?;
        Ok(state.progress)
    }

    async fn score(
        &mut self,
        reader: OnThread<Batches>,
        output: &OnThread<Output>,
        state: &mut State,
    ) -> Result<()> {
        let batches = stream::try_unfold(reader, |reader| async {
            Ok::<_, Error>(reader.call(Batches::next).await?.map(|batch| (batch, reader)))
        });
        let (model, asking) = (Arc::clone(&self.model), self.asking);
        let scored = batches.map_ok(move |batch| answered(Arc::clone(&model), asking, batch));
        let mut scored = pin!(scored.try_buffered(self.concurrency));
        // One batch is written while the next ones are scored.
        let mut writing = None;
        while let Some(scored) = scored.try_next().await? {
            let next = output.call(move |output| output.write(scored));
            if let Some(before) = writing.replace(next) {
                state.add(before.await?, &*self.clock);
                (self.on_progress)(&state.progress);
            }
        }
        if let Some(last) = writing {
            state.add(last.await?, &*self.clock);
            (self.on_progress)(&state.progress);
        }
        Ok(())
    }

    fn check(&self) -> Result<()> {
        for (what, number) in [
            ("a batch", self.batch_rows as u64),
            ("a part", self.part_rows),
            ("the concurrency", self.concurrency as u64),
        ] {
            if number == 0 {
                return Err(Error::invalid_input(format!("{what} of 0 scores nothing; give 1 or more")));
            }
        }
        mapping::check(self.model.signature(), &self.columns)
    }

    fn plan(&self) -> impl Future<Output = Result<Plan>> + use<> {
        let (input, output, restart) = (self.input.clone(), self.output.clone(), self.restart);
        let (input_format, output_format) = (self.input_format, self.output_format);
        let (model, signature) = (self.model_id.clone(), self.model.signature().clone());
        let (columns, part_rows, record_bytes) = (self.columns.clone(), self.part_rows, self.record_bytes);
        on_thread("score-plan", move || {
            let (paths, files): (Vec<_>, Vec<_>) = job::files(&input, input_format)?.into_iter().unzip();
            let format = match output_format {
                Some(format) => format,
                None => common_format(files.iter().map(|file| file.format))?,
            };
            writer::check(format, &signature, &columns.kept)?;
            require_apart(&input, &output)?;
            let job = Job { model, signature, columns, format, part_rows, record_bytes, files };
            let (folder, finished) = Folder::open(&output, &job, restart)?;
            Ok(Plan { paths, job: Arc::new(job), folder, finished })
        })
    }
}

/// What is to be done.
struct Plan {
    paths: Vec<PathBuf>,
    job: Arc<Job>,
    folder: Folder,
    finished: Vec<Finished>,
}

/// How far a run is.
struct State {
    began: Instant,
    progress: Progress,
    /// How many bytes are in the files before each file.
    before: Vec<u64>,
    /// How many bytes each file has.
    bytes: Vec<u64>,
}

impl State {
    fn new(plan: &Plan, began: Instant) -> Self {
        let bytes: Vec<_> = plan.job.files.iter().map(|file| file.bytes).collect();
        let before = bytes.iter().scan(0, |sum, bytes| {
            let before = *sum;
            *sum += bytes;
            Some(before)
        });
        let done = plan.finished.iter().zip(&bytes);
        let done = done.map(|(finished, bytes)| if finished.all { *bytes } else { finished.position.byte });
        let progress = Progress {
            resumed: plan.finished.iter().map(|finished| finished.position.row).sum(),
            bytes: done.sum(),
            total_bytes: bytes.iter().sum(),
            ..Progress::default()
        };
        Self { began, progress, before: before.collect(), bytes }
    }

    fn add(&mut self, written: Written, clock: &dyn Clock) {
        let Self { progress, .. } = self;
        progress.scored += written.scored;
        progress.quarantined += written.quarantined;
        progress.parts += u64::from(written.closes != Closes::Nothing);
        progress.elapsed = clock.instant().saturating_duration_since(self.began);
        let whole = written.closes == Closes::File;
        let of_file = if whole { self.bytes[written.file] } else { written.end.byte };
        progress.bytes = self.before[written.file] + of_file;
    }
}

async fn answered(model: Arc<dyn Model>, asking: Asking, mut batch: Batch) -> Result<Scored> {
    let (groups, mut faults) = (std::mem::take(&mut batch.groups), std::mem::take(&mut batch.faults));
    let (answers, more) = score(&*model, asking, groups).await?;
    faults.extend(more);
    Ok(Scored { batch, answers, faults })
}

fn common_format(mut formats: impl Iterator<Item = Format>) -> Result<Format> {
    let first = formats.next().ok_or_else(|| Error::internal("a job without files"))?;
    match formats.find(|format| *format != first) {
        None => Ok(first),
        Some(other) => Err(Error::invalid_input(format!(
            "the input has files in {first} and in {other}; choose the format of the output"
        ))),
    }
}

/// Refuses an output that would be input of the next run.
fn require_apart(input: &Path, output: &Path) -> Result<()> {
    let absolute = |path: &Path| std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let input = input.canonicalize().unwrap_or_else(|_| absolute(input));
    let output = output.canonicalize().unwrap_or_else(|_| absolute(output));
    if output.starts_with(&input) {
        return Err(Error::invalid_input(format!(
            "the output {} is inside of the input; choose a folder elsewhere",
            output.display()
        )));
    }
    Ok(())
}

impl fmt::Debug for Scoring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scoring")
            .field("model", &self.model)
            .field("input", &self.input)
            .field("output", &self.output)
            .field("columns", &self.columns)
            .finish_non_exhaustive()
    }
}
