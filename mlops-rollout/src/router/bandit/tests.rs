use super::*;

fn variants() -> [Variant; 3] {
    ["a", "b", "c"].map(|name| Variant::new(name).unwrap())
}

fn bandit(policy: BanditPolicy) -> Bandit {
    Bandit::new(variants(), policy).unwrap().with_seed(1)
}

/// Chance of its own, that the bandit does not know.
fn coin(seed: u64) -> impl FnMut(f64) -> f64 {
    let draws = Draws::seeded(seed);
    move |probability| f64::from(u8::from(draws.next() < probability))
}

/// How many of `requests` went to each arm, and the reward in all, where an arm is worth that much at
/// that time.
fn play(
    bandit: &Bandit,
    requests: usize,
    seed: u64,
    worth: impl Fn(usize, usize) -> f64,
) -> ([usize; 3], f64) {
    let (mut counts, mut earned, mut coin) = ([0; 3], 0.0, coin(seed));
    for request in 0..requests {
        let variant = bandit.route(&RoutingContext::new()).variant().clone();
        let arm = variants().iter().position(|known| *known == variant).unwrap();
        let reward = coin(worth(request, arm));
        bandit.reward(&variant, reward).unwrap();
        counts[arm] += 1;
        earned += reward;
    }
    (counts, earned)
}

const WORTH: [f64; 3] = [0.05, 0.10, 0.07];

#[test]
fn the_best_arm_gets_the_traffic() {
    const REQUESTS: usize = 40_000;
    for policy in [BanditPolicy::Thompson, BanditPolicy::EpsilonGreedy(0.1)] {
        for seed in 0..3 {
            let bandit = bandit(policy).with_seed(seed);
            let ([_, best, _], earned) = play(&bandit, REQUESTS, 100 + seed, |_, arm| WORTH[arm]);
            let (share, mean) = (best as f64 / REQUESTS as f64, earned / REQUESTS as f64);
            assert!(share > 0.7, "{policy:?}, seed {seed}: {share}");
            assert!(mean > 0.09, "{policy:?}, seed {seed}: {mean}, where equal shares earn 0.073");
            let arms = bandit.arms();
            assert!((arms[1].mean - 0.10).abs() < 0.01, "{arms:?}");
            assert!((arms.iter().map(|arm| arm.rewards).sum::<f64>() - REQUESTS as f64).abs() < 1e-3);
        }
    }
}

#[test]
fn the_shares_of_epsilon_greedy_are_those_of_the_book() {
    let bandit = bandit(BanditPolicy::EpsilonGreedy(0.3)).with_rewards_per_update(0);
    let shares = || bandit.shares().into_iter().map(|(_, share)| share).collect::<Vec<_>>();
    assert!(shares().iter().all(|share| (share - 1.0 / 3.0).abs() < 1e-9), "{:?}", shares());
    bandit.reward(&variants()[2], 1.0).unwrap();
    assert!((shares()[2] - 1.0 / 3.0).abs() < 1e-9, "not before the tick");
    bandit.update().unwrap();
    for (share, expected) in shares().into_iter().zip([0.1, 0.1, 0.8]) {
        assert!((share - expected).abs() < 1e-9, "{:?}", shares());
    }
}

#[test]
fn the_floor_holds_however_bad_an_arm_is() {
    for policy in [BanditPolicy::Thompson, BanditPolicy::EpsilonGreedy(0.0)] {
        let bandit = bandit(policy).with_floor(0.05).unwrap();
        play(&bandit, 20_000, 7, |_, arm| [0.0, 1.0, 0.0][arm]);
        for ((_, share), expected) in bandit.shares().into_iter().zip([0.05, 0.9, 0.05]) {
            assert!((share - expected).abs() < 0.001, "{policy:?}: {:?}", bandit.shares());
        }
    }
    assert!(bandit(BanditPolicy::Thompson).with_floor(0.34).is_err());
    assert!(bandit(BanditPolicy::Thompson).with_floor(-0.01).is_err());
    assert!(bandit(BanditPolicy::Thompson).with_floor(f64::NAN).is_err());
    let even = bandit(BanditPolicy::Thompson).with_floor(1.0 / 3.0).unwrap();
    play(&even, 1_000, 7, |_, arm| [0.0, 1.0, 0.0][arm]);
    assert!(even.shares().iter().all(|(_, share)| (share - 1.0 / 3.0).abs() < 1e-9));
}

/// The best arm turns bad halfway.
#[test]
fn a_bandit_that_forgets_follows_the_change() {
    const HALF: usize = 20_000;
    let worth =
        |request: usize, arm: usize| if request < HALF { [0.3, 0.1, 0.1][arm] } else { [0.1, 0.3, 0.1][arm] };
    let last = |bandit: Bandit| {
        let bandit = bandit.with_floor(0.02).unwrap();
        play(&bandit, 2 * HALF, 3, worth);
        bandit.shares()[1].1
    };
    assert!(last(bandit(BanditPolicy::Thompson).with_half_life(2_000).unwrap()) > 0.9);
    let arms = {
        let bandit = bandit(BanditPolicy::Thompson).with_half_life(100).unwrap();
        play(&bandit, 5_000, 3, worth);
        bandit.arms()
    };
    let remembered: f64 = arms.iter().map(|arm| arm.rewards).sum();
    let expected = 1.0 / (1.0 - 0.5_f64.powf(0.01)); // the geometric series
    assert!((remembered - expected).abs() < 0.01, "{remembered} of {expected}");
    assert!(bandit(BanditPolicy::Thompson).with_half_life(0).is_err());
}

#[test]
fn what_is_no_arm_or_no_reward_is_refused_and_teaches_nothing() {
    let [a, b, _] = variants();
    let new = |arms: Vec<Variant>, policy| Bandit::new(arms, policy).map(|_| ()).unwrap_err().to_string();
    assert!(new(vec![], BanditPolicy::Thompson).contains("two arms or more"));
    assert!(new(vec![a.clone()], BanditPolicy::Thompson).contains("two arms or more"));
    assert!(
        new(vec![a.clone(), b.clone(), a.clone()], BanditPolicy::Thompson)
            .contains("`a` of a bandit comes twice")
    );
    assert!(new(vec![a.clone(), b], BanditPolicy::EpsilonGreedy(1.1)).contains("no share"));
    let bandit = bandit(BanditPolicy::Thompson).with_rewards_per_update(1);
    let before = bandit.arms();
    for bad in [-0.1, 1.1, f64::NAN, f64::INFINITY] {
        assert!(matches!(bandit.reward(&a, bad), Err(Error::InvalidInput(_))), "{bad}");
    }
    assert!(matches!(bandit.reward(&Variant::new("z").unwrap(), 1.0), Err(Error::NotFound { .. })));
    assert_eq!(bandit.arms(), before);
    bandit.reward(&a, 0.25).unwrap();
    let arm = &bandit.arms()[0];
    assert_eq!((arm.rewards, arm.mean), (1.0, 1.25 / 3.0));
}

#[test]
fn threads_lose_no_reward() {
    let bandit = bandit(BanditPolicy::Thompson);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..1_000 {
                    let variant = bandit.route(&RoutingContext::new()).variant().clone();
                    bandit.reward(&variant, 1.0).unwrap();
                }
            });
        }
    });
    assert_eq!(bandit.arms().iter().map(|arm| arm.rewards).sum::<f64>(), 4_000.0);
    assert!((bandit.shares().iter().map(|(_, share)| share).sum::<f64>() - 1.0).abs() < 1e-9);
}
