//! Files that are read again when they change: keys and certificates, rotated while the server runs.

use std::fmt;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use arc_swap::{ArcSwap, Guard};
use mlops_core::{Error, Instant, Result};
use sha2::{Digest, Sha256};

/// The largest file that is read. Key sets and certificate chains are a thousand times smaller.
const LARGEST: u64 = 4 << 20;

type Parse<T> = dyn Fn(&[Vec<u8>]) -> Result<T> + Send + Sync;

/// What was parsed from some files, and is parsed again when their content changes.
///
/// There is no task and no thread: whoever asks for the value when a check is due reads the files, the others
/// go on with the value that is there. Content is compared, not only its time, so a change is never missed.
/// When the new content cannot be read or parsed, the old value stays and an error is logged, once.
pub(super) struct Watched<T> {
    files: Vec<PathBuf>,
    parse: Box<Parse<T>>,
    value: ArcSwap<T>,
    /// Of what was read last, good or bad. Not the content itself, which may be a private key.
    digest: Mutex<Option<[u8; 32]>>,
    every: Duration,
    first_asked: OnceLock<Instant>,
    /// In nanoseconds after `first_asked`.
    due: AtomicU64,
}

impl<T> Watched<T> {
    /// Reads the files for the first time. `parse` gets their contents in the same order.
    ///
    /// # Errors
    /// [`Error::Unavailable`] for a file that cannot be read; [`Error::InvalidInput`] for one that is too
    /// large; what `parse` answers.
    pub(super) fn open(
        files: Vec<PathBuf>,
        every: Duration,
        parse: impl Fn(&[Vec<u8>]) -> Result<T> + Send + Sync + 'static,
    ) -> Result<Self> {
        let (contents, digest) = read(&files)?;
        let value = ArcSwap::from_pointee(parse(&contents)?);
        let watched = Self {
            files,
            parse: Box::new(parse),
            value,
            digest: Mutex::new(Some(digest)),
            every: Duration::ZERO,
            first_asked: OnceLock::new(),
            due: AtomicU64::new(0),
        };
        Ok(watched.every(every))
    }

    /// How long a value is used before the files are looked at again.
    pub(super) fn every(mut self, every: Duration) -> Self {
        self.every = every;
        self.due = AtomicU64::new(nanoseconds(every));
        self
    }

    /// The value, after a look at the files where one is due at `now`.
    pub(super) fn current(&self, now: Instant) -> Guard<Arc<T>> {
        let first_asked = *self.first_asked.get_or_init(|| now);
        let elapsed = nanoseconds(now.saturating_duration_since(first_asked));
        let due = self.due.load(Ordering::Relaxed);
        if elapsed >= due {
            let next = elapsed.saturating_add(nanoseconds(self.every));
            if self.due.compare_exchange(due, next, Ordering::Relaxed, Ordering::Relaxed).is_ok() {
                self.look();
            }
        }
        self.value.load()
    }

    fn look(&self) {
        let mut digest = self.digest.lock().unwrap_or_else(PoisonError::into_inner);
        match read(&self.files) {
            Ok((_, new)) if *digest == Some(new) => {}
            Ok((contents, new)) => {
                *digest = Some(new);
                match (self.parse)(&contents) {
                    Ok(value) => {
                        self.value.store(Arc::new(value));
                        tracing::info!(files = ?self.files, "files have changed and were read again");
                    }
                    Err(error) => self.keep(&error),
                }
            }
            Err(error) if digest.take().is_some() => self.keep(&error),
            Err(_) => {}
        }
    }

    fn keep(&self, error: &Error) {
        tracing::error!(files = ?self.files, %error, "changed files cannot be used; the old content stays");
    }
}

impl<T> fmt::Debug for Watched<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watched")
            .field("files", &self.files)
            .field("every", &self.every)
            .finish_non_exhaustive()
    }
}

fn read(files: &[PathBuf]) -> Result<(Vec<Vec<u8>>, [u8; 32])> {
    let contents = files.iter().map(|file| read_one(file)).collect::<Result<Vec<_>>>()?;
    let mut digest = Sha256::new();
    for content in &contents {
        digest.update((content.len() as u64).to_le_bytes());
        digest.update(content);
    }
    Ok((contents, digest.finalize().into()))
}

fn read_one(file: &Path) -> Result<Vec<u8>> {
    let mut content = Vec::new();
    let length = File::open(file)
        .and_then(|opened| opened.take(LARGEST + 1).read_to_end(&mut content))
        .map_err(|error| Error::unavailable(format!("cannot read {}", file.display())).with_source(error))?;
    if length as u64 > LARGEST {
        let what = format!("{} is larger than {} MiB", file.display(), LARGEST >> 20);
        return Err(Error::invalid_input(what));
    }
    Ok(content)
}

fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use mlops_core::{Clock, ManualClock};

    use super::*;

    const EVERY: Duration = Duration::from_secs(1);

    fn number(file: &Path) -> Result<Watched<u32>> {
        Watched::open(vec![file.to_owned()], EVERY, |contents| {
            let text = contents.first().and_then(|content| std::str::from_utf8(content).ok());
            let number = text.and_then(|text| text.trim().parse().ok());
            number.ok_or_else(|| Error::invalid_input("not a number"))
        })
    }

    #[test]
    fn a_change_is_seen_at_the_next_look_and_not_before() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("number");
        fs::write(&file, "1").unwrap();
        let clock = ManualClock::default();
        let watched = number(&file).unwrap();
        assert_eq!(**watched.current(clock.instant()), 1);
        fs::write(&file, "2").unwrap(); // same length, same tick of the file system's clock
        assert_eq!(**watched.current(clock.instant()), 1);
        clock.advance(EVERY);
        assert_eq!(**watched.current(clock.instant()), 2);
    }

    #[test]
    fn broken_and_missing_files_keep_the_old_value_until_they_are_mended() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("number");
        fs::write(&file, "1").unwrap();
        let clock = ManualClock::default();
        let watched = number(&file).unwrap();
        let after = |change: &dyn Fn()| {
            watched.current(clock.instant());
            change();
            clock.advance(EVERY);
            **watched.current(clock.instant())
        };
        assert_eq!(after(&|| fs::write(&file, "one").unwrap()), 1);
        assert_eq!(after(&|| fs::remove_file(&file).unwrap()), 1);
        assert_eq!(after(&|| fs::create_dir(&file).unwrap()), 1);
        assert_eq!(after(&|| fs::remove_dir(&file).unwrap()), 1);
        assert_eq!(after(&|| fs::write(&file, vec![b'7'; LARGEST as usize + 1]).unwrap()), 1);
        assert_eq!(after(&|| fs::write(&file, "3").unwrap()), 3);
    }

    #[test]
    fn what_is_broken_from_the_start_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("number");
        assert!(matches!(number(&file), Err(Error::Unavailable { .. })));
        fs::write(&file, "one").unwrap();
        assert!(matches!(number(&file), Err(Error::InvalidInput(_))));
    }
}
