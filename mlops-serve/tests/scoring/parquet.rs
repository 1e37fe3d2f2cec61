//! Parquet is scored as the other formats are, with its own types.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Date32Array, Decimal128Array, DictionaryArray,
    FixedSizeListArray, Float16Array, Float32Array, Float64Array, Int8Array, Int64Array, ListArray,
    StringArray, StringViewArray, StructArray, UInt64Array,
};
use arrow::datatypes::{Field, Float32Type, Float64Type, Int32Type, Int64Type};
use arrow::record_batch::RecordBatch;
use mlops_core::Error;
use mlops_serve::score::{Format, Progress, Scoring};
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use crate::support::scoring::{reasons, summing, texts};

fn write(path: &Path, columns: Vec<(&str, ArrayRef)>) {
    let batch = RecordBatch::try_from_iter_with_nullable(
        columns.into_iter().map(|(name, column)| (name, column, true)),
    );
    let batch = batch.unwrap();
    let mut writer = ArrowWriter::try_new(File::create(path).unwrap(), batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
}

fn read(path: &Path) -> Vec<RecordBatch> {
    let reader =
        ParquetRecordBatchReaderBuilder::try_new(File::open(path).unwrap()).unwrap().build().unwrap();
    reader.map(Result::unwrap).collect()
}

fn lists(rows: usize) -> ArrayRef {
    let row = |row: usize| Some(vec![Some(row as i64), Some(1)]);
    Arc::new(ListArray::from_iter_primitive::<Int64Type, _, _>((0..rows).map(row)))
}

fn names(rows: usize) -> ArrayRef {
    Arc::new(StringArray::from_iter_values((0..rows).map(|row| format!("n{row}"))))
}

fn folders() -> (tempfile::TempDir, PathBuf, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let (input, output) = (folder.path().join("in.parquet"), folder.path().join("out"));
    (folder, input, output)
}

async fn run(job: Scoring) -> Progress {
    job.run().await.unwrap()
}

#[tokio::test]
async fn lists_and_types_survive_the_way_through() {
    let (_folder, input, output) = folders();
    let kept: Vec<(&str, ArrayRef)> = vec![
        ("flag", Arc::new(BooleanArray::from(vec![Some(true), None]))),
        ("small", Arc::new(Int8Array::from(vec![-8, 8]))),
        ("large", Arc::new(UInt64Array::from(vec![u64::MAX, 0]))),
        ("half", Arc::new(Float16Array::from(vec![half::f16::ONE, half::f16::NAN]))),
        ("single", Arc::new(Float32Array::from(vec![0.1, f32::INFINITY]))),
        ("view", Arc::new(StringViewArray::from(vec![Some("v"), None]))),
        ("category", Arc::new(["c", "c"].into_iter().collect::<DictionaryArray<Int32Type>>())),
        ("day", Arc::new(Date32Array::from(vec![0, 1]))),
        ("price", Arc::new(Decimal128Array::from(vec![125, 250]).with_precision_and_scale(5, 2).unwrap())),
    ];
    let ids: Vec<_> = kept.iter().map(|(name, _)| *name).collect();
    write(&input, [vec![("x", lists(2)), ("name", names(2))], kept.clone()].concat());
    let job = || Scoring::new(summing(), &input, &output).with_kept(ids.clone());
    assert_eq!(run(job()).await.scored, 2);

    let [batch] = &read(&output.join("part-00000-00000.parquet"))[..] else { panic!("one batch") };
    let column = |name: &str| Arc::clone(batch.column_by_name(name).unwrap());
    assert_eq!(column("sum").as_primitive::<Float64Type>().values(), &[1.0, 2.0]);
    let doubled = column("doubled");
    assert_eq!(doubled.as_list::<i32>().value(1).as_primitive::<Float32Type>().values(), &[2.0, 2.0]);
    assert_eq!(column("shout").as_string::<i32>().value(1), "n1!");
    assert_eq!(*column("flag").as_boolean(), BooleanArray::from(vec![Some(true), None]));
    assert_eq!(column("small").as_primitive::<Int64Type>().values(), &[-8, 8]);
    assert_eq!(column("single").as_primitive::<Float32Type>().values(), &[0.1, f32::INFINITY]);
    assert_eq!(column("price").as_primitive::<Float64Type>().values(), &[1.25, 2.5]);
    assert!(column("view").is_null(1) && column("half").as_primitive::<Float32Type>().value(1).is_nan());

    run(job().with_output_format(Format::Csv).restarted()).await;
    assert_eq!(
        texts(&output)["part-00000-00000.csv"],
        "flag,small,large,half,single,view,category,day,price,sum,doubled_0,doubled_1,shout\n\
         true,-8,18446744073709551615,1.0,0.1,v,c,1970-01-01,1.25,1.0,0.0,2.0,n0!\n\
         ,8,0,NaN,inf,,c,1970-01-02,2.5,2.0,2.0,2.0,n1!\n"
    );
}

#[tokio::test]
async fn csv_becomes_parquet_and_bad_rows_are_set_apart() {
    let (folder, _, output) = folders();
    let input = folder.path().join("in.csv");
    fs::write(&input, "id,x_0,x_1,name\n1,1,2,a\n2,-1,2,b\n3,3,4,c\n").unwrap();
    let job = Scoring::new(summing(), &input, &output).with_kept(["id"]).with_output_format(Format::Parquet);
    let done = run(job).await;
    assert_eq!((done.scored, done.quarantined), (2, 1));
    let batches = read(&output.join("part-00000-00000.parquet"));
    assert_eq!(batches[0].column_by_name("id").unwrap().as_string::<i32>().value(1), "3");
    let quarantine = fs::read_to_string(output.join("_quarantine/part-00000-00000.jsonl")).unwrap();
    assert_eq!(reasons(&quarantine), [(2, "engine failed: no -1, please".to_owned())]);
}

#[tokio::test]
async fn nulls_and_lists_of_a_wrong_length_are_bad_rows() {
    let (_folder, input, output) = folders();
    let x = [Some(vec![Some(1), None]), None, Some(vec![Some(1)]), Some(vec![Some(4), Some(5)])];
    write(
        &input,
        vec![("x", Arc::new(ListArray::from_iter_primitive::<Int64Type, _, _>(x))), ("name", names(4))],
    );
    let done = run(Scoring::new(summing(), &input, &output).with_output_format(Format::JsonLines)).await;
    assert_eq!((done.scored, done.quarantined), (1, 3));
    let files = texts(&output);
    let first = files["_quarantine/part-00000-00000.jsonl"].lines().next().unwrap();
    let first: serde_json::Value = serde_json::from_str(first).unwrap();
    let reason = "column `x`: there is no value; give a value for nulls to score such rows";
    let record = serde_json::json!({"x": [1, null], "name": "n0"});
    assert_eq!(
        first,
        serde_json::json!({"file": "in.parquet", "row": 1, "reason": reason, "record": record})
    );
    assert!(files["part-00000-00000.jsonl"].contains("\"sum\":9.0"));
}

#[tokio::test]
async fn a_run_that_was_ended_goes_on_in_the_middle_of_a_file() {
    let (folder, input, output) = folders();
    let rows = 5_000;
    let mut numbers: Vec<f64> = (0..rows).map(f64::from).collect();
    let halves: ArrayRef = Arc::new(Float64Array::from(vec![0.5; rows as usize]));
    numbers[4_200] = -1.0;
    let columns = vec![
        ("x_0", Arc::new(Float64Array::from(numbers)) as ArrayRef),
        ("x_1", halves),
        ("name", names(rows as usize)),
    ];
    write(&input, columns);
    let job =
        |output: &Path| Scoring::new(summing(), &input, output).with_part_rows(700).with_batch_rows(300);
    let whole = run(job(&folder.path().join("whole"))).await;
    assert_eq!((whole.parts, whole.scored), (8, 4_997), "-1, 13 and 666 are bad");
    let error = job(&output).with_max_errors(2).run().await.unwrap_err();
    assert!(error.to_string().contains("row 4201 of in.parquet"), "{error}");
    let done = run(job(&output)).await;
    assert_eq!((done.resumed, done.parts, done.quarantined), (4_200, 2, 1));
    assert!(
        crate::support::scoring::contents(&output)
            == crate::support::scoring::contents(&folder.path().join("whole"))
    );
}

#[tokio::test]
async fn broken_files_are_errors_whatever_is_broken() {
    let (_folder, input, output) = folders();
    write(&input, vec![("x", lists(500)), ("name", names(500))]);
    let good = fs::read(&input).unwrap();
    let mut failures = 0;
    let mut random = 1_u64;
    for round in 0..150 {
        let mut bytes = good.clone();
        for _ in 0..=round % 4 {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let at = (random >> 33) as usize % bytes.len();
            bytes[at] ^= 1 << (random % 8);
        }
        if round % 5 == 0 {
            bytes.truncate((random >> 33) as usize % bytes.len());
        }
        fs::write(&input, bytes).unwrap();
        let result =
            Scoring::new(summing(), &input, &output).with_output_format(Format::Csv).restarted().run().await;
        if let Err(error) = result {
            failures += 1;
            assert!(matches!(error, Error::InvalidInput(_) | Error::Unsupported { .. }), "{error:?}");
            assert!(error.to_string().contains("in.parquet"), "{error}");
        }
    }
    assert!(failures > 50, "only {failures} of the broken files were found out");
}

#[tokio::test]
async fn types_that_no_input_can_be_are_named() {
    let (_folder, input, output) = folders();
    let field = Arc::new(Field::new("a", arrow::datatypes::DataType::Float32, true));
    let inner: ArrayRef = Arc::new(Float32Array::from(vec![1.0]));
    let structs = StructArray::from(vec![(Arc::clone(&field), Arc::clone(&inner))]);
    write(&input, vec![("x", Arc::new(structs)), ("name", names(1))]);
    let error = Scoring::new(summing(), &input, &output).run().await.unwrap_err();
    assert!(matches!(error, Error::Unsupported { .. }), "{error:?}");
    assert!(error.to_string().contains("the column `x` of"), "{error}");

    let pairs =
        FixedSizeListArray::try_new(field, 2, Arc::new(Float32Array::from(vec![1.0, 2.0])), None).unwrap();
    write(
        &input,
        vec![("x", Arc::new(pairs)), ("name", names(1)), ("id", Arc::new(Int64Array::from(vec![1])))],
    );
    assert_eq!(run(Scoring::new(summing(), &input, &output).restarted()).await.scored, 1);
}
