//! One call of a graph.

use std::panic::AssertUnwindSafe;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::stream::{FuturesUnordered, StreamExt};
use mlops_core::{Error, Request, Response, Result, Tensor, Tensors, Timings};

use super::plan::{Plan, PlannedNode};
use crate::layer::pipeline::place::within;

/// The state of one call.
pub(super) struct Run<'a> {
    plan: &'a Plan,
    /// Without its inputs; each node gets a copy with its own.
    request: Request,
    tensors: Vec<Slot>,
    nodes: Vec<Progress>,
    /// The timings along the slowest path so far.
    slowest: Timings,
}

/// A tensor and how many will still read it: the last gets it, so that it can compute in its memory.
struct Slot {
    tensor: Option<Tensor>,
    readers: usize,
}

/// How far a node is.
struct Progress {
    /// How many nodes it still waits for.
    predecessors: usize,
    /// The timings along the slowest path to it.
    before: Timings,
}

impl<'a> Run<'a> {
    /// `request` fits the signature of the graph.
    pub(super) fn new(plan: &'a Plan, mut request: Request) -> Self {
        let mut inputs = std::mem::take(&mut request.inputs);
        let mut tensors: Vec<Slot> =
            plan.readers.iter().map(|&readers| Slot { tensor: None, readers }).collect();
        for (name, slot) in &plan.inputs {
            tensors[*slot].tensor = inputs.remove(name);
        }
        let before = Timings::default();
        let nodes =
            plan.nodes.iter().map(|node| Progress { predecessors: node.predecessors, before }).collect();
        Self { plan, request, tensors, nodes, slowest: before }
    }

    /// Runs every node and collects the outputs.
    pub(super) async fn finish(mut self) -> Result<Response> {
        let plan = self.plan;
        let free = (0..plan.nodes.len()).filter(|node| plan.nodes[*node].predecessors == 0);
        let mut running: FuturesUnordered<_> =
            free.map(|node| call(plan, node, self.request_for(node))).collect();
        while let Some((node, result)) = running.next().await {
            let timings = self.keep(&plan.nodes[node], result)?;
            for follower in self.passed(node, timings) {
                running.push(call(plan, follower, self.request_for(follower)));
            }
        }
        let outputs = plan.outputs.iter().filter_map(|(name, slot)| Some((name.clone(), self.take(*slot)?)));
        let outputs: Tensors = outputs.collect();
        Ok(Response::new(outputs).with_id(self.request.id).with_timings(self.slowest))
    }

    fn request_for(&mut self, node: usize) -> Request {
        let plan = self.plan;
        let mut request = self.request.clone();
        let inputs = plan.nodes[node].inputs.iter();
        request.inputs = inputs.filter_map(|(name, slot)| Some((name.clone(), self.take(*slot)?))).collect();
        request
    }

    /// The tensor, for one reader.
    fn take(&mut self, slot: usize) -> Option<Tensor> {
        let slot = &mut self.tensors[slot];
        slot.readers = slot.readers.saturating_sub(1);
        if slot.readers == 0 { slot.tensor.take() } else { slot.tensor.clone() }
    }

    /// Keeps what a node gave, and says how long that took.
    fn keep(&mut self, node: &PlannedNode, result: Result<Response>) -> Result<Timings> {
        let mut response = match result {
            Ok(response) => response,
            Err(error) if node.may_fail && !error.is_caller_fault() => {
                tracing::warn!(node = &*node.name, %error, "a node of a graph failed; the graph goes on without it");
                return Ok(Timings::default());
            }
            Err(error) => return Err(within(error, node)),
        };
        for (name, slot, required) in &node.outputs {
            let tensor = response.outputs.remove(name);
            if *required && tensor.is_none() {
                return Err(Error::internal(format!("{node} did not give its output `{name}`")));
            }
            if self.tensors[*slot].readers > 0 {
                self.tensors[*slot].tensor = tensor;
            }
        }
        Ok(response.timings)
    }

    /// A node has finished. Which nodes can begin now?
    fn passed(&mut self, node: usize, timings: Timings) -> Vec<usize> {
        let before = self.nodes[node].before;
        let path = Timings {
            queue: before.queue.saturating_add(timings.queue),
            compute: before.compute.saturating_add(timings.compute),
        };
        self.slowest = slower(self.slowest, path);
        let mut free = Vec::new();
        for &follower in &self.plan.nodes[node].followers {
            let progress = &mut self.nodes[follower];
            progress.before = slower(progress.before, path);
            progress.predecessors -= 1;
            if progress.predecessors == 0 {
                free.push(follower);
            }
        }
        free
    }
}

/// Asks one node; a panic is an error of this call.
async fn call(plan: &Plan, node: usize, request: Request) -> (usize, Result<Response>) {
    let call = AssertUnwindSafe(async { plan.nodes[node].model.predict(request).await });
    (node, call.catch_unwind().await.unwrap_or_else(|payload| Err(Error::panicked(&*payload))))
}

fn slower(one: Timings, other: Timings) -> Timings {
    let total = |timings: Timings| -> Duration { timings.queue.saturating_add(timings.compute) };
    if total(other) > total(one) { other } else { one }
}
