//! The example `serve`, as a process, by its file of options: asked by curl over TLS with API keys, told to end by SIGTERM.
#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)]

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use mlops_serve::server::access::ApiKey;
use serde_json::{Value, json};

#[path = "../mlops-serve/tests/support/skip.rs"]
mod skip;

use skip::skip;

const MODEL: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/mlops-serve/tests/data/onnx/mlp/model.onnx");

/// Beside the tests, where `cargo test` has built it.
fn program() -> Option<PathBuf> {
    let tests = std::env::current_exe().unwrap();
    let program = tests.ancestors().nth(2).unwrap().join("examples/serve");
    if !program.exists() {
        skip("the example is not built: cargo build --example serve");
        return None;
    }
    Some(program)
}

struct Running {
    process: Child,
    addresses: Vec<SocketAddr>,
}

impl Running {
    /// Waits until it listens at so many addresses.
    fn start(program: &Path, arguments: &[&str], listeners: usize) -> Self {
        let mut process = Command::new(program)
            .args(arguments)
            .env("RUST_LOG", "info")
            .env("NO_COLOR", "1")
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let (send, receive) = mpsc::channel();
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                let address =
                    line.split_once("address=").and_then(|(_, rest)| rest.split(' ').next()?.parse().ok());
                let _ = address.map(|address: SocketAddr| send.send(address));
            }
        });
        let listening = |_| receive.recv_timeout(Duration::from_secs(60)).expect("it says where it listens");
        Self { addresses: (0..listeners).map(listening).collect(), process }
    }

    fn terminate(&self) {
        let told = Command::new("kill").args(["-TERM", &self.process.id().to_string()]).status().unwrap();
        assert!(told.success());
    }

    fn ended_well(mut self) {
        let begin = Instant::now();
        while begin.elapsed() < Duration::from_secs(30) {
            if let Some(status) = self.process.try_wait().unwrap() {
                assert!(status.success(), "{status}");
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        panic!("it did not end");
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn body() -> String {
    let input = json!({"name": "input", "shape": [1, 8], "datatype": "FP32", "data": vec![0.5; 8]});
    json!({"inputs": [input]}).to_string()
}

#[test]
fn a_file_of_options_makes_a_server_for_callers_with_keys_over_tls() {
    let Some(program) = program() else { return };
    if Command::new("curl").arg("--version").output().is_err() {
        return skip("there is no curl");
    }
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let certificate = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    fs::write(at("server.pem"), certificate.cert.pem()).unwrap();
    fs::write(at("server.key"), certificate.signing_key.serialize_pem()).unwrap();
    let (asking, looking) = (ApiKey::generate().unwrap(), ApiKey::generate().unwrap());
    let entry = |key: &ApiKey, name, scopes: &str| key.entry(name, &scopes.parse().unwrap(), None).unwrap();
    let keys = [entry(&asking, "asking", "infer:mlp inspect:*"), entry(&looking, "looking", "inspect:*")];
    fs::write(at("keys.toml"), keys.join("\n")).unwrap();
    let options = format!(
        "http = \"192.0.2.1:1\"\ngrpc = \"127.0.0.1:0\"\nonnx = [\"mlp={MODEL}\"]\nbatch-rows = 8\n\
         api-keys = {:?}\ntls-certificate = {:?}\ntls-key = {:?}\n",
        at("keys.toml"),
        at("server.pem"),
        at("server.key")
    );
    fs::write(at("serve.toml"), options).unwrap();
    let config = at("serve.toml");
    // What the command line says comes first: nobody can listen at the address of the file.
    let arguments = ["--config", config.to_str().unwrap(), "--http", "127.0.0.1:0"];
    let running = Running::start(&program, &arguments, 2);

    let port = running.addresses[0].port();
    let ask = |path: &str, key: Option<&ApiKey>, body: Option<&str>| -> (u16, String) {
        let mut curl = Command::new("curl");
        curl.args([
            "--silent",
            "--show-error",
            "--max-time",
            "30",
            "--write-out",
            "\n%{http_code}",
            "--cacert",
        ]);
        curl.arg(at("server.pem")).args(["--connect-to", &format!("localhost:443:127.0.0.1:{port}")]);
        if let Some(key) = key {
            curl.args(["--header", &format!("Authorization: Bearer {}", key.reveal())]);
        }
        if let Some(body) = body {
            curl.args(["--json", body]);
        }
        let Output { stdout, stderr, status } =
            curl.arg(format!("https://localhost{path}")).output().unwrap();
        assert!(status.success(), "{}", String::from_utf8_lossy(&stderr));
        let stdout = String::from_utf8(stdout).unwrap();
        let (text, code) = stdout.rsplit_once('\n').unwrap();
        (code.parse().unwrap(), text.to_owned())
    };
    assert_eq!(ask("/v2/health/ready", None, None).0, 200);
    assert_eq!(ask("/v2/models/mlp", None, None).0, 401);
    assert_eq!(ask("/v2/models/mlp", Some(&looking), None).0, 200);
    assert_eq!(ask("/v2/models/mlp/infer", Some(&looking), Some(&body())).0, 403);
    // Refused before all of it has come, which curl must not take for a failure of the connection.
    fs::write(at("large.json"), " ".repeat(500_000)).unwrap();
    let large = format!("@{}", at("large.json").display());
    assert_eq!(ask("/v2/models/mlp/infer", Some(&looking), Some(&large)).0, 403);
    let (code, answer) = ask("/v2/models/mlp/infer", Some(&asking), Some(&body()));
    assert_eq!(code, 200, "{answer}");
    let answer: Value = serde_json::from_str(&answer).unwrap();
    assert_eq!(answer["model_name"], "mlp");
    assert_eq!(answer["outputs"][0]["shape"][0], 1);

    running.terminate();
    running.ended_well();
}

#[test]
fn a_request_in_flight_is_answered_after_sigterm_and_a_new_one_is_not() {
    let Some(program) = program() else { return };
    let onnx = format!("mlp={MODEL}");
    let running = Running::start(&program, &["--http", "127.0.0.1:0", "--onnx", &onnx], 1);
    let address = running.addresses[0];
    let mut slow = TcpStream::connect(address).unwrap();
    let body = body();
    let (first, second) = body.split_at(body.len() / 2);
    let length = body.len();
    write!(slow, "POST /v2/models/mlp/infer HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n{first}")
        .unwrap();
    std::thread::sleep(Duration::from_millis(200));
    running.terminate();
    let begin = Instant::now();
    while TcpStream::connect(address).is_ok() {
        assert!(begin.elapsed() < Duration::from_secs(10), "it still takes connections");
        std::thread::sleep(Duration::from_millis(20));
    }
    slow.write_all(second.as_bytes()).unwrap();
    let mut answer = String::new();
    slow.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    running.ended_well();
}

#[test]
fn wrong_options_are_named_with_their_file() {
    let Some(program) = program() else { return };
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("serve.toml");
    fs::write(&file, "htp = \"127.0.0.1:0\"\n").unwrap();
    let output = Command::new(&program).arg("--config").arg(&file).output().unwrap();
    assert!(!output.status.success());
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(told.contains("serve.toml") && told.contains("htp"), "{told}");
}
