//! How many may be inside.

use std::sync::Arc;

use crate::sync::atomic::{AtomicUsize, Ordering};

/// A number of places. Who finds none goes away at once.
#[derive(Debug)]
pub(super) struct Room {
    taken: AtomicUsize,
    places: usize,
}

/// One place of a [`Room`], given back when dropped.
#[derive(Debug)]
pub(super) struct Place(Arc<Room>);

impl Room {
    pub(super) fn new(places: usize) -> Arc<Self> {
        Arc::new(Self { taken: AtomicUsize::new(0), places })
    }

    pub(super) fn enter(self: &Arc<Self>) -> Option<Place> {
        // What is done in a place becomes known through what is passed into it, not through the count.
        let one_more = |taken: usize| (taken < self.places).then_some(taken + 1);
        self.taken.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more).ok()?;
        Some(Place(Arc::clone(self)))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.taken.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_free_again_when_it_is_given_back() {
        let room = Room::new(2);
        let (one, other) = (room.enter(), room.enter());
        assert!(one.is_some() && other.is_some() && room.enter().is_none());
        drop(one);
        assert!(room.enter().is_some());
        assert!(Room::new(0).enter().is_none());
    }
}

#[cfg(all(test, loom))]
mod loom_tests {
    use loom::thread;

    use super::*;

    /// In every order of events no more are inside than there are places, none is turned away while there is
    /// one, and all are free in the end.
    #[test]
    fn loom_no_more_enter_than_there_are_places() {
        loom::model(|| {
            let (room, inside) = (Room::new(1), Arc::new(AtomicUsize::new(0)));
            let visitors: Vec<_> = (0..2)
                .map(|_| {
                    let (room, inside) = (Arc::clone(&room), Arc::clone(&inside));
                    thread::spawn(move || {
                        let place = room.enter();
                        if place.is_some() {
                            assert_eq!(inside.fetch_add(1, Ordering::SeqCst), 0);
                            inside.fetch_sub(1, Ordering::SeqCst);
                        }
                        place.is_some()
                    })
                })
                .collect();
            let entered =
                visitors.into_iter().map(|visitor| visitor.join().unwrap()).filter(|entered| *entered);
            assert!(entered.count() >= 1);
            let only = room.enter();
            assert!(only.is_some() && room.enter().is_none());
        });
    }

    #[test]
    fn loom_nobody_is_turned_away_while_there_is_a_place() {
        loom::model(|| {
            let room = Room::new(2);
            let other = Arc::clone(&room);
            let visitor = thread::spawn(move || (0..2).all(|_| other.enter().is_some()));
            assert!((0..2).all(|_| room.enter().is_some()));
            assert!(visitor.join().unwrap());
        });
    }
}
