//! Model metrics, fairness, calibration, estimated performance, change detectors and sticky hashes.

use mlops_core::stats::change::{
    Adwin, AdwinOptions, Change, ChangeDetector, Ddm, Eddm, HddmA, HddmW, PageHinkley, PageHinkleyMode,
    PageHinkleyOptions,
};
use mlops_core::stats::sticky::{growthbook_v1, growthbook_v2, unleash_percentage, unleash_variant};
use mlops_core::stats::{
    Average, CalibrationBins, ConfusionMatrix, Fairness, IsotonicRegression, MulticlassAuc, MulticlassMatrix,
    RegressionErrors, ScoreCurve, StatsError, brier_score, expected_calibration_error, log_loss,
    multiclass_log_loss, multiclass_roc_auc, top_k_accuracy,
};
use serde_json::{Map, Value, json};

use super::{Answers, Runner, answers, decode, encode, encode_or_nan, numbers, strings};

pub(crate) const RUNNERS: &[(&str, Runner)] = &[
    ("binary_metrics", run_binary_metrics),
    ("multiclass_metrics", run_multiclass_metrics),
    ("regression_metrics", run_regression_metrics),
    ("fairness", run_fairness),
    ("isotonic", run_isotonic),
    ("cbpe_binary", run_cbpe),
    ("sticky_hash", run_sticky_hash),
    ("adwin", run_adwin),
    ("page_hinkley", run_page_hinkley),
    ("ddm", |case| run_errors(case, Ddm::default(), |_, change| change == Change::Warning)),
    ("eddm", |case| run_errors(case, Eddm::default(), |eddm, _| eddm.is_warning())),
    ("hddm_a", |case| run_errors(case, HddmA::default(), |_, change| change == Change::Warning)),
    ("hddm_w", |case| run_errors(case, HddmW::default(), |_, change| change == Change::Warning)),
];

fn parameter(case: &Value, key: &str) -> f64 {
    decode(&case["params"][key]).unwrap()
}

fn drifts(detector: &mut impl ChangeDetector, stream: &[f64]) -> Value {
    let drifts = stream.iter().enumerate().filter(|&(_, &value)| detector.update(value).is_drift());
    json!(drifts.map(|(index, _)| index).collect::<Vec<_>>())
}

fn run_adwin(case: &Value) -> Answers {
    let options = AdwinOptions::default()
        .with_delta(parameter(case, "delta"))
        .with_clock(parameter(case, "clock") as u32)
        .with_max_buckets(parameter(case, "max_buckets") as u32)
        .with_min_window_length(parameter(case, "min_window_length") as u32)
        .with_grace_period(parameter(case, "grace_period") as u32);
    let mut adwin = Adwin::new(options)?;
    Ok(answers([
        ("drift_indices", drifts(&mut adwin, &numbers(case, "stream"))),
        ("final_width", json!(adwin.width())),
        ("final_estimation", encode(adwin.mean().unwrap_or(0.0))),
    ]))
}

fn run_page_hinkley(case: &Value) -> Answers {
    let mode = match case["params"]["mode"].as_str().unwrap() {
        "up" => PageHinkleyMode::Up,
        "down" => PageHinkleyMode::Down,
        _ => PageHinkleyMode::Both,
    };
    let options = PageHinkleyOptions::default()
        .with_min_instances(parameter(case, "min_instances") as u32)
        .with_delta(parameter(case, "delta"))
        .with_threshold(parameter(case, "threshold"))
        .with_alpha(parameter(case, "alpha"))
        .with_mode(mode);
    Ok(answers([("drift_indices", drifts(&mut PageHinkley::new(options)?, &numbers(case, "stream")))]))
}

fn run_errors<D: ChangeDetector>(
    case: &Value,
    mut detector: D,
    is_warning: impl Fn(&D, Change) -> bool,
) -> Answers {
    let (mut drifts, mut warnings) = (Vec::new(), Vec::new());
    for (index, value) in numbers(case, "stream").into_iter().enumerate() {
        let change = detector.update(value);
        if change.is_drift() {
            drifts.push(index);
        }
        if is_warning(&detector, change) {
            warnings.push(index);
        }
    }
    Ok(answers([
        ("drift_indices", json!(drifts)),
        ("warning_count", json!(warnings.len())),
        ("first_warning", json!(warnings.first())),
    ]))
}

fn flags(case: &Value, key: &str) -> Vec<bool> {
    numbers(case, key).into_iter().map(|value| value == 1.0).collect()
}

fn classes(case: &Value, key: &str) -> Vec<usize> {
    numbers(case, key).into_iter().map(|value| value as usize).collect()
}

/// Encodes a number; scikit-learn and NannyML say 0 where a rate is undefined.
fn encode_or_zero(result: Result<f64, StatsError>) -> Result<Value, StatsError> {
    match result {
        Err(StatsError::Undefined { .. }) => Ok(json!(0.0)),
        result => result.map(encode),
    }
}

fn run_binary_metrics(case: &Value) -> Answers {
    let (labels, scores) = (flags(case, "y_true"), numbers(case, "score"));
    let weights = case["input"].get("sample_weight").map(|_| numbers(case, "sample_weight"));
    let weights = weights.as_deref();
    let curve = ScoreCurve::new(&labels, &scores, weights)?;
    let matrix = ConfusionMatrix::at_threshold(&labels, &scores, 0.5, weights)?;
    let error = |bins, grouping| expected_calibration_error(&labels, &scores, bins, grouping).map(encode);
    Ok(answers([
        ("roc_auc", encode_or_nan(curve.roc_auc())?),
        ("gini", encode_or_nan(curve.gini())?),
        ("average_precision", encode_or_zero(curve.average_precision())?),
        ("pr_auc_trapezoid", encode_or_nan(curve.pr_auc_trapezoid())?),
        ("ks_scores", encode_or_nan(curve.ks())?),
        ("log_loss", encode(log_loss(&labels, &scores, weights)?)),
        ("brier", encode(brier_score(&labels, &scores, weights)?)),
        ("ece_10_equal_width", error(10, CalibrationBins::EqualWidth)?),
        ("ece_15_equal_width", error(15, CalibrationBins::EqualWidth)?),
        ("ece_10_equal_mass", error(10, CalibrationBins::EqualMass)?),
        (
            "confusion_tn_fp_fn_tp",
            json!([
                matrix.true_negatives,
                matrix.false_positives,
                matrix.false_negatives,
                matrix.true_positives
            ]),
        ),
        ("f1", encode_or_zero(matrix.f1())?),
        ("precision", encode_or_zero(matrix.precision())?),
        ("recall", encode_or_zero(matrix.recall())?),
        ("accuracy", encode(matrix.accuracy()?)),
        ("balanced_accuracy", encode_or_nan(matrix.balanced_accuracy())?),
        ("mcc", encode_or_zero(matrix.mcc())?),
        ("cohen_kappa", encode_or_nan(matrix.cohen_kappa())?),
    ]))
}

fn run_multiclass_metrics(case: &Value) -> Answers {
    let labels = classes(case, "y_true");
    let rows: Vec<Vec<f64>> = case["input"]["proba"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| row.as_array().unwrap().iter().map(|value| decode(value).unwrap()).collect())
        .collect();
    let classes = rows[0].len();
    let probabilities: Vec<f64> = rows.concat();
    let matrix = MulticlassMatrix::of_most_probable(&labels, &probabilities, classes)?;
    // The vectors' areas are of rows divided by their sums, which tells apart scores that were tied.
    let shares: Vec<f64> =
        rows.iter().flat_map(|row| row.iter().map(|score| score / row.iter().sum::<f64>())).collect();
    let auc = |pairs| multiclass_roc_auc(&labels, &shares, classes, pairs).map(encode);
    Ok(answers([
        ("f1_macro", encode(matrix.f1(Average::Macro)?)),
        ("f1_micro", encode(matrix.f1(Average::Micro)?)),
        ("f1_weighted", encode(matrix.f1(Average::Weighted)?)),
        ("log_loss", encode(multiclass_log_loss(&labels, &probabilities, classes)?)),
        ("roc_auc_ovr_macro", auc(MulticlassAuc::OneVsRest)?),
        ("roc_auc_ovo_macro", auc(MulticlassAuc::OneVsOne)?),
        ("confusion", json!(matrix.rows().collect::<Vec<_>>())),
        ("accuracy", encode(matrix.accuracy()?)),
        ("mcc", encode_or_zero(matrix.mcc())?),
        ("top2_accuracy", encode(top_k_accuracy(&labels, &probabilities, classes, 2)?)),
        ("cohen_kappa", encode_or_nan(matrix.cohen_kappa())?),
    ]))
}

fn run_regression_metrics(case: &Value) -> Answers {
    let errors = RegressionErrors::new(&numbers(case, "y_true"), &numbers(case, "y_pred"))?;
    Ok(answers([
        ("mae", encode(errors.mean_absolute())),
        ("mse", encode(errors.mean_squared())),
        ("rmse", encode(errors.root_mean_squared())),
        ("medae", encode(errors.median_absolute()?)),
        ("max_error", encode(errors.largest_absolute())),
        ("bias", encode(errors.bias())),
        ("mape", encode(errors.mean_absolute_percentage())),
        ("r2", encode_or_nan(errors.r2())?),
        ("pinball_0.9", encode(errors.pinball(0.9)?)),
    ]))
}

fn run_fairness(case: &Value) -> Answers {
    let (labels, predictions) = (flags(case, "y_true"), flags(case, "y_pred"));
    let fairness = Fairness::new(&labels, &predictions, &strings(case, "group"))?;
    let mut by_group = Map::new();
    for group in fairness.groups() {
        let rates = answers([
            ("selection_rate", encode(group.selection_rate())),
            ("tpr", encode(group.true_positive_rate())),
            ("fpr", encode(group.false_positive_rate())),
            ("count", encode(group.confusion.total())),
            ("accuracy", encode(group.confusion.accuracy()?)),
        ]);
        by_group.insert(group.group.clone(), Value::Object(rates));
    }
    Ok(answers([
        ("demographic_parity_difference", encode(fairness.demographic_parity_difference())),
        ("demographic_parity_ratio", encode_or_nan(fairness.demographic_parity_ratio())?),
        ("equalized_odds_difference", encode(fairness.equalized_odds_difference())),
        ("equalized_odds_ratio", encode_or_nan(fairness.equalized_odds_ratio())?),
        ("equal_opportunity_difference", encode(fairness.equal_opportunity_difference())),
        ("equal_opportunity_ratio", encode_or_nan(fairness.equal_opportunity_ratio())?),
        ("by_group", Value::Object(by_group)),
    ]))
}

fn run_isotonic(case: &Value) -> Answers {
    let curve = IsotonicRegression::fit(&numbers(case, "x"), &numbers(case, "y"), None)?;
    let (x, y): (Vec<f64>, Vec<f64>) = curve.thresholds().iter().copied().unzip();
    let predictions = curve.predict(&numbers(case, "query"))?;
    Ok(answers([("pred", json!(predictions)), ("x_thresholds", json!(x)), ("y_thresholds", json!(y))]))
}

fn run_cbpe(case: &Value) -> Answers {
    let (probabilities, scores) = (numbers(case, "calibrated_proba"), numbers(case, "raw_score"));
    let curve = ScoreCurve::expected(&probabilities, &scores)?;
    let matrix = ConfusionMatrix::expected(&probabilities, &flags(case, "y_pred"))?;
    Ok(answers([
        ("roc_auc", encode(curve.roc_auc()?)),
        ("average_precision", encode(curve.average_precision()?)),
        ("accuracy", encode(matrix.accuracy()?)),
        ("f1", encode_or_zero(matrix.f1())?),
        ("precision", encode_or_zero(matrix.precision())?),
        ("recall", encode_or_zero(matrix.recall())?),
        ("specificity", encode_or_zero(matrix.specificity())?),
    ]))
}

fn run_sticky_hash(case: &Value) -> Answers {
    let seed = case["input"]["seed"].as_str().unwrap();
    let ids = strings(case, "ids");
    let places = |place: &dyn Fn(&str, &str) -> f64| -> Value {
        json!(ids.iter().map(|id| place(seed, id)).collect::<Vec<_>>())
    };
    Ok(answers([
        ("growthbook_v2", places(&growthbook_v2)),
        ("growthbook_v1", places(&growthbook_v1)),
        ("unleash_pct_1_100_utf8", places(&|seed, id| f64::from(unleash_percentage(seed, id)))),
        ("unleash_variant_1_1000_utf8", places(&|seed, id| f64::from(unleash_variant(seed, id)))),
    ]))
}
