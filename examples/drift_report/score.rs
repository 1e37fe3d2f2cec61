//! How good the predictions in a file were.

use std::collections::BTreeMap;
use std::time::Duration;

use mlops_core::{
    Clock as _, Error, ManualClock, Observer, Prediction, Request, Response, Result, RoutingContext,
    SystemClock, Tensor, Tensors,
};
use mlops_monitor::performance::{
    Label, PerformanceMonitor, PerformanceOptions, PerformanceReport, PerformanceWindow, Task,
};
use mlops_monitor::{FeatureKind, FeatureProfile, Profile, Table, TableColumn, Values};

use super::arguments::Arguments;

const OUTPUT: &str = "prediction";

/// Predictions, scored as they are read.
pub struct Scored {
    monitor: PerformanceMonitor,
    target: String,
    prediction: String,
    segments: Vec<String>,
    binary: bool,
    by_name: bool,
    requests: u64,
}

impl Scored {
    /// `None` without a target. What kind of task it is, the target's values in the reference say.
    pub fn new(arguments: &Arguments, profile: &Profile) -> Result<Option<Self>> {
        let (Some(target), Some(prediction)) = (&arguments.target, &arguments.prediction) else {
            return Ok(None);
        };
        let column = |name: &str| {
            let left_out =
                || Error::invalid_input(format!("column `{name}` is left out, but needed for performance"));
            profile.feature(name).ok_or_else(left_out)
        };
        let (truth, predicted) = (column(target)?, column(prediction)?);
        let task = match truth.kind() {
            FeatureKind::Categorical => Task::multiclass(OUTPUT, truth.categories().to_vec()),
            _ if is_zero_or_one(truth) => Task::binary(OUTPUT),
            _ => Task::regression(OUTPUT),
        };
        let by_name = matches!(task, Task::Multiclass { .. });
        if !by_name && predicted.kind() == FeatureKind::Categorical {
            return Err(Error::invalid_input(format!(
                "`{prediction}` holds categories, but the target `{target}` numbers; if these are classes, name both \
                 columns in --categorical"
            )));
        }
        let options = PerformanceOptions::default().with_windows(PerformanceWindow::Requests(u64::MAX), 1);
        let options = arguments.segment.iter().fold(options, PerformanceOptions::with_segment);
        Ok(Some(Self {
            binary: matches!(task, Task::Binary { .. }),
            // Labels are in the same file: they take no time.
            monitor: PerformanceMonitor::new(task, options)?.with_clock(ManualClock::new(SystemClock.now())),
            target: target.clone(),
            prediction: prediction.clone(),
            segments: arguments.segment.clone(),
            by_name,
            requests: 0,
        }))
    }

    /// Scores the rows of a table: those of one segment are one request.
    pub fn push(&mut self, table: &Table) -> Result<()> {
        let column = |name: &String| {
            table.column(name).ok_or_else(|| Error::internal(format!("column `{name}` was not read")))
        };
        let (target, prediction) = (column(&self.target)?, column(&self.prediction)?);
        let segments = self.segments.iter().map(column).collect::<Result<Vec<_>>>()?;
        let mut groups: BTreeMap<Vec<String>, Vec<usize>> = BTreeMap::new();
        let (truths, predictions) = (texts(target), texts(prediction));
        let segments: Vec<Vec<String>> = segments.into_iter().map(texts).collect();
        for row in (0..table.rows()).filter(|row| !truths[*row].is_empty() && !predictions[*row].is_empty()) {
            let values = segments.iter().map(|segment| segment[row].clone()).collect();
            groups.entry(values).or_default().push(row);
        }
        for (values, rows) in groups {
            self.requests += 1;
            let id = self.requests.to_string();
            let segments = self.segments.iter().zip(values);
            let context = segments.fold(RoutingContext::new(), |context, (segment, value)| {
                context.with_attribute(segment.as_str(), value)
            });
            let request = Request::default().with_id(&*id).with_context(context);
            let outputs = if self.by_name {
                Tensor::from_byte_strings(&[rows.len()], rows.iter().map(|row| &predictions[*row]))?
            } else {
                let numbers = prediction.as_numbers().unwrap_or_default();
                Tensor::from(rows.iter().map(|row| numbers[*row]).collect::<Vec<f64>>())
            };
            let response = Response::new(Tensors::new().with(OUTPUT, outputs));
            self.monitor.observe(&Prediction::new(&request, Ok(&response), Duration::ZERO));
            for (index, row) in rows.into_iter().enumerate() {
                self.monitor.label_row(&id, index, self.label(target, &truths, row))?;
            }
        }
        Ok(())
    }

    pub fn report(&self) -> PerformanceReport {
        self.monitor.report()
    }

    fn label(&self, target: &TableColumn, truths: &[String], row: usize) -> Label {
        match target.as_numbers() {
            Some(numbers) if self.binary => Label::from(numbers[row] == 1.0),
            Some(numbers) if !self.by_name => Label::from(numbers[row]),
            _ => Label::from(truths[row].as_str()),
        }
    }
}

/// Each value as it is written; empty where it is missing.
fn texts(column: &TableColumn) -> Vec<String> {
    match column.values() {
        Values::Words(words) => words.iter().map(|word| word.unwrap_or_default().to_owned()).collect(),
        Values::Numbers(numbers) => numbers
            .iter()
            .map(|number| if number.is_nan() { String::new() } else { number.to_string() })
            .collect(),
    }
}

/// Whether the reference holds 0 and 1 and nothing else.
fn is_zero_or_one(feature: &FeatureProfile) -> bool {
    let bins = &feature.counts().bins;
    let of = |number: f64| {
        feature.bin_of_number(number).and_then(|bin| bins.get(bin)).copied().unwrap_or_default()
    };
    feature.summary().is_some_and(|summary| summary.min >= 0.0 && summary.max <= 1.0)
        && of(0.0) + of(1.0) == feature.counts().present()
}
