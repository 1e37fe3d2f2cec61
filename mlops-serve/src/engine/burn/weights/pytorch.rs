//! Checkpoints of PyTorch.
//!
//! The reader of burn interprets the pickle and bounds most of what a hostile one can ask for. What is left is
//! bounded here, before it reads: how many operations the pickle has, and that nothing is compressed.

use std::fs::File;
use std::io::{BufReader, Read, Seek, Write};
use std::path::Path;

use ::burn::store::bridge;
use ::burn::store::burn_pack::Tensor as Stored;
use ::burn::store::pytorch_reader::{PytorchError, PytorchReader};
use mlops_core::{Error, Result};
use zip::ZipArchive;

use super::source::Data;
use super::{Format, corrupt, pickle};

const ZIP: &[u8] = b"PK\x03\x04";

/// The number that opens the stream of pickles of PyTorch before 1.6, 0x1950a86a20f9469cfc6c, in little-endian order.
const STREAM: [u8; 10] = [0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19];

/// Whether a file begins as a checkpoint does.
pub(super) fn begins(beginning: &[u8]) -> bool {
    beginning.starts_with(ZIP) || is_stream(beginning)
}

fn is_stream(beginning: &[u8]) -> bool {
    beginning.first() == Some(&0x80) && beginning.windows(STREAM.len()).any(|window| window == STREAM)
}

pub(super) fn read(data: &Data, key: Option<&str>) -> Result<Vec<Stored>> {
    match data {
        Data::File(path) => read_file(path, key),
        Data::Memory(bytes) => {
            let io = |cause| {
                Error::unavailable("a temporary file for the weights cannot be written").with_source(cause)
            };
            let mut file = tempfile::NamedTempFile::new().map_err(io)?;
            file.write_all(bytes).and_then(|()| file.flush()).map_err(io)?;
            // The reader holds the file open, so it may lose its name.
            read_file(file.path(), key)
        }
    }
}

fn read_file(path: &Path, key: Option<&str>) -> Result<Vec<Stored>> {
    let io = |cause| Error::unavailable("the weights cannot be read").with_source(cause);
    let mut file = File::open(path).map_err(io)?;
    let mut beginning = Vec::new();
    (&file).take(64).read_to_end(&mut beginning).map_err(io)?;
    file.rewind().map_err(io)?;
    if beginning.starts_with(ZIP) {
        inspect_archive(file)?;
    } else if is_stream(&beginning) {
        // Magic number, protocol version, system, the object, and the keys of the storages that follow.
        pickle::inspect(&mut BufReader::new(file), 5)?;
    } else {
        return Err(corrupt(
            Format::Pytorch,
            "it is no zip archive and no stream of pickles of `torch.save`",
        ));
    }
    let reader = match key {
        Some(key) => PytorchReader::with_top_level_key(path, key),
        None => PytorchReader::new(path),
    };
    let reader = reader.map_err(|cause| match cause {
        PytorchError::Io(cause) if cause.raw_os_error().is_some() => io(cause),
        cause => corrupt(Format::Pytorch, cause),
    })?;
    let mut tensors: Vec<Stored> = reader.into_tensors().into_values().map(bridge::from_pytorch).collect();
    tensors.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(tensors)
}

/// `torch.save` compresses nothing, so what is compressed was made to be larger than it looks.
fn inspect_archive(file: File) -> Result<()> {
    let broken = |cause: &dyn std::fmt::Display| corrupt(Format::Pytorch, cause);
    let mut archive = ZipArchive::new(BufReader::new(file)).map_err(|cause| broken(&cause))?;
    for index in 0..archive.len() {
        let entry = archive.by_index_raw(index).map_err(|cause| broken(&cause))?;
        let name = entry.name().map_err(|cause| broken(&cause))?.into_owned();
        if entry.compression() != zip::CompressionMethod::Stored || entry.compressed_size() != entry.size() {
            return Err(broken(&format!("`{name}` is compressed, which `torch.save` never does")));
        }
        if name == "data.pkl" || name.ends_with("/data.pkl") {
            pickle::inspect(&mut BufReader::new(entry), 1)?;
        }
    }
    Ok(())
}
