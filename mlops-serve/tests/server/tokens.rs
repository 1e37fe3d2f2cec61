//! Callers by JSON Web Tokens, and the ways to forge one.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::fs;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use http::{HeaderMap, HeaderValue};
use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, EncodingKey};
use mlops_core::{Error, ManualClock};
use mlops_serve::server::access::{Access, ApiKey, ApiKeys, Jwt, Method, Peer, TokenRules, Verb};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::support::events::recorded;

/// What stands before the seed in the PKCS #8 form of an Ed25519 key, version 1 (RFC 8410, 10.3).
const ED25519_V1: [u8; 16] = [0x30, 0x2e, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 4, 0x22, 4, 0x20];

/// Who signs tokens, with one key.
struct Issuer {
    id: &'static str,
    algorithm: Algorithm,
    key: EncodingKey,
}

impl Issuer {
    fn new(id: &'static str, algorithm: Algorithm) -> Self {
        let kind: &'static rcgen::SignatureAlgorithm = match algorithm {
            Algorithm::ES256 => &rcgen::PKCS_ECDSA_P256_SHA256,
            Algorithm::ES384 => &rcgen::PKCS_ECDSA_P384_SHA384,
            _ => &rcgen::PKCS_ED25519,
        };
        let der = rcgen::KeyPair::generate_for(kind).unwrap().serialize_der();
        let key = match algorithm {
            // ring writes version 2 of PKCS #8 where the other library reads version 1: the same seed, less the rest.
            Algorithm::EdDSA => EncodingKey::from_ed_der(&[&ED25519_V1[..], &der[16..48]].concat()),
            _ => EncodingKey::from_ec_der(&der),
        };
        Self { id, algorithm, key }
    }

    fn jwk(&self) -> Value {
        let mut jwk = Jwk::from_encoding_key(&self.key, self.algorithm).unwrap();
        jwk.common.key_id = Some(self.id.to_owned());
        serde_json::to_value(jwk).unwrap()
    }

    fn token(&self) -> String {
        self.sign(&json!({"alg": self.algorithm, "kid": self.id}), &claims())
    }

    /// Signs whatever it is asked to.
    fn sign(&self, header: &Value, claims: &Value) -> String {
        let message = unsigned(header, claims);
        let signature = jsonwebtoken::crypto::sign(message.as_bytes(), &self.key, self.algorithm).unwrap();
        format!("{message}.{signature}")
    }
}

fn unsigned(header: &Value, claims: &Value) -> String {
    format!("{}.{}", BASE64.encode(header.to_string()), BASE64.encode(claims.to_string()))
}

/// The claims of a good token. It expires a minute after the clock of the tests begins.
fn claims() -> Value {
    json!({
        "iss": "https://login.example.org/", "aud": "https://models.example.org", "sub": "alice",
        "exp": 60, "scope": "openid infer:fraud",
    })
}

/// A server that takes the tokens of some key set.
struct Server {
    folder: tempfile::TempDir,
    clock: ManualClock,
    access: Access,
}

impl Server {
    fn new(keys: &[Value]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("jwks.json"), json!({"keys": keys}).to_string()).unwrap();
        let rules = TokenRules::new("https://login.example.org/", "https://models.example.org")
            .with_leeway(Duration::from_secs(5));
        let jwt = Jwt::open(folder.path().join("jwks.json"), rules).unwrap();
        let clock = ManualClock::default();
        let access = Access::closed().with_jwt(jwt).with_clock(clock.clone());
        Self { folder, clock, access }
    }

    fn rotate(&self, keys: &str) {
        fs::write(self.folder.path().join("jwks.json"), keys).unwrap();
        self.clock.advance(Duration::from_secs(1));
    }

    fn accepts(&self, token: &str) -> bool {
        let mut headers = HeaderMap::new();
        headers.insert("authorization", HeaderValue::from_str(&format!("Bearer {token}")).unwrap());
        match self.access.authenticate(&headers, &Peer::unknown()) {
            Ok(caller) => {
                assert_eq!((caller.name(), caller.method()), ("alice", Method::Token));
                assert!(self.access.authorize(&caller, Verb::Infer, Some("fraud")).is_ok());
                assert!(self.access.authorize(&caller, Verb::Infer, Some("churn")).is_err());
                true
            }
            Err(Error::Unauthenticated { what }) => {
                let known = ["the token is not accepted", "the token is expired; get a new one"];
                let known = known.contains(&&*what) || what == "the API key is unknown or expired";
                assert!(known || what.contains("8 KiB") || what.contains("empty"), "{what}");
                false
            }
            Err(other) => panic!("{other}"),
        }
    }
}

/// An RSA key, and tokens of it that another library has signed.
fn rsa() -> Value {
    serde_json::from_str(include_str!("../data/rsa_tokens.json")).unwrap()
}

#[test]
fn tokens_of_every_asymmetric_algorithm_are_accepted() {
    let issuers =
        [Algorithm::ES256, Algorithm::ES384, Algorithm::EdDSA].map(|algorithm| Issuer::new("k", algorithm));
    for issuer in &issuers {
        let server = Server::new(&[issuer.jwk()]);
        assert!(server.accepts(&issuer.token()), "{:?}", issuer.algorithm);
        assert!(server.accepts(&issuer.token()), "and again");
        assert!(!server.accepts(&Issuer::new("k", issuer.algorithm).token()), "of another key");
    }
    let rsa = rsa();
    let server = Server::new(&[rsa["jwks"]["keys"][0].clone()]);
    for (algorithm, token) in rsa["tokens"].as_object().unwrap() {
        assert!(server.accepts(token.as_str().unwrap()), "{algorithm}");
    }
}

#[test]
fn a_key_with_an_algorithm_is_for_that_algorithm_alone() {
    let rsa = rsa();
    let mut key = rsa["jwks"]["keys"][0].clone();
    key["alg"] = json!("PS256");
    let server = Server::new(&[key]);
    for (algorithm, token) in rsa["tokens"].as_object().unwrap() {
        assert_eq!(server.accepts(token.as_str().unwrap()), algorithm == "PS256", "{algorithm}");
    }
}

#[test]
fn the_algorithm_of_the_header_cannot_make_a_forged_token_pass() {
    let issuer = Issuer::new("k", Algorithm::ES256);
    let rsa = rsa();
    let server = Server::new(&[issuer.jwk(), rsa["jwks"]["keys"][0].clone()]);
    for none in ["none", "None", "NONE", "nOnE", ""] {
        for signature in ["", "AAAA"] {
            let token = unsigned(&json!({"alg": none, "kid": "k"}), &claims());
            assert!(!server.accepts(&format!("{token}.{signature}")), "{none}");
        }
    }
    // The classic: an HMAC whose secret is the public key, in all the forms a library may hold it in.
    let jwk = issuer.jwk();
    let point =
        [jwk["x"].as_str().unwrap(), jwk["y"].as_str().unwrap()].map(|part| BASE64.decode(part).unwrap());
    let modulus = rsa["jwks"]["keys"][0]["n"].as_str().unwrap();
    let secrets = [
        [&[4][..], &point[0], &point[1]].concat(),
        point.concat(),
        jwk.to_string().into_bytes(),
        BASE64.decode(modulus).unwrap(),
        modulus.as_bytes().to_vec(),
        Vec::new(),
    ];
    for (algorithm, kid) in [("HS256", "k"), ("HS384", "k"), ("HS512", "rsa"), ("HS256", "rsa")] {
        for secret in &secrets {
            let message = unsigned(&json!({"alg": algorithm, "kid": kid}), &claims());
            let key = EncodingKey::from_secret(secret);
            let signature =
                jsonwebtoken::crypto::sign(message.as_bytes(), &key, algorithm.parse().unwrap()).unwrap();
            assert!(!server.accepts(&format!("{message}.{signature}")), "{algorithm} {kid}");
        }
    }
    for other in ["ES384", "RS256", "PS256", "EdDSA", "ES256K", "es256"] {
        assert!(!server.accepts(&issuer.sign(&json!({"alg": other, "kid": "k"}), &claims())), "{other}");
    }
    let (rs, ps) = (rsa["tokens"]["RS256"].as_str().unwrap(), rsa["tokens"]["PS256"].as_str().unwrap());
    let swapped = format!("{}.{}", rs.rsplit_once('.').unwrap().0, ps.rsplit_once('.').unwrap().1);
    assert!(!server.accepts(&swapped));
}

#[test]
fn a_key_id_is_compared_and_never_followed() {
    let (issuer, other) = (Issuer::new("k", Algorithm::ES256), Issuer::new("other", Algorithm::ES256));
    let server = Server::new(&[issuer.jwk(), other.jwk()]);
    assert!(server.accepts(&issuer.token()));
    let ids = [
        json!("other"),
        json!("K"),
        json!(""),
        json!("../../../../dev/null"),
        json!("/dev/null"),
        json!("file:///etc/passwd"),
        json!("http://attacker.example/jwks"),
        json!("k' OR '1'='1"),
        json!("k\0"),
        json!("k "),
        json!("*"),
        json!(0),
        json!(["k"]),
        json!({"k": 1}),
        json!("k".repeat(5000)),
    ];
    for id in ids {
        assert!(!server.accepts(&issuer.sign(&json!({"alg": "ES256", "kid": id}), &claims())), "{id}");
    }
    let nameless = json!({"alg": "ES256"});
    assert!(!server.accepts(&issuer.sign(&nameless, &claims())), "two keys fit");
    assert!(
        Server::new(&[issuer.jwk(), rsa()["jwks"]["keys"][0].clone()])
            .accepts(&issuer.sign(&nameless, &claims()))
    );
}

#[test]
fn keys_that_a_token_brings_along_are_not_looked_at() {
    let (issuer, attacker) = (Issuer::new("k", Algorithm::ES256), Issuer::new("k", Algorithm::ES256));
    let server = Server::new(&[issuer.jwk()]);
    for (name, value) in [
        ("jwk", attacker.jwk()),
        ("jku", json!("https://attacker.example/jwks.json")),
        ("x5u", json!("https://attacker.example/chain.pem")),
        ("x5c", json!(["MIIB"])),
    ] {
        for kid in [json!("k"), Value::Null] {
            let header = json!({"alg": "ES256", "kid": kid, name: value});
            assert!(!server.accepts(&attacker.sign(&header, &claims())), "{name}");
        }
    }
}

#[test]
fn tokens_of_another_kind_or_with_extensions_that_must_be_understood_are_refused() {
    let issuer = Issuer::new("k", Algorithm::EdDSA);
    let server = Server::new(&[issuer.jwk()]);
    let signed = |name: &str, value: Value| {
        server.accepts(&issuer.sign(&json!({"alg": "EdDSA", "kid": "k", name: value}), &claims()))
    };
    for kind in ["JWT", "jwt", "at+jwt", "application/at+jwt"] {
        assert!(signed("typ", json!(kind)), "{kind}");
    }
    for kind in ["", "logout+jwt", "dpop+jwt", "secevent+jwt", "JWE"] {
        assert!(!signed("typ", json!(kind)), "{kind}");
    }
    for critical in [json!(["b64"]), json!([]), json!(["exp"])] {
        assert!(!signed("crit", critical));
    }
}

#[test]
fn a_token_that_was_changed_is_refused() {
    let issuer = Issuer::new("k", Algorithm::ES256);
    let server = Server::new(&[issuer.jwk()]);
    let token = issuer.token();
    let [header, payload, signature] = token.split('.').collect::<Vec<_>>()[..] else { panic!() };
    assert!(server.accepts(&token));
    let mut richer = claims();
    richer["scope"] = json!("infer:fraud admin:*");
    let richer = BASE64.encode(richer.to_string());
    let zeros = BASE64.encode([0; 64]);
    for changed in [
        format!("{header}.{richer}.{signature}"),
        format!("{header}.{payload}."),
        format!("{header}.{payload}"),
        format!("{header}.{payload}.{zeros}"), // CVE-2022-21449: r = s = 0
        format!("{header}.{payload}.{signature}="),
        format!("{header}.{payload}.{signature}.{signature}"),
        format!(".{payload}.{signature}"),
        format!("{header}..{signature}"),
        format!("{payload}.{header}.{signature}"),
        "..".to_owned(),
        format!("{header}.{payload}.{}", "A".repeat(9000)),
        format!("{}.{payload}.{signature}", BASE64.encode("[".repeat(3000))),
    ] {
        assert!(!server.accepts(&changed), "{changed}");
    }
    for position in (0..token.len()).step_by(13).chain([token.len() - 1]) {
        let mut bytes = token.clone().into_bytes();
        bytes[position] = if bytes[position] == b'B' { b'C' } else { b'B' };
        assert!(!server.accepts(&String::from_utf8(bytes).unwrap()), "{position}");
    }
}

#[test]
fn tokens_for_others_are_refused_however_well_signed() {
    let issuer = Issuer::new("k", Algorithm::ES256);
    let server = Server::new(&[issuer.jwk()]);
    let header = json!({"alg": "ES256", "kid": "k"});
    for (name, value) in [
        ("iss", json!("https://login.example.org")),
        ("iss", json!("https://attacker.example/")),
        ("aud", json!("https://other.example.org")),
        ("aud", json!([])),
        ("sub", json!("alice\nbob")),
        ("exp", Value::Null),
        ("nbf", json!(3600)),
    ] {
        let mut claims = claims();
        claims[name] = value;
        assert!(!server.accepts(&issuer.sign(&header, &claims)), "{name}");
    }
    assert!(!server.accepts(&issuer.sign(&header, &json!([claims()]))));
}

#[test]
fn a_token_that_was_accepted_before_ends_at_its_time() {
    let issuer = Issuer::new("k", Algorithm::ES256);
    let server = Server::new(&[issuer.jwk()]);
    let token = issuer.token();
    assert!(server.accepts(&token));
    server.clock.advance(Duration::from_secs(64));
    assert!(server.accepts(&token), "within the leeway");
    server.clock.advance(Duration::from_secs(1));
    assert!(!server.accepts(&token));
}

#[test]
fn a_rotated_key_set_ends_the_tokens_of_the_keys_that_are_gone() {
    let (old, new) = (Issuer::new("old", Algorithm::ES256), Issuer::new("new", Algorithm::EdDSA));
    let server = Server::new(&[old.jwk()]);
    let tokens = [old.token(), new.token()];
    let accepted = || [server.accepts(&tokens[0]), server.accepts(&tokens[1])];
    assert_eq!(accepted(), [true, false]);
    server.rotate(&json!({"keys": [old.jwk(), new.jwk()]}).to_string());
    assert_eq!(accepted(), [true, true]);
    server.rotate(&json!({"keys": [new.jwk()]}).to_string());
    assert_eq!(accepted(), [false, true], "remembered tokens too");
    for broken in ["", "{}", r#"{"keys": []}"#, "[]", r#"{"keys": [{"kty": "oct", "k": "c2VjcmV0"}]}"#] {
        server.rotate(broken);
        assert_eq!(accepted(), [false, true], "a broken file changes nothing: {broken}");
    }
}

#[test]
fn keys_that_are_of_no_use_are_left_out_and_a_set_without_others_does_not_open() {
    let issuer = Issuer::new("k", Algorithm::ES256);
    let changed = |name: &str, value: Value| {
        let mut jwk = issuer.jwk();
        jwk[name] = value;
        jwk
    };
    let of_no_use = [
        json!({"kty": "oct", "kid": "k", "k": "c2VjcmV0", "alg": "HS256"}),
        rsa()["short"]["jwks"]["keys"][0].clone(),
        json!({"kty": "RSA", "kid": "k", "n": "AQAB", "e": "AQAB"}),
        json!({"kty": "RSA", "kid": "k", "n": "%%%", "e": "AQAB"}),
        json!({"kty": "OKP", "kid": "k", "crv": "Ed25519", "x": "AAAA"}), // jsonwebtoken panics at such a key
        json!({"kty": "OKP", "kid": "k", "crv": "X25519", "x": "AAAA"}),
        json!({"kty": "EC", "kid": "k", "crv": "secp256k1", "x": "AAAA", "y": "AAAA"}),
        json!({"kty": "new", "kid": "k"}),
        changed("crv", json!("P-384")),
        changed("x", json!(BASE64.encode([1; 32]))), // not on the curve
        changed("use", json!("enc")),
        changed("key_ops", json!(["encrypt"])),
        changed("alg", json!("RS256")),
        changed("alg", json!("HS256")),
    ];
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("jwks.json");
    for useless in &of_no_use {
        fs::write(&file, json!({"keys": [useless]}).to_string()).unwrap();
        let opened = Jwt::open(&file, TokenRules::new("issuer", "audience"));
        assert!(matches!(opened, Err(Error::InvalidInput(_))), "{useless}");
    }
    let good = Issuer::new("good", Algorithm::EdDSA);
    let server = Server::new(&[&of_no_use[..], &[good.jwk()]].concat());
    assert!(server.accepts(&good.token()) && !server.accepts(&issuer.token()));
    assert!(!server.accepts(rsa()["short"]["token"].as_str().unwrap()));
    fs::write(&file, json!({"keys": [issuer.jwk(), issuer.jwk()]}).to_string()).unwrap();
    assert!(Jwt::open(&file, TokenRules::new("issuer", "audience")).is_err(), "two keys of one id");
}

#[test]
fn keys_and_tokens_go_side_by_side() {
    let issuer = Issuer::new("k", Algorithm::ES256);
    let mut server = Server::new(&[issuer.jwk()]);
    let key = ApiKey::generate().unwrap();
    let file = server.folder.path().join("keys.toml");
    fs::write(&file, key.entry("batch", &"infer:*".parse().unwrap(), None).unwrap()).unwrap();
    server.access = server.access.with_api_keys(ApiKeys::open(file).unwrap());
    assert!(server.accepts(&issuer.token()));
    let mut headers = HeaderMap::new();
    headers.insert("x-api-key", HeaderValue::from_str(key.reveal()).unwrap());
    let caller = server.access.authenticate(&headers, &Peer::unknown()).unwrap();
    assert_eq!((caller.name(), caller.method()), ("batch", Method::ApiKey));
    headers.insert("x-api-key", HeaderValue::from_str(&issuer.token()).unwrap());
    assert!(server.access.authenticate(&headers, &Peer::unknown()).is_err(), "a token is no key");
}

#[test]
fn the_log_says_what_was_wrong_and_the_caller_is_not_told() {
    let issuer = Issuer::new("k", Algorithm::ES256);
    let server = Server::new(&[issuer.jwk()]);
    let mut claims = claims();
    claims["aud"] = json!("https://other.example.org");
    let for_others = issuer.sign(&json!({"alg": "ES256", "kid": "k"}), &claims);
    let forged = Issuer::new("k", Algorithm::ES256).token();
    let good = issuer.token();
    let (events, _) = recorded(
        |_| true,
        || {
            assert!(server.accepts(&good) && !server.accepts(&for_others) && !server.accepts(&forged));
            server.clock.advance(Duration::from_secs(65));
            assert!(!server.accepts(&good));
        },
    );
    let reasons =
        ["the token is for another audience", "the signature of the token is wrong", "the token is expired"];
    assert_eq!(events.len(), reasons.len());
    for (event, reason) in events.iter().zip(reasons) {
        assert!(event.contains(&format!("reason={reason} ")), "{event}");
    }
    assert!(events[2].contains(r#"caller="alice""#), "the signature was right: {}", events[2]);
    for part in [&good, &for_others, &forged].into_iter().flat_map(|token| token.split('.')) {
        assert!(events.iter().all(|event| !event.contains(part)));
    }
}

proptest! {
    #[test]
    fn nothing_but_a_token_is_accepted(
        text in "[!-~]{1,40}(\\.[A-Za-z0-9_-]{0,60}){0,4}",
        header in "[ -~]{0,80}",
        claims in "[ -~]{0,80}",
    ) {
        thread_local!(static SERVER: Server = Server::new(&[Issuer::new("k", Algorithm::EdDSA).jwk()]));
        let encoded = format!("{}.{}.AAAA", BASE64.encode(header), BASE64.encode(claims));
        for token in [text, encoded] {
            prop_assert!(!SERVER.with(|server| server.accepts(&token)));
        }
    }
}
