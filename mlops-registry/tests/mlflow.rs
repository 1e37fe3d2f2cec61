//! The registry on a real MLflow server, beside MLflow's own client.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::Command;
use std::time::Duration;

use common::servers::MlflowServer;
use common::{champion, name, new, next, select, v};
use futures_util::StreamExt;
use mlops_core::conformance::registry::check;
use mlops_core::{
    Alias, AliasMove, AuditEvent, Content, DType, Deletion, Deprecation, Digest, Dimension, EventStream,
    Lineage, ModelId, NewReport, Query, Registry, Rollback, Signature, Tagging, TensorSpec,
};
use mlops_registry::MlflowRegistry;
use serde_json::{Value, json};

#[tokio::test(flavor = "multi_thread")]
async fn it_keeps_the_contract() {
    let Some(server) = MlflowServer::start() else { return };
    check(async || {
        // The suite asks for an empty registry each time.
        let all = ask(&server.url(), "GET", "registered-models/search", &json!({}));
        for model in all["registered_models"].as_array().into_iter().flatten() {
            ask(&server.url(), "DELETE", "registered-models/delete", &json!({ "name": model["name"] }));
        }
        open(&server)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_mlflow_has_registered_is_read() {
    let Some(server) = MlflowServer::shared() else { return };
    let told = python(
        server,
        r#"
import mlflow, numpy as np
from mlflow.models import ModelSignature
from mlflow.types import ColSpec, Schema, TensorSpec
mlflow.set_experiment("theirs")
class Model(mlflow.pyfunc.PythonModel):
    def predict(self, context, model_input, params=None): return model_input
tensors = ModelSignature(
    inputs=Schema([TensorSpec(np.dtype("float32"), (-1, 4), "x"), TensorSpec(np.dtype("str"), (-1, -1), "y")]),
    outputs=Schema([TensorSpec(np.dtype("int64"), (-1,))]))
columns = ModelSignature(inputs=Schema([ColSpec("double", "it's"), ColSpec("long", "n", required=False)]))
open("notes.txt", "w").write("notes\n" * 100_000)
for signature in (tensors, columns, None):
    with mlflow.start_run() as run:
        mlflow.log_metric("auc", 0.1 + 0.2)
        mlflow.log_metric("nan", float("nan"))
        mlflow.log_param("depth", 7)
        mlflow.set_tag("mlflow.user", "alice")
        mlflow.pyfunc.log_model(name="model", python_model=Model(), signature=signature,
            artifacts={"notes": "notes.txt"}, registered_model_name="theirs")
client.set_registered_model_alias("theirs", "champion", 1)
client.set_model_version_tag("theirs", "1", "team", "risk")
client.update_model_version("theirs", "1", description="What a person should know")
client.create_registered_model("with spaces")
client.create_registered_model("empty-theirs")
folder = mlflow.artifacts.download_artifacts("models:/theirs/1")
import hashlib, os
for where, _, files in os.walk(folder):
    for file in set(files) - {"registered_model_meta"}: # which the client adds
        path = os.path.join(where, file)
        print(hashlib.sha256(open(path, "rb").read()).hexdigest(), os.path.relpath(path, folder))
"#,
    );
    let registry = open(server);
    let theirs = name("theirs");
    let first = registry.resolve(&theirs, &select("@champion")).await.unwrap();
    assert_eq!(first.id, ModelId::new(theirs.clone(), v("1.0.0")));
    let batch = Dimension::Batch;
    let tensors = Signature::new(
        [
            TensorSpec::new("x", DType::Fp32, [batch, Dimension::Fixed(4)]),
            TensorSpec::new("y", DType::Bytes, [batch, Dimension::Free]),
        ],
        [TensorSpec::new("output-0", DType::Int64, [batch])],
    );
    assert_eq!(first.signature, tensors.unwrap());
    assert_eq!(first.metrics, BTreeMap::from([("auc".to_owned(), 0.1 + 0.2)]));
    assert_eq!(first.parameters, BTreeMap::from([("depth".to_owned(), "7".to_owned())]));
    assert_eq!(first.tags, BTreeMap::from([("team".to_owned(), "risk".to_owned())]));
    assert_eq!(first.description, "What a person should know");
    assert_eq!((first.registered_by.as_str(), first.aliases.len()), ("alice", 1));
    assert!(first.lineage.run.is_some());

    let files: Vec<_> =
        told.lines().filter_map(|line| line.split_once(' ')).filter(|(hex, _)| hex.len() == 64).collect();
    assert!(files.len() >= 5 && files.len() == first.artifacts.len(), "{told}\n{:?}", first.artifacts);
    for (hex, path) in files {
        let artifact = path.replace('/', "__");
        let described = first.artifacts[&artifact];
        assert_eq!(described.digest.hex(), hex, "{path}");
        let bytes = registry.fetch(&first, &artifact).await.unwrap();
        assert_eq!((Digest::of(&bytes), bytes.len() as u64), (described.digest, described.size), "{path}");
    }
    assert!(first.artifacts.contains_key("artifacts__notes.txt"), "{:?}", first.artifacts);
    let mut wrong = first.clone();
    wrong.artifacts.get_mut("MLmodel").unwrap().digest = Digest::of(b"other");
    assert_eq!(registry.fetch(&wrong, "MLmodel").await.unwrap_err().label(), "integrity");

    let versions = registry.versions(&theirs).await.unwrap();
    let columns = Signature::new(
        [
            TensorSpec::new("it's", DType::Fp64, [batch]),
            TensorSpec::new("n", DType::Int64, [batch]).optional(),
        ],
        [],
    );
    assert_eq!(versions[1].signature, columns.unwrap());
    assert_eq!(versions[2].signature, Signature::new([], []).unwrap());
    assert_eq!(versions[0], first);
    let query = Query::new().with_model(theirs.clone()).with_tag("team", "risk");
    assert_eq!(registry.search(&query).await.unwrap(), std::slice::from_ref(&first));
    let models = registry.models().await.unwrap();
    assert!(models.contains(&theirs) && !models.contains(&name("empty-theirs")), "{models:?}");

    // Ours beside theirs.
    let told = |history: &[AuditEvent]| -> Vec<String> {
        history.iter().map(|event| format!("{}: {}", event.actor, event.change)).collect()
    };
    let seen = ": @champion: none -> 1.0.0 (by another client of MLflow; when is not known)";
    let history = registry.history(&theirs).await.unwrap();
    let mut expected =
        vec!["alice: registered 1.0.0", "alice: registered 2.0.0", "alice: registered 3.0.0", seen];
    assert_eq!(told(&history), expected);
    registry.tag(Tagging::set(first.id.clone(), "gate", "passed").by("bob")).await.unwrap();
    registry.report(NewReport::gate(first.id.clone(), "gate", true).by("bob")).await.unwrap();
    let ours = registry.register(next("theirs").by("ci")).await.unwrap();
    assert_eq!(ours.id.version, v("4.0.0"));
    registry.move_alias(AliasMove::new(theirs.clone(), champion(), v("4.0.0")).by("bob")).await.unwrap();
    registry.rollback(Rollback::new(theirs.clone(), champion()).by("bob")).await.unwrap();
    registry.delete(Deletion::new(versions[1].id.clone()).by("bob")).await.unwrap();
    expected.extend([
        "bob: tag gate of 1.0.0: none -> passed",
        "bob: 1.0.0 passed gate",
        "ci: registered 4.0.0",
        "bob: @champion: 1.0.0 -> 4.0.0",
        "bob: @champion: 4.0.0 -> 1.0.0",
        "bob: deleted 2.0.0",
    ]);
    let history = registry.history(&theirs).await.unwrap();
    assert_eq!(told(&history), expected);
    assert!(
        history.is_sorted_by(|a, b| a.sequence < b.sequence) && history.is_sorted_by_key(|event| event.at)
    );
    assert_eq!(open(server).history(&theirs).await.unwrap(), history, "another process sees the same");
    let first = registry.resolve(&theirs, &select("@champion")).await.unwrap();
    assert_eq!((first.tags["gate"].as_str(), first.reports.len()), ("passed", 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_registered_mlflow_reads() {
    let Some(server) = MlflowServer::shared() else { return };
    let registry = open(server);
    let folder = tempfile::tempdir().unwrap();
    let weights: Vec<u8> = (0..3_000_000_u32).map(|n| (n % 251) as u8).collect();
    std::fs::write(folder.path().join("weights"), &weights).unwrap();
    let new = new("ours", "1.2.3")
        .with_artifact("weights", Content::file(folder.path().join("weights")))
        .with_metric("auc", 0.1 + 0.2)
        .with_metric("not plain: ü", 1.0)
        .with_parameter("depth", 7)
        .with_parameter("empty", "")
        .with_tag("team", "risk")
        .with_description("What a person should know")
        .with_lineage(Lineage::default().with_code("4f1c2e7"))
        .by("ci");
    let version = registry.register(new).await.unwrap();
    registry.move_alias(AliasMove::new(name("ours"), champion(), v("1.2.3"))).await.unwrap();
    assert_eq!(
        version.artifacts.len(),
        1,
        "the file that MLflow wants is no artifact: {:?}",
        version.artifacts
    );
    let told = python(
        server,
        r#"
import hashlib, json, mlflow
version = client.get_model_version_by_alias("ours", "champion")
run = client.get_run(version.run_id)
folder = mlflow.artifacts.download_artifacts("models:/ours@champion")
info = mlflow.models.get_model_info("models:/ours@champion")
print(json.dumps({
    "version": version.version, "description": version.description, "semver": version.tags["mlops.version"],
    "team": version.tags["team"], "auc": run.data.metrics["auc"], "params": run.data.params, "status": run.info.status,
    "run": run.info.run_name, "user": run.data.tags["mlflow.user"],
    "weights": hashlib.sha256(open(folder + "/weights", "rb").read()).hexdigest(),
    "inputs": info.signature.inputs.to_dict(), "outputs": info.signature.outputs.to_dict(),
}))
"#,
    );
    let told: Value = serde_json::from_str(told.lines().last().unwrap()).unwrap();
    let tensor = |name: &str, length: i64| {
        let tensor = json!({ "dtype": "float32", "shape": [-1, length] });
        json!([{ "name": name, "type": "tensor", "tensor-spec": tensor }])
    };
    let expected = json!({
        "version": "1", "description": "What a person should know", "semver": "1.2.3", "team": "risk", "auc": 0.1 + 0.2,
        "params": { "depth": "7", "empty": "" }, "status": "FINISHED", "run": "ours 1.2.3", "user": "ci",
        "weights": Digest::of(&weights).hex(), "inputs": tensor("x", 4), "outputs": tensor("scores", 10),
    });
    assert_eq!(told, expected);
    assert_eq!(version.metrics["not plain: ü"], 1.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_others_change_is_noticed() {
    let Some(server) = MlflowServer::shared() else { return };
    let (registry, model) = (open(server).with_poll_interval(Duration::from_millis(50)), name("changed"));
    for version in ["1.0.0", "2.0.0", "5.0.0"] {
        registry.register(new("changed", version).with_artifact("weights", &b"bytes"[..])).await.unwrap();
    }
    registry.move_alias(AliasMove::new(model.clone(), champion(), v("1.0.0"))).await.unwrap();
    let mut events = registry.watch();
    python(
        server,
        r#"
for source in range(3):
    client.create_model_version("changed", client.get_model_version("changed", 1).source,
        run_id=client.get_model_version("changed", 1).run_id)
client.set_model_version_tag("changed", "6", "mlops.version", "4.0.0-rc.1")
client.set_registered_model_alias("changed", "champion", 4)
client.delete_model_version("changed", 2)
client.set_registered_model_alias("changed", "not.ours".replace(".", "-"), 3)
"#,
    );
    let mut told = Vec::new();
    while told.len() < 6 {
        told.push(one(&mut events, &model).await.change.to_string());
    }
    let seen = "(by another client of MLflow; when is not known)";
    told.sort();
    let mut expected = vec![
        format!("@champion: 1.0.0 -> 4.0.0 {seen}"),
        format!("@not-ours: none -> 5.0.0 {seen}"),
        format!("deleted 2.0.0 {seen}"),
        // MLflow's 4, 5 and 6: 5.0.0 was taken, and 6 got a name of its own.
        "registered 4.0.0".to_owned(),
        "registered 4.0.0-rc.1".to_owned(),
        "registered 5.0.1".to_owned(),
    ];
    expected.sort();
    assert_eq!(told, expected);
    let champion_now = registry.resolve(&model, &select("@champion")).await.unwrap();
    assert_eq!(champion_now.id.version, v("4.0.0"));
    assert_eq!(registry.fetch(&champion_now, "weights").await.unwrap(), &b"bytes"[..]);
    for version in ["4.0.0", "4.0.0-rc.1", "5.0.1", "2.0.0"] {
        let error = registry.register(new("changed", version)).await.unwrap_err();
        assert_eq!(error.label(), "conflict", "{version}: {error}");
    }
    registry.rollback(Rollback::new(model.clone(), champion())).await.unwrap();
    assert_eq!(registry.resolve(&model, &select("@champion")).await.unwrap().id.version, v("1.0.0"));
    let before = registry.history(&model).await.unwrap();
    assert_eq!(open(server).history(&model).await.unwrap(), before);

    // Whoever edits what must not change is found out.
    let set = json!({ "name": "changed", "version": "1", "key": "mlops.metrics", "value": "{\"auc\":1.0}" });
    ask(&server.url(), "POST", "model-versions/set-tag", &set);
    let error = registry.resolve(&model, &select("1.0.0")).await.unwrap_err();
    assert!(error.label() == "integrity" && error.to_string().contains("were they edited?"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_processes_that_register_one_version_one_wins() {
    let Some(server) = MlflowServer::shared() else { return };
    // Two that share nothing, as two processes do.
    let (one, two) = (open(server), open(server));
    for round in 1..=5 {
        let version = format!("{round}.0.0");
        let register = |registry: &MlflowRegistry, actor: &'static str| {
            let (registry, new) =
                (registry.clone(), new("raced", &version).with_artifact("weights", actor.as_bytes()));
            tokio::spawn(async move { registry.register(new.by(actor)).await })
        };
        let (a, b) = (register(&one, "a"), register(&two, "b"));
        let (a, b) = (a.await.unwrap(), b.await.unwrap());
        let (winner, loser) = if a.is_ok() { (a, b) } else { (b, a) };
        let (winner, loser) = (winner.unwrap(), loser.unwrap_err());
        assert_eq!(loser.label(), "conflict", "{loser}");
        for registry in [&one, &two] {
            let resolved = registry.resolve(&name("raced"), &select(&version)).await.unwrap();
            assert_eq!(resolved, winner);
            let bytes = registry.fetch(&resolved, "weights").await.unwrap();
            assert_eq!(bytes, winner.registered_by.as_bytes());
            assert_eq!(registry.history(&name("raced")).await.unwrap().len(), round);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn names_and_texts_that_mlflow_refuses_are_kept_all_the_same() {
    let Some(server) = MlflowServer::shared() else { return };
    let registry = open(server);
    let long = "ü \"quoted\" \0 \n".repeat(400);
    let (hostile, short) =
        (["../x", "a//b", "ü:%#?&", "mlops.version", "mlops.event.1", " a ", "."], "short".to_owned());
    let mut expected = new("hostile-ours", "1.0.0").with_description(long.clone()).by("ü".repeat(100));
    for name in hostile {
        expected = expected.with_tag(name, &long).with_metric(name, -0.0).with_parameter(name, &long);
    }
    let lineage = Lineage::default().with_environment("ü", &long);
    let version = registry.register(expected.clone().with_lineage(lineage.clone())).await.unwrap();
    assert_eq!((&version.tags, &version.parameters), (&expected.tags, &expected.parameters));
    assert_eq!((&version.description, &version.lineage), (&expected.description, &lineage));
    assert!(version.metrics.values().all(|value| value.is_sign_negative()));
    for (from, to) in [(&long, &short), (&short, &long), (&long, &short)] {
        for name in hostile {
            let event = registry.tag(Tagging::set(version.id.clone(), name, to)).await.unwrap();
            assert!(event.change.to_string().contains(from.as_str()), "{name}");
        }
    }
    registry.deprecate(Deprecation::new(version.id.clone(), &long)).await.unwrap();
    let version = registry.resolve(&version.id.name, &select("1.0.0")).await.unwrap();
    assert!(version.tags.values().all(|value| *value == short) && version.deprecated.as_ref() == Some(&long));
    for name in hostile {
        registry.tag(Tagging::remove(version.id.clone(), name)).await.unwrap();
    }
    registry.deprecate(Deprecation::new(version.id.clone(), "")).await.unwrap();
    let version = registry.resolve(&version.id.name, &select("1.0.0")).await.unwrap();
    assert!(version.tags.is_empty() && version.deprecated.as_deref() == Some(""));

    let count = registry.history(&version.id.name).await.unwrap().len();
    for alias in ["latest", "V1", "a.b"] {
        let change = AliasMove::new(version.id.name.clone(), Alias::new(alias).unwrap(), v("1.0.0"));
        let error = registry.move_alias(change).await.unwrap_err();
        assert!(error.label() == "invalid_input" && error.to_string().contains("MLflow"), "{error}");
        let selector = select(&format!("@{alias}"));
        let error = registry.resolve(&version.id.name, &selector).await.unwrap_err();
        assert_eq!(error.label(), "not_found", "{error}");
    }
    assert_eq!(
        registry.history(&version.id.name).await.unwrap().len(),
        count,
        "what was refused is not in history"
    );
    for artifact in ["", "..", "../x", "a/b", "%2e", "ü"] {
        let error =
            registry.register(next("hostile-ours").with_artifact(artifact, &b"x"[..])).await.unwrap_err();
        assert_eq!(error.label(), "invalid_input", "{artifact:?}: {error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_model_is_none_and_what_is_elsewhere_is_known_all_the_same() {
    let Some(server) = MlflowServer::shared() else { return };
    let registry = open(server);
    let prompt = json!({ "name": "prompt", "tags": [{ "key": "mlflow.prompt.is_prompt", "value": "true" }] });
    ask(&server.url(), "POST", "registered-models/create", &prompt);
    assert_eq!(registry.resolve(&name("prompt"), &select("latest")).await.unwrap_err().label(), "not_found");
    let error = registry.register(next("prompt")).await.unwrap_err();
    assert!(error.label() == "conflict" && error.to_string().contains("is a prompt"), "{error}");
    assert!(!registry.models().await.unwrap().contains(&name("prompt")));

    ask(&server.url(), "POST", "registered-models/create", &json!({ "name": "elsewhere" }));
    let version = json!({ "name": "elsewhere", "source": "s3://bucket/model", "description": "on S3" });
    ask(&server.url(), "POST", "model-versions/create", &version);
    let version = registry.resolve(&name("elsewhere"), &select("latest")).await.unwrap();
    assert_eq!((version.id.version, version.description.as_str()), (v("1.0.0"), "on S3"));
    assert!(version.artifacts.is_empty() && version.signature == Signature::new([], []).unwrap());
}

#[tokio::test]
async fn a_server_that_is_none_or_refuses_is_told_apart() {
    let page = "<!doctype html><title>404 Not Found</title>";
    let json = r#"{"error_code":"INTERNAL_ERROR","message":"the database is locked"}"#;
    for (status, kind, body, label, words) in [
        ("404 Not Found", "text/html", page, "invalid_input", "is this an MLflow server"),
        ("200 OK", "text/html", page, "invalid_input", "is this an MLflow server"),
        ("302 Found", "text/html", "", "invalid_input", "redirect"),
        ("401 Unauthorized", "text/plain", "no", "unauthenticated", "with_token"),
        ("403 Forbidden", "text/html", page, "permission_denied", "403"),
        ("429 Too Many Requests", "text/html", page, "unavailable", "429"),
        ("503 Service Unavailable", "text/html", page, "unavailable", "503"),
        ("500 Internal Server Error", "application/json", json, "unavailable", "the database is locked"),
    ] {
        let (url, asked) = answering(status, kind, body);
        let registry = MlflowRegistry::open(&url).unwrap().with_token("hunter2").unwrap();
        let error = registry.resolve(&name("fraud"), &select("latest")).await.unwrap_err();
        assert_eq!(error.label(), label, "{status}: {error}");
        assert!(error.to_string().contains(words), "{status}: {error}");
        let asked = asked.join().unwrap();
        assert!(
            asked.contains("GET /at/api/2.0/mlflow/registered-models/get?name=fraud HTTP/1.1\r\n"),
            "{asked}"
        );
        assert!(asked.contains("authorization: Bearer hunter2\r\n"), "{asked}");
        let shown = format!("{error} {error:?} {registry} {registry:?}");
        assert!(!shown.contains("hunter2") && registry.to_string() == url, "{shown}");
    }
    let (url, asked) = answering("401 Unauthorized", "text/plain", "no");
    let registry = MlflowRegistry::open(&url).unwrap().with_basic_auth("user", "hunter2").unwrap();
    registry.models().await.unwrap_err();
    assert!(asked.join().unwrap().contains("authorization: Basic dXNlcjpodW50ZXIy\r\n"));
    assert_eq!(MlflowRegistry::open(&url).unwrap().with_token("a\nb").unwrap_err().label(), "invalid_input");

    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let registry = MlflowRegistry::open(&format!("mlflow+http://127.0.0.1:{port}")).unwrap();
    let new = new("fraud", "1.0.0").with_artifact("weights", &b"bytes"[..]);
    let failed = registry.register(new).await.unwrap_err();
    let watched = registry.watch().next().await.unwrap().unwrap_err();
    for error in [failed, watched] {
        assert!(error.is_retryable() && error.to_string().contains(&port.to_string()), "{error}");
    }
}

fn open(server: &MlflowServer) -> MlflowRegistry {
    MlflowRegistry::open(&format!("mlflow+{}", server.url())).unwrap()
}

/// The next event of that model.
async fn one(events: &mut EventStream, of: &mlops_core::ModelName) -> AuditEvent {
    loop {
        let next = tokio::time::timeout(Duration::from_secs(30), events.next()).await;
        let event = next.expect("watch stays silent").unwrap().unwrap();
        if event.model == *of {
            return event;
        }
    }
}

/// What a program prints that begins with MLflow's own client at hand.
fn python(server: &MlflowServer, program: &str) -> String {
    let folder = tempfile::tempdir().unwrap();
    let begin = "import mlflow\nclient = mlflow.MlflowClient()\n";
    let output = Command::new(server.python())
        .args(["-W", "ignore", "-c", &format!("{begin}{program}")])
        .current_dir(folder.path())
        .env("MLFLOW_TRACKING_URI", server.url())
        .env("MLFLOW_DISABLE_TELEMETRY", "true")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "MLflow's client fails:\n{said}");
    String::from_utf8(output.stdout).unwrap()
}

/// Asks an MLflow server past the registry.
fn ask(server: &str, method: &str, call: &str, body: &Value) -> Value {
    let host = server.strip_prefix("http://").unwrap();
    let mut stream = TcpStream::connect(host).unwrap();
    let body = body.to_string();
    write!(
        stream,
        "{method} /api/2.0/mlflow/{call} HTTP/1.0\r\nHost: {host}\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.contains(" 200 "), "{call}: {answer}");
    serde_json::from_str(body).unwrap()
}

/// A server that answers one request, always the same, and what it was asked.
fn answering(status: &str, kind: &str, body: &str) -> (String, std::thread::JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("mlflow+http://{}/at", listener.local_addr().unwrap());
    let answer = format!(
        "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    );
    let asked = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut asked = Vec::new();
        let mut piece = [0; 4096];
        while !asked.windows(4).any(|end| end == b"\r\n\r\n") {
            let count = stream.read(&mut piece).unwrap();
            asked.extend_from_slice(&piece[..count]);
        }
        stream.write_all(answer.as_bytes()).unwrap();
        String::from_utf8(asked).unwrap()
    });
    (url, asked)
}
