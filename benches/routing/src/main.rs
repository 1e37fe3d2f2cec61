//! What a decision costs here, in GrowthBook's SDK for Rust, and in yggdrasil, the engine of Unleash's SDKs.
//!
//! ```text
//! cargo run --release --manifest-path benches/routing/Cargo.toml
//! ```
//!
//! Each has the same users to decide on, and its own hash; that both decide alike is checked for every user before
//! anything is measured. All take turns in every round.
#![allow(clippy::print_stdout)]

mod growthbook;
mod ours;
mod unleash;

use std::error::Error;
use std::hint::black_box;
use std::time::Instant;

pub type Failure = Box<dyn Error>;

const USERS: usize = 4_096;
const ROUNDS: usize = 15;
const REPEATS: usize = 20;

/// Whether a user gets the new variant.
pub type Decide<'a> = Box<dyn Fn(usize) -> bool + 'a>;

/// What is decided by.
#[derive(Debug, Clone)]
pub struct User {
    pub key: String,
    pub country: &'static str,
    pub app: &'static str,
}

/// What is to be decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Task {
    /// A quarter of the users, by their keys.
    Share,
    /// The same behind five rules of five kinds, which hold for few: an attribute that few have, one of a list, a
    /// prefix, a version, and one key in a hundred.
    Rules,
}

fn main() -> Result<(), Failure> {
    let users: Vec<User> = (0..USERS)
        .map(|number| User {
            key: format!("user-{number:011}"), // 16 bytes
            country: if number % 50 == 0 { "SE" } else { "NO" },
            app: if number % 40 == 0 { "3.1.0" } else { "2.1.3" },
        })
        .collect();
    let ours = ours::Users::new(&users);
    let (growthbook, unleash) = (growthbook::Users::new(&users), unleash::Users::new(&users));
    for (task, title) in
        [(Task::Share, "A quarter of the users, by key"), (Task::Rules, "The same behind five rules")]
    {
        let systems: [(&str, Decide<'_>); 5] = [
            ("mlops-rollout", ours.decide(task, ours::Like::Ourselves)?),
            ("mlops-rollout, by GrowthBook's hash", ours.decide(task, ours::Like::GrowthBook)?),
            ("GrowthBook (growthbook-rust)", growthbook.decide(task)?),
            ("mlops-rollout, by Unleash's hash", ours.decide(task, ours::Like::Unleash)?),
            ("Unleash (yggdrasil)", unleash.decide(task)?),
        ];
        agree(&systems[1], &systems[2])?;
        agree(&systems[3], &systems[4])?;
        let medians = measure(&systems);
        println!("{title}");
        for ((name, _), median) in systems.iter().zip(&medians) {
            println!("    {name:<36} {median:>8.1} ns  {:>6.1} x", median / medians[0]);
        }
    }
    Ok(())
}

fn agree((name, one): &(&str, Decide<'_>), (other_name, other): &(&str, Decide<'_>)) -> Result<(), Failure> {
    match (0..USERS).find(|user| one(*user) != other(*user)) {
        None => Ok(()),
        Some(user) => Err(format!("{name} and {other_name} decide differently on the user {user}").into()),
    }
}

/// Nanoseconds per decision: medians of rounds in which all take turns.
fn measure(systems: &[(&str, Decide<'_>)]) -> Vec<f64> {
    let mut rounds = vec![Vec::new(); systems.len()];
    for _ in 0..ROUNDS {
        for ((_, decide), rounds) in systems.iter().zip(&mut rounds) {
            let began = Instant::now();
            for _ in 0..REPEATS {
                (0..USERS).for_each(|user| _ = black_box(decide(black_box(user))));
            }
            rounds.push(began.elapsed().as_secs_f64() * 1e9 / (REPEATS * USERS) as f64);
        }
    }
    let median = |mut rounds: Vec<f64>| {
        rounds.sort_by(f64::total_cmp);
        rounds[rounds.len() / 2]
    };
    rounds.into_iter().map(median).collect()
}
