//! When two requests are the same.

use mlops_core::{DType, Digest, Request, Tensor};
use sha2::{Digest as _, Sha256};

/// What stands for all requests that are the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Key {
    generation: u64,
    digest: [u8; 32],
}

/// Makes keys.
#[derive(Debug)]
pub(super) struct Keys {
    /// What all keys begin with.
    prefix: Sha256,
    ignores_context: bool,
}

impl Key {
    /// What is the same in all processes.
    pub(super) fn digest(&self) -> &[u8; 32] {
        &self.digest
    }
}

impl Keys {
    /// For the model of that digest, where answers leave the process.
    pub(super) fn new(model: Option<&Digest>, ignores_context: bool) -> Self {
        let mut prefix = Sha256::new_with_prefix(b"mlops request 1");
        text(&mut prefix, &model.map(Digest::to_string).unwrap_or_default());
        Self { prefix, ignores_context }
    }

    /// Every part is preceded by its length, or has a fixed one: different requests give different bytes.
    pub(super) fn of(&self, request: &Request, generation: u64) -> Key {
        let mut hash = self.prefix.clone();
        if !self.ignores_context {
            let context = &request.context;
            count(&mut hash, usize::from(context.key().is_some()));
            text(&mut hash, context.key().unwrap_or_default());
            sorted(&mut hash, context.attributes(), text);
        }
        sorted(&mut hash, request.inputs.iter(), tensor);
        Key { generation, digest: hash.finalize().into() }
    }
}

/// Names and values, in the order of the names, each of which comes once.
fn sorted<'a, T: 'a>(
    hash: &mut Sha256,
    entries: impl ExactSizeIterator<Item = (&'a str, T)>,
    mut value: impl FnMut(&mut Sha256, T),
) {
    count(hash, entries.len());
    let add = |(name, entry)| {
        text(hash, name);
        value(hash, entry);
    };
    if entries.len() < 2 {
        return entries.for_each(add);
    }
    let mut entries: Vec<_> = entries.collect();
    entries.sort_unstable_by_key(|(name, _)| *name);
    entries.into_iter().for_each(add);
}

fn tensor(hash: &mut Sha256, tensor: &Tensor) {
    text(hash, DType::name(tensor.dtype()));
    count(hash, tensor.shape().len());
    for length in tensor.shape() {
        count(hash, *length);
    }
    count(hash, tensor.as_bytes().len());
    hash.update(tensor.as_bytes());
}

fn text(hash: &mut Sha256, text: &str) {
    count(hash, text.len());
    hash.update(text.as_bytes());
}

fn count(hash: &mut Sha256, count: usize) {
    hash.update((count as u64).to_le_bytes());
}

#[cfg(test)]
mod tests {
    use mlops_core::{RoutingContext, Tensors};
    use proptest::prelude::*;

    use super::*;

    fn key(inputs: &Tensors, context: &RoutingContext) -> Key {
        Keys::new(None, false).of(&Request::new(inputs.clone()).with_context(context.clone()), 0)
    }

    /// The parts of a request that can be confused most easily: short texts that run into each other.
    fn tensors() -> impl Strategy<Value = Tensors> {
        let tensor = prop_oneof![
            prop::collection::vec(0..2_u8, 0..3).prop_map(Tensor::from),
            prop::collection::vec(0..2_u8, 0..3)
                .prop_map(|row| Tensor::from_vec(&[1, row.len()], row).unwrap()),
            prop::collection::vec((0..2_u8).prop_map(|bit| bit as i8), 0..3).prop_map(Tensor::from),
            prop::collection::vec("[ab]{0,2}", 0..3).prop_map(|texts| Tensor::from_byte_strings(
                &[texts.len()],
                texts
            )
            .unwrap()),
        ];
        prop::collection::vec(("[ab]{0,2}", tensor), 0..3).prop_map(|entries| entries.into_iter().collect())
    }

    fn contexts() -> impl Strategy<Value = RoutingContext> {
        let attributes = prop::collection::vec(("[ab]{0,2}", "[ab]{0,2}"), 0..3);
        (prop::option::of("[ab]{0,2}"), attributes).prop_map(|(key, attributes)| {
            let context = key.map_or_else(RoutingContext::new, |key| RoutingContext::new().with_key(key));
            attributes.into_iter().fold(context, |context, (name, value)| context.with_attribute(name, value))
        })
    }

    fn same<'a, V: PartialEq + 'a>(
        one: impl ExactSizeIterator<Item = (&'a str, V)>,
        other: impl ExactSizeIterator<Item = (&'a str, V)>,
    ) -> bool {
        let (one, other): (Vec<_>, Vec<_>) = (one.collect(), other.collect());
        one.len() == other.len() && one.iter().all(|entry| other.contains(entry))
    }

    proptest! {
        #[test]
        fn keys_are_equal_exactly_when_requests_are(
            one in tensors(), other in tensors(), a in contexts(), b in contexts(),
        ) {
            let equal = same(one.iter(), other.iter())
                && a.key() == b.key()
                && same(a.attributes(), b.attributes());
            prop_assert_eq!(key(&one, &a) == key(&other, &b), equal);
        }

        #[test]
        fn the_order_of_names_does_not_matter(inputs in tensors(), context in contexts()) {
            let entries: Vec<_> = inputs.clone().into_iter().collect();
            let reversed: Tensors = entries.into_iter().rev().collect();
            prop_assert_eq!(key(&inputs, &context), key(&reversed, &context));
        }
    }

    #[test]
    fn model_generation_and_context_count_where_they_should() {
        let request = Request::new(Tensors::new().with("x", vec![1.0_f32]));
        let known = request.clone().with_context(RoutingContext::new().with_key("ann"));
        let (of_one, of_other) = (Digest::of(b"one"), Digest::of(b"other"));
        let key = |model, ignores, request, generation| Keys::new(model, ignores).of(request, generation);
        let base = key(Some(&of_one), true, &request, 0);
        assert_eq!(base, key(Some(&of_one), true, &known, 0));
        assert_ne!(base, key(Some(&of_other), true, &request, 0));
        assert_ne!(base, key(None, true, &request, 0));
        assert_ne!(base, key(Some(&of_one), true, &request, 1));
        assert_eq!(base.digest(), key(Some(&of_one), true, &request, 1).digest());
    }
}
