//! Callers of the champion can call the candidate.

use async_trait::async_trait;

use super::{Candidate, Finding, Gate};

/// No caller of the champion breaks when the candidate takes its place:
/// [`Signature::change_to`](mlops_core::Signature::change_to).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SignatureCompatible;

#[async_trait]
impl Gate for SignatureCompatible {
    fn name(&self) -> String {
        "signature compatible".to_owned()
    }

    async fn check(&self, candidate: &Candidate) -> Finding {
        let Some(champion) = candidate.champion() else {
            return Finding::inconclusive("there is no champion to compare with");
        };
        let change = champion.signature().change_to(candidate.model().signature());
        if change.is_breaking() {
            Finding::failed(change.to_string())
        } else {
            Finding::passed(change.to_string())
        }
    }
}
