//! What is seen of it in the terminal.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::fmt::Display;
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use mlops_core::Variant;
use mlops_rollout::{Controller, State, TrafficSplit};

use super::traffic::{Seen, Traffic};

pub struct View {
    all: MultiProgress,
    shares: Vec<(Variant, ProgressBar)>,
    status: ProgressBar,
}

impl View {
    pub fn new(variants: [&Variant; 2]) -> Result<Self, Box<dyn std::error::Error>> {
        let all = MultiProgress::new();
        let style = ProgressStyle::with_template("{prefix:>4} {bar:40} {pos:>3} % of the traffic  {msg}")?;
        let shares = variants.map(|variant| {
            let bar =
                all.add(ProgressBar::new(100).with_style(style.clone()).with_prefix(variant.to_string()));
            (variant.clone(), bar)
        });
        let status =
            all.add(ProgressBar::new_spinner().with_style(ProgressStyle::with_template("     {wide_msg}")?));
        Ok(Self { all, shares: shares.into(), status })
    }

    /// Draws ten times a second, for ever.
    pub async fn follow(
        &self,
        split: &TrafficSplit,
        traffic: &Traffic,
        controller: &Controller,
    ) -> Infallible {
        let mut ticks = tokio::time::interval(Duration::from_millis(100));
        loop {
            ticks.tick().await;
            let seen = traffic.seen();
            for (variant, bar) in &self.shares {
                let share = split.share(variant).unwrap_or_default();
                bar.set_position((100.0 * share).round() as u64);
                bar.set_message(format!(
                    "{} answers",
                    seen.answers.get(variant).copied().unwrap_or_default()
                ));
            }
            self.status.set_message(controller.status());
        }
    }

    /// Prints a line above the bars, or just prints it where nobody sees bars.
    pub fn say(&self, line: &impl Display) {
        self.all.suspend(|| println!("{line}"));
    }

    pub fn finish(&self, state: &State, seen: &Seen, users: u64) {
        for (_, bar) in &self.shares {
            bar.finish_and_clear();
        }
        self.status.finish_and_clear();
        println!("\n{state}");
        for (variant, _) in &self.shares {
            let answers = seen.answers.get(variant).copied().unwrap_or_default();
            let met = seen.users.get(variant).map_or(0, BTreeSet::len);
            println!("{variant}: {answers} answers to {met} of {users} users");
        }
        println!("{} requests failed", seen.failures);
    }
}
