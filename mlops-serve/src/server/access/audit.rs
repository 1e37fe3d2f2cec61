//! Records of what matters for security, as `tracing` events with the target `mlops::audit`.
//!
//! Send the target where your audit log lives, and keep it. Fields: `caller`, `method`, `verb`, `model`,
//! `peer` (the address), `outcome`, `reason`. Text that a caller chose is escaped. There are no secrets in it.

use std::net::SocketAddr;

use tracing::{info, warn};

use super::{Caller, Verb};

const TARGET: &str = "mlops::audit";

/// Somebody was not believed to be who it says.
pub(in crate::server) fn not_believed(caller: Option<&str>, peer: Option<SocketAddr>, reason: &str) {
    warn!(
        target: TARGET,
        caller,
        peer = peer.map(tracing::field::display),
        outcome = "unauthenticated",
        reason,
        "authentication failed"
    );
}

/// Somebody wants to change the state of the server, and may or may not.
pub(super) fn administration(caller: &Caller, model: Option<&str>, allowed: bool) {
    let name = caller.name();
    let method = caller.method().name();
    let verb = Verb::Admin.name();
    let model = model.map(tracing::field::debug);
    let peer = caller.address().map(tracing::field::display);
    if allowed {
        info!(target: TARGET, caller = ?name, method, verb, model, peer, outcome = "allowed", "administration");
    } else {
        warn!(target: TARGET, caller = ?name, method, verb, model, peer, outcome = "refused", "administration");
    }
}
