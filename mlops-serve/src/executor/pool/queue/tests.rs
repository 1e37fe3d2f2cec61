use std::time::Duration;

use mlops_core::ManualClock;

use super::*;

/// A test's request: a number, and what is asked of it.
#[derive(Debug)]
struct Item {
    number: i32,
    priority: i32,
    rows: usize,
    group: usize,
    queued: Instant,
    deadline: Option<Instant>,
    left: bool,
    expired: Arc<Mutex<Vec<i32>>>,
}

impl Waiting for Item {
    fn priority(&self) -> i32 {
        self.priority
    }

    fn queued(&self) -> Instant {
        self.queued
    }

    fn deadline(&self) -> Option<Instant> {
        self.deadline
    }

    fn is_abandoned(&self) -> bool {
        self.left
    }

    fn rows(&self) -> usize {
        self.rows
    }

    fn bytes(&self) -> usize {
        10 * self.rows
    }

    fn joins(&self, other: &Self) -> bool {
        self.group == other.group
    }

    fn expire(self, _: Instant) {
        lock(&self.expired).push(self.number);
    }
}

struct Fixture {
    queue: Queue<Item>,
    clock: ManualClock,
    expired: Arc<Mutex<Vec<i32>>>,
}

impl Fixture {
    fn new(workers: usize, room: usize, limits: Limits) -> Self {
        let clock = ManualClock::default();
        let queue = Queue::new(Room::fixed(room), limits, Arc::new(clock.clone()));
        (0..workers).for_each(|_| queue.add_worker());
        Self { queue, clock, expired: Arc::default() }
    }

    fn batching(rows: usize) -> Self {
        Self::new(1, 100, Limits { rows, ..Limits::one_by_one() })
    }

    fn item(&self, number: i32) -> Item {
        let (queued, expired) = (self.clock.instant(), Arc::clone(&self.expired));
        Item { number, priority: 0, rows: 1, group: 0, queued, deadline: None, left: false, expired }
    }

    fn push(&self, number: i32) -> Result<(), Refusal> {
        self.queue.push(self.item(number))
    }

    fn take(&self) -> Option<Vec<i32>> {
        Some(self.queue.take()?.iter().map(|item| item.number).collect())
    }
}

#[test]
fn it_holds_what_free_workers_take_and_its_room_more() {
    let at = Fixture::new(1, 1, Limits::one_by_one());
    let full = Err(Refusal::Full { workers: 1, room: 1 });
    assert_eq!((at.push(1), at.push(2), at.push(3)), (Ok(()), Ok(()), full));
    assert_eq!(at.take(), Some(vec![1]));
    assert_eq!(at.push(3), full, "the worker is busy");
    at.queue.done();
    assert_eq!(at.push(3), Ok(()));
    assert_eq!((at.take(), at.take()), (Some(vec![2]), Some(vec![3])));
}

#[test]
fn what_is_unwanted_or_late_makes_room() {
    let at = Fixture::new(1, 2, Limits::one_by_one());
    let left = Item { left: true, ..at.item(2) };
    let late = Item { deadline: Some(at.clock.instant() + Duration::from_secs(1)), ..at.item(3) };
    for item in [at.item(1), left, late] {
        assert_eq!(at.queue.push(item), Ok(()));
    }
    assert_eq!((at.push(4), at.push(5)), (Ok(()), Err(Refusal::Full { workers: 1, room: 2 })));
    at.clock.advance(Duration::from_secs(1));
    assert_eq!(at.push(5), Ok(()));
    assert_eq!(*lock(&at.expired), [2, 3]);
    assert_eq!((at.take(), at.take(), at.take()), (Some(vec![1]), Some(vec![4]), Some(vec![5])));
}

#[test]
fn a_closed_queue_is_emptied_first_and_then_settled() {
    let at = Fixture::new(1, 1, Limits::one_by_one());
    let mut settled = at.queue.settled();
    assert_eq!(at.push(1), Ok(()));
    at.queue.close();
    assert_eq!(at.push(2), Err(Refusal::Closed));
    assert_eq!(at.take(), Some(vec![1]));
    assert_eq!(settled.try_recv(), Ok(None), "a worker is busy");
    at.queue.done();
    assert_eq!(settled.try_recv(), Ok(Some(())));
    assert_eq!(at.take(), None);
    assert_eq!(at.queue.settled().try_recv(), Ok(Some(())));
}

#[test]
fn the_more_urgent_goes_first_and_equals_in_order() {
    let at = Fixture::batching(1);
    for (number, priority) in [(1, 0), (2, 5), (3, -1), (4, 5), (5, 0)] {
        at.queue.push(Item { priority, ..at.item(number) }).unwrap();
    }
    let order = std::array::from_fn(|_| at.take().unwrap()[0]);
    assert_eq!(order, [2, 4, 1, 5, 3]);
}

#[test]
fn a_batch_holds_what_can_join_the_first_and_leaves_the_others_in_order() {
    let at = Fixture::batching(3);
    for (number, group) in [(1, 0), (2, 1), (3, 0), (4, 1), (5, 0), (6, 0)] {
        at.queue.push(Item { group, ..at.item(number) }).unwrap();
    }
    assert_eq!(at.take(), Some(vec![1, 3, 5]));
    assert_eq!(at.take(), Some(vec![2, 4]));
    assert_eq!(at.take(), Some(vec![6]));
}

#[test]
fn rows_and_bytes_are_limited_but_a_large_request_goes_alone() {
    let at = Fixture::batching(4);
    for (number, rows) in [(1, 3), (2, 2), (3, 1), (4, 9), (5, 1)] {
        at.queue.push(Item { rows, ..at.item(number) }).unwrap();
    }
    assert_eq!(at.take(), Some(vec![1, 3]), "2 does not fit, 3 does");
    assert_eq!((at.take(), at.take()), (Some(vec![2, 5]), Some(vec![4])));

    let at = Fixture::new(1, 100, Limits { rows: 100, bytes: 25, ..Limits::one_by_one() });
    (1..=3).for_each(|number| at.push(number).unwrap());
    assert_eq!((at.take(), at.take()), (Some(vec![1, 2]), Some(vec![3])));
}

#[test]
fn the_largest_preferred_size_that_can_be_filled_is_taken() {
    let at = Fixture::new(1, 100, Limits { rows: 16, preferred: vec![4, 8], ..Limits::one_by_one() });
    (0..15).for_each(|number| at.push(number).unwrap());
    let sizes = [at.take(), at.take(), at.take()].map(|batch| batch.unwrap().len());
    assert_eq!(sizes, [8, 4, 3]);
}

#[test]
fn who_left_is_not_in_the_batch() {
    let at = Fixture::batching(8);
    for (number, left) in [(1, true), (2, false), (3, true), (4, false)] {
        at.queue.push(Item { left, ..at.item(number) }).unwrap();
    }
    assert_eq!(at.take(), Some(vec![2, 4]));
    assert_eq!(at.queue.len(), 0);
}

#[test]
fn everything_late_is_answered_when_a_worker_is_free() {
    let at = Fixture::batching(1);
    let soon = at.clock.instant() + Duration::from_millis(5);
    at.push(1).unwrap();
    for number in 2..=3 {
        at.queue.push(Item { deadline: Some(soon), ..at.item(number) }).unwrap();
    }
    at.clock.advance(Duration::from_millis(5));
    assert_eq!(at.take(), Some(vec![1]));
    assert_eq!(*lock(&at.expired), [2, 3]);
}

#[test]
fn a_delay_holds_a_batch_that_is_not_full_but_never_a_lone_request() {
    let delay = Duration::from_millis(10);
    let limits = Limits { rows: 3, delay, ..Limits::one_by_one() };
    let at = Fixture::new(1, 100, limits.clone());
    let hold = |numbers: &[i32]| {
        limits.hold(&numbers.iter().map(|number| at.item(*number)).collect(), at.clock.instant())
    };
    assert_eq!((hold(&[]), hold(&[1]), hold(&[1, 2, 3])), (None, None, None));
    assert_eq!(hold(&[1, 2]), Some(delay));
    let waiting: VecDeque<Item> = [at.item(1), at.item(2)].into();
    let later = |time| limits.hold(&waiting, at.clock.instant() + time);
    assert_eq!(later(delay / 2), Some(delay / 2));
    assert_eq!(later(delay), None);
    let alone = [at.item(1), Item { group: 1, ..at.item(2) }].into();
    assert_eq!(limits.hold(&alone, at.clock.instant()), None);
}

#[test]
fn without_workers_nothing_is_taken_in_and_what_waits_comes_back() {
    let at = Fixture::new(1, 100, Limits::one_by_one());
    (1..=3).for_each(|number| at.push(number).unwrap());
    assert_eq!(at.take(), Some(vec![1]));
    let left: Vec<i32> = at.queue.lose_worker(false).iter().map(|item| item.number).collect();
    assert_eq!(left, [2, 3]);
    assert_eq!(at.push(4), Err(Refusal::NoWorkers));
    at.queue.add_worker();
    assert_eq!(at.push(4), Ok(()));
}
