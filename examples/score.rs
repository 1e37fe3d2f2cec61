//! Scores a file, or a folder of files, through an ONNX model.
//!
//! ```text
//! cargo run --release --example score -- --onnx m.onnx --input data.csv --output scores/ --keep customer_id
//! cargo run --release --example score -- --onnx m.onnx --input days/ --output scores/ --columns X=age,income
//! ```
//!
//! End it whenever you like: the same command goes on where it was. Bad rows are in `scores/_quarantine/`.

use std::path::PathBuf;

use clap::{Parser, ValueEnum};
use indicatif::{HumanDuration, ProgressBar, ProgressStyle};
use mlops_serve::engine::Device;
use mlops_serve::engine::onnx::{OnnxEngine, OnnxOptions};
use mlops_serve::score::{Format, Scoring};
use mlops_serve::{EngineExt, Workers};

#[derive(Debug, Parser)]
#[command(about = "Scores files through an ONNX model")]
struct Arguments {
    /// The file of the model.
    #[arg(long)]
    onnx: PathBuf,
    /// Where it computes.
    #[arg(long, default_value = "cpu")]
    device: Device,
    /// A CSV, JSON Lines or Parquet file, or a folder of such.
    #[arg(long)]
    input: PathBuf,
    /// The folder that the scores are written to.
    #[arg(long)]
    output: PathBuf,
    /// The format of the output: that of the input unless given.
    #[arg(long)]
    format: Option<OutputFormat>,
    /// `INPUT=COLUMN,COLUMN,...`: the columns of an input that are not called as it is. May come several times.
    #[arg(long, value_parser = columns)]
    columns: Vec<(String, Vec<String>)>,
    /// The columns that are copied to the output.
    #[arg(long, value_delimiter = ',')]
    keep: Vec<String>,
    /// How many rows the model is asked at once.
    #[arg(long, default_value = "256")]
    batch: usize,
    /// How many threads compute.
    #[arg(long, default_value = "2")]
    workers: usize,
    /// So many rows may be bad.
    #[arg(long, default_value_t = u64::MAX)]
    max_errors: u64,
    /// Removes what an earlier run has written, and begins anew.
    #[arg(long)]
    restart: bool,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum OutputFormat {
    Csv,
    Tsv,
    Jsonl,
    Parquet,
}

type Failure = Box<dyn std::error::Error>;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Failure> {
    let arguments = Arguments::parse();
    let engine = OnnxEngine::load_file(&arguments.onnx, arguments.device, &OnnxOptions::new())?;
    let model = engine.on_workers(Workers::new(arguments.workers))?;

    let mut job = Scoring::new(model, arguments.input, arguments.output)
        .with_kept(arguments.keep)
        .with_batch_rows(arguments.batch)
        .with_concurrency(arguments.workers + 1)
        .with_max_errors(arguments.max_errors);
    for (input, columns) in arguments.columns {
        job = job.with_columns(input, columns);
    }
    if let Some(format) = arguments.format {
        job = job.with_output_format(format.into());
    }
    if arguments.restart {
        job = job.restarted();
    }

    let style = "{bar:40} {percent:>3} %  {bytes} of {total_bytes}  {msg}";
    let bar = ProgressBar::no_length().with_style(ProgressStyle::with_template(style)?);
    let shown = bar.clone();
    let done = job
        .on_progress(move |progress| {
            shown.set_length(progress.total_bytes);
            shown.set_position(progress.bytes);
            shown.set_message(format!("{:.0} rows/s", progress.rows_per_second()));
        })
        .run()
        .await;
    bar.finish_and_clear();
    let done = done?;
    println!(
        "{} rows scored, {} set apart, {} done before, in {}",
        done.scored,
        done.quarantined,
        done.resumed,
        HumanDuration(done.elapsed)
    );
    Ok(())
}

fn columns(argument: &str) -> Result<(String, Vec<String>), String> {
    let (input, columns) = argument.split_once('=').ok_or("expected INPUT=COLUMN,COLUMN,...")?;
    Ok((input.to_owned(), columns.split(',').map(str::to_owned).collect()))
}

impl From<OutputFormat> for Format {
    fn from(format: OutputFormat) -> Self {
        match format {
            OutputFormat::Csv => Self::Csv,
            OutputFormat::Tsv => Self::Tsv,
            OutputFormat::Jsonl => Self::JsonLines,
            OutputFormat::Parquet => Self::Parquet,
        }
    }
}
