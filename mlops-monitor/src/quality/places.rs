//! Where in a prediction the columns of expectations are.

use mlops_core::{Error, Result, Tensor};

use super::source::Source;
use super::state::{Check, Sources};
use crate::Features;

/// Where the columns of one expectation are.
#[derive(Debug, Clone, Copy)]
pub(super) struct Places([Option<Place>; 2]);

/// A column: an element of the rows of a tensor.
#[derive(Debug, Clone, Copy)]
struct Place {
    tensor: usize,
    offset: usize,
    width: usize,
}

impl Places {
    /// # Errors
    /// [`Error::InvalidInput`] when one of them is no feature.
    pub(super) fn of(check: &Check, features: &Features) -> Result<Self> {
        let mut places = check.expectation.needs().map(|name| {
            place(features, name).ok_or_else(|| {
                let known = features.names().take(20).collect::<Vec<_>>().join("`, `");
                Error::invalid_input(format!(
                    "`{}` expects something of `{name}`, which is none of the features `{known}`",
                    check.expectation.name()
                ))
            })
        });
        Ok(Self([places.next().transpose()?, places.next().transpose()?]))
    }

    /// Whether there is none: it is about the table.
    pub(super) fn is_empty(&self) -> bool {
        self.0[0].is_none()
    }

    /// The columns, if the tensors of all have come: `tensors` are in the order of the features.
    pub(super) fn sources<'a>(&self, tensors: &[Option<&'a Tensor>]) -> Option<Sources<'a>> {
        let mut sources = [None; 2];
        for (place, source) in self.0.iter().zip(&mut sources) {
            if let Some(Place { tensor, offset, width }) = *place {
                let tensor = tensors.get(tensor).copied().flatten()?;
                *source = Some(Source::Elements { tensor, offset, width });
            }
        }
        Some(sources)
    }

    /// The tensor, by its place among the features, that has not come.
    pub(super) fn missing(&self, tensors: &[Option<&Tensor>]) -> Option<usize> {
        let mut places = self.0.iter().flatten();
        places.find(|place| tensors.get(place.tensor).is_none_or(Option::is_none)).map(|place| place.tensor)
    }
}

fn place(features: &Features, name: &str) -> Option<Place> {
    features.tensors().iter().enumerate().find_map(|(tensor, features)| {
        let offset = features.names().position(|known| known == name)?;
        Some(Place { tensor, offset, width: features.names().len() })
    })
}
