//! A Python system: a process that computes what it is asked, and says what that took.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use serde::Deserialize;
use serde_json::{Value, json};

use crate::Failure;
use crate::data::DataSet;
use crate::process::Cost;

/// What a Python system answered.
#[derive(Debug, Deserialize)]
pub struct Answer {
    pub cpu_seconds: f64,
    pub memory_bytes: f64,
    pub result: Value,
}

impl Answer {
    pub fn cost(&self) -> Cost {
        Cost { cpu_seconds: self.cpu_seconds, memory_bytes: self.memory_bytes }
    }
}

/// A running Python system; ended when dropped.
#[derive(Debug)]
pub struct Peer {
    pub name: String,
    pub version: String,
    tasks: Vec<String>,
    process: Child,
    requests: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Peer {
    /// Starts a system on one thread.
    pub fn start(python: &Path, folder: &Path, name: &str) -> Result<Self, Failure> {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("peers/peer.py");
        let mut command = Command::new(python);
        command.arg("-W").arg("ignore").arg(script).arg(name).arg(folder);
        for threads in ["OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "RAYON_NUM_THREADS", "POLARS_MAX_THREADS"]
        {
            command.env(threads, "1");
        }
        let mut process =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn()?;
        let (Some(requests), Some(answers)) = (process.stdin.take(), process.stdout.take()) else {
            return Err("a process without pipes".into());
        };
        let answers = BufReader::new(answers);
        let mut peer = Self {
            name: name.to_owned(),
            version: String::new(),
            tasks: Vec::new(),
            process,
            requests,
            answers,
        };
        let greeting = peer.read()?;
        peer.version = greeting["version"].as_str().unwrap_or("?").to_owned();
        peer.tasks = serde_json::from_value(greeting["tasks"].clone())?;
        Ok(peer)
    }

    /// Whether it can do that at all.
    pub fn knows(&self, task: &str) -> bool {
        self.tasks.iter().any(|known| known == task)
    }

    /// Reads a data set, and forgets the one before.
    pub fn load(&mut self, data: &DataSet) -> Result<(), Failure> {
        self.ask(&json!({"task": "load", "data": data.name, "rows": data.rows()})).map(drop)
    }

    /// Computes.
    pub fn compute(&mut self, task: &str, parameters: Value) -> Result<Answer, Failure> {
        let answer = self.ask(&json!({"task": task, "parameters": parameters}))?;
        Ok(serde_json::from_value(answer)?)
    }

    fn ask(&mut self, request: &Value) -> Result<Value, Failure> {
        writeln!(self.requests, "{request}")?;
        let answer = self.read()?;
        match answer.get("error") {
            Some(error) => Err(format!("{}: {request}: {error}", self.name).into()),
            None => Ok(answer),
        }
    }

    fn read(&mut self) -> Result<Value, Failure> {
        let mut line = String::new();
        if self.answers.read_line(&mut line)? == 0 {
            return Err(
                format!("{} has ended: is it installed? benches/monitor/setup does it", self.name).into()
            );
        }
        Ok(serde_json::from_str(&line)?)
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
