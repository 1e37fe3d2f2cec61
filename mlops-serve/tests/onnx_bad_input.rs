//! Files that are damaged or made to do harm: a clear error or an engine that works, never a panic, and neither memory
//! nor time without bounds.

#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout, clippy::type_complexity, unsafe_code)]

#[path = "support/allocations.rs"]
mod allocations;
#[path = "support/onnx_file.rs"]
mod onnx_file;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use allocations::measured;
use mlops_core::{DType, Dimension, Engine, Error, Tensor, Tensors};
use mlops_serve::engine::Device;
use mlops_serve::engine::onnx::{OnnxEngine, OnnxOptions};
use onnx_file::*;

#[global_allocator]
static ALLOCATOR: allocations::Counted = allocations::Counted;

/// Memory is counted for the whole process, so that one test runs at a time.
static ALONE: Mutex<()> = Mutex::new(());

/// The most memory that loading may take, beyond [`PER_BYTE`] for each byte of the file.
const MEMORY: usize = 256 << 20;
const PER_BYTE: usize = 64;

/// The longest that loading and a call may take, in a build without optimisation on a busy machine.
const TIME: Duration = Duration::from_secs(30);

/// What became of a file.
#[derive(Debug)]
enum Outcome {
    Refused(Error),
    /// It was loaded, and a call gave an answer or an error.
    Ran(Result<Tensors, Error>),
}

/// Loads a file, and runs it on zeros. Says what is wrong with how that went.
fn load_and_run(file: &[u8], options: &OnnxOptions) -> Result<Outcome, String> {
    let started = Instant::now();
    let bytes = bytes::Bytes::copy_from_slice(file);
    let attempt = || match OnnxEngine::load_with(bytes, Device::Cpu, options) {
        Err(cause) => Outcome::Refused(cause),
        Ok(engine) => match zeros(&engine) {
            Some(inputs) => Outcome::Ran(engine.run(&inputs)),
            None => Outcome::Ran(Ok(Tensors::new())),
        },
    };
    let (outcome, memory) = measured(|| catch_unwind(AssertUnwindSafe(attempt)));
    let time = started.elapsed();
    let outcome = outcome.map_err(|_| "a panic".to_owned())?;
    if memory > MEMORY + PER_BYTE * file.len() {
        return Err(format!("{} MB for a file of {} bytes: {outcome:?}", memory >> 20, file.len()));
    }
    if time > TIME {
        return Err(format!("{time:?}: {outcome:?}"));
    }
    if let Outcome::Refused(cause) | Outcome::Ran(Err(cause)) = &outcome {
        let typed = matches!(
            cause,
            Error::InvalidInput(_)
                | Error::Unsupported { .. }
                | Error::Engine { .. }
                | Error::DeadlineExceeded { .. }
        );
        if !typed || cause.to_string().len() < 12 {
            return Err(format!("no clear error: {cause:?}"));
        }
    }
    Ok(outcome)
}

/// Zeros as inputs, of two rows; none when the file declares too many.
fn zeros(engine: &OnnxEngine) -> Option<Tensors> {
    const MOST: usize = 1 << 20;
    let mut inputs = Tensors::new();
    for spec in engine.signature().inputs() {
        let lengths = spec.shape().iter().map(|dimension| match dimension {
            Dimension::Fixed(length) => *length,
            _ => 2,
        });
        let shape: Vec<usize> = lengths.collect();
        let count = shape.iter().try_fold(1_usize, |count, &length| count.checked_mul(length));
        let count = count.filter(|&count| count <= MOST)?;
        let tensor = match spec.dtype() {
            DType::Bytes => Tensor::from_byte_strings(&shape, vec![""; count]),
            dtype => Tensor::from_bytes(dtype, &shape, vec![0_u8; count * dtype.size()?]),
        };
        inputs = inputs.with(spec.name(), tensor.ok()?);
    }
    Some(inputs)
}

/// Limits that let a damaged model do little.
fn careful() -> OnnxOptions {
    OnnxOptions::new().with_largest_tensor(1 << 22).with_time_limit(Duration::from_secs(1))
}

/// Numbers that look random, the same in each run.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        // SplitMix64
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ z >> 31) % limit.max(1) as u64) as usize
    }
}

fn data() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data")
}

/// The models of whole networks, and one of each kind of classical model.
fn models() -> Vec<(String, Vec<u8>)> {
    let mut models = Vec::new();
    for entry in std::fs::read_dir(data().join("onnx")).unwrap().flatten() {
        if let Ok(model) = std::fs::read(entry.path().join("model.onnx")) {
            models.push((entry.file_name().to_string_lossy().into_owned(), model));
        }
    }
    for entry in std::fs::read_dir(data().join("onnx-ml")).unwrap().flatten() {
        // A case begins with its name and its model, each after its length.
        let cases = std::fs::read(entry.path()).unwrap();
        let length = |at: usize| u32::from_le_bytes(cases[at..at + 4].try_into().unwrap()) as usize;
        let start = 4 + length(0) + 4;
        let model = cases[start..start + length(start - 4)].to_vec();
        models.push((entry.file_name().to_string_lossy().into_owned(), model));
    }
    models.sort();
    assert!(models.len() > 40, "{} models", models.len());
    models
}

/// Runs files; fails with all that is wrong.
fn check(files: impl IntoIterator<Item = (String, Vec<u8>)>, options: &OnnxOptions) {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {})); // what panics is named below
    let (mut count, mut ran, mut wrong) = (0, 0, Vec::new());
    for (name, file) in files {
        count += 1;
        match load_and_run(&file, options) {
            Ok(outcome) => ran += usize::from(matches!(outcome, Outcome::Ran(_))),
            Err(cause) => {
                if let Some(folder) = std::env::var_os("MLOPS_ONNX_BAD_INPUT") {
                    std::fs::write(Path::new(&folder).join(format!("{}.onnx", wrong.len())), &file).unwrap();
                }
                wrong.push(format!("{name}: {cause}"));
            }
        }
    }
    std::panic::set_hook(hook);
    println!("{count} files, {ran} of them ran, {} wrong", wrong.len());
    assert!(wrong.is_empty(), "{} are wrong:\n{}", wrong.len(), wrong[..wrong.len().min(20)].join("\n"));
}

#[test]
fn a_file_cut_short_anywhere_is_refused_or_runs() {
    let models = models();
    let files = models.iter().filter(|(_, model)| model.len() < 900).take(24).flat_map(|(name, model)| {
        (0..model.len()).map(move |length| (format!("{name}, {length} bytes"), model[..length].to_vec()))
    });
    check(files, &careful());
}

#[test]
fn a_file_with_any_byte_changed_is_refused_or_runs() {
    let models = models();
    let files = models.iter().filter(|(_, model)| model.len() < 700).take(12).flat_map(|(name, model)| {
        (0..model.len()).flat_map(move |at| {
            [1, 0x80, 0xff, model[at]].map(|change| {
                let mut file = model.clone();
                file[at] ^= change;
                (format!("{name}, byte {at} ^ {change}"), file)
            })
        })
    });
    check(files, &careful());
}

#[test]
fn a_file_with_several_bytes_changed_is_refused_or_runs() {
    let mut random = Random(1);
    let mut files = Vec::new();
    for (name, model) in models() {
        for number in 0..16 {
            let mut file = model.clone();
            for _ in 0..=random.below(4) {
                let at = random.below(file.len());
                match random.below(4) {
                    0 => file[at] = random.below(256) as u8,
                    1 => file[at] ^= 1 << random.below(8),
                    2 => drop(file.remove(at)),
                    _ => file.insert(at, random.below(256) as u8),
                }
            }
            files.push((format!("{name}, change {number}"), file));
        }
    }
    check(files, &careful());
}

/// A model of one node with an input `x` of floats and an output `y`.
fn one_node(node: Message, weights: Vec<Message>, dims: &[i64]) -> Vec<u8> {
    model(graph(vec![node], weights, vec![value("x", FLOAT, dims)], vec![value("y", FLOAT, &[])]))
}

/// Files that ask for too much, or contradict themselves, and what the error has to say.
fn hostile() -> Vec<(&'static str, Vec<u8>, &'static str)> {
    const HUGE: i64 = i64::MAX;
    let float = |name| value(name, FLOAT, &[2]);
    let relu = |input, output| node("Relu", &[input], &[output], vec![]);
    let whole = |nodes, weights| model(graph(nodes, weights, vec![float("x")], vec![float("y")]));
    let shaped = |operator: &str, shape: &[i64]| {
        let shape = ints("shape", &[shape.len() as i64], shape);
        whole(vec![node(operator, &["x", "shape"], &["y"], vec![])], vec![shape])
    };
    let filled = |shape: &[i64]| {
        let shape = ints("shape", &[shape.len() as i64], shape);
        whole(vec![node("ConstantOfShape", &["shape"], &["y"], vec![])], vec![shape])
    };
    let sparse = |dims: &[i64]| {
        let sparse = Message::new().message(1, floats("w", &[1], &[1.0])).message(2, ints("", &[1], &[0]));
        let sparse = dims.iter().fold(sparse, |message, &dim| message.int(3, dim));
        let graph =
            graph(vec![node("Add", &["x", "w"], &["y"], vec![])], vec![], vec![float("x")], vec![float("y")]);
        model(graph.message(15, sparse))
    };
    let external = |location: &str| {
        let entry = Message::new().bytes(1, "location").bytes(2, location);
        let weight = Message::new().int(1, 2).int(2, FLOAT).bytes(8, "w").message(13, entry).int(14, 1);
        whole(vec![node("Add", &["x", "w"], &["y"], vec![])], vec![weight])
    };
    let function = |name: &str, nodes: Vec<Message>| {
        let message = Message::new().bytes(1, name).bytes(4, "a").bytes(5, "b").messages(7, nodes);
        message.message(9, opset("", 21)).message(9, opset("own", 1)).bytes(10, "own")
    };
    let call =
        |name: &str, input: &str, output: &str| node(name, &[input], &[output], vec![]).bytes(7, "own");
    let with_functions = |functions: Vec<Message>| {
        let graph = graph(vec![call("f0", "x", "y")], vec![], vec![float("x")], vec![float("y")]);
        let model =
            Message::new().int(1, 10).message(7, graph).message(8, opset("", 21)).message(8, opset("own", 1));
        model.messages(25, functions).0
    };
    vec![
        ("nothing", vec![], "empty"),
        ("no ONNX file", b"PK\x03\x04 this is a zip archive".to_vec(), "not an ONNX file"),
        ("no graph", Message::new().int(1, 10).message(8, opset("", 21)).0, "no graph"),
        (
            "no operator sets",
            Message::new().message(7, graph(vec![], vec![], vec![], vec![])).0,
            "operator sets",
        ),
        ("a cycle", whole(vec![relu("b", "a"), relu("a", "b"), relu("b", "y")], vec![]), "cycle"),
        ("a node that reads itself", whole(vec![relu("y", "y")], vec![]), "cycle"),
        ("an unknown input", whole(vec![relu("nowhere", "y")], vec![]), "`nowhere`"),
        ("an output made twice", whole(vec![relu("x", "y"), relu("x", "y")], vec![]), "made twice"),
        (
            "an input twice",
            { model(graph(vec![relu("x", "y")], vec![], vec![float("x"), float("x")], vec![float("y")])) },
            "made twice",
        ),
        ("an output that nobody makes", whole(vec![relu("x", "z")], vec![]), "made by no node"),
        (
            "an unknown operator",
            whole(vec![node("Frobnicate", &["x"], &["y"], vec![])], vec![]),
            "Frobnicate",
        ),
        (
            "an operator set of the future",
            Message::new()
                .message(7, graph(vec![relu("x", "y")], vec![], vec![float("x")], vec![float("y")]))
                .message(8, opset("", 10_000))
                .0,
            "10000",
        ),
        (
            "an operator set before the first",
            Message::new()
                .message(7, graph(vec![relu("x", "y")], vec![], vec![float("x")], vec![float("y")]))
                .message(8, opset("", HUGE))
                .message(8, opset("", i64::MIN))
                .0,
            "does not exist",
        ),
        ("a weight of a negative length", whole(vec![], vec![floats("y", &[-1], &[1.0])]), "-1"),
        ("a weight as long as numbers go", whole(vec![], vec![floats("y", &[HUGE], &[1.0])]), "elements"),
        (
            "a weight whose size overflows",
            whole(vec![], vec![floats("y", &[1 << 32, 1 << 32], &[1.0])]),
            "elements",
        ),
        (
            "a weight of zero times too much",
            whole(vec![], vec![floats("y", &[0, HUGE, HUGE], &[])]),
            "elements",
        ),
        ("a weight that is cut short", whole(vec![], vec![floats("y", &[4], &[1.0])]), "4"),
        ("a weight of half a number", whole(vec![], vec![tensor("y", FLOAT, &[1], &[0; 3])]), "whole number"),
        ("a weight of no type", whole(vec![], vec![tensor("y", 99, &[1], &[0; 3])]), "element type 99"),
        ("an input of a negative length", one_node(relu("x", "y"), vec![], &[-5]), "-5"),
        ("billions of equal elements", filled(&[1 << 33]), "elements"),
        ("more equal elements than numbers go", filled(&[HUGE, HUGE]), "elements"),
        ("a negative number of equal elements", filled(&[-1]), "-1"),
        ("an expansion to billions", shaped("Expand", &[1 << 40, 2]), "elements"),
        ("billions of copies", shaped("Tile", &[HUGE]), "elements"),
        ("a reshape to billions", shaped("Reshape", &[1 << 62, 4]), ""),
        ("a sparse tensor of billions", sparse(&[1 << 31]), "memory"),
        ("a sparse tensor of more than numbers go", sparse(&[HUGE, 3]), "elements"),
        ("external data without a folder", external("weights.bin"), "load_file"),
        (
            "a function that calls itself",
            with_functions(vec![function("f0", vec![call("f0", "a", "b")])]),
            "calls itself",
        ),
        (
            "functions that call each other",
            with_functions(vec![
                function("f0", vec![call("f1", "a", "b")]),
                function("f1", vec![call("f0", "a", "b")]),
            ]),
            "calls itself",
        ),
        (
            "functions that double thirty times",
            with_functions(
                (0..30)
                    .map(|level| {
                        let next = format!("f{}", level + 1);
                        function(&format!("f{level}"), vec![call(&next, "a", "c"), call(&next, "c", "b")])
                    })
                    .chain([function("f30", vec![relu("a", "b")])])
                    .collect(),
            ),
            "expand",
        ),
        (
            "an attribute of another type",
            {
                whole(
                    vec![node("Concat", &["x", "x"], &["y"], vec![attribute_text("axis", "first")])],
                    vec![],
                )
            },
            "axis",
        ),
        (
            "a string that is none",
            {
                let text = Message::new().bytes(1, "mode").bytes(4, [0xff, 0xfe]).int(20, 3);
                whole(vec![node("Pad", &["x"], &["y"], vec![text])], vec![])
            },
            "UTF-8",
        ),
    ]
}

#[test]
fn what_a_hostile_file_gets_is_a_clear_error() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let mut wrong = Vec::new();
    for (name, file, expected) in hostile() {
        match load_and_run(&file, &OnnxOptions::new()) {
            Err(cause) => wrong.push(format!("{name}: {cause}")),
            Ok(Outcome::Refused(cause) | Outcome::Ran(Err(cause))) => {
                if !cause.to_string().contains(expected) {
                    wrong.push(format!("{name}: {cause}, which does not say `{expected}`"));
                }
            }
            Ok(Outcome::Ran(Ok(_))) => wrong.push(format!("{name}: no error")),
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// A model with branches inside of branches, so many deep.
fn nested(depth: usize) -> Vec<u8> {
    let output = |name| value(name, FLOAT, &[2]);
    let leaf = || graph(vec![node("Neg", &["x"], &["z"], vec![])], vec![], vec![], vec![output("z")]);
    let mut inner = leaf();
    for _ in 0..depth {
        let branches = vec![attribute_graph("then_branch", inner), attribute_graph("else_branch", leaf())];
        inner = graph(vec![node("If", &["c"], &["y"], branches)], vec![], vec![], vec![output("y")]);
    }
    model(inner.message(11, output("x")).message(11, value("c", 9, &[])))
}

#[test]
fn graphs_nested_deep_are_refused_or_run() {
    let files = [1, 5, 10, 15, 20, 25, 30, 31, 32, 33, 34, 40, 64, 100, 1000];
    check(files.map(|depth| (format!("{depth} deep"), nested(depth))), &OnnxOptions::new());
}

#[test]
fn loops_without_end_stop_in_time() {
    let forever = |outputs: Vec<Message>| {
        let body = graph(
            vec![node("Identity", &["go"], &["more"], vec![]), node("Add", &["v", "v"], &["w"], vec![])],
            vec![],
            vec![value("i", INT64, &[]), value("go", 9, &[]), value("v", FLOAT, &[2])],
            vec![value("more", 9, &[]), value("w", FLOAT, &[2])],
        );
        let loops = node("Loop", &["", "t", "x"], &["y"], vec![attribute_graph("body", body)]);
        model(graph(vec![loops], vec![tensor("t", 9, &[], &[1])], vec![value("x", FLOAT, &[2])], outputs))
    };
    // Without a declared shape of the output, the engine runs the model to find it out.
    let open = Message::new().bytes(1, "y");
    let files = [("declared", vec![value("y", FLOAT, &[2])]), ("open", vec![open])];
    check(files.map(|(name, outputs)| (name.to_owned(), forever(outputs))), &careful());
}

#[test]
fn large_graphs_load_in_time() {
    const COUNT: usize = 20_000;
    let chain = |operator: &str| {
        let nodes = (0..COUNT).map(|index| {
            let output = if index + 1 == COUNT { "y".to_owned() } else { format!("v{}", index + 1) };
            let input = if index == 0 { "x".to_owned() } else { format!("v{index}") };
            node(operator, &[&input], &[&output], vec![])
        });
        let value = |name| value(name, FLOAT, &[2]);
        (operator.to_owned(), model(graph(nodes.collect(), vec![], vec![value("x")], vec![value("y")])))
    };
    check(["Relu", "Identity", "Sigmoid"].map(chain), &careful());
}

#[test]
fn results_of_constants_do_not_fill_memory() {
    let value = |name: &str| value(name, FLOAT, &[2]);
    let shape = ints("shape", &[2], &[1 << 12, 1 << 12]);
    // Each of them has as many elements as one constant may have.
    let many = (0..64).map(|index| node("ConstantOfShape", &["shape"], &[&format!("v{index}")], vec![]));
    let sum = (0..64).map(|index| {
        let before = if index == 0 { "x".to_owned() } else { format!("s{index}") };
        let after = if index == 63 { "y".to_owned() } else { format!("s{}", index + 1) };
        let reduced = format!("r{index}");
        let reduce =
            node("ReduceMax", &[&format!("v{index}")], &[&reduced], vec![attribute_int("keepdims", 0)]);
        [reduce, node("Add", &[&before, &reduced], &[&after], vec![])]
    });
    let nodes = many.chain(sum.flatten()).collect();
    let constants = model(graph(nodes, vec![shape.clone()], vec![value("x")], vec![value("y")]));
    // A table of sums is much larger than what is added.
    let column = ints("column", &[2], &[1 << 20, 1]);
    let row = ints("row", &[2], &[1, 1 << 20]);
    let nodes = vec![
        node("ConstantOfShape", &["column"], &["c"], vec![]),
        node("ConstantOfShape", &["row"], &["r"], vec![]),
        node("Add", &["c", "r"], &["s"], vec![]),
        node("ReduceMax", &["s"], &["m"], vec![attribute_int("keepdims", 0)]),
        node("Add", &["x", "m"], &["y"], vec![]),
    ];
    let table = model(graph(nodes, vec![column, row], vec![value("x")], vec![value("y")]));
    // Large products would take long.
    let product = vec![
        node("ConstantOfShape", &["shape"], &["a"], vec![]),
        node("MatMul", &["a", "a"], &["b"], vec![]),
        node("MatMul", &["b", "b"], &["d"], vec![]),
        node("Shape", &["d"], &["e"], vec![]),
        node("Cast", &["e"], &["f"], vec![attribute_int("to", FLOAT)]),
        node("Add", &["x", "f"], &["y"], vec![]),
    ];
    let products = model(graph(product, vec![shape], vec![value("x")], vec![value("y")]));
    let files = [("constants", constants), ("a table", table)].map(|(name, file)| (name.to_owned(), file));
    check(files, &careful());
    // Loading alone.
    let started = Instant::now();
    OnnxEngine::load(products, Device::Cpu).unwrap();
    assert!(started.elapsed() < TIME);
}

#[test]
fn messages_out_of_proportion_are_refused() {
    let nodes = Message::new().bytes(1, []).0.repeat(4 << 20);
    let attributes = Message::new().bytes(1, Message::new().bytes(5, []).0.repeat(4 << 20)).0;
    let tensors = Message::new().bytes(5, []).0.repeat(4 << 20);
    let files = [("nodes", nodes), ("attributes", attributes), ("tensors", tensors)]
        .map(|(name, content)| (name.to_owned(), Message::new().bytes(7, content).0));
    check(files, &OnnxOptions::new());
}

#[test]
fn external_data_is_read_from_the_folder_only() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let outside = tempfile::tempdir().unwrap();
    let secret = outside.path().join("secret.bin");
    std::fs::write(&secret, [1; 64]).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.onnx");
    std::fs::write(folder.path().join("good.bin"), [0; 64]).unwrap();
    std::fs::create_dir(folder.path().join("directory")).unwrap();
    #[cfg(unix)]
    std::os::unix::fs::symlink(&secret, folder.path().join("link.bin")).unwrap();
    #[cfg(unix)]
    std::os::unix::fs::symlink(outside.path(), folder.path().join("links")).unwrap();

    let file = |location: &str, entries: &[(&str, &str)], dims: &[i64], copies: usize| {
        let entry = |key: &str, value: &str| Message::new().bytes(1, key).bytes(2, value);
        let weight = |index: usize| {
            let weight = dims.iter().fold(Message::new(), |message, &dim| message.int(1, dim)).int(2, FLOAT);
            let weight =
                weight.bytes(8, format!("w{index}")).message(13, entry("location", location)).int(14, 1);
            weight.messages(13, entries.iter().map(|(key, value)| entry(key, value)))
        };
        let add = node("Add", &["x", "w0"], &["y"], vec![]);
        let value = |name| value(name, FLOAT, &[2]);
        model(graph(vec![add], (0..copies).map(weight).collect(), vec![value("x")], vec![value("y")]))
    };
    let load = |file: Vec<u8>| {
        std::fs::write(&path, file).unwrap();
        OnnxEngine::load_file(&path, Device::Cpu, &OnnxOptions::new())
    };
    load(file("good.bin", &[], &[2], 1)).unwrap();
    load(file("./good.bin", &[("offset", "56"), ("length", "8")], &[2], 1)).unwrap();
    let absolute = secret.to_str().unwrap();
    let upwards = format!("../{}/secret.bin", outside.path().file_name().unwrap().to_str().unwrap());
    let cases: &[(&str, &[(&str, &str)], &[i64], usize, &str)] = &[
        (absolute, &[], &[2], 1, "outside"),
        (&upwards, &[], &[2], 1, "outside"),
        ("directory/../good.bin", &[], &[2], 1, "outside"),
        #[cfg(unix)]
        ("link.bin", &[], &[2], 1, "outside"),
        #[cfg(unix)]
        ("links/secret.bin", &[], &[2], 1, "outside"),
        ("/dev/zero", &[], &[2], 1, "outside"),
        ("directory", &[], &[2], 1, "no file"),
        ("missing.bin", &[], &[2], 1, "cannot be read"),
        ("", &[], &[2], 1, ""),
        ("good.bin\0", &[], &[2], 1, ""),
        ("good.bin", &[("offset", "60")], &[2], 1, "64 bytes"),
        ("good.bin", &[("offset", "18446744073709551615")], &[2], 1, "64 bytes"),
        ("good.bin", &[("offset", "-1")], &[2], 1, "no number"),
        ("good.bin", &[("length", "7")], &[2], 1, "needs 8"),
        ("good.bin", &[], &[1 << 30], 1, "64 bytes"),
        ("good.bin", &[], &[16], 100, "times the bytes"),
    ];
    for (location, entries, dims, copies, expected) in cases {
        let (refused, memory) = measured(|| load(file(location, entries, dims, *copies)));
        let refused = refused.unwrap_err().to_string();
        assert!(refused.contains(expected), "{location}: {refused}");
        assert!(memory < 16 << 20, "{location}: {memory} bytes");
    }
}

/// Operators that prepare their weights at load, with the most inputs they have, and some of their attributes.
const PREPARING: &[(&str, usize, &[&str])] = &[
    ("Add", 2, &[]),
    ("Attention", 6, &["q_num_heads", "kv_num_heads", "is_causal", "qk_matmul_output_mode"]),
    ("BatchNormalization", 5, &["training_mode"]),
    ("Clip", 3, &[]),
    ("Concat", 3, &["axis"]),
    ("Conv", 3, &["group", "strides", "pads", "dilations", "kernel_shape"]),
    ("ConvInteger", 4, &["group", "strides", "pads", "dilations", "kernel_shape"]),
    ("ConvTranspose", 3, &["group", "strides", "pads", "dilations", "output_padding", "output_shape"]),
    ("DeformConv", 5, &["group", "strides", "pads", "dilations", "offset_group"]),
    ("DequantizeLinear", 3, &["axis", "block_size"]),
    ("Einsum", 2, &[]),
    ("Expand", 2, &[]),
    ("GRU", 6, &["hidden_size", "linear_before_reset", "layout"]),
    ("Gather", 2, &["axis"]),
    ("GatherElements", 2, &["axis"]),
    ("GatherND", 2, &["batch_dims"]),
    ("Gemm", 3, &["transA", "transB"]),
    ("GridSample", 2, &["align_corners"]),
    ("GroupNormalization", 3, &["num_groups"]),
    ("InstanceNormalization", 3, &[]),
    ("LSTM", 8, &["hidden_size", "input_forget", "layout"]),
    ("LayerNormalization", 3, &["axis"]),
    ("MatMul", 2, &[]),
    ("MatMulInteger", 4, &[]),
    ("MaxPool", 1, &["kernel_shape", "strides", "pads", "dilations", "ceil_mode"]),
    ("AveragePool", 1, &["kernel_shape", "strides", "pads", "dilations", "ceil_mode"]),
    ("OneHot", 3, &["axis"]),
    ("PRelu", 2, &[]),
    ("Pad", 4, &[]),
    ("QLinearConv", 9, &["group", "strides", "pads", "dilations", "kernel_shape"]),
    ("QLinearMatMul", 8, &[]),
    ("QuantizeLinear", 3, &["axis", "block_size"]),
    ("RNN", 6, &["hidden_size", "layout"]),
    ("Range", 3, &[]),
    ("ReduceSum", 2, &["keepdims", "noop_with_empty_axes"]),
    ("Reshape", 2, &["allowzero"]),
    ("Resize", 4, &["antialias", "axes"]),
    ("RotaryEmbedding", 4, &["num_heads", "rotary_embedding_dim", "interleaved"]),
    ("ScatterElements", 3, &["axis"]),
    ("ScatterND", 3, &[]),
    ("Slice", 5, &[]),
    ("Split", 2, &["axis", "num_outputs"]),
    ("Squeeze", 2, &[]),
    ("Tile", 2, &[]),
    ("TopK", 2, &["axis"]),
    ("Transpose", 1, &["perm"]),
    ("Unsqueeze", 2, &[]),
    ("Where", 3, &[]),
];

#[test]
fn weights_of_any_shape_and_type_are_refused_or_run() {
    const SHAPES: &[&[i64]] = &[
        &[],
        &[0],
        &[1],
        &[2],
        &[3],
        &[4],
        &[1, 1],
        &[2, 3],
        &[3, 2],
        &[4, 3],
        &[0, 3],
        &[1, 8, 3],
        &[1, 8, 2],
        &[2, 8, 2],
        &[1, 16],
        &[1, 2, 4, 4],
        &[2, 2, 3, 3],
        &[4, 1, 2, 2],
        &[1, 0, 4, 4],
        &[1, 2, 2, 2, 2],
    ];
    // The types of ONNX whose elements have that many bytes.
    const TYPES: &[(i64, usize)] =
        &[(1, 4), (1, 4), (1, 4), (7, 8), (7, 8), (6, 4), (2, 1), (3, 1), (10, 2), (11, 8)];
    const NUMBERS: &[i64] = &[0, 1, 2, 3, -1, -2, 4, 7, 100, i64::MAX, i64::MIN, 1 << 32];
    let mut random = Random(2);
    let mut files = Vec::new();
    for &(operator, inputs, attributes) in PREPARING {
        for number in 0..60 {
            let count = 1 + random.below(inputs);
            let mut weights = Vec::new();
            let mut names = vec!["x".to_owned()];
            for index in 1..count {
                let shape = SHAPES[random.below(SHAPES.len())];
                let (element_type, size) = TYPES[random.below(TYPES.len())];
                let elements = shape.iter().product::<i64>() as usize;
                let raw: Vec<u8> = match random.below(5) {
                    0 => vec![0xff; elements * size], // floats that are no numbers, and -1
                    1 => vec![0; elements * size],
                    2 => (0..elements * size).map(|_| random.below(256) as u8).collect(),
                    _ => (0..elements)
                        .flat_map(|_| (random.below(4) as u64).to_le_bytes()[..size].to_vec())
                        .collect(),
                };
                let name = format!("w{index}");
                weights.push(tensor(&name, element_type, shape, &raw));
                names.push(if random.below(12) == 0 { String::new() } else { name });
            }
            let given = attributes.iter().filter_map(|name| {
                let pick = |random: &mut Random| NUMBERS[random.below(NUMBERS.len())];
                let few = |random: &mut Random| NUMBERS[random.below(4)];
                match random.below(4) {
                    0 => None,
                    1 => Some(attribute_int(name, pick(&mut random))),
                    2 => Some(attribute_int(name, few(&mut random))),
                    _ => {
                        let numbers: Vec<i64> = (0..random.below(5)).map(|_| few(&mut random)).collect();
                        Some(attribute_ints(name, &numbers))
                    }
                }
            });
            let mut given: Vec<Message> = given.collect();
            if operator == "Einsum" {
                let equations =
                    ["ij,jk->ik", "...i,ij", "ii->i", "ab", "->", "a,b,c", "i j , k", "ij,jk->z", "..."];
                given.push(attribute_text("equation", equations[random.below(equations.len())]));
            }
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            let shape = SHAPES[random.below(SHAPES.len())];
            let made = node(operator, &names, &["y"], given);
            let (element_type, _) = TYPES[random.below(if number % 2 == 0 { 3 } else { TYPES.len() })];
            let inputs = vec![value("x", element_type, shape)];
            let file = model(graph(vec![made], weights, inputs, vec![value("y", FLOAT, &[])]));
            files.push((format!("{operator} {number}"), file));
        }
    }
    check(files, &careful());
}
