//! Weights come from files that other tools wrote, and files that are wrong are refused.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::collections::HashMap;
use std::io::Write;
use std::path::PathBuf;

use burn::module::{Module, Param, ParamId};
use burn::nn::{BatchNorm, BatchNormConfig, Linear, LinearConfig};
use burn::tensor::{Bool, DType, Int, Tensor, TensorData, activation::relu};
use bytes::Bytes;
use mlops_core::{Error, Result};
use mlops_serve::engine::Device;
use mlops_serve::engine::burn::{Format, Layout, Weights, save_burnpack, save_safetensors};
use proptest::prelude::*;
use safetensors::tensor::{Dtype, TensorView};

/// The network of `data/weights/make.py`.
#[derive(Module, Debug)]
struct Net {
    fc1: Linear,
    norm: BatchNorm,
    fc2: Linear,
}

impl Net {
    fn new() -> Self {
        let device = Device::Cpu.open().unwrap();
        Self {
            fc1: LinearConfig::new(4, 3).init(&device),
            norm: BatchNormConfig::new(3).init(&device),
            fc2: LinearConfig::new(3, 2).init(&device),
        }
    }

    fn outputs(&self) -> Vec<f32> {
        let x = [[1.0_f32, -2.0, 0.5, 3.0], [0.0, 0.25, -1.0, 2.0]];
        let x = Tensor::<2>::from_data(x, &Device::Cpu.open().unwrap());
        let x = relu(self.norm.forward(self.fc1.forward(x)));
        self.fc2.forward(x).into_data().try_into_vec().unwrap()
    }

    fn assert_is_that_of_the_script(&self, what: &str) {
        // What `make.py` prints.
        let expected = [-0.187_809_83, -0.093_595_09, -0.625, 0.125];
        for (output, expected) in self.outputs().into_iter().zip(expected) {
            assert!((output - expected).abs() < 1e-5, "{what}: {output} for {expected}");
        }
    }
}

fn path(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/data/weights").join(name)
}

fn file(name: &str) -> Bytes {
    std::fs::read(path(name)).unwrap().into()
}

/// Safetensors of these float tensors.
fn safetensors(tensors: &[(&str, &[usize], &[f32])], metadata: Option<(&str, &str)>) -> Bytes {
    let bytes: Vec<Vec<u8>> =
        tensors.iter().map(|(_, _, values)| values.iter().flat_map(|v| v.to_le_bytes()).collect()).collect();
    let views = tensors.iter().zip(&bytes).map(|((name, shape, _), bytes)| {
        (*name, TensorView::new(Dtype::F32, shape.to_vec(), bytes).unwrap())
    });
    let metadata = metadata.map(|(key, value)| HashMap::from([(key.to_owned(), value.to_owned())]));
    safetensors::serialize(views, metadata).unwrap().into()
}

fn linear() -> Linear {
    LinearConfig::new(3, 2).with_bias(false).init(&Device::Cpu.open().unwrap())
}

fn weight(linear: &Linear) -> Vec<f32> {
    linear.weight.val().into_data().try_into_vec().unwrap()
}

fn refused<M>(result: Result<M>, expected: &[&str]) {
    let Err(error) = result else { panic!("it was loaded, despite {expected:?}") };
    assert!(matches!(error, Error::InvalidInput(_)), "{error:?}");
    for expected in expected {
        assert!(error.to_string().contains(expected), "{error}\n  does not say: {expected}");
    }
}

#[test]
fn files_of_other_tools_give_the_network_they_hold() {
    type Options = fn(Weights) -> Result<Weights>;
    let same: Options = Ok;
    let renamed: Options = |weights| {
        let weights = weights.with_key_remap(r"^model\.", "")?;
        weights.with_key_remap(r"layers\.0", "fc1")?.with_key_remap(r"layers\.(\d)", "fc2")
    };
    let nested: Options = |weights| Ok(weights.with_top_level_key("state_dict"));
    let cases = [
        ("net.safetensors", Format::Safetensors, same),
        ("net_half.safetensors", Format::Safetensors, same),
        ("net_renamed.safetensors", Format::Safetensors, renamed),
        ("net.pt", Format::Pytorch, same),
        ("net_stream.pt", Format::Pytorch, same),
        ("checkpoint.pt", Format::Pytorch, nested),
    ];
    for (name, format, options) in cases {
        let from_file = Weights::open(path(name)).unwrap();
        let from_memory = Weights::from_bytes(file(name)).unwrap();
        for weights in [from_file, from_memory] {
            assert_eq!(weights.format(), format);
            let net = options(weights).unwrap().load_into(Net::new()).unwrap();
            net.assert_is_that_of_the_script(name);
        }
    }
}

#[test]
fn what_is_saved_is_loaded_again() {
    let net = Weights::open(path("net.pt")).unwrap().load_into(Net::new()).unwrap();
    let burnpack = save_burnpack(&net).unwrap();
    let safetensors = save_safetensors(&net).unwrap();
    Weights::burnpack(burnpack.clone())
        .load_into(Net::new())
        .unwrap()
        .assert_is_that_of_the_script("burnpack");
    Weights::safetensors(safetensors.clone())
        .load_into(Net::new())
        .unwrap()
        .assert_is_that_of_the_script("safetensors");

    let directory = tempfile::tempdir().unwrap();
    for (name, bytes) in [("a.bin", burnpack), ("b", safetensors)] {
        let path = directory.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        Weights::open(&path).unwrap().load_into(Net::new()).unwrap().assert_is_that_of_the_script(name);
    }
}

#[test]
fn safetensors_are_written_as_python_writes_them() {
    let net = Weights::open(path("net.safetensors")).unwrap().load_into(Net::new()).unwrap();
    let written = save_safetensors(&net).unwrap();
    let (written, original) = (&written[..], &file("net.safetensors")[..]);
    let written = safetensors::SafeTensors::deserialize(written).unwrap();
    let original = safetensors::SafeTensors::deserialize(original).unwrap();
    let mut names = original.names();
    names.retain(|name| !name.ends_with("num_batches_tracked"));
    assert_eq!(written.len(), names.len());
    for name in names {
        let (written, original) = (written.tensor(name).unwrap(), original.tensor(name).unwrap());
        assert_eq!((written.shape(), written.data()), (original.shape(), original.data()), "{name}");
    }
}

#[test]
fn the_layout_follows_the_file_or_the_caller() {
    let values = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0];
    let transposed = [1.0, 4.0, 2.0, 5.0, 3.0, 6.0];
    let load = |weights: Weights| weight(&weights.load_into(linear()).unwrap());
    let pytorch = safetensors(&[("weight", &[2, 3], &values)], None);
    assert_eq!(load(Weights::safetensors(pytorch)), transposed);
    let burn = safetensors(&[("weight", &[3, 2], &values)], Some(("producer", "burn")));
    assert_eq!(load(Weights::safetensors(burn)), values);
    let unsaid = safetensors(&[("weight", &[3, 2], &values)], None);
    assert_eq!(load(Weights::safetensors(unsaid).with_layout(Layout::Burn)), values);
}

#[test]
fn every_fault_is_named_at_once() {
    let bytes = safetensors(
        &[("fc1.weight", &[3, 5], &[0.0; 15]), ("fc1.bias", &[3], &[0.0; 3]), ("head.weight", &[1], &[0.0])],
        None,
    );
    let weights = Weights::safetensors(bytes);
    let missing = ["`norm.gamma`", "`fc2.weight`, `fc2.bias` missing in the file", "`allow_missing`"];
    let unexpected = ["`head.weight` not in the module", "`with_key_remap`", "`allow_unexpected`"];
    let shape = "`fc1.weight` is [3, 5] in the file and [4, 3] in the module";
    refused(weights.load_into(Net::new()), &[&missing[..], &unexpected, &[shape]].concat());

    let partial = weights.allow_missing().allow_unexpected();
    let error = partial.load_into(Net::new()).unwrap_err().to_string();
    assert!(error.contains(shape) && !error.contains("missing") && !error.contains("head"), "{error}");
}

#[test]
fn a_part_of_the_weights_leaves_the_others_as_they_are() {
    let before = Net::new();
    let fc2 = weight(&before.fc2);
    let bytes = safetensors(&[("fc1.bias", &[3], &[1.0, 2.0, 3.0]), ("extra", &[1], &[0.0])], None);
    let net = Weights::safetensors(bytes).allow_missing().allow_unexpected().load_into(before).unwrap();
    assert_eq!(net.fc1.bias.unwrap().val().into_data().try_into_vec::<f32>().unwrap(), [1.0, 2.0, 3.0]);
    assert_eq!(weight(&net.fc2), fc2);
}

#[test]
fn weights_that_are_not_finite_are_refused_by_name() {
    let with = |value: f32| safetensors(&[("weight", &[2, 3], &[0.0, 0.0, value, 0.0, 0.0, 0.0])], None);
    for value in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        // Element 2 of the file is element 4 once transposed.
        let expected = ["`weight` is not finite as F32 at element 4", "`allow_not_finite`"];
        refused(Weights::safetensors(with(value)).load_into(linear()), &expected);
        let loaded = Weights::safetensors(with(value)).allow_not_finite().load_into(linear()).unwrap();
        assert!(!weight(&loaded)[4].is_finite());
    }
    let large = [0.0, 1e300].map(f64::to_le_bytes).concat();
    let view = TensorView::new(Dtype::F64, vec![1, 2], &large).unwrap();
    let bytes = safetensors::serialize([("weight", view)], None).unwrap();
    let narrow = LinearConfig::new(2, 1).with_bias(false).init(&Device::Cpu.open().unwrap());
    refused(Weights::safetensors(bytes).load_into(narrow), &["`weight` is not finite as F32 at element 1"]);
}

#[test]
fn floats_become_those_of_the_device_unless_told_otherwise() {
    let half = Weights::open(path("net_half.safetensors")).unwrap();
    let dtype = |net: Net| net.fc1.weight.val().dtype();
    assert_eq!(dtype(half.load_into(Net::new()).unwrap()), DType::F32);
    assert_eq!(dtype(half.with_stored_precision().load_into(Net::new()).unwrap()), DType::F16);
}

#[derive(Module, Debug)]
struct Table {
    ids: Param<Tensor<1, Int>>,
    mask: Param<Tensor<1, Bool>>,
}

impl Table {
    fn new(ids: [i64; 2], mask: [bool; 2]) -> Self {
        let device = Device::Cpu.open().unwrap();
        Self {
            ids: Param::initialized(ParamId::new(), Tensor::from_data(TensorData::from(ids), &device)),
            mask: Param::initialized(ParamId::new(), Tensor::from_data(TensorData::from(mask), &device)),
        }
    }
}

#[test]
fn integers_and_booleans_keep_their_kind() {
    let bytes = save_safetensors(&Table::new([7, -1], [true, false])).unwrap();
    let loaded = Weights::safetensors(bytes).load_into(Table::new([0, 0], [false, false])).unwrap();
    assert_eq!(loaded.ids.val().into_data().try_into_vec_as::<i64>().unwrap(), [7, -1]);
    let wide = [7, 1 << 40].map(i64::to_le_bytes).concat();
    let views = [
        ("ids", TensorView::new(Dtype::I64, vec![2], &wide).unwrap()),
        ("mask", TensorView::new(Dtype::BOOL, vec![2], &[1, 0]).unwrap()),
    ];
    let wide = Weights::safetensors(safetensors::serialize(views, None).unwrap());
    let table = || Table::new([0, 0], [false, false]);
    refused(wide.load_into(table()), &["`ids` holds a number at element 1 that I32 cannot hold"]);
    let kept = wide.with_stored_precision().load_into(table()).unwrap();
    assert_eq!(kept.ids.val().into_data().try_into_vec::<i64>().unwrap(), [7, 1 << 40]);
    assert_eq!(loaded.mask.val().into_data().try_into_vec::<bool>().unwrap(), [true, false]);
    let floats = safetensors(&[("ids", &[2], &[0.0; 2]), ("mask", &[2], &[0.0; 2])], None);
    let expected =
        ["`ids` holds F32 and the module needs integers", "`mask` holds F32 and the module needs booleans"];
    refused(Weights::safetensors(floats).load_into(Table::new([0, 0], [true, true])), &expected);
}

#[derive(Module, Debug)]
struct Stack {
    layers: Vec<Linear>,
}

#[derive(Module, Debug)]
enum Head {
    Small(Linear),
}

#[derive(Module, Debug)]
struct WithHead {
    head: Head,
}

#[test]
fn names_may_have_gaps_and_leave_out_variants() {
    let stack = || Stack { layers: vec![linear(), linear()] };
    let bytes = safetensors(
        &[("layers.0.weight", &[2, 3], &[1.0; 6]), ("layers.2.weight", &[2, 3], &[2.0; 6])],
        None,
    );
    let weights = Weights::safetensors(bytes);
    refused(
        weights.load_into(stack()),
        &["`layers.1.weight` missing", "`layers.2.weight` not in the module"],
    );
    let loaded = weights.with_contiguous_indices().load_into(stack()).unwrap();
    assert_eq!(weight(&loaded.layers[1]), [2.0; 6]);

    let bytes = safetensors(&[("head.weight", &[2, 3], &[3.0; 6])], None);
    let loaded = Weights::safetensors(bytes).load_into(WithHead { head: Head::Small(linear()) }).unwrap();
    let Head::Small(head) = &loaded.head;
    assert_eq!(weight(head), [3.0; 6]);
    let again = Weights::safetensors(save_safetensors(&loaded).unwrap());
    assert!(again.load_into(WithHead { head: Head::Small(linear()) }).is_ok());
    let again = Weights::burnpack(save_burnpack(&loaded).unwrap());
    assert!(again.load_into(WithHead { head: Head::Small(linear()) }).is_ok());
}

#[test]
fn options_that_cannot_be_are_refused() {
    let weights = || Weights::open(path("net.safetensors")).unwrap();
    refused(weights().with_key_remap("(", ""), &["`(` is no regular expression"]);
    refused(weights().with_top_level_key("model").load_into(Net::new()), &["no top-level keys"]);
    let merged = weights().with_key_remap("fc1", "fc2").unwrap();
    refused(merged.load_into(Net::new()), &["two tensors are called `fc2."]);
    let wrong_key = Weights::open(path("checkpoint.pt")).unwrap().with_top_level_key("model");
    refused(wrong_key.load_into(Net::new()), &["'model' not found", "state_dict"]);
}

#[test]
fn files_that_are_no_weights_are_refused() {
    assert!(matches!(Weights::open(path("none.pt")), Err(Error::NotFound { .. })));
    refused(Weights::open(path("make.py")), &["neither burnpack nor safetensors nor a PyTorch checkpoint"]);
    refused(Weights::from_bytes(Bytes::new()), &["neither"]);
    let zip = archive(&[("readme.txt", b"hello")], false);
    refused(Weights::pytorch(zip).load_into(Net::new()), &["PyTorch checkpoint", "data.pkl"]);
    for wrong in [
        Weights::burnpack(file("net.pt")),
        Weights::safetensors(file("net.pt")),
        Weights::pytorch(file("net.safetensors")),
    ] {
        refused(wrong.load_into(Net::new()), &["no usable"]);
    }
}

/// A zip archive.
fn archive(entries: &[(&str, &[u8])], compressed: bool) -> Vec<u8> {
    let method = if compressed { zip::CompressionMethod::Deflated } else { zip::CompressionMethod::Stored };
    let options = zip::write::SimpleFileOptions::default().compression_method(method);
    let mut writer = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    for (name, content) in entries {
        writer.start_file(*name, options).unwrap();
        writer.write_all(content).unwrap();
    }
    writer.finish().unwrap().into_inner()
}

/// A state dict with one tensor, a view of a storage of one float.
fn expanded(rows: i32, columns: i32) -> Vec<u8> {
    let text = |text: &str| [&b"X"[..], &(text.len() as u32).to_le_bytes(), text.as_bytes()].concat();
    let int = |int: i32| [&b"J"[..], &int.to_le_bytes()].concat();
    [
        b"\x80\x02}(".to_vec(),
        text("weight"),
        b"ctorch._utils\n_rebuild_tensor_v2\n((".to_vec(),
        text("storage"),
        b"ctorch\nFloatStorage\n".to_vec(),
        text("0"),
        text("cpu"),
        b"K\x01tQK\x00".to_vec(),
        int(rows),
        int(columns),
        b"\x86K\x00K\x00\x86\x89}tRu.".to_vec(),
    ]
    .concat()
}

#[test]
fn small_files_that_would_be_large_in_memory_are_refused() {
    let one = 1.0_f32.to_le_bytes();
    let checkpoint = |pickle: &[u8]| archive(&[("a/data.pkl", pickle), ("a/data/0", &one)], false);
    let loaded = Weights::pytorch(checkpoint(&expanded(2, 3))).load_into(linear()).unwrap();
    assert_eq!(weight(&loaded), [1.0; 6], "views are checkpoints, too");
    let gigabytes = checkpoint(&expanded(40_000, 40_000));
    refused(
        Weights::pytorch(gigabytes).load_into(linear()),
        &["`weight` is [40000, 40000] in the file and [3, 2]"],
    );

    let many = vec![b'N'; 3_000_000];
    refused(Weights::pytorch(checkpoint(&many)).load_into(linear()), &["more than 2000000 operations"]);
    let compressed = archive(&[("a/data.pkl", &many)], true);
    assert!(compressed.len() < 10_000);
    refused(Weights::pytorch(compressed).load_into(linear()), &["`a/data.pkl` is compressed"]);

    // Each list holds the one before ten times.
    let laughs = [
        &b"\x80\x02]q\x00"[..],
        &b"(h\x00h\x00h\x00h\x00h\x00h\x00h\x00h\x00h\x00h\x00lq\x00".repeat(12),
        b".",
    ]
    .concat();
    refused(Weights::pytorch(checkpoint(&laughs)).load_into(linear()), &["no usable PyTorch checkpoint"]);
    let deep = [&b"\x80\x02"[..], &b"]".repeat(100_000), &b"a".repeat(99_999), b"."].concat();
    refused(Weights::pytorch(checkpoint(&deep)).load_into(linear()), &["no usable PyTorch checkpoint"]);

    let header = br#"{"weight":{"dtype":"F32","shape":[1000000,1000000],"data_offsets":[0,4000000000000]}}"#;
    let claims = [&(header.len() as u64).to_le_bytes()[..], header, &one].concat();
    refused(Weights::safetensors(claims).load_into(linear()), &["no usable safetensors"]);
    let long = [&u64::MAX.to_le_bytes()[..], b"{}"].concat();
    refused(Weights::safetensors(long).load_into(linear()), &["no usable safetensors"]);
    let claims = [&b"NRUB\x01\x00\xff\xff\xff\xff"[..], &[0; 30]].concat();
    refused(Weights::burnpack(claims).load_into(linear()), &["no usable burnpack"]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    /// A flipped bit may still be a weight, but never a panic, and never a network that is not finite.
    #[test]
    fn damaged_files_never_panic(
        name in prop::sample::select(vec!["net.safetensors", "net.pt", "net_stream.pt", "checkpoint.pt", "burnpack"]),
        at in any::<prop::sample::Index>(), flip in 1..=255_u8, cut in prop::option::of(any::<prop::sample::Index>()),
    ) {
        let mut bytes = match name {
            "burnpack" => {
                let net = Weights::open(path("net.pt")).unwrap().load_into(Net::new()).unwrap();
                save_burnpack(&net).unwrap().to_vec()
            }
            file => std::fs::read(path(file)).unwrap(),
        };
        let at = at.index(bytes.len());
        bytes[at] ^= flip;
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        let kinds = [Weights::burnpack as fn(Vec<u8>) -> Weights, Weights::safetensors, Weights::pytorch];
        let kind = match name { "burnpack" => 0, "net.safetensors" => 1, _ => 2 };
        let mut weights = kinds[kind](bytes);
        if name == "checkpoint.pt" {
            weights = weights.with_top_level_key("state_dict");
        }
        match weights.load_into(Net::new()) {
            Ok(net) => prop_assert!(net.outputs().len() == 4),
            Err(error) => {
                prop_assert!(matches!(error, Error::InvalidInput(_)), "{:?}", error);
                prop_assert!(!error.to_string().contains("panicked"), "{}", error);
            }
        }
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..300), zip in any::<bool>()) {
        let _ = Weights::from_bytes(bytes.clone());
        let pickled = if zip { archive(&[("a/data.pkl", &bytes)], false) } else { bytes.clone() };
        for weights in [Weights::burnpack(bytes.clone()), Weights::safetensors(bytes), Weights::pytorch(pickled)] {
            prop_assert!(weights.load_into(linear()).is_err());
        }
    }
}
