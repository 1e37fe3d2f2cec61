//! How much work a pickle is, found out by stepping over it.
//!
//! Every operation of a pickle can put one object on a stack, so a few bytes each become about a hundred in memory.
//! The operations and their arguments: `Lib/pickletools.py` of Python.

use std::io::{BufRead, ErrorKind, Read, copy, sink};

use mlops_core::{Error, Result};

use super::{Format, corrupt};

/// A checkpoint takes about 30 operations for a tensor, so this is room for 60,000 tensors, and about 200 MB.
const LIMIT: usize = 2_000_000;

/// The longest line of text in the protocols before 2, whose numbers and names are lines.
const LINE: u64 = 1 << 16;

/// Steps over `count` pickles that follow one another.
pub(super) fn inspect(pickle: &mut impl BufRead, count: usize) -> Result<()> {
    let mut operations = 0_usize;
    for _ in 0..count {
        loop {
            operations += 1;
            if operations > LIMIT {
                let what =
                    format!("its pickle has more than {LIMIT} operations, more than a checkpoint needs");
                return Err(corrupt(Format::Pytorch, what));
            }
            let [operation] = fixed(pickle)?;
            if operation == b'.' {
                break;
            }
            step(pickle, operation)?;
        }
    }
    Ok(())
}

/// Steps over the argument of one operation.
fn step(pickle: &mut impl BufRead, operation: u8) -> Result<()> {
    match operation {
        // Nothing follows.
        b'('
        | b'0'
        | b'1'
        | b'2'
        | b'N'
        | b'R'
        | b'b'
        | b'd'
        | b'l'
        | b't'
        | b's'
        | b'a'
        | b')'
        | b']'
        | b'}'
        | b'e'
        | b'u'
        | b'Q'
        | 0x81
        | 0x85..=0x89
        | 0x8f..=0x94
        | 0x97
        | 0x98 => Ok(()),
        // Numbers and references of fixed size.
        b'K' | b'h' | b'q' | 0x80 | 0x82 => skip(pickle, 1),
        b'M' | 0x83 => skip(pickle, 2),
        b'J' | b'j' | b'r' | 0x84 => skip(pickle, 4),
        b'G' | 0x95 => skip(pickle, 8),
        // Lines of text.
        b'I' | b'L' | b'F' | b'V' | b'g' | b'p' | b'P' => line(pickle),
        b'c' => line(pickle).and_then(|()| line(pickle)),
        // A length, and so many bytes.
        b'U' | b'C' | 0x8a | 0x8c => {
            let [length] = fixed(pickle)?;
            skip(pickle, length.into())
        }
        b'T' | b'X' | b'B' | 0x8b => {
            let length = u32::from_le_bytes(fixed(pickle)?);
            skip(pickle, length.into())
        }
        0x8d | 0x8e | 0x96 => {
            let length = u64::from_le_bytes(fixed(pickle)?);
            skip(pickle, length)
        }
        other => Err(corrupt(Format::Pytorch, format!("its pickle has the unknown operation 0x{other:02x}"))),
    }
}

fn fixed<const N: usize>(pickle: &mut impl BufRead) -> Result<[u8; N]> {
    let mut bytes = [0; N];
    pickle.read_exact(&mut bytes).map_err(failed)?;
    Ok(bytes)
}

fn skip(pickle: &mut impl BufRead, length: u64) -> Result<()> {
    let skipped = copy(&mut pickle.by_ref().take(length), &mut sink()).map_err(failed)?;
    if skipped == length { Ok(()) } else { Err(failed(ErrorKind::UnexpectedEof.into())) }
}

fn line(pickle: &mut impl BufRead) -> Result<()> {
    let skipped = pickle.by_ref().take(LINE).skip_until(b'\n').map_err(failed)?;
    if skipped as u64 == LINE {
        return Err(corrupt(Format::Pytorch, "its pickle has a line that is too long"));
    }
    Ok(())
}

fn failed(cause: std::io::Error) -> Error {
    if cause.raw_os_error().is_some() {
        return Error::unavailable("the weights cannot be read").with_source(cause);
    }
    corrupt(Format::Pytorch, format!("its pickle is cut off or damaged: {cause}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inspected(pickle: &[u8], count: usize) -> std::result::Result<(), String> {
        inspect(&mut &*pickle, count).map_err(|error| error.to_string())
    }

    #[test]
    fn what_python_writes_is_stepped_over() {
        // pickle.dumps(({"a": [1, 2.5, None, True, b"xy", 1 << 70, -3, "é"]}, (1,)), protocol)
        let protocol_0 = b"((dp0\nVa\np1\n(lp2\nI1\naF2.5\naNaI01\nac_codecs\nencode\np3\n(Vxy\np4\nVlatin1\np5\ntp6\nRp7\naL1180591620717411303424L\naI-3\naV\xe9\np8\nas(I1\ntp9\ntp10\n.";
        let protocol_4 = b"\x80\x04\x956\x00\x00\x00\x00\x00\x00\x00}\x94\x8c\x01a\x94]\x94(K\x01G@\x04\x00\x00\x00\x00\x00\x00N\x88C\x02xy\x94\x8a\x09\x00\x00\x00\x00\x00\x00\x00\x00@J\xfd\xff\xff\xff\x8c\x02\xc3\xa9\x94esK\x01\x85\x94\x86\x94.";
        assert_eq!(inspected(protocol_0, 1), Ok(()));
        assert_eq!(inspected(protocol_4, 1), Ok(()));
        assert_eq!(inspected(&[&protocol_0[..], protocol_4].concat(), 2), Ok(()));
    }

    #[test]
    fn bombs_and_ruins_are_refused() {
        let bomb = vec![b'N'; LIMIT + 1];
        for (pickle, expected) in [
            (&bomb[..], "more than 2000000 operations"),
            (b"", "cut off"),
            (b"\x80\x02", "cut off"),
            (b"\x8e\xff\xff\xff\xff\xff\xff\xff\xff.", "cut off"),
            (b"\xff.", "unknown operation 0xff"),
            (&[&b"V"[..], &vec![b'a'; LINE as usize], b"\n."].concat(), "line that is too long"),
        ] {
            let error = inspected(pickle, 1).unwrap_err();
            assert!(error.contains(expected), "{error}");
        }
    }
}
