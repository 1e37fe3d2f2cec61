//! The stored form, to the byte.

use mlops_core::{DType, Dimension, Lineage, ModelId, Signature, TensorSpec};
use proptest::prelude::*;

use super::*;
use crate::runs::{LoggedPoint, RunId, RunStatus};

const FILE: &str = "log/7.json";
const KEY: &str = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a";

/// The stored form of format 1, to the byte. It must never change.
const GOLDEN: &str = concat!(
    r#"{"format":1,"digest":"sha256:1347661c8d61e6353508b1d163fc7ce2e41ca47d33d9b05adb50865134ae0bfc","#,
    r#""content":{"sequence":7,"#,
    r#""previous":"sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad","#,
    r#""writer":"w","at":"2026-11-05T12:30:00.123456789Z","actor":"ci","#,
    r#""change":{"model":{"name":"fraud","change":{"register":{"version":{"version":"1.2.0-rc.1+x","#,
    r#""signature":{"inputs":[{"name":"x","datatype":"FP32","shape":["batch",4]}],"outputs":[]},"#,
    r#""artifacts":{"weights":{"digest":"#,
    r#""sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad","size":3}},"#,
    r#""metrics":{"auc":0.30000000000000004},"parameters":{"depth":"7"},"tags":{"team":"risk"},"#,
    r#""description":"d","lineage":{"data":null,"data_rows":12,"code":"4f1c2e7","run":null,"#,
    r#""parents":[{"name":"base","version":"3.0.0"}],"environment":{"rustc":"1.95"}}},"#,
    r#""signatures":[]}}}}}}"#
);

fn golden() -> Transition {
    let digest = Digest::of(b"abc");
    let registration = Registration {
        version: "1.2.0-rc.1+x".parse().unwrap(),
        signature: Signature::new(
            [TensorSpec::new("x", DType::Fp32, [Dimension::Batch, Dimension::Fixed(4)])],
            [],
        )
        .unwrap(),
        artifacts: [("weights".into(), StoredArtifact { digest, size: 3 })].into(),
        metrics: [("auc".into(), 0.1 + 0.2)].into(),
        parameters: [("depth".into(), "7".into())].into(),
        tags: [("team".into(), "risk".into())].into(),
        description: "d".into(),
        lineage: Lineage::default()
            .with_data_rows(12)
            .with_code("4f1c2e7")
            .with_parent(ModelId::new(ModelName::new("base").unwrap(), Version::new(3, 0, 0)))
            .with_environment("rustc", "1.95")
            .into(),
    };
    let version = RegistrationText::new(registration).unwrap();
    of_model(ModelChange::Register { version, signatures: Vec::new() })
}

fn of_model(change: ModelChange) -> Transition {
    let name = ModelName::new("fraud").unwrap();
    with(Change::Model { name, change })
}

fn with(change: Change) -> Transition {
    Transition {
        sequence: 7,
        previous: Some(Digest::of(b"abc")),
        writer: "w".into(),
        at: "2026-11-05T12:30:00.123456789Z".parse().unwrap(),
        actor: "ci".into(),
        change,
    }
}

/// The other changes, each with the text it is stored as.
fn others() -> Vec<(Change, String)> {
    let name = || ModelName::new("fraud").unwrap();
    let champion = || Alias::new("champion").unwrap();
    let v = || Version::new(1, 0, 0);
    let run = RunId::new(3);
    let point = |value| LoggedPoint {
        metric: "loss".into(),
        step: 1,
        value,
        at: "2026-11-05T12:30:00Z".parse().unwrap(),
    };
    let signature: VersionSignature =
        serde_json::from_str(&format!(r#"{{"key":"{KEY}","signature":"{}"}}"#, "0f".repeat(64))).unwrap();
    let signature_text = serde_json::to_string(&signature).unwrap();
    let protection = Protection::default().with_approvals(2).with_passed_gate();
    let metrics = BTreeMap::from([("auc".to_owned(), 0.5)]);
    let artifact = StoredArtifact { digest: Digest::of(b"abc"), size: 3 };
    let artifact_text = serde_json::to_string(&artifact).unwrap();
    let model = |change, text: &str| {
        (Change::Model { name: name(), change }, format!(r#"{{"model":{{"name":"fraud","change":{text}}}}}"#))
    };
    let run_change = |change, text: String| (Change::Run(change), format!(r#"{{"run":{text}}}"#));
    vec![
        model(
            ModelChange::MoveAlias { alias: champion(), from: None, to: Some(v()), reason: "r".into() },
            r#"{"move_alias":{"alias":"champion","from":null,"to":"1.0.0","reason":"r"}}"#,
        ),
        model(
            ModelChange::Tag { version: v(), name: "t".into(), from: Some("a".into()), to: None },
            r#"{"tag":{"version":"1.0.0","name":"t","from":"a","to":null}}"#,
        ),
        model(
            ModelChange::Report { version: v(), name: "g".into(), passed: Some(true), metrics, summary: "s".into() },
            r#"{"report":{"version":"1.0.0","name":"g","passed":true,"metrics":{"auc":0.5},"summary":"s"}}"#,
        ),
        model(
            ModelChange::Approve { version: v(), alias: champion(), comment: "c".into() },
            r#"{"approve":{"version":"1.0.0","alias":"champion","comment":"c"}}"#,
        ),
        model(
            ModelChange::Protect { alias: champion(), protection: Some(protection) },
            r#"{"protect":{"alias":"champion","protection":{"approvals":2,"passed_gate":true}}}"#,
        ),
        model(
            ModelChange::Sign { version: v(), signature },
            &format!(r#"{{"sign":{{"version":"1.0.0","signature":{signature_text}}}}}"#),
        ),
        model(
            ModelChange::Deprecate { version: v(), reason: Some("old".into()) },
            r#"{"deprecate":{"version":"1.0.0","reason":"old"}}"#,
        ),
        model(
            ModelChange::Delete { version: v(), reason: "r".into() },
            r#"{"delete":{"version":"1.0.0","reason":"r"}}"#,
        ),
        run_change(
            RunChange::Start {
                experiment: "e".into(),
                name: "n".into(),
                parent: Some(run),
                parameters: [("depth".into(), "7".into())].into(),
                tags: BTreeMap::new(),
            },
            r#"{"start":{"experiment":"e","name":"n","parent":"run-3","parameters":{"depth":"7"},"tags":{}}}"#.into(),
        ),
        run_change(
            RunChange::Log { run, points: vec![point(0.5), point(f64::NEG_INFINITY)] },
            concat!(
                r#"{"log":{"run":"run-3","points":["#,
                r#"{"metric":"loss","step":1,"value":0.5,"at":"2026-11-05T12:30:00Z"},"#,
                r#"{"metric":"loss","step":1,"value":"-Infinity","at":"2026-11-05T12:30:00Z"}]}}"#
            )
            .into(),
        ),
        run_change(
            RunChange::Tag { run, name: "a".into(), value: "b".into() },
            r#"{"tag":{"run":"run-3","name":"a","value":"b"}}"#.into(),
        ),
        run_change(
            RunChange::Attach { run, name: "model".into(), artifact },
            format!(r#"{{"attach":{{"run":"run-3","name":"model","artifact":{artifact_text}}}}}"#),
        ),
        run_change(
            RunChange::Finish { run, status: RunStatus::Finished },
            r#"{"finish":{"run":"run-3","status":"finished"}}"#.into(),
        ),
        (
            Change::Collect { blobs: vec![Digest::of(b"abc")] },
            format!(r#"{{"collect":{{"blobs":["{}"]}}}}"#, Digest::of(b"abc")),
        ),
    ]
}

#[test]
fn the_stored_form_of_no_change_changes() {
    for (change, text) in others() {
        assert_eq!(serde_json::to_string(&change).unwrap(), text);
        let transition = with(change);
        let bytes = encode(transition.clone());
        assert_eq!(Document::decode(FILE, 7, &bytes).unwrap().transition, transition);
    }
}

fn encode(transition: Transition) -> Vec<u8> {
    Document::encode(transition).unwrap().1
}

#[test]
fn the_stored_form_does_not_change() {
    assert_eq!(String::from_utf8(encode(golden())).unwrap(), GOLDEN);
    assert_eq!(Document::decode(FILE, 7, GOLDEN.as_bytes()).unwrap().transition, golden());
}

#[test]
fn other_formats_and_fields_are_refused_by_name() {
    let cases = [
        (GOLDEN.replace(r#""format":1"#, r#""format":2"#), "unsupported", "log/7.json has format 2"),
        (
            GOLDEN.replace(r#""format":1"#, r#""format":1,"more":1"#),
            "integrity",
            "log/7.json is no transition",
        ),
        (GOLDEN.replace("fraud", "fraus"), "integrity", "log/7.json should have digest"),
        (String::new(), "integrity", "log/7.json is no transition"),
        ("[]".to_owned(), "integrity", "log/7.json is no transition"),
    ];
    for (text, label, message) in cases {
        let error = Document::decode(FILE, 7, text.as_bytes()).unwrap_err();
        assert_eq!(error.label(), label, "{error}");
        assert!(error.to_string().contains(message), "{error}");
    }
    let error = Document::decode(FILE, 8, GOLDEN.as_bytes()).unwrap_err();
    assert_eq!(error.to_string(), "integrity violated: log/7.json holds transition 7");
    // A field nobody knows, under a digest that is right.
    for known in [r#""size":3"#, r#""code":"4f1c2e7""#, r#""actor":"ci""#, r#""version":"1.2.0-rc.1+x""#] {
        let text = serde_json::to_string(&golden()).unwrap().replace(known, &format!(r#"{known},"more":1"#));
        let error = Document::decode(FILE, 7, &sealed(&text)).unwrap_err();
        assert_eq!(error.label(), "integrity", "{known}: {error}");
    }
}

fn sealed(text: &str) -> Vec<u8> {
    let digest = Digest::of(text.as_bytes());
    format!(r#"{{"format":1,"digest":"{digest}","content":{text}}}"#).into_bytes()
}

fn optional_version() -> impl Strategy<Value = Option<Version>> {
    proptest::option::of((any::<u64>(), any::<u64>(), 0_u64..3).prop_map(|(a, b, c)| Version::new(a, b, c)))
}

fn changes() -> impl Strategy<Value = Change> {
    let text = any::<String>;
    let name = || ModelName::new("fraud").unwrap();
    let register = (any::<Vec<(String, String)>>(), any::<Vec<(String, f64)>>(), text()).prop_map(
        |(pairs, metrics, description)| {
            let Change::Model { change: ModelChange::Register { version, .. }, .. } = golden().change else {
                unreachable!()
            };
            let mut new = *version.parsed;
            new.metrics = metrics.into_iter().filter(|(_, value)| value.is_finite()).collect();
            new.parameters = pairs.iter().cloned().collect();
            new.tags = pairs.into_iter().rev().collect();
            new.description = description;
            ModelChange::Register { version: RegistrationText::new(new).unwrap(), signatures: Vec::new() }
        },
    );
    let alias = "[a-z][a-z0-9._-]{0,20}".prop_map(|alias| Alias::new(alias).unwrap());
    let moves = (alias, optional_version(), optional_version(), text())
        .prop_map(|(alias, from, to, reason)| ModelChange::MoveAlias { alias, from, to, reason });
    let tags = (text(), any::<Option<String>>(), any::<Option<String>>())
        .prop_map(|(name, from, to)| ModelChange::Tag { version: Version::new(1, 0, 0), name, from, to });
    let of_models =
        prop_oneof![register, moves, tags].prop_map(move |change| Change::Model { name: name(), change });
    let others = proptest::sample::select(others()).prop_map(|(change, _)| change);
    prop_oneof![3 => of_models, 1 => others]
}

proptest! {
    #[test]
    fn what_is_written_is_read_back(change in changes(), actor in any::<String>(), sequence in any::<u64>()) {
        let transition = Transition { sequence, actor, change, previous: None, ..golden() };
        let (document, bytes) = Document::encode(transition).unwrap();
        prop_assert_eq!(Document::decode(FILE, sequence, &bytes).unwrap(), document);
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in any::<Vec<u8>>(), text in "[\\[\\]{}:,\"0-9a-z]{0,200}") {
        prop_assert!(Document::decode(FILE, 7, &bytes).is_err());
        prop_assert!(Document::decode(FILE, 7, text.as_bytes()).is_err());
        // The same behind a digest that is right, where the inner decoder meets it.
        prop_assert!(Document::decode(FILE, 7, &sealed(&text)).is_err());
    }

    #[test]
    fn no_edit_makes_it_panic(
        edits in proptest::collection::vec((0..GOLDEN.len(), any::<u8>()), 1..4),
        cut in 0..GOLDEN.len(),
    ) {
        let mut bytes = GOLDEN.as_bytes().to_vec();
        for (at, byte) in edits {
            bytes[at] = byte;
        }
        if bytes != GOLDEN.as_bytes() {
            prop_assert!(Document::decode(FILE, 7, &bytes).is_err());
        }
        prop_assert!(Document::decode(FILE, 7, &bytes[..cut]).is_err());
        // And behind a digest that is right: the answer does not matter, only that there is one.
        let text = serde_json::to_string(&golden()).unwrap();
        let mut inner = text.into_bytes();
        let at = cut % inner.len();
        inner[at] = inner[at].wrapping_add(1);
        if let Ok(text) = String::from_utf8(inner) {
            let _ = Document::decode(FILE, 7, &sealed(&text));
        }
    }
}

#[test]
fn deep_nesting_is_refused() {
    let deep = "[".repeat(100_000);
    for bytes in [deep.clone().into_bytes(), sealed(&deep), format!(r#"{{"format":{deep}"#).into_bytes()] {
        assert!(Document::decode(FILE, 7, &bytes).is_err());
    }
}
