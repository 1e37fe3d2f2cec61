//! From bytes or files to named tensors that are not read yet.

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};

use ::burn::store::burn_pack::{Reader, Tensor as Stored};
use ::burn::store::{burn_pack, map_indices_contiguous};
use ::burn::tensor::{AllocationProperty, BoolStore, Bytes as BurnBytes, DType};
use bytes::Bytes;
use mlops_core::{Error, Result};
use safetensors::{Dtype, SafeTensors};

use super::{Format, Layout, Options, corrupt, pytorch};

/// Where the bytes of weights are.
#[derive(Debug, Clone)]
pub(super) enum Data {
    /// In memory, or mapped into it.
    Memory(Bytes),
    /// In a file that is read as needed.
    File(PathBuf),
}

/// How many bytes tell the format.
const BEGINNING: usize = 64;

impl Format {
    /// The format in whose way `content` begins.
    pub(super) fn of(content: &[u8]) -> Result<Self> {
        let beginning = &content[..content.len().min(BEGINNING)];
        let header = beginning.first_chunk::<8>().map(|length| u64::from_le_bytes(*length));
        if beginning.starts_with(&burn_pack::MAGIC_NUMBER.to_le_bytes()) {
            Ok(Self::Burnpack)
        } else if pytorch::begins(beginning) {
            Ok(Self::Pytorch)
        } else if beginning.get(8) == Some(&b'{') && header.is_some_and(|length| length < 1 << 32) {
            Ok(Self::Safetensors)
        } else {
            let shown = &beginning[..beginning.len().min(8)];
            Err(Error::invalid_input(format!(
                "the weights are neither burnpack nor safetensors nor a PyTorch checkpoint: they begin with {shown:02x?}"
            )))
        }
    }
}

pub(super) fn open(path: &Path) -> Result<(Data, Format)> {
    let failed = |cause: std::io::Error| {
        let what = format!("the weights in `{}`", path.display());
        match cause.kind() {
            ErrorKind::NotFound => Error::not_found(what),
            _ => Error::unavailable(format!("{what} cannot be read")).with_source(cause),
        }
    };
    let file = File::open(path).map_err(failed)?;
    let mut beginning = Vec::with_capacity(BEGINNING);
    (&file).take(BEGINNING as u64).read_to_end(&mut beginning).map_err(failed)?;
    let format = Format::of(&beginning)?;
    let data = match format {
        Format::Pytorch => Data::File(path.to_owned()),
        Format::Burnpack | Format::Safetensors => {
            #[allow(unsafe_code)]
            // SAFETY: the map is read-only. Memory safety asks that nobody shrinks or rewrites the file in place
            // while it is mapped; `Weights::open` hands that on to its callers.
            let map = unsafe { memmap2::Mmap::map(&file) }.map_err(failed)?;
            Data::Memory(Bytes::from_owner(map))
        }
    };
    Ok((data, format))
}

/// The tensors of a file under the names the module is to find them by, and the layout they are in.
pub(super) struct StoredTensors {
    pub(super) tensors: Vec<Stored>,
    pub(super) layout: Layout,
    pub(super) format: Format,
}

pub(super) fn read(data: &Data, format: Format, options: &Options) -> Result<StoredTensors> {
    let (tensors, layout) = match (format, data) {
        (Format::Pytorch, data) => (pytorch::read(data, options.top_level_key.as_deref())?, Layout::Pytorch),
        (Format::Burnpack, Data::Memory(bytes)) => (read_burnpack(bytes)?, Layout::Burn),
        (Format::Safetensors, Data::Memory(bytes)) => read_safetensors(bytes)?,
        (Format::Burnpack | Format::Safetensors, Data::File(_)) => {
            return Err(Error::internal("a mapped format came unmapped"));
        }
    };
    if options.top_level_key.is_some() && format != Format::Pytorch {
        return Err(Error::invalid_input(format!(
            "a {format} has no top-level keys; only PyTorch checkpoints do"
        )));
    }
    let tensors = options.remapper.remap(tensors).0;
    let tensors = if options.contiguous_indices { map_indices_contiguous(tensors).0 } else { tensors };
    Ok(StoredTensors { tensors, layout: options.layout.unwrap_or(layout), format })
}

fn read_burnpack(bytes: &Bytes) -> Result<Vec<Stored>> {
    Reader::from_bytes(shared(bytes.clone()))
        .and_then(Reader::into_tensors)
        .map_err(|cause| corrupt(Format::Burnpack, cause))
}

fn read_safetensors(bytes: &Bytes) -> Result<(Vec<Stored>, Layout)> {
    let broken = |cause: &dyn std::fmt::Display| corrupt(Format::Safetensors, cause);
    let (header, metadata) = SafeTensors::read_metadata(bytes).map_err(|cause| broken(&cause))?;
    let by_burn = metadata
        .metadata()
        .as_ref()
        .and_then(|entries| entries.get("producer"))
        .is_some_and(|by| by == "burn");
    let data = bytes.slice(header.saturating_add(8).min(bytes.len())..);
    let tensors = metadata.tensors().into_iter().map(|(name, info)| {
        let dtype = dtype(info.dtype)
            .ok_or_else(|| broken(&format!("burn has no type for {:?} of `{name}`", info.dtype)))?;
        let (start, end) = info.data_offsets;
        if start > end || end > data.len() {
            return Err(broken(&format!("`{name}` lies outside of the file")));
        }
        let bytes = shared(data.slice(start..end));
        Ok(Stored::new(name, dtype, info.shape.clone(), None, bytes))
    });
    let layout = if by_burn { Layout::Burn } else { Layout::Pytorch };
    Ok((tensors.collect::<Result<_>>()?, layout))
}

fn shared(bytes: Bytes) -> BurnBytes {
    BurnBytes::from_shared(bytes, AllocationProperty::Other)
}

fn dtype(dtype: Dtype) -> Option<DType> {
    Some(match dtype {
        Dtype::F64 => DType::F64,
        Dtype::F32 => DType::F32,
        Dtype::F16 => DType::F16,
        Dtype::BF16 => DType::BF16,
        Dtype::I64 => DType::I64,
        Dtype::I32 => DType::I32,
        Dtype::I16 => DType::I16,
        Dtype::I8 => DType::I8,
        Dtype::U64 => DType::U64,
        Dtype::U32 => DType::U32,
        Dtype::U16 => DType::U16,
        Dtype::U8 => DType::U8,
        Dtype::BOOL => DType::Bool(BoolStore::Native),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_format_is_seen_in_the_content() {
        let safetensors = [&120_u64.to_le_bytes()[..], b"{\"a\":"].concat();
        let legacy = b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.\x80\x02M\xe9\x03.";
        for (content, format) in [
            (&b"NRUB\x01\x00\x00\x00"[..], Format::Burnpack),
            (b"PK\x03\x04\x14\x00", Format::Pytorch),
            (&legacy[..], Format::Pytorch),
            (&safetensors, Format::Safetensors),
        ] {
            assert_eq!(Format::of(content).unwrap(), format);
        }
        for content in [&b""[..], b"PK", b"GGUF\x03\x00\x00\x00\x00", &[0xff; 16], b"\x89HDF\r\n\x1a\n{"] {
            assert!(matches!(Format::of(content), Err(Error::InvalidInput(_))), "{content:?}");
        }
    }
}
