//! A model whose FP32 constants can be cut.

use std::collections::{BTreeMap, HashMap, HashSet};

use bytes::Bytes;
use mlops_core::Result;

use crate::engine::onnx::compress::artifact::{Artifact, Use, int};
use crate::engine::onnx::compress::changes::Change;
use crate::engine::onnx::compress::storage::Stored;

/// The name of the attribute that says into how many groups a convolution divides its channels.
pub(super) const GROUP: &str = "group";

/// A constant.
#[derive(Debug, Clone)]
pub(super) struct Constant {
    pub(super) shape: Vec<usize>,
    pub(super) elements: Vec<f32>,
}

/// A constant that loses entries when a layer loses channels.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Cut {
    /// Who reads it: the number of the node and of its input.
    pub(super) reader: (usize, usize),
    pub(super) axis: usize,
    /// How many neighbouring entries on the axis belong to each channel.
    pub(super) entries: usize,
}

/// A model under pruning.
#[derive(Debug)]
pub(super) struct Network {
    artifact: Artifact,
    constants: HashMap<String, Constant>,
    uses: HashMap<String, Vec<Use>>,
    /// Constants that were cut, with the one each was made from.
    cut: BTreeMap<String, String>,
}

impl Constant {
    /// Where the entries of a channel lie: calls `visit` with the channel and the elements of each run of them.
    pub(super) fn for_each_run(&self, axis: usize, entries: usize, mut visit: impl FnMut(usize, &[f32])) {
        let inner: usize = self.shape[axis + 1..].iter().product();
        let channels = self.shape[axis] / entries;
        for (run, channel) in self.elements.chunks_exact((inner * entries).max(1)).zip((0..channels).cycle())
        {
            visit(channel, run);
        }
    }

    /// Keeps only the entries of some channels, given in ascending order.
    fn keep(&mut self, axis: usize, entries: usize, kept: &[usize]) {
        let mut stays = vec![false; self.shape[axis] / entries];
        kept.iter().for_each(|&channel| stays[channel] = true);
        let mut elements = Vec::with_capacity(self.elements.len() / stays.len().max(1) * kept.len());
        self.for_each_run(axis, entries, |channel, run| {
            if stays[channel] {
                elements.extend_from_slice(run);
            }
        });
        self.elements = elements;
        self.shape[axis] = kept.len() * entries;
    }

    /// The sum of the squares of each channel's elements.
    pub(super) fn squares(&self, axis: usize, entries: usize) -> Vec<f64> {
        let mut squares = vec![0.0; self.shape[axis] / entries];
        self.for_each_run(axis, entries, |channel, run| {
            squares[channel] += run.iter().map(|&element| f64::from(element).powi(2)).sum::<f64>();
        });
        squares
    }
}

impl Network {
    pub(super) fn open(model: &[u8]) -> Result<Self> {
        let artifact = Artifact::open(model)?;
        let mut constants = HashMap::new();
        for name in artifact.constants() {
            if let (Some(shape), Some(elements)) = (artifact.shape_of_floats(&name), artifact.floats(&name)) {
                constants.insert(name, Constant { shape, elements });
            }
        }
        let uses = artifact.uses();
        Ok(Self { artifact, constants, uses, cut: BTreeMap::new() })
    }

    pub(super) fn artifact(&self) -> &Artifact {
        &self.artifact
    }

    /// Who reads a value.
    pub(super) fn uses(&self, value: &str) -> &[Use] {
        self.uses.get(value).map_or(&[], Vec::as_slice)
    }

    /// A constant of type FP32.
    pub(super) fn constant(&self, name: &str) -> Option<&Constant> {
        self.constants.get(name)
    }

    /// The name of the input of a node, when it is there.
    pub(super) fn input(&self, (node, input): (usize, usize)) -> Option<&str> {
        let name = self.artifact.nodes().get(node)?.input.get(input)?;
        Some(name.as_str()).filter(|name| !name.is_empty())
    }

    /// Cuts a constant for one of its readers. Other readers keep the whole.
    pub(super) fn cut(&mut self, cut: &Cut, kept: &[usize]) {
        let Some(name) = self.input(cut.reader).map(str::to_owned) else { return };
        let Some(constant) = self.constants.get_mut(&name) else { return };
        if self.uses.get(&name).is_some_and(|uses| uses.len() == 1) {
            constant.keep(cut.axis, cut.entries, kept);
            self.cut.entry(name.clone()).or_insert(name);
            return;
        }
        let mut constant = constant.clone();
        constant.keep(cut.axis, cut.entries, kept);
        let copy = self.artifact.fresh_name(&format!("{name}_pruned"));
        let reading = Use::Input(cut.reader.0, cut.reader.1);
        if let Some(uses) = self.uses.get_mut(&name) {
            uses.retain(|other| *other != reading);
        }
        self.uses.insert(copy.clone(), vec![reading]);
        self.artifact.node_mut(cut.reader.0).input[cut.reader.1].clone_from(&copy);
        let origin = self.cut.get(&name).cloned().unwrap_or(name);
        self.cut.insert(copy.clone(), origin);
        self.constants.insert(copy, constant);
    }

    /// Tells a depthwise convolution how many channels it has left.
    pub(super) fn set_group(&mut self, node: usize, channels: usize) {
        let attributes = &mut self.artifact.node_mut(node).attribute;
        let group = attributes.iter_mut().find(|attribute| attribute.name.as_deref() == Some(GROUP));
        if let Some(group) = group {
            group.i = Some(channels as i64);
        }
    }

    /// Into how many groups a convolution divides its channels.
    pub(super) fn group(&self, node: usize) -> usize {
        usize::try_from(int(&self.artifact.nodes()[node], GROUP, 1)).unwrap_or(0)
    }

    /// Sets the elements of some channels to zero.
    #[cfg(test)]
    pub(super) fn silence(&mut self, cut: &Cut, channels: &[usize]) {
        let name = self.input(cut.reader).unwrap().to_owned();
        let constant = self.constants.get_mut(&name).unwrap();
        let mut elements = Vec::new();
        constant.for_each_run(cut.axis, cut.entries, |channel, run| {
            let factor = if channels.contains(&channel) { 0.0 } else { 1.0 };
            elements.extend(run.iter().map(|element| factor * element));
        });
        constant.elements = elements;
        self.cut.insert(name.clone(), name);
    }

    /// The bytes of the pruned model, which says nothing about the shapes of those values any more, and what changed.
    pub(super) fn finish(mut self, values: &HashSet<String>) -> (Bytes, Vec<Change>) {
        self.artifact.forget_shapes(values);
        let (mut changes, mut all) = (Vec::new(), Vec::new());
        for (name, origin) in self.cut {
            let Some(constant) = self.constants.get(&name) else { continue };
            let stored = if self.artifact.is_sparse(&origin) {
                Stored::smallest(&name, &constant.shape, &constant.elements)
            } else {
                Stored::dense(&name, &constant.shape, &constant.elements)
            };
            let before = self.artifact.shape_of_floats(&origin).unwrap_or_default();
            changes.push(Change {
                tensor: name,
                what: format!("{before:?} to {:?}", constant.shape),
                bytes_before: self.artifact.size_of(&origin),
                bytes_after: stored.size(),
            });
            all.push(stored);
        }
        all.into_iter().for_each(|stored| self.artifact.store(stored));
        (self.artifact.finish(), changes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_of_other_channels_stay_in_order() {
        let whole = Constant { shape: vec![2, 4, 2], elements: (0..16).map(|i| i as f32).collect() };
        let mut cut = whole.clone();
        cut.keep(1, 1, &[1, 3]);
        assert_eq!(cut.shape, [2, 2, 2]);
        assert_eq!(cut.elements, [2.0, 3.0, 6.0, 7.0, 10.0, 11.0, 14.0, 15.0]);
        let mut cut = whole.clone();
        cut.keep(1, 2, &[1]);
        assert_eq!(cut.shape, [2, 2, 2]);
        assert_eq!(cut.elements, [4.0, 5.0, 6.0, 7.0, 12.0, 13.0, 14.0, 15.0]);
        let mut cut = whole.clone();
        cut.keep(0, 1, &[1]);
        assert_eq!(cut.elements, [8.0, 9.0, 10.0, 11.0, 12.0, 13.0, 14.0, 15.0]);
        assert_eq!(whole.squares(2, 2), [(0..16).map(|i| f64::from(i * i)).sum::<f64>()]);
    }
}
