//! Any bytes as an ONNX file: loaded, and run on zeros when that works.
#![no_main]

use libfuzzer_sys::{fuzz_mutator, fuzz_target, fuzzer_mutate};
use mlops_fuzz::onnx::load_and_run;
use mlops_fuzz::tree::{Random, encode, mutate, parse};

fuzz_target!(|file: &[u8]| load_and_run(file));

fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
    let mut random = Random(seed.into());
    if random.below(4) > 0
        && let Some(mut fields) = parse(&data[..size])
    {
        let mut donor = fields.clone();
        for _ in 0..=random.below(3) {
            mutate(&mut fields, &mut donor, &mut random);
        }
        let changed = encode(&fields);
        if changed.len() <= max_size.min(data.len()) {
            data[..changed.len()].copy_from_slice(&changed);
            return changed.len();
        }
    }
    fuzzer_mutate(data, size, max_size)
});
