//! Who may call the server: API keys, certificates, scopes, rates and the audit of it all.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::fs;
use std::path::Path;
use std::time::Duration;

use http::{HeaderMap, HeaderValue};
use mlops_core::reexports::jiff::Timestamp;
use mlops_core::{Error, ManualClock};
use mlops_serve::server::access::{
    Access, ApiKey, ApiKeys, Caller, Method, Peer, PeerCertificate, Rate, Scopes, Verb,
};

use crate::support::events::{AUDIT, recorded};

const VERBS: [Verb; 4] = [Verb::Infer, Verb::Inspect, Verb::Metrics, Verb::Admin];

fn headers(name: &'static str, value: &str) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(name, HeaderValue::from_str(value).unwrap());
    headers
}

fn bearer(key: &str) -> HeaderMap {
    headers("authorization", &format!("Bearer {key}"))
}

fn peer(host: u8) -> Peer {
    Peer::at(([192, 0, 2, host], 50_000).into())
}

fn scopes(text: &str) -> Scopes {
    text.parse().unwrap()
}

/// A folder with a file of keys, and time that stands still.
struct Server {
    folder: tempfile::TempDir,
    clock: ManualClock,
}

impl Server {
    fn new() -> Self {
        let clock = ManualClock::new("2030-01-01T00:00:00Z".parse().unwrap());
        Self { folder: tempfile::tempdir().unwrap(), clock }
    }

    fn file(&self) -> std::path::PathBuf {
        self.folder.path().join("keys.toml")
    }

    /// Access by these keys.
    fn access(&self, entries: &[String]) -> Access {
        self.write(&entries.concat());
        Access::closed().with_api_keys(ApiKeys::open(self.file()).unwrap()).with_clock(self.clock.clone())
    }

    fn write(&self, keys: &str) {
        fs::write(self.file(), keys).unwrap();
    }

    fn entry(key: &ApiKey, name: &str, text: &str) -> String {
        key.entry(name, &scopes(text), None).unwrap()
    }
}

fn refusal(access: &Access, headers: &HeaderMap) -> String {
    match access.authenticate(headers, &peer(1)) {
        Err(error @ Error::Unauthenticated { .. }) => error.to_string(),
        other => panic!("{other:?}"),
    }
}

fn who(access: &Access, headers: &HeaderMap) -> Caller {
    access.authenticate(headers, &peer(1)).unwrap()
}

#[test]
fn an_open_server_lets_everybody_do_everything_but_administer_it() {
    let access = Access::open();
    for headers in [HeaderMap::new(), bearer("whatever"), headers("authorization", "Basic YTpi")] {
        let caller = who(&access, &headers);
        assert!(caller.is_anonymous());
        for (verb, model) in [(Verb::Infer, Some("fraud")), (Verb::Inspect, None), (Verb::Metrics, None)] {
            access.authorize(&caller, verb, model).unwrap();
        }
        for model in [None, Some("fraud")] {
            let refused = access.authorize(&caller, Verb::Admin, model);
            assert!(matches!(refused, Err(Error::PermissionDenied { .. })), "{refused:?}");
        }
    }
}

#[test]
fn a_server_that_can_tell_callers_apart_is_open_no_more() {
    let server = Server::new();
    server.write("key = []");
    let keys = || ApiKeys::open(server.file()).unwrap();
    let by_certificate = Access::open().with_certificates([("batch", scopes("infer:*"))]).unwrap();
    for access in [Access::closed(), Access::open().with_api_keys(keys()), by_certificate] {
        let caller = who(&access, &HeaderMap::new());
        for verb in VERBS.into_iter().filter(|verb| *verb != Verb::Admin) {
            let refused = access.authorize(&caller, verb, Some("fraud"));
            assert!(matches!(refused, Err(Error::Unauthenticated { .. })), "{refused:?}");
        }
    }
    for access in [
        Access::open().with_anonymous(scopes("inspect:*")).with_api_keys(keys()),
        Access::open().with_api_keys(keys()).with_anonymous(scopes("inspect:*")),
    ] {
        let caller = who(&access, &HeaderMap::new());
        assert!(access.authorize(&caller, Verb::Inspect, None).is_ok());
        assert!(access.authorize(&caller, Verb::Infer, Some("fraud")).is_err());
    }
}

#[test]
fn a_key_is_taken_from_either_header_and_a_wrong_one_is_never_taken_for_none() {
    let (server, key) = (Server::new(), ApiKey::generate().unwrap());
    let access = server.access(&[Server::entry(&key, "batch", "infer:*")]).with_anonymous(scopes("infer:*"));
    for headers in [bearer(key.reveal()), headers("x-api-key", key.reveal())] {
        let caller = who(&access, &headers);
        assert_eq!(
            (caller.name(), caller.method(), caller.address()),
            ("batch", Method::ApiKey, peer(1).address())
        );
    }
    let unknown = "unauthenticated: the API key is unknown or expired";
    for wrong in [ApiKey::generate().unwrap().reveal(), "a.b.c", &key.hash().to_string(), &key.reveal()[1..]]
    {
        assert_eq!(refusal(&access, &bearer(wrong)), unknown);
        assert_eq!(refusal(&access, &headers("x-api-key", wrong)), unknown);
    }
    let mut twice = bearer(key.reveal());
    twice.append("authorization", HeaderValue::from_static("Bearer other"));
    assert!(refusal(&access, &twice).contains("twice"));
    let mut both = bearer(key.reveal());
    both.insert("x-api-key", HeaderValue::from_str(key.reveal()).unwrap());
    assert!(refusal(&access, &both).contains("send one"));
    assert!(refusal(&access, &bearer(&"a".repeat(100_000))).contains("longer than 8 KiB"));
    let mut hidden = HeaderMap::new();
    hidden.insert("x-api-key", HeaderValue::from_bytes("ключ".as_bytes()).unwrap());
    assert!(refusal(&access, &hidden).contains("visible ASCII"));
}

#[test]
fn a_key_ends_at_its_time_and_the_caller_is_not_told_that_it_ever_was() {
    let (server, key) = (Server::new(), ApiKey::generate().unwrap());
    let expires: Timestamp = "2030-01-01T00:01:00Z".parse().unwrap();
    let access = server.access(&[key.entry("batch", &scopes("infer:*"), Some(expires)).unwrap()]);
    server.clock.advance(Duration::from_secs(59));
    assert_eq!(who(&access, &bearer(key.reveal())).name(), "batch");
    server.clock.advance(Duration::from_secs(1));
    let unknown = refusal(&access, &bearer(ApiKey::generate().unwrap().reveal()));
    assert_eq!(refusal(&access, &bearer(key.reveal())), unknown);
}

#[test]
fn keys_are_rotated_while_the_server_runs() {
    let server = Server::new();
    let (old, new) = (ApiKey::generate().unwrap(), ApiKey::generate().unwrap());
    let (old_entry, new_entry) =
        (Server::entry(&old, "batch", "infer:*"), Server::entry(&new, "batch", "admin:*"));
    let access = server.access(std::slice::from_ref(&old_entry));
    let known = || [&old, &new].map(|key| access.authenticate(&bearer(key.reveal()), &peer(1)).is_ok());
    let after = |content: &str| {
        server.write(content);
        server.clock.advance(Duration::from_secs(1));
        known()
    };
    assert_eq!(known(), [true, false]);
    assert_eq!(after(&format!("{old_entry}{new_entry}")), [true, true], "both, under one name");
    assert_eq!(after(&new_entry), [false, true]);
    for broken in ["", "key = 7", "[[key]]", &format!("{new_entry}{new_entry}"), "\0"] {
        assert_eq!(after(broken), [false, true], "a broken file changes nothing: {broken:?}");
    }
    fs::remove_file(server.file()).unwrap();
    server.clock.advance(Duration::from_secs(1));
    assert_eq!(known(), [false, true], "nor does a missing one");
    assert_eq!(after("key = []"), [false, false]);
}

#[test]
fn a_file_of_keys_that_is_not_there_or_broken_does_not_open() {
    let server = Server::new();
    assert!(matches!(ApiKeys::open(server.file()), Err(Error::Unavailable { .. })));
    assert!(matches!(ApiKeys::open(server.folder.path()), Err(Error::Unavailable { .. })));
    server.write("[[key]]\nname = \"batch\"");
    assert!(matches!(ApiKeys::open(server.file()), Err(Error::InvalidInput(_))));
}

#[test]
fn a_known_caller_may_do_what_its_scopes_say_and_is_denied_the_rest() {
    let (server, key) = (Server::new(), ApiKey::generate().unwrap());
    let access = server.access(&[Server::entry(&key, "batch", "infer:fraud-* inspect:churn")]).with_admin();
    let caller = who(&access, &bearer(key.reveal()));
    let allowed = [(Verb::Infer, Some("fraud-eu")), (Verb::Inspect, Some("churn"))];
    let models = [None, Some("fraud-eu"), Some("fraud"), Some("churn"), Some("../fraud-eu"), Some("")];
    for asked in VERBS.into_iter().flat_map(|verb| models.map(|model| (verb, model))) {
        match access.authorize(&caller, asked.0, asked.1) {
            Ok(()) => assert!(allowed.contains(&asked), "{asked:?}"),
            Err(Error::PermissionDenied { .. }) => assert!(!allowed.contains(&asked), "{asked:?}"),
            Err(other) => panic!("{other}"),
        }
    }
    let denied = access.authorize(&caller, Verb::Infer, Some("a\nb")).unwrap_err();
    assert_eq!(denied.to_string(), r"permission denied: `batch` has no scope `infer` for the model `a\nb`");
}

#[test]
fn a_caller_without_scopes_is_known_and_may_do_nothing() {
    let (server, key) = (Server::new(), ApiKey::generate().unwrap());
    let access =
        server.access(&[Server::entry(&key, "nobody", "")]).with_anonymous(scopes("infer:*")).with_admin();
    let caller = who(&access, &bearer(key.reveal()));
    for verb in VERBS {
        let denied = access.authorize(&caller, verb, Some("fraud"));
        assert!(matches!(denied, Err(Error::PermissionDenied { .. })), "not even what the anonymous may");
    }
}

#[test]
fn administration_is_off_until_it_is_switched_on_and_then_for_those_with_the_scope() {
    let (server, key) = (Server::new(), ApiKey::generate().unwrap());
    let off = server.access(&[Server::entry(&key, "operator", "admin:*")]);
    let caller = who(&off, &bearer(key.reveal()));
    let denied = off.authorize(&caller, Verb::Admin, Some("fraud")).unwrap_err();
    assert_eq!(denied.to_string(), "permission denied: administration is switched off on this server");
    let on = off.with_admin();
    assert!(on.authorize(&caller, Verb::Admin, Some("fraud")).is_ok());
    assert!(on.authorize(&caller, Verb::Admin, None).is_ok());
    assert!(on.authorize(&caller, Verb::Infer, Some("fraud")).is_err(), "a verb implies no other");
    assert!(on.authorize(&who(&on, &HeaderMap::new()), Verb::Admin, None).is_err());
}

#[test]
fn callers_are_known_by_their_certificates_unless_they_bring_a_credential() {
    let (server, key) = (Server::new(), ApiKey::generate().unwrap());
    let access = server
        .access(&[Server::entry(&key, "by-key", "infer:*")])
        .with_certificates([("spiffe://example.org/batch", scopes("infer:fraud")), ("b", scopes("admin:*"))])
        .unwrap();
    let with = |names: &[&str]| peer(1).with_certificate(PeerCertificate::new(names.iter().copied()));
    let of = |headers: &HeaderMap, names: &[&str]| access.authenticate(headers, &with(names));
    let none = HeaderMap::new();

    let caller = of(&none, &["unknown", "spiffe://example.org/batch", "b"]).unwrap();
    assert_eq!((caller.name(), caller.method()), ("spiffe://example.org/batch", Method::Certificate));
    assert!(access.authorize(&caller, Verb::Infer, Some("fraud")).is_ok());
    assert!(of(&none, &["spiffe://example.org/batch2", "B", ""]).unwrap().is_anonymous());
    assert_eq!(of(&bearer(key.reveal()), &["b"]).unwrap().method(), Method::ApiKey);
    assert!(of(&bearer("wrong"), &["b"]).is_err(), "a wrong key does not fall back to the certificate");
    assert!(Access::closed().with_certificates([("", Scopes::none())]).is_err());
}

#[test]
fn each_client_has_its_rate() {
    let server = Server::new();
    let keys = [ApiKey::generate().unwrap(), ApiKey::generate().unwrap()];
    let entries = [Server::entry(&keys[0], "a", ""), Server::entry(&keys[1], "b", "")];
    let access = server.access(&entries).with_rate(Rate::new(1, 2).unwrap());
    let admitted = |headers: &HeaderMap, peer: &Peer| {
        let caller = access.authenticate(headers, peer).unwrap();
        (0..10).filter(|_| access.admit(&caller).is_ok()).count()
    };
    assert_eq!(admitted(&bearer(keys[0].reveal()), &peer(1)), 2);
    assert_eq!(
        admitted(&bearer(keys[0].reveal()), &peer(2)),
        0,
        "a known caller is one client wherever it is"
    );
    assert_eq!(admitted(&bearer(keys[1].reveal()), &peer(1)), 2);
    assert_eq!(admitted(&HeaderMap::new(), &peer(1)), 2);
    assert_eq!(admitted(&HeaderMap::new(), &peer(2)), 2);
    assert_eq!(admitted(&HeaderMap::new(), &Peer::unknown()), 2);

    let caller = access.authenticate(&bearer(keys[0].reveal()), &peer(1)).unwrap();
    let exceeded = access.clone().admit(&caller).unwrap_err();
    assert_eq!(exceeded.retry_after(), Duration::from_secs(1));
    assert!(matches!(Error::from(exceeded), Error::Overloaded { .. }));
    server.clock.advance(exceeded.retry_after());
    assert!(access.admit(&caller).is_ok());
}

#[test]
fn whoever_guesses_keys_is_slowed_down_and_the_owners_of_keys_are_not() {
    let (server, key) = (Server::new(), ApiKey::generate().unwrap());
    let access = server.access(&[Server::entry(&key, "batch", "")]).with_rate(Rate::new(1, 3).unwrap());
    let (events, outcomes) = recorded(AUDIT, || {
        (0..100)
            .map(|_| access.authenticate(&bearer("guess"), &peer(1)).unwrap_err().label())
            .collect::<Vec<_>>()
    });
    assert_eq!(outcomes.iter().filter(|label| **label == "unauthenticated").count(), 3);
    assert_eq!(outcomes.iter().filter(|label| **label == "overloaded").count(), 97);
    assert_eq!(events.len(), 3, "nor is the log flooded");
    let caller = access.authenticate(&bearer(key.reveal()), &peer(1)).unwrap();
    assert!(access.admit(&caller).is_ok());
}

#[test]
fn failed_authentication_and_administration_are_audited() {
    let (server, key) = (Server::new(), ApiKey::generate().unwrap());
    let expires = "2030-01-01T00:00:00Z".parse().unwrap();
    let late = ApiKey::generate().unwrap();
    let access = server
        .access(&[
            Server::entry(&key, "Zoë \"the\" operator", "admin:fraud infer:*"),
            late.entry("late", &Scopes::none(), Some(expires)).unwrap(),
        ])
        .with_admin();
    let (events, ()) = recorded(AUDIT, || {
        let caller = who(&access, &bearer(key.reveal()));
        access.authorize(&caller, Verb::Infer, Some("fraud")).unwrap();
        assert!(access.authorize(&caller, Verb::Infer, None).is_ok());
        access.authorize(&caller, Verb::Admin, Some("fraud")).unwrap();
        access.authorize(&caller, Verb::Admin, Some("x\nINFO forged")).unwrap_err();
        access.authorize(&who(&access, &HeaderMap::new()), Verb::Admin, None).unwrap_err();
        refusal(&access, &bearer("guess"));
        refusal(&access, &bearer(late.reveal()));
    });
    let address = "192.0.2.1:50000";
    let operator = r#"caller="Zoë \"the\" operator" method=api_key verb=admin"#;
    assert_eq!(
        events,
        [
            format!(r#"INFO {operator} model="fraud" peer={address} outcome=allowed message=administration"#),
            format!(
                r#"WARN {operator} model="x\nINFO forged" peer={address} outcome=refused message=administration"#
            ),
            format!(
                r#"WARN caller="anonymous" method=anonymous verb=admin peer={address} outcome=refused message=administration"#
            ),
            format!(
                "WARN peer={address} outcome=unauthenticated reason=the API key is unknown message=authentication failed"
            ),
            format!(
                "WARN caller=\"late\" peer={address} outcome=unauthenticated reason=the API key is expired message=authentication failed"
            ),
        ]
    );
}

#[test]
fn nothing_shows_a_secret() {
    let (server, key) = (Server::new(), ApiKey::generate().unwrap());
    let access =
        server.access(&[Server::entry(&key, "batch", "infer:*")]).with_rate(Rate::new(1, 9).unwrap());
    let guess = "a-secret-that-belongs-to-another-service";
    let (events, shown) = recorded(
        |_| true,
        || {
            let caller = who(&access, &bearer(key.reveal()));
            access.authorize(&caller, Verb::Admin, None).unwrap_err();
            let refused = [bearer(guess), headers("x-api-key", guess), headers("authorization", guess)]
                .map(|headers| access.authenticate(&headers, &peer(1)).unwrap_err());
            server.write(&format!("[[key]]\nname = \"a\"\nhash = \"{guess}\"\nscopes = []"));
            server.clock.advance(Duration::from_secs(1));
            let caller = who(&access, &bearer(key.reveal()));
            format!("{refused:?} {access:?} {access:#?} {caller:?} {key:?}")
        },
    );
    assert!(events.iter().any(|event| event.starts_with("ERROR")), "the broken file was logged: {events:?}");
    let hash = key.hash().to_string();
    for text in events.iter().chain([&shown]) {
        for secret in [key.reveal(), guess, &hash["sha256:".len()..]] {
            assert!(!text.contains(secret), "{text}");
        }
    }
}

#[test]
fn a_reload_that_takes_the_place_of_the_file_is_seen() {
    let server = Server::new();
    let (old, new) = (ApiKey::generate().unwrap(), ApiKey::generate().unwrap());
    let access = server.access(&[Server::entry(&old, "a", "")]);
    who(&access, &bearer(old.reveal()));
    let next: &Path = &server.folder.path().join("next.toml");
    fs::write(next, Server::entry(&new, "a", "")).unwrap();
    fs::rename(next, server.file()).unwrap();
    server.clock.advance(Duration::from_secs(1));
    assert!(refusal(&access, &bearer(old.reveal())).contains("unknown or expired"));
    assert_eq!(who(&access, &bearer(new.reveal())).name(), "a");
}
