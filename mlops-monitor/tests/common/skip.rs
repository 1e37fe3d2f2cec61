//! Tests that need what is not everywhere.

use std::io::Write;

/// Says that tests are skipped, and why; where everything must run (`MLOPS_REQUIRE_ALL`), fails instead.
pub(crate) fn skip(why: &str) {
    assert!(std::env::var_os("MLOPS_REQUIRE_ALL").is_none(), "MLOPS_REQUIRE_ALL is set, but {why}");
    // Written past what cargo captures of tests that pass.
    let _ = writeln!(std::io::stderr(), "SKIPPED: {why}");
}
