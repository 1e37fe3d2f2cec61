//! Real servers for tests. Each is a process that ends with the test, however that ends.

use std::io::{Read, Seek, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

/// How long a server may take to start: MLflow reads a lot of Python.
const PATIENCE: Duration = Duration::from_secs(180);

/// An S3 server with one bucket, in memory. Any credentials will do.
pub struct S3Server(Server);

impl S3Server {
    pub const BUCKET: &str = "models";
    pub const REGION: &str = "us-east-1";

    /// `None` when it cannot run here; the test is skipped then.
    pub fn start() -> Option<Self> {
        let python = python("S3")?;
        let server = Server::start("the S3 server", &python, |port| {
            (vec![path(&python), path(&script("s3.py")), port.to_string()], vec![])
        });
        let mut server = Self(server);
        server.0.wait_for("PUT", &format!("/{}", Self::BUCKET));
        Some(server)
    }

    /// The one that the tests of this program share, each under a prefix of its own.
    pub fn shared() -> Option<&'static Self> {
        static SHARED: OnceLock<Option<S3Server>> = OnceLock::new();
        SHARED.get_or_init(Self::start).as_ref()
    }

    pub fn endpoint(&self) -> String {
        self.0.url()
    }

    pub fn bucket(&self) -> &'static str {
        Self::BUCKET
    }
}

/// MLflow's server, on SQLite, that keeps artifacts too.
pub struct MlflowServer {
    server: Server,
    python: PathBuf,
}

impl MlflowServer {
    /// `None` when it cannot run here; the test is skipped then.
    pub fn start() -> Option<Self> {
        let python = python("MLflow")?;
        let mut server = Server::start("MLflow", &python, |port| {
            let mut command = vec![path(&python)];
            command
                .extend(["-m", "mlflow", "server", "--workers", "1", "--host", "127.0.0.1"].map(Into::into));
            command.extend(["--port".into(), port.to_string()]);
            command.extend(["--backend-store-uri", "sqlite:///mlflow.db"].map(Into::into));
            command.extend(["--serve-artifacts", "--artifacts-destination", "./artifacts"].map(Into::into));
            let no_jobs = ("MLFLOW_SERVER_ENABLE_JOB_EXECUTION", "false".to_owned());
            (command, vec![("MLFLOW_DISABLE_TELEMETRY", "true".to_owned()), no_jobs])
        });
        server.wait_for("GET", "/health");
        Some(Self { server, python })
    }

    /// The one that the tests of this program share, each with models of its own.
    pub fn shared() -> Option<&'static Self> {
        static SHARED: OnceLock<Option<MlflowServer>> = OnceLock::new();
        SHARED.get_or_init(Self::start).as_ref()
    }

    pub fn url(&self) -> String {
        self.server.url()
    }

    /// The Python that has MLflow's own client.
    pub fn python(&self) -> &Path {
        &self.python
    }
}

/// An OCI registry: the reference implementation of the distribution specification.
pub struct OciServer(Server);

impl OciServer {
    /// `None` when it cannot run here; the test is skipped then.
    pub fn start() -> Option<Self> {
        let (python, program) = (program("python3")?, program("docker-registry")?);
        let mut server = Server::start("the OCI registry", &python, |port| {
            let command = vec![path(&program), "serve".into(), path(&script("oci.yml"))];
            (command, vec![("REGISTRY_HTTP_ADDR", format!("127.0.0.1:{port}"))])
        });
        server.wait_for("GET", "/v2/");
        Some(Self(server))
    }

    /// The one that the tests of this program share, each with repositories of its own.
    pub fn shared() -> Option<&'static Self> {
        static SHARED: OnceLock<Option<OciServer>> = OnceLock::new();
        SHARED.get_or_init(Self::start).as_ref()
    }

    pub fn url(&self) -> String {
        self.0.url()
    }

    /// As it stands in a reference: `127.0.0.1:5000`.
    pub fn host(&self) -> String {
        format!("127.0.0.1:{}", self.0.port)
    }
}

/// The path of a program, if it is there; otherwise the test is skipped.
pub fn program(name: &str) -> Option<PathBuf> {
    let folders = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&folders).map(|folder| folder.join(name)).find(|path| path.is_file());
    if found.is_none() {
        skip(&format!("{name} is not on PATH; scripts/ci-setup installs it"));
    }
    found
}

/// Says that tests are skipped, and why; where everything must run (`MLOPS_REQUIRE_ALL`), fails instead.
pub fn skip(why: &str) {
    assert!(std::env::var_os("MLOPS_REQUIRE_ALL").is_none(), "MLOPS_REQUIRE_ALL is set, but {why}");
    // Written past what cargo captures of tests that pass.
    let _ = writeln!(std::io::stderr(), "SKIPPED: {why}");
}

/// The Python with the packages of `scripts/registries`, in the virtual environment that `MLOPS_REGISTRIES_VENV`
/// names or in `target/registries-venv`.
fn python(server: &str) -> Option<PathBuf> {
    let environment = std::env::var_os("MLOPS_REGISTRIES_VENV")
        .map_or_else(|| root().join("target/registries-venv"), PathBuf::from);
    let python = environment.join("bin/python");
    if python.exists() {
        return Some(std::path::absolute(python).unwrap());
    }
    skip(&format!(
        "there is no server of {server}: {} is not there; scripts/ci-setup makes it",
        python.display()
    ));
    None
}

fn root() -> &'static Path {
    // The tests of the workspace's own package use this file, too.
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    let root = package.ancestors().find(|folder| folder.join("scripts/registries").is_dir());
    root.unwrap_or(package)
}

fn script(name: &str) -> PathBuf {
    root().join("scripts/registries").join(name)
}

fn path(path: &Path) -> String {
    path.to_str().unwrap().to_owned()
}

/// A program and the variables of its environment.
type Started = (Vec<String>, Vec<(&'static str, String)>);

/// A process that runs for as long as the pipe to it is open: until this is dropped, or this process ends.
struct Server {
    name: &'static str,
    process: Child,
    port: u16,
    /// What the server has written.
    said: std::fs::File,
}

impl Server {
    fn start(name: &'static str, python: &Path, command: impl Fn(u16) -> Started) -> Self {
        let port = free_port();
        let said = tempfile::tempfile().unwrap();
        let (command, variables) = command(port);
        let process = Command::new(python)
            .arg(script("while_wanted.py"))
            .args(command)
            .envs(variables)
            .stdin(Stdio::piped())
            .stdout(said.try_clone().unwrap())
            .stderr(said.try_clone().unwrap())
            .spawn()
            .unwrap();
        Self { name, process, port, said }
    }

    /// Asks until the answer is a good one.
    fn wait_for(&mut self, method: &str, path: &str) {
        let began = Instant::now();
        while status(self.port, method, path) != Some(200) {
            let ended = self.process.try_wait().unwrap();
            if ended.is_some() || began.elapsed() > PATIENCE {
                let mut said = String::new();
                self.said.rewind().unwrap();
                let _ = self.said.read_to_string(&mut said);
                panic!("{} does not start ({ended:?}):\n{said}", self.name);
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.process.stdin.take());
        let _ = self.process.wait();
    }
}

/// The status of the answer to a request without a body; `None` if nobody answers.
fn status(port: u16, method: &str, path: &str) -> Option<u16> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(10))).ok()?;
    write!(
        stream,
        "{method} {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
    )
    .ok()?;
    let mut answer = Vec::new();
    // What has come before an error counts.
    let _ = stream.read_to_end(&mut answer);
    String::from_utf8_lossy(&answer).split(' ').nth(1)?.parse().ok()
}

fn free_port() -> u16 {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port()
}
