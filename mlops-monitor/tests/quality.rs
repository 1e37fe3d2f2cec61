//! What batches and live requests have to look like.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;
use std::time::Duration;

use mlops_core::{
    Error, ManualClock, Model, Observer, Prediction, Request, Response, Role, Signature, Tensor, Tensors,
    Variant,
};
use mlops_monitor::quality::{
    CheckOptions, Checked, Comparison, Expectation, Finding, ObserverOptions, Offender, Outcome,
    QualityObserver, QualityReport, Reason, Suite,
};
use mlops_monitor::{Features, Span, Table, TableColumn, TensorFeatures, ValueKind};

fn floats(values: &[f64]) -> TableColumn {
    TableColumn::floats(values.to_vec())
}

fn words(values: &[&str]) -> TableColumn {
    TableColumn::words(values.iter().map(|word| Some(*word)))
}

fn table<const COLUMNS: usize>(columns: [(&str, TableColumn); COLUMNS]) -> Table {
    Table::new(columns).unwrap()
}

fn check(expectation: Expectation, table: &Table) -> Finding {
    Suite::new([expectation]).unwrap().check(table).findings.remove(0)
}

fn counts(finding: &Finding) -> (Outcome, u64, u64, u64) {
    (finding.outcome, finding.checked, finding.missing, finding.violations)
}

fn values(offenders: &[Offender]) -> Vec<(u64, &str)> {
    offenders.iter().map(|offender| (offender.row.unwrap(), offender.value.as_deref().unwrap())).collect()
}

#[test]
fn missing_values_count_for_not_null_only() {
    let x = table([("x", floats(&[1.0, f64::NAN, 3.0, f64::NAN]))]);
    let not_null = check(Expectation::not_null("x"), &x);
    assert_eq!(counts(&not_null), (Outcome::Failed, 4, 2, 2));
    assert_eq!(
        not_null.offenders.iter().map(|offender| offender.row).collect::<Vec<_>>(),
        [Some(1), Some(3)]
    );
    assert_eq!(check(Expectation::not_null("x").with_mostly(0.5), &x).outcome, Outcome::Passed);
    assert_eq!(counts(&check(Expectation::between("x", 0.0..=3.0), &x)), (Outcome::Passed, 2, 2, 0));
}

#[test]
fn infinities_lie_in_no_range_and_spoil_moments() {
    let x = table([("x", floats(&[1.0, f64::INFINITY, f64::NEG_INFINITY]))]);
    let between = check(Expectation::between("x", 0.0..), &x);
    assert_eq!(counts(&between), (Outcome::Failed, 3, 0, 2));
    assert_eq!(values(&between.offenders), [(1, "inf"), (2, "-inf")]);
    for expectation in [Expectation::mean("x", 0.0..), Expectation::std("x", 0.0..)] {
        let finding = check(expectation, &x);
        assert_eq!((finding.outcome, finding.reason), (Outcome::Failed, Some(Reason::NotFinite)));
        assert_eq!(finding.observed, None);
    }
    let middle = check(Expectation::quantile("x", 0.5, 0.0..=2.0), &x);
    assert_eq!((middle.outcome, middle.observed), (Outcome::Passed, Some(1.0)));
}

#[test]
fn shares_are_compared_exactly() {
    let x = floats(&(0..100).map(|row| f64::from(u8::from(row < 55))).collect::<Vec<_>>());
    let expectation = |mostly| Expectation::between("x", 1.0..=1.0).with_mostly(mostly);
    let x = table([("x", x)]);
    assert_eq!(check(expectation(0.55), &x).outcome, Outcome::Passed);
    assert_eq!(check(expectation(0.551), &x).outcome, Outcome::Failed);
    assert_eq!(check(expectation(0.551), &x).violation_share(), Some(0.45));
}

#[test]
fn text_in_a_numeric_column_is_found_value_by_value() {
    let x = table([("x", words(&["1", "2.0", "n/a", "900"]))]);
    let between = check(Expectation::between("x", 0.0..=10.0).with_mostly(0.5), &x);
    assert_eq!(counts(&between), (Outcome::Passed, 4, 0, 2));
    assert_eq!(values(&between.offenders), [(2, "n/a"), (3, "900")]);
    assert_eq!(values(&check(Expectation::of_type("x", ValueKind::Integer), &x).offenders), [(2, "n/a")]);
    let mean = check(Expectation::mean("x", 0.0..), &x);
    assert_eq!((mean.outcome, mean.reason), (Outcome::Failed, Some(Reason::NotNumeric)));
    assert_eq!(values(&mean.offenders), [(2, "n/a")]);
}

#[test]
fn numbers_in_a_column_of_text_are_what_is_written() {
    let x = table([("x", TableColumn::integers([Some(12), Some(345)]))]);
    let digits = check(Expectation::match_regex("x", "^[0-9]{2}$"), &x);
    assert_eq!(values(&digits.offenders), [(1, "345")]);
    assert_eq!(check(Expectation::length("x", 2..=3), &x).outcome, Outcome::Passed);
}

#[test]
fn columns_may_be_absent_surplus_or_in_another_order() {
    let ab = table([("a", floats(&[1.0])), ("b", floats(&[2.0]))]);
    let names = |finding: &Finding| {
        finding.offenders.iter().map(|offender| offender.value.clone().unwrap()).collect::<Vec<_>>()
    };
    assert_eq!(check(Expectation::columns(["b", "a"]), &ab).outcome, Outcome::Passed);
    assert_eq!(check(Expectation::columns_at_least(["b"]), &ab).outcome, Outcome::Passed);
    assert_eq!(check(Expectation::columns_in_order(["a", "b"]), &ab).outcome, Outcome::Passed);
    let moved = check(Expectation::columns_in_order(["b", "a"]), &ab);
    assert_eq!(names(&moved), ["`a` is in another place", "`b` is in another place"]);
    let other = check(Expectation::columns(["a", "c"]), &ab);
    assert_eq!(names(&other), ["`b` is not expected", "`c` is missing"]);
    assert_eq!(counts(&other), (Outcome::Failed, 3, 0, 2));

    for expectation in [
        Expectation::not_null("c"),
        Expectation::unique("c"),
        Expectation::mean("c", 0.0..),
        Expectation::pair("a", Comparison::Less, "c"),
    ] {
        let finding = check(expectation, &ab);
        assert_eq!((finding.outcome, finding.reason), (Outcome::Failed, Some(Reason::ColumnMissing)));
    }
}

#[test]
fn nothing_to_look_at_is_neither_passed_nor_failed() {
    let empty = table([("x", floats(&[]))]);
    let missing = table([("x", floats(&[f64::NAN; 3]))]);
    for expectation in [
        Expectation::between("x", 0.0..),
        Expectation::in_set("x", [1.0]),
        Expectation::unique("x"),
        Expectation::mean("x", 0.0..),
        Expectation::std("x", 0.0..),
        Expectation::quantile("x", 0.5, 0.0..),
        Expectation::of_type("x", ValueKind::Text),
    ] {
        for table in [&empty, &missing] {
            let finding = check(expectation.clone(), table);
            assert_eq!(
                (finding.outcome, finding.reason, finding.violation_share()),
                (Outcome::Undecided, Some(Reason::NothingToCheck), None),
                "{expectation}"
            );
        }
    }
    assert_eq!(check(Expectation::not_null("x"), &empty).outcome, Outcome::Undecided);
    assert_eq!(check(Expectation::not_null("x"), &missing).outcome, Outcome::Failed);
    assert_eq!(
        check(Expectation::std("x", 0.0..), &table([("x", floats(&[1.0]))])).outcome,
        Outcome::Undecided
    );
    assert_eq!(check(Expectation::row_count(1..), &empty).outcome, Outcome::Failed);
    let suite = Suite::new([Expectation::columns(["x"]), Expectation::row_count(..=5)]).unwrap();
    let outcomes =
        |report: QualityReport| report.findings.iter().map(|finding| finding.outcome).collect::<Vec<_>>();
    assert_eq!(outcomes(suite.checker().finish()), [Outcome::Undecided, Outcome::Passed]);
}

#[test]
fn pairs_are_compared_where_both_are_there() {
    let table = table([
        ("from", TableColumn::words([Some("2024-01-01"), Some("2024-03-01"), None])),
        ("to", TableColumn::words([Some("2024-02-01"), Some("2024-02-01"), Some("2024-02-01")])),
    ]);
    let finding = check(Expectation::pair("from", Comparison::LessOrEqual, "to"), &table);
    assert_eq!(counts(&finding), (Outcome::Failed, 2, 1, 1));
    assert_eq!(values(&finding.offenders), [(1, "2024-03-01, 2024-02-01")]);
}

#[test]
fn statistics_say_what_they_are() {
    let x = table([("x", floats(&[1.0, 2.0, 4.0, 8.0, f64::NAN]))]);
    let mean = check(Expectation::mean("x", 0.0..3.75), &x);
    assert_eq!((mean.outcome, mean.observed), (Outcome::Failed, Some(3.75)));
    let std = check(Expectation::std("x", 3.0..=3.2), &x);
    assert_eq!(
        (std.outcome, std.observed.map(|std| (1e6 * std).round())),
        (Outcome::Passed, Some(3_095_696.0))
    );
    let median = check(Expectation::quantile("x", 0.5, 3.0..=3.0), &x);
    assert_eq!((median.outcome, median.observed, median.missing), (Outcome::Passed, Some(3.0), 1));
}

#[test]
fn batches_say_what_one_table_says() {
    let rows: Vec<f64> = (0..1000).map(|row| f64::from(row * 7919 % 501)).collect();
    let suite = Suite::new([
        Expectation::between("x", 0.0..=400.0),
        Expectation::unique("x"),
        Expectation::mean("x", 200.0..300.0),
        Expectation::quantile("x", 0.9, 400.0..),
        Expectation::row_count(1000..=1000),
    ])
    .unwrap();
    let whole = suite.check(&table([("x", floats(&rows))]));
    let mut checker = suite.checker();
    rows.chunks(77).for_each(|rows| checker.push(&table([("x", floats(rows))])));
    assert_eq!(checker.rows(), 1000);
    assert_eq!(checker.finish(), whole);
    assert_eq!(whole.findings[1].violations, 499);
    assert_eq!(whole.findings[0].offenders.len(), 20);
}

#[test]
fn memory_is_bounded_and_what_it_cannot_tell_is_undecided() {
    let options =
        CheckOptions::default().with_distinct_limit(100).with_quantile_limit(1000).with_offenders(3);
    let rows: Vec<f64> = (0..100_000).map(f64::from).collect();
    let run = |expectation, rows: &[f64]| {
        let mut checker = Suite::new([expectation]).unwrap().checker_with(&options);
        checker.push(&table([("x", floats(rows))]));
        checker.finish().findings.remove(0)
    };
    let unique = run(Expectation::unique("x"), &rows);
    assert_eq!((unique.outcome, unique.reason), (Outcome::Undecided, Some(Reason::TooManyDistinct)));
    let twice = [&[0.0, 0.0][..], &rows].concat();
    let unique = run(Expectation::unique("x"), &twice);
    assert_eq!((unique.outcome, unique.violations), (Outcome::Failed, 2));

    let median = |range: std::ops::RangeInclusive<f64>| run(Expectation::quantile("x", 0.5, range), &rows);
    assert_eq!(median(30_000.0..=70_000.0).outcome, Outcome::Passed);
    assert_eq!(median(80_000.0..=90_000.0).outcome, Outcome::Failed);
    let near = median(50_000.0..=90_000.0);
    assert_eq!((near.outcome, near.reason), (Outcome::Undecided, Some(Reason::Uncertain)));
    assert_eq!(run(Expectation::between("x", ..0.0), &rows).offenders.len(), 3);
}

#[test]
fn what_cannot_hold_is_refused() {
    for (expectation, said) in [
        (Expectation::between("x", 2.0..=1.0), "no number lies between `min` 2 and `max` 1"),
        (Expectation::between("x", 1.0..1.0), "no number lies strictly between"),
        (Expectation::between("x", f64::NAN..), "`min` has to be a finite number"),
        (Expectation::between("x", ..), "it needs `min`, `max` or both"),
        (Expectation::not_null("x").with_mostly(0.0), "`mostly` is 0; it has to be above 0, at most 1"),
        (Expectation::not_null("x").with_mostly(f64::NAN), "`mostly` is NaN"),
        (Expectation::mean("x", 0.0..).with_mostly(0.5), "`mostly` is for expectations about values"),
        (Expectation::match_regex("x", "("), "`regex`: regex parse error"),
        (Expectation::in_set("x", [""; 0]), "`values` is empty"),
        (Expectation::in_set("x", [f64::NAN]), "`values` holds a NaN"),
        (Expectation::length("x", 3..3), "no count lies between `min` 3 and `max` 2"),
        (Expectation::pair("x", Comparison::Less, "x"), "`other` has to name a second column"),
        (Expectation::quantile("x", 1.5, 0.0..), "`q` is 1.5; it has to be between 0 and 1"),
        (Expectation::std("x", ..-1.0), "no standard deviation is below 0"),
        (Expectation::columns(["a", "a"]), "`names` needs names, each of them once"),
        (Expectation::not_null(""), "the name of the column is empty"),
    ] {
        let error = Suite::new([expectation]).unwrap_err();
        assert!(matches!(error, Error::InvalidInput(_)));
        assert!(error.to_string().contains(said), "{error}");
    }
    assert!(Suite::new([]).is_err());
    let twice =
        Suite::new([Expectation::unique("x"), Expectation::unique("x").with_mostly(0.5)]).unwrap_err();
    assert!(twice.to_string().contains("expectation 2, `unique` of `x`: it comes twice"), "{twice}");
}

fn every_expectation() -> Suite {
    use std::ops::Bound::{Excluded, Included};
    Suite::new([
        Expectation::columns(["a", "b"]),
        Expectation::columns_at_least(["a"]),
        Expectation::columns_in_order(["a", "b"]),
        Expectation::row_count(1..=10),
        Expectation::not_null("a").with_mostly(0.95),
        Expectation::of_type("a", ValueKind::Integer),
        Expectation::between("a", (Excluded(0.5), Included(1e300))),
        Expectation::in_set("a", ["x", "y"]),
        Expectation::in_set("b", [true, false]),
        Expectation::in_set("c", [1.5, 2.5]),
        Expectation::in_set("d", [1, 2]),
        Expectation::match_regex("a", r#"^"\d+'$"#),
        Expectation::length("a", ..=64),
        Expectation::unique("a"),
        Expectation::pair("a", Comparison::LessOrEqual, "b"),
        Expectation::mean("a", 0.0..),
        Expectation::std("a", ..1.0),
        Expectation::quantile("a", 0.95, 0.0..=3.0),
    ])
    .unwrap()
}

#[test]
fn suites_survive_toml_and_json() {
    let suite = every_expectation();
    assert_eq!(Suite::from_toml(&suite.to_toml().unwrap()).unwrap(), suite);
    assert_eq!(Suite::from_json(&suite.to_json().unwrap()).unwrap(), suite);
    assert_eq!(serde_json::from_value::<Suite>(serde_json::to_value(&suite).unwrap()).unwrap(), suite);
    assert!(suite.to_toml().unwrap().contains("[[expectations]]\nexpect = \"between\"\ncolumn = \"a\""));
}

#[test]
fn documents_that_are_wrong_say_where_and_what_is_accepted() {
    let toml = |entry: &str| {
        let good = "[[expectations]]\nexpect = \"unique\"\ncolumn = \"id\"\n";
        Suite::from_toml(&format!("{good}[[expectations]]\n{entry}")).unwrap_err().to_string()
    };
    for (entry, said) in [
        ("expect = \"betwen\"\ncolumn = \"a\"", &["line 5", "unknown variant `betwen`", "`between`"][..]),
        ("expect = \"between\"\ncolumn = \"a\"\nmn = 1", &["line 7", "unknown field `mn`", "`min`"]),
        ("expect = \"between\"\ncolumn = \"a\"\nmin = \"low\"", &["line 7", "invalid type: string"]),
        ("expect = \"in_set\"\ncolumn = \"a\"\nvalues = [[1]]", &["line 7", "a number, text, true or false"]),
        (
            "expect = \"type\"\ncolumn = \"a\"\ntype = \"int\"",
            &["line 7", "`boolean`, `integer`, `float`, `text`"],
        ),
        ("expect = \"unique\"", &["expectation 2, `unique`: it needs `column`"]),
        (
            "expect = \"row_count\"\nmin = 1.5",
            &["expectation 2, `row_count`: `min` is 1.5; it has to be a count"],
        ),
        ("expect = \"unique\"\ncolumn = \"a\"\nmin = 1", &["`unique` of `a`: `min` means nothing to it"]),
        ("expect = \"between\"\ncolumn = \"a\"", &["expectation 2, `between` of `a`: it needs `min`"]),
        ("expect = \"between\"\ncolumn = \"a\"\nmin = 1\nstrict_max = true", &["`strict_max` without `max`"]),
        (
            "expect = \"between\"\ncolumn = \"a\"\nmin = 2\nmax = 1",
            &["no number lies between `min` 2 and `max` 1"],
        ),
    ] {
        let error = toml(entry);
        assert!(said.iter().all(|said| error.contains(said)), "{error}");
    }
    let error = Suite::from_json(r#"{"expectations": [{"expect": "pair", "column": "a", "is": "more"}]}"#);
    let error = error.unwrap_err().to_string();
    assert!(error.contains("`less`, `less_or_equal`, `equal`") && error.contains("line 1 column"), "{error}");
}

#[test]
fn no_share_is_above_one() {
    let table = table([("a", floats(&[1.0])), ("b", floats(&[1.0])), ("c", floats(&[1.0]))]);
    for expectation in [Expectation::columns(["a"]), Expectation::columns(["x"])] {
        let finding = check(expectation, &table);
        assert!(finding.violation_share().is_some_and(|share| share <= 1.0), "{finding:?}");
    }
}

#[test]
fn a_number_and_the_text_it_is_written_as_are_not_unique() {
    let mut checker = Suite::new([Expectation::unique("id")]).unwrap().checker();
    checker.push(&table([("id", TableColumn::integers([Some(12), Some(13)]))]));
    checker.push(&table([(
        "id",
        words(&["n/a", "12", "0013", "13.0", "9007199254740993", "9007199254740992"]),
    )]));
    let finding = checker.finish().findings.remove(0);
    assert_eq!(values(&finding.offenders), [(3, "12")]);
}

#[test]
fn what_documents_cannot_hold_is_refused() {
    for expectation in [
        Expectation::in_set("x", [f64::INFINITY]),
        Expectation::row_count(..=u64::MAX),
        Expectation::length("x", (1 << 53) + 1..),
    ] {
        let text = expectation.to_string();
        assert!(matches!(Suite::new([expectation]), Err(Error::InvalidInput(_))), "{text}");
    }
}

#[test]
fn reports_read_as_tables_and_survive_json() {
    let table = table([
        ("age", floats(&[31.0, f64::NAN, 470.0, -1.0])),
        ("id", TableColumn::integers([Some(1), Some(2), Some(2), Some(3)])),
    ]);
    let suite = Suite::new([
        Expectation::unique("id"),
        Expectation::between("age", 0.0..=120.0),
        Expectation::not_null("age").with_mostly(0.5),
        Expectation::mean("age", 0.0..=1000.0),
        Expectation::not_null("name"),
    ])
    .unwrap();
    let report = suite.check(&table);
    assert_eq!(
        report.to_string(),
        "failed: 3 of 5 expectations have failed (4 rows)\n\
         expectation                                     outcome  checked  missing  violations   share            for example\n\
         age is at least 0 and at most 120               failed         3        1           2  66.67%             row 2: 470\n\
         id is unique                                    failed         4        0           1  25.00%               row 2: 2\n\
         name is not null                                failed         0        0           0       -  the column is missing\n\
         age is not null (mostly 0.5)                    passed         4        1           1  25.00%                  row 1\n\
         the mean of age is at least 0 and at most 1000  passed         3        1           0   0.00%          is 166.666667\n"
    );
    let json = serde_json::to_string(&report).unwrap();
    assert_eq!(serde_json::from_str::<QualityReport>(&json).unwrap(), report);

    let signals = report.signals();
    let of = |name: &str, expectation: &str| {
        let matching = |signal: &&mlops_monitor::Signal| {
            signal.name == name && signal.labels["expectation"] == expectation
        };
        signals.iter().find(matching).map(|signal| signal.value)
    };
    assert_eq!(of("quality.violations", "between"), Some(2.0));
    assert_eq!(of("quality.violation_share", "unique"), Some(0.25));
    assert_eq!(of("quality.failed", "mean"), Some(0.0));
    assert!(signals.iter().all(|signal| !signal.value.is_nan()));
}

#[test]
fn redacted_values_are_in_no_report() {
    let table = table([("name", words(&["secret-a", "secret-a"])), ("age", floats(&[-1.0, -2.0]))]);
    let suite = Suite::new([
        Expectation::unique("name"),
        Expectation::length("name", ..=3),
        Expectation::pair("age", Comparison::Equal, "name"),
        Expectation::between("age", 0.0..),
    ])
    .unwrap();
    let mut checker = suite.checker_with(&CheckOptions::default().with_redacted(["name"]));
    checker.push(&table);
    let report = checker.finish();
    assert_eq!(report.failed().count(), 4);
    assert!(!format!("{report:#}{report:?}").contains("secret"));
    assert_eq!(values(&report.findings[3].offenders), [(0, "-1"), (1, "-2")]);
}

fn live(window: Option<Span>) -> (QualityObserver, ManualClock) {
    let suite = Suite::new([
        Expectation::columns(["age", "city", "income"]),
        Expectation::between("age", 0.0..=120.0).with_mostly(0.9),
        Expectation::in_set("city", ["Oslo", "Bergen"]),
        Expectation::not_null("city"),
        Expectation::pair("age", Comparison::Less, "income"),
        Expectation::mean("income", 0.0..=100.0),
        Expectation::row_count(1..),
    ])
    .unwrap();
    let features =
        Features::new([TensorFeatures::columns("x", ["age", "income"]), TensorFeatures::column("city")])
            .unwrap();
    let clock = ManualClock::default();
    let options = ObserverOptions::default().with_clock(clock.clone());
    let options = window.map_or(options.clone(), |window| options.with_window(window));
    (QualityObserver::new(suite, features, options).unwrap(), clock)
}

fn request(ages: &[f32], city: &str) -> Request {
    let rows = ages.len();
    let x = ages.iter().flat_map(|age| [*age, 50.0]).collect();
    Request::new(
        Tensors::new()
            .with("x", Tensor::from_vec(&[rows, 2], x).unwrap())
            .with("city", Tensor::from_byte_strings(&[rows], vec![city; rows]).unwrap()),
    )
    .with_id("r-1")
}

fn observe(observer: &QualityObserver, request: &Request) {
    observer.observe(&Prediction::new(request, Ok(&Response::default()), Duration::from_millis(1)));
}

#[test]
fn live_requests_are_held_against_the_suite() {
    let (observer, _) = live(None);
    observe(&observer, &request(&[20.0, f32::NAN, 30.0], "Oslo"));
    observe(&observer, &request(&[200.0], ""));
    observe(&observer, &request(&[60.0], "Rome"));
    let report = observer.report();
    let by_name = |name: &str| report.findings.iter().find(|finding| finding.expectation == name).unwrap();
    assert_eq!((report.rows, report.dropped), (5, 0));
    assert_eq!(counts(by_name("between")), (Outcome::Failed, 4, 1, 1));
    assert_eq!(by_name("between").offenders[0].to_string(), "r-1 row 0: 200");
    assert_eq!(counts(by_name("in_set")), (Outcome::Failed, 4, 1, 1));
    assert_eq!(counts(by_name("not_null")), (Outcome::Failed, 5, 1, 1));
    assert_eq!(counts(by_name("pair")), (Outcome::Failed, 4, 1, 2));
    assert_eq!((by_name("mean").outcome, by_name("mean").observed), (Outcome::Passed, Some(50.0)));
    assert_eq!(by_name("columns").outcome, Outcome::Passed);
    assert_eq!(by_name("row_count").observed, Some(5.0));

    let again = observer.rotate();
    assert_eq!(*again, *report);
    assert_eq!((observer.report().rows, observer.report().findings[0].outcome), (0, Outcome::Undecided));
}

#[test]
fn tensors_that_are_absent_or_of_another_shape_are_dropped_and_counted() {
    let (observer, _) = live(None);
    let mut request = request(&[20.0], "Oslo");
    request.inputs.remove("city");
    observe(&observer, &request);
    request.inputs.insert("city", Tensor::from_byte_strings(&[1, 2], ["a", "b"]).unwrap());
    observe(&observer, &request);
    let report = observer.report();
    assert_eq!((report.rows, report.dropped), (2, 2));
    assert_eq!(report.findings[0].offenders[0].value.as_deref(), Some("`city` is missing"));
    assert_eq!(report.findings[1].outcome, Outcome::Passed);
    assert_eq!(report.findings[2].reason, Some(Reason::NothingToCheck));
}

#[test]
fn outputs_are_held_against_the_suite_too() {
    let suite = Suite::new([
        Expectation::between("score", 0.0..=1.0),
        Expectation::pair("age", Comparison::Less, "score"),
        Expectation::columns(["age", "score"]),
    ])
    .unwrap();
    let features =
        Features::new([TensorFeatures::column("age"), TensorFeatures::column("score").of_output()]).unwrap();
    let options = ObserverOptions::default().with_failures(true);
    let observer = QualityObserver::new(suite, features, options).unwrap();
    let request = Request::new(Tensors::new().with("age", vec![0.5_f32, 3.0]));
    let response = Response::new(Tensors::new().with("score", vec![0.75_f64, 1.5]));
    observer.observe(&Prediction::new(&request, Ok(&response), Duration::ZERO));
    observer.observe(&Prediction::new(&request, Err(&Error::engine("broken")), Duration::ZERO));
    let report = observer.report();
    assert_eq!((report.rows, report.dropped), (4, 0));
    assert_eq!(counts(&report.findings[0]), (Outcome::Failed, 2, 0, 1));
    assert_eq!(counts(&report.findings[1]), (Outcome::Failed, 2, 0, 1));
    assert_eq!(report.findings[2].outcome, Outcome::Passed);
}

#[test]
fn shadows_failures_and_unknown_columns_are_left_out() {
    let (observer, _) = live(None);
    let request = request(&[500.0], "Oslo");
    let error = Error::engine("broken");
    observer.observe(&Prediction::new(&request, Err(&error), Duration::ZERO));
    let (response, variant) = (Response::default(), Variant::new("b").unwrap());
    let shadow = Prediction::new(&request, Ok(&response), Duration::ZERO).of_variant(&variant, Role::Shadow);
    observer.observe(&shadow);
    assert_eq!(observer.report().rows, 0);

    let features = Features::new([TensorFeatures::column("a")]).unwrap();
    let suite = Suite::new([Expectation::unique("b")]).unwrap();
    let error = QualityObserver::new(suite, features, ObserverOptions::default()).unwrap_err();
    assert!(error.to_string().contains("`b`, which is none of the features `a`"), "{error}");
}

#[test]
fn windows_end_by_rows_and_threads_lose_no_count() {
    let observer = Arc::new(live(None).0);
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| (0..500).for_each(|_| observe(&observer, &request(&[20.0, 900.0], "Oslo"))));
        }
    });
    let report = observer.report();
    assert_eq!((report.rows, report.findings[1].checked, report.findings[1].violations), (8000, 8000, 4000));
    assert_eq!(report.findings[1].offenders.len(), 20);
    assert_eq!(report.findings[5].checked + 2 * report.dropped, 8000);

    let (observer, _) = live(Some(Span::Rows(10)));
    (0..7).for_each(|_| observe(&observer, &request(&[20.0, 30.0], "Oslo")));
    assert_eq!(observer.report().rows, 10);

    let (observer, clock) = live(Some(Span::Time(Duration::from_secs(60))));
    (0..3).for_each(|_| observe(&observer, &request(&[20.0], "Oslo")));
    clock.advance(Duration::from_secs(59));
    assert_eq!(observer.report().rows, 3);
    clock.advance(Duration::from_secs(1));
    observe(&observer, &request(&[20.0], "Oslo"));
    observe(&observer, &request(&[20.0], "Oslo"));
    assert_eq!(observer.report().rows, 4, "the one that comes late ends the window");
    clock.advance(Duration::from_secs(60));
    assert_eq!(observer.report().rows, 1);
}

#[derive(Debug)]
struct Constant(Signature);

#[mlops_core::reexports::async_trait::async_trait]
impl Model for Constant {
    fn signature(&self) -> &Signature {
        &self.0
    }

    async fn predict(&self, request: Request) -> mlops_core::Result<Response> {
        Ok(Response::new(Tensors::new()).with_id(request.id))
    }
}

#[tokio::test]
async fn a_checked_model_refuses_what_does_not_fit_and_names_every_fault() {
    let features =
        Features::new([TensorFeatures::columns("x", ["age", "income"]), TensorFeatures::column("city")])
            .unwrap();
    let suite = |expectations: Vec<Expectation>| Suite::new(expectations).unwrap();
    let checked = suite(vec![
        Expectation::between("age", 0.0..=120.0),
        Expectation::in_set("city", ["Oslo", "Bergen"]),
        Expectation::pair("age", Comparison::Less, "income").with_mostly(0.5),
    ]);
    let model = || Constant(Signature::new([], []).unwrap());
    let options = CheckOptions::default().with_offenders(2).with_redacted(["city"]);
    let model_with = |suite| Checked::new(model(), suite, features.clone(), options.clone());
    let checked = model_with(checked).unwrap();
    assert!(checked.predict(request(&[20.0, 30.0], "Oslo")).await.is_ok());
    assert!(checked.predict(request(&[20.0, 60.0], "Oslo")).await.is_ok(), "half of the pairs fit");

    let error = checked.predict(request(&[-1.0, 130.0, 140.0], "Rome")).await.unwrap_err();
    assert!(matches!(error, Error::InvalidInput(_)));
    assert_eq!(
        error.to_string(),
        "invalid input: age is at least 0 and at most 120: 3 of 3 do not fit (row 0: -1; row 1: 130; ...); \
         city is one of `Oslo`, `Bergen`: 3 of 3 do not fit (row 0; row 1; ...); \
         age is less than income (mostly 0.5): 2 of 3 do not fit (row 1: 130, 50; row 2: 140, 50)"
    );
    let mut absent = request(&[20.0], "Oslo");
    absent.inputs.remove("city");
    let error = checked.predict(absent).await.unwrap_err().to_string();
    assert!(
        error.contains("city is one of `Oslo`, `Bergen`: there is no tensor `city` of fitting shape"),
        "{error}"
    );

    let error = model_with(suite(vec![Expectation::mean("age", 0.0..)])).unwrap_err().to_string();
    assert!(error.contains("`mean` of `age` is not about single requests"), "{error}");
    assert!(model_with(suite(vec![Expectation::unique("other")])).is_err());
}

proptest::proptest! {
    #[test]
    fn no_document_brings_it_down(
        text in "[ -~\n]{0,200}",
        place in 0..2000_usize,
        junk in "[\\[\\]{}\"'=,0-9a-z.-]{0,8}",
    ) {
        let _ = (Suite::from_toml(&text), Suite::from_json(&text));
        let suite = every_expectation();
        for (text, read) in [
            (suite.to_toml().unwrap(), Suite::from_toml as fn(&str) -> mlops_core::Result<Suite>),
            (suite.to_json().unwrap(), Suite::from_json),
        ] {
            let place = place % text.len();
            let end = (place + junk.len()).min(text.len());
            let _ = read(&format!("{}{junk}{}", &text[..place], &text[end..]));
        }
    }
}
