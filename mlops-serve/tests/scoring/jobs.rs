//! Files are scored row by row: every row is answered, or set apart with a reason.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use mlops_core::{
    DType, Dimension, Error, ManualClock, Model, Request, Response, Result, Signature, Tensor, TensorSpec,
    Tensors,
};
use mlops_serve::score::{Format, Progress, Scoring};
use proptest::prelude::*;
use tempfile::TempDir;

use crate::support::scoring::{reasons, summing, texts};

/// A folder with these files, and one that is not there yet.
fn folders(files: &[(&str, &str)]) -> (TempDir, std::path::PathBuf, std::path::PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let (input, output) = (folder.path().join("in"), folder.path().join("out"));
    for (name, text) in files {
        let path = input.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    (folder, input, output)
}

fn job(input: &Path, output: &Path) -> Scoring {
    Scoring::new(summing(), input, output).with_kept(["id"])
}

async fn scored(name: &str, text: &str) -> (Progress, std::collections::BTreeMap<String, String>) {
    let (_folder, input, output) = folders(&[(name, text)]);
    let done = tokio::spawn(job(&input.join(name), &output).run()).await.unwrap().unwrap();
    (done, texts(&output))
}

async fn refused(name: &str, text: &str) -> Error {
    let (_folder, input, output) = folders(&[(name, text)]);
    job(&input.join(name), &output).run().await.unwrap_err()
}

const CSV: &str = "id,x_0,x_1,name\n7,1,2,ann\n8,0.5,1e2,\"b, \"\"c\"\"\"\n";
const CSV_SCORED: &str =
    "id,sum,doubled_0,doubled_1,shout\n7,3.0,2.0,4.0,ann!\n8,100.5,1.0,200.0,\"b, \"\"c\"\"!\"\n";
const PART: &str = "part-00000-00000.csv";
const QUARANTINE: &str = "_quarantine/part-00000-00000.jsonl";

#[tokio::test]
async fn csv_is_scored_however_its_lines_end() {
    let crlf = CSV.replace('\n', "\r\n");
    let marked = format!("\u{feff}{CSV}");
    for text in [CSV, CSV.trim_end(), &crlf, &marked, &CSV.replace("8,", "\n8,")] {
        let (done, files) = scored("a.csv", text).await;
        assert_eq!((done.scored, done.quarantined, done.parts, done.share()), (2, 0, 1, 1.0), "{text:?}");
        assert_eq!(
            files.into_iter().collect::<Vec<_>>(),
            [(PART.to_owned(), CSV_SCORED.to_owned())],
            "{text:?}"
        );
    }
    let semicolons = CSV.replace("\"b, \"\"c\"\"\"", "b").replace(',', ";");
    let (_folder, input, output) = folders(&[("a.csv", &semicolons)]);
    job(&input, &output).with_input_format(Format::CsvSemicolon).run().await.unwrap();
    assert_eq!(
        texts(&output)[PART],
        "id;sum;doubled_0;doubled_1;shout\n7;3.0;2.0;4.0;ann!\n8;100.5;1.0;200.0;b!\n"
    );
}

#[tokio::test]
async fn json_lines_take_and_give_lists() {
    let text = "\u{feff}{\"id\":7,\"x\":[1,2],\"name\":\"ann\",\"more\":{}}\n\r\n{\"name\":\"b\",\"x\":[[0.5],[1e2]],\"id\":[8,null]}";
    let (done, files) = scored("a.jsonl", text).await;
    assert_eq!((done.scored, done.quarantined), (2, 0));
    assert_eq!(
        files["part-00000-00000.jsonl"],
        "{\"id\":7,\"sum\":3.0,\"doubled\":[2.0,4.0],\"shout\":\"ann!\"}\n\
         {\"id\":[8,null],\"sum\":100.5,\"doubled\":[1.0,200.0],\"shout\":\"b!\"}\n"
    );
    let columns = "{\"id\":7,\"x_0\":1,\"x_1\":2,\"name\":\"ann\"}\n";
    let (_, files) = scored("a.ndjson", columns).await;
    assert!(files["part-00000-00000.jsonl"].contains("\"sum\":3.0"));
}

#[tokio::test]
async fn columns_are_named_filled_and_converted() {
    let (_folder, input, output) = folders(&[("a.csv", "id,age,name,height\n1,,ann,2\n2,TRUE,,0.25\n")]);
    let done = job(&input, &output)
        .with_columns("x", ["height", "age"])
        .with_fill("age", 40)
        .with_output_format(Format::JsonLines)
        .run()
        .await
        .unwrap();
    assert_eq!(done.scored, 2);
    assert_eq!(
        texts(&output)["part-00000-00000.jsonl"],
        "{\"id\":\"1\",\"sum\":42.0,\"doubled\":[4.0,80.0],\"shout\":\"ann!\"}\n\
         {\"id\":\"2\",\"sum\":1.25,\"doubled\":[0.5,2.0],\"shout\":\"!\"}\n"
    );
}

#[tokio::test]
async fn bad_rows_of_csv_are_set_apart_and_the_others_scored() {
    let text = "id,x_0,x_1,name\n1,1,1,a\n2,x,1,b\n3,1,1\n4,,1,d\n5,NaN,1,e\n6,-1,0,f\n7,13,0,g\n8,666,0,h\n9,2,2,\"i\n\"\n10,1e99,0,j\n11,1,1,k,1\n12,3,3,l\n";
    let (done, files) = scored("a.csv", text).await;
    assert_eq!((done.scored, done.quarantined), (3, 9));
    let ids: Vec<_> =
        files[PART].lines().skip(1).filter_map(|line| line.split_once(',')).map(|(id, _)| id).collect();
    assert_eq!(ids, ["1", "9", "12"]);
    assert_eq!(
        reasons(&files[QUARANTINE]),
        [
            (2, "column `x_0`: \"x\" is no FP32"),
            (3, "the row has 3 fields, but the header has 4"),
            (4, "column `x_0`: there is no value; give a value for nulls to score such rows"),
            (5, "column `x_0`: NaN and infinities are forbidden"),
            (6, "engine failed: no -1, please"),
            (7, "engine failed: the model panicked: thirteen"),
            (8, "output `shout` of the row is not UTF-8"),
            (10, "column `x_0`: \"1e99\" is no FP32"),
            (11, "the row has 5 fields, but the header has 4"),
        ]
        .map(|(row, reason)| (row, reason.to_owned()))
    );
    let first = files[QUARANTINE].lines().next().unwrap();
    assert_eq!(
        first,
        r#"{"file":"a.csv","row":2,"line":3,"reason":"column `x_0`: \"x\" is no FP32","record":["2","x","1","b"]}"#
    );
    let last: serde_json::Value = serde_json::from_str(files[QUARANTINE].lines().last().unwrap()).unwrap();
    assert_eq!(last["line"], 13, "a row of two lines came before");
}

#[tokio::test]
async fn bad_lines_of_json_are_set_apart_and_the_others_scored() {
    let good = "{\"id\":1,\"x\":[1,2],\"name\":\"a\"}";
    let long = format!("{{\"id\":2,\"pad\":\"{}\"}}", "x".repeat(70_000));
    let lines = [
        good,
        &long,
        "{\"id\":3,",
        "[4]",
        "{\"id\":5,\"x\":[1],\"name\":\"a\"}",
        "{\"id\":6,\"x\":[1,2]}",
        "{\"id\":7,\"x\":[1,\"2\"],\"name\":\"a\"}",
        "{\"id\":8,\"x\":[1,2],\"x\":[1,2],\"name\":\"a\"}",
        "{\"id\":9,\"x\":[1,2],\"name\":3}",
        good,
    ];
    let (_folder, input, output) = folders(&[("a.jsonl", &lines.join("\n"))]);
    let mut bytes = fs::read(input.join("a.jsonl")).unwrap();
    bytes.extend(b"\n{\"name\":\"\xff\"}\n");
    fs::write(input.join("a.jsonl"), bytes).unwrap();
    let done = job(&input, &output).with_record_bytes(0).run().await.unwrap();
    assert_eq!((done.scored, done.quarantined), (2, 9));
    let files = texts(&output);
    let reasons = reasons(&files[QUARANTINE]);
    let expected = [
        (2, "the line is longer than 65536 bytes"),
        (3, "EOF while parsing"),
        (4, "expected one JSON object per line"),
        (5, "input `x` takes 2 values per row, but the row has 1"),
        (6, "column `name`: there is no value"),
        (7, "column `x`: \"2\" is no FP32"),
        (8, "`x` comes twice"),
        (9, "column `name`: 3 is no BYTES"),
        (11, "invalid utf-8 sequence"),
    ];
    assert_eq!(reasons.len(), expected.len());
    for ((row, reason), (expected_row, expected)) in reasons.iter().zip(expected) {
        assert!(*row == expected_row && reason.contains(expected), "row {row}: {reason}");
    }
    assert!(files[QUARANTINE].len() < 4_000, "no more than the beginning of a long line is kept");
}

#[tokio::test]
async fn files_without_rows_make_parts_without_rows() {
    for text in ["id,x_0,x_1,name\n", "id,x_0,x_1,name"] {
        let (done, files) = scored("a.csv", text).await;
        assert_eq!((done.rows(), done.parts), (0, 1));
        assert_eq!(files[PART], "id,sum,doubled_0,doubled_1,shout\n");
    }
    let (done, files) = scored("a.jsonl", "").await;
    assert_eq!((done.rows(), &*files["part-00000-00000.jsonl"]), (0, ""));
}

#[tokio::test]
async fn files_that_make_no_sense_are_refused_in_words() {
    for (name, text, expected) in [
        ("a.csv", "", "lacks the columns `x`, `name`, `id`; it has ``"),
        ("a.csv", "id,name,x_0\n1,a,2\n", "lacks the columns `x_1`; it has `id`, `name`, `x_0`"),
        ("a.csv", "id,id,name,x\n1,1,a,2\n", "the column `id` comes twice"),
        ("a.csv", "id,name,x_0,x_1\n1,\"a,2,2\n", ""),
        ("a.xlsx", "PK", "says no format; expected csv, tsv, jsonl, ndjson or parquet"),
    ] {
        if expected.is_empty() {
            let open_quote = format!("{text}{}", "1,a,2,2\n".repeat(20_000));
            let (_folder, input, output) = folders(&[(name, &open_quote)]);
            let error = job(&input, &output).with_record_bytes(0).run().await.unwrap_err();
            assert!(matches!(error, Error::InvalidInput(_)), "{error:?}");
            assert!(
                error.to_string().contains("at row 1: it is longer than 65536 bytes; is a quote not closed?"),
                "{error}"
            );
            continue;
        }
        let error = refused(name, text).await;
        assert!(matches!(error, Error::InvalidInput(_)), "{error:?}");
        assert!(error.to_string().contains(expected), "{error}");
    }
}

#[tokio::test]
async fn folders_are_read_in_order_and_what_is_no_data_is_passed_over() {
    let row = |id: u32| format!("id,x_0,x_1,name\n{id},{id},0,n\n");
    let (_folder, input, output) = folders(&[
        ("b.csv", &row(2)),
        ("a/z.csv", &row(1)),
        ("c.csv", &row(3)),
        ("_SUCCESS", ""),
        (".hidden.csv", "x"),
    ]);
    let done = job(&input, &output).run().await.unwrap();
    assert_eq!((done.scored, done.parts), (3, 3));
    let files = texts(&output);
    assert_eq!(files.len(), 3);
    for (file, text) in files.values().enumerate() {
        assert!(text.contains(&format!("\n{},", file + 1)), "{text}");
    }
}

#[tokio::test]
async fn parts_hold_so_many_rows_of_the_input_and_progress_tells_of_them() {
    let rows: String = (0..10).map(|id| format!("{id},{},0,n\n", if id == 4 { -1 } else { id })).collect();
    let (_folder, input, output) = folders(&[("a.csv", &format!("id,x_0,x_1,name\n{rows}"))]);
    let seen = Arc::new(Mutex::new(Vec::new()));
    let (reports, clock) = (Arc::clone(&seen), ManualClock::default());
    let ticking = clock.clone();
    let done = job(&input, &output)
        .with_part_rows(5)
        .with_batch_rows(2)
        .with_clock(clock)
        .on_progress(move |progress| {
            ticking.advance(Duration::from_secs(1));
            reports.lock().unwrap().push(*progress);
        })
        .run()
        .await
        .unwrap();
    let files = texts(&output);
    let lines = |name: &str| files[name].lines().count() - 1;
    assert_eq!((lines(PART), lines("part-00000-00001.csv"), files.len()), (4, 5, 3));
    let seen = seen.lock().unwrap();
    let rows: Vec<_> = seen.iter().map(Progress::rows).collect();
    assert_eq!(rows, [2, 4, 5, 7, 9, 10], "batches end with their part");
    assert!(seen.windows(2).all(|pair| pair[0].bytes < pair[1].bytes));
    assert_eq!((done.scored, done.quarantined, done.parts), (9, 1, 2));
    assert_eq!((done.bytes, done.elapsed), (done.total_bytes, Duration::from_secs(5)));
    assert_eq!(done.rows_per_second(), 2.0);
}

#[tokio::test]
async fn more_bad_rows_than_allowed_end_the_run() {
    let rows: String =
        (0..9).map(|id| format!("{id},{},0,n\n", if id % 3 == 0 { "?" } else { "1" })).collect();
    let (_folder, input, output) = folders(&[("a.csv", &format!("id,x_0,x_1,name\n{rows}"))]);
    let error = job(&input, &output).with_max_errors(2).run().await.unwrap_err();
    assert!(matches!(error, Error::InvalidInput(_)), "{error:?}");
    assert!(
        error.to_string().contains("more than 2 rows cannot be scored; the last one is row 7 of a.csv"),
        "{error}"
    );
    assert!(texts(&output).is_empty(), "what is not finished is not there");
    assert_eq!(job(&input, &output).with_max_errors(3).run().await.unwrap().quarantined, 3);
}

/// Fails a number of times before each answer, and counts how often it is asked.
#[derive(Debug)]
struct Failing<M> {
    model: M,
    error: fn() -> Error,
    failures: AtomicUsize,
    asked: Arc<AtomicUsize>,
}

#[async_trait]
impl<M: Model> Model for Failing<M> {
    fn signature(&self) -> &Signature {
        self.model.signature()
    }

    async fn predict(&self, request: Request) -> Result<Response> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        let left = self.failures.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
        if left.is_ok() { Err((self.error)()) } else { self.model.predict(request).await }
    }
}

fn failing(failures: usize, error: fn() -> Error) -> (Failing<impl Model>, Arc<AtomicUsize>) {
    let asked = Arc::new(AtomicUsize::new(0));
    let failures = AtomicUsize::new(failures);
    (Failing { model: summing(), error, failures, asked: Arc::clone(&asked) }, asked)
}

#[tokio::test]
async fn a_model_that_is_away_is_asked_again_and_then_ends_the_run() {
    let (_folder, input, output) = folders(&[("a.csv", CSV)]);
    let (model, asked) = failing(2, || Error::overloaded("full"));
    assert_eq!(Scoring::new(model, &input, &output).run().await.unwrap().scored, 2);
    assert_eq!(asked.load(Ordering::SeqCst), 3);

    for (error, times) in
        [((|| Error::unavailable("away")) as fn() -> Error, 1), (|| Error::permission_denied("not you"), 1)]
    {
        let (_folder, input, output) = folders(&[("a.csv", CSV)]);
        let (model, asked) = failing(usize::MAX, error);
        let result = Scoring::new(model, &input, &output).with_patience(Duration::ZERO).run().await;
        assert_eq!(result.unwrap_err().to_string(), error().to_string());
        assert_eq!((asked.load(Ordering::SeqCst), texts(&output).len()), (times, 0));
        assert_eq!(Scoring::new(summing(), &input, &output).run().await.unwrap().scored, 2);
    }
}

/// Gives the lengths of lists, and how many rows it was asked at once.
#[derive(Debug)]
struct Lengths(Signature);

#[async_trait]
impl Model for Lengths {
    fn signature(&self) -> &Signature {
        &self.0
    }

    async fn predict(&self, request: Request) -> Result<Response> {
        self.0.check(&request.inputs)?;
        let shape = request.inputs.require("tokens")?.shape();
        let (rows, length) = (shape[0], shape[1]);
        let outputs = Tensors::new()
            .with("length", vec![length as u32; rows])
            .with("rows", vec![rows as u8; rows])
            .with("ones", Tensor::from_vec(&[rows, length], vec![true; rows * length])?);
        Ok(Response::new(outputs))
    }
}

fn lengths() -> Lengths {
    let free = |name, dtype| TensorSpec::new(name, dtype, [Dimension::Batch, Dimension::Free]);
    let one = |name, dtype| TensorSpec::new(name, dtype, [Dimension::Batch]);
    let outputs = [one("length", DType::Uint32), one("rows", DType::Uint8), free("ones", DType::Bool)];
    Lengths(Signature::new([free("tokens", DType::Int64)], outputs).unwrap())
}

#[tokio::test]
async fn rows_of_the_same_length_are_asked_together_and_written_in_their_order() {
    let lines = "{\"tokens\":[1,2]}\n{\"tokens\":[]}\n{\"tokens\":[5,6]}\n";
    let (_folder, input, output) = folders(&[("a.jsonl", lines)]);
    Scoring::new(lengths(), &input, &output).run().await.unwrap();
    assert_eq!(
        texts(&output)["part-00000-00000.jsonl"],
        "{\"length\":2,\"rows\":2,\"ones\":[true,true]}\n{\"length\":0,\"rows\":1,\"ones\":[]}\n\
         {\"length\":2,\"rows\":2,\"ones\":[true,true]}\n"
    );
    let csv = Scoring::new(lengths(), &input, input.with_file_name("csv")).with_output_format(Format::Csv);
    let error = csv.run().await.unwrap_err();
    assert!(error.to_string().contains("write JSON Lines or Parquet"), "{error}");
}

#[tokio::test]
async fn impossible_jobs_are_refused_before_anything_is_written() {
    let (_folder, input, output) = folders(&[("a.csv", CSV), ("b.jsonl", "{}")]);
    let file = input.join("a.csv");
    for (job, expected) in [
        (job(&file, &output).with_batch_rows(0), "a batch of 0 scores nothing"),
        (job(&file, &output).with_part_rows(0), "a part of 0 scores nothing"),
        (job(&file, &output).with_concurrency(0), "the concurrency of 0 scores nothing"),
        (
            job(&file, &output).with_columns("y", ["a"]),
            "the input `y`, which the model does not have; it has `x`, `name`",
        ),
        (job(&file, &output).with_kept(["sum"]), "two columns of the name `sum`"),
        (job(&input, &output), "files in CSV and in JSON Lines; choose the format of the output"),
        (job(&input, &input.join("out")).with_output_format(Format::Csv), "is inside of the input"),
    ] {
        let error = job.run().await.unwrap_err();
        assert!(matches!(error, Error::InvalidInput(_)) && error.to_string().contains(expected), "{error}");
        assert!(!output.exists() && !input.join("out").exists());
    }
    let missing = job(&input.join("none.csv"), &output).run().await.unwrap_err();
    assert!(matches!(missing, Error::NotFound { .. }), "{missing:?}");
    let scalar = TensorSpec::new("x", DType::Fp32, [Dimension::Fixed(2)]);
    let error = Scoring::new(Lengths(Signature::new([scalar], []).unwrap()), &input, &output)
        .run()
        .await
        .unwrap_err();
    assert!(matches!(error, Error::Unsupported { .. }), "{error:?}");
    let unused = job(&file, &output).with_fill("id2", 0).run().await.unwrap_err();
    assert!(unused.to_string().contains("nulls in the column `id2`, but no input takes it"), "{unused}");
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_full_disk_ends_the_run_and_leaves_nothing_half_written() {
    let formats = [
        Format::Csv,
        Format::JsonLines,
        #[cfg(feature = "parquet")]
        Format::Parquet,
    ];
    for format in formats {
        let (_folder, input, output) = folders(&[("a.csv", CSV)]);
        let unfinished = output.join("_scoring/part-00000-00000.tmp");
        fs::create_dir_all(unfinished.parent().unwrap()).unwrap();
        std::os::unix::fs::symlink("/dev/full", &unfinished).unwrap();
        let error = job(&input, &output).with_output_format(format).run().await.unwrap_err();
        assert!(matches!(error, Error::Unavailable { .. }), "{error:?}");
        assert!(error.to_string().contains("No space left on device"), "{error}");
        assert!(texts(&output).is_empty());
        fs::remove_file(&unfinished).unwrap();
        let done = job(&input, &output).with_output_format(format).run().await.unwrap();
        assert_eq!((done.scored, done.parts), (2, 1));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn batches_parts_and_concurrency_change_no_row(
        rows in prop::collection::vec((prop_oneof![Just(-1.0), Just(13.0), -10.0..10.0_f32], "[a-z\",;\n]{0,12}"), 0..60),
        batch_rows in 1..9_usize,
        part_rows in 1..25_u64,
        concurrency in 1..5_usize,
    ) {
        let mut csv = csv::Writer::from_writer(Vec::new());
        csv.write_record(["id", "x_0", "x_1", "name"]).unwrap();
        for (id, (x, name)) in rows.iter().enumerate() {
            csv.write_record([&id.to_string(), &x.to_string(), "1", name]).unwrap();
        }
        let text = String::from_utf8(csv.into_inner().unwrap()).unwrap();
        let (_folder, input, output) = folders(&[("a.csv", &text)]);
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let job = job(&input, &output).with_output_format(Format::JsonLines);
        let job = job.with_batch_rows(batch_rows).with_part_rows(part_rows).with_concurrency(concurrency);
        let done = runtime.block_on(job.run()).unwrap();
        prop_assert_eq!(done.parts, (rows.len() as u64).div_ceil(part_rows).max(1));

        let bad = |row: &(f32, String)| [-1.0, 13.0].contains(&row.0);
        let files = texts(&output);
        let (quarantine, parts): (Vec<_>, Vec<_>) = files.iter().partition(|(name, _)| name.starts_with('_'));
        let scored: Vec<serde_json::Value> = parts
            .iter()
            .flat_map(|(_, text)| text.lines().map(|line| serde_json::from_str(line).unwrap()))
            .collect();
        let expected = rows.iter().enumerate().filter(|(_, row)| !bad(row));
        let expected: Vec<_> = expected.map(|(id, (x, name))| (id.to_string(), f64::from(*x) + 1.0, format!("{name}!"))).collect();
        let came = scored.iter().map(|row| {
            let text = |name: &str| row[name].as_str().unwrap().to_owned();
            (text("id"), row["sum"].as_f64().unwrap(), text("shout"))
        });
        prop_assert_eq!(came.collect::<Vec<_>>(), expected);
        let numbers: Vec<_> = quarantine.iter().flat_map(|(_, text)| reasons(text)).map(|(row, _)| row).collect();
        let expected = rows.iter().zip(1..).filter(|(row, _)| bad(row)).map(|(_, number)| number);
        prop_assert_eq!(numbers, expected.collect::<Vec<u64>>());
    }
}
