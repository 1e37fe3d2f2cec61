//! A registry with one of its files harmed: it says what it said before, or that something is wrong, and nothing else.

use std::cell::OnceCell;
use std::sync::Arc;

use futures_util::TryStreamExt;
use mlops_core::{
    Alias, AliasMove, Deletion, Deprecation, Digest, Error, ModelName, NewReport, NewVersion, Protection,
    Query, Registry, Result, Signature, Tagging,
};
use mlops_registry::reexports::object_store::memory::InMemory;
use mlops_registry::reexports::object_store::path::Path;
use mlops_registry::reexports::object_store::{ObjectStore, ObjectStoreExt};
use mlops_registry::runs::{NewRun, RunStatus};
use mlops_registry::{GarbageCollection, NewApproval, ObjectStoreRegistry, Protecting, SigningKey};
use serde_json::value::RawValue;
use serde_json::{Value, json};

/// What is harmed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// The last transition of the log.
    Transition,
    /// The pointer to the latest checkpoint.
    Pointer,
    /// The state in it.
    State,
    /// The events in it.
    Archive,
}

impl Part {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Transition, Self::Pointer, Self::State, Self::Archive];
}

const POINTER: &str = "checkpoints/latest.json";

/// A registry in which everything there is has happened.
struct Seed {
    store: InMemory,
    told: String,
    last: u64,
    contents: Vec<(Part, Vec<Vec<u8>>)>,
}

struct Bench {
    runtime: tokio::runtime::Runtime,
    seed: Seed,
}

thread_local! {
    static BENCH: OnceCell<Bench> = const { OnceCell::new() };
}

fn on_bench<T>(work: impl AsyncFnOnce(&Seed) -> T) -> T {
    BENCH.with(|bench| {
        let bench = bench.get_or_init(|| {
            let runtime =
                tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            let seed = runtime.block_on(Seed::new()).expect("a registry in memory");
            Bench { runtime, seed }
        });
        bench.runtime.block_on(work(&bench.seed))
    })
}

/// Well-formed content of a part, to begin with.
pub fn seeds(part: Part) -> Vec<Vec<u8>> {
    on_bench(async |seed| seed.contents(part).to_vec())
}

/// Puts `content` in the place of a part: once under the digest of what was there, and once under its own.
///
/// # Panics
/// When the registry panics, answers wrongly, or fails in a way that does not blame a file.
pub fn harm(part: Part, content: &[u8]) {
    on_bench(async |seed| {
        if content != seed.contents(part)[0] {
            seed.changed(part, content).await;
        }
        seed.forged(part, content).await;
    });
}

impl Seed {
    async fn new() -> Result<Self> {
        let store = Arc::new(InMemory::new());
        let registry = open(&store).await?;
        fill(&registry).await?;
        let last = registry.head().await?.0;
        let mut seed = Self { store: store.fork(), told: told(&registry).await?, last, contents: Vec::new() };
        let mut transitions = vec![seed.content(&seed.log(last)).await];
        for sequence in 1..last {
            // What happened then, as if it happened now.
            let text = seed.content(&seed.log(sequence)).await;
            let (before, mut now): (Value, Value) = (parse(&text), parse(&transitions[0]));
            now["change"] = before["change"].clone();
            transitions.push(now.to_string().into_bytes());
        }
        let pointer = seed.content(POINTER).await;
        let (state, archive) =
            (seed.bytes(&seed.state().await).await, seed.bytes(&seed.archive().await).await);
        seed.contents = vec![
            (Part::Transition, transitions),
            (Part::Pointer, vec![pointer]),
            (Part::State, vec![state]),
            (Part::Archive, vec![archive]),
        ];
        Ok(seed)
    }

    fn contents(&self, part: Part) -> &[Vec<u8>] {
        let found = self.contents.iter().find(|(other, _)| *other == part);
        found.map(|(_, contents)| contents.as_slice()).unwrap_or_default()
    }

    /// The file is not what its digest says: that is an error, or costs time and nothing else.
    async fn changed(&self, part: Part, content: &[u8]) {
        let store = Arc::new(self.store.fork());
        let (file, content) = match part {
            Part::Transition => (self.log(self.last), self.under(&self.log(self.last), content).await),
            Part::Pointer => (POINTER.to_owned(), self.under(POINTER, content).await),
            Part::State => (self.state().await, content.to_vec()),
            Part::Archive => (self.archive().await, content.to_vec()),
        };
        put(&store, &file, content).await;
        match open(&store).await {
            Err(error) => assert!(part == Part::Transition && blames_a_file(&error), "{part:?}: {error}"),
            Ok(registry) => {
                assert!(part != Part::Transition, "a harmed log is not opened");
                assert!(told(&registry).await.is_ok_and(|told| told == self.told), "{part:?}");
                self.heals(&registry, &store).await;
            }
        }
    }

    /// The digest is that of the file: somebody has made this, perhaps by mistake.
    async fn forged(&self, part: Part, content: &[u8]) {
        let store = Arc::new(self.store.fork());
        match part {
            Part::Transition => put(&store, &self.log(self.last), sealed(content)).await,
            Part::Pointer => put(&store, POINTER, sealed(content)).await,
            Part::State | Part::Archive => {
                let mut pointer: Value = parse(&self.content(POINTER).await);
                let digest = Digest::of(content);
                let described = json!({ "digest": digest, "size": content.len() });
                let short = &digest.hex()[..16];
                let (sequence, old) = (pointer["sequence"].as_u64(), self.archive().await);
                let file = if part == Part::State {
                    pointer["state"] = described;
                    format!("checkpoints/{:020}-{short}.state", sequence.unwrap_or_default())
                } else {
                    pointer["archive"][0]["content"] = described;
                    format!("{}-{short}.events", old.rsplit_once('-').map_or("", |(place, _)| place))
                };
                put(&store, &file, content.to_vec()).await;
                put(&store, POINTER, sealed(pointer.to_string().as_bytes())).await;
            }
        }
        let registry = match open(&store).await {
            Err(error) => return assert!(blames_a_file(&error), "{part:?}: {error}"),
            Ok(registry) => registry,
        };
        let said = told(&registry).await;
        if let Err(error) = &said {
            assert!(blames_a_file(error), "{part:?}: {error}");
        }
        let clean = faults(&registry).await.is_empty();
        if part == Part::Transition {
            // Another history, and as good as any: it survives being put away.
            assert!(clean && said.is_ok(), "{said:?}");
            registry.checkpoint().await.expect("a checkpoint");
            let reopened = open(&store).await.expect("what was open before");
            assert!(
                told(&reopened).await.is_ok_and(|told| Some(told) == said.ok()),
                "it changes in a checkpoint"
            );
            assert!(faults(&reopened).await.is_empty(), "{:?}", faults(&reopened).await);
        } else if clean {
            assert!(said.is_ok_and(|said| said == self.told), "{part:?}: verification does not notice");
        } else {
            self.heals(&registry, &store).await;
        }
    }

    /// Verification notices a harmed checkpoint, and the next one is right again.
    async fn heals(&self, registry: &ObjectStoreRegistry, store: &Arc<InMemory>) {
        // An envelope can be written in more ways than one.
        let _ = faults(registry).await;
        registry.checkpoint().await.expect("a checkpoint");
        let reopened = open(store).await.expect("a checkpoint is made of the log");
        assert!(told(&reopened).await.is_ok_and(|told| told == self.told), "what was healed is wrong");
        assert!(faults(&reopened).await.is_empty(), "{:?}", faults(&reopened).await);
    }

    fn log(&self, sequence: u64) -> String {
        format!("log/{:020}/{sequence:020}.json", sequence / 1000 * 1000)
    }

    async fn state(&self) -> String {
        self.checkpoint_file(".state").await
    }

    async fn archive(&self) -> String {
        self.checkpoint_file(".events").await
    }

    async fn checkpoint_file(&self, suffix: &str) -> String {
        let files: Vec<_> = self.store.list(Some(&"checkpoints".into())).try_collect().await.expect("a list");
        let mut files = files.into_iter().map(|file| file.location.to_string());
        files.find(|file| file.ends_with(suffix)).expect("a checkpoint")
    }

    async fn bytes(&self, file: &str) -> Vec<u8> {
        let found = self.store.get(&Path::from(file)).await.expect("a file");
        found.bytes().await.expect("its bytes").to_vec()
    }

    /// What is in the envelope of a file.
    async fn content(&self, file: &str) -> Vec<u8> {
        let bytes = self.bytes(file).await;
        let text = std::str::from_utf8(&bytes).expect("JSON");
        let envelope: std::collections::HashMap<&str, &RawValue> = serde_json::from_str(text).expect("JSON");
        envelope["content"].get().as_bytes().to_vec()
    }

    /// `content` in the envelope of a file, under the digest of what was there.
    async fn under(&self, file: &str, content: &[u8]) -> Vec<u8> {
        let (bytes, before) = (self.bytes(file).await, self.content(file).await);
        let place = bytes.windows(before.len()).position(|window| window == before).expect("its content");
        [&bytes[..place], content, &bytes[place + before.len()..]].concat()
    }
}

fn parse(text: &[u8]) -> Value {
    serde_json::from_slice(text).expect("JSON")
}

fn sealed(content: &[u8]) -> Vec<u8> {
    let head = format!(r#"{{"format":1,"digest":"{}","content":"#, Digest::of(content));
    [head.as_bytes(), content, b"}"].concat()
}

async fn put(store: &InMemory, file: &str, bytes: Vec<u8>) {
    store.put(&file.into(), bytes.into()).await.expect("memory takes all");
}

async fn open(store: &Arc<InMemory>) -> Result<ObjectStoreRegistry> {
    ObjectStoreRegistry::open(store.clone(), "").await
}

fn blames_a_file(error: &Error) -> bool {
    matches!(error, Error::Integrity { .. } | Error::Unsupported { .. })
}

/// What is wrong with the log and its checkpoints.
async fn faults(registry: &ObjectStoreRegistry) -> Vec<mlops_registry::Fault> {
    let mut faults = registry.verify().await.expect("what is wrong is in the answer").faults;
    faults.retain(|fault| fault.file.starts_with("log/") || fault.file.starts_with("checkpoints/"));
    faults
}

/// Everything a registry says.
async fn told(registry: &ObjectStoreRegistry) -> Result<String> {
    let mut told = format!("{:?}\n", registry.search(&Query::new()).await?);
    for model in registry.models().await? {
        told += &format!("{model} {:?}\n", registry.history(&model).await?);
    }
    for run in registry.runs(None).await? {
        told += &format!("{run:?}\n");
        for metric in run.metrics.keys() {
            told += &format!("{:?}\n", registry.metric_points(run.id, metric).await?);
        }
    }
    Ok(told + &format!("{:?}", registry.head().await?))
}

async fn fill(registry: &ObjectStoreRegistry) -> Result<()> {
    let key = SigningKey::from_secret(&"7f".repeat(32))?;
    let (fraud, champion) = (ModelName::new("fraud")?, Alias::new("champion")?);
    let new = |model: &str| Ok::<_, Error>(NewVersion::new(ModelName::new(model)?, Signature::new([], [])?));
    let mut ids = Vec::new();
    for weights in [&b"one"[..], b"two", b"three"] {
        let new = new("fraud")?.with_artifact("weights", weights).with_metric("auc", 0.1 + 0.2).by("ci");
        ids.push(registry.register(new.with_tag("team", "risk").with_description("a \"model\"\n")).await?.id);
    }
    registry.register(new("digits")?).await?;
    registry.tag(Tagging::set(ids[0].clone(), "gate", "passed")).await?;
    registry.report(NewReport::gate(ids[1].clone(), "accuracy", true).with_metric("auc", 0.9)).await?;
    let protection = Protection::default().with_approvals(1).with_passed_gate();
    registry.protect(Protecting::new(fraud.clone(), champion.clone(), protection)).await?;
    registry.approve(NewApproval::new(ids[1].clone(), champion.clone(), "alice")).await?;
    registry.move_alias(AliasMove::new(fraud.clone(), champion.clone(), ids[1].version.clone())).await?;
    registry.sign(&ids[0], &key, "ci").await?;
    registry.deprecate(Deprecation::new(ids[0].clone(), "too old")).await?;
    registry.delete(Deletion::new(ids[2].clone())).await?;
    registry.collect_garbage(GarbageCollection::default().with_grace(std::time::Duration::ZERO)).await?;
    let mut run = registry.start_run(NewRun::new("trees").with_parameter("depth", 7)).await?;
    run.log("loss", 0, f64::NAN).await?;
    run.log("loss", 1, 0.5).await?;
    run.flush().await?;
    registry.checkpoint().await?;
    run.tag("kept", "yes").await?;
    run.attach("model", &b"one"[..]).await?;
    run.finish(RunStatus::Finished).await?;
    registry.tag(Tagging::remove(ids[0].clone(), "gate")).await.map(drop)
}
