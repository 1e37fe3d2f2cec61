//! What the command line takes.

use std::path::PathBuf;
use std::str::FromStr;

use clap::{Parser, Subcommand};
use mlops_core::{Alias, MetricCondition, ModelId, ModelName, Selector};
use semver::Version;

/// A model registry on the command line.
#[derive(Debug, Parser)]
pub struct Arguments {
    /// Where the registry is: a folder, file:///..., s3://bucket/prefix, mlflow+http://host:port
    #[arg(long, global = true, env = "MLOPS_REGISTRY", value_name = "URL", default_value = "./registry")]
    pub registry: String,
    /// Answers in JSON, for programs
    #[arg(long, global = true)]
    pub json: bool,
    /// Who does it
    #[arg(long, global = true, env = "USER", default_value = "", value_name = "NAME")]
    pub by: String,
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Registers a version
    Register(Box<Register>),
    /// Lists the models and where their aliases point
    List,
    /// Shows the versions of a model, or one of them
    Show {
        name: ModelName,
        /// 1.2.3, @alias or latest
        version: Option<Selector>,
        /// As a model card, in Markdown
        #[arg(long)]
        card: bool,
    },
    /// Lets an alias point to a version
    Promote {
        name: ModelName,
        version: Version,
        #[arg(long)]
        alias: Alias,
        /// Only if it points to this version now
        #[arg(long, value_name = "VERSION")]
        from: Option<Version>,
        #[arg(long, default_value = "", value_name = "REASON")]
        because: String,
    },
    /// Lets an alias point where it pointed before
    Rollback {
        name: ModelName,
        #[arg(long)]
        alias: Alias,
        #[arg(long, default_value = "", value_name = "REASON")]
        because: String,
    },
    /// Tells what happened to a model
    History {
        name: ModelName,
        /// Only the moves of this alias
        #[arg(long)]
        alias: Option<Alias>,
        /// Where the alias pointed at that time, as in 2026-11-17T12:00:00Z
        #[arg(long, requires = "alias", value_name = "TIME")]
        at: Option<jiff::Timestamp>,
    },
    /// Finds versions
    Search(Search),
    /// Writes an artifact to a file
    Fetch {
        name: ModelName,
        version: Selector,
        #[arg(long)]
        artifact: String,
        #[arg(long, value_name = "FILE")]
        to: PathBuf,
    },
    /// Sets a tag of a version; without a value, removes it
    Tag { name: ModelName, version: Version, tag: String, value: Option<String> },
    /// Attaches the verdict of a gate to a version
    Report {
        name: ModelName,
        version: Version,
        #[arg(long)]
        gate: String,
        #[arg(long)]
        passed: bool,
        #[arg(long, value_name = "NAME=NUMBER")]
        metric: Vec<Pair<f64>>,
        #[arg(long, default_value = "")]
        summary: String,
    },
    /// Approves that an alias moves to a version
    Approve {
        name: ModelName,
        version: Version,
        #[arg(long)]
        alias: Alias,
        #[arg(long, default_value = "", value_name = "REASON")]
        because: String,
    },
    /// Lets an alias demand approvals and a passed gate; without both, nothing
    Protect {
        name: ModelName,
        #[arg(long)]
        alias: Alias,
        #[arg(long, default_value_t = 0, value_name = "COUNT")]
        approvals: u32,
        #[arg(long)]
        passed_gate: bool,
    },
    /// Warns against a version; without a reason, takes the warning back
    Deprecate {
        name: ModelName,
        version: Version,
        #[arg(long, value_name = "REASON")]
        because: Option<String>,
    },
    /// Deletes a version; its number stays taken, and its history stays
    Delete {
        name: ModelName,
        version: Version,
        #[arg(long, default_value = "", value_name = "REASON")]
        because: String,
    },
    /// Shows what a version was made from, and what was made from it
    Lineage { name: ModelName, version: Version },
    /// Compares the runs of an experiment
    Runs { experiment: Option<String> },
    /// Proves that nothing was lost or changed; status 1 and the names of what is wrong otherwise
    Verify,
    /// Deletes the files that nobody needs
    Gc {
        /// Only names them
        #[arg(long)]
        dry_run: bool,
        /// Leaves files alone that are younger
        #[arg(long, default_value_t = 24.0, value_name = "HOURS")]
        grace: f64,
    },
    /// Writes a version to a file that other registries, and tools of OCI, take
    Export {
        name: ModelName,
        version: Version,
        /// A file, or with --layout a folder
        to: PathBuf,
        /// As a layout of OCI in a folder
        #[arg(long)]
        layout: bool,
    },
    /// Registers what was exported: a file or a folder
    Import { from: PathBuf },
    /// Copies a version to another registry
    Copy {
        name: ModelName,
        version: Version,
        #[arg(long, value_name = "URL")]
        to: String,
    },
}

#[derive(Debug, clap::Args)]
pub struct Register {
    pub name: ModelName,
    /// The version; otherwise the next major one
    #[arg(long)]
    pub version: Option<Version>,
    /// A file, by the name it gets. May come several times
    #[arg(long, value_name = "KEY=PATH")]
    pub artifact: Vec<Pair<PathBuf>>,
    /// What the model takes and gives, as JSON; otherwise read from its only ONNX file
    #[arg(long, value_name = "FILE")]
    pub signature: Option<PathBuf>,
    #[arg(long, value_name = "NAME=NUMBER")]
    pub metric: Vec<Pair<f64>>,
    #[arg(long, value_name = "NAME=VALUE")]
    pub parameter: Vec<Pair<String>>,
    #[arg(long, value_name = "NAME=VALUE")]
    pub tag: Vec<Pair<String>>,
    #[arg(long, default_value = "")]
    pub description: String,
    /// The commit of the training code
    #[arg(long, value_name = "COMMIT")]
    pub code: Option<String>,
    /// The training run
    #[arg(long)]
    pub run: Option<String>,
    /// A version it was made from: NAME/VERSION
    #[arg(long, value_name = "NAME/VERSION")]
    pub parent: Vec<Parent>,
    /// Lets an alias point to it
    #[arg(long)]
    pub alias: Vec<Alias>,
}

#[derive(Debug, clap::Args)]
pub struct Search {
    /// Text in the name, the description or the values of tags
    pub text: Option<String>,
    #[arg(long)]
    pub model: Option<ModelName>,
    #[arg(long, value_name = "NAME=VALUE")]
    pub tag: Vec<Pair<String>>,
    /// A condition: auc>=0.95
    #[arg(long, value_name = "CONDITION")]
    pub metric: Vec<MetricCondition>,
    #[arg(long)]
    pub alias: Option<Alias>,
    /// Registered then or later
    #[arg(long, value_name = "TIME")]
    pub from: Option<jiff::Timestamp>,
    /// Registered before then
    #[arg(long, value_name = "TIME")]
    pub before: Option<jiff::Timestamp>,
    /// At most so many
    #[arg(long, value_name = "COUNT")]
    pub limit: Option<usize>,
    /// The page after the one that ended with this version: NAME/VERSION
    #[arg(long, value_name = "NAME/VERSION")]
    pub after: Option<Parent>,
}

/// `NAME=VALUE`.
#[derive(Debug, Clone)]
pub struct Pair<T> {
    pub name: String,
    pub value: T,
}

impl<T: FromStr<Err: std::fmt::Display>> FromStr for Pair<T> {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, value) = text.split_once('=').ok_or("expected NAME=VALUE")?;
        let value = value.parse().map_err(|error| format!("{name}: {error}"))?;
        Ok(Self { name: name.to_owned(), value })
    }
}

/// `NAME/VERSION`.
#[derive(Debug, Clone)]
pub struct Parent(pub ModelId);

impl FromStr for Parent {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, version) = text.split_once('/').ok_or("expected NAME/VERSION")?;
        let name = name.parse().map_err(|error: mlops_core::Error| error.to_string())?;
        let version = version.parse().map_err(|error: semver::Error| error.to_string())?;
        Ok(Self(ModelId::new(name, version)))
    }
}
