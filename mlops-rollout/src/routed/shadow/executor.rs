//! Where shadows run.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::runtime::{Builder, Handle, Runtime};
use tokio::sync::Semaphore;
use tokio::sync::mpsc::error::TryRecvError;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::room::{Place, Room};

/// Work that is done apart.
pub(super) trait Task: Send + 'static {
    fn run(self) -> impl Future<Output = ()> + Send;
}

/// Runs a bounded number of tasks at a time, lets a bounded number wait, and refuses the others at once.
///
/// Handing over a task takes a place, which is an atomic, and a lock-free queue. Nobody has to be woken for it as
/// a rule: while tasks come, the dispatcher looks for them by itself, every [`LOOK`].
pub(super) struct Executor<T> {
    options: Options,
    room: Arc<Room>,
    started: OnceLock<Option<Started<T>>>,
}

/// How many tasks, and where.
#[derive(Debug, Clone)]
pub(super) struct Options {
    /// Tasks that may run at a time.
    pub(super) running: usize,
    /// Tasks that may wait.
    pub(super) waiting: usize,
    /// Threads of an own runtime, where none is given.
    pub(super) threads: usize,
    pub(super) runtime: Option<Handle>,
}

struct Started<T> {
    tasks: UnboundedSender<Placed<T>>,
    own: Option<Runtime>,
}

/// A task and the place that it has. In a box: the queue allocates room for 32 at a time, and whoever hands over the
/// first of them would wait for a big piece of memory.
type Placed<T> = Box<(T, Place)>;

/// How long the dispatcher sleeps when there is nothing to do.
const LOOK: Duration = Duration::from_millis(1);
/// After so many looks in vain, a second, it wants to be woken.
const LOOKS: u32 = 1_000;

impl<T: Task> Executor<T> {
    pub(super) fn new(options: Options) -> Self {
        let places = if options.running == 0 { 0 } else { options.running.saturating_add(options.waiting) };
        Self { options, room: Room::new(places), started: OnceLock::new() }
    }

    pub(super) fn options(&self) -> &Options {
        &self.options
    }

    /// Whether the task is taken. It is made only if there is room.
    pub(super) fn submit(&self, task: impl FnOnce() -> T) -> bool {
        let Some(place) = self.room.enter() else { return false };
        match self.started.get_or_init(|| self.start()) {
            Some(started) => started.tasks.send(Box::new((task(), place))).is_ok(),
            None => false,
        }
    }

    fn start(&self) -> Option<Started<T>> {
        let own = match self.options.runtime {
            Some(_) => None,
            None => match self.own_runtime() {
                Ok(runtime) => Some(runtime),
                Err(error) => {
                    tracing::error!(%error, "no threads for shadows: their requests are dropped");
                    return None;
                }
            },
        };
        let runtime = own.as_ref().map(Runtime::handle).or(self.options.runtime.as_ref())?;
        let (tasks, waiting) = unbounded_channel();
        let running = self.options.running.min(Semaphore::MAX_PERMITS);
        runtime.spawn(dispatch(waiting, Arc::new(Semaphore::new(running))));
        Some(Started { tasks, own })
    }

    fn own_runtime(&self) -> std::io::Result<Runtime> {
        let threads = self.options.threads.max(1);
        Builder::new_multi_thread().worker_threads(threads).thread_name("shadow").enable_all().build()
    }
}

/// Tasks that run are dropped where they wait next: to wait for them could take forever, and may not be done where
/// this is dropped by an asynchronous task.
impl<T> Drop for Started<T> {
    fn drop(&mut self) {
        if let Some(runtime) = self.own.take() {
            runtime.shutdown_background();
        }
    }
}

async fn dispatch<T: Task>(mut tasks: UnboundedReceiver<Placed<T>>, running: Arc<Semaphore>) {
    while let Ok(permit) = Arc::clone(&running).acquire_owned().await {
        let Some(placed) = next(&mut tasks).await else { return };
        let (task, place) = *placed;
        tokio::spawn(async move {
            let _given_back_in_the_end = (permit, place);
            task.run().await;
        });
    }
}

/// `None` when nobody can hand over a task any more.
async fn next<T>(tasks: &mut UnboundedReceiver<T>) -> Option<T> {
    for _ in 0..LOOKS {
        match tasks.try_recv() {
            Ok(task) => return Some(task),
            Err(TryRecvError::Disconnected) => return None,
            Err(TryRecvError::Empty) => tokio::time::sleep(LOOK).await,
        }
    }
    tasks.recv().await
}

#[cfg(all(test, not(loom)))]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    /// Counts how many run at once and in all; the first `hanging` never end.
    #[derive(Debug, Default)]
    struct Watched {
        inside: AtomicUsize,
        most: AtomicUsize,
        done: AtomicUsize,
    }

    struct Visit(Arc<Watched>, Duration);

    impl Task for Visit {
        async fn run(self) {
            let inside = self.0.inside.fetch_add(1, Ordering::SeqCst) + 1;
            self.0.most.fetch_max(inside, Ordering::SeqCst);
            tokio::time::sleep(self.1).await;
            self.0.inside.fetch_sub(1, Ordering::SeqCst);
            self.0.done.fetch_add(1, Ordering::SeqCst);
        }
    }

    fn options(running: usize, waiting: usize) -> Options {
        Options { running, waiting, threads: 2, runtime: None }
    }

    fn wait_until(condition: impl Fn() -> bool) {
        for _ in 0..5_000 {
            if condition() {
                return;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        panic!("it never happened");
    }

    #[test]
    fn under_stress_the_bounds_hold_and_what_is_taken_is_done() {
        let (executor, watched) = (Executor::new(options(3, 5)), Arc::new(Watched::default()));
        let taken: usize = std::thread::scope(|scope| {
            let callers: Vec<_> = (0..4)
                .map(|_| {
                    scope.spawn(|| {
                        let visit = || Visit(Arc::clone(&watched), Duration::from_micros(200));
                        (0..20_000).filter(|_| executor.submit(visit)).count()
                    })
                })
                .collect();
            callers.into_iter().map(|caller| caller.join().unwrap()).sum()
        });
        wait_until(|| watched.done.load(Ordering::SeqCst) == taken);
        assert!((8..80_000).contains(&taken), "{taken}");
        assert_eq!(watched.most.load(Ordering::SeqCst), 3);
    }

    #[test]
    fn what_hangs_takes_no_more_than_its_room() {
        let (executor, watched) = (Executor::new(options(2, 3)), Arc::new(Watched::default()));
        let taken = (0..100).filter(|_| executor.submit(|| Visit(Arc::clone(&watched), Duration::MAX)));
        assert_eq!(taken.count(), 5);
        wait_until(|| watched.inside.load(Ordering::SeqCst) == 2);
        std::thread::sleep(Duration::from_millis(20));
        assert_eq!(watched.most.load(Ordering::SeqCst), 2);
    }

    #[test]
    fn without_room_to_run_nothing_is_taken() {
        let (executor, watched) = (Executor::new(options(0, 10)), Arc::new(Watched::default()));
        assert!(!executor.submit(|| Visit(Arc::clone(&watched), Duration::ZERO)));
        assert!(executor.started.get().is_none());
    }

    #[test]
    fn on_a_runtime_that_is_gone_nothing_is_taken_for_long() {
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let given = Options { runtime: Some(runtime.handle().clone()), ..options(1, 10) };
        let (executor, watched) = (Executor::new(given), Arc::new(Watched::default()));
        let visit = || Visit(Arc::clone(&watched), Duration::ZERO);
        assert!(executor.submit(visit));
        wait_until(|| watched.done.load(Ordering::SeqCst) == 1);
        runtime.shutdown_timeout(Duration::from_secs(1));
        assert!(!executor.submit(visit));
    }

    /// After a pause of more than `LOOKS`, too: then the dispatcher has to be woken.
    #[test]
    fn a_task_after_a_long_pause_is_done() {
        let (executor, watched) = (Executor::new(options(1, 1)), Arc::new(Watched::default()));
        for done in 1..=2 {
            assert!(executor.submit(|| Visit(Arc::clone(&watched), Duration::ZERO)));
            wait_until(|| watched.done.load(Ordering::SeqCst) == done);
            std::thread::sleep(2 * LOOKS * LOOK);
        }
    }
}
