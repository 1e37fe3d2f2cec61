//! A bar for each file that is read.

use std::path::Path;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use mlops_core::Result;
use mlops_monitor::{Table, TableOptions, TableReader};

/// Reads a file piece by piece, with a bar unless nobody is looking; returns how many rows it has.
pub fn each_table(
    path: &Path,
    options: TableOptions,
    quiet: bool,
    mut take: impl FnMut(&Table) -> Result<()>,
) -> Result<u64> {
    let reader = TableReader::open_with(path, options)?;
    let bar = bar(path, reader.bytes_total(), quiet);
    let mut rows = 0;
    let mut reader = reader;
    while let Some(table) = reader.next() {
        let table = table?;
        take(&table)?;
        rows += table.rows() as u64;
        bar.set_position(reader.bytes_read());
        bar.set_message(format!("{rows} rows"));
    }
    bar.finish_and_clear();
    Ok(rows)
}

fn bar(path: &Path, bytes: u64, quiet: bool) -> ProgressBar {
    let target = if quiet { ProgressDrawTarget::hidden() } else { ProgressDrawTarget::stderr() };
    let style = ProgressStyle::with_template("{prefix} {bar:32} {bytes}/{total_bytes} {msg} {eta}");
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    ProgressBar::with_draw_target(Some(bytes), target)
        .with_prefix(name)
        .with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}
