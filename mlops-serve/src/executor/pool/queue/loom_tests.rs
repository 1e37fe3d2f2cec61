//! Every order in which callers, workers and a close can meet at the queue.

use std::time::Duration;

use loom::sync::Arc;
use loom::sync::atomic::{AtomicUsize, Ordering};
use loom::thread;
use mlops_core::{Instant, SystemClock};

use super::*;

/// An item that can join any other.
#[derive(Debug)]
struct Item(Instant);

impl Waiting for Item {
    fn priority(&self) -> i32 {
        0
    }

    fn queued(&self) -> Instant {
        self.0
    }

    fn deadline(&self) -> Option<Instant> {
        None
    }

    fn is_abandoned(&self) -> bool {
        false
    }

    fn rows(&self) -> usize {
        1
    }

    fn bytes(&self) -> usize {
        0
    }

    fn joins(&self, _: &Self) -> bool {
        true
    }

    fn expire(self, _: Instant) {}
}

fn queue(workers: usize, rows: usize, room: usize) -> Arc<Queue<Item>> {
    let limits = Limits { rows, bytes: usize::MAX, delay: Duration::ZERO, preferred: Vec::new() };
    let queue = Queue::new(Room::fixed(room), limits, std::sync::Arc::new(SystemClock));
    (0..workers).for_each(|_| queue.add_worker());
    Arc::new(queue)
}

fn worker(queue: &Arc<Queue<Item>>, taken: &Arc<AtomicUsize>) -> thread::JoinHandle<()> {
    let (queue, taken) = (Arc::clone(queue), Arc::clone(taken));
    thread::spawn(move || {
        while let Some(batch) = queue.take() {
            taken.fetch_add(batch.len(), Ordering::Relaxed);
            queue.done();
        }
    })
}

/// Loom finds a deadlock where a wake-up is lost.
#[test]
fn loom_every_item_is_taken_and_the_worker_ends() {
    loom::model(|| {
        let (queue, taken) = (queue(1, 2, 8), Arc::new(AtomicUsize::new(0)));
        let worker = worker(&queue, &taken);
        let other = Arc::clone(&queue);
        let caller = thread::spawn(move || other.push(Item(Instant::now())).unwrap());
        queue.push(Item(Instant::now())).unwrap();
        caller.join().unwrap();
        queue.close();
        worker.join().unwrap();
        assert_eq!(taken.load(Ordering::Relaxed), 2);
    });
}

#[test]
fn loom_two_workers_share_the_items() {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(3);
    model.check(|| {
        let (queue, taken) = (queue(2, 1, 8), Arc::new(AtomicUsize::new(0)));
        let workers = [worker(&queue, &taken), worker(&queue, &taken)];
        for _ in 0..2 {
            queue.push(Item(Instant::now())).unwrap();
        }
        queue.close();
        for worker in workers {
            worker.join().unwrap();
        }
        assert_eq!(taken.load(Ordering::Relaxed), 2);
    });
}

/// Without a close: an idle worker is woken for an item, whatever it was doing when the item came.
#[test]
fn loom_an_item_does_not_wait_for_a_second() {
    loom::model(|| {
        let queue = queue(1, 1, 8);
        let other = Arc::clone(&queue);
        let worker = thread::spawn(move || {
            for _ in 0..2 {
                assert_eq!(other.take().map(|batch| batch.len()), Some(1));
                other.done();
            }
        });
        queue.push(Item(Instant::now())).unwrap();
        queue.push(Item(Instant::now())).unwrap();
        worker.join().unwrap();
    });
}

#[test]
fn loom_an_item_is_refused_or_computed_before_the_queue_is_settled() {
    loom::model(|| {
        let (queue, taken) = (queue(1, 1, 8), Arc::new(AtomicUsize::new(0)));
        let worker = worker(&queue, &taken);
        let other = Arc::clone(&queue);
        let caller = thread::spawn(move || other.push(Item(Instant::now())).is_ok());
        queue.close();
        worker.join().unwrap();
        let accepted = caller.join().unwrap();
        assert_eq!(queue.settled().try_recv(), Ok(Some(())));
        assert_eq!(taken.load(Ordering::Relaxed), usize::from(accepted));
    });
}

/// Two workers that wait for a batch and then for a core take each item once, and none is left.
#[test]
fn loom_waiting_first_and_taking_later_loses_nothing() {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(3);
    model.check(|| {
        let (queue, taken) = (queue(2, 2, 8), Arc::new(AtomicUsize::new(0)));
        let workers = [0, 1].map(|_| {
            let (queue, taken) = (Arc::clone(&queue), Arc::clone(&taken));
            thread::spawn(move || {
                while queue.wait() {
                    if let Some(batch) = queue.try_take() {
                        taken.fetch_add(batch.len(), Ordering::Relaxed);
                        queue.done();
                    }
                }
            })
        });
        queue.push(Item(Instant::now())).unwrap();
        queue.push(Item(Instant::now())).unwrap();
        queue.close();
        for worker in workers {
            worker.join().unwrap();
        }
        assert_eq!(taken.load(Ordering::Relaxed), 2);
    });
}
