//! The accounts of all keys, in bounded memory.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use governor::nanos::Nanos;
use mlops_core::Result;

use super::account::{Account, Place, Terms};

/// An account for each key, and one for requests without.
#[derive(Debug)]
pub(super) struct Accounts {
    terms: Terms,
    shared: Arc<Account>,
    keyed: Mutex<Keyed>,
    max_keys: usize,
}

#[derive(Debug, Default)]
struct Keyed {
    accounts: HashMap<Arc<str>, Arc<Account>>,
    /// When a look for accounts to forget may find some again.
    next_sweep: Nanos,
}

/// A sweep that finds too little is not repeated sooner: it looks at every account.
const BETWEEN_SWEEPS: Duration = Duration::from_millis(100);

impl Accounts {
    pub(super) fn new(terms: Terms, max_keys: usize) -> Self {
        Self { shared: terms.open(), terms, keyed: Mutex::default(), max_keys }
    }

    /// A place for a request of that key.
    pub(super) fn admit(&self, key: Option<&Arc<str>>) -> Result<Place> {
        let account = key.and_then(|key| self.account(key));
        // A key that found no room has the account of requests without, and a message like theirs.
        let key = account.is_some().then_some(key).flatten();
        self.terms.admit(account.unwrap_or_else(|| Arc::clone(&self.shared)), key.map(|key| &**key))
    }

    fn account(&self, key: &Arc<str>) -> Option<Arc<Account>> {
        let mut keyed = self.keyed.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(account) = keyed.accounts.get(key) {
            return Some(Arc::clone(account));
        }
        if keyed.accounts.len() >= self.max_keys {
            self.sweep(&mut keyed);
        }
        (keyed.accounts.len() < self.max_keys).then(|| {
            let account = self.terms.open();
            keyed.accounts.insert(Arc::clone(key), Arc::clone(&account));
            account
        })
    }

    fn sweep(&self, keyed: &mut Keyed) {
        let now = self.terms.now();
        if now >= keyed.next_sweep {
            keyed.accounts.retain(|_, account| !self.terms.is_unused(account));
            keyed.next_sweep = now + BETWEEN_SWEEPS;
        }
    }
}

#[cfg(test)]
mod tests {
    use mlops_core::{Error, ManualClock};

    use super::super::Limits;
    use super::*;

    fn accounts(limits: Limits, max_keys: usize) -> Accounts {
        Accounts::new(limits.terms().unwrap(), max_keys)
    }

    fn remembered(accounts: &Accounts) -> usize {
        accounts.keyed.lock().unwrap().accounts.len()
    }

    #[test]
    fn keys_that_used_up_nothing_are_forgotten_for_new_ones() {
        let clock = ManualClock::default();
        let accounts = accounts(Limits::new().with_rate(1.0, 1).with_clock(clock.clone()), 100);
        for key in 0..100_000_u32 {
            if key % 50 == 0 {
                clock.advance(Duration::from_secs(1));
            }
            accounts.admit(Some(&key.to_string().into())).unwrap();
            assert!(remembered(&accounts) <= 100);
        }
    }

    #[test]
    fn what_a_key_used_up_is_not_forgotten_by_a_flood_of_others() {
        let clock = ManualClock::default();
        let accounts = accounts(Limits::new().with_rate(1.0, 1).with_clock(clock.clone()), 2);
        let (ann, bob): (Arc<str>, Arc<str>) = ("ann".into(), "bob".into());
        let in_flight = accounts.admit(Some(&ann)).unwrap();
        accounts.admit(Some(&bob)).unwrap();
        // Nobody can be forgotten: strangers share one account.
        accounts.admit(Some(&"cid".into())).unwrap();
        let error = accounts.admit(Some(&"dan".into())).unwrap_err();
        assert!(matches!(error, Error::Overloaded { .. }), "{error:?}");
        assert!(!error.to_string().contains("dan"), "it is not their limit: {error}");
        let error = accounts.admit(Some(&ann)).unwrap_err();
        assert!(error.to_string().contains("of `ann` exceed the limit of 1 per second"), "{error}");

        clock.advance(Duration::from_secs(1));
        accounts.admit(Some(&"cid".into())).unwrap();
        let names = |accounts: &Accounts| {
            let mut names: Vec<_> = accounts.keyed.lock().unwrap().accounts.keys().cloned().collect();
            names.sort();
            names
        };
        assert_eq!(names(&accounts), ["ann".into(), "cid".into()] as [Arc<str>; 2], "ann is still in flight");
        drop(in_flight);
    }

    #[test]
    fn a_fruitless_sweep_is_not_repeated_at_once() {
        let clock = ManualClock::default();
        let accounts = accounts(Limits::new().with_rate(0.001, 1).with_clock(clock.clone()), 1);
        accounts.admit(Some(&"ann".into())).unwrap();
        accounts.admit(Some(&"bob".into())).unwrap();
        let swept = accounts.keyed.lock().unwrap().next_sweep;
        assert!(accounts.admit(Some(&"cid".into())).is_err());
        assert_eq!(accounts.keyed.lock().unwrap().next_sweep, swept);
    }
}
