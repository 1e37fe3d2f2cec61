//! Few numbers for many names.

use std::sync::{PoisonError, RwLock, TryLockError};

/// Names in the order of their first appearance. What comes when there is no room is `other`.
#[derive(Debug)]
pub(super) struct Names {
    room: usize,
    known: RwLock<Vec<String>>,
}

/// The number of a name.
pub(super) type Code = u16;

/// That of all names for which there was no room.
const OTHER: Code = Code::MAX;

/// A lock was held by another; nobody waits for it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Busy;

impl Names {
    pub(super) fn new(room: usize) -> Self {
        Self { room: room.min(usize::from(OTHER)), known: RwLock::default() }
    }

    /// The number of a name, without waiting.
    pub(super) fn code(&self, name: &str) -> Result<Code, Busy> {
        let known = match self.known.try_read() {
            Ok(known) => known,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => return Err(Busy),
        };
        if let Some(code) = position(&known, name) {
            return Ok(code);
        }
        if known.len() >= self.room {
            return Ok(OTHER);
        }
        drop(known);
        let mut known = match self.known.try_write() {
            Ok(known) => known,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => return Err(Busy),
        };
        if let Some(code) = position(&known, name) {
            return Ok(code);
        }
        if known.len() >= self.room {
            return Ok(OTHER);
        }
        known.push(name.to_owned());
        Ok((known.len() - 1) as Code)
    }

    /// The name of a number.
    pub(super) fn name(&self, code: Code) -> String {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        known.get(usize::from(code)).cloned().unwrap_or_else(|| "other".to_owned())
    }
}

fn position(known: &[String], name: &str) -> Option<Code> {
    known.iter().position(|known| known == name).map(|position| position as Code)
}
