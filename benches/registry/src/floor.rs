//! The least that has to be done, and what others do of it.

use std::fs::File;
use std::io::{Read, Write};
use std::path::Path;
use std::process::Command;

use sha2::{Digest, Sha256};

use crate::Failure;

/// Fills a file with bytes that no file had before, durably: so that what is measured later is not the writing of
/// these.
pub fn write_fresh(file: &Path, size: usize, seed: u64) -> Result<(), Failure> {
    // xorshift64*
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut bytes = Vec::with_capacity(size + 8);
    while bytes.len() < size {
        state ^= state >> 12;
        state ^= state << 25;
        state ^= state >> 27;
        bytes.extend_from_slice(&state.wrapping_mul(0x2545_F491_4F6C_DD1D).to_le_bytes());
    }
    bytes.truncate(size);
    let mut file = File::create(file)?;
    file.write_all(&bytes)?;
    Ok(file.sync_all()?)
}

/// The SHA-256 of a file, made by the same library as ours.
pub fn hash(file: &Path) -> Result<[u8; 32], Failure> {
    let (mut file, mut digest, mut piece) = (File::open(file)?, Sha256::new(), vec![0; 1 << 20]);
    loop {
        match file.read(&mut piece)? {
            0 => return Ok(digest.finalize().into()),
            read => digest.update(&piece[..read]),
        }
    }
}

/// A copy that survives a power cut.
pub fn copy_durably(from: &Path, to: &Path) -> Result<(), Failure> {
    std::fs::copy(from, to)?;
    File::open(to)?.sync_all()?;
    Ok(File::open(to.parent().ok_or("a file without a folder")?)?.sync_all()?)
}

/// The content of a file in memory, with its SHA-256.
pub fn read_and_hash(file: &Path) -> Result<(Vec<u8>, [u8; 32]), Failure> {
    let bytes = std::fs::read(file)?;
    let digest = Sha256::digest(&bytes).into();
    Ok((bytes, digest))
}

/// `sha256sum` and `cp`, one after the other.
pub fn checksum_and_copy(from: &Path, to: &Path) -> Result<(), Failure> {
    let sum = Command::new("sha256sum").arg(from).output()?;
    let copy = Command::new("cp").arg(from).arg(to).output()?;
    if sum.status.success() && copy.status.success() {
        return Ok(());
    }
    Err("sha256sum or cp failed".into())
}

/// Gives the memory back in which the system keeps the large files of a folder, once they are on disk. So whoever is
/// next finds free memory that was in use a moment ago, as whoever came before did. A virtual machine may have handed
/// other free memory to its host, and writing into that takes ten times as long.
pub fn give_back(folder: &Path) -> Result<(), Failure> {
    const LARGE: u64 = 512 << 10;
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let meta = entry.metadata()?;
        if meta.is_dir() {
            give_back(&entry.path())?;
        } else if meta.len() >= LARGE {
            let file = File::open(entry.path())?;
            file.sync_all()?;
            rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed)?;
        }
    }
    Ok(())
}
