//! Layers and executors.

#[path = "../support/mod.rs"]
mod support;

mod batching;
#[cfg(feature = "cache")]
mod caching;
#[cfg(feature = "redis")]
mod caching_redis;
mod executors;
mod hot_swap;
#[cfg(feature = "limit")]
mod limits;
mod model_conformance;
mod pipelines;
#[cfg(feature = "timer")]
mod resilience;
