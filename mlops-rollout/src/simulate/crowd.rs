//! Users of synthetic traffic.

use mlops_core::{Result, Router, RoutingContext};

use super::random::Random;
use super::traffic::Reach;
use crate::{Rollout, Sticky, TrafficSplit};

/// So many users, of whom the router has said who is on the candidate at which share.
#[derive(Debug)]
pub(super) struct Crowd {
    users: u64,
    /// Shares of the candidate, and how many users it has at each.
    on_candidate: Vec<(f64, u64)>,
}

impl Crowd {
    /// Asks [`Sticky`] about every user at every share of the plan.
    pub(super) fn routed(users: u64, rollout: &Rollout, salt: &str) -> Result<Self> {
        let mut shares: Vec<f64> = rollout.plan().steps().iter().map(crate::Step::share).collect();
        shares.push(1.0);
        let routers = shares.iter().map(|share| {
            let split = TrafficSplit::new(rollout.stable().clone(), [rollout.candidate().clone()]);
            split.set(rollout.candidate(), *share)?;
            Ok(Sticky::new(split, salt))
        });
        let routers = routers.collect::<Result<Vec<_>>>()?;
        let mut on_candidate: Vec<(f64, u64)> = shares.into_iter().map(|share| (share, 0)).collect();
        for user in 0..users {
            let context = RoutingContext::new().with_key(format!("user-{user}"));
            for (router, (_, count)) in routers.iter().zip(&mut on_candidate) {
                *count += u64::from(router.route(&context).variant() == rollout.candidate());
            }
        }
        Ok(Self { users, on_candidate })
    }

    /// How many users the candidate has.
    fn on_candidate(&self, share: f64) -> u64 {
        match self.on_candidate.iter().find(|(known, _)| *known == share) {
            Some((_, users)) => *users,
            None => (share * self.users as f64).round() as u64,
        }
    }

    /// The probability that a request is the candidate's.
    pub(super) fn part(&self, share: f64) -> f64 {
        match self.users {
            0 => share,
            users => self.on_candidate(share) as f64 / users as f64,
        }
    }

    /// Lets users of the candidate send so many requests, of which some end badly.
    ///
    /// Each comes from any of its users alike. So all that matters of those who asked before is how many
    /// they are: counting them is distributed as remembering them.
    pub(super) fn meet(
        &self,
        share: f64,
        requests: u64,
        harmed: u64,
        random: &mut Random,
        reach: &mut Reach,
    ) {
        let users = self.on_candidate(share);
        if users == 0 {
            return;
        }
        for request in 0..requests {
            if request >= harmed && reach.users >= users {
                return;
            }
            let user = (random.unit() * users as f64) as u64;
            if request < harmed && user >= reach.harmed_users {
                reach.harmed_users += 1;
                reach.users += u64::from(user >= reach.users);
            } else {
                reach.users += u64::from(user >= reach.users);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use mlops_core::Variant;

    use super::*;
    use crate::Plan;

    fn crowd(users: u64) -> Crowd {
        let plan = Plan::new([0.1, 0.5].map(crate::Step::new)).unwrap();
        let [stable, candidate] = ["stable", "candidate"].map(|name| Variant::new(name).unwrap());
        Crowd::routed(users, &Rollout::new(plan, stable, candidate), "salt").unwrap()
    }

    #[test]
    fn the_router_says_who_is_on_the_candidate() {
        let many = crowd(10_000);
        assert_eq!(many.part(0.0), 0.0);
        assert!((many.part(0.1) - 0.1).abs() < 0.015 && many.part(0.1) != 0.1, "{}", many.part(0.1));
        assert!((many.part(0.5) - 0.5).abs() < 0.025);
        assert_eq!((many.part(1.0), crowd(0).part(0.5)), (1.0, 0.5));
    }

    /// Users that are drawn and remembered one by one, against users that are counted.
    #[test]
    fn counting_users_is_as_remembering_them() {
        const ROUNDS: u64 = 4_000;
        let crowd = Crowd { users: 40, on_candidate: vec![(0.5, 20), (1.0, 40)] };
        let steps = [(0.5, 15, 3), (1.0, 20, 6)];
        let mut sums = [[0.0; 2]; 2];
        for round in 0..ROUNDS {
            let random = &mut Random::new(5, round);
            let mut reach = Reach::default();
            let (mut met, mut harmed) = ([false; 40], [false; 40]);
            for (share, requests, bad) in steps {
                crowd.meet(share, requests, bad, random, &mut reach);
                for request in 0..requests {
                    let user = (random.unit() * crowd.on_candidate(share) as f64) as usize;
                    met[user] = true;
                    harmed[user] |= request < bad;
                }
            }
            let count = |flags: &[bool]| flags.iter().filter(|flag| **flag).count() as f64;
            sums[0][0] += reach.users as f64;
            sums[0][1] += reach.harmed_users as f64;
            sums[1][0] += count(&met);
            sums[1][1] += count(&harmed);
            assert!(reach.harmed_users <= reach.users && reach.users <= 40);
        }
        for (counted, remembered) in sums[0].iter().zip(&sums[1]) {
            assert!((counted / remembered - 1.0).abs() < 0.01, "{sums:?}");
        }
    }
}
