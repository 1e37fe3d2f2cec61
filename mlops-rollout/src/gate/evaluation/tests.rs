//! Metrics are those of the house, and rows keep their place.

use mlops_core::stats::{Average, MulticlassMatrix, log_loss, multiclass_log_loss, roc_auc};

use super::*;

const LABELS: [bool; 6] = [true, false, true, false, true, false];
const SCORES: [f64; 6] = [0.9, 0.2, 0.4, 0.6, 0.7, 0.1];

#[test]
fn binary_metrics_are_those_of_the_statistics() {
    let rows = Evaluation::binary(LABELS, SCORES).unwrap();
    assert_eq!(rows.metric("roc_auc").unwrap(), roc_auc(&LABELS, &SCORES).unwrap());
    assert_eq!(rows.metric("log_loss").unwrap(), log_loss(&LABELS, &SCORES, None).unwrap());
    let shares = [("accuracy", 4.0), ("recall", 4.0), ("precision", 4.0), ("specificity", 4.0), ("f1", 4.0)];
    for (metric, sixths) in shares {
        assert!((rows.metric(metric).unwrap() - sixths / 6.0).abs() < 1e-12, "{metric}");
    }
    let strict = rows.with_threshold(0.8).unwrap();
    assert_eq!(strict.metric("selection_rate").unwrap(), 1.0 / 6.0);
    assert_eq!(strict.metric("false_positive_rate").unwrap(), 0.0);
    let decisions = Evaluation::decisions(LABELS, SCORES.map(|score| score >= 0.5)).unwrap();
    assert_eq!(decisions.metric("accuracy").unwrap(), 4.0 / 6.0);
    assert!(matches!(decisions.metric("roc_auc"), Err(Error::Unsupported { .. })));
    assert!(matches!(decisions.metric("of your own"), Err(Error::Unsupported { .. })));
}

#[test]
fn multiclass_metrics_are_those_of_the_statistics() {
    let labels = [0, 1, 2, 2];
    let probabilities = [0.8, 0.1, 0.1, 0.2, 0.6, 0.2, 0.5, 0.3, 0.2, 0.1, 0.1, 0.8];
    let rows = Evaluation::multiclass(labels, probabilities, 3).unwrap();
    let matrix = MulticlassMatrix::of_most_probable(&labels, &probabilities, 3).unwrap();
    assert_eq!(rows.metric("accuracy").unwrap(), matrix.accuracy().unwrap());
    assert_eq!(rows.metric("f1_macro").unwrap(), matrix.f1(Average::Macro).unwrap());
    assert_eq!(rows.metric("log_loss").unwrap(), multiclass_log_loss(&labels, &probabilities, 3).unwrap());
    let classes = Evaluation::classes(labels, [0, 1, 0, 2], 3).unwrap();
    assert_eq!(classes.metric("accuracy").unwrap(), rows.metric("accuracy").unwrap());
    assert!(classes.metric("log_loss").is_err());
    for rows in [rows, classes] {
        let (labels, right) = rows.binary_rows(Metric::Accuracy).unwrap();
        assert_eq!((labels, right), (vec![true; 4], vec![true, true, false, true]));
        assert_eq!(rows.class_sizes(), Some(vec![1, 1, 2]));
    }
}

#[test]
fn row_scores_have_the_metric_as_their_mean() {
    let numbers = Evaluation::regression([1.0, 2.0, 4.0], [1.5, 2.0, 2.0]).unwrap();
    let binary = Evaluation::binary(LABELS, SCORES).unwrap();
    let classes = Evaluation::multiclass([0, 1], [0.7, 0.3, 0.4, 0.6], 2).unwrap();
    for (rows, metric) in [
        (&numbers, Metric::MeanAbsoluteError),
        (&numbers, Metric::MeanSquaredError),
        (&numbers, Metric::Bias),
        (&binary, Metric::LogLoss),
        (&binary, Metric::BrierScore),
        (&classes, Metric::LogLoss),
    ] {
        let scores = rows.row_scores(metric).unwrap().unwrap();
        let mean = scores.iter().sum::<f64>() / scores.len() as f64;
        assert!((mean - rows.measure(metric).unwrap()).abs() < 1e-12, "{metric:?}");
    }
    assert_eq!(binary.row_scores(Metric::RocAuc), Ok(None));
}

#[test]
fn ties_go_to_the_class_that_the_statistics_take() {
    let rows = Evaluation::multiclass([1, 0, 0], [0.5, 0.5, 0.5, 0.5, 0.2, 0.8], 2).unwrap();
    let (_, right) = rows.binary_rows(Metric::Accuracy).unwrap();
    assert_eq!(right, [false, true, false]);
    assert_eq!(rows.metric("accuracy").unwrap(), 1.0 / 3.0);
}

#[test]
fn slices_and_selections_keep_rows_together() {
    let rows = Evaluation::binary(LABELS, SCORES).unwrap();
    let rows = rows.with_slices("half", ["a", "a", "a", "b", "b", "b"]).unwrap();
    let slices = rows.rows_of_slices("half").unwrap();
    assert_eq!(slices["b"], [3, 4, 5]);
    let half = rows.select(&slices["b"]);
    assert_eq!(half.metric("accuracy").unwrap(), 2.0 / 3.0);
    assert_eq!(rows.select(&[0, 0, 99]).rows(), 2);
    assert!(rows.rows_of_slices("third").is_none());
}

#[test]
fn faulty_rows_are_refused_with_their_place() {
    let error = Evaluation::binary([true], []).unwrap_err().to_string();
    assert_eq!(error, "invalid input: an evaluation has 0 scores where 1 are needed");
    let error = Evaluation::classes([0, 3], [0, 0], 3).unwrap_err().to_string();
    assert!(error.ends_with("the label of row 1 is class 3, but there are 3 classes, from 0"), "{error}");
    let error = Evaluation::regression([1.0, f64::NAN], [1.0, 1.0]).unwrap_err().to_string();
    assert!(error.contains("the actual value of row 1 is NaN"), "{error}");
    assert!(Evaluation::multiclass([0], [0.5, 0.5], 3).is_err());
    assert!(Evaluation::classes([0], [5], 3).is_err());
    let rows = Evaluation::binary(LABELS, SCORES).unwrap();
    assert!(rows.clone().with_threshold(f64::NAN).is_err());
    assert!(rows.with_slices("half", ["a"]).is_err());
    assert!(Evaluation::decisions([true], [true]).unwrap().with_threshold(0.5).is_err());
}

#[test]
fn predictions_that_are_no_numbers_are_the_fault_of_the_model() {
    let nan = Evaluation::binary(LABELS, [f64::NAN; 6]).unwrap();
    for metric in [Metric::Accuracy, Metric::RocAuc, Metric::LogLoss, Metric::F1] {
        assert!(matches!(nan.measure(metric), Err(Unmeasured::Bad(_))), "{metric:?}");
    }
    let logits = Evaluation::binary(LABELS, SCORES.map(|score| 10.0 * score)).unwrap();
    assert!(matches!(logits.measure(Metric::LogLoss), Err(Unmeasured::Bad(_))));
    assert!(logits.measure(Metric::RocAuc).is_ok());
    let infinite = Evaluation::regression([1.0], [f64::INFINITY]).unwrap();
    assert!(matches!(infinite.measure(Metric::MeanAbsoluteError), Err(Unmeasured::Bad(_))));
    let one_class = Evaluation::binary([true, true], [0.5, 0.7]).unwrap();
    assert!(matches!(one_class.measure(Metric::RocAuc), Err(Unmeasured::TooLittle(_))));
    assert!(matches!(one_class.measure(Metric::R2), Err(Unmeasured::NotThere)));
}
