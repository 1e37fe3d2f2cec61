//! Changes a well-formed layout again and again, part by part, and imports it.
//!
//!     cargo run --release --bin layouts_mutate -- SECONDS [--seed N]
//!
//! Bytes with which the importer panics, or registers what it must not, are written to `artifacts/`.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use mlops_fuzz::bytes::mutate;
use mlops_fuzz::layouts::{Part, import, seed};
use mlops_fuzz::tree::Random;

/// What is put into layouts: what readers of sizes, names and digests stumble over.
const WORDS: [&[u8]; 24] = [
    b"0",
    b"-1",
    b"1e999",
    b"18446744073709551615",
    b"null",
    b"[]",
    b"{}",
    b"[[",
    b"\"",
    b",",
    b"../",
    b"/",
    b"./",
    b"\0",
    b"\xff",
    b"77777777777\0",
    b"\x80\0\0\0\xff\xff\xff\xff\xff\xff\xff\xff",
    b"sha256:",
    b"sha512:",
    b"\"digest\"",
    b"\"size\"",
    b"\"layers\"",
    b"application/vnd.cncf.model.weight.v1.tar",
    b"application/vnd.cncf.model.doc.v1.raw",
];

fn main() {
    let mut arguments: Vec<String> = std::env::args().skip(1).collect();
    let mut number = 1;
    if let Some(place) = arguments.iter().position(|argument| argument == "--seed") {
        number = arguments[place + 1].parse().expect("a number follows --seed");
        arguments.drain(place..place + 2);
    }
    let seconds = arguments.first().and_then(|text| text.parse().ok()).expect("seconds are a number");
    std::fs::create_dir_all("artifacts").expect("a folder for what is found");
    let mut random = Random(number);
    let mut pools = Part::ALL.map(|part| (part, vec![seed(part)]));
    for (part, pool) in &pools {
        import(*part, &pool[0]);
    }
    let (started, mut count, mut found) = (Instant::now(), 0_u64, 0);
    while started.elapsed() < Duration::from_secs(seconds) {
        let (part, pool) = &mut pools[random.below(Part::ALL.len())];
        let mut bytes = pool[random.below(pool.len())].clone();
        let other = pool[random.below(pool.len())].clone();
        for _ in 0..=random.below(4) {
            mutate(&mut bytes, &other, &WORDS, &mut random);
        }
        count += 1;
        if catch_unwind(AssertUnwindSafe(|| import(*part, &bytes))).is_err() {
            let path = format!("artifacts/layout-{number}-{found}-{part:?}");
            std::fs::write(&path, &bytes).expect("the bytes can be written");
            println!("{path}");
            found += 1;
        } else if random.below(100) == 0 && pool.len() < 1000 {
            pool.push(bytes);
        }
    }
    println!("{count} imports, {found} faults");
    std::process::exit(i32::from(found > 0));
}
