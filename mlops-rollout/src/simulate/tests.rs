//! What simulations must find.

use std::time::Instant;

use super::*;
use crate::{Analysis, OnInconclusive, RateCheck, Step};

const MINUTE: Duration = Duration::from_secs(60);

/// 10,000 requests at 200 a minute: four steps of 12 minutes and the looks between.
fn brisk() -> Plan {
    let step = |share| Step::new(share).with_min_samples(100).with_bake(12 * MINUTE);
    Plan::new([0.05, 0.25, 0.5, 1.0].map(step)).unwrap().with_max_step_duration(24 * 60 * MINUTE).unwrap()
}

fn options(rollouts: u64) -> SimulationOptions {
    SimulationOptions::new().with_rollouts(rollouts).with_seed(11)
}

fn failing(stable: f64, candidate: f64) -> Scenario {
    let scenario = Scenario::new(format!("{stable} to {candidate}"), 200.0).unwrap().with_users(2_000);
    let scenario = scenario.with_stable(Behaviour::failing(stable)).unwrap();
    scenario.with_candidate(Behaviour::failing(candidate)).unwrap()
}

fn found(plan: &Plan, scenario: &Scenario, rollouts: u64) -> SimulationReport {
    simulate(plan, scenario, &options(rollouts)).unwrap()
}

/// Requests at even distances, each of any of so many users.
fn recorded(
    count: u32,
    users: u32,
    answer: impl Fn(u32) -> RecordedAnswer,
) -> impl Iterator<Item = RecordedRequest> {
    (0..count).map(move |index| {
        let request = RecordedRequest::new(index * Duration::from_millis(300), answer(index));
        request.with_key(format!("user-{}", user_of(index, users)))
    })
}

fn user_of(request: u32, users: u32) -> u32 {
    (random::Random::new(0, u64::from(request)).bits() % u64::from(users)) as u32
}

#[test]
fn a_candidate_that_is_no_worse_is_promoted_as_often_as_alpha_promises() {
    for rate in [0.0, 0.01, 0.2] {
        let report = found(&brisk(), &failing(rate, rate), 400);
        assert!(report.promoted.share() >= 0.95, "{report}");
        assert_eq!((report.undecided.count, report.timed_out.count), (0, 0), "{report}");
        assert_eq!(report.excess_harm.mean, 0.0);
        let took = report.time_to_promotion.unwrap().median;
        assert!((48 * MINUTE..60 * MINUTE).contains(&took), "{took:?}");
    }
}

#[test]
fn seven_of_ten_points_a_hundred_times_worse_never_pass() {
    let plan = Plan::standard().unwrap();
    for rate in [0.0005, 0.001, 0.01] {
        let report = found(&plan, &Scenario::seven_of_ten("7 of 10", rate).unwrap(), 200);
        assert_eq!((report.rolled_back.count, report.timed_out.count), (200, 0), "{report}");
    }
}

#[test]
fn the_worse_a_candidate_the_sooner_it_is_out_and_the_fewer_it_meets() {
    let reports = [0.05, 0.1, 0.5].map(|rate| found(&brisk(), &failing(0.01, rate), 200));
    for report in &reports {
        assert!(report.promoted.count <= 2, "{report}");
        assert!(report.harmed_users.unwrap().median >= 1.0);
    }
    for pair in reports.windows(2) {
        assert!(pair[0].time_to_rollback.unwrap().median > pair[1].time_to_rollback.unwrap().median);
        assert!(pair[0].requests.mean > pair[1].requests.mean);
        assert!(pair[0].users.unwrap().mean > pair[1].users.unwrap().mean);
    }
    let gross = reports[2].users.unwrap();
    assert!(gross.p90 < 150.0, "{gross:?}"); // of 2,000, within the first 5 %
}

#[test]
fn slowness_is_found_and_without_latencies_nothing_is_said_of_them() {
    let plan = Plan::standard().unwrap();
    let all = Scenario::standard().unwrap();
    let named = |name: &str| all.iter().find(|scenario| scenario.name() == name).unwrap();
    for name in ["latency x2", "3 % of the answers 10 times slower"] {
        let report = found(&plan, named(name), 50);
        assert_eq!((report.rolled_back.count, report.timed_out.count), (50, 0), "{report}");
    }
    let report = found(&plan, &Scenario::new("no latencies", 1_000.0).unwrap(), 5);
    assert_eq!(report.timed_out.count, 5, "{report}");
    assert!(report.trace.last().unwrap().reason.contains("answers"), "{:?}", report.trace.last());
}

#[test]
fn a_leak_shows_later_than_a_fault() {
    let leaking = Behaviour::failing(Course::growing(0.01, 0.1));
    let leak = failing(0.01, 0.01).with_candidate(leaking).unwrap();
    let (leak, fault) = (found(&brisk(), &leak, 100), found(&brisk(), &failing(0.01, 0.11), 100));
    let after = |report: &SimulationReport| report.time_to_rollback.unwrap().median;
    assert!(after(&leak) > after(&fault), "{leak}\n{fault}");
}

#[test]
fn bad_outcomes_count_as_harm() {
    let plan = brisk().with_analysis(Analysis::new([RateCheck::bad_outcomes()]).unwrap());
    let scenario = failing(0.0, 0.0).with_stable(Behaviour::default().with_bad_outcomes(0.05)).unwrap();
    let good = scenario.clone().with_candidate(Behaviour::default().with_bad_outcomes(0.05)).unwrap();
    let bad = scenario.with_candidate(Behaviour::default().with_bad_outcomes(0.3)).unwrap();
    assert!(found(&plan, &good, 100).promoted.share() >= 0.95);
    let report = found(&plan, &bad, 100);
    assert_eq!(report.rolled_back.count, 100);
    let (harmed, excess) = (report.harmed_requests.mean, report.excess_harm.mean);
    assert!((harmed / report.requests.mean - 0.3).abs() < 0.05, "{report}");
    assert!((excess / report.requests.mean - 0.25).abs() < 0.01, "{report}");
}

#[test]
fn without_traffic_nobody_is_promoted() {
    let none = Scenario::new("nobody asks", 0.0).unwrap();
    let report = found(&brisk(), &none, 3);
    assert_eq!((report.timed_out.count, report.requests.p90), (3, 0.0));
    assert_eq!(report.time_to_rollback.unwrap().median, 24 * 60 * MINUTE);
    assert_eq!((report.users, report.harmed_users, report.time_to_promotion), (None, None, None));
    let waiting = brisk().with_on_inconclusive(OnInconclusive::Pause);
    let report = found(&waiting, &none, 3);
    assert_eq!(report.undecided.count, 3);
    assert_eq!(report.trace.last().unwrap().at, 7 * 24 * 60 * MINUTE);
}

/// A step that is too short for its samples, unless somebody grants it its time again.
#[test]
fn a_paused_rollout_goes_on_when_somebody_resumes_it() {
    let plan = Plan::new([Step::new(0.5).with_min_samples(1_500)]).unwrap();
    let plan = plan.with_max_step_duration(10 * MINUTE).unwrap().with_on_inconclusive(OnInconclusive::Pause);
    let scenario = failing(0.0, 0.0);
    assert_eq!(found(&plan, &scenario, 20).undecided.count, 20);
    let report = simulate(&plan, &scenario, &options(20).with_resume_after(30 * MINUTE)).unwrap();
    assert_eq!(report.promoted.count, 20, "{report}");
    assert!(report.time_to_promotion.unwrap().median >= 40 * MINUTE);
}

#[test]
fn a_seed_is_a_report_on_any_number_of_threads() {
    let (plan, scenario) = (brisk(), failing(0.01, 0.03));
    let report = |seed, threads| {
        simulate(&plan, &scenario, &options(50).with_seed(seed).with_threads(threads)).unwrap()
    };
    assert_eq!(report(1, 1), report(1, 3));
    assert_eq!(report(1, 1), report(1, 1_000));
    assert_ne!(report(1, 1), report(2, 1));
}

#[test]
fn simulations_that_say_nothing_are_refused() {
    let scenario = failing(0.01, 0.01);
    assert!(simulate(&brisk(), &scenario, &options(0)).is_err());
    assert!(simulate(&brisk(), &scenario, &options(1).with_tick(Duration::ZERO)).is_err());
}

#[test]
fn the_trace_shows_a_rollout_that_ended_as_most_did() {
    let report = found(&brisk(), &failing(0.01, 0.01), 50);
    let moves: Vec<_> = report.trace.iter().filter_map(|point| point.moved_to.as_deref()).collect();
    assert_eq!(moves, ["step 0", "step 1", "step 2", "step 3", "promoted"]);
    for pair in report.trace.windows(2) {
        assert_eq!(pair[1].at - pair[0].at, MINUTE);
        assert!(pair[0].share <= pair[1].share);
    }
    let (lower, upper) = report.trace.iter().rev().find_map(|point| point.difference).unwrap();
    assert!(lower < 0.0 && 0.0 < upper && upper < 0.1, "{lower} {upper}");

    let report = found(&brisk(), &failing(0.01, 0.5), 50);
    let last = report.trace.last().unwrap();
    assert!(last.moved_to.as_ref().unwrap().starts_with("rolled back: failed: failure rate"));
    assert!(last.difference.unwrap().0 > 0.0 && last.share == 0.0);
    assert!(last.candidate_failures.unwrap() > 0.2 && last.stable_failures.unwrap() < 0.05);
}

#[test]
fn a_report_is_read_by_people_and_programs() {
    let report = found(&brisk(), &failing(0.01, 0.5), 40);
    let json = serde_json::to_string(&report).unwrap();
    assert_eq!(serde_json::from_str::<SimulationReport>(&json).unwrap(), report);
    let text = report.to_string();
    assert!(text.starts_with("0.01 to 0.5: 40 rollouts\n  promoted     0.0 % [0.0, 8.8]\n"), "{text}");
    assert!(text.contains("  rolled back  100.0 % [91.2, 100.0], after "), "{text}");
}

/// The same scenario, once in counts per tick and once request by request.
#[test]
fn counts_per_tick_are_distributed_as_single_requests() {
    let counted = found(&brisk(), &failing(0.02, 0.05), 800);
    let single = Scenario::recorded("singly", recorded(15_000, 2_000, |_| RecordedAnswer::good()))
        .unwrap()
        .with_stable(Behaviour::failing(0.02))
        .unwrap()
        .with_candidate(Behaviour::failing(0.05))
        .unwrap();
    let single = found(&brisk(), &single, 800);
    let (a, b) = (counted.promoted.share(), single.promoted.share());
    assert!((a - b).abs() < 0.06, "{counted}\n{single}");
    for (a, b) in [
        (counted.requests, single.requests),
        (counted.harmed_requests, single.harmed_requests),
        (counted.excess_harm, single.excess_harm),
        (counted.users.unwrap(), single.users.unwrap()),
        (counted.harmed_users.unwrap(), single.harmed_users.unwrap()),
    ] {
        assert!((a.mean / b.mean - 1.0).abs() < 0.15, "{counted}\n{single}");
    }
}

#[test]
fn recorded_traffic_says_what_both_did_and_ends() {
    let good = |_| RecordedAnswer::good().with_latency(Duration::from_millis(5));
    let scenario = Scenario::recorded("yesterday", recorded(15_000, 3_000, good)).unwrap();
    let report = found(&brisk(), &scenario, 20);
    assert_eq!(report.promoted.count, 20, "{report}");
    let reached = report.users.unwrap();
    assert!((1_500.0..=2_500.0).contains(&reached.median), "{reached:?}");
    assert!(report.trace.last().unwrap().candidate_p99.is_some());

    let broken = recorded(15_000, 3_000, good).enumerate().map(|(index, request)| match index % 4 {
        0 => request.with_candidate(RecordedAnswer::failed()),
        1 => request.with_candidate(RecordedAnswer::good().with_bad_outcome(true)),
        _ => request,
    });
    let report = found(&brisk(), &Scenario::recorded("shadowed", broken).unwrap(), 20);
    assert_eq!(report.rolled_back.count, 20, "{report}");
    assert_eq!(report.excess_harm, report.harmed_requests);
    assert!((report.harmed_requests.mean / report.requests.mean - 0.5).abs() < 0.1, "{report}");

    let short = Scenario::recorded("an hour of it", recorded(500, 100, good)).unwrap();
    assert_eq!(found(&brisk(), &short, 5).undecided.count, 5);
}

#[test]
fn recordings_out_of_order_are_refused() {
    let at = |seconds| RecordedRequest::new(Duration::from_secs(seconds), RecordedAnswer::good());
    let error = Scenario::recorded("x", [at(1), at(3), at(2)]).unwrap_err().to_string();
    assert!(error.contains("request 2 came before the request 1"), "{error}");
    let keyless = Scenario::recorded("x", [at(5), at(5).with_key(""), at(7)]).unwrap();
    assert_eq!(found(&brisk(), &keyless, 2).users, None);
}

/// 300 users, of whom one in 20 fails whenever they ask and nobody else ever does.
fn same_users_fail() -> Scenario {
    let clustered = recorded(30_000, 300, |request| match user_of(request, 300) % 20 {
        0 => RecordedAnswer::failed(),
        _ => RecordedAnswer::good(),
    });
    Scenario::recorded("null, one user in 20 always fails", clustered).unwrap()
}

#[test]
fn users_who_fail_again_and_again_are_no_reason_to_roll_back() {
    let report = found(&brisk(), &same_users_fail(), 200);
    assert!(report.rolled_back.share() <= 0.05, "{report}");
    let worse = same_users_fail().with_candidate(Behaviour::failing(0.3)).unwrap();
    let report = found(&brisk(), &worse, 50);
    assert_eq!(report.rolled_back.count, 50, "{report}");
}

/// The table of the documentation, of as many rollouts as `MLOPS_ROLLOUTS` says:
/// `cargo test --release -p mlops-rollout -- --ignored --nocapture table_of_the_standard_plan`
#[test]
#[ignore = "takes a minute in release"]
fn table_of_the_standard_plan() {
    let rollouts = std::env::var("MLOPS_ROLLOUTS").map_or(2_000, |count| count.parse().unwrap());
    let plan = Plan::standard().unwrap();
    for scenario in Scenario::standard().unwrap() {
        let report = found(&plan, &scenario, rollouts);
        print_row(&report);
        let failed = report.rolled_back.count - report.timed_out.count;
        assert!(!scenario.name().starts_with("null") || failed <= rollouts / 20, "{report}");
    }
    print_row(&found(&brisk(), &same_users_fail(), rollouts));
}

/// On one thread: `cargo test --release -p mlops-rollout -- --ignored --nocapture rollouts_a_second`
#[test]
#[ignore = "measures; in release"]
#[allow(clippy::print_stdout)]
fn rollouts_a_second_and_core() {
    let began = Instant::now();
    let report = simulate(&brisk(), &failing(0.01, 0.01), &options(2_000).with_threads(1)).unwrap();
    let (rate, looks) = (2_000.0 / began.elapsed().as_secs_f64(), report.trace.len());
    println!("{rate:.0} rollouts a second and core, of {looks} looks at 200 requests");
}

#[allow(clippy::print_stdout)]
fn print_row(report: &SimulationReport) {
    let SimulationReport { scenario, promoted, rolled_back, timed_out, requests, excess_harm, .. } = report;
    let times = |times: Option<Times>| times.map_or("".to_owned(), |times| times.to_string());
    let users = report.users.map_or(f64::NAN, |users| users.median);
    let harmed = report.harmed_users.map_or(f64::NAN, |users| users.median);
    println!(
        "//! | {scenario} | {promoted} | {rolled_back} | {timed_out} | {} | {} | {:.0} | {users:.0} | {harmed:.0} | {:.1} |",
        times(report.time_to_promotion),
        times(report.time_to_rollback),
        requests.median,
        excess_harm.mean
    );
}

#[test]
fn shadow_steps_and_approvals_are_played_too() {
    let steps = [
        Step::shadow(0.5).with_min_samples(100).with_bake(10 * MINUTE),
        Step::new(0.1).with_min_samples(100).with_bake(10 * MINUTE).with_approval(),
    ];
    let plan = Plan::new(steps).unwrap().with_max_step_duration(120 * MINUTE).unwrap();
    let recording = Scenario::recorded("A/A", recorded(30_000, 500, |_| RecordedAnswer::good())).unwrap();
    for scenario in [failing(0.01, 0.01), recording] {
        let waits = simulate(&plan, &scenario, &options(20)).unwrap();
        assert_eq!(waits.promoted.count, 0, "nobody approves: {waits}");
        let options = options(20).with_resume_after(5 * MINUTE);
        let approved = simulate(&plan, &scenario, &options).unwrap();
        assert!(approved.promoted.count >= 18, "{approved}");
    }
    // What a shadow finds out costs no user anything.
    let bad = simulate(&plan, &failing(0.01, 0.9), &options(20)).unwrap();
    assert_eq!((bad.rolled_back.count, bad.requests.mean), (20, 0.0), "{bad}");
}
