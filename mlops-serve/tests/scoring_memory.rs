//! Scoring takes as much memory for a large file as for a small one.
#![allow(unsafe_code, clippy::unwrap_used, clippy::print_stdout)] // an allocator that counts

#[path = "support/allocations.rs"]
mod allocations;
#[path = "support/scoring.rs"]
mod support;

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

use allocations::{Counted, measured};
use mlops_serve::score::{Format, Scoring};
use support::summing;

#[global_allocator]
static ALLOCATOR: Counted = Counted;

/// Writes rows of about 230 bytes, of which the model refuses every hundredth.
fn write(path: &Path, rows: usize) {
    let mut file = BufWriter::new(File::create(path).unwrap());
    let name = "n".repeat(200);
    writeln!(file, "id,x_0,x_1,name").unwrap();
    for id in 0..rows {
        let x = if id % 100 == 99 { -1.0 } else { id as f32 };
        writeln!(file, "{id},{x},0.125,{name}").unwrap();
    }
}

fn peak(folder: &Path, rows: usize, format: Format) -> usize {
    let input = folder.join(format!("{rows}.csv"));
    if !input.exists() {
        write(&input, rows);
    }
    let output = folder.join(format!("{rows}-{}", format.extension()));
    let job = Scoring::new(summing(), input, output).with_part_rows(1_000).with_output_format(format);
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let (done, peak) = measured(|| runtime.block_on(job.run()).unwrap());
    assert_eq!(done.rows() as usize, rows);
    peak
}

#[test]
fn a_file_ten_times_as_large_takes_no_more_memory() {
    const SMALL: usize = 3_000;
    let folder = tempfile::tempdir().unwrap();
    let formats = [
        Format::Csv,
        Format::JsonLines,
        #[cfg(feature = "parquet")]
        Format::Parquet,
    ];
    for format in formats {
        let (small, large) = (peak(folder.path(), SMALL, format), peak(folder.path(), 10 * SMALL, format));
        let file =
            std::fs::metadata(folder.path().join(format!("{}.csv", 10 * SMALL))).unwrap().len() as usize;
        println!("{format}: {small} bytes for the small file, {large} for the large one of {file}");
        // Not exactly the same: it depends on how many batches happen to be in flight at once.
        assert!(large < 2 * small, "{format}: {large} bytes instead of {small}");
        assert!(large < file / 4, "{format}: {large} bytes for a file of {file}");
    }
}
