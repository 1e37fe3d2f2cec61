//! Replicas share answers through Redis; without Redis they answer all the same.
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout)]

use std::net::{Ipv4Addr, TcpListener};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use mlops_core::{Digest, Error, Model, Request, Response, conformance};
use mlops_serve::ServeExt;
use mlops_serve::layer::{CacheTier, Cached, Caching, RedisTier};
use tempfile::TempDir;

use crate::support::scripted::{Scripted, answered, inputs, request};
use crate::support::skip;

/// A Redis of this test alone.
struct Redis {
    server: Child,
    port: u16,
    _folder: TempDir,
}

impl Redis {
    /// `None` when there is no `redis-server`; the test is skipped then.
    async fn start() -> Option<Self> {
        Self::start_at(free_port()).await
    }

    async fn start_at(port: u16) -> Option<Self> {
        let folder = TempDir::new().unwrap();
        let server = Command::new("redis-server")
            .args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", "", "--dir"])
            .arg(folder.path())
            .stdout(Stdio::null())
            .spawn();
        let Ok(server) = server else {
            skip("redis-server is not on PATH; scripts/ci-setup installs it");
            return None;
        };
        let redis = Self { server, port, _folder: folder };
        let began = Instant::now();
        while redis.tier().get(&[0; 32]).await.is_err() {
            assert!(began.elapsed().as_secs() < 60, "Redis does not start");
            tokio::task::yield_now().await;
        }
        Some(redis)
    }

    fn tier(&self) -> RedisTier {
        RedisTier::new(&format!("redis://127.0.0.1:{}/", self.port)).unwrap()
    }

    fn kill(&mut self) {
        self.server.kill().unwrap();
        self.server.wait().unwrap();
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

fn free_port() -> u16 {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port()
}

/// So long that a busy machine does not matter.
const PATIENT: Duration = Duration::from_secs(60);

fn replica(tier: RedisTier, timeout: Duration) -> (Arc<Scripted>, Cached<Arc<Scripted>>) {
    let model = Arc::new(Scripted::echo());
    let caching = Caching::new(1 << 20).with_tier_timeout(timeout);
    let caching = caching.with_time_to_live(Duration::from_secs(600));
    (Arc::clone(&model), model.cached(caching.with_tier(tier, Digest::of(b"the weights"))))
}

async fn ask(replica: &Cached<Arc<Scripted>>, x: f32) -> Response {
    replica.predict(Request::new(inputs(x)).with_id("mine")).await.unwrap()
}

#[tokio::test]
async fn two_replicas_share_answers() {
    let Some(redis) = Redis::start().await else { return };
    let ((one, one_cached), (other, other_cached)) =
        (replica(redis.tier(), PATIENT), replica(redis.tier(), PATIENT));
    assert_eq!(answered(&ask(&one_cached, 3.0).await), 3.0);
    let shared = ask(&other_cached, 3.0).await;
    assert_eq!((answered(&shared), shared.id.as_deref()), (3.0, Some("mine")));
    assert_eq!((one.calls(), other.calls()), (1, 0));
    conformance::model::check(&other_cached, &inputs(3.0)).await;

    let (apart, apart_cached) = replica(redis.tier().with_prefix("others:"), PATIENT);
    ask(&apart_cached, 3.0).await;
    assert_eq!(apart.calls(), 1);
}

#[tokio::test]
async fn what_is_set_comes_back_until_its_time_is_over() {
    let Some(redis) = Redis::start().await else { return };
    let tier = redis.tier();
    let value: Vec<u8> = (0..=255).collect();
    tier.set(&[7; 32], value.clone().into(), None).await.unwrap();
    assert_eq!(tier.get(&[7; 32]).await.unwrap().unwrap(), value);
    assert_eq!(tier.get(&[8; 32]).await.unwrap(), None);

    let time = Duration::from_millis(50);
    let began = Instant::now();
    tier.set(&[7; 32], value.into(), Some(time)).await.unwrap();
    while tier.get(&[7; 32]).await.unwrap().is_some() {
        assert!(began.elapsed().as_secs() < 60, "it lives on");
    }
    assert!(began.elapsed() >= time);
    tier.set(&[7; 32], "at once".into(), Some(Duration::ZERO)).await.unwrap();
}

#[tokio::test]
async fn a_redis_that_dies_fails_no_request() {
    let Some(mut redis) = Redis::start().await else { return };
    let (model, cached) = replica(redis.tier(), Duration::from_millis(200));
    ask(&cached, 1.0).await;
    redis.kill();
    for x in [1.0, 2.0, 3.0] {
        assert_eq!(answered(&ask(&cached, x).await), x);
    }
    assert_eq!(model.calls(), 3);
}

#[tokio::test]
async fn a_redis_that_comes_back_is_used_again() {
    let Some(mut redis) = Redis::start().await else { return };
    let tier = redis.tier();
    tier.set(&[7; 32], "before".into(), None).await.unwrap();
    redis.kill();
    assert!(matches!(tier.get(&[7; 32]).await, Err(Error::Unavailable { .. })));
    let _again = Redis::start_at(redis.port).await.unwrap();
    let began = Instant::now();
    while tier.set(&[7; 32], "after".into(), None).await.is_err() {
        assert!(began.elapsed().as_secs() < 60, "it is not found again");
    }
    assert_eq!(tier.get(&[7; 32]).await.unwrap().unwrap(), "after");
}

#[tokio::test]
async fn a_redis_that_was_never_there_fails_no_request() {
    let tier = RedisTier::new(&format!("redis://127.0.0.1:{}", free_port())).unwrap();
    let caching = Caching::new(1 << 20).with_tier(tier, Digest::of(b"the weights"));
    let cached = Scripted::echo().cached(caching);
    assert_eq!(answered(&cached.predict(request(1.0)).await.unwrap()), 1.0);
}

#[tokio::test]
async fn a_redis_that_never_answers_costs_no_more_than_the_timeout() {
    let silent = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = silent.local_addr().unwrap();
    let tier = RedisTier::new(&format!("redis://{address}")).unwrap();
    let caching = Caching::new(1 << 20).with_tier_timeout(Duration::from_millis(5));
    let cached = Scripted::echo().cached(caching.with_tier(tier, Digest::of(b"the weights")));
    let began = Instant::now();
    assert_eq!(answered(&cached.predict(request(1.0)).await.unwrap()), 1.0);
    assert!(began.elapsed() < Duration::from_secs(1), "no time-out of Redis's client: {:?}", began.elapsed());
}

#[tokio::test]
async fn passwords_are_not_shown() {
    let tier = RedisTier::new("redis://user:hunter2@127.0.0.1:1/0").unwrap();
    assert!(!format!("{tier:?}").contains("hunter2"));
    let error = tier.get(&[0; 32]).await.unwrap_err();
    assert!(matches!(error, Error::Unavailable { .. }) && !format!("{error:?}").contains("hunter2"));
    let error = RedisTier::new("http://user:hunter2@127.0.0.1").unwrap_err();
    assert!(matches!(error, Error::InvalidInput(_)) && !format!("{error:?}").contains("hunter2"));
}

#[test]
fn without_a_runtime_there_is_an_error_and_no_panic() {
    assert!(matches!(RedisTier::new("redis://127.0.0.1"), Err(Error::Unavailable { .. })));
}
