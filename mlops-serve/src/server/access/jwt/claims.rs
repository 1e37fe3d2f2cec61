//! What a token says, once its signature is verified.

use std::time::Duration;

use mlops_core::reexports::jiff::Timestamp;
use serde::Deserialize;

use super::TokenRules;
use crate::server::access::Scopes;
use crate::server::access::caller::CallerName;
use crate::server::access::credential::Refusal;

/// A token that was accepted. Only time can undo that.
#[derive(Debug)]
pub(super) struct Verified {
    pub(super) name: CallerName,
    pub(super) scopes: Scopes,
    /// In seconds since the Unix epoch, as in the token.
    not_before: f64,
    expires: f64,
}

#[derive(Deserialize)]
struct Claims {
    iss: String,
    sub: String,
    aud: OneOrMany,
    exp: f64,
    nbf: Option<f64>,
    scope: Option<OneOrMany>,
    scp: Option<OneOrMany>,
    permissions: Option<OneOrMany>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum OneOrMany {
    One(String),
    Many(Vec<String>),
}

impl Verified {
    /// Reads the claims of a token whose signature was verified, and checks all but the time.
    pub(super) fn new(claims: &[u8], rules: &TokenRules) -> Result<Self, Refusal> {
        let claims: Claims = serde_json::from_slice(claims).map_err(|_| {
            Refusal::Token(
                "the claims of the token are malformed, or `iss`, `sub`, `aud` or `exp` is missing",
            )
        })?;
        if claims.iss != rules.issuer {
            return Err(Refusal::Token("the token is of another issuer"));
        }
        if !claims.aud.as_slice().iter().any(|audience| rules.audiences.contains(audience)) {
            return Err(Refusal::Token("the token is for another audience"));
        }
        let name = CallerName::new(&claims.sub).map_err(|_| {
            Refusal::Token("the subject of the token is empty, too long or has control characters")
        })?;
        let scopes = [&claims.scope, &claims.scp, &claims.permissions]
            .into_iter()
            .flatten()
            .flat_map(OneOrMany::as_slice)
            .flat_map(|text| text.split_whitespace())
            .filter_map(|scope| scope.parse().ok())
            .collect();
        Ok(Self { name, scopes, not_before: claims.nbf.unwrap_or(f64::NEG_INFINITY), expires: claims.exp })
    }

    pub(super) fn check_time(&self, now: Timestamp, leeway: Duration) -> Result<(), Refusal> {
        let now = now.as_duration().as_secs_f64();
        let leeway = leeway.as_secs_f64();
        if now >= self.expires + leeway {
            return Err(Refusal::ExpiredToken(self.name.clone()));
        }
        if now < self.not_before - leeway {
            return Err(Refusal::Token("the token is not valid yet"));
        }
        Ok(())
    }
}

impl OneOrMany {
    fn as_slice(&self) -> &[String] {
        match self {
            Self::One(one) => std::slice::from_ref(one),
            Self::Many(many) => many,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::server::access::Verb;

    fn rules() -> TokenRules {
        TokenRules::new("issuer", "models").with_audience("more models").with_leeway(Duration::from_secs(10))
    }

    fn verified(change: impl FnOnce(&mut Value)) -> Result<Verified, Refusal> {
        let mut claims = json!({"iss": "issuer", "sub": "alice", "aud": "models", "exp": 1000});
        change(&mut claims);
        Verified::new(claims.to_string().as_bytes(), &rules())
    }

    #[test]
    fn every_claim_that_is_needed_is_checked() {
        assert!(verified(|_| {}).is_ok());
        for claim in ["iss", "sub", "aud", "exp"] {
            assert!(
                verified(|claims| drop(claims.as_object_mut().unwrap().remove(claim))).is_err(),
                "{claim}"
            );
        }
        let bad = [
            ("iss", json!("Issuer")),
            ("iss", json!(["issuer"])),
            ("iss", json!("issuer ")),
            ("sub", json!("")),
            ("sub", json!("a\nb")),
            ("sub", json!(7)),
            ("aud", json!("others")),
            ("aud", json!(["others", 7])),
            ("aud", json!([])),
            ("aud", json!(null)),
            ("exp", json!("1000")),
            ("exp", json!(null)),
            ("nbf", json!("0")),
        ];
        for (claim, value) in bad {
            assert!(verified(|claims| claims[claim] = value.clone()).is_err(), "{claim} {value}");
        }
        assert!(verified(|claims| claims["aud"] = json!(["others", "more models"])).is_ok());
    }

    #[test]
    fn claims_that_come_twice_or_overflow_are_refused() {
        let good = r#"{"iss": "issuer", "sub": "alice", "aud": "models", "exp": 1000}"#;
        assert!(Verified::new(good.as_bytes(), &rules()).is_ok());
        for bad in [
            good.replace("1000", r#"1000, "exp": 9000"#),
            good.replace(r#""alice""#, r#""alice", "sub": "root""#),
            good.replace("1000", "1e999"),
            good.replace("1000", "NaN"),
            "[".repeat(8000),
            String::new(),
        ] {
            assert!(Verified::new(bad.as_bytes(), &rules()).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_token_is_valid_from_its_first_second_to_its_last_and_the_leeway() {
        let token = verified(|claims| claims["nbf"] = json!(500.5)).unwrap();
        let at = |second| token.check_time(Timestamp::from_second(second).unwrap(), Duration::from_secs(10));
        assert_eq!(at(490), Err(Refusal::Token("the token is not valid yet")));
        assert_eq!((at(491), at(1009)), (Ok(()), Ok(())));
        assert_eq!(at(1010), Err(Refusal::ExpiredToken(token.name.clone())));
        assert!(
            verified(|claims| claims["exp"] = json!(-1e300))
                .unwrap()
                .check_time(Timestamp::MIN, Duration::ZERO)
                .is_err()
        );
    }

    #[test]
    fn scopes_come_from_all_the_claims_that_providers_use() {
        let token = verified(|claims| {
            claims["scope"] = json!("openid infer:fraud");
            claims["scp"] = json!(["inspect:*", "User.Read"]);
            claims["permissions"] = json!(["metrics:*"]);
        });
        let scopes = token.unwrap().scopes;
        assert!(scopes.allow(Verb::Infer, Some("fraud")) && scopes.allow(Verb::Inspect, None));
        assert_eq!(scopes.iter().len(), 3);
        assert_eq!(verified(|_| {}).unwrap().scopes, Scopes::none());
        assert_eq!(verified(|claims| claims["scope"] = json!("")).unwrap().scopes, Scopes::none());
    }
}
