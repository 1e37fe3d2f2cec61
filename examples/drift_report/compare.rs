//! From two files to a report.

use std::fs;
use std::io::{self, Write as _};
use std::path::Path;

use mlops_core::{Error, Result, SystemClock};
use mlops_monitor::html::{ReportDocument, Trend};
use mlops_monitor::quality::Outcome;

use super::arguments::Arguments;
use super::progress::each_table;
use super::reference::Reference;
use super::schema::Schema;
use super::score::Scored;
use super::windows::Windows;

pub fn run(arguments: &Arguments) -> Result<(), Box<dyn std::error::Error>> {
    let say = |text: &str| {
        if !arguments.quiet {
            let _ = writeln!(io::stdout(), "{text}"); // nobody may be reading
        }
    };
    let (document, notes) = compare(arguments)?;
    notes.iter().for_each(|note| say(note));
    say(document.drift.to_string().trim_end());
    if let Some(quality) = document.quality.as_ref().filter(|quality| quality.outcome == Outcome::Failed) {
        let failed: Vec<_> = quality.failed().map(|finding| finding.text.as_str()).collect();
        say(&format!("{} of {} expectations do not hold", failed.len(), quality.findings.len()));
        failed.iter().take(10).for_each(|text| say(&format!("  {text}")));
    }
    if let Some(performance) = &document.performance {
        say(performance.to_string().trim_end());
    }
    if let Some(path) = &arguments.json {
        write(path, &document.to_json()?)?;
        say(&format!("wrote {}", path.display()));
    }
    if let Some(path) = &arguments.html {
        write(path, document.page().to_html().as_bytes())?;
        say(&format!("wrote {}", path.display()));
    }
    Ok(())
}

/// The report, and what a reader should know beside it.
fn compare(arguments: &Arguments) -> Result<(ReportDocument, Vec<String>)> {
    if !(arguments.alpha > 0.0 && arguments.alpha < 1.0) {
        let alpha = arguments.alpha;
        return Err(Error::invalid_input(format!("--alpha is {alpha}; it has to lie between 0 and 1")));
    }
    let schema = Schema::of(&arguments.reference, arguments)?;
    schema.require(arguments.target.iter().chain(&arguments.prediction).chain(&arguments.segment))?;
    let schema = schema.without(&arguments.ignore)?;
    let current = Schema::of(&arguments.current, arguments)?;
    let mut extra = schema.check(&current)?;
    extra.retain(|name| !arguments.ignore.iter().any(|ignored| ignored == name));
    let mut notes = Vec::new();
    if !extra.is_empty() {
        notes.push(format!("the reference has no columns {}; they are left out", extra.join(", ")));
    }

    let Reference { profile, suite } = Reference::read(arguments, &schema)?;
    let count = usize::from(arguments.windows);
    let mut windows = Windows::new(&schema, profile.clone(), count);
    let mut checker = suite.checker();
    let mut scored = Scored::new(arguments, &profile)?;
    each_table(&arguments.current, schema.options(), arguments.quiet, |table| {
        windows.push(table)?;
        checker.push(table);
        scored.as_mut().map_or(Ok(()), |scored| scored.push(table))
    })?;

    let rules = mlops_monitor::Rules::default().with_alpha(arguments.alpha);
    let (counts, windows) = windows.finish(count)?;
    let title = arguments
        .title
        .clone()
        .unwrap_or_else(|| format!("{} against {}", name(&arguments.current), name(&arguments.reference)));
    let drift = rules.report(&profile, &counts)?;
    let mut document = ReportDocument::new(title, &SystemClock, drift)
        .with_distributions(&profile, &counts)?
        .with_quality(checker.finish());
    if windows.len() > 1 {
        let mut trend = Trend::new();
        for window in windows {
            trend.push(window.name, &rules.report(&profile, &window.counts)?)?;
        }
        document = document.with_trend(trend);
    }
    if let Some(scored) = scored {
        document = document.with_performance(scored.report());
    }
    Ok((document, notes))
}

fn name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    fs::write(path, bytes).map_err(|error| {
        Error::unavailable(format!("`{}` cannot be written", path.display())).with_source(error)
    })
}
