//! Asking the model, until every row is answered or known to be bad.

use std::panic::AssertUnwindSafe;
use std::time::Duration;

use futures_util::FutureExt;
use mlops_core::{DType, Error, Instant, Model, Request, Result, Tensor, Tensors};

use super::encode::{Fault, Group};
use super::thread::sleep;

/// The outputs of one call.
#[derive(Debug)]
pub(super) struct Answer {
    /// The rows, by their index among the records.
    pub(super) rows: Vec<usize>,
    pub(super) outputs: Tensors,
}

/// How the model is asked.
#[derive(Debug, Clone, Copy)]
pub(super) struct Asking {
    pub(super) priority: i32,
    /// So long a call is repeated that fails for lack of room or time.
    pub(super) patience: Duration,
}

/// Scores groups of rows. A group that fails by the fault of a row is halved until the bad rows are alone.
///
/// # Errors
/// What is nobody's fault in the rows: it will fail the next ones as well.
pub(super) async fn score(
    model: &dyn Model,
    asking: Asking,
    mut groups: Vec<Group>,
) -> Result<(Vec<Answer>, Vec<Fault>)> {
    let (mut answers, mut faults) = (Vec::new(), Vec::new());
    while let Some(Group { rows, inputs }) = groups.pop() {
        match patiently(model, asking, &inputs).await {
            Ok(outputs) => {
                check(model, &outputs, rows.len())?;
                answers.push(Answer { rows, outputs });
            }
            Err(error) if !is_of_a_row(&error) => return Err(error),
            Err(error) => match rows[..] {
                [] => return Err(error),
                [row] => faults.push(Fault { row, reason: error.to_string() }),
                [..] => {
                    let (first, second) = rows.split_at(rows.len() / 2);
                    groups.push(Group {
                        inputs: slice(&inputs, first.len(), rows.len())?,
                        rows: second.to_vec(),
                    });
                    groups.push(Group { inputs: slice(&inputs, 0, first.len())?, rows: first.to_vec() });
                }
            },
        }
    }
    Ok((answers, faults))
}

/// Whether another row may well be answered.
fn is_of_a_row(error: &Error) -> bool {
    matches!(error, Error::InvalidInput(_) | Error::Unsupported { .. } | Error::Engine { .. })
}

/// Asks again, ever less often, while the model says that it has no room or no time.
async fn patiently(model: &dyn Model, asking: Asking, inputs: &Tensors) -> Result<Tensors> {
    const FIRST: Duration = Duration::from_millis(10);
    const LONGEST: Duration = Duration::from_secs(1);
    let began = Instant::now();
    let mut pause = FIRST;
    loop {
        let request = Request::new(inputs.clone()).with_priority(asking.priority);
        let answer = AssertUnwindSafe(async { model.predict(request).await }).catch_unwind().await;
        let error = match answer.unwrap_or_else(|payload| Err(Error::panicked(&*payload))) {
            Ok(response) => return Ok(response.outputs),
            Err(error) => error,
        };
        let passes = error.is_retryable() || matches!(error, Error::DeadlineExceeded { .. });
        if !passes || began.elapsed() + pause > asking.patience {
            return Err(error);
        }
        sleep(pause).await?;
        pause = (2 * pause).min(LONGEST);
    }
}

/// Outputs that are no outputs of these rows would be written beside the wrong ones.
fn check(model: &dyn Model, outputs: &Tensors, rows: usize) -> Result<()> {
    let broken = |why: String| Error::internal(format!("the model broke its signature: {why}"));
    model.signature().check_outputs(outputs).map_err(|violations| broken(violations.to_string()))?;
    match outputs.iter().find(|(_, tensor)| tensor.shape().first() != Some(&rows)) {
        None => Ok(()),
        Some((name, tensor)) => {
            Err(broken(format!("output `{name}` has shape {:?} for {rows} rows", tensor.shape())))
        }
    }
}

/// The rows from `from` up to, without, `to`.
fn slice(inputs: &Tensors, from: usize, to: usize) -> Result<Tensors> {
    let slice = |(name, tensor): (&str, &Tensor)| {
        let [rows, lengths @ ..] = tensor.shape() else {
            return Err(Error::internal(format!("input `{name}` has no rows")));
        };
        let shape: Vec<_> = std::iter::once(to - from).chain(lengths.iter().copied()).collect();
        let width: usize = lengths.iter().product();
        let tensor = if tensor.dtype() == DType::Bytes {
            let strings = tensor.byte_strings()?.skip(from * width).take((to - from) * width);
            Tensor::from_byte_strings(&shape, strings)?
        } else {
            let bytes = tensor.as_bytes().len() / rows;
            Tensor::from_bytes(tensor.dtype(), &shape, tensor.to_bytes().slice(from * bytes..to * bytes))?
        };
        Ok((name.to_owned(), tensor))
    };
    inputs.iter().map(slice).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_cut_out_of_every_type() {
        let inputs = Tensors::new()
            .with("a", Tensor::from_vec(&[3, 2], vec![0_i64, 1, 2, 3, 4, 5]).unwrap())
            .with("b", Tensor::from_byte_strings(&[3, 1], ["x", "", "yy"]).unwrap());
        let cut = slice(&inputs, 1, 3).unwrap();
        assert_eq!(cut.get("a"), Some(&Tensor::from_vec(&[2, 2], vec![2_i64, 3, 4, 5]).unwrap()));
        assert_eq!(cut.get("b"), Some(&Tensor::from_byte_strings(&[2, 1], ["", "yy"]).unwrap()));
    }
}
