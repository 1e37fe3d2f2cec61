//! How often the rules cry wolf when nothing has changed, and what they see when something has.
//!
//! `cargo test --release -p mlops-monitor --test false_alarms -- --ignored --nocapture` prints the tables of the
//! documentation; `FALSE_ALARM_RUNS` sets how many windows are drawn per setting.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)]

mod common;

use std::env;
use std::fmt::Write as _;

use common::Random;
use mlops_core::{Column, DriftDetector, Verdict};
use mlops_monitor::{
    BinnedDetector, ChiSquareRule, FeatureProfile, JensenShannonRule, KsRule, MissingRateRule,
    NewCategoriesRule, PsiRule, RangeRule, Rule, WassersteinRule,
};

/// Sizes of the reference and the window.
const SIZES: [(usize, usize); 3] = [(10_000, 100), (10_000, 1_000), (1_000, 1_000)];
/// Windows that are judged against one reference.
const WINDOWS: usize = 10;

#[derive(Clone, Copy)]
enum Draw {
    Number(fn(&mut Random, bool) -> f64),
    Word(fn(&mut Random, bool) -> u32),
}

/// What changes when something does.
const NUMBERS: [(&str, Draw); 5] = [
    ("normal, by 0.5 s", Draw::Number(|random, live| random.normal() + if live { 0.5 } else { 0.0 })),
    ("Cauchy, by 1 scale", Draw::Number(|random, live| cauchy(random) + f64::from(u8::from(live)))),
    ("lognormal, doubled", Draw::Number(|random, live| random.normal().exp() * if live { 2.0 } else { 1.0 })),
    (
        "counts, half as many again",
        Draw::Number(|random, live| (-(if live { 2.25 } else { 1.5 }) * random.uniform().ln()).floor()),
    ),
    (
        "5 % missing, then 15 %",
        Draw::Number(|random, live| {
            let value = random.normal();
            if random.uniform() < if live { 0.15 } else { 0.05 } { f64::NAN } else { value }
        }),
    ),
];

const WORDS: [(&str, Draw); 3] = [
    (
        "4 uneven categories, one by half",
        Draw::Word(|random, live| {
            let cut = if live { 0.3 } else { 0.2 };
            if random.uniform() < cut { 0 } else { 1 + (random.uniform() * 3.0) as u32 }
        }),
    ),
    (
        "4 even categories, 10 % of a new one",
        Draw::Word(|random, live| {
            let known = (random.uniform() * 4.0) as u32;
            if live && random.uniform() < 0.1 { 99 } else { known }
        }),
    ),
    (
        "a long tail of words, 10 % of one new",
        Draw::Word(|random, live| {
            let known = (1.0 / random.uniform().powf(0.8)) as u32;
            if live && random.uniform() < 0.1 { u32::MAX } else { known }
        }),
    ),
];

fn cauchy(random: &mut Random) -> f64 {
    (std::f64::consts::PI * (random.uniform() - 0.5)).tan()
}

/// Judges windows of `size` values by a rule, or by the custom of an index of 0.1 alone.
struct Judge<'a> {
    name: &'a str,
    bound: Option<f64>,
    alarms: fn(&FeatureProfile, &Values) -> bool,
}

enum Values {
    Numbers(Vec<f64>),
    Words(Vec<String>),
}

fn alarm<R: Rule>(rule: R, folk: Option<f64>, reference: &FeatureProfile, values: &Values) -> bool {
    let detector = BinnedDetector::new(reference.clone(), rule).unwrap();
    match values {
        Values::Numbers(values) => detector.observe(Column::Numeric(values)).unwrap(),
        Values::Words(words) => {
            let words: Vec<&str> = words.iter().map(String::as_str).collect();
            detector.observe(Column::Categorical(&words)).unwrap();
        }
    }
    let assessment = detector.assess();
    folk.map_or(assessment.verdict == Verdict::Drifted, |band| {
        assessment.score.is_some_and(|score| score >= band)
    })
}

/// Every default rule, the two that can be added, and what other tools do.
const JUDGES: [Judge<'static>; 9] = [
    Judge { name: "psi", bound: Some(0.01), alarms: |r, v| alarm(PsiRule::default(), None, r, v) },
    Judge { name: "ks", bound: Some(0.01), alarms: |r, v| alarm(KsRule::default(), None, r, v) },
    Judge {
        name: "chi_square",
        bound: Some(0.01),
        alarms: |r, v| alarm(ChiSquareRule::default(), None, r, v),
    },
    Judge {
        name: "jensen_shannon",
        bound: Some(0.01),
        alarms: |r, v| alarm(JensenShannonRule::default(), None, r, v),
    },
    Judge {
        name: "wasserstein",
        bound: Some(0.01),
        alarms: |r, v| alarm(WassersteinRule::default(), None, r, v),
    },
    Judge {
        name: "missing_rate",
        bound: Some(0.001),
        alarms: |r, v| alarm(MissingRateRule::default(), None, r, v),
    },
    Judge { name: "range", bound: Some(0.001), alarms: |r, v| alarm(RangeRule::default(), None, r, v) },
    Judge {
        name: "new_categories",
        bound: Some(0.001),
        alarms: |r, v| alarm(NewCategoriesRule::default(), None, r, v),
    },
    Judge { name: "(psi >= 0.1)", bound: None, alarms: |r, v| alarm(PsiRule::default(), Some(0.1), r, v) },
];

fn sample(draw: Draw, random: &mut Random, size: usize, changed: bool) -> Values {
    match draw {
        Draw::Number(draw) => Values::Numbers((0..size).map(|_| draw(random, changed)).collect()),
        Draw::Word(draw) => Values::Words((0..size).map(|_| draw(random, changed).to_string()).collect()),
    }
}

/// The share of windows of which each judge says that something has changed.
fn shares(draw: Draw, (reference, window): (usize, usize), changed: bool, runs: usize) -> Vec<f64> {
    let mut alarms = [0; JUDGES.len()];
    for seed in 0..runs / WINDOWS {
        let mut random = Random::new(seed as u64 + 1);
        let profile = match sample(draw, &mut random, reference, false) {
            Values::Numbers(values) => FeatureProfile::new("x", &values).unwrap(),
            Values::Words(words) => {
                FeatureProfile::categorical("x", words.iter().map(|it| Some(it.as_str()))).unwrap()
            }
        };
        for _ in 0..WINDOWS {
            let values = sample(draw, &mut random, window, changed);
            for (alarms, judge) in alarms.iter_mut().zip(&JUDGES) {
                *alarms += usize::from((judge.alarms)(&profile, &values));
            }
        }
    }
    alarms.iter().map(|alarms| *alarms as f64 / runs as f64).collect()
}

fn table(title: &str, changed: bool, runs: usize) -> Vec<(String, f64, f64)> {
    let mut text = format!("| {title} | sizes |");
    JUDGES.iter().for_each(|judge| write!(text, " {} |", judge.name).unwrap());
    text += "\n|---|---|";
    JUDGES.iter().for_each(|_| text += "---|");
    let mut broken = Vec::new();
    for (name, draw) in NUMBERS.into_iter().chain(WORDS) {
        let name = if changed { name } else { name.split(',').next().unwrap_or(name) };
        for sizes in SIZES {
            write!(text, "\n| {name} | {} : {} |", sizes.0, sizes.1).unwrap();
            for (judge, share) in JUDGES.iter().zip(shares(draw, sizes, changed, runs)) {
                write!(text, " {:.1} % |", 100.0 * share).unwrap();
                let Some(alpha) = judge.bound else { continue };
                // Three standard errors and one alarm above what is promised.
                let most = alpha + 3.0 * (alpha * (1.0 - alpha) / runs as f64).sqrt() + 1.0 / runs as f64;
                if !changed && share > most {
                    broken.push((format!("{} on {name} at {sizes:?}", judge.name), share, most));
                }
            }
        }
    }
    println!("{text}\n");
    broken
}

#[test]
#[ignore = "takes minutes without optimisation"]
fn false_alarms_keep_their_bound_and_changes_are_found() {
    let runs = env::var("FALSE_ALARM_RUNS").ok().and_then(|runs| runs.parse().ok()).unwrap_or(1_000);
    let broken = table("nothing has changed", false, runs);
    table("something has changed", true, runs);
    assert!(broken.is_empty(), "false alarms above their bound: {broken:?}");

    let (half_a_deviation, heavy, new_word) = (NUMBERS[0].1, NUMBERS[1].1, WORDS[1].1);
    let found = |draw, sizes, judge: usize| shares(draw, sizes, true, runs.min(200))[judge];
    for sizes in &SIZES[1..] {
        assert!(found(half_a_deviation, *sizes, 0).max(found(half_a_deviation, *sizes, 1)) > 0.99);
        assert!(found(heavy, *sizes, 1) > 0.99);
        assert!(found(new_word, *sizes, 7) > 0.99);
    }
}
