//! Runs the statistics against golden vectors made by scipy, statsmodels and evidently.
//!
//! Reads `tests/golden/stats.json`, or the file named by the environment variable `MLOPS_GOLDEN`. Every case
//! is run and every key it expects is compared; the test fails at the end if anything differed, if a key or
//! a function is unknown, or if there was no case at all.
#![cfg(feature = "stats")]
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout)]

use std::collections::BTreeMap;

use mlops_core::stats::proportion::compat::score_interval_statsmodels;
use mlops_core::stats::psi::compat::{psi_equal_width, psi_evidently};
use mlops_core::stats::{
    Alternative, BinomialSample, Closed, Correction, Interval, KsMethod, KsOptions, NanPolicy,
    ProportionIntervalMethod, Psi, PsiOptions, SRM_ALPHA, StatsError, TwoProportionIntervalMethod,
    adjust_p_values, confidence_sequence_rho, ks_2samp, mixture_likelihood_ratio, proportion_interval, psi,
    psi_categorical, psi_from_counts, psi_threshold_chi2, psi_threshold_chi2_fixed_reference,
    psi_threshold_normal, srm_chi2, two_proportion_confidence_sequence, two_proportion_interval,
    two_proportion_score_test, two_proportion_z_test,
};
use serde_json::{Map, Value, json};

#[path = "golden/models.rs"]
mod models;
#[path = "golden/samples.rs"]
mod samples;

type Answers = Result<Map<String, Value>, StatsError>;
type Runner = fn(&Value) -> Answers;

const RUNNERS: &[(&str, Runner)] = &[
    ("ks_2samp", run_ks_2samp),
    ("ks_2samp_nan", run_ks_2samp_nan),
    ("psi", run_psi),
    ("psi_categorical", run_psi_categorical),
    ("two_proportion", run_two_proportion),
    ("proportion_interval", run_proportion_interval),
    ("sequential_unequal", run_sequential_unequal),
    ("multiple_testing", run_multiple_testing),
    ("srm_chi2", run_srm_chi2),
];

fn runners() -> impl Iterator<Item = &'static (&'static str, Runner)> {
    [RUNNERS, samples::RUNNERS, models::RUNNERS].into_iter().flatten()
}

#[test]
fn golden_vectors() {
    let bundled = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/stats.json");
    let path = std::env::var("MLOPS_GOLDEN").unwrap_or_else(|_| bundled.to_owned());
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
    let file: Value = serde_json::from_str(&text).unwrap();
    let cases = file["cases"].as_array().unwrap();
    assert!(!cases.is_empty(), "{path} holds no case");

    let mut tally: BTreeMap<&str, (usize, usize)> = BTreeMap::new();
    let mut unknown: BTreeMap<&str, usize> = BTreeMap::new();
    for case in cases {
        let function = case["fn"].as_str().unwrap();
        let Some((_, runner)) = runners().find(|(name, _)| *name == function) else {
            *unknown.entry(function).or_default() += 1;
            continue;
        };
        let differences = differences(case, &runner(case));
        for difference in &differences {
            println!("{}: {difference}", case["id"]);
        }
        let (passed, failed) = tally.entry(function).or_default();
        *if differences.is_empty() { passed } else { failed } += 1;
    }

    for (function, (passed, failed)) in &tally {
        println!("{function}: {passed} passed, {failed} failed");
    }
    for (function, count) in &unknown {
        println!("{function}: unknown function, {count} cases not run");
    }
    let failed: usize = tally.values().map(|(_, failed)| failed).sum();
    assert!(failed == 0 && unknown.is_empty(), "{failed} cases failed, unknown functions: {unknown:?}");
}

/// What of a case's expectations the answers do not meet, one line for each key.
fn differences(case: &Value, answers: &Answers) -> Vec<String> {
    let expected = case["expected"].as_object().unwrap();
    if expected.get("error") == Some(&Value::Bool(true)) {
        return match answers {
            Ok(got) => vec![format!("expected an error, got {got:?}")],
            Err(_) => Vec::new(),
        };
    }
    let got = match answers {
        Ok(got) => got,
        Err(error) => return vec![format!("expected values, got the error: {error}")],
    };
    let tolerance = (case["tol"]["rel"].as_f64().unwrap(), case["tol"]["abs"].as_f64().unwrap());
    let difference = |(key, expected): (&String, &Value)| match got.get(key) {
        None => Some(format!("{key}: the test does not know this key")),
        Some(got) if agree(got, expected, tolerance) => None,
        Some(got) => Some(format!("{key}: expected {expected}, got {got}")),
    };
    expected.iter().filter_map(difference).collect()
}

fn agree(got: &Value, expected: &Value, (rel, abs): (f64, f64)) -> bool {
    if let (Some(got), Some(expected)) = (decode(got), decode(expected)) {
        return match expected {
            expected if expected.is_nan() => got.is_nan(),
            expected if expected.is_infinite() => got == expected,
            expected => (got - expected).abs() <= abs + rel * expected.abs(),
        };
    }
    match (got, expected) {
        // Not defined by the reference implementation; the answer is free.
        (_, Value::Null) => true,
        (Value::Array(got), Value::Array(expected)) => {
            got.len() == expected.len()
                && got.iter().zip(expected).all(|(got, expected)| agree(got, expected, (rel, abs)))
        }
        (got, expected) => got == expected,
    }
}

/// A number, or one of the strings that stand for a number JSON does not have.
fn decode(value: &Value) -> Option<f64> {
    match value.as_str() {
        Some("NaN") => Some(f64::NAN),
        Some("Infinity") => Some(f64::INFINITY),
        Some("-Infinity") => Some(f64::NEG_INFINITY),
        _ => value.as_f64(),
    }
}

fn encode(number: f64) -> Value {
    if number.is_nan() {
        json!("NaN")
    } else if number.is_infinite() {
        json!(if number > 0.0 { "Infinity" } else { "-Infinity" })
    } else {
        json!(number)
    }
}

/// Encodes a number; a statistic that is undefined reads as NaN, as in the reference implementations.
fn encode_or_nan(result: Result<f64, StatsError>) -> Result<Value, StatsError> {
    match result {
        Err(StatsError::Undefined { .. }) => Ok(json!("NaN")),
        result => result.map(encode),
    }
}

fn encode_interval(interval: Interval) -> Value {
    json!([encode(interval.lower), encode(interval.upper)])
}

fn answers<const N: usize>(entries: [(&str, Value); N]) -> Map<String, Value> {
    entries.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
}

fn number(case: &Value, key: &str) -> f64 {
    decode(&case["input"][key]).unwrap()
}

fn count(case: &Value, key: &str) -> u64 {
    case["input"][key].as_u64().unwrap()
}

fn numbers(case: &Value, key: &str) -> Vec<f64> {
    case["input"][key].as_array().unwrap().iter().map(|value| decode(value).unwrap()).collect()
}

fn strings(case: &Value, key: &str) -> Vec<String> {
    case["input"][key].as_array().unwrap().iter().map(|value| value.as_str().unwrap().to_owned()).collect()
}

fn binomial(case: &Value, successes: &str, trials: &str) -> Result<BinomialSample, StatsError> {
    BinomialSample::new(count(case, successes), count(case, trials))
}

fn run_ks_2samp(case: &Value) -> Answers {
    let (x, y) = (numbers(case, "x"), numbers(case, "y"));
    let test =
        |alternative, method| ks_2samp(&x, &y, KsOptions { alternative, method, ..KsOptions::default() });
    let auto = test(Alternative::TwoSided, KsMethod::Auto)?;
    let less = test(Alternative::Less, KsMethod::Asymptotic)?;
    let greater = test(Alternative::Greater, KsMethod::Asymptotic)?;
    Ok(answers([
        ("statistic", encode(auto.statistic)),
        ("statistic_location", encode(auto.location)),
        ("statistic_sign", json!(auto.sign)),
        ("p_asymp", encode(test(Alternative::TwoSided, KsMethod::Asymptotic)?.p_value)),
        ("p_exact", encode(test(Alternative::TwoSided, KsMethod::Exact)?.p_value)),
        ("p_auto", encode(auto.p_value)),
        ("auto_is_exact", json!(auto.method == KsMethod::Exact)),
        ("less_statistic", encode(less.statistic)),
        ("less_p_asymp", encode(less.p_value)),
        ("greater_statistic", encode(greater.statistic)),
        ("greater_p_asymp", encode(greater.p_value)),
    ]))
}

fn run_ks_2samp_nan(case: &Value) -> Answers {
    let (x, y) = (numbers(case, "x"), numbers(case, "y"));
    let test = |nan_policy| ks_2samp(&x, &y, KsOptions { nan_policy, ..KsOptions::default() });
    if !matches!(test(NanPolicy::Raise), Err(StatsError::NotANumber { .. })) {
        return Err(StatsError::Undefined { reason: "NaN must be an error by default".to_owned() });
    }
    let omit = test(NanPolicy::Omit)?;
    Ok(answers([
        ("propagate_p", encode(test(NanPolicy::Propagate)?.p_value)),
        ("omit_statistic", encode(omit.statistic)),
        ("omit_p_auto", encode(omit.p_value)),
    ]))
}

fn run_psi(case: &Value) -> Answers {
    let (reference, current) = (numbers(case, "reference"), numbers(case, "current"));
    let bins = case["params"]["bins"].as_u64().unwrap() as usize;
    let right = psi(&reference, &current, PsiOptions { bins, ..PsiOptions::default() })?;
    let left = psi(&reference, &current, PsiOptions { bins, closed: Closed::Left, ..PsiOptions::default() })?;
    let with_floor = |psi: &Psi, floor| psi_from_counts(&psi.reference_counts, &psi.current_counts, floor);

    let (n, m) = (reference.len() as u64, current.len() as u64);
    let bins = right.reference_counts.len();
    Ok(answers([
        ("psi_eps_1e-6", encode(with_floor(&right, 1e-6)?)),
        ("psi_eps_1e-4", encode(right.value)),
        ("edges", json!(right.edges)),
        ("ref_counts", json!(right.reference_counts)),
        ("cur_counts", json!(right.current_counts)),
        ("psi_left_closed_eps_1e-4", encode(left.value)),
        ("left_closed_ref_counts", json!(left.reference_counts)),
        ("left_closed_cur_counts", json!(left.current_counts)),
        ("psi_evidently", encode(psi_evidently(&reference, &current)?)),
        ("psi_equal_width_snippet", encode_or_nan(psi_equal_width(&reference, &current))?),
        ("threshold_chi2_95_two_sample", encode(psi_threshold_chi2(bins, n, m, 0.95)?)),
        ("threshold_chi2_95_fixed_ref", encode(psi_threshold_chi2_fixed_reference(bins, m, 0.95)?)),
        ("threshold_normal_95_two_sample", encode(psi_threshold_normal(bins, n, m, 0.95)?)),
    ]))
}

fn run_psi_categorical(case: &Value) -> Answers {
    let psi = psi_categorical(&strings(case, "reference"), &strings(case, "current"), 1e-4)?;
    Ok(answers([
        ("categories", json!(psi.categories)),
        ("ref_counts", json!(psi.reference_counts)),
        ("cur_counts", json!(psi.current_counts)),
        ("psi_eps_1e-4", encode(psi.value)),
    ]))
}

fn run_two_proportion(case: &Value) -> Answers {
    let (first, second) = (binomial(case, "x1", "n1")?, binomial(case, "x2", "n2")?);
    let z_test = two_proportion_z_test(first, second);
    let p_value = |alternative| encode_or_nan(z_test.clone().map(|test| test.p_value(alternative)));
    let score_test = two_proportion_score_test(first, second);
    let interval = |method| two_proportion_interval(first, second, 0.95, method).map(encode_interval);
    let mut answers = answers([
        ("diff", encode(first.proportion() - second.proportion())),
        ("z_pooled", encode_or_nan(z_test.clone().map(|test| test.z))?),
        ("p_two_sided", p_value(Alternative::TwoSided)?),
        ("p_larger", p_value(Alternative::Greater)?),
        ("p_smaller", p_value(Alternative::Less)?),
        ("p_score", encode_or_nan(score_test.map(|test| test.p_value(Alternative::TwoSided)))?),
        ("ci95_wald", interval(TwoProportionIntervalMethod::Wald)?),
        ("ci95_agresti_caffo", interval(TwoProportionIntervalMethod::AgrestiCaffo)?),
        ("ci95_newcomb", interval(TwoProportionIntervalMethod::Newcombe)?),
    ]);
    // The vectors hold what statsmodels computes, which is not the Miettinen-Nurminen interval.
    if let Ok(score) = score_interval_statsmodels(first, second, 0.95) {
        answers.insert("ci95_score_miettinen_nurminen".to_owned(), encode_interval(score));
    }
    Ok(answers)
}

fn run_proportion_interval(case: &Value) -> Answers {
    let sample = binomial(case, "successes", "n")?;
    let methods = [
        ("wilson", ProportionIntervalMethod::Wilson),
        ("clopper_pearson", ProportionIntervalMethod::ClopperPearson),
        ("agresti_coull", ProportionIntervalMethod::AgrestiCoull),
        ("jeffreys", ProportionIntervalMethod::Jeffreys),
        ("wald_clipped", ProportionIntervalMethod::Wald),
    ];
    let mut answers = Map::new();
    for (name, method) in methods {
        for confidence in [0.95, 0.99] {
            let interval = proportion_interval(sample, confidence, method)?;
            answers.insert(format!("{name}_{confidence:.2}"), encode_interval(interval));
        }
    }
    Ok(answers)
}

fn run_sequential_unequal(case: &Value) -> Answers {
    let (control, treatment) = (binomial(case, "xa", "na")?, binomial(case, "xb", "nb")?);
    let alpha = number(case, "alpha");
    let mixture = mixture_likelihood_ratio(control, treatment, number(case, "tau2"))?;
    let rho = confidence_sequence_rho(5_000.0, alpha)?;
    let sequence = two_proportion_confidence_sequence(control, treatment, alpha, rho)?;
    Ok(answers([
        ("log_lambda", encode(mixture.log_lambda)),
        ("p_single_look", encode(mixture.p_single_look())),
        ("acs_rho_at_5000", encode(rho)),
        ("acs_ci", encode_interval(sequence.interval)),
        ("acs_p", encode(sequence.p_value)),
    ]))
}

fn run_multiple_testing(case: &Value) -> Answers {
    let p_values = numbers(case, "p");
    let corrections = [
        ("bonferroni", Correction::Bonferroni),
        ("holm", Correction::Holm),
        ("sidak", Correction::Sidak),
        ("fdr_bh", Correction::BenjaminiHochberg),
        ("fdr_by", Correction::BenjaminiYekutieli),
    ];
    let mut answers = Map::new();
    for (name, correction) in corrections {
        let result = adjust_p_values(&p_values, 0.05, correction)?;
        answers.insert(format!("{name}_adjusted"), json!(result.adjusted));
        answers.insert(format!("{name}_reject_0.05"), json!(result.rejected));
    }
    Ok(answers)
}

fn run_srm_chi2(case: &Value) -> Answers {
    let observed: Vec<u64> =
        case["input"]["observed"].as_array().unwrap().iter().map(|value| value.as_u64().unwrap()).collect();
    let test = srm_chi2(&observed, &numbers(case, "weights"))?;
    Ok(answers([
        ("statistic", encode(test.statistic)),
        ("p", encode(test.p_value)),
        ("srm_at_0.001", json!(test.is_mismatch(SRM_ALPHA))),
    ]))
}
