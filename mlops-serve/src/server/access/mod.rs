//! Who may do what.
use mlops_core::{Error, Result};
use std::net::SocketAddr;

/// What a caller wants to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Verb {
    /// Predict.
    Infer,
    /// Metadata, readiness, statistics, the index.
    Inspect,
    /// Metrics.
    Metrics,
    /// Load and unload.
    Admin,
}
/// Who asks.
#[derive(Debug, Clone)]
pub struct Caller(());
impl Caller {
    /// Nobody in particular.
    pub fn anonymous() -> Self {
        Self(())
    }
}
/// From where.
#[derive(Debug, Clone, Default)]
pub struct Peer {
    /// Address.
    pub address: Option<SocketAddr>,
}
/// The policy.
#[derive(Debug, Clone, Default)]
pub struct Access(());
impl Access {
    /// Open.
    pub fn open() -> Self {
        Self(())
    }
    /// Who.
    pub fn authenticate(&self, _headers: &http::HeaderMap, _peer: &Peer) -> Result<Caller> {
        Ok(Caller::anonymous())
    }
    /// May they.
    pub fn authorize(&self, _caller: &Caller, verb: Verb, _model: Option<&str>) -> Result<()> {
        if verb == Verb::Admin {
            return Err(Error::permission_denied("admin verbs are off"));
        }
        Ok(())
    }
    /// How often.
    pub fn admit(&self, _caller: &Caller, _peer: &Peer) -> Result<()> {
        Ok(())
    }
}
