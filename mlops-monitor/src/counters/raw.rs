//! The values of a small window themselves.

use std::ops::Range;
use std::sync::OnceLock;

use crate::sync::atomic::{AtomicU64, AtomicUsize, Ordering, fence};

/// A cell that holds no value: a NaN with a payload that no computation makes.
const ABSENT: u64 = 0x7ff8_6162_7365_6e74;
const CLOSED: u64 = 1 << 63;
const WRITER: u64 = 1 << 32;
const ROWS: u64 = WRITER - 1;
/// How often a reader looks for the last writers of a window before it does without the values.
const LOOKS: usize = if cfg!(loom) { 1 } else { 64 };

/// The rows of a window while they are at most `capacity`; of a larger window none.
///
/// Writers claim rows by one atomic addition and write them without waiting. There are two buffers, so that
/// the next window is written while the last one is read.
#[derive(Debug)]
pub(crate) struct RawRows {
    width: usize,
    capacity: usize,
    buffers: [Buffer; 2],
    /// Which of them is written to.
    current: AtomicUsize,
}

#[derive(Debug)]
struct Buffer {
    /// Whether it is closed (one bit), how many write (31 bits), how many rows were claimed (32 bits).
    state: AtomicU64,
    /// Row by row, as bits.
    values: OnceLock<Box<[AtomicU64]>>,
}

/// Rows to write to.
pub(crate) struct Claim<'a> {
    state: &'a AtomicU64,
    rows: &'a [AtomicU64],
    width: usize,
}

impl RawRows {
    /// Room for so many rows of so many values.
    pub(crate) fn new(width: usize, capacity: usize) -> Self {
        let buffer = |state| Buffer { state: AtomicU64::new(state), values: OnceLock::new() };
        let capacity = capacity.min(ROWS as usize / 2);
        Self { width, capacity, buffers: [buffer(0), buffer(CLOSED)], current: AtomicUsize::new(0) }
    }

    /// The next rows of this window, if there is room for them; all cells are absent.
    pub(crate) fn claim(&self, rows: usize) -> Option<Claim<'_>> {
        let buffer = self.buffers.get(self.current.load(Ordering::Acquire))?;
        let state = buffer.state.load(Ordering::Relaxed);
        if state & CLOSED != 0 || state & ROWS > self.capacity as u64 {
            return None;
        }
        let claimed = rows.min(self.capacity + 1);
        let state = buffer.state.fetch_add(WRITER + claimed as u64, Ordering::Acquire);
        let first = (state & ROWS) as usize;
        if state & CLOSED != 0 || first + rows > self.capacity {
            buffer.state.fetch_sub(WRITER, Ordering::Release);
            return None;
        }
        let values = buffer.values(self.width * self.capacity);
        let rows = values.get(first * self.width..(first + rows) * self.width).unwrap_or_default();
        rows.iter().for_each(|value| value.store(ABSENT, Ordering::Relaxed));
        Some(Claim { state: &buffer.state, rows, width: self.width })
    }

    /// The rows of this window so far, by feature. `None` when there are more than there is room for, or some
    /// are being written at this moment. No window may end meanwhile.
    pub(crate) fn columns(&self) -> Option<Vec<Vec<f64>>> {
        let buffer = self.buffers.get(self.current.load(Ordering::Relaxed))?;
        if buffer.state.load(Ordering::Relaxed) & CLOSED != 0 { None } else { self.read(buffer) }
    }

    /// Ends the window, and returns its [`columns`](Self::columns). One thread at a time.
    pub(crate) fn rotate(&self) -> Option<Vec<Vec<f64>>> {
        let current = self.current.load(Ordering::Relaxed);
        let next = 1 - current.min(1);
        let (old, new) = (self.buffers.get(current)?, self.buffers.get(next)?);
        let state = new.state.load(Ordering::Acquire);
        if state & !(CLOSED | ROWS) == 0 {
            // A claim that comes too late may change it; then the next window has no values.
            _ = new.state.compare_exchange(state, 0, Ordering::Release, Ordering::Relaxed);
        }
        self.current.store(next, Ordering::Release);
        if old.state.fetch_or(CLOSED, Ordering::AcqRel) & CLOSED != 0 { None } else { self.read(old) }
    }

    fn read(&self, buffer: &Buffer) -> Option<Vec<Vec<f64>>> {
        let mut looks = (0..LOOKS).map(|_| buffer.state.load(Ordering::Acquire));
        let state = looks.find(|state| state & !(CLOSED | ROWS) == 0)?;
        let rows = (state & ROWS) as usize;
        if rows > self.capacity {
            return None;
        }
        let mut columns = vec![Vec::with_capacity(rows); self.width];
        if rows > 0 {
            fence(Ordering::Acquire);
            for row in buffer.values.get()?.chunks_exact(self.width.max(1)).take(rows) {
                for (column, value) in columns.iter_mut().zip(row) {
                    let bits = value.load(Ordering::Relaxed);
                    if bits != ABSENT {
                        column.push(f64::from_bits(bits));
                    }
                }
            }
        }
        Some(columns)
    }
}

impl Buffer {
    fn values(&self, values: usize) -> &[AtomicU64] {
        self.values.get_or_init(|| (0..values).map(|_| AtomicU64::new(ABSENT)).collect())
    }
}

impl Claim<'_> {
    /// Writes neighbouring columns, from the first row on.
    pub(crate) fn write(&self, columns: Range<usize>, values: impl Iterator<Item = f64>) {
        let cells = self.rows.chunks_exact(self.width.max(1));
        let mut cells = cells.flat_map(|row| row.get(columns.clone()).unwrap_or_default());
        values.zip(&mut cells).for_each(|(value, cell)| cell.store(value.to_bits(), Ordering::Relaxed));
    }
}

impl Drop for Claim<'_> {
    fn drop(&mut self) {
        self.state.fetch_sub(WRITER, Ordering::Release);
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn rows_are_kept_while_there_is_room() {
        let raw = RawRows::new(2, 3);
        assert_eq!(raw.columns(), Some(vec![vec![], vec![]]));
        raw.claim(2).unwrap().write(0..2, [1.0, 10.0, 2.0, 20.0].into_iter());
        raw.claim(1).unwrap().write(1..2, [30.0].into_iter());
        assert_eq!(raw.columns(), Some(vec![vec![1.0, 2.0], vec![10.0, 20.0, 30.0]]));
        assert!(raw.claim(1).is_none());
        assert_eq!(raw.columns(), None);

        assert_eq!(raw.rotate(), None);
        for window in 0..5 {
            raw.claim(1).unwrap().write(0..2, [f64::from(window), f64::INFINITY].into_iter());
            assert_eq!(raw.rotate(), Some(vec![vec![f64::from(window)], vec![f64::INFINITY]]));
        }
        assert!(raw.claim(usize::MAX).is_none());
        assert_eq!(raw.rotate(), None);
        assert_eq!(raw.rotate(), Some(vec![vec![], vec![]]));
    }

    #[test]
    fn what_is_being_written_is_not_read() {
        let raw = RawRows::new(1, 3);
        let claim = raw.claim(1).unwrap();
        assert_eq!((raw.columns(), raw.rotate()), (None, None));
        // The buffer of the slow writer is not reused before it has done.
        assert_eq!(raw.rotate(), Some(vec![vec![]]));
        assert!(raw.claim(1).is_none());
        claim.write(0..1, [7.0].into_iter());
        drop(claim);
        assert_eq!((raw.columns(), raw.rotate()), (None, None));
        raw.claim(1).unwrap().write(0..1, [8.0].into_iter());
        assert_eq!(raw.rotate(), Some(vec![vec![8.0]]));
    }
}

#[cfg(all(test, loom))]
mod loom_tests {
    use loom::sync::Arc;
    use loom::thread;

    use super::*;

    /// A row is whole in one window, or its window does without values.
    #[test]
    fn loom_rows_are_whole_and_in_one_window() {
        let mut model = loom::model::Builder::new();
        model.preemption_bound = Some(3);
        model.check(|| {
            let raw = Arc::new(RawRows::new(2, 2));
            // Loom does not see that `OnceLock` hands over what it holds.
            raw.buffers.iter().for_each(|buffer| _ = buffer.values(4));
            let writer = {
                let raw = Arc::clone(&raw);
                thread::spawn(move || {
                    raw.claim(1).is_some_and(|claim| {
                        claim.write(0..2, [1.0, 2.0].into_iter());
                        true
                    })
                })
            };
            let windows = [raw.rotate(), raw.rotate()];
            let written = writer.join().unwrap();
            let last = raw.columns();
            let seen: Vec<_> = windows.into_iter().chain([last]).collect();
            let rows: usize = seen.iter().flatten().map(|columns| columns[0].len()).sum();
            for columns in seen.iter().flatten() {
                assert!(
                    columns[0].iter().all(|value| *value == 1.0)
                        && columns[1].iter().all(|value| *value == 2.0)
                );
                assert_eq!(columns[0].len(), columns[1].len());
            }
            assert!(rows <= usize::from(written));
            assert!(rows == usize::from(written) || seen.iter().any(Option::is_none));
        });
    }
}
