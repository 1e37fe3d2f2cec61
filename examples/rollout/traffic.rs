//! Users who ask without end.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use mlops_core::{Model, Request, RoutingContext, Tensor, Tensors, Variant};
use tokio::task::JoinSet;

/// What became of the requests so far.
#[derive(Debug, Clone, Default)]
pub struct Seen {
    pub answers: BTreeMap<Variant, u64>,
    pub failures: u64,
    /// Who has been answered by each variant.
    pub users: BTreeMap<Variant, BTreeSet<u64>>,
}

pub struct Traffic {
    stop: Arc<AtomicBool>,
    seen: Arc<Mutex<Seen>>,
    clients: JoinSet<()>,
}

impl Traffic {
    /// `clients` requests are under way at a time, from `users` users.
    pub fn start(model: Arc<dyn Model>, clients: u64, users: u64) -> Self {
        let (stop, seen) = (Arc::new(AtomicBool::new(false)), Arc::new(Mutex::new(Seen::default())));
        let mut tasks = JoinSet::new();
        for client in 0..clients {
            tasks.spawn(ask(Arc::clone(&model), Arc::clone(&stop), Arc::clone(&seen), client, users));
        }
        Self { stop, seen, clients: tasks }
    }

    pub fn seen(&self) -> Seen {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Ends when every client has got its last answer.
    pub async fn stop(self) -> Seen {
        self.stop.store(true, Ordering::Relaxed);
        let seen = self.seen.clone();
        self.clients.join_all().await;
        let seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.clone()
    }
}

async fn ask(model: Arc<dyn Model>, stop: Arc<AtomicBool>, seen: Arc<Mutex<Seen>>, client: u64, users: u64) {
    let mut number = client << 32;
    while !stop.load(Ordering::Relaxed) {
        number += 1;
        let user = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) % users;
        let features = [0.1, 0.2, 0.3, (user % 10) as f32 / 10.0];
        let Ok(tensor) = Tensor::from_vec(&[1, 4], features.to_vec()) else { return };
        let context = RoutingContext::new().with_key(format!("user-{user}"));
        let request = Request::new(Tensors::new().with("features", tensor)).with_context(context);
        let result = model.predict(request).await;
        let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
        match result.map(|response| response.variant) {
            Ok(Some(variant)) => {
                *seen.answers.entry(variant.clone()).or_default() += 1;
                seen.users.entry(variant).or_default().insert(user);
            }
            Ok(None) => {}
            Err(_) => seen.failures += 1,
        }
    }
}
