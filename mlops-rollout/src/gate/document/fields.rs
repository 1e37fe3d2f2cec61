//! The fields of each kind of gate.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::fmt::serde::unsigned_duration::friendly::compact;
use mlops_core::Result;
use serde::Deserialize;
use toml::Table;

use super::{invalid, sound};
use crate::gate::size::SizeOf;
use crate::gate::{
    FairnessGate, Gate, LatencyCeiling, LatencyRegression, MetricCeiling, MetricFloor, MetricRegression,
    PerSlice, SampleSize, SizeCeiling, StoredMatches,
};
use crate::{SameArgmax, Within};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NoFields {}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct GroupFields {
    pub(super) gates: Vec<Table>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FloorFields {
    metric: String,
    floor: f64,
    confidence: Option<f64>,
    slices: Option<String>,
    min_rows: Option<usize>,
    leave_small_out: Option<bool>,
    lenient: Option<bool>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct CeilingFields {
    metric: String,
    ceiling: f64,
    confidence: Option<f64>,
    slices: Option<String>,
    min_rows: Option<usize>,
    leave_small_out: Option<bool>,
    lenient: Option<bool>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RegressionFields {
    metric: String,
    max_drop: f64,
    lower_is_better: Option<bool>,
    confidence: Option<f64>,
    #[serde(default)]
    lenient: bool,
    slices: Option<String>,
    min_rows: Option<usize>,
    leave_small_out: Option<bool>,
}

/// How a gate looks into slices.
struct SliceFields {
    slices: Option<String>,
    min_rows: Option<usize>,
    leave_small_out: Option<bool>,
    lenient: Option<bool>,
}

impl SliceFields {
    /// The gate on each slice where there are slices, and otherwise on all rows.
    fn gate<G: Gate>(
        self,
        place: &str,
        gate: G,
        fault: Option<String>,
        on_each: impl FnOnce(G, String) -> PerSlice,
    ) -> Result<Arc<dyn Gate>> {
        let Some(slices) = self.slices else {
            let stray = [
                ("min_rows", self.min_rows.is_some()),
                ("leave_small_out", self.leave_small_out.is_some()),
                ("lenient", self.lenient.is_some()),
            ];
            return match stray.into_iter().find(|(_, is_there)| *is_there) {
                Some((field, _)) => {
                    Err(invalid(format!("{place}: `{field}` means nothing without `slices`")))
                }
                None => sound(place, fault, gate),
            };
        };
        let mut gate = on_each(gate, slices);
        if let Some(rows) = self.min_rows {
            gate = gate.with_min_rows(rows);
        }
        if self.leave_small_out == Some(true) {
            gate = gate.leaving_small_out();
        }
        if self.lenient == Some(true) {
            gate = gate.lenient();
        }
        sound(place, fault, gate)
    }
}

impl FloorFields {
    pub(super) fn gate(self, place: &str) -> Result<Arc<dyn Gate>> {
        let Self { metric, floor, confidence, slices, min_rows, leave_small_out, lenient } = self;
        let mut gate = MetricFloor::new(metric, floor);
        if let Some(confidence) = confidence {
            gate = gate.with_confidence(confidence);
        }
        let fault = gate.fault();
        SliceFields { slices, min_rows, leave_small_out, lenient }.gate(
            place,
            gate,
            fault,
            MetricFloor::on_each,
        )
    }
}

impl CeilingFields {
    pub(super) fn gate(self, place: &str) -> Result<Arc<dyn Gate>> {
        let Self { metric, ceiling, confidence, slices, min_rows, leave_small_out, lenient } = self;
        let mut gate = MetricCeiling::new(metric, ceiling);
        if let Some(confidence) = confidence {
            gate = gate.with_confidence(confidence);
        }
        let fault = gate.fault();
        SliceFields { slices, min_rows, leave_small_out, lenient }.gate(
            place,
            gate,
            fault,
            MetricCeiling::on_each,
        )
    }
}

impl RegressionFields {
    pub(super) fn gate(self, place: &str) -> Result<Arc<dyn Gate>> {
        let Self {
            metric,
            max_drop,
            lower_is_better,
            confidence,
            lenient,
            slices,
            min_rows,
            leave_small_out,
        } = self;
        let mut gate = MetricRegression::new(metric, max_drop);
        gate = match lower_is_better {
            Some(true) => gate.lower_is_better(),
            Some(false) => gate.higher_is_better(),
            None => gate,
        };
        if let Some(confidence) = confidence {
            gate = gate.with_confidence(confidence);
        }
        if lenient {
            gate = gate.lenient();
        }
        let fault = gate.fault();
        SliceFields { slices, min_rows, leave_small_out, lenient: None }.gate(
            place,
            gate,
            fault,
            MetricRegression::on_each,
        )
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FairnessFields {
    groups: String,
    min_rows: Option<usize>,
    max_demographic_parity_difference: Option<f64>,
    min_demographic_parity_ratio: Option<f64>,
    max_equal_opportunity_difference: Option<f64>,
    max_equalized_odds_difference: Option<f64>,
}

impl FairnessFields {
    pub(super) fn gate(self) -> FairnessGate {
        let mut gate = FairnessGate::new(self.groups);
        if let Some(rows) = self.min_rows {
            gate = gate.with_min_rows(rows);
        }
        if let Some(bound) = self.max_demographic_parity_difference {
            gate = gate.with_max_demographic_parity_difference(bound);
        }
        if let Some(bound) = self.min_demographic_parity_ratio {
            gate = gate.with_min_demographic_parity_ratio(bound);
        }
        if let Some(bound) = self.max_equal_opportunity_difference {
            gate = gate.with_max_equal_opportunity_difference(bound);
        }
        if let Some(bound) = self.max_equalized_odds_difference {
            gate = gate.with_max_equalized_odds_difference(bound);
        }
        gate
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SampleSizeFields {
    rows: usize,
    each_class: Option<usize>,
    #[serde(default)]
    each_slice: BTreeMap<String, usize>,
}

impl SampleSizeFields {
    pub(super) fn gate(self) -> SampleSize {
        let gate = SampleSize::of_rows(self.rows).with_each_class(self.each_class.unwrap_or(0));
        self.each_slice.into_iter().fold(gate, |gate, (slices, rows)| gate.with_each_slice(slices, rows))
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct LatencyCeilingFields {
    #[serde(default, with = "compact::optional")]
    p50: Option<Duration>,
    #[serde(default, with = "compact::optional")]
    p99: Option<Duration>,
    calls: Option<usize>,
    warm_up: Option<usize>,
    #[serde(default, with = "compact::optional")]
    within: Option<Duration>,
}

impl LatencyCeilingFields {
    pub(super) fn gate(self) -> LatencyCeiling {
        let mut gate = LatencyCeiling::new();
        if let Some(ceiling) = self.p50 {
            gate = gate.with_p50(ceiling);
        }
        if let Some(ceiling) = self.p99 {
            gate = gate.with_p99(ceiling);
        }
        if let Some(calls) = self.calls {
            gate = gate.with_calls(calls);
        }
        if let Some(calls) = self.warm_up {
            gate = gate.with_warm_up(calls);
        }
        if let Some(time) = self.within {
            gate = gate.within(time);
        }
        gate
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct LatencyRegressionFields {
    p50: Option<f64>,
    p99: Option<f64>,
    calls: Option<usize>,
    warm_up: Option<usize>,
    #[serde(default, with = "compact::optional")]
    within: Option<Duration>,
}

impl LatencyRegressionFields {
    pub(super) fn gate(self) -> LatencyRegression {
        let mut gate = LatencyRegression::new();
        if let Some(ratio) = self.p50 {
            gate = gate.with_p50(ratio);
        }
        if let Some(ratio) = self.p99 {
            gate = gate.with_p99(ratio);
        }
        if let Some(calls) = self.calls {
            gate = gate.with_calls(calls);
        }
        if let Some(calls) = self.warm_up {
            gate = gate.with_warm_up(calls);
        }
        if let Some(time) = self.within {
            gate = gate.within(time);
        }
        gate
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SizeFields {
    of: SizeOf,
    bytes: Option<u64>,
    max_growth: Option<f64>,
}

impl SizeFields {
    pub(super) fn gate(self) -> SizeCeiling {
        let gate = SizeCeiling::of(self.of, self.bytes);
        match self.max_growth {
            Some(ratio) => gate.with_max_growth(ratio),
            None => gate,
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct StoredFields {
    absolute: Option<f64>,
    relative: Option<f64>,
    #[serde(default)]
    same_argmax: bool,
}

impl StoredFields {
    pub(super) fn gate(self, place: &str) -> Result<Arc<dyn Gate>> {
        let Self { absolute, relative, same_argmax } = self;
        for (field, tolerance) in [("absolute", absolute), ("relative", relative)] {
            if let Some(tolerance) = tolerance.filter(|tolerance| !(0.0..f64::INFINITY).contains(tolerance)) {
                return Err(invalid(format!(
                    "{place}: `{field}` is {tolerance}; it must be 0 or more, and finite"
                )));
            }
        }
        let gate = StoredMatches::new();
        Ok(Arc::new(match (same_argmax, absolute.is_some() || relative.is_some()) {
            (true, true) => {
                return Err(invalid(format!("{place}: `same_argmax` and a tolerance do not go together")));
            }
            (true, false) => gate.with_comparer(SameArgmax),
            (false, true) => {
                gate.with_comparer(Within::new(absolute.unwrap_or(0.0), relative.unwrap_or(0.0)))
            }
            (false, false) => gate,
        }))
    }
}
