//! A graph again and again.

use mlops_core::{Error, Result};

use super::accumulator::Accumulator;
use super::body::Body;
use super::branch::condition;
use crate::engine::onnx::graph::Kind;
use crate::engine::onnx::ops::{Context, Operator, Outputs, Source};
use crate::engine::onnx::tensor::{HostTensor, Shape};
use crate::engine::onnx::value::{Inputs, Value};

/// `Loop`: as long as the condition holds, and no more often than told.
///
/// The graph gets the number of the iteration, the condition, and the state; it gives the next condition, the next
/// state, and outputs that are gathered over the iterations.
#[derive(Debug)]
struct Loop {
    body: Body,
    /// How many values make up the state.
    states: usize,
    /// The shapes of the iteration's number and of the condition: no dimensions, or one of length 1.
    shapes: [Shape; 2],
}

pub(super) fn repeat(source: &Source<'_>) -> Result<Box<dyn Operator>> {
    let body = Body::new(source, "body")?;
    let states = source.node.inputs.len().saturating_sub(2);
    body.requires(2 + states, 1 + source.node.outputs.len().max(states))?;
    let shapes = [0, 1].map(|index| match &body.inputs()[index] {
        Some(Kind::Tensor { shape: Some(shape), .. }) if shape.len() == 1 => Shape::from_slice(&[1]),
        _ => Shape::new(),
    });
    Ok(Box::new(Loop { body, states, shapes }))
}

impl Operator for Loop {
    fn run(&self, inputs: &mut Inputs<'_>, context: &mut Context<'_>) -> Result<Outputs> {
        let most = match inputs.optional_i64s(0)?.as_deref() {
            None => i64::MAX,
            Some(&[most]) => most,
            Some(several) => {
                return Err(Error::engine(format!("the trip count is one number, not {}", several.len())));
            }
        };
        let mut holds = condition(inputs, 1)?.unwrap_or(true);
        let mut states: Vec<Value> =
            (0..self.states).map(|index| inputs.take_value(2 + index)).collect::<Result<_>>()?;
        let captured = self.body.captured(inputs)?;
        let gathered = self.body.outputs().get(1 + self.states..).unwrap_or(&[]);
        let mut accumulators: Vec<Accumulator> = gathered.iter().map(|_| Accumulator::default()).collect();
        let mut iteration = 0;
        let [number, condition] = &self.shapes;
        while holds && iteration < most {
            let number = HostTensor::new(number.clone(), vec![iteration])?;
            let condition = HostTensor::new(condition.clone(), vec![holds])?;
            let own = [number, condition].into_iter().map(Value::Tensor).chain(states.drain(..));
            let outputs = self.body.run(own, &captured, context)?;
            let mut outputs = outputs.into_iter();
            let next = outputs.next().ok_or_else(|| Error::engine("the graph inside gives no condition"))?;
            holds = next.into_tensor()?.to_scalar::<bool>()?;
            states.extend(outputs.by_ref().take(self.states));
            for (accumulator, value) in accumulators.iter_mut().zip(outputs) {
                accumulator.push(value.into_tensor()?, context.memory)?;
            }
            iteration += 1;
        }
        let mut outputs: Outputs = states.into_iter().collect();
        for (accumulator, declared) in accumulators.into_iter().zip(gathered) {
            outputs.push(Value::Tensor(accumulator.finish(declared.as_ref())?));
        }
        Ok(outputs)
    }
}
