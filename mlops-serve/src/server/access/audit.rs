//! Records of what matters for security. The documentation of [`access`](super) tells their fields.

use std::net::SocketAddr;

use tracing::field::{debug, display};
use tracing::{info, warn};

use super::caller::CallerName;
use super::{Caller, Verb};

const TARGET: &str = "mlops::audit";

/// Somebody was not believed to be who it says.
pub(in crate::server) fn not_believed(caller: Option<&CallerName>, peer: Option<SocketAddr>, reason: &str) {
    warn!(
        target: TARGET,
        caller = caller.map(debug),
        peer = peer.map(display),
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
    let model = model.map(debug);
    let peer = caller.address().map(display);
    if allowed {
        info!(target: TARGET, caller = ?name, method, verb, model, peer, outcome = "allowed", "administration");
    } else {
        warn!(target: TARGET, caller = ?name, method, verb, model, peer, outcome = "refused", "administration");
    }
}
