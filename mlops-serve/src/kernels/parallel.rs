//! A small worker pool for data-parallel kernels.
//!
//! The caller of a parallel operation always works itself. It takes along only those workers that no other caller
//! holds at that moment, so two requests served at the same time share the pool without ever waiting for each other.
//!
//! To wake a sleeping thread takes as long as many an operation of a model. So workers stay awake for a moment after
//! an operation, in which the next one mostly comes, and callers await them without going to sleep.

use std::cell::Cell;
use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How long a worker stays awake without work, about as long as it takes to wake it a few times.
const AWAKE: Duration = Duration::from_micros(200);

/// How long a caller awaits its workers before it goes to sleep.
const PATIENCE: Duration = Duration::from_micros(200);

/// How many threads a kernel may use: the calling thread and a pool of workers of its own.
#[derive(Clone, Default)]
pub(crate) struct Threads {
    pool: Option<Arc<Pool>>,
}

struct Pool {
    workers: rayon::ThreadPool,
    size: usize,
    /// Workers no caller holds.
    free: AtomicUsize,
}

impl fmt::Debug for Threads {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Threads").field("count", &self.count()).finish()
    }
}

/// Workers held by one caller, given back when dropped (also while a panic unwinds).
struct Held<'a> {
    pool: &'a Pool,
    count: usize,
}

impl<'a> Held<'a> {
    fn take(pool: &'a Pool, wanted: usize) -> Self {
        let mut count = 0;
        // The closure always returns `Some`, so the update cannot fail.
        let _ = pool.free.fetch_update(Ordering::AcqRel, Ordering::Acquire, |free| {
            count = free.min(wanted);
            Some(free - count)
        });
        Self { pool, count }
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.pool.free.fetch_add(self.count, Ordering::AcqRel);
    }
}

impl Threads {
    /// The calling thread alone.
    pub(crate) fn single() -> Self {
        Self { pool: None }
    }

    /// `count` threads: the calling thread and `count - 1` workers (0 and 1 both mean the calling thread alone).
    ///
    /// # Errors
    /// The words of the operating system when it refuses a thread.
    pub(crate) fn new(count: usize) -> Result<Self, String> {
        if count <= 1 {
            return Ok(Self::single());
        }
        let size = count - 1;
        let workers = rayon::ThreadPoolBuilder::new()
            .num_threads(size)
            .thread_name(|index| format!("mlops-kernel-{index}"))
            .build()
            .map_err(|error| error.to_string())?;
        Ok(Self { pool: Some(Arc::new(Pool { workers, size, free: AtomicUsize::new(size) })) })
    }

    /// The number of threads, the caller's included.
    pub(crate) fn count(&self) -> usize {
        self.pool.as_ref().map_or(1, |pool| pool.size + 1)
    }

    /// Calls `task` once with every number below `tasks`, on the caller and the free workers.
    ///
    /// A panic of a task reaches the caller after the other threads have finished theirs.
    #[cfg(test)]
    pub(crate) fn run(&self, tasks: usize, task: &(dyn Fn(usize) + Sync)) {
        let next = AtomicUsize::new(0);
        self.run_workers(tasks, &|| {
            loop {
                let index = next.fetch_add(1, Ordering::Relaxed);
                if index >= tasks {
                    return;
                }
                task(index);
            }
        });
    }

    /// Calls `task` once with every item and its index.
    pub(crate) fn for_each_mut<T: Send>(&self, items: &mut [T], task: impl Fn(usize, &mut T) + Sync) {
        self.for_each(items.len(), items.iter_mut(), task);
    }

    /// Calls `task` once with every chunk of `chunk_len` elements (the last may be shorter) and its index.
    pub(crate) fn for_each_chunk_mut<T: Send>(
        &self,
        data: &mut [T],
        chunk_len: usize,
        task: impl Fn(usize, &mut [T]) + Sync,
    ) {
        let chunks = data.chunks_mut(chunk_len.max(1));
        self.for_each(chunks.len(), chunks, task);
    }

    fn for_each<I: Iterator + Send>(&self, count: usize, items: I, task: impl Fn(usize, I::Item) + Sync) {
        if count <= 1 || self.pool.is_none() {
            items.enumerate().for_each(|(index, item)| task(index, item));
            return;
        }
        let items = Mutex::new(items.enumerate());
        self.run_workers(count, &|| {
            loop {
                // A panic in `task` happens outside of the lock, so a poisoned lock cannot hold broken state.
                let item = items.lock().unwrap_or_else(PoisonError::into_inner).next();
                let Some((index, item)) = item else { return };
                task(index, item);
            }
        });
    }

    /// Runs `work` on the caller and on up to `tasks - 1` free workers, all at once.
    fn run_workers(&self, tasks: usize, work: &(dyn Fn() + Sync)) {
        let Some(pool) = self.pool.as_deref().filter(|_| tasks > 1) else {
            work();
            return;
        };
        let held = Held::take(pool, tasks - 1);
        if held.count == 0 {
            work();
            return;
        }
        let busy = AtomicUsize::new(held.count);
        pool.workers.in_place_scope(|scope| {
            for _ in 0..held.count {
                scope.spawn(|_| {
                    let done = Done(&busy);
                    work();
                    drop(done);
                    if !STAYING_AWAKE.get() {
                        rayon::spawn(stay_awake);
                    }
                });
            }
            work();
            let waiting = Instant::now();
            while busy.load(Ordering::Acquire) > 0 && waiting.elapsed() < PATIENCE {
                // The worker may have been woken on this very core.
                std::thread::yield_now();
            }
        });
    }
}

/// Scratch memory in pieces: one for each thread, so that one is always free.
pub(crate) struct Pieces<'a>(Mutex<Vec<&'a mut [f32]>>);

impl<'a> Pieces<'a> {
    /// Pieces of that length; `scratch` holds as many as there are threads.
    pub(crate) fn new(scratch: &'a mut [f32], len: usize) -> Self {
        Self(Mutex::new(scratch.chunks_exact_mut(len.max(1)).collect()))
    }

    /// Lends a piece, which holds what its last borrower left.
    pub(crate) fn lend(&self, work: impl FnOnce(&mut [f32])) {
        let piece = self.0.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let Some(piece) = piece else { return };
        work(&mut *piece);
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(piece);
    }
}

/// A worker that has done its part when this is dropped (also while a panic unwinds).
struct Done<'a>(&'a AtomicUsize);

impl Drop for Done<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Release);
    }
}

thread_local! {
    /// Whether [`stay_awake`] runs on this thread, maybe below the work it has found.
    static STAYING_AWAKE: Cell<bool> = const { Cell::new(false) };
}

/// Looks for work of the pool until there has been none for a while.
fn stay_awake() {
    STAYING_AWAKE.set(true);
    let mut last = Instant::now();
    while last.elapsed() < AWAKE {
        if rayon::yield_now() == Some(rayon::Yield::Executed) {
            last = Instant::now();
        } else {
            std::thread::yield_now();
        }
    }
    STAYING_AWAKE.set(false);
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::panic::{AssertUnwindSafe, catch_unwind};

    #[test]
    fn every_task_runs_exactly_once() {
        for count in [0, 1, 2, 3, 5] {
            let threads = Threads::new(count).unwrap();
            assert_eq!(threads.count(), count.max(1));
            for tasks in [0, 1, 2, 7, 100] {
                let seen: Vec<AtomicUsize> = (0..tasks).map(|_| AtomicUsize::new(0)).collect();
                threads.run(tasks, &|index| {
                    seen[index].fetch_add(1, Ordering::Relaxed);
                });
                assert!(seen.iter().all(|count| count.load(Ordering::Relaxed) == 1));
            }
        }
    }

    #[test]
    fn chunks_cover_the_data() {
        let threads = Threads::new(3).unwrap();
        for (len, chunk) in [(0, 4), (1, 4), (10, 3), (12, 3), (5, 0)] {
            let mut data = vec![0usize; len];
            threads.for_each_chunk_mut(&mut data, chunk, |index, values| {
                for value in values {
                    *value += index + 1;
                }
            });
            let expected: Vec<usize> = (0..len).map(|position| position / chunk.max(1) + 1).collect();
            assert_eq!(data, expected);
        }
    }

    #[test]
    fn a_panic_reaches_the_caller_and_the_pool_stays_usable() {
        let threads = Threads::new(3).unwrap();
        for _ in 0..3 {
            let result = catch_unwind(AssertUnwindSafe(|| {
                threads.run(50, &|index| assert!(index != 33, "task 33"));
            }));
            assert!(result.is_err());
        }
        let mut data = vec![1u8; 1000];
        threads.for_each_chunk_mut(&mut data, 7, |_, values| values.fill(2));
        assert!(data.iter().all(|&value| value == 2));
        assert_eq!(threads.pool.as_ref().unwrap().free.load(Ordering::Relaxed), 2);
    }

    #[test]
    fn concurrent_and_nested_callers_finish() {
        let threads = Threads::new(3).unwrap();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..200 {
                        let sum = AtomicUsize::new(0);
                        threads.run(10, &|outer| {
                            threads.run(3, &|inner| {
                                sum.fetch_add(outer * 3 + inner, Ordering::Relaxed);
                            });
                        });
                        assert_eq!(sum.load(Ordering::Relaxed), 29 * 30 / 2);
                    }
                });
            }
        });
    }
}
