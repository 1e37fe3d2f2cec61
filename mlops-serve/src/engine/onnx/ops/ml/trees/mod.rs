//! `TreeEnsembleClassifier`, `TreeEnsembleRegressor` and `TreeEnsemble`: gradient boosting and random forests.

mod classifier;
mod description;
mod ensemble;
mod numbered;
mod regressor;
mod scored;
mod untangle;

pub(super) use classifier::classifier;
pub(super) use regressor::{ensemble, regressor};
