//! What a new signature means for the callers of the old one.

use std::fmt;

use super::{Dimension, Direction, Signature, TensorSpec};

/// What it means for callers when one signature replaces another.
///
/// The rule is that of subtyping: a model may *accept more* and *promise more* than before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// The same inputs and outputs, in whatever order.
    Identical,
    /// Every call that was right stays right, and its answer still fits.
    Compatible(Vec<Difference>),
    /// Some caller breaks. Holds all differences, compatible ones too.
    Breaking(Vec<Difference>),
}

/// One tensor that differs between two signatures.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// Which side of the model.
    pub direction: Direction,
    /// What the tensor was; `None` when it is new.
    pub before: Option<TensorSpec>,
    /// What the tensor becomes; `None` when it goes.
    pub after: Option<TensorSpec>,
    /// Whether some caller breaks.
    pub breaking: bool,
}

impl Change {
    /// Whether some caller breaks.
    #[must_use]
    pub fn is_breaking(&self) -> bool {
        matches!(self, Self::Breaking(_))
    }

    /// What differs.
    #[must_use]
    pub fn differences(&self) -> &[Difference] {
        match self {
            Self::Identical => &[],
            Self::Compatible(differences) | Self::Breaking(differences) => differences,
        }
    }
}

pub(super) fn between(before: &Signature, after: &Signature) -> Change {
    let mut differences = compare(Direction::Input, before.inputs(), after.inputs());
    differences.extend(compare(Direction::Output, before.outputs(), after.outputs()));
    if differences.is_empty() {
        Change::Identical
    } else if differences.iter().any(|difference| difference.breaking) {
        Change::Breaking(differences)
    } else {
        Change::Compatible(differences)
    }
}

fn compare(direction: Direction, before: &[TensorSpec], after: &[TensorSpec]) -> Vec<Difference> {
    let find = |specs: &[TensorSpec], name: &str| specs.iter().find(|spec| spec.name() == name).cloned();
    let changed_or_gone = before.iter().filter_map(|old| {
        let new = find(after, old.name());
        let breaking = match (&new, direction) {
            (Some(new), _) if new == old => return None,
            (Some(new), Direction::Input) => !accepts(new, old),
            (Some(new), Direction::Output) => !accepts(old, new),
            (None, Direction::Input) => true,
            (None, Direction::Output) => !old.is_optional(),
        };
        Some(Difference { direction, before: Some(old.clone()), after: new, breaking })
    });
    let added = after.iter().filter(|new| find(before, new.name()).is_none()).map(|new| {
        let breaking = direction == Direction::Input && !new.is_optional();
        Difference { direction, before: None, after: Some(new.clone()), breaking }
    });
    changed_or_gone.chain(added).collect()
}

/// Whether everything that fits `narrow` fits `wide` too.
fn accepts(wide: &TensorSpec, narrow: &TensorSpec) -> bool {
    wide.dtype() == narrow.dtype()
        && wide.shape().len() == narrow.shape().len()
        && wide.shape().iter().zip(narrow.shape()).all(|pair| match pair {
            (Dimension::Free, _) => true,
            // A batch of another meaning would let requests be joined, or forbid it.
            (wide, narrow) => wide == narrow,
        })
        && (wide.is_optional() || !narrow.is_optional())
        && (!wide.is_finite() || narrow.is_finite())
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let direction = self.direction;
        match (&self.before, &self.after) {
            (Some(old), Some(new)) => write!(f, "{direction} `{}` changes from {old} to {new}", old.name()),
            (Some(old), None) => write!(f, "{direction} `{}` ({old}) is removed", old.name()),
            (None, Some(new)) => write!(f, "{direction} `{}` ({new}) is added", new.name()),
            (None, None) => write!(f, "{direction} unchanged"),
        }
    }
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self {
            Self::Identical => return f.write_str("identical"),
            Self::Compatible(_) => "compatible",
            Self::Breaking(_) => "breaking",
        };
        write!(f, "{kind}: ")?;
        for (index, difference) in self.differences().iter().enumerate() {
            let separator = if index == 0 { "" } else { "; " };
            write!(f, "{separator}{difference}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::DType;

    fn spec(name: &str, shape: &[Dimension]) -> TensorSpec {
        TensorSpec::new(name, DType::Fp32, shape.iter().copied())
    }

    fn of(inputs: &[TensorSpec], outputs: &[TensorSpec]) -> Signature {
        Signature::new(inputs.to_vec(), outputs.to_vec()).unwrap()
    }

    #[test]
    fn accepting_more_and_promising_more_is_compatible_and_the_reverse_breaks() {
        use Dimension::{Batch, Fixed, Free};
        let (fixed, free) = (spec("t", &[Batch, Fixed(8)]), spec("t", &[Batch, Free]));
        let other = spec("new", &[Batch]);
        let integer = TensorSpec::new("t", DType::Int64, [Batch, Fixed(8)]);
        let none: &[TensorSpec] = &[];
        let sides = [
            // (before, after, breaking as an input, breaking as an output)
            (vec![fixed.clone()], vec![free.clone()], false, true),
            (vec![free.clone()], vec![fixed.clone()], true, false),
            (vec![fixed.clone()], vec![integer], true, true),
            (vec![fixed.clone()], vec![spec("t", &[Batch])], true, true),
            (vec![fixed.clone()], vec![spec("t", &[Free, Fixed(8)])], false, true),
            (vec![fixed.clone()], vec![fixed.clone(), other.clone()], true, false),
            (vec![fixed.clone()], vec![fixed.clone(), other.optional()], false, false),
            (vec![fixed.clone()], vec![], true, true),
            (vec![fixed.clone()], vec![fixed.clone().optional()], false, true),
            (vec![fixed.clone().optional()], vec![fixed.clone()], true, false),
            (vec![fixed.clone()], vec![fixed.clone().finite()], true, false),
            (vec![fixed.clone().finite()], vec![fixed.clone()], false, true),
        ];
        for (before, after, input, output) in sides {
            let as_input = of(&before, none).change_to(&of(&after, none));
            assert_eq!(as_input.is_breaking(), input, "{as_input}");
            let as_output = of(none, &before).change_to(&of(none, &after));
            assert_eq!(as_output.is_breaking(), output, "{as_output}");
            assert_ne!(as_input, Change::Identical);
        }
    }

    #[test]
    fn order_does_not_matter() {
        let (a, b) = (spec("a", &[Dimension::Batch]), spec("b", &[Dimension::Batch]));
        assert_eq!(of(&[a.clone(), b.clone()], &[]).change_to(&of(&[b, a], &[])), Change::Identical);
    }
}
