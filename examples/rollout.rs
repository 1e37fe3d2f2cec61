//! A release, live: two models in one process, traffic on both, and a controller that moves it by what it sees.
//!
//! ```sh
//! cargo run --release --example rollout            # a good candidate: promoted within some seconds
//! cargo run --release --example rollout -- --bad   # fails one request in ten: rolled back, and few users saw it
//! cargo run --release --example rollout -- --slow  # takes four times as long: rolled back, too
//! ```

mod rollout {
    pub mod scorer;
    pub mod traffic;
    pub mod view;
}

use std::sync::Arc;
use std::time::Duration;

use clap::Parser;
use mlops_core::{Model, Variant};
use mlops_rollout::{Controller, Evidence, LatencyCheck, Plan, Routed, State, Step, Sticky, TrafficSplit};
use rollout::scorer::Scorer;
use rollout::traffic::Traffic;
use rollout::view::View;

#[derive(Debug, Parser)]
#[command(about = "A release, live")]
struct Arguments {
    /// The candidate fails one request in ten.
    #[arg(long)]
    bad: bool,
    /// The candidate takes four times as long.
    #[arg(long)]
    slow: bool,
    /// How many clients ask at a time.
    #[arg(long, default_value_t = 32)]
    clients: u64,
}

const USERS: u64 = 5_000;
const LOOK_EVERY: Duration = Duration::from_millis(50);

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments = Arguments::parse();
    let (stable, candidate) = (Variant::new("v1")?, Variant::new("v2")?);
    let usual = Duration::from_millis(2);
    let v1 = Scorer::new([0.8, -0.3, 0.1, 0.5])?.with_latency(usual).with_failing(0.002);
    let v2 = Scorer::new([0.9, -0.2, 0.1, 0.6])?
        .with_latency(if arguments.slow { 4 * usual } else { usual })
        .with_failing(if arguments.bad { 0.1 } else { 0.002 });

    let split = TrafficSplit::new(stable.clone(), [candidate.clone()]);
    let evidence = Arc::new(Evidence::new());
    let model = Routed::new(stable.clone(), v1, Sticky::new(split.clone(), "scorer-2"))
        .with_variant(candidate.clone(), v2)?
        .observed_by(Arc::clone(&evidence));
    let model = Arc::new(model);

    let step = |share| Step::new(share).with_min_samples(500).with_bake(Duration::from_millis(1_200));
    let plan = Plan::new([0.05, 0.25, 0.5, 1.0].map(step))?
        .with_check(LatencyCheck::p99(2.0))?
        .with_max_step_duration(Duration::from_secs(30))?;
    let view = Arc::new(View::new([&stable, &candidate])?);
    let told = Arc::clone(&view);
    let controller = Controller::new(plan, split.clone(), candidate.clone(), Arc::clone(&evidence))?
        .on_transition(move |transition| told.say(transition));

    let traffic = Traffic::start(Arc::clone(&model) as Arc<dyn Model>, arguments.clients, USERS);
    let state = tokio::select! {
        state = controller.run(LOOK_EVERY) => state?,
        never = view.follow(&split, &traffic, &controller) => match never {},
    };
    if state == State::Promoted
        && let Some(promoted) = model.model(&candidate)
    {
        model.insert(stable, promoted)?; // v1 is no more: what begins now is answered by v2 under either name
    }
    let seen = traffic.stop().await;
    view.finish(&state, &seen, USERS);
    Ok(())
}
