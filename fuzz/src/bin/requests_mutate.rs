//! Changes well-formed requests again and again, and sends them to the fronts of the model server.
//!
//!     cargo run --release --bin requests_mutate -- SECONDS [--seed N]
//!
//! A request that makes a front panic, or that it answers wrongly, is written to `artifacts/`.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use mlops_fuzz::requests::{Door, send};
use mlops_fuzz::text::mutate;
use mlops_fuzz::tree::Random;

/// What is put into requests: what parsers of numbers, shapes and texts stumble over.
const WORDS: [&[u8]; 28] = [
    b"0",
    b"-1",
    b"1e999",
    b"NaN",
    b"null",
    b"true",
    b"[]",
    b"{}",
    b"[[",
    b"\"\\ud800\"",
    b"18446744073709551616",
    b"9223372036854775807",
    b"1e-400",
    b"4294967296",
    b"\"FP16\"",
    b"\"BF16\"",
    b"\"BYTES\"",
    b"\"BOOL\"",
    b"\"UINT64\"",
    b"\"data\"",
    b"\"shape\"",
    b"\"b64\"",
    b"\"binary_data_size\"",
    b"\xff",
    b"\0",
    b"\r\n",
    b"\"",
    b",",
];

fn seeds(door: Door) -> Vec<Vec<u8>> {
    let texts: &[&str] = match door {
        Door::Json => &[
            r#"{"id":"a","inputs":[{"name":"FP32","shape":[2,2],"datatype":"FP32","data":[1,2.5,-3e4,4]}]}"#,
            r#"{"inputs":[{"name":"BYTES","shape":[1,2],"datatype":"BYTES","data":["a","\u00e9"]},{"name":"INT64","shape":[1,1],"datatype":"INT64","data":[[7]]}],"outputs":[{"name":"INT64","parameters":{"binary_data":true}}],"parameters":{"routing_key":"u","attribute.x":"y","timeout":50000,"priority":1}}"#,
        ],
        Door::Binary => {
            let json = r#"{"inputs":[{"name":"INT8","shape":[1,4],"datatype":"INT8","parameters":{"binary_data_size":4}}]}"#;
            let length = u16::try_from(json.len()).expect("a short text").to_le_bytes();
            return vec![[&length, json.as_bytes(), b"abcd"].concat(), b"\0\0abcd".to_vec()];
        }
        Door::Predict => &[
            r#"{"instances":[{"FP32":[1,2],"BYTES":[{"b64":"AAE="},"x"]},{"FP32":[3,4],"BYTES":["a","b"]}]}"#,
            r#"{"inputs":{"INT16":[[1,2],[3,4]],"BOOL":[[true]]},"signature_name":"serving_default"}"#,
        ],
        Door::Invocations => &[
            r#"{"dataframe_split":{"columns":["a","b","c"],"index":[0],"data":[[1,2,3],[4,null,6]]},"params":{"timeout_ms":1000}}"#,
            r#"{"dataframe_records":[{"a":1,"b":2,"c":3},{"a":4,"b":5,"c":6}]}"#,
            r#"{"instances":[[1,2,3]]}"#,
            r#"{"inputs":{"x":[[1,2,3],[4,5,6]]}}"#,
        ],
        Door::Csv => &["a,b,c\n1,2,3\n4,,\"6\"\n"],
        // model_name = "every"; inputs { name = "INT8", datatype = "INT8", shape = [1, 4] }; raw_input_contents = "abcd"
        Door::Grpc => &["\n\x05every*\x10\n\x04INT8\x12\x04INT8\x1a\x02\x01\x04:\x04abcd"],
    };
    texts.iter().map(|text| text.as_bytes().to_vec()).collect()
}

fn main() {
    let mut arguments: Vec<String> = std::env::args().skip(1).collect();
    let mut seed = 1;
    if let Some(place) = arguments.iter().position(|argument| argument == "--seed") {
        seed = arguments[place + 1].parse().expect("a number follows --seed");
        arguments.drain(place..place + 2);
    }
    let seconds = arguments.first().and_then(|text| text.parse().ok()).expect("seconds are a number");
    std::fs::create_dir_all("artifacts").expect("a folder for what is found");
    let mut random = Random(seed);
    let mut pools: Vec<(Door, Vec<Vec<u8>>)> = Door::ALL.map(|door| (door, seeds(door))).into();
    for (door, pool) in &pools {
        pool.iter().for_each(|request| send(*door, request));
    }
    let (started, mut count, mut found) = (Instant::now(), 0_u64, 0);
    while started.elapsed() < Duration::from_secs(seconds) {
        let (door, pool) = &mut pools[random.below(Door::ALL.len())];
        let mut request = pool[random.below(pool.len())].clone();
        let other = pool[random.below(pool.len())].clone();
        for _ in 0..=random.below(4) {
            mutate(&mut request, &other, &WORDS, &mut random);
        }
        count += 1;
        if catch_unwind(AssertUnwindSafe(|| send(*door, &request))).is_err() {
            let path = format!("artifacts/request-{seed}-{found}-{door:?}");
            std::fs::write(&path, &request).expect("the request can be written");
            println!("{path}");
            found += 1;
        } else if random.below(100) == 0 && pool.len() < 1000 {
            pool.push(request);
        }
    }
    println!("{count} requests, {found} faults");
    std::process::exit(i32::from(found > 0));
}
