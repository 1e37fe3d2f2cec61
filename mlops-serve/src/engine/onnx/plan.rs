//! A graph as a flat list of steps over slots.

mod determined;
mod schedule;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use mlops_core::{Error, Result};
use smallvec::SmallVec;

use super::graph::{Graph, Node, ValueId};
use super::limits;
use super::memory::Memory;
use super::ops::{self, Context, Operator, Source};
use super::value::{Inputs, Value};
use crate::kernels::parallel::Threads;
use schedule::Schedule;

/// A graph, ready to run.
#[derive(Debug)]
pub(crate) struct Plan {
    steps: Vec<Step>,
    constants: Vec<Value>,
    slots: usize,
    inputs: Vec<usize>,
    outputs: Vec<Place>,
    /// All steps, in order.
    whole: Schedule,
    /// Per step: whether its outputs follow from the shapes of the inputs alone.
    determined: Vec<bool>,
    specialised: Mutex<Vec<(Shapes, Arc<Specialised>)>>,
}

#[derive(Debug)]
struct Step {
    operator: Box<dyn Operator>,
    label: Arc<str>,
    inputs: SmallVec<[Option<Place>; 4]>,
    outputs: SmallVec<[Option<usize>; 1]>,
}

/// Where a step finds a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Slot(usize),
    Constant(usize),
}

/// The shapes of all inputs, each preceded by its rank.
type Shapes = SmallVec<[usize; 16]>;

/// A plan for inputs of certain shapes: what follows from the shapes is known, and its steps are left out.
#[derive(Debug)]
struct Specialised {
    known: Vec<(usize, Value)>,
    schedule: Schedule,
}

/// For how many combinations of input shapes a plan is kept.
const SPECIALISATIONS: usize = 32;

/// The most elements of a value that is kept with a specialised plan.
const KNOWN_ELEMENTS: usize = 1 << 16;

/// Makes the operator of a node.
pub(crate) type BuildOperator<'a> = dyn FnMut(&Source<'_>) -> Result<Box<dyn Operator>> + 'a;

/// How long each step took.
pub(crate) type Timeline = Vec<(Arc<str>, Duration)>;

/// What one call works with; used again by later calls.
#[derive(Debug, Default)]
pub(crate) struct Workspace {
    slots: Vec<Option<Value>>,
    pub(crate) memory: Memory,
}

impl Plan {
    /// Builds every operator of a graph.
    ///
    /// # Errors
    /// One that names every node whose operator is missing; or the first node that is malformed.
    pub(crate) fn new(graph: &Graph, build: &mut BuildOperator<'_>) -> Result<Self> {
        let missing = ops::missing(graph);
        if !missing.is_empty() {
            return Err(Error::unsupported(missing.join("; ")));
        }
        let mut numbering = Numbering::default();
        let inputs = graph.inputs.iter().chain(graph.captures.iter().map(|(_, inner)| inner));
        let inputs: Vec<usize> = inputs.map(|&input| numbering.slot(input)).collect();
        let mut steps = Vec::with_capacity(graph.nodes.len());
        for node in &graph.nodes {
            let operator = build(&Source { node, graph })?;
            let given = reads(node).enumerate();
            let given = given.map(|(index, value)| value.filter(|_| !operator.has_taken(index)));
            steps.push(Step {
                label: node.label().into(),
                inputs: given.map(|value| value.map(|value| numbering.place(graph, value))).collect(),
                outputs: node.outputs.iter().map(|value| value.map(|value| numbering.slot(value))).collect(),
                operator,
            });
        }
        let outputs: Vec<Place> = graph.outputs.iter().map(|&value| numbering.place(graph, value)).collect();
        let whole = Schedule::new(&steps, &outputs, 0..steps.len());
        Ok(Self {
            determined: determined::by_shapes(graph),
            specialised: Mutex::default(),
            constants: numbering.constants,
            slots: numbering.slots,
            steps,
            inputs,
            outputs,
            whole,
        })
    }

    /// The number of steps.
    pub(crate) fn len(&self) -> usize {
        self.steps.len()
    }

    /// Computes the outputs. Inputs are in the order of the graph; a subgraph's are followed by what it captures.
    pub(crate) fn run(
        &self,
        inputs: impl ExactSizeIterator<Item = Value>,
        workspace: &mut Workspace,
        threads: &Threads,
        timeline: Option<&mut Timeline>,
    ) -> Result<Vec<Value>> {
        if inputs.len() != self.inputs.len() {
            let (given, needed) = (inputs.len(), self.inputs.len());
            return Err(Error::engine(format!("the graph has {needed} inputs, but {given} were given")));
        }
        workspace.slots.clear();
        workspace.slots.resize_with(self.slots, || None);
        let mut shapes = Shapes::new();
        let specialises = self.determined.contains(&true);
        for (&slot, value) in self.inputs.iter().zip(inputs) {
            if specialises && let Value::Tensor(tensor) = &value {
                shapes.push(tensor.rank());
                shapes.extend_from_slice(tensor.shape());
            }
            workspace.slots[slot] = Some(value);
        }
        let known = if specialises { self.specialised_for(&shapes) } else { None };
        let result = match known {
            Some(specialised) => {
                for (slot, value) in &specialised.known {
                    workspace.slots[*slot] = Some(value.clone());
                }
                self.run_schedule(&specialised.schedule, workspace, threads, timeline, None)
            }
            None if specialises => {
                let mut recorded = Vec::new();
                let result =
                    self.run_schedule(&self.whole, workspace, threads, timeline, Some(&mut recorded));
                if result.is_ok() {
                    self.specialise(shapes, recorded);
                }
                result
            }
            None => self.run_schedule(&self.whole, workspace, threads, timeline, None),
        };
        for value in workspace.slots.drain(..).flatten() {
            workspace.memory.recycle(value);
        }
        result
    }

    fn run_schedule(
        &self,
        schedule: &Schedule,
        workspace: &mut Workspace,
        threads: &Threads,
        mut timeline: Option<&mut Timeline>,
        mut recorded: Option<&mut Vec<(usize, Value)>>,
    ) -> Result<Vec<Value>> {
        for entry in schedule.entries() {
            limits::check_time()?;
            let step = &self.steps[entry.step];
            let started = timeline.is_some().then(Instant::now);
            let mut values: SmallVec<[Option<Value>; 4]> = SmallVec::new();
            for (index, place) in step.inputs.iter().enumerate() {
                values.push(match place {
                    None => None,
                    Some(Place::Constant(index)) => Some(self.constants[*index].clone()),
                    Some(Place::Slot(slot)) if entry.is_last_use(index) => workspace.slots[*slot].take(),
                    Some(Place::Slot(slot)) => workspace.slots[*slot].clone(),
                });
            }
            let mut context = Context { threads, memory: &mut workspace.memory };
            let outputs = step
                .operator
                .run(&mut Inputs::new(&mut values), &mut context)
                .map_err(|cause| at_step(&step.label, cause))?;
            for value in values.into_iter().flatten() {
                workspace.memory.recycle(value);
            }
            for (slot, value) in step.outputs.iter().zip(outputs) {
                let Some(slot) = slot else { continue };
                if let Some(recorded) = recorded.as_deref_mut()
                    && self.determined[entry.step]
                {
                    recorded.push((*slot, value.clone()));
                }
                workspace.slots[*slot] = Some(value);
            }
            if let (Some(timeline), Some(started)) = (timeline.as_deref_mut(), started) {
                timeline.push((Arc::clone(&step.label), started.elapsed()));
            }
        }
        let mut outputs = Vec::with_capacity(self.outputs.len());
        for (index, place) in self.outputs.iter().enumerate() {
            let again = self.outputs[index + 1..].contains(place);
            let value = match place {
                Place::Constant(index) => Some(self.constants[*index].clone()),
                Place::Slot(slot) if again => workspace.slots[*slot].clone(),
                Place::Slot(slot) => workspace.slots[*slot].take(),
            };
            outputs.push(
                value
                    .ok_or_else(|| Error::engine(format!("output {index} of the graph was not computed")))?,
            );
        }
        Ok(outputs)
    }

    fn specialised_for(&self, shapes: &Shapes) -> Option<Arc<Specialised>> {
        let specialised = self.specialised.lock().unwrap_or_else(PoisonError::into_inner);
        specialised.iter().find(|(key, _)| key == shapes).map(|(_, plan)| Arc::clone(plan))
    }

    fn specialise(&self, shapes: Shapes, recorded: Vec<(usize, Value)>) {
        let small = |value: &Value| matches!(value, Value::Tensor(tensor) if tensor.len() <= KNOWN_ELEMENTS);
        let known: HashMap<usize, Value> = recorded.into_iter().filter(|(_, value)| small(value)).collect();
        let skipped = |index: usize| {
            self.determined[index]
                && self.steps[index].outputs.iter().flatten().all(|slot| known.contains_key(slot))
        };
        let remaining: Vec<usize> = (0..self.steps.len()).filter(|&index| !skipped(index)).collect();
        let read = |slot: usize| {
            let steps = remaining.iter().flat_map(|&index| self.steps[index].inputs.iter().flatten());
            steps.chain(&self.outputs).any(|place| *place == Place::Slot(slot))
        };
        let made_again =
            |slot: usize| remaining.iter().any(|&index| self.steps[index].outputs.contains(&Some(slot)));
        let known = known.into_iter().filter(|(slot, _)| read(*slot) && !made_again(*slot)).collect();
        let schedule = Schedule::new(&self.steps, &self.outputs, remaining.iter().copied());
        let mut specialised = self.specialised.lock().unwrap_or_else(PoisonError::into_inner);
        if specialised.len() >= SPECIALISATIONS {
            specialised.remove(0);
        }
        specialised.push((shapes, Arc::new(Specialised { known, schedule })));
    }
}

fn at_step(label: &str, cause: Error) -> Error {
    match cause {
        Error::Engine { .. } | Error::InvalidInput { .. } => Error::engine(format!("{label}: {cause}")),
        other => other,
    }
}

/// What a node reads, left-out inputs included.
fn reads(node: &Node) -> impl Iterator<Item = Option<ValueId>> + '_ {
    node.inputs.iter().copied().chain(node.captured.iter().copied().map(Some))
}

/// Values of a graph as slots and constants of a plan.
#[derive(Default)]
struct Numbering {
    places: HashMap<ValueId, Place>,
    slots: usize,
    constants: Vec<Value>,
}

impl Numbering {
    fn slot(&mut self, value: ValueId) -> usize {
        match self.places.get(&value) {
            Some(Place::Slot(slot)) => *slot,
            _ => {
                self.places.insert(value, Place::Slot(self.slots));
                self.slots += 1;
                self.slots - 1
            }
        }
    }

    fn place(&mut self, graph: &Graph, value: ValueId) -> Place {
        if let Some(place) = self.places.get(&value) {
            return *place;
        }
        match graph.constants.get(&value) {
            Some(tensor) => {
                self.constants.push(Value::Tensor(tensor.clone()));
                let place = Place::Constant(self.constants.len() - 1);
                self.places.insert(value, place);
                place
            }
            None => Place::Slot(self.slot(value)),
        }
    }
}
