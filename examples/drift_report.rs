//! Compares a file with a reference, and makes a page and a document of what has changed.
//!
//! ```sh
//! cargo run --release --example drift_report -- --reference training.parquet --current yesterday.parquet \
//!     --target defaulted --prediction probability --categorical zip_code --html report.html --json report.json
//! ```
//!
//! Files are CSV, Parquet or JSON Lines, as their extensions say. Columns are matched by name. The current file is
//! read in pieces, whatever its size. With `--target` and `--prediction` the page says how good the predictions were;
//! without, both are columns as any other. It ends with status 1 when something is wrong, and with 2 when it was
//! called wrongly; that data has drifted is nothing wrong.

mod drift_report {
    pub mod arguments;
    pub mod compare;
    pub mod progress;
    pub mod reference;
    pub mod schema;
    pub mod score;
    pub mod windows;
}

use std::process::ExitCode;

use clap::Parser;
use drift_report::arguments::Arguments;

fn main() -> ExitCode {
    match drift_report::compare::run(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            let causes = std::iter::successors(error.source(), |error| (*error).source());
            let said = error.to_string();
            let causes = causes.map(ToString::to_string).filter(|cause| !said.contains(cause.as_str()));
            causes.for_each(|cause| eprintln!("  because: {cause}"));
            ExitCode::FAILURE
        }
    }
}
