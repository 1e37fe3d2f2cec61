//! The contract of [`DriftDetector`], as a test suite.

use std::thread;

use crate::{Assessment, Column, DriftDetector, Error, Verdict};

/// How many values the reference and a full window have.
const SIZE: usize = 2_000;

/// Checks detectors of one numeric feature. `make` gives a fresh one whose reference is the sample it is
/// handed: 2000 values of a bell-shaped distribution around 0, most of them between -3 and 3.
///
/// A detector that needs more than 2000 values for a verdict has to be made with a smaller minimum here.
///
/// ```
/// use mlops_core::{DriftDetector, conformance};
///
/// fn test_of<D: DriftDetector>(new: fn(Vec<f64>) -> D) {
///     conformance::drift::check(|reference| new(reference.to_vec()));
/// }
/// ```
///
/// # Panics
/// With the broken promise.
pub fn check<D: DriftDetector>(make: impl Fn(&[f64]) -> D) {
    let reference: Vec<f64> = (0..SIZE).map(|i| logistic((i as f64 + 0.5) / SIZE as f64)).collect();
    let make = || make(&reference);

    describes_itself(&make());
    without_values_there_is_no_answer(&make());
    the_same_distribution_has_not_drifted(&make());
    values_count_whatever_their_portions(&make(), &make());
    for shift in [3.0, -3.0] {
        another_distribution_has_drifted(&make(), shift);
    }
    missing_values_never_make_a_result_nan(&make());
    infinities_are_values(&make());
    an_unsupported_column_adds_nothing(&make());
    a_reset_begins_a_new_window(&make());
    threads_share_it(&make());
}

/// Checks detectors of one categorical feature. `make` gives a fresh one whose reference is the sample it is handed:
/// 2000 words, `a` half of the time, `b` and `c` a quarter each.
///
/// # Panics
/// With the broken promise.
pub fn check_categorical<D: DriftDetector>(make: impl Fn(&[&str]) -> D) {
    let words =
        |shift: usize| -> Vec<&str> { (0..SIZE).map(|i| ["a", "b", "a", "c"][(i + shift) % 4]).collect() };
    let reference = words(0);
    let make = || make(&reference);

    describes_itself(&make());
    let nothing = make();
    observe_words(&nothing, &[]);
    assert_eq!(assess(&nothing).verdict, Verdict::TooFewSamples, "a verdict without any word");
    assert_eq!(assess(&nothing).reference_size, SIZE as u64, "the size of the reference");
    observe_words(&nothing, &["a"]);
    assert_eq!(assess(&nothing).verdict, Verdict::TooFewSamples, "a verdict on a single word");

    let (whole, portions) = (make(), make());
    observe_words(&whole, &words(1));
    words(1).chunks(37).for_each(|portion| observe_words(&portions, portion));
    assert_eq!(assess(&whole), assess(&portions), "the same words in smaller portions make another result");
    let same = assess(&whole);
    assert!(same.score.is_some(), "{SIZE} words are too few: make the detector with a smaller minimum");
    assert!(same.verdict < Verdict::Drifted, "false alarm: words in the same shares have drifted");
    assert_eq!(same.current_size, SIZE as u64, "the size of the window");

    let unknown = make();
    observe_words(&unknown, &["never seen before"; SIZE]);
    assert_eq!(
        assess(&unknown).verdict,
        Verdict::Drifted,
        "a category that the reference does not have was missed"
    );
    unknown.reset();
    assert_eq!(assess(&unknown), assess(&make()), "something is left of the old window after a reset");

    let missing = make();
    observe_words(&missing, &[""; SIZE]);
    assert_eq!(assess(&missing).current_size, 0, "missing words are counted as words");
    observe_words(&missing, &["\u{0}", "a b", "\u{1f600}", "A"]);
    assert_eq!(assess(&missing).current_size, 4, "a word is a word, whatever it is");
}

fn observe_words(detector: &impl DriftDetector, words: &[&str]) {
    let result = detector.observe(Column::Categorical(words));
    assert!(result.is_ok(), "a column of words was refused: {result:?}");
}

fn describes_itself(detector: &impl DriftDetector) {
    assert!(!detector.test().is_empty(), "the test has no name");
    assert!(!format!("{detector:?}").is_empty(), "Debug says nothing");
    assert_eq!(detector.assess().test, detector.test(), "the assessment names another test");
}

fn without_values_there_is_no_answer(detector: &impl DriftDetector) {
    observe(detector, &[]);
    let nothing = assess(detector);
    assert_eq!(nothing.verdict, Verdict::TooFewSamples, "a verdict without any value");
    assert_eq!(nothing.score, None, "a score without any value");
    assert_eq!(nothing.p_value, None, "a p-value without any value");
    assert_eq!(nothing.current_size, 0, "a size of the window without any value");
    assert_eq!(nothing.reference_size, SIZE as u64, "the size of the reference");

    observe(detector, &[0.0]);
    assert_eq!(assess(detector).verdict, Verdict::TooFewSamples, "a verdict on a single value");
}

fn the_same_distribution_has_not_drifted(detector: &impl DriftDetector) {
    observe(detector, &fresh_sample());
    let assessment = assess(detector);
    assert!(
        assessment.score.is_some(),
        "{SIZE} values are too few: make the detector with a smaller minimum"
    );
    assert!(assessment.verdict > Verdict::TooFewSamples, "a score, but too few samples");
    assert!(
        assessment.verdict < Verdict::Drifted,
        "false alarm: a sample of the same distribution has drifted"
    );
    assert_eq!(assessment.current_size, SIZE as u64, "the size of the window");
    assert_eq!(assessment.reference_size, SIZE as u64, "the size of the reference");
}

fn values_count_whatever_their_portions(detector: &impl DriftDetector, other: &impl DriftDetector) {
    observe(detector, &fresh_sample());
    fresh_sample().chunks(37).for_each(|portion| observe(other, portion));
    assert_eq!(assess(detector), assess(other), "the same values in smaller portions make another result");
}

fn another_distribution_has_drifted(detector: &impl DriftDetector, shift: f64) {
    let shifted: Vec<f64> = fresh_sample().iter().map(|value| value + shift).collect();
    observe(detector, &shifted);
    assert_eq!(assess(detector).verdict, Verdict::Drifted, "a shift by {shift} was missed");
}

fn missing_values_never_make_a_result_nan(detector: &impl DriftDetector) {
    observe(detector, &[f64::NAN; SIZE]);
    assert_eq!(assess(detector).current_size, 0, "missing values are counted as values");

    observe(detector, &fresh_sample());
    assert_eq!(assess(detector).current_size, SIZE as u64, "missing values are counted as values");
}

fn infinities_are_values(detector: &impl DriftDetector) {
    observe(detector, &[f64::INFINITY, f64::NEG_INFINITY, f64::MAX, f64::MIN]);
    assess(detector);
    observe(detector, &[f64::INFINITY; SIZE]);
    assess(detector);
    observe(detector, &[f64::NEG_INFINITY; SIZE]);
    assess(detector);
}

/// A detector may take categories, but then it has to count them.
fn an_unsupported_column_adds_nothing(detector: &impl DriftDetector) {
    observe(detector, &fresh_sample());
    let before = assess(detector);
    match detector.observe(Column::Categorical(&["red"; 500])) {
        Ok(()) => assert_eq!(
            assess(detector).current_size,
            before.current_size + 500,
            "a column was taken without an error, but not counted"
        ),
        Err(error) => {
            assert!(matches!(error, Error::InvalidInput(_)), "a refused column is no invalid input: {error}");
            assert_eq!(assess(detector), before, "a column was refused, but something was added");
        }
    }
}

fn a_reset_begins_a_new_window(detector: &impl DriftDetector) {
    let unused = assess(detector);
    observe(detector, &[1e6; SIZE]);
    observe(detector, &[f64::NAN; SIZE]);
    detector.reset();
    assert_eq!(assess(detector), unused, "something is left of the old window after a reset");

    observe(detector, &fresh_sample());
    let assessment = assess(detector);
    assert_eq!(assessment.current_size, SIZE as u64, "the size of the window after a reset");
    assert!(
        assessment.verdict < Verdict::Drifted,
        "the window after a reset has drifted by the one before it"
    );
}

fn threads_share_it(detector: &impl DriftDetector) {
    thread::scope(|scope| {
        for values in fresh_sample().chunks(SIZE / 4) {
            let values = values.to_vec();
            scope.spawn(move || {
                for portion in values.chunks(10) {
                    observe(detector, portion);
                    assess(detector);
                }
            });
        }
    });
    let assessment = assess(detector);
    assert_eq!(assessment.current_size, SIZE as u64, "values of several threads were lost or counted twice");
    assert!(assessment.verdict < Verdict::Drifted, "values of several threads have drifted");
}

fn observe(detector: &impl DriftDetector, values: &[f64]) {
    let result = detector.observe(Column::Numeric(values));
    assert!(result.is_ok(), "a numeric column was refused: {result:?}");
}

/// The assessment, proven to hold numbers that are possible.
fn assess(detector: &impl DriftDetector) -> Assessment {
    let assessment = detector.assess();
    assert!(!assessment.score.is_some_and(f64::is_nan), "the score is NaN: {assessment:?}");
    assert!(!assessment.threshold.is_some_and(f64::is_nan), "the threshold is NaN: {assessment:?}");
    let possible = assessment.p_value.is_none_or(|p| (0.0..=1.0).contains(&p));
    assert!(possible, "the p-value is no probability: {assessment:?}");
    if assessment.verdict == Verdict::TooFewSamples {
        assert_eq!(assessment.score, None, "too few samples, but a number that looks like an answer");
    }
    assessment
}

/// Another sample of the distribution of the reference, the same at every call.
fn fresh_sample() -> Vec<f64> {
    let mut state = 7_u64;
    let uniform = || {
        // Knuth's MMIX generator; the upper bits are good enough here.
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((state >> 12) as f64 + 0.5) / 2.0_f64.powi(52)
    };
    std::iter::repeat_with(uniform).take(SIZE).map(logistic).collect()
}

/// The quantile of the logistic distribution with the variance 1.
fn logistic(share: f64) -> f64 {
    (share / (1.0 - share)).ln() * 3.0_f64.sqrt() / std::f64::consts::PI
}
