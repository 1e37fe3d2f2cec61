//! What was counted of the calls, in the form of Triton's statistics.

use axum::Json;
use axum::extract::State;
use axum::response::IntoResponse;
use serde::Serialize;
use utoipa::ToSchema;

use crate::http::Answer;
use crate::http::inbound::Inbound;
use crate::http::path::ModelPath;
use crate::server::access::Verb;
use crate::server::{Served, Service, Tally};

pub(super) async fn of_all(State(service): State<Service>, inbound: Inbound) -> Answer {
    let model_stats = service.all_served(&inbound.caller)?.iter().map(|served| Entry::new(served)).collect();
    Ok(Json(ModelStatistics { model_stats }).into_response())
}

pub(super) async fn of_model(State(service): State<Service>, path: ModelPath, inbound: Inbound) -> Answer {
    let served = service.served(&inbound.caller, Verb::Inspect, &path.model, path.version.as_deref())?;
    Ok(Json(ModelStatistics { model_stats: vec![Entry::new(&served)] }).into_response())
}

#[derive(Serialize, ToSchema)]
pub(super) struct ModelStatistics {
    model_stats: Vec<Entry>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = ModelStatisticsEntry)]
struct Entry {
    name: String,
    version: String,
    /// Milliseconds since the Unix epoch.
    last_inference: u64,
    /// Rows.
    inference_count: u64,
    /// Calls.
    execution_count: u64,
    inference_stats: InferenceStatistics,
}

#[derive(Serialize, ToSchema)]
struct InferenceStatistics {
    success: Duration,
    fail: Duration,
    queue: Duration,
    compute_infer: Duration,
}

#[derive(Serialize, ToSchema)]
#[schema(as = StatisticsDuration)]
struct Duration {
    count: u64,
    ns: u64,
}

impl Entry {
    fn new(served: &Served) -> Self {
        let counted = served.statistics().snapshot();
        let milliseconds = counted.last_call.unwrap_or_default().as_millis();
        Self {
            name: served.name().to_string(),
            version: served.version().map(ToString::to_string).unwrap_or_default(),
            last_inference: u64::try_from(milliseconds).unwrap_or(u64::MAX),
            inference_count: counted.rows,
            execution_count: counted.success.count,
            inference_stats: InferenceStatistics {
                success: counted.success.into(),
                fail: counted.failure.into(),
                queue: counted.queue.into(),
                compute_infer: counted.compute.into(),
            },
        }
    }
}

impl From<Tally> for Duration {
    fn from(tally: Tally) -> Self {
        Self { count: tally.count, ns: u64::try_from(tally.time.as_nanos()).unwrap_or(u64::MAX) }
    }
}
