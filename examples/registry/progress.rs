//! A bar for each large artifact that is on its way.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use mlops_core::Digest;
use mlops_registry::{Direction, Transfer};

/// Smaller ones are there before a bar is.
const LARGE: u64 = 16 << 20;

#[derive(Clone)]
pub struct Bars {
    all: MultiProgress,
    bars: Arc<Mutex<HashMap<(Digest, Direction), ProgressBar>>>,
}

impl Bars {
    /// None when nobody is looking.
    pub fn new(hidden: bool) -> Self {
        let target = if hidden { ProgressDrawTarget::hidden() } else { ProgressDrawTarget::stderr() };
        Self { all: MultiProgress::with_draw_target(target), bars: Arc::default() }
    }

    pub fn listener(&self) -> impl Fn(Transfer) + Send + Sync + 'static {
        let this = self.clone();
        move |transfer| this.tell(transfer)
    }

    fn tell(&self, Transfer { direction, artifact, done }: Transfer) {
        if artifact.size < LARGE {
            return;
        }
        let Ok(mut bars) = self.bars.lock() else { return };
        let bar = bars.entry((artifact.digest, direction)).or_insert_with(|| {
            let what = if direction == Direction::Upload { "up" } else { "down" };
            let style = ProgressStyle::with_template("{prefix:>4} {bar:40} {bytes}/{total_bytes} {eta}");
            let bar = ProgressBar::new(artifact.size).with_prefix(what);
            self.all.add(bar.with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar())))
        });
        bar.set_position(done);
        if done >= artifact.size {
            bar.finish_and_clear();
            bars.remove(&(artifact.digest, direction));
        }
    }
}
