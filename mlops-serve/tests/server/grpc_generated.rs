//! The generated code and descriptors of the gRPC front are what `proto/` says.
//!
//! With `MLOPS_REGENERATE=1` they are written anew instead of compared.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::fs;
use std::path::Path;

use prost::Message;

#[test]
fn the_committed_code_is_what_the_proto_file_generates() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let committed = root.join("src/grpc/generated");
    let fresh = tempfile::tempdir().unwrap();

    let mut files = protox::compile([root.join("proto/open_inference.proto")], [root.join("proto")]).unwrap();
    tonic_prost_build::configure()
        .build_transport(false)
        .bytes(".")
        .btree_map(".")
        // Most tensors come without, and a list of tensors should not be 200 bytes for each.
        .boxed(".inference.ModelInferRequest.InferInputTensor.contents")
        .boxed(".inference.ModelInferResponse.InferOutputTensor.contents")
        .codec_path("crate::grpc::codec::BoundedCodec")
        .emit_rerun_if_changed(false)
        .out_dir(fresh.path())
        .compile_fds(files.clone())
        .unwrap();
    // Comments are in the code; whoever asks for reflection wants names and types.
    files.file.iter_mut().for_each(|file| file.source_code_info = None);
    fs::write(fresh.path().join("descriptors.bin"), files.encode_to_vec()).unwrap();

    for name in ["inference.rs", "descriptors.bin"] {
        let (fresh, committed) = (fs::read(fresh.path().join(name)).unwrap(), committed.join(name));
        if std::env::var_os("MLOPS_REGENERATE").is_some() {
            fs::create_dir_all(committed.parent().unwrap()).unwrap();
            fs::write(committed, fresh).unwrap();
        } else {
            assert!(
                fs::read(&committed).unwrap_or_default() == fresh,
                "{} is not what proto/open_inference.proto generates; run this test with MLOPS_REGENERATE=1",
                committed.display()
            );
        }
    }
}
