//! Changes the files of a registry again and again, and opens it.
//!
//!     cargo run --release --bin registry_mutate -- SECONDS [--seed N] [--corpus FOLDER]
//!
//! What makes the registry panic or answer wrongly is written to `artifacts/`. With `--corpus` it only writes what it
//! begins with: a folder of files for each of the fuzzers `registry_transition`, `_pointer`, `_state` and `_archive`.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::time::{Duration, Instant};

use mlops_fuzz::bytes::mutate;
use mlops_fuzz::registry::{Part, harm, seeds};
use mlops_fuzz::tree::Random;

/// What is put into files: what parsers of JSON, numbers, names and lines stumble over.
const WORDS: [&[u8]; 30] = [
    b"0",
    b"1",
    b"-1",
    b"1e999",
    b"\"NaN\"",
    b"null",
    b"[]",
    b"{}",
    b"[[",
    b"\"\\ud800\"",
    b"18446744073709551615",
    b"18446744073709551616",
    b"9999-12-30T22:00:00.999999999Z",
    b"\"run-18446744073709551615\"",
    b"\"1.0.0\"",
    b"\"1.0.0+b\"",
    b"\"0.0.0-0\"",
    b"\"champion\"",
    b"\"digits\"",
    b"\n",
    b"\r",
    b" ",
    b"\nM ",
    b"\nV 1.0.0 ",
    b"\nB ",
    b"\nR ",
    b"\xff",
    b"\0",
    b"\"",
    b",",
];

fn main() {
    let mut arguments: Vec<String> = std::env::args().skip(1).collect();
    let mut option = |name: &str| {
        let place = arguments.iter().position(|argument| argument == name)?;
        let value = arguments.drain(place..place + 2).nth(1);
        Some(value.expect("a value follows"))
    };
    let seed = option("--seed").map_or(1, |seed| seed.parse().expect("a number follows --seed"));
    if let Some(folder) = option("--corpus") {
        return write_corpus(Path::new(&folder)).expect("files can be written");
    }
    let seconds = arguments.first().and_then(|text| text.parse().ok()).expect("seconds are a number");
    std::fs::create_dir_all("artifacts").expect("a folder for what is found");
    let mut random = Random(seed);
    let mut pools: Vec<(Part, Vec<Vec<u8>>)> = Part::ALL.map(|part| (part, seeds(part))).into();
    for (part, pool) in &pools {
        pool.iter().for_each(|content| harm(*part, content));
    }
    let (started, mut count, mut found) = (Instant::now(), 0_u64, 0);
    while started.elapsed() < Duration::from_secs(seconds) {
        let (part, pool) = &mut pools[random.below(Part::ALL.len())];
        let mut content = pool[random.below(pool.len())].clone();
        let other = pool[random.below(pool.len())].clone();
        for _ in 0..=random.below(4) {
            mutate(&mut content, &other, &WORDS, &mut random);
        }
        count += 1;
        if catch_unwind(AssertUnwindSafe(|| harm(*part, &content))).is_err() {
            let path = format!("artifacts/registry-{seed}-{found}-{part:?}");
            std::fs::write(&path, &content).expect("the file can be written");
            println!("{path}");
            found += 1;
        } else if random.below(100) == 0 && pool.len() < 1000 {
            pool.push(content);
        }
    }
    println!("{count} files, {found} faults");
    std::process::exit(i32::from(found > 0));
}

fn write_corpus(folder: &Path) -> std::io::Result<()> {
    for part in Part::ALL {
        let folder = folder.join(format!("registry_{part:?}").to_lowercase());
        std::fs::create_dir_all(&folder)?;
        for (index, content) in seeds(part).into_iter().enumerate() {
            std::fs::write(folder.join(index.to_string()), content)?;
        }
    }
    Ok(())
}
