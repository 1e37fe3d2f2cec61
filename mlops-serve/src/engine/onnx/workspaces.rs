//! What calls work with, kept for later calls.

use std::cell::Cell;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use super::plan::Workspace;

/// Shelves that threads share, so that those of different cores rarely meet at one.
const SHELVES: usize = 16;

/// Workspaces that no call uses at the moment. There are never more than calls have been made at once.
///
/// A thread gets back what it used last, whose memory is still in the cache of its core.
#[derive(Debug, Default)]
pub(super) struct Workspaces {
    shelves: [Shelf; SHELVES],
}

/// On a cache line of its own (two on processors that fetch them in pairs).
#[derive(Debug, Default)]
#[repr(align(128))]
struct Shelf(Mutex<Vec<Workspace>>);

impl Workspaces {
    /// A workspace, the one from this thread's shelf if there is one.
    pub(super) fn take(&self) -> Workspace {
        let own = own_shelf();
        let shelves = self.shelves[own..].iter().chain(&self.shelves[..own]);
        shelves.map(Shelf::take).find_map(|workspace| workspace).unwrap_or_default()
    }

    /// Keeps a workspace on this thread's shelf.
    pub(super) fn give_back(&self, workspace: Workspace) {
        let Shelf(shelf) = &self.shelves[own_shelf()];
        shelf.lock().unwrap_or_else(PoisonError::into_inner).push(workspace);
    }
}

impl Shelf {
    fn take(&self) -> Option<Workspace> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).pop()
    }
}

/// The shelf of this thread. Threads are dealt to shelves in turn.
fn own_shelf() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    thread_local! {
        static OWN: Cell<Option<usize>> = const { Cell::new(None) };
    }
    OWN.get().unwrap_or_else(|| {
        let shelf = NEXT.fetch_add(1, Ordering::Relaxed) % SHELVES;
        OWN.set(Some(shelf));
        shelf
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(workspaces: &Workspaces) -> usize {
        workspaces.shelves.iter().map(|Shelf(shelf)| shelf.lock().unwrap().len()).sum()
    }

    #[test]
    fn there_are_never_more_workspaces_than_calls_at_once() {
        let workspaces = Workspaces::default();
        for _ in 0..2 * SHELVES {
            let call = || {
                let workspace = workspaces.take();
                workspaces.give_back(workspace);
            };
            std::thread::scope(|scope| scope.spawn(call).join().unwrap());
        }
        assert_eq!(kept(&workspaces), 1);
        let (first, second) = (workspaces.take(), workspaces.take());
        workspaces.give_back(first);
        workspaces.give_back(second);
        assert_eq!(kept(&workspaces), 2);
    }
}
