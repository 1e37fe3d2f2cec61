//! Callers of the champion can call the candidate.

use async_trait::async_trait;

use super::{Candidate, Gate};
use crate::Judgement;

/// No caller of the champion breaks when the candidate takes its place:
/// [`Signature::change_to`](mlops_core::Signature::change_to).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SignatureCompatible;

#[async_trait]
impl Gate for SignatureCompatible {
    fn name(&self) -> String {
        "signature compatible".to_owned()
    }

    async fn check(&self, candidate: &Candidate) -> Judgement {
        let Some(champion) = candidate.champion() else {
            return Judgement::inconclusive("there is no champion to compare with");
        };
        let change = champion.signature().change_to(candidate.model().signature());
        if change.is_breaking() {
            Judgement::failed(change.to_string())
        } else {
            Judgement::passed(change.to_string())
        }
    }
}
