//! What several test suites need.
#![allow(dead_code, clippy::unwrap_used, clippy::panic, clippy::print_stdout)]

pub(crate) mod cases;
pub(crate) mod compare;
pub(crate) mod npy;
pub(crate) mod reference;

/// Says that tests are skipped, and why; where everything must run (`MLOPS_REQUIRE_ALL`), fails instead.
pub(crate) fn skip(why: &str) {
    assert!(std::env::var_os("MLOPS_REQUIRE_ALL").is_none(), "MLOPS_REQUIRE_ALL is set, but {why}");
    println!("SKIPPED: {why}");
}
