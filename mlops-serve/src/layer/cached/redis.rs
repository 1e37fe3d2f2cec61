//! Answers shared through Redis.

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use mlops_core::reexports::bytes::Bytes;
use mlops_core::{Error, Result};
use redis::aio::{ConnectionManager, ConnectionManagerConfig};
use redis::{Client, Cmd, FromRedisValue, cmd};
use tokio::runtime::Handle;

use super::CacheTier;

/// Answers in Redis, or in what speaks its protocol (Valkey, Dragonfly).
///
/// One connection, shared by all requests, made when it is first needed and again when it was lost. Keys
/// are `mlops:answer:` and 64 hexadecimal digits. Without a time to live they stay until Redis has no room:
/// give it a `maxmemory` and an eviction policy.
///
/// ```no_run
/// use mlops_core::{Digest, Model, Result};
/// use mlops_serve::{ServeExt, layer::{Caching, RedisTier}};
///
/// async fn shared(model: impl Model, artifact: &[u8]) -> Result<impl Model> {
///     let redis = RedisTier::new("redis://cache.internal:6379")?;
///     Ok(model.cached(Caching::new(64 << 20).with_tier(redis, Digest::of(artifact))))
/// }
/// ```
#[derive(Clone)]
pub struct RedisTier {
    connection: ConnectionManager,
    prefix: String,
}

impl RedisTier {
    /// The Redis at `redis://[USER[:PASSWORD]@]HOST[:PORT][/DATABASE]` or `unix:///PATH`. Nothing is
    /// connected yet: a Redis that is away is no error.
    ///
    /// # Errors
    /// [`Error::InvalidInput`] when the address is none. It is not repeated, since it may hold a password.
    /// [`Error::Unavailable`] outside of a tokio runtime.
    pub fn new(url: &str) -> Result<Self> {
        let invalid = |_may_quote_it| {
            Error::invalid_input(
                "the address of Redis is none; it looks like `redis://HOST:6379` or `unix:///PATH`",
            )
        };
        Handle::try_current().map_err(|missing| {
            Error::unavailable("the tokio runtime that Redis needs").with_source(missing)
        })?;
        let client = Client::open(url).map_err(invalid)?;
        // What fails is tried again by a later request, not by this one.
        let config = ConnectionManagerConfig::new()
            .set_number_of_retries(0)
            .set_connection_timeout(Some(Duration::from_secs(1)))
            .set_response_timeout(Some(Duration::from_secs(1)));
        let connection = ConnectionManager::new_lazy_with_config(client, config).map_err(invalid)?;
        Ok(Self { connection, prefix: "mlops:answer:".to_owned() })
    }

    /// What keys begin with: for a Redis that others use too.
    #[must_use]
    pub fn with_prefix(mut self, prefix: impl Into<String>) -> Self {
        self.prefix = prefix.into();
        self
    }

    fn key(&self, key: &[u8; 32]) -> String {
        let mut name = self.prefix.clone();
        name.extend(key.iter().map(|byte| format!("{byte:02x}")));
        name
    }

    async fn query<T: FromRedisValue>(&self, command: &Cmd) -> Result<T> {
        let answered = command.query_async(&mut self.connection.clone()).await;
        answered.map_err(|error| Error::unavailable("Redis").with_source(error))
    }
}

#[async_trait]
impl CacheTier for RedisTier {
    async fn get(&self, key: &[u8; 32]) -> Result<Option<Bytes>> {
        let value: Option<Vec<u8>> = self.query(cmd("GET").arg(self.key(key))).await?;
        Ok(value.map(Bytes::from))
    }

    async fn set(&self, key: &[u8; 32], value: Bytes, time_to_live: Option<Duration>) -> Result<()> {
        let mut command = cmd("SET");
        command.arg(self.key(key)).arg(&*value);
        if let Some(time) = time_to_live {
            // Redis refuses 0.
            command.arg("PX").arg(u64::try_from(time.as_millis()).unwrap_or(u64::MAX).max(1));
        }
        self.query(&command).await
    }
}

impl fmt::Debug for RedisTier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisTier").field("prefix", &self.prefix).finish_non_exhaustive()
    }
}
