//! Any bytes as a part of a layout that is imported. The first says which part.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mlops_fuzz::layouts::{Part, import};

fuzz_target!(|bytes: &[u8]| {
    if let Some((part, bytes)) = bytes.split_first() {
        import(Part::ALL[usize::from(*part) % Part::ALL.len()], bytes);
    }
});
