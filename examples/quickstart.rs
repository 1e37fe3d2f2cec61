//! The whole loop on real data, in one process: train, register, gate, shadow, canary, promote, roll back,
//! and notice drift.
//!
//! ```text
//! cargo run --release --example quickstart [-- --registry FOLDER] [--json FILE]
//! ```
//!
//! Every number it prints is computed by the run. It ends with an error if one of its claims does not hold.

#[path = "quickstart/data.rs"]
mod data;
#[path = "quickstart/facts.rs"]
mod facts;
#[path = "quickstart/model.rs"]
mod model;
#[path = "quickstart/network.rs"]
mod network;
#[path = "quickstart/story.rs"]
mod story;
#[path = "quickstart/traffic.rs"]
mod traffic;

use std::error::Error;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::Parser;
use metrics_exporter_prometheus::PrometheusBuilder;
use mlops_core::metrics::MetricsObserver;
use mlops_core::{
    Alias, AliasMove, Digest, Lineage, ManualClock, ModelName, ModelVersion, NewVersion, Registry, Request,
    Router, Variant,
};
use mlops_monitor::{Features, Monitor, MonitorOptions, Profile, TensorFeatures};
use mlops_registry::ObjectStoreRegistry;
use mlops_rollout::{
    Candidate, Champion, Controller, Evidence, GateReport, Gates, LatencyCeiling, MetricFloor,
    MetricRegression, Plan, RateCheck, Routed, SameArgmax, Shadowed, SignatureCompatible, State, Step,
    Sticky, TrafficSplit,
};
use mlops_serve::engine::burn::{Device, save_burnpack};
use mlops_serve::server::Server;

use data::{Digits, SIDE, Split};
use facts::{Facts, Gating};
use model::Quality;
use network::Architecture;
use story::{chapter, say, table};
use traffic::{Burst, Users};

type Outcome<T> = Result<T, Box<dyn Error>>;

#[derive(Parser)]
#[command(about = "The whole loop on real data, in one process")]
struct Arguments {
    /// Where the registry lives. A new folder for temporary files unless set.
    #[arg(long)]
    registry: Option<PathBuf>,
    /// Writes the facts of the run as JSON.
    #[arg(long)]
    json: Option<PathBuf>,
}

#[tokio::main]
async fn main() -> Outcome<()> {
    let arguments = Arguments::parse();
    let started = Instant::now();
    let mut facts = Facts::default();
    report_panics_of_engines_once();

    let release = Release::prepare(&arguments, &mut facts).await?;
    let [v1, rushed, v2] = release.train_and_register(&mut facts).await?;
    release.gate(&v1, &rushed, &mut facts).await?;
    release.gate(&v1, &v2, &mut facts).await?;

    let mut live = Live::start(release, &v1, &v2).await?;
    live.shadow(&v2, &mut facts).await?;
    live.roll_out(&v1, &v2, &mut facts).await?;
    let v3 = live.release.train_and_register_the_trap(&v2, &mut facts).await?;
    live.roll_out(&v2, &v3, &mut facts).await?;
    live.notice_drift(&mut facts).await?;
    live.look_back(&mut facts).await?;

    facts.seconds = started.elapsed().as_secs_f64();
    if let Some(path) = &arguments.json {
        std::fs::write(path, serde_json::to_vec_pretty(&facts)?)?;
    }
    let broken = facts.broken_claims();
    if broken.is_empty() {
        Ok(())
    } else {
        Err(format!("the run does not bear out: {}", broken.join("; ")).into())
    }
}

/// A panic of an engine, on a thread of the server, comes back as the error of its call; that is enough.
fn report_panics_of_engines_once() {
    let report = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        if std::thread::current().name() == Some("main") {
            report(panic);
        }
    }));
}

/// The offline half: data, training, registry, gates.
struct Release {
    name: ModelName,
    champion: Alias,
    digits: Split,
    data: Digest,
    device: burn::tensor::Device,
    registry: Arc<dyn Registry>,
}

impl Release {
    async fn prepare(arguments: &Arguments, facts: &mut Facts) -> Outcome<Self> {
        chapter("Data and registry");
        let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("examples/data/digits.csv");
        let data = Digest::of(&std::fs::read(&path)?);
        let digits = Digits::load(&path)?.split(2026);
        let folder = match &arguments.registry {
            Some(folder) => folder.clone(),
            None => std::env::temp_dir().join(format!("mlops-quickstart-{}", uuid::Uuid::now_v7().simple())),
        };
        let registry = ObjectStoreRegistry::local(&folder).await?;
        if !registry.models().await?.is_empty() {
            let root = registry.root();
            return Err(format!("{root} holds models already; name a folder that is new or empty").into());
        }
        facts.registry = registry.root().to_owned();
        say(format_args!(
            "handwritten digits: {} to train on, {} to judge by, {} for the users; {data}",
            digits.train.len(),
            digits.holdout.len(),
            digits.live.len()
        ));
        say(format_args!("the registry is {}", facts.registry));
        Ok(Self {
            name: ModelName::new("digits")?,
            champion: Alias::new("champion")?,
            digits,
            data,
            device: Device::Cpu.open()?,
            registry: Arc::new(registry),
        })
    }

    async fn train_and_register(&self, facts: &mut Facts) -> Outcome<[ModelVersion; 3]> {
        chapter("Train and register");
        let Split { train, holdout, .. } = &self.digits;
        let v1 = Recipe {
            version: "1.0.0",
            architecture: Architecture::Linear,
            epochs: 20,
            seed: 1,
            parent: None,
        };
        let v1 = self.follow(&v1, train, holdout, facts).await?;
        let parent = Some(&v1);
        let v2 = Recipe { version: "2.0.0", architecture: Architecture::Mlp, epochs: 40, seed: 1, parent };
        let rushed =
            self.follow(&Recipe { version: "2.0.0-rc.1", epochs: 1, ..v2 }, train, holdout, facts).await?;
        let v2 = self.follow(&v2, train, holdout, facts).await?;
        self.registry
            .move_alias(
                AliasMove::new(self.name.clone(), self.champion.clone(), v1.id.version.clone())
                    .expecting(None)
                    .by("quickstart")
                    .because("the first release"),
            )
            .await?;
        story::versions([&v1, &rushed, &v2]);
        Ok([v1, rushed, v2])
    }

    /// Trains by a recipe, judges by the hold-out, and registers what came out.
    async fn follow(
        &self,
        recipe: &Recipe<'_>,
        train: &Digits,
        holdout: &Digits,
        facts: &mut Facts,
    ) -> Outcome<ModelVersion> {
        let Recipe { version, architecture, epochs, seed, parent } = *recipe;
        let network = network::train(architecture, train, epochs, seed, &self.device);
        let quality = Quality::measure(&network, holdout)?;
        facts.holdout_accuracy.insert(version.to_owned(), quality.accuracy);
        let features = Features::new([TensorFeatures::grid("pixels", "pixel", [SIDE, SIDE])])?;
        let profile = Profile::from_array(train.pixels.view(), features)?;
        let mut lineage = Lineage::default()
            .with_data(self.data)
            .with_data_rows(train.len() as u64)
            .with_code(concat!("examples/quickstart.rs@", env!("CARGO_PKG_VERSION")))
            .with_environment("burn", "0.22");
        if let Some(parent) = parent {
            lineage = lineage.with_parent(parent.id.clone());
        }
        let new = NewVersion::new(self.name.clone(), model::signature()?)
            .with_version(version.parse()?)
            .with_artifact("weights", save_burnpack(&network)?)
            .with_artifact("profile", profile.to_bytes()?)
            .with_metric("accuracy", quality.accuracy)
            .with_metric("log_loss", quality.log_loss)
            .with_parameter("architecture", architecture.name())
            .with_parameter("epochs", epochs)
            .with_parameter("seed", seed)
            .with_lineage(lineage)
            .by("quickstart");
        Ok(self.registry.register(new).await?)
    }

    /// What a version must stand before it sees a user.
    async fn gate(
        &self,
        champion: &ModelVersion,
        version: &ModelVersion,
        facts: &mut Facts,
    ) -> Outcome<GateReport> {
        chapter(format_args!("Gates for {}, against {}", version.id, champion.id));
        let export = self.digits.train.as_four_bit_export();
        let samples = (0..32).map(|row| Request::new(model::inputs(export.image(row))));
        let candidate = Candidate::new(model::load(&*self.registry, version).await?)
            .with_metrics(version.metrics.clone())
            .with_champion(Champion::new(champion.signature.clone()).with_metrics(champion.metrics.clone()))
            .with_samples(samples);
        let report = Gates::new()
            .with(MetricFloor::new("accuracy", 0.9))
            .with(MetricRegression::new("accuracy", 0.02))
            .with(MetricRegression::new("log_loss", 0.05).lower_is_better())
            .with(SignatureCompatible)
            .with(LatencyCeiling::new().with_p99(Duration::from_millis(20)))
            .evaluate(&candidate)
            .await;
        say(&report);
        self.registry
            .report(report.for_version(version.id.clone(), "release gates").by("quickstart"))
            .await?;
        facts.gates.push(Gating {
            version: version.id.version.to_string(),
            passed: report.is_passed(),
            reasons: report
                .outcomes
                .iter()
                .map(|outcome| format!("{}: {}", outcome.gate, outcome.reason))
                .collect(),
        });
        Ok(report)
    }

    /// A version that is good on its own data and fails on that of the users: it was trained and judged on a
    /// 4-bit export in which a pixel of 16 reads 15, and its lookup table has no place for 16.
    async fn train_and_register_the_trap(
        &self,
        v2: &ModelVersion,
        facts: &mut Facts,
    ) -> Outcome<ModelVersion> {
        chapter("A version with a hidden fault");
        let (train, holdout) =
            (self.digits.train.as_four_bit_export(), self.digits.holdout.as_four_bit_export());
        let (architecture, parent) = (Architecture::LookupTable, Some(v2));
        let recipe = Recipe { version: "3.0.0", architecture, epochs: 40, seed: 2, parent };
        let v3 = self.follow(&recipe, &train, &holdout, facts).await?;
        say("3.0.0 was trained and judged on a 4-bit export of the data: 16 levels of ink, 0 to 15.");
        say("Users still send 16, for which its lookup table has no entry. Its offline results look fine:");
        story::versions([&v3]);
        self.gate(v2, &v3, facts).await?;
        Ok(v3)
    }
}

/// What makes one version differ from another.
#[derive(Clone, Copy)]
struct Recipe<'a> {
    version: &'a str,
    architecture: Architecture,
    epochs: usize,
    seed: u64,
    parent: Option<&'a ModelVersion>,
}

/// The online half: a server, its users, and what watches over them.
struct Live {
    release: Release,
    clock: ManualClock,
    stable: Variant,
    candidate: Variant,
    split: TrafficSplit,
    router: Arc<Shadowed<Sticky>>,
    routed: Arc<Routed>,
    evidence: Arc<Evidence>,
    monitor: Arc<Monitor>,
    users: Users,
    render_metrics: Box<dyn Fn() -> String>,
}

const MINUTE: Duration = Duration::from_secs(60);
const REQUESTS_A_MINUTE: usize = 500;

impl Live {
    async fn start(release: Release, v1: &ModelVersion, v2: &ModelVersion) -> Outcome<Self> {
        chapter("Serve");
        let recorder = PrometheusBuilder::new().install_recorder()?;
        mlops_core::metrics::describe();

        let (stable, candidate) = (Variant::new("stable")?, Variant::new("candidate")?);
        let split = TrafficSplit::new(stable.clone(), [candidate.clone()]);
        let router = Arc::new(Shadowed::new(Sticky::new(split.clone(), "digits"), candidate.clone(), 0.0)?);
        let evidence = Arc::new(Evidence::new());
        let profile = Profile::from_bytes(&release.registry.fetch(v2, "profile").await?)?;
        let monitor = Arc::new(Monitor::new(profile, MonitorOptions::default())?);
        let routed =
            Routed::new(stable.clone(), model::load(&*release.registry, v1).await?, Arc::clone(&router))
                .with_variant(candidate.clone(), model::load(&*release.registry, v2).await?)?
                .with_comparer(SameArgmax)
                .observed_by(Arc::clone(&evidence))
                .observed_by(Arc::clone(&monitor))
                .observed_by(MetricsObserver::new(release.name.clone()));
        let routed = Arc::new(routed);

        let render = recorder.clone();
        let server = Server::builder()
            .with_model(release.name.clone(), Arc::clone(&routed))
            .with_metrics(move || render.render())
            .build();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("http://{}/v2/models/{}/infer", listener.local_addr()?, release.name);
        tokio::spawn(server.serve(listener, std::future::pending()));
        say(format_args!("{} answers at {url}", v1.id));

        let users =
            Users::new(url, Arc::clone(&router) as Arc<dyn Router>, Arc::clone(&evidence), stable.clone());
        let render_metrics = Box::new(move || recorder.render());
        let clock = ManualClock::default();
        Ok(Self {
            release,
            clock,
            stable,
            candidate,
            split,
            router,
            routed,
            evidence,
            monitor,
            users,
            render_metrics,
        })
    }

    /// The candidate sees a copy of every request; users see only the stable version's answers.
    async fn shadow(&mut self, v2: &ModelVersion, facts: &mut Facts) -> Outcome<()> {
        chapter(format_args!("Shadow {}", v2.id));
        self.router.set_share(1.0)?;
        let burst = self.users.send(&self.release.digits.live, 2 * REQUESTS_A_MINUTE).await?;
        self.router.set_share(0.0)?;
        let comparison = self.settled_comparison(burst.requests).await;
        say(format_args!(
            "{} requests answered by stable, {} failed; {} also seen by the candidate, which named the same digit {} times",
            burst.requests,
            burst.failed(),
            comparison.compared,
            comparison.agreed
        ));
        facts.shadow = facts::Shadow {
            compared: comparison.compared,
            agreed: comparison.agreed,
            failed_responses: burst.failed(),
        };
        facts.count(&burst);
        Ok(())
    }

    /// Shadows run beside the requests; the last may still be under way when the last answer is there.
    async fn settled_comparison(&self, expected: u64) -> mlops_rollout::ShadowComparison {
        for _ in 0..100 {
            if self.routed.comparison(&self.candidate).compared >= expected {
                break;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        self.routed.comparison(&self.candidate)
    }

    /// A canary from 5 to 100 %, under the users' feedback. Ends with the version that won as the stable one.
    async fn roll_out(
        &mut self,
        stable: &ModelVersion,
        candidate: &ModelVersion,
        facts: &mut Facts,
    ) -> Outcome<()> {
        chapter(format_args!("Canary {}, against {}", candidate.id, stable.id));
        say(
            "Each user keeps the variant the hash of their key assigns; time is a manual clock, a minute a burst.",
        );
        self.routed.insert(self.candidate.clone(), model::load(&*self.release.registry, candidate).await?)?;
        self.users.forget_assignments();
        let step = |share: f64| Step::new(share).with_min_samples(100).with_bake(3 * MINUTE);
        let plan = Plan::new([0.05, 0.25, 0.5, 1.0].map(step))?
            .with_check(RateCheck::bad_outcomes())? // beside the failure rate, which every plan checks
            .with_max_step_duration(60 * MINUTE)?;
        let planned: Vec<f64> = plan.steps().iter().map(Step::share).collect();
        let controller =
            Controller::new(plan, self.split.clone(), self.candidate.clone(), Arc::clone(&self.evidence))?
                .with_name(self.release.name.as_str())
                .with_clock(self.clock.clone());

        let mut total = Burst::default();
        let mut steps: Vec<Burst> = Vec::new();
        let mut state = controller.tick()?;
        while let State::Step { index, .. } = state {
            let burst = self.users.send(&self.release.digits.live, REQUESTS_A_MINUTE).await?;
            steps.resize_with(index + 1, Burst::default);
            steps[index].add(burst);
            self.clock.advance(MINUTE);
            state = controller.tick()?;
        }
        let rows = steps
            .iter()
            .zip(&planned)
            .map(|(burst, planned)| story::step_row(*planned, burst, &self.candidate));
        table(
            &["planned", "observed", "requests", "stable: right", "failed", "candidate: right", "failed"],
            rows,
        );
        for transition in controller.audit() {
            match &transition.to {
                State::RolledBack { .. } => say(format_args!("{} -> {}", transition.from, transition.to)),
                _ => say(format_args!("{} -> {}: {}", transition.from, transition.to, transition.reason)),
            }
        }

        let mut rollout = facts::Rollout {
            stable: stable.id.version.to_string(),
            candidate: candidate.id.version.to_string(),
            ..facts::Rollout::default()
        };
        for (burst, planned) in steps.into_iter().zip(planned) {
            rollout.steps.push(facts::Step {
                planned_share: planned,
                observed_share: burst.candidate_share(&self.candidate),
                requests: burst.requests,
            });
            total.add(burst);
        }
        let (outcome, winner) = match state {
            State::Promoted => ("promoted", candidate),
            State::RolledBack { reason } => {
                rollout.reason = Some(reason);
                ("rolled_back", stable)
            }
            other => return Err(format!("the rollout ended as {other}").into()),
        };
        rollout.outcome = outcome.to_owned();
        total.add(self.settle(stable, winner).await?);
        rollout.failed_responses_stable = total.failed_on_stable;
        rollout.failed_responses_candidate = total.failed_on_candidate;
        rollout.users_sent_back = total.sent_back;
        rollout.live_accuracy =
            total.versions.iter().map(|(version, answers)| (version.clone(), answers.accuracy())).collect();
        say(format_args!(
            "{outcome}; failed responses: {} of stable's users, {} of the candidate's; users moved back to stable: {}",
            total.failed_on_stable, total.failed_on_candidate, total.sent_back
        ));
        facts.count(&total);
        facts.rollouts.push(rollout);
        Ok(())
    }

    /// The winner becomes the stable variant and the champion, while users go on asking.
    async fn settle(&mut self, before: &ModelVersion, winner: &ModelVersion) -> Outcome<Burst> {
        if winner.id != before.id {
            self.release
                .registry
                .move_alias(
                    AliasMove::new(
                        self.release.name.clone(),
                        self.release.champion.clone(),
                        winner.id.version.clone(),
                    )
                    .expecting(Some(before.id.version.clone()))
                    .by("rollout")
                    .because("the canary passed at 100 %"),
                )
                .await?;
            self.routed.insert(self.stable.clone(), model::load(&*self.release.registry, winner).await?)?;
        }
        let burst = self.users.send(&self.release.digits.live, REQUESTS_A_MINUTE).await?;
        self.users.forget_assignments();
        self.split.set(&self.candidate, 0.0)?;
        Ok(burst)
    }

    /// Dust settles on the lens: a block of pixels loses most of its ink.
    async fn notice_drift(&mut self, facts: &mut Facts) -> Outcome<()> {
        chapter("Drift");
        let (rows, columns) = (3..5, 2..5);
        self.monitor.reset();
        let before = self.users.send_each_once(&self.release.digits.live).await?;
        let healthy = self.monitor.report();
        say(format_args!(
            "{} images as they always were, accuracy {:.3}:",
            before.requests,
            before.accuracy()
        ));
        say(&healthy);

        self.monitor.reset();
        let dusty = self.release.digits.live.with_dust(rows.clone(), columns.clone());
        let after = self.users.send_each_once(&dusty).await?;
        let report = self.monitor.report();
        say(format_args!("the same images through a dusty lens, accuracy {:.3}:", after.accuracy()));
        say(&report);

        let shifted = rows.flat_map(|row| columns.clone().map(move |column| format!("pixel_{row}_{column}")));
        let score = |assessment: &mlops_core::Assessment| Some((assessment.test.clone(), assessment.score?));
        facts.drift = facts::Drift {
            window: report.rows,
            before: healthy.drifted().map(str::to_owned).collect(),
            shifted: shifted.collect(),
            named: report.drifted().map(str::to_owned).collect(),
            scores: report
                .features
                .iter()
                .map(|drift| (drift.feature.clone(), drift.assessments.iter().filter_map(score).collect()))
                .collect(),
            accuracy_before: before.accuracy(),
            accuracy_after: after.accuracy(),
        };
        facts.count(&before);
        facts.count(&after);
        Ok(())
    }

    /// What remains: the history in the registry, and the metrics.
    async fn look_back(&self, facts: &mut Facts) -> Outcome<()> {
        chapter("What remains");
        let Release { registry, name, champion, .. } = &self.release;
        let history = registry.history(name).await?;
        table(
            &["#", "who", "what"],
            history
                .iter()
                .map(|event| vec![event.sequence.to_string(), event.actor.clone(), event.change.to_string()]),
        );
        facts.champion = registry.resolve(name, &champion.clone().into()).await?.id.version.to_string();
        for line in (self.render_metrics)().lines().filter(|line| line.starts_with("model_predictions_total"))
        {
            say(line);
        }
        say(format_args!(
            "{} responses, {} failed, each of them one of 3.0.0; the champion is {}; the registry stays at {}",
            facts.responses, facts.failed_responses, facts.champion, facts.registry
        ));
        Ok(())
    }
}

impl Facts {
    fn count(&mut self, burst: &Burst) {
        self.responses += burst.requests;
        self.failed_responses += burst.failed();
    }
}
