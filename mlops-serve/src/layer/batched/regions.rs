//! A part of a tensor inside the whole, as runs of neighbouring elements.

/// A run of elements that are neighbours in the part and in the whole.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Run {
    pub(super) part: usize,
    pub(super) whole: usize,
    pub(super) len: usize,
}

/// Where the elements of a part lie in the whole, both in row-major order. The part begins at `offset` along `axis`,
/// and at 0 along every other axis.
pub(super) fn runs(part: &[usize], whole: &[usize], axis: usize, offset: usize) -> impl Iterator<Item = Run> {
    // Up to here the part is narrower than the whole; all behind it is one run.
    let split = (0..part.len()).rev().find(|at| part[*at] != whole[*at]).unwrap_or(0);
    let len = part[split.min(part.len())..].iter().product::<usize>();
    let strides = strides(whole);
    let begin = offset * strides.get(axis).copied().unwrap_or(0);
    let outer: Vec<usize> = part[..split].to_vec();
    let count = if len == 0 { 0 } else { outer.iter().product() };
    (0..count).map(move |number| {
        let (mut rest, mut at) = (number, begin);
        for (length, stride) in outer.iter().zip(&strides).rev() {
            at += rest % length * stride;
            rest /= length;
        }
        Run { part: number * len, whole: at, len }
    })
}

/// How many elements lie between neighbours along each axis.
fn strides(shape: &[usize]) -> Vec<usize> {
    let mut strides = vec![1; shape.len()];
    for axis in (1..shape.len()).rev() {
        strides[axis - 1] = strides[axis] * shape[axis];
    }
    strides
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(part: &[usize], whole: &[usize], axis: usize, offset: usize) -> Vec<(usize, usize, usize)> {
        runs(part, whole, axis, offset).map(|run| (run.part, run.whole, run.len)).collect()
    }

    #[test]
    fn rows_of_the_first_axis_are_one_run() {
        assert_eq!(all(&[2, 3], &[5, 3], 0, 1), [(0, 3, 6)]);
        assert_eq!(all(&[5, 3], &[5, 3], 0, 0), [(0, 0, 15)]);
    }

    #[test]
    fn other_axes_and_narrower_parts_are_several() {
        assert_eq!(all(&[2, 1], &[2, 3], 1, 2), [(0, 2, 1), (1, 5, 1)]);
        assert_eq!(all(&[2, 2], &[3, 4], 0, 1), [(0, 4, 2), (2, 8, 2)]);
        assert_eq!(all(&[1, 2, 2], &[1, 3, 2], 1, 1), [(0, 2, 4)]);
    }

    #[test]
    fn what_is_empty_has_no_run() {
        assert!(all(&[0, 3], &[5, 3], 0, 0).is_empty());
        assert!(all(&[2, 0], &[2, 3], 1, 1).is_empty());
        assert_eq!(all(&[], &[], 0, 0), [(0, 0, 1)]);
    }
}
