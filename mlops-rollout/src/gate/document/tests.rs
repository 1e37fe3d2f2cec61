//! Every kind is read, and every mistake is named.

use super::*;

#[test]
fn every_kind_and_field_is_read() {
    let gates = Gates::from_toml(
        r#"
        [[gates]]
        kind = "metric_floor"
        metric = "accuracy"
        floor = 0.9
        confidence = 0.99
        time_limit = "1m 30s"

        [[gates]]
        kind = "metric_ceiling"
        metric = "log_loss"
        ceiling = 1
        slices = "country"
        min_rows = 50
        leave_small_out = true
        lenient = true

        [[gates]]
        kind = "metric_regression"
        metric = "bias"
        max_drop = 0.1
        lower_is_better = true
        confidence = 0.9
        lenient = true
        slices = "country"

        [[gates]]
        kind = "fairness"
        groups = "gender"
        min_rows = 200
        max_demographic_parity_difference = 0.1
        min_demographic_parity_ratio = 0.8
        max_equal_opportunity_difference = 0.1
        max_equalized_odds_difference = 0.1

        [[gates]]
        kind = "sample_size"
        rows = 1_000
        each_class = 100
        each_slice = { country = 50 }

        [[gates]]
        kind = "latency_ceiling"
        p50 = "5ms"
        p99 = "50ms"
        calls = 1_000
        warm_up = 100
        within = "20s"

        [[gates]]
        kind = "latency_regression"
        p50 = 1.1
        p99 = 1.3
        calls = 1_000
        warm_up = 100
        within = "20s"

        [[gates]]
        kind = "size_ceiling"
        of = "memory"
        bytes = 1_000
        max_growth = 1.2

        [[gates]]
        kind = "all_of"
        name = "it is the one that was tested"
        warn_only = true
        gates = [
            { kind = "signature_compatible", name = "callers stay" },
            { kind = "stored_matches", name = "exact" },
            { kind = "stored_matches", absolute = 0.001, relative = 0.01, warn_only = true },
            { kind = "stored_matches", name = "same class", same_argmax = true },
        ]
        "#,
    )
    .unwrap();
    assert_eq!(
        gates.names(),
        [
            "accuracy floor",
            "log_loss ceiling per country",
            "bias regression per country",
            "fairness by gender",
            "sample size",
            "latency ceiling",
            "latency regression",
            "memory ceiling",
            "it is the one that was tested",
        ]
    );
    assert_eq!(gates.0[0].time_limit(), Duration::from_secs(90));
    assert!(gates.0[8].warns_only() && !gates.0[0].warns_only());
    let all = format!("{gates:?}");
    for field in
        ["0.99", "min_rows: 50", "leaves_small_out: true", "lenient: true", "within: 20s", "counted: 1000"]
    {
        assert!(all.contains(field), "{field} is missing in {all}");
    }
}

/// The fault of a gate of that kind with those fields.
fn fault(kind: &str, fields: &str) -> String {
    let text = format!("[[gates]]\nkind = \"{kind}\"\n{fields}");
    let error = Gates::from_toml(&text).unwrap_err().to_string();
    error.replace("invalid input: the gates cannot be read: ", "")
}

#[test]
fn mistakes_are_named_with_the_gate_and_the_field() {
    for (kind, fields, expected) in [
        ("metric_flor", "", "gate 1, `metric_flor`: there is no such `kind`; there are metric_floor, "),
        ("metric_floor", "metric = \"a\"", "gate 1, `metric_floor`: missing field `floor`"),
        (
            "metric_floor",
            "metric = \"a\"\nflor = 1.0",
            "gate 1, `metric_floor`: unknown field `flor`, expected",
        ),
        (
            "metric_floor",
            "metric = \"a\"\nfloor = \"high\"",
            "gate 1, `metric_floor`: invalid type: string \"high\"",
        ),
        (
            "metric_floor",
            "metric = \"a\"\nfloor = nan",
            "gate 1, `metric_floor`: `floor` is NaN; it must be a finite",
        ),
        (
            "metric_floor",
            "metric = \"a\"\nfloor = 0.5\nmin_rows = 3",
            "gate 1, `metric_floor`: `min_rows` means nothing",
        ),
        ("metric_ceiling", "metric = \"a\"\nceiling = inf", "gate 1, `metric_ceiling`: `ceiling` is inf"),
        (
            "metric_ceiling",
            "metric = \"a\"\nceiling = 1.0\nconfidence = 95.0",
            "gate 1, `metric_ceiling`: `confidence` is 95; it must lie between 0 and 1",
        ),
        (
            "metric_regression",
            "metric = \"a\"\nmax_drop = nan",
            "gate 1, `metric_regression`: `max_drop` is NaN",
        ),
        (
            "metric_regression",
            "metric = \"bias\"\nmax_drop = 0.1",
            "gate 1, `metric_regression`: `bias` is better neither higher nor lower by itself: say which",
        ),
        ("fairness", "groups = \"a\"", "gate 1, `fairness`: no bound is set"),
        (
            "fairness",
            "groups = \"a\"\nmin_demographic_parity_ratio = 80.0",
            "gate 1, `fairness`: `min_demographic_parity_ratio` is 80; it must lie in [0, 1]",
        ),
        ("latency_ceiling", "", "gate 1, `latency_ceiling`: no ceiling is set; set `p50` or `p99`"),
        ("latency_ceiling", "p99 = \"soon\"", "gate 1, `latency_ceiling`: "),
        (
            "latency_ceiling",
            "p99 = \"5ms\"\ncalls = 50",
            "gate 1, `latency_ceiling`: `calls` is 50; a p99 needs 100",
        ),
        (
            "latency_regression",
            "p99 = 0.0",
            "gate 1, `latency_regression`: `p99` is 0; it must be a positive",
        ),
        ("size_ceiling", "of = \"disk\"\nbytes = 1", "gate 1, `size_ceiling`: unknown variant `disk`"),
        ("size_ceiling", "of = \"memory\"", "gate 1, `size_ceiling`: no ceiling is set"),
        ("signature_compatible", "strict = true", "gate 1, `signature_compatible`: unknown field `strict`"),
        (
            "stored_matches",
            "absolute = -1.0",
            "gate 1, `stored_matches`: `absolute` is -1; it must be 0 or more",
        ),
        (
            "stored_matches",
            "absolute = 1.0\nsame_argmax = true",
            "gate 1, `stored_matches`: `same_argmax` and a",
        ),
        ("any_of", "gates = []", "gate 1, `any_of`: it needs a `name`"),
        ("any_of", "name = \"x\"\ngates = []", "gate 1, `any_of`: `gates` is empty"),
        (
            "any_of",
            "name = \"x\"\ngates = [{ kind = \"sample_size\", rows = 1 }, { kind = \"size_ceiling\" }]",
            "gate 1, `any_of`, gate 2, `size_ceiling`: missing field `of`",
        ),
        ("sample_size", "rows = -1", "gate 1, `sample_size`: invalid value: integer `-1`"),
        ("sample_size", "rows = 1\nwarn_only = 1", "gate 1: invalid type: integer `1`"),
        ("sample_size", "rows = 1\ntime_limit = \"long\"", "gate 1: "),
    ] {
        let found = fault(kind, fields);
        assert!(found.starts_with(expected), "{kind} {fields}\nfound    {found}\nexpected {expected}");
    }
}

#[test]
fn a_fault_of_type_names_its_field() {
    let found = fault("metric_floor", "metric = \"a\"\nfloor = \"high\"");
    assert!(found.contains("`floor`"), "{found}");
}

#[test]
fn documents_without_gates_or_with_doubles_are_refused() {
    let error = |text: &str| Gates::from_toml(text).unwrap_err().to_string();
    assert!(error("").contains("there is none, and without gates nothing passes"));
    assert!(error("[[gates]]\nname = \"x\"").contains("gate 1: it needs a `kind`"));
    assert!(error("[[gate]]\nkind = \"sample_size\"").contains("unknown field `gate`"));
    assert!(error("[[gates]\n").contains("TOML parse error at line 1"));
    let double = "[[gates]]\nkind = \"sample_size\"\nrows = 1\n".repeat(2);
    assert!(error(&double).contains("gate 2: there is a gate called `sample size` already"));
}
