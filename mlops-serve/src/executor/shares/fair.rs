//! Who computes next: start-time fair queueing.

use std::collections::BTreeMap;

/// What a call is taken to cost before the first one is known, in seconds.
const UNKNOWN_COST: f64 = 0.001;

/// How much the latest cost counts against those before.
const LATEST: f64 = 0.25;

/// Cores, and members that take turns on them in proportion to their weights.
///
/// Each member has a tag in virtual time: what it has consumed, divided by its weight. The member with the smallest tag
/// goes next. Virtual time is the tag of the last that went; who was away comes back at that, so nobody saves up time.
///
/// The rule is start-time fair queueing: Goyal, Vin and Cheng, *Start-time Fair Queuing*, SIGCOMM 1996. It needs no
/// cost in advance, so it suits processors: Goyal, Guo and Vin, *A Hierarchical CPU Scheduler for Multimedia Operating
/// Systems*, OSDI 1996. While two members wait on one core, what they got, divided by their weights, differs by no more
/// than one call of each. With several cores a member may begin a call before its last one has ended; it is then
/// charged with its mean cost, and put right when the cost is known.
#[derive(Debug)]
pub(super) struct Fair {
    free: usize,
    cores: usize,
    now: f64,
    members: BTreeMap<u64, Member>,
    next_id: u64,
}

#[derive(Debug)]
struct Member {
    weight: f64,
    /// How many cores it may have at a time.
    most: usize,
    tag: f64,
    mean_cost: f64,
    waiting: usize,
    granted: usize,
    holding: usize,
}

/// A core, with what the member was charged for it, in seconds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Charge(f64);

impl Fair {
    pub(super) fn new(cores: usize) -> Self {
        Self { free: cores, cores, now: 0.0, members: BTreeMap::new(), next_id: 0 }
    }

    pub(super) fn add(&mut self, weight: u32, most: usize) -> u64 {
        let id = self.next_id;
        self.next_id += 1;
        let (weight, tag, mean_cost) = (f64::from(weight), self.now, UNKNOWN_COST);
        self.members.insert(id, Member { weight, most, tag, mean_cost, waiting: 0, granted: 0, holding: 0 });
        id
    }

    pub(super) fn remove(&mut self, id: u64) {
        self.members.remove(&id);
    }

    /// The member wants one more core.
    pub(super) fn want(&mut self, id: u64) {
        if let Some(member) = self.members.get_mut(&id) {
            if member.waiting == 0 {
                member.tag = member.tag.max(self.now);
            }
            member.waiting += 1;
        }
    }

    /// Gives a free core to the member whose turn it is, and says which.
    pub(super) fn grant(&mut self) -> Option<u64> {
        if self.free == 0 {
            return None;
        }
        let waiting = self
            .members
            .iter_mut()
            .filter(|(_, member)| member.waiting > 0 && member.granted + member.holding < member.most);
        let (id, member) = waiting.min_by(|(_, one), (_, other)| one.tag.total_cmp(&other.tag))?;
        member.waiting -= 1;
        member.granted += 1;
        self.free -= 1;
        self.now = self.now.max(member.tag);
        member.tag += member.mean_cost / member.weight;
        Some(*id)
    }

    /// Takes what the member was granted, if it was.
    pub(super) fn take(&mut self, id: u64) -> Option<Charge> {
        let member = self.members.get_mut(&id).filter(|member| member.granted > 0)?;
        member.granted -= 1;
        member.holding += 1;
        Some(Charge(member.mean_cost))
    }

    /// The member gives a core back, after so many seconds.
    pub(super) fn give_back(&mut self, id: u64, charge: Charge, seconds: f64) {
        self.free += 1;
        if let Some(member) = self.members.get_mut(&id) {
            member.holding -= 1;
            member.tag += (seconds - charge.0) / member.weight;
            member.mean_cost += LATEST * (seconds - member.mean_cost);
        }
        let is_idle = self.free == self.cores && self.members.values().all(|member| member.waiting == 0);
        if is_idle {
            self.now = self.members.values().map(|member| member.tag).fold(self.now, f64::max);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// One core, members that always want it, and calls of the given costs. What each got.
    fn served(members: &[(u32, f64)], calls: usize) -> Vec<f64> {
        let mut fair = Fair::new(1);
        let ids: Vec<u64> = members.iter().map(|(weight, _)| fair.add(*weight, usize::MAX)).collect();
        ids.iter().for_each(|id| fair.want(*id));
        let mut served = vec![0.0; members.len()];
        for _ in 0..calls {
            let id = fair.grant().unwrap();
            let member = ids.iter().position(|known| *known == id).unwrap();
            let charge = fair.take(id).unwrap();
            fair.want(id);
            served[member] += members[member].1;
            fair.give_back(id, charge, members[member].1);
        }
        served
    }

    proptest! {
        /// Theorem 1 of the paper.
        #[test]
        fn shares_differ_by_no_more_than_a_call_of_each(
            members in prop::collection::vec((1_u32..100, 0.0001_f64..1.0), 2..6), calls in 1_usize..500,
        ) {
            let served = served(&members, calls);
            for (one, (weight, cost)) in served.iter().zip(&members) {
                for (other, (other_weight, other_cost)) in served.iter().zip(&members) {
                    let (weight, other_weight) = (f64::from(*weight), f64::from(*other_weight));
                    let unfair = (one / weight - other / other_weight).abs();
                    // A call that is charged before it is known adds the difference to what it is taken to cost.
                    let bound = cost.max(UNKNOWN_COST) / weight + other_cost.max(UNKNOWN_COST) / other_weight;
                    prop_assert!(unfair <= bound + 1e-9, "{unfair} > {bound}");
                }
            }
        }
    }

    #[test]
    fn a_light_member_is_not_held_up_by_the_many_calls_of_a_heavy_one() {
        let served = served(&[(1, 1.0), (1, 0.01)], 1010);
        assert!((served[0] - served[1]).abs() < 1.1, "{served:?}");
    }

    #[test]
    fn time_away_is_not_saved_up() {
        let mut fair = Fair::new(1);
        let (busy, away) = (fair.add(1, usize::MAX), fair.add(1, usize::MAX));
        for _ in 0..100 {
            fair.want(busy);
            assert_eq!(fair.grant(), Some(busy));
            let charge = fair.take(busy).unwrap();
            fair.give_back(busy, charge, 1.0);
        }
        let mut got = 0;
        for _ in 0..100 {
            fair.want(busy);
            fair.want(away);
            let id = fair.grant().unwrap();
            got += usize::from(id == away);
            let charge = fair.take(id).unwrap();
            fair.give_back(id, charge, 1.0);
        }
        assert!((49..=51).contains(&got), "{got}");
    }

    #[test]
    fn nobody_holds_more_than_its_most() {
        let mut fair = Fair::new(4);
        let (bounded, other) = (fair.add(1000, 2), fair.add(1, usize::MAX));
        (0..4).for_each(|_| fair.want(bounded));
        fair.want(other);
        let mut granted: Vec<u64> = std::iter::from_fn(|| fair.grant()).collect();
        granted.sort_unstable();
        assert_eq!(granted, [bounded, bounded, other]);
    }

    #[test]
    fn on_several_cores_calls_under_way_count_at_once() {
        let mut fair = Fair::new(2);
        let (many, one) = (fair.add(1, usize::MAX), fair.add(1, usize::MAX));
        (0..8).for_each(|_| fair.want(many));
        fair.want(one);
        assert_eq!((fair.grant(), fair.grant()), (Some(many), Some(one)));
    }
}
