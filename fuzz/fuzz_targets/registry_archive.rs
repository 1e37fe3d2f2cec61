//! Any bytes as the events of a checkpoint in a registry.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mlops_fuzz::registry::{Part, harm};

fuzz_target!(|content: &[u8]| harm(Part::Archive, content));
