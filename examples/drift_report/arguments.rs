//! What the command line takes.

use std::path::PathBuf;

use clap::Parser;

/// Compares a file with a reference: what has drifted, what is broken, how good predictions were.
#[derive(Debug, Parser)]
pub struct Arguments {
    /// What the model was trained on: CSV, Parquet or JSON Lines
    #[arg(long, value_name = "FILE")]
    pub reference: PathBuf,
    /// What came since, oldest rows first
    #[arg(long, value_name = "FILE")]
    pub current: PathBuf,
    /// The column that says how it turned out
    #[arg(long, value_name = "COLUMN", requires = "prediction")]
    pub target: Option<String>,
    /// The column with what was predicted: a probability for a target of 0 and 1, else a number or a class
    #[arg(long, value_name = "COLUMN")]
    pub prediction: Option<String>,
    /// Columns whose numbers stand for categories
    #[arg(long, value_name = "COLUMNS", value_delimiter = ',')]
    pub categorical: Vec<String>,
    /// Columns to leave out, such as ids
    #[arg(long, value_name = "COLUMNS", value_delimiter = ',')]
    pub ignore: Vec<String>,
    /// Columns to take performance apart by
    #[arg(long, value_name = "COLUMNS", value_delimiter = ',', requires = "target")]
    pub segment: Vec<String>,
    /// Words that stand for a missing value, besides the empty one
    #[arg(long, value_name = "WORDS", value_delimiter = ',')]
    pub missing: Vec<String>,
    /// Into how many windows the current rows are divided, for the trend
    #[arg(long, default_value_t = 10, value_name = "COUNT", value_parser = clap::value_parser!(u16).range(1..=200))]
    pub windows: u16,
    /// How often chance alone may look like a change
    #[arg(long, default_value_t = 0.01, value_name = "SHARE")]
    pub alpha: f64,
    /// What the report is called; otherwise by its files
    #[arg(long)]
    pub title: Option<String>,
    /// Where the page goes
    #[arg(long, value_name = "FILE")]
    pub html: Option<PathBuf>,
    /// Where the document goes
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// Says nothing but what is wrong
    #[arg(long)]
    pub quiet: bool,
}
