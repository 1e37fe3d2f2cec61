//! Profiles in one pass: the same as of all rows at once, while that is possible, and near to it after.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use common::Random;
use mlops_core::{Tensor, Tensors};
use mlops_monitor::{
    FeatureProfile, Features, Profile, ProfileBuilder, ProfileOptions, Table, TableColumn, TensorFeatures,
};
use proptest::prelude::*;

type Row = (f64, i8, Option<String>, Option<bool>);

fn features() -> Features {
    let names = ["number", "integer", "code", "word", "flag"];
    Features::new(names.map(TensorFeatures::column).map(|feature| match feature.tensor() {
        "code" | "flag" => feature.categorical(),
        _ => feature,
    }))
    .unwrap()
}

fn table(rows: &[Row]) -> Table {
    let integer = || rows.iter().map(|row| Some(i64::from(row.1)));
    Table::new([
        ("number", TableColumn::floats(rows.iter().map(|row| row.0).collect())),
        ("integer", TableColumn::integers(integer())),
        ("code", TableColumn::integers(integer())),
        ("word", TableColumn::words(rows.iter().map(|row| row.2.as_deref()))),
        ("flag", TableColumn::booleans(rows.iter().map(|row| row.3))),
    ])
    .unwrap()
}

fn rows() -> impl Strategy<Value = Vec<Row>> {
    let number = prop_oneof![8 => -1e9..1e9, 1 => any::<f64>(), 1 => Just(0.0), 1 => Just(-0.0)];
    let word = proptest::option::of("[ab]{0,3}");
    prop::collection::vec((number, any::<i8>(), word, any::<Option<bool>>()), 1..600)
}

fn build(parts: impl IntoIterator<Item = impl AsRef<[Row]>>) -> ProfileBuilder {
    let mut builder = ProfileBuilder::new(features());
    for part in parts {
        builder.push(&table(part.as_ref())).unwrap();
    }
    builder
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_split_in_any_order_gives_the_profile_of_all_rows(
        rows in rows(),
        size in 1..300_usize,
        at in any::<prop::sample::Index>(),
    ) {
        let expected = Profile::from_table(&table(&rows), features()).unwrap();
        prop_assert_eq!(&build(rows.chunks(size)).finish().unwrap(), &expected);

        let (first, second) = rows.split_at(at.index(rows.len()));
        let (first, second) = (build(first.chunks(size)), build(second.chunks(7)));
        let (mut forth, mut back) = (first.clone(), second.clone());
        forth.merge(second).unwrap();
        back.merge(first).unwrap();
        prop_assert_eq!(forth.rows(), rows.len() as u64);
        prop_assert_eq!(&forth.finish().unwrap(), &expected);
        prop_assert_eq!(&back.finish().unwrap(), &expected);
    }
}

/// The largest difference between the shares of values below the edges, said and true.
fn rank_error(feature: &FeatureProfile, sorted: &[f64]) -> f64 {
    let mut below = 0;
    let edges = feature.edges().iter().zip(&feature.counts().bins);
    let errors = edges.map(|(edge, count)| {
        below += count;
        let truth = sorted.partition_point(|value| value <= edge);
        (below as f64 - truth as f64).abs() / sorted.len() as f64
    });
    errors.fold(0.0, f64::max)
}

#[test]
fn many_values_are_sketched_within_the_stated_error() {
    let features = || Features::new([TensorFeatures::columns("x", ["heavy", "even", "few"])]).unwrap();
    let mut random = Random::new(5);
    let rows = 200_000;
    let columns: [Vec<f64>; 3] = [
        (0..rows).map(|_| (4.0 * random.normal()).exp()).collect(),
        (0..rows).map(f64::from).collect(),
        (0..rows).map(|i| f64::from(i % 150)).collect(),
    ];
    let part = |from: usize, to: usize| {
        let columns = ["heavy", "even", "few"].into_iter().zip(&columns);
        Table::new(columns.map(|(name, values)| (name, TableColumn::floats(values[from..to].to_vec()))))
            .unwrap()
    };
    let builder = |from: usize, to: usize| {
        let mut builder = ProfileBuilder::new(features());
        (from..to).step_by(20_000).for_each(|start| builder.push(&part(start, start + 20_000)).unwrap());
        builder
    };
    let (mut merged, second) = (builder(0, 80_000), builder(80_000, 200_000));
    merged.merge(second.clone()).unwrap();
    let mut reversed = second;
    reversed.merge(builder(0, 80_000)).unwrap();
    for whole in [builder(0, 200_000), merged, reversed] {
        let profile = whole.finish().unwrap();
        assert_eq!(Profile::from_bytes(&profile.to_bytes().unwrap()).unwrap(), profile);
        for (feature, values) in profile.feature_profiles().iter().zip(&columns) {
            let exact = FeatureProfile::new(feature.name(), values).unwrap();
            let mut sorted = values.clone();
            sorted.sort_unstable_by(f64::total_cmp);
            assert!(rank_error(feature, &sorted) <= feature.rank_error(), "{}", feature.name());
            assert_eq!(feature.counts().present(), 200_000);
            if feature.name() == "few" {
                assert_eq!(feature, &exact);
                continue;
            }
            assert_eq!((feature.rank_error(), exact.rank_error()), (0.001, 0.0));
            assert!(feature.resolution() >= 0.001 && feature.sample().is_none());
            let (sketched, exact) = (feature.summary().unwrap(), exact.summary().unwrap());
            assert_eq!((sketched.min, sketched.max, sketched.zeros), (exact.min, exact.max, exact.zeros));
            assert!((sketched.mean / exact.mean - 1.0).abs() < 1e-9);
            assert!((sketched.std / exact.std - 1.0).abs() < 1e-9);
            assert_eq!((sketched.distinct, exact.distinct.is_some()), (None, true));
        }
    }
}

#[test]
fn very_many_categories_keep_the_frequent_ones() {
    let features = || Features::new([TensorFeatures::column("id")]).unwrap();
    let mut builder = ProfileBuilder::new(features());
    for batch in 0..10 {
        let words: Vec<String> = (0..10_000)
            .map(|i| if i % 4 == 0 { format!("often{}", i % 3) } else { format!("id{batch}-{i}") })
            .collect();
        let words = TableColumn::words(words.iter().map(|word| Some(word.as_str())));
        builder.push(&Table::new([("id", words)]).unwrap()).unwrap();
    }
    let profile = builder.finish().unwrap();
    let id = profile.feature("id").unwrap();
    assert_eq!(id.counts().total(), 100_000);
    let mut frequent = id.categories()[..3].to_vec();
    frequent.sort();
    assert_eq!(frequent, ["often0", "often1", "often2"]);
    assert!(
        id.counts().bins[..3].iter().all(|count| (8_333 - 7..=8_340).contains(count)),
        "{:?}",
        &id.counts().bins[..3]
    );
    assert!(!id.knows_all_categories());
    assert_eq!(id.bin_of_word("never"), id.other_bin());
    assert_eq!(Profile::from_bytes(&profile.to_bytes().unwrap()).unwrap(), profile);
}

#[test]
fn constants_and_missing_columns_have_profiles() {
    let rows: Vec<Row> = (0..50).map(|_| (1e9, 7, None, None)).collect();
    let mut builder = build([&rows]);
    let reordered = Table::new([
        ("flag", TableColumn::floats(vec![f64::NAN])),
        ("word", TableColumn::floats(vec![f64::NAN])),
        ("other", TableColumn::words([Some("ignored")])),
        ("code", TableColumn::words([None])),
        ("integer", TableColumn::integers([Some(7)])),
        ("number", TableColumn::floats(vec![1e9])),
    ]);
    builder.push(&reordered.unwrap()).unwrap();
    let profile = builder.finish().unwrap();
    let summary = profile.feature("number").unwrap().summary().unwrap();
    assert_eq!(
        (summary.min, summary.max, summary.mean, summary.std, summary.distinct),
        (1e9, 1e9, 1e9, 0.0, Some(1))
    );
    assert_eq!((profile.rows(), profile.feature("word").unwrap().counts().missing), (51, 51));
    assert_eq!(profile.feature("code").unwrap().categories(), ["7"]);
}

#[test]
fn what_does_not_fit_is_refused_and_leaves_no_trace() {
    let one = Features::new([TensorFeatures::column("a"), TensorFeatures::column("b")]).unwrap();
    let mut builder = ProfileBuilder::new(one.clone());
    assert!(builder.clone().finish().is_err());
    let numbers = |name: &'static str| (name, TableColumn::floats(vec![1.0]));
    let words = |name: &'static str| (name, TableColumn::words([Some("x")]));
    builder.push(&Table::new([numbers("a"), words("b")]).unwrap()).unwrap();
    for (bad, reason) in [
        (Table::new([numbers("a"), numbers("b")]), "feature `b` held words so far, and now holds numbers"),
        (Table::new([words("a"), words("b")]), "feature `a` held numbers so far, and now holds words"),
        (Table::new([numbers("a")]), "there is no column `b`"),
    ] {
        assert_eq!(builder.push(&bad.unwrap()).unwrap_err().to_string(), format!("invalid input: {reason}"));
    }
    let mut other = ProfileBuilder::new(one);
    other.push(&Table::new([words("a"), words("b")]).unwrap()).unwrap();
    assert!(builder.merge(other).is_err());
    assert!(builder.merge(ProfileBuilder::new(features())).is_err());
    assert_eq!(builder.clone().finish().unwrap().rows(), 1);
    assert!(builder.with_options(ProfileOptions::default().with_named_categories(0)).finish().is_err());
}

#[test]
fn tensors_can_be_pushed_as_well() {
    let features =
        Features::new([TensorFeatures::column("city"), TensorFeatures::column("label").of_output()]);
    let mut builder = ProfileBuilder::new(features.unwrap());
    let inputs = Tensors::new().with("city", Tensor::from_byte_strings(&[2], ["Oslo", "Bergen"]).unwrap());
    builder.push_predictions(&inputs, &Tensors::new().with("label", vec![0.5_f32, 0.25])).unwrap();
    let uneven = builder.push_predictions(&inputs, &Tensors::new().with("label", vec![0.5_f32]));
    assert_eq!(uneven.unwrap_err().to_string(), "invalid input: there are 2 rows, but 1 of feature `label`");
    let profile = builder.finish().unwrap();
    assert_eq!((profile.rows(), profile.feature("label").unwrap().sample()), (2, Some(&[0.25, 0.5][..])));
}
