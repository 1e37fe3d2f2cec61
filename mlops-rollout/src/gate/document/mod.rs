//! Gates as TOML, to be written and edited by hand.

mod fields;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use jiff::fmt::serde::unsigned_duration::friendly::compact;
use mlops_core::{Error, Result};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use toml::{Table, Value};

use self::fields::{
    CeilingFields, FairnessFields, FloorFields, GroupFields, LatencyCeilingFields, LatencyRegressionFields,
    NoFields, RegressionFields, SampleSizeFields, SizeFields, StoredFields,
};
use super::{Gate, GateExt, GateGroup, Gates, SignatureCompatible, all_of, any_of};

impl Gates {
    /// Reads a TOML document: a list of `[[gates]]`, each of a `kind`.
    ///
    /// | `kind` | fields, those with a default in brackets |
    /// |---|---|
    /// | `metric_floor` | `metric`, `floor`, \[`confidence`, and for slices those below\] |
    /// | `metric_ceiling` | `metric`, `ceiling`, \[`confidence`, and for slices those below\] |
    /// | `metric_regression` | `metric`, `max_drop`, \[`lower_is_better`, `confidence`, `lenient`, and for slices those below\] |
    /// | `fairness` | `groups`, \[`min_rows`\], at least one of `max_demographic_parity_difference`, `min_demographic_parity_ratio`, `max_equal_opportunity_difference`, `max_equalized_odds_difference` |
    /// | `sample_size` | `rows`, \[`each_class`, `each_slice = { country = 200 }`\] |
    /// | `latency_ceiling` | `p50` or `p99` as durations, \[`calls`, `warm_up`, `within`\] |
    /// | `latency_regression` | `p50` or `p99` as ratios, \[`calls`, `warm_up`, `within`\] |
    /// | `size_ceiling` | `of`: `artifacts` or `memory`; `bytes` or `max_growth` |
    /// | `signature_compatible` | |
    /// | `stored_matches` | \[`absolute`, `relative`, or `same_argmax`; exact unless set\] |
    /// | `all_of`, `any_of` | `name`, `gates` |
    ///
    /// Of slices: `slices` is the name under which rows belong to them, \[`min_rows`, `leave_small_out`,
    /// `lenient`\]. Every gate may have a `name`, `warn_only = true`, and a `time_limit`. Durations are written as
    /// people do: `50ms`, `1m 30s`. Gates of closures are added [in code](Self::with).
    ///
    /// # Errors
    /// [`Error::InvalidInput`] that names the gate and the field, when a field is missing, not known or out of
    /// its range, two gates have the same name, or there is no gate.
    pub fn from_toml(document: &str) -> Result<Self> {
        let document: Document =
            toml::from_str(document).map_err(|error| invalid(error.to_string().trim_end()))?;
        if document.gates.is_empty() {
            return Err(invalid("there is none, and without gates nothing passes"));
        }
        read_all("", document.gates).map(Self)
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    #[serde(default)]
    gates: Vec<Table>,
}

/// What every gate may have beside the fields of its kind.
#[derive(Deserialize)]
struct Common {
    kind: Option<String>,
    name: Option<String>,
    #[serde(default)]
    warn_only: bool,
    #[serde(default, with = "compact::optional")]
    time_limit: Option<Duration>,
}

const COMMON: [&str; 4] = ["kind", "name", "warn_only", "time_limit"];

fn read_all(within: &str, tables: Vec<Table>) -> Result<Vec<Arc<dyn Gate>>> {
    let mut gates: Vec<Arc<dyn Gate>> = Vec::with_capacity(tables.len());
    for (index, table) in tables.into_iter().enumerate() {
        let gate = read(&format!("{within}gate {}", index + 1), table)?;
        let name = gate.name();
        if gates.iter().any(|known| known.name() == name) {
            return Err(invalid(format!(
                "{within}gate {}: there is a gate called `{name}` already; give it another `name`",
                index + 1
            )));
        }
        gates.push(gate);
    }
    Ok(gates)
}

fn read(place: &str, table: Table) -> Result<Arc<dyn Gate>> {
    let (common, fields): (Table, Table) =
        table.into_iter().partition(|(key, _)| COMMON.contains(&key.as_str()));
    let Common { kind, name, warn_only, time_limit } = parse(place, common)?;
    let Some(kind) = kind else { return Err(invalid(format!("{place}: it needs a `kind`"))) };
    let place = format!("{place}, `{kind}`");
    let mut gate = read_kind(&place, &kind, name.as_deref(), fields)?;
    if let Some(name) = name {
        gate = Arc::new(gate.named(name));
    }
    if let Some(limit) = time_limit {
        gate = Arc::new(gate.with_time_limit(limit));
    }
    if warn_only {
        gate = Arc::new(gate.warn_only());
    }
    Ok(gate)
}

fn read_kind(place: &str, kind: &str, name: Option<&str>, fields: Table) -> Result<Arc<dyn Gate>> {
    match kind {
        "metric_floor" => parse::<FloorFields>(place, fields)?.gate(place),
        "metric_ceiling" => parse::<CeilingFields>(place, fields)?.gate(place),
        "metric_regression" => parse::<RegressionFields>(place, fields)?.gate(place),
        "fairness" => {
            let gate = parse::<FairnessFields>(place, fields)?.gate();
            sound(place, gate.fault(), gate)
        }
        "sample_size" => Ok(Arc::new(parse::<SampleSizeFields>(place, fields)?.gate())),
        "latency_ceiling" => {
            let gate = parse::<LatencyCeilingFields>(place, fields)?.gate();
            sound(place, gate.fault(), gate)
        }
        "latency_regression" => {
            let gate = parse::<LatencyRegressionFields>(place, fields)?.gate();
            sound(place, gate.fault(), gate)
        }
        "size_ceiling" => {
            let gate = parse::<SizeFields>(place, fields)?.gate();
            sound(place, gate.fault(), gate)
        }
        "signature_compatible" => {
            parse::<NoFields>(place, fields)?;
            Ok(Arc::new(SignatureCompatible))
        }
        "stored_matches" => parse::<StoredFields>(place, fields)?.gate(place),
        "all_of" | "any_of" => {
            let GroupFields { gates } = parse(place, fields)?;
            let name = name.ok_or_else(|| invalid(format!("{place}: it needs a `name`")))?;
            if gates.is_empty() {
                return Err(invalid(format!("{place}: `gates` is empty")));
            }
            let group = if kind == "all_of" { all_of(name) } else { any_of(name) };
            let parts = read_all(&format!("{place}, "), gates)?;
            Ok(Arc::new(parts.into_iter().fold(group, GateGroup::with)))
        }
        _ => Err(invalid(format!("{place}: there is no such `kind`; there are {}", KINDS.join(", ")))),
    }
}

const KINDS: [&str; 12] = [
    "metric_floor",
    "metric_ceiling",
    "metric_regression",
    "fairness",
    "sample_size",
    "latency_ceiling",
    "latency_regression",
    "size_ceiling",
    "signature_compatible",
    "stored_matches",
    "all_of",
    "any_of",
];

fn parse<T: DeserializeOwned>(place: &str, fields: Table) -> Result<T> {
    T::deserialize(Value::Table(fields)).map_err(|error| {
        let error = error.to_string();
        invalid(format!("{place}: {}", error.split_whitespace().collect::<Vec<_>>().join(" ")))
    })
}

fn sound(place: &str, fault: Option<String>, gate: impl Gate) -> Result<Arc<dyn Gate>> {
    match fault {
        Some(fault) => Err(invalid(format!("{place}: {fault}"))),
        None => Ok(Arc::new(gate)),
    }
}

fn invalid(fault: impl fmt::Display) -> Error {
    Error::invalid_input(format!("the gates cannot be read: {fault}"))
}

#[cfg(test)]
mod tests;
