//! The example `registry`, as a process, on a folder, in a bucket and on an MLflow server: what a person would type.
#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

#[path = "../mlops-registry/tests/common/servers.rs"]
#[allow(dead_code)]
mod servers;

use servers::{MlflowServer, S3Server, skip};

const MODEL: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/mlops-serve/tests/data/onnx/mlp/model.onnx");

/// A registry, asked on the command line.
struct Cli {
    program: PathBuf,
    url: String,
    environment: Vec<(&'static str, String)>,
}

impl Cli {
    /// Beside the tests, where `cargo test` has built it.
    fn new(url: impl Into<String>) -> Option<Self> {
        let tests = std::env::current_exe().unwrap();
        let program = tests.ancestors().nth(2).unwrap().join("examples/registry");
        if !program.exists() {
            skip("the example is not built: cargo build --example registry");
            return None;
        }
        Some(Self { program, url: url.into(), environment: Vec::new() })
    }

    fn run(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(&self.program);
        command.args(["--registry", &self.url, "--by", "alice"]).args(arguments);
        command.envs(self.environment.iter().map(|(name, value)| (name, value))).output().unwrap()
    }

    /// What it says to people.
    fn says(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        let (said, errors) = (text(&output.stdout), text(&output.stderr));
        assert!(output.status.success(), "{arguments:?}: {said}{errors}");
        said
    }

    /// What it says to programs.
    fn json(&self, arguments: &[&str]) -> Value {
        serde_json::from_str(&self.says(&[arguments, &["--json"]].concat())).unwrap()
    }

    fn fails(&self, arguments: &[&str]) -> (i32, String) {
        let output = self.run(arguments);
        assert!(!output.status.success(), "{arguments:?} should fail: {}", text(&output.stdout));
        (output.status.code().unwrap(), text(&output.stdout) + &text(&output.stderr))
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// What every kind of registry can do.
fn releases(cli: &Cli, scratch: &Path) {
    let large = scratch.join("large.bin");
    fs::write(&large, vec![7; 20 << 20]).unwrap();
    let (onnx, large_artifact) = (format!("model={MODEL}"), format!("large={}", large.display()));
    let first = cli.json(&[
        "register",
        "fraud",
        "--version",
        "1.0.0",
        "--artifact",
        &onnx,
        "--artifact",
        &large_artifact,
        "--metric",
        "auc=0.97",
        "--tag",
        "team=risk",
        "--parameter",
        "depth=7",
        "--description",
        "Finds fraud",
        "--alias",
        "champion",
    ]);
    assert_eq!(first["version"], "1.0.0");
    assert_eq!(first["artifacts"]["large"]["size"], 20 << 20);
    assert!(
        !first["signature"]["inputs"].as_array().unwrap().is_empty(),
        "the signature is that of the ONNX file"
    );
    let said =
        cli.says(&["register", "fraud", "--version", "2.0.0", "--artifact", &onnx, "--metric", "auc=0.99"]);
    assert_eq!(said.trim(), "registered fraud 2.0.0");
    let (status, said) = cli.fails(&["register", "fraud", "--version", "2.0.0", "--artifact", &onnx]);
    assert!(status == 1 && said.contains("conflict: ") && said.contains("2.0.0"), "{said}");

    let said = cli.says(&["list"]);
    assert!(said.contains("fraud") && said.contains("@champion 1.0.0"), "{said}");
    let said = cli.says(&["promote", "fraud", "2.0.0", "--alias", "champion", "--because", "canary passed"]);
    assert_eq!(said.trim(), "fraud: @champion: 1.0.0 -> 2.0.0 (canary passed)");
    let (_, said) = cli.fails(&["promote", "fraud", "1.0.0", "--alias", "champion", "--from", "1.0.0"]);
    assert!(said.contains("conflict: "), "{said}");
    assert_eq!(cli.json(&["show", "fraud", "@champion"])["version"], "2.0.0");
    let said = cli.says(&["rollback", "fraud", "--alias", "champion", "--because", "errors"]);
    assert_eq!(said.trim(), "fraud: @champion: 2.0.0 -> 1.0.0 (errors)");
    let history = cli.json(&["history", "fraud", "--alias", "champion"]);
    let moves: Vec<_> =
        history.as_array().unwrap().iter().map(|event| event["to"].as_str().unwrap().to_owned()).collect();
    assert_eq!(moves, ["1.0.0", "2.0.0", "1.0.0"]);
    let at = history[1]["at"].as_str().unwrap();
    assert_eq!(cli.says(&["history", "fraud", "--alias", "champion", "--at", at]).trim(), "2.0.0");

    let found = cli.json(&["search", "--metric", "auc>=0.98"]);
    assert_eq!((found.as_array().unwrap().len(), &found[0]["version"]), (1, &Value::from("2.0.0")));
    assert_eq!(cli.json(&["search", "finds FRAUD", "--tag", "team=risk"]).as_array().unwrap().len(), 1);
    assert_eq!(cli.json(&["search", "--limit", "1", "--after", "fraud/1.0.0"])[0]["version"], "2.0.0");
    let fetched = scratch.join("fetched");
    cli.says(&["fetch", "fraud", "1.0.0", "--artifact", "model", "--to", fetched.to_str().unwrap()]);
    assert!(fs::read(&fetched).unwrap() == fs::read(MODEL).unwrap());
    cli.says(&["report", "fraud", "2.0.0", "--gate", "accuracy", "--passed", "--summary", "good"]);
    cli.says(&["deprecate", "fraud", "2.0.0", "--because", "use 3.0.0"]);
    let said = cli.says(&["show", "fraud", "2.0.0", "--card"]);
    assert!(said.contains("**Deprecated:** use 3.0.0") && said.contains("| accuracy | passed |"), "{said}");
    let (_, said) = cli.fails(&["delete", "fraud", "1.0.0"]);
    assert!(said.contains("conflict: "), "{said}");

    // From here to a folder and back, by every road.
    let (file, folder) = (scratch.join("fraud.tar"), scratch.join("layout"));
    cli.says(&["export", "fraud", "1.0.0", file.to_str().unwrap()]);
    cli.says(&["export", "fraud", "1.0.0", folder.to_str().unwrap(), "--layout"]);
    for (index, from) in [file, folder].iter().enumerate() {
        let other = Cli::new(scratch.join(format!("imported-{index}")).display().to_string()).unwrap();
        other.says(&["import", from.to_str().unwrap()]);
        let imported = other.json(&["show", "fraud", "1.0.0"]);
        assert_eq!(imported["artifacts"], first["artifacts"], "from {}", from.display());
        assert_eq!(imported["metrics"]["auc"], 0.97);
        other.says(&["verify"]);
    }
    let copied = format!("file://{}", scratch.join("copied").display());
    cli.says(&["copy", "fraud", "2.0.0", "--to", &copied]);
    assert_eq!(Cli::new(copied).unwrap().json(&["show", "fraud", "latest"])["version"], "2.0.0");
}

#[test]
fn a_folder() {
    let scratch = tempfile::tempdir().unwrap();
    let root = scratch.path().join("registry");
    let Some(cli) = Cli::new(format!("file://{}", root.display())) else { return };
    releases(&cli, scratch.path());

    cli.says(&["protect", "fraud", "--alias", "champion", "--approvals", "1"]);
    let onnx = format!("model={MODEL}");
    cli.says(&["register", "fraud", "--artifact", &onnx, "--parent", "fraud/2.0.0"]);
    let (_, said) = cli.fails(&["promote", "fraud", "3.0.0", "--alias", "champion"]);
    assert!(said.contains("permission denied: ") && said.contains("nobody has approved"), "{said}");
    cli.says(&["approve", "fraud", "3.0.0", "--alias", "champion"]);
    cli.says(&["promote", "fraud", "3.0.0", "--alias", "champion"]);
    assert_eq!(cli.says(&["lineage", "fraud", "2.0.0"]).trim(), "became    fraud 3.0.0");
    cli.says(&["delete", "fraud", "1.0.0", "--because", "old"]);
    let garbage = cli.json(&["gc", "--dry-run", "--grace", "0"]);
    assert_eq!(garbage["bytes"], 20 << 20, "the large artifact was that of the deleted version only");
    assert_eq!(cli.json(&["gc", "--grace", "0"])["files"], garbage["files"]);
    assert!(cli.says(&["verify"]).starts_with("all is well: "));

    // A flipped bit, and a file that is gone.
    let blob = files(&root.join("blobs")).into_iter().next().unwrap();
    let mut bytes = fs::read(&blob).unwrap();
    bytes[10] ^= 1;
    fs::write(&blob, bytes).unwrap();
    fs::remove_file(&files(&root.join("log"))[1]).unwrap();
    let (status, said) = cli.fails(&["verify"]);
    let name = blob.file_name().unwrap().to_str().unwrap();
    assert!(status == 1 && said.contains(name) && said.contains("is missing"), "{said}");
    let (status, _) = cli.fails(&["promote", "fraud"]);
    assert_eq!(status, 2, "a wrong call");
}

#[test]
fn a_bucket() {
    let Some(server) = S3Server::start() else { return };
    let Some(mut cli) = Cli::new(format!("s3://{}/team/models", server.bucket())) else { return };
    cli.environment = vec![
        ("AWS_ENDPOINT", server.endpoint()),
        ("AWS_REGION", S3Server::REGION.to_owned()),
        ("AWS_ACCESS_KEY_ID", "anybody".to_owned()),
        ("AWS_SECRET_ACCESS_KEY", "anything".to_owned()),
        ("AWS_ALLOW_HTTP", "true".to_owned()),
    ];
    let scratch = tempfile::tempdir().unwrap();
    releases(&cli, scratch.path());
    assert!(cli.says(&["verify"]).starts_with("all is well: "));
}

#[test]
fn an_mlflow_server() {
    let Some(server) = MlflowServer::start() else { return };
    let Some(cli) = Cli::new(format!("mlflow+{}", server.url())) else { return };
    let scratch = tempfile::tempdir().unwrap();
    releases(&cli, scratch.path());
    let (_, said) = cli.fails(&["verify"]);
    assert!(said.contains("is no registry of ours"), "{said}");
}

#[test]
fn a_registry_that_cannot_be_opened_says_why() {
    for (url, says) in [
        ("ftp://somewhere", "names no registry"),
        ("mlflow+http://127.0.0.1:1", "unavailable: "),
        ("/dev/null/x", "no registry in"),
    ] {
        let Some(cli) = Cli::new(url) else { return };
        let (status, said) = cli.fails(&["list"]);
        assert!(status == 1 && said.contains(says), "{url}: {said}");
    }
}

/// All files below a folder, sorted.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { found.extend(files(&path)) } else { found.push(path) }
    }
    found.sort();
    found
}
