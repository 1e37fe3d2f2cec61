//! What an optimisation costs and gains, measured.

use std::fmt;
use std::time::{Duration, Instant};

use half::{bf16, f16};
use mlops_core::{DType, Engine, Error, Result, Tensor, Tensors};

use crate::engine::Device;
use crate::engine::onnx::OnnxEngine;

/// Both models run at least this often over all samples, whatever that takes.
const FEWEST_ROUNDS: usize = 7;

/// More rounds follow until both together have taken this long,
const ENOUGH_TIME: Duration = Duration::from_secs(4);

/// or until more would tell nothing new.
const MOST_ROUNDS: usize = 500;

/// Two models side by side: size, speed and how far their answers agree.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Report {
    /// Bytes of the artifact before.
    pub bytes_before: usize,
    /// Bytes of the artifact after.
    pub bytes_after: usize,
    /// The median time of a call before, on one thread of the processor.
    pub latency_before: Duration,
    /// The median time of a call after.
    pub latency_after: Duration,
    /// How far each output agrees, over all samples.
    pub outputs: Vec<Agreement>,
    /// The share of rows classified as labelled, before and after; when labels are given.
    pub accuracy: Option<(f64, f64)>,
}

/// How far an output of one model agrees with that of the other.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Agreement {
    /// The name of the output.
    pub output: String,
    /// The largest difference of two elements.
    pub max_absolute: f64,
    /// The largest difference, as a share of the largest magnitude before.
    pub max_relative: f64,
    /// The cosine of the angle between both, all elements of all samples taken as one vector.
    pub cosine: f64,
    /// The share of rows whose largest element is at the same place, for floats of shape [rows, classes]; the share
    /// of equal elements, for outputs that are no floats.
    pub top_1: Option<f64>,
}

impl Report {
    /// Runs two models on the same samples, in turns, and compares.
    ///
    /// Each sample is the input of one call; give batches of the size that is served. Both models run on one thread
    /// of the processor, alternately, at least seven and at most 500 times over all samples, for about four seconds.
    ///
    /// # Errors
    /// [`Error::InvalidInput`] without samples, or when the models have different outputs; and what loading or
    /// running the models gives.
    pub fn measure(before: &[u8], after: &[u8], samples: &[Tensors]) -> Result<Self> {
        compare(before, after, samples, None)
    }

    /// As [`measure`](Self::measure), with the right class of each row of each sample, for the accuracy.
    ///
    /// The first output of floats of shape [rows, classes] says which class a row has.
    ///
    /// # Errors
    /// As [`measure`](Self::measure); [`Error::InvalidInput`] when no output has that shape, or labels and rows are not equally
    /// many.
    pub fn measure_with_labels(
        before: &[u8],
        after: &[u8],
        samples: &[Tensors],
        labels: &[Vec<usize>],
    ) -> Result<Self> {
        if labels.len() != samples.len() {
            let (labels, samples) = (labels.len(), samples.len());
            return Err(Error::invalid_input(format!("{samples} samples have labels for {labels}")));
        }
        compare(before, after, samples, Some(labels))
    }
}

fn compare(
    before: &[u8],
    after: &[u8],
    samples: &[Tensors],
    labels: Option<&[Vec<usize>]>,
) -> Result<Report> {
    if samples.is_empty() {
        return Err(Error::invalid_input("a comparison needs at least one sample"));
    }
    let load = |model: &[u8]| OnnxEngine::load(model.to_vec(), Device::Cpu);
    let engines = [load(before)?, load(after)?];
    let answers = |engine: &OnnxEngine| -> Result<Vec<Tensors>> {
        samples.iter().map(|sample| engine.run(sample)).collect()
    };
    let answers = [answers(&engines[0])?, answers(&engines[1])?];
    let outputs = agreements(&answers)?;
    let accuracy = match labels {
        Some(labels) => Some((accuracy(&answers[0], labels)?, accuracy(&answers[1], labels)?)),
        None => None,
    };
    let [latency_before, latency_after] = latencies(&engines, samples)?;
    let (bytes_before, bytes_after) = (before.len(), after.len());
    Ok(Report { bytes_before, bytes_after, latency_before, latency_after, outputs, accuracy })
}

/// The median time of a call of each engine. They take turns, so that what else the machine does hits both.
fn latencies(engines: &[OnnxEngine; 2], samples: &[Tensors]) -> Result<[Duration; 2]> {
    let mut times = [Vec::new(), Vec::new()];
    let began = Instant::now();
    for round in 0..MOST_ROUNDS {
        if round >= FEWEST_ROUNDS && began.elapsed() >= ENOUGH_TIME {
            break;
        }
        for sample in samples {
            for turn in 0..2 {
                let which = (round + turn) % 2;
                let started = Instant::now();
                engines[which].run(sample)?;
                times[which].push(started.elapsed());
            }
        }
    }
    Ok(times.map(|mut times| {
        times.sort_unstable();
        times[times.len() / 2]
    }))
}

fn agreements(answers: &[Vec<Tensors>; 2]) -> Result<Vec<Agreement>> {
    let [before, after] = answers;
    let names: Vec<&str> = before.first().map(|outputs| outputs.names().collect()).unwrap_or_default();
    let agreements = names.into_iter().map(|name| {
        let mut sums = Sums::default();
        for (before, after) in before.iter().zip(after) {
            let other = after
                .get(name)
                .ok_or_else(|| Error::invalid_input(format!("the second model has no output `{name}`")))?;
            sums.add(name, before.require(name)?, other)?;
        }
        Ok(sums.agreement(name))
    });
    agreements.collect()
}

/// What an agreement is computed from.
#[derive(Debug, Default)]
struct Sums {
    difference: f64,
    largest: f64,
    product: f64,
    squares: [f64; 2],
    floats: bool,
    same: usize,
    compared: usize,
}

impl Sums {
    fn add(&mut self, name: &str, before: &Tensor, after: &Tensor) -> Result<()> {
        if before.dtype() != after.dtype() || before.shape() != after.shape() {
            let kind = |tensor: &Tensor| format!("{} {:?}", tensor.dtype(), tensor.shape());
            let (before, after) = (kind(before), kind(after));
            return Err(Error::invalid_input(format!(
                "the output `{name}` is {before} before and {after} after"
            )));
        }
        let (Some(a), Some(b)) = (floats(before), floats(after)) else {
            self.compared += before.len();
            self.same += same_elements(before, after);
            return Ok(());
        };
        self.floats = true;
        for (&a, &b) in a.iter().zip(&b) {
            let difference = if a == b || a.is_nan() && b.is_nan() { 0.0 } else { (a - b).abs() };
            let difference = if difference.is_nan() { f64::INFINITY } else { difference };
            self.difference = self.difference.max(difference);
            self.largest = if a.is_finite() { self.largest.max(a.abs()) } else { self.largest };
            if a.is_finite() && b.is_finite() {
                self.product += a * b;
                self.squares[0] += a * a;
                self.squares[1] += b * b;
            }
        }
        if let Some(classes) = classes(before) {
            let rows = a.chunks_exact(classes).zip(b.chunks_exact(classes));
            self.compared += before.len() / classes;
            self.same += rows.filter(|(a, b)| largest(a) == largest(b)).count();
        }
        Ok(())
    }

    fn agreement(&self, name: &str) -> Agreement {
        let size = (self.squares[0] * self.squares[1]).sqrt();
        let cosine =
            if size > 0.0 { self.product / size } else { f64::from(self.squares[0] == self.squares[1]) };
        let relative = if self.largest > 0.0 { self.difference / self.largest } else { self.difference };
        Agreement {
            output: name.to_owned(),
            max_absolute: self.difference,
            max_relative: relative,
            cosine: if self.floats { cosine.clamp(-1.0, 1.0) } else { 1.0 },
            top_1: (self.compared > 0).then(|| self.same as f64 / self.compared as f64),
        }
    }
}

/// The number of classes, when the tensor looks like scores.
fn classes(tensor: &Tensor) -> Option<usize> {
    match *tensor.shape() {
        [_, classes] if classes > 1 => Some(classes),
        _ => None,
    }
}

/// The place of the largest element.
fn largest(row: &[f64]) -> Option<usize> {
    row.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1).then(b.0.cmp(&a.0))).map(|(place, _)| place)
}

fn same_elements(before: &Tensor, after: &Tensor) -> usize {
    match (before.byte_strings(), after.byte_strings()) {
        (Ok(a), Ok(b)) => a.zip(b).filter(|(a, b)| a == b).count(),
        _ => {
            let size = before.dtype().size().unwrap_or(1);
            let elements = |tensor: &Tensor| tensor.to_bytes();
            let (a, b) = (elements(before), elements(after));
            a.chunks_exact(size).zip(b.chunks_exact(size)).filter(|(a, b)| a == b).count()
        }
    }
}

fn floats(tensor: &Tensor) -> Option<Vec<f64>> {
    Some(match tensor.dtype() {
        DType::Fp16 => tensor.as_slice::<f16>().ok()?.iter().map(|value| value.to_f64()).collect(),
        DType::Bf16 => tensor.as_slice::<bf16>().ok()?.iter().map(|value| value.to_f64()).collect(),
        DType::Fp32 => tensor.as_slice::<f32>().ok()?.iter().map(|&value| value.into()).collect(),
        DType::Fp64 => tensor.as_slice::<f64>().ok()?.to_vec(),
        _ => return None,
    })
}

/// The share of rows whose largest score is at the place of the label.
fn accuracy(answers: &[Tensors], labels: &[Vec<usize>]) -> Result<f64> {
    let (mut right, mut count) = (0, 0);
    for (outputs, labels) in answers.iter().zip(labels) {
        let scores = outputs.iter().find_map(|(_, tensor)| Some((floats(tensor)?, classes(tensor)?)));
        let (scores, classes) = scores.ok_or_else(|| {
            Error::invalid_input(
                "labels need an output of floats of shape [rows, classes], and there is none",
            )
        })?;
        let rows = scores.chunks_exact(classes);
        if rows.len() != labels.len() {
            let (rows, labels) = (rows.len(), labels.len());
            return Err(Error::invalid_input(format!("a sample of {rows} rows has {labels} labels")));
        }
        count += labels.len();
        right += rows.zip(labels).filter(|(row, label)| largest(row) == Some(**label)).count();
    }
    if count == 0 {
        return Err(Error::invalid_input("the samples have no rows"));
    }
    Ok(right as f64 / count as f64)
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ratio = |before: f64, after: f64| if after > 0.0 { before / after } else { f64::INFINITY };
        let (before, after) = (self.bytes_before, self.bytes_after);
        writeln!(f, "{:12} {:>12} {:>12} {:>8}", "", "before", "after", "ratio")?;
        writeln!(f, "{:12} {before:12} {after:12} {:8.2}", "bytes", ratio(before as f64, after as f64))?;
        let [before, after] = [self.latency_before, self.latency_after].map(|time| 1e3 * time.as_secs_f64());
        write!(f, "{:12} {before:12.4} {after:12.4} {:8.2}", "latency, ms", ratio(before, after))?;
        if let Some((before, after)) = self.accuracy {
            write!(f, "\n{:12} {before:12.4} {after:12.4}", "accuracy")?;
        }
        for agreement in &self.outputs {
            let Agreement { output, max_absolute, max_relative, cosine, top_1 } = agreement;
            write!(
                f,
                "\n{output}: differs by {max_absolute:.2e} at most, relative {max_relative:.2e}, cosine {cosine:.6}"
            )?;
            if let Some(top_1) = top_1 {
                write!(f, ", same top {:.2} %", 100.0 * top_1)?;
            }
        }
        Ok(())
    }
}
