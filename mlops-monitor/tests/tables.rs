//! Files of rows: one table whatever holds it, and errors that say where.
#![cfg(feature = "tables")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanArray, Float64Array, Int64Array, StringArray, TimestampMicrosecondArray,
};
use arrow::record_batch::RecordBatch;
use mlops_core::{Error, Result};
use mlops_monitor::{Features, Profile, Table, TableOptions, TableReader, ValueKind};
use parquet::arrow::ArrowWriter;
use tempfile::TempDir;

fn file(name: &str, content: impl AsRef<[u8]>) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(name);
    fs::write(&path, content).unwrap();
    (folder, path)
}

fn read(path: &Path, options: TableOptions) -> Result<Vec<Table>> {
    TableReader::open_with(path, options)?.collect()
}

fn table(name: &str, content: impl AsRef<[u8]>) -> Result<Table> {
    let (_folder, path) = file(name, content);
    read(&path, TableOptions::default()).map(|mut tables| tables.remove(0))
}

fn error(name: &str, content: impl AsRef<[u8]>) -> String {
    let (folder, path) = file(name, content);
    let error = read(&path, TableOptions::default()).expect_err(name);
    assert!(matches!(error, Error::InvalidInput(_)), "{error:?}");
    error.to_string().replace(&format!("{}/", folder.path().display()), "")
}

const CSV: &str = "age,score,city,member,seen\n\
    31,0.5,Oslo,true,2024-01-02\n\
    ,-1e9,\"Bergen, \"\"west\"\"\",false,2024-01-02T12:00:00.000001Z\n\
    1000000000,,,,\n";

const JSON: &str = r#"{"age": 31, "score": 0.5, "city": "Oslo", "member": true, "seen": "2024-01-02"}

{"seen": "2024-01-02T12:00:00.000001Z", "score": -1e9, "city": "Bergen, \"west\"", "member": false}
{"age": 1000000000, "score": null, "city": ""}
"#;

fn parquet(path: &Path) {
    let columns: [(&str, ArrayRef); 5] = [
        ("age", Arc::new(Int64Array::from(vec![Some(31), None, Some(1_000_000_000)]))),
        ("score", Arc::new(Float64Array::from(vec![Some(0.5), Some(-1e9), None]))),
        ("city", Arc::new(StringArray::from(vec![Some("Oslo"), Some("Bergen, \"west\""), None]))),
        ("member", Arc::new(BooleanArray::from(vec![Some(true), Some(false), None]))),
        (
            "seen",
            Arc::new(TimestampMicrosecondArray::from(vec![
                Some(1_704_153_600_000_000),
                Some(1_704_196_800_000_001),
                None,
            ])),
        ),
    ];
    let batch = RecordBatch::try_from_iter(columns).unwrap();
    let mut writer = ArrowWriter::try_new(File::create(path).unwrap(), batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
}

/// NaN compares equal in it.
fn shown(table: &Table) -> String {
    format!("{table:?}")
}

#[test]
fn one_table_whatever_holds_it() {
    let from_csv = table("a.csv", CSV).unwrap();
    let kinds: Vec<ValueKind> = from_csv.columns().map(|(_, column)| column.kind()).collect();
    let [integer, float, text] = [ValueKind::Integer, ValueKind::Float, ValueKind::Text];
    assert_eq!(kinds, [integer, float, text, ValueKind::Boolean, integer]);
    let missing: Vec<usize> = from_csv.columns().map(|(_, column)| column.missing()).collect();
    assert_eq!((from_csv.rows(), missing), (3, vec![1; 5]));

    assert_eq!(shown(&table("a.jsonl", JSON).unwrap()), shown(&from_csv));
    assert_eq!(shown(&table("a.tsv", CSV.replace("Bergen, ", "Bergen; ").replace(',', "\t")).unwrap()), {
        shown(&from_csv).replace("Bergen, ", "Bergen; ")
    });
    assert_eq!(
        shown(&table("a.csv", format!("\u{feff}{CSV}").replace('\n', "\r\n")).unwrap()),
        shown(&from_csv)
    );
    let (_folder, path) = file("a.parquet", "");
    parquet(&path);
    let from_parquet = read(&path, TableOptions::default()).unwrap();
    assert_eq!(shown(&from_parquet[0]), shown(&from_csv));

    let profile = |table: &Table| Profile::from_table(table, Features::of_table(table).unwrap()).unwrap();
    assert_eq!(profile(&from_parquet[0]).digest(), profile(&from_csv).digest());
}

#[test]
fn columns_are_read_in_the_order_that_is_asked_for() {
    let options = TableOptions::default().with_columns(["city", "age"]).with_kind("age", ValueKind::Text);
    let (_a, csv) = file("a.csv", CSV);
    let (_b, json) = file("a.ndjson", JSON);
    let (_c, parquet_file) = file("a.pq", "");
    parquet(&parquet_file);
    let tables: Vec<String> = [csv, json, parquet_file]
        .iter()
        .map(|path| {
            let table = read(path, options.clone()).unwrap().remove(0);
            assert_eq!(table.names().collect::<Vec<_>>(), ["city", "age"]);
            shown(&table)
        })
        .collect();
    assert_eq!(tables[0], tables[1]);
    assert_eq!(tables[0], tables[2]);

    let (_a, csv) = file("a.csv", CSV);
    let error = read(&csv, TableOptions::default().with_columns(["town"])).unwrap_err().to_string();
    assert!(error.contains("has no column `town`; it has `age`, `score`, `city`"), "{error}");
}

#[test]
fn large_files_come_in_batches_and_tell_how_far_they_are() {
    let rows = 150_000;
    let csv: String =
        std::iter::once("a,b\n".to_owned()).chain((0..rows).map(|i| format!("{i},w{}\n", i % 7))).collect();
    let (_folder, path) = file("a.csv", &csv);
    let mut reader = TableReader::open(&path).unwrap();
    assert_eq!(reader.bytes_total(), csv.len() as u64);
    let (mut sum, mut read, mut sizes) = (0.0, 0, Vec::new());
    while let Some(table) = reader.next() {
        let table = table.unwrap();
        sizes.push(table.rows());
        sum += table.column("a").unwrap().as_numbers().unwrap().iter().sum::<f64>();
        assert!(read < reader.bytes_read() || reader.bytes_read() == reader.bytes_total());
        read = reader.bytes_read();
    }
    assert_eq!((sizes, read), (vec![65_536, 65_536, rows - 2 * 65_536], csv.len() as u64));
    assert_eq!(sum, (0..rows).map(|i| i as f64).sum::<f64>());
    assert!(reader.next().is_none());
}

#[test]
fn a_later_value_that_does_not_fit_is_named_with_row_and_column() {
    let rows = |last: &str| {
        std::iter::once("a\n".to_owned()).chain((0..70_000).map(|i| format!("{i}\n"))).collect::<String>()
            + last
    };
    assert_eq!(
        error("a.csv", rows("Oslo\n")),
        "invalid input: `a.csv`, row 70001: column `a` holds numbers, but here `Oslo`; say that it holds text, or \
         that such a value is a missing one"
    );
    let (_folder, path) = file("a.csv", rows("NA\n0.5\n"));
    let tables = read(&path, TableOptions::default().with_missing(["NA"])).unwrap();
    let kinds: Vec<ValueKind> = tables.iter().map(|table| table.column("a").unwrap().kind()).collect();
    assert_eq!(kinds, [ValueKind::Integer, ValueKind::Float]);
    assert_eq!(tables[1].column("a").unwrap().missing(), 1);
    assert!(read(&path, TableOptions::default().with_kind("a", ValueKind::Text)).is_ok());

    let json: String = (0..70_000).map(|i| format!("{{\"a\": {i}}}\n")).collect();
    let text = error("a.jsonl", format!("{json}{{\"a\": \"x\"}}"));
    assert!(text.contains("row 70001: column `a` holds numbers, but here `x`"), "{text}");
    let text = error("a.jsonl", format!("{json}{{\"b\": 1}}"));
    assert!(text.contains("row 70001: column `b` comes for the first time"), "{text}");
}

#[test]
fn bad_files_are_refused_in_words() {
    for (name, content, words) in [
        ("a.csv", "a,b\n1,2\n3\n", "incorrect number of fields for line 3, expected 2 got 1"),
        ("a.csv", "a,b\n1,2,3\n", "incorrect number of fields for line 2"),
        ("a.csv", "", "`a.csv` is empty"),
        ("a.csv", "a,b,a\n1,2,3\n", "has two columns `a`"),
        ("a.csv", "a,\n1,2\n", "has no name for column 2"),
        ("a.jsonl", "", "`a.jsonl` is empty"),
        ("a.jsonl", "[1]\n", "row 1: the line is no JSON object"),
        ("a.jsonl", "{\"a\": 1}\n{\"a\": \n", "row 2: the line is no JSON object"),
        ("a.jsonl", "{\"a\": [1]}", "row 1: column `a` holds an array or an object"),
        ("a.jsonl", "{\"a\": 1, \"a\": 2}", "row 1: column `a` comes twice"),
        ("a.parquet", "no", "`a.parquet` is not what its extension says, or damaged"),
        ("a.parquet", "", "`a.parquet` is not what its extension says, or damaged"),
        ("a.xlsx", "", "csv, tsv, parquet, pq, jsonl, ndjson, json"),
    ] {
        let text = error(name, content);
        assert!(text.contains(words), "{name} {content:?}: {text}");
    }
    let invalid: &[u8] = b"a\n\xff\n";
    assert!(error("a.csv", invalid).contains("UTF-8"));
    assert!(matches!(TableReader::open("nowhere.csv").unwrap_err(), Error::NotFound { .. }));
}

#[test]
fn a_file_of_names_only_has_no_rows() {
    let (_folder, path) = file("a.csv", "a,b\n");
    let reader = TableReader::open(&path).unwrap();
    assert_eq!(reader.names().collect::<Vec<_>>(), ["a", "b"]);
    assert_eq!(reader.count(), 0);
}

#[test]
fn infinities_constants_and_columns_without_a_value_are_numbers() {
    let table = table("a.csv", "inf,nan,none,one\ninf,NaN,,7\n-Infinity,1,,7\n").unwrap();
    assert!(table.columns().all(|(_, column)| column.as_numbers().is_some()));
    let profile = Profile::from_table(&table, Features::of_table(&table).unwrap()).unwrap();
    let of = |name: &str| profile.feature(name).unwrap().counts().clone();
    assert_eq!((of("inf").present(), of("nan").missing, of("none").missing), (2, 1, 2));
    assert_eq!(of("one").bins, [0, 2, 0]);
}

#[test]
fn a_profile_asks_for_its_columns_and_ignores_others() {
    let features = |name: &str| Features::new([mlops_monitor::TensorFeatures::column(name)]).unwrap();
    let table = table("a.csv", "b,a\n1,x\n2,y\n").unwrap();
    assert_eq!(
        Profile::from_table(&table, features("a")).unwrap().feature("a").unwrap().categories(),
        ["x", "y"]
    );
    let error = Profile::from_table(&table, features("c")).unwrap_err();
    assert_eq!(error.to_string(), "invalid input: there is no column `c`");
}
