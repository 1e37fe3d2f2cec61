//! Tar archives, as far as they hold plain files: those of
//! [POSIX](https://pubs.opengroup.org/onlinepubs/9799919799/utilities/pax.html), and of GNU with sizes over 8 GiB.
//!
//! An archive is never unpacked: what is in it is read where it lies. So nothing in it can end up elsewhere,
//! or be larger than the archive. What has no business in an archive of plain files is refused all the same.

use std::collections::BTreeMap;

use bytes::Bytes;
use mlops_core::{Error, Result};
use tar::{EntryType, Header, PaxExtensions};

use super::place::Place;

/// Archives come in blocks of that many bytes.
const BLOCK: u64 = 512;

/// A layout has few files for each version.
const MAX_ENTRIES: usize = 100_000;

const MAX_EXTENSIONS: u64 = 64 << 10;

/// The files in an archive, by name. `what` names the archive in errors. Blocks.
///
/// # Errors
/// [`InvalidInput`](Error::InvalidInput) when it is no archive, or holds what a layout does not: links,
/// devices, files of one name, names that lead elsewhere. [`Integrity`](Error::Integrity) when it is
/// truncated or harmed.
pub(crate) fn files(archive: &Place, what: &str) -> Result<BTreeMap<String, Place>> {
    let refuse = |why: String| Error::invalid_input(format!("{what} {why}"));
    let truncated = || Error::integrity(format!("{what} is truncated; copy it again"));
    let mut files = BTreeMap::new();
    let mut extensions = Extensions::default();
    let (mut at, mut count) = (0, 0);
    loop {
        count += 1;
        if count > MAX_ENTRIES {
            return Err(refuse(format!("has more than {MAX_ENTRIES} entries")));
        }
        let block = archive.part(at, BLOCK).ok_or_else(truncated)?.read()?;
        if block.iter().all(|byte| *byte == 0) {
            return Ok(files);
        }
        if at == 0 {
            check_uncompressed(&block).map_err(refuse)?;
        }
        let header = Header::from_byte_slice(&block);
        if header.cksum().ok() != Some(checksum(&block)) {
            return Err(Error::integrity(format!(
                "{what} is no tar archive, or was harmed: the header at byte {at} does not add up"
            )));
        }
        let kind = header.entry_type();
        let size =
            header.entry_size().map_err(|cause| refuse(format!("has a file without a size: {cause}")))?;
        let size = if kind == EntryType::Regular { extensions.size.unwrap_or(size) } else { size };
        let content = archive.part(at + BLOCK, size).ok_or_else(truncated)?;
        // Cannot overflow: the archive is at least as long.
        at = (at + BLOCK + size).next_multiple_of(BLOCK);
        match kind {
            EntryType::Regular => {
                let path = extensions.path.take().unwrap_or_else(|| header.path_bytes().into_owned());
                let name = name(&path).map_err(refuse)?;
                if files.insert(name.clone(), content).is_some() {
                    return Err(refuse(format!("has two files `{name}`")));
                }
                extensions = Extensions::default();
            }
            EntryType::Directory => {
                let path = extensions.path.take().unwrap_or_else(|| header.path_bytes().into_owned());
                if !matches!(path.trim_ascii(), b"." | b"./") {
                    name(path.strip_suffix(b"/").unwrap_or(&path)).map_err(refuse)?;
                }
                extensions = Extensions::default();
            }
            EntryType::XHeader => extensions = Extensions::read(&content).map_err(refuse)?,
            EntryType::XGlobalHeader => {
                let global = Extensions::read(&content).map_err(refuse)?;
                if global.size.is_some() || global.path.is_some() {
                    return Err(refuse("gives all its files one name or size".to_owned()));
                }
            }
            other => {
                let other = char::from(other.as_byte()).escape_default().to_string();
                return Err(refuse(format!(
                    "holds `{}`, which is no plain file but of type `{other}`: links, devices, sparse \
                     files and names of over 100 bytes have no place in a layout",
                    shown(&header.path_bytes())
                )));
            }
        }
    }
}

/// The header of a file in an archive. The same file has the same header wherever and whenever it is written.
pub(crate) fn header(name: &str, size: u64) -> Result<Bytes> {
    let mut header = Header::new_gnu();
    let named = header.set_path(name);
    named.map_err(|cause| Error::internal(format!("`{name}` cannot be in an archive")).with_source(cause))?;
    header.set_size(size);
    header.set_mode(0o644);
    header.set_mtime(0);
    header.set_uid(0);
    header.set_gid(0);
    header.set_cksum();
    Ok(Bytes::copy_from_slice(header.as_bytes()))
}

/// What follows a file of that size.
pub(crate) fn padding(size: u64) -> Bytes {
    let rest = size.next_multiple_of(BLOCK) - size;
    Bytes::from(vec![0; rest as usize])
}

/// What ends an archive.
pub(crate) fn end() -> Bytes {
    Bytes::from(vec![0; 2 * BLOCK as usize])
}

/// What an extended header says of the file that follows.
#[derive(Debug, Default)]
struct Extensions {
    path: Option<Vec<u8>>,
    size: Option<u64>,
}

impl Extensions {
    fn read(place: &Place) -> Result<Self, String> {
        if place.size() > MAX_EXTENSIONS {
            return Err(format!("has an extended header of more than {MAX_EXTENSIONS} bytes"));
        }
        let bytes = place.read().map_err(|error| format!("cannot be read: {error}"))?;
        let mut extensions = Self::default();
        for extension in PaxExtensions::new(&bytes) {
            let extension = extension.map_err(|cause| format!("has a malformed extended header: {cause}"))?;
            match extension.key_bytes() {
                b"path" => extensions.path = Some(extension.value_bytes().to_owned()),
                b"size" => {
                    let size = extension.value().ok().and_then(|size| size.parse().ok());
                    extensions.size =
                        Some(size.ok_or("has an extended header with a size that is no number")?);
                }
                key if key.starts_with(b"GNU.sparse") => return Err("holds a sparse file".to_owned()),
                _ => {}
            }
        }
        Ok(extensions)
    }
}

/// A name as it stands in the layout: relative, without steps up or aside.
fn name(path: &[u8]) -> Result<String, String> {
    let safe = |part: &str| {
        !part.is_empty()
            && part != "."
            && part != ".."
            && !part.contains(|c: char| c == '\\' || c.is_control())
    };
    let text = str::from_utf8(path).ok().map(|mut name| {
        while let Some(rest) = name.strip_prefix("./") {
            name = rest;
        }
        name
    });
    if let Some(name) = text
        && name.split('/').all(safe)
    {
        return Ok(name.to_owned());
    }
    Err(format!("has a file `{}`, whose name may lead elsewhere", shown(path)))
}

/// Bytes of others, for errors.
fn shown(path: &[u8]) -> String {
    String::from_utf8_lossy(path).chars().take(80).flat_map(char::escape_debug).collect()
}

fn checksum(block: &[u8]) -> u32 {
    // The sum itself counts as spaces.
    let byte = |(at, byte): (usize, &u8)| u32::from(if (148..156).contains(&at) { b' ' } else { *byte });
    block.iter().enumerate().map(byte).sum()
}

fn check_uncompressed(block: &[u8]) -> Result<(), String> {
    let program = match block {
        [0x1f, 0x8b, ..] => "gzip",
        [0x28, 0xb5, 0x2f, 0xfd, ..] => "zstd",
        [b'B', b'Z', b'h', ..] => "bzip2",
        [0xfd, b'7', b'z', b'X', b'Z', ..] => "xz",
        _ => return Ok(()),
    };
    Err(format!("is compressed; decompress it with `{program} -d` first"))
}
