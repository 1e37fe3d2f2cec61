//! Changes the models below some folders again and again, and runs them.
//!
//!     cargo run --release --bin onnx_mutate -- SECONDS FOLDER.. [--seed N]
//!
//! Models are `*.onnx` files, those in `*.cases` files, and for each test of the ONNX project the same model with its
//! inputs as weights. A model that makes the engine panic, or that takes long, is written to `artifacts/`.

use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use mlops_fuzz::onnx::load_and_run;
use mlops_fuzz::tree::{Field, Random, Value, encode, mutate, parse};

/// A file that takes longer than this is reported.
const LONG: Duration = Duration::from_secs(3);

/// Larger seeds are left out: they only take time.
const LARGEST_SEED: usize = 40_000;

thread_local! {
    static PANICKED_AT: RefCell<String> = const { RefCell::new(String::new()) };
}

fn main() {
    let mut arguments: Vec<String> = std::env::args().skip(1).collect();
    let mut seed = 1;
    if let Some(place) = arguments.iter().position(|argument| argument == "--seed") {
        seed = arguments[place + 1].parse().expect("a number follows --seed");
        arguments.drain(place..place + 2);
    }
    let (seconds, folders) = arguments.split_first().expect("seconds and folders");
    let seconds = seconds.parse().expect("seconds are a number");
    let mut seeds = Vec::new();
    for folder in folders {
        collect(Path::new(folder), &mut seeds);
    }
    let mut trees: Vec<Vec<Field>> = seeds.iter().filter_map(|seed| parse(seed)).collect();
    println!("{} models, {} of them trees", seeds.len(), trees.len());
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        let what = panic.payload_as_str().unwrap_or_default().lines().next().unwrap_or_default().to_owned();
        PANICKED_AT.set(format!("{place}: {what}"));
    }));
    std::fs::create_dir_all("artifacts").expect("a folder for what is found");
    let started = Instant::now();
    let mut random = Random(seed);
    let mut found: Vec<String> = Vec::new();
    let mut count = 0_u64;
    while started.elapsed() < Duration::from_secs(seconds) {
        let (first, second) = (random.below(trees.len()), random.below(trees.len()));
        let mut fields = trees[first].clone();
        for _ in 0..=random.below(3) {
            mutate(&mut fields, &mut trees[second].clone(), &mut random);
        }
        let file = encode(&fields);
        count += 1;
        // A crash that is no panic leaves its file behind.
        std::fs::write(format!("artifacts/last-{seed}.onnx"), &file).expect("the file can be written");
        let began = Instant::now();
        let panicked = catch_unwind(AssertUnwindSafe(|| load_and_run(&file))).is_err();
        let took = began.elapsed();
        let fault = if panicked {
            PANICKED_AT.take()
        } else if took > LONG {
            format!("slow: {} ms", took.as_millis())
        } else {
            // What goes well becomes a seed now and then.
            if random.below(50) == 0 && file.len() <= LARGEST_SEED {
                let place = random.below(trees.len());
                trees[place] = fields;
            }
            continue;
        };
        if !found.contains(&fault) {
            let path = format!("artifacts/{seed}-{}.onnx", found.len());
            std::fs::write(&path, &file).expect("the file can be written");
            println!("{path}: {fault}");
            found.push(fault);
        }
    }
    println!("{count} files, {} faults", found.len());
    std::process::exit(i32::from(!found.is_empty()));
}

fn collect(folder: &Path, seeds: &mut Vec<Vec<u8>>) {
    let Ok(entries) = std::fs::read_dir(folder) else {
        println!("{} is no folder", folder.display());
        return;
    };
    let mut paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    paths.sort();
    for path in paths {
        if path.is_dir() {
            collect(&path, seeds);
            continue;
        }
        let content = || std::fs::read(&path).unwrap_or_default();
        match path.extension().and_then(|extension| extension.to_str()) {
            Some("onnx") => {
                let model = content();
                if model.len() <= LARGEST_SEED {
                    seeds.extend(with_weights(&model, folder));
                    seeds.push(model);
                }
            }
            Some("cases") => seeds.extend(cases(&content())),
            _ => {}
        }
    }
}

/// The model with all but its first input as weights, with the values of its first test.
fn with_weights(model: &[u8], folder: &Path) -> Option<Vec<u8>> {
    const GRAPH: u64 = 7;
    const WEIGHT: u64 = 5;
    let mut fields = parse(model)?;
    let graph = fields.iter_mut().find(|field| field.number == GRAPH)?;
    let Value::Message(graph) = &mut graph.value else { return None };
    for index in 1.. {
        let path = folder.join(format!("test_data_set_0/input_{index}.pb"));
        let Ok(tensor) = std::fs::read(path) else { break };
        graph.push(Field { number: WEIGHT, value: Value::Bytes(tensor) });
    }
    let model = encode(&fields);
    (model.len() <= LARGEST_SEED).then_some(model)
}

/// The models of a file of cases, as `scripts/reference/ml/cases.py` writes them.
fn cases(content: &[u8]) -> Vec<Vec<u8>> {
    let mut models = Vec::new();
    let mut at = 0;
    while let Some(model) = case(content, &mut at) {
        models.push(model);
    }
    models
}

/// The model of the case that begins there; moves on to the next.
fn case(content: &[u8], at: &mut usize) -> Option<Vec<u8>> {
    let number = |at: &mut usize| {
        let number = u32::from_le_bytes(*content.get(*at..)?.first_chunk()?);
        *at += 4;
        Some(number as usize)
    };
    let text = |at: &mut usize| {
        let length = number(at)?;
        *at += length;
        content.get(*at - length..*at)
    };
    text(at)?;
    let model = text(at)?.to_vec();
    for _ in 0..2 {
        let tensors = *content.get(*at)?;
        *at += 1;
        for _ in 0..tensors {
            text(at)?;
            let [kind, rank] = *content.get(*at..)?.first_chunk()?;
            *at += 2;
            let mut count = 1;
            for _ in 0..rank {
                count *= number(at)?;
            }
            match kind {
                8 => drop((0..count).map(|_| text(at)).collect::<Option<Vec<_>>>()?),
                2 | 3 | 9 => *at += count,
                4 | 5 | 10 => *at += 2 * count,
                7 | 11 => *at += 8 * count,
                _ => *at += 4 * count,
            }
        }
    }
    Some(model)
}
