//! The example `drift_report`, as a process: what a person would type.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stderr)]

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

/// Beside the tests, where `cargo test` has built it.
fn program() -> Option<PathBuf> {
    let tests = std::env::current_exe().unwrap();
    let program = tests.ancestors().nth(2).unwrap().join("examples/drift_report");
    if !program.exists() {
        assert!(std::env::var_os("MLOPS_REQUIRE_ALL").is_none(), "the example is not built");
        eprintln!("SKIPPED: the example is not built: cargo build --example drift_report");
        return None;
    }
    Some(program)
}

/// Runs it in `folder`; its status, and what it said.
fn run(program: &Path, folder: &Path, arguments: &[&str]) -> (i32, String) {
    let output = Command::new(program).current_dir(folder).args(arguments).output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    (output.status.code().unwrap(), String::from_utf8(said).unwrap())
}

/// Rows of a number that moves by `shift`, a city, and a prediction that is right three times of four.
fn csv(rows: u32, shift: f64) -> String {
    let mut text = "age,city,p,y\n".to_owned();
    for row in 0..rows {
        let age = f64::from(row * 37 % 101) + shift;
        let city = ["Oslo", "Bergen", "Tromsø"][(row % 3) as usize];
        let positive = row % 2;
        let p = if (row / 2) % 4 == 0 {
            0.9 - 0.8 * f64::from(positive)
        } else {
            0.1 + 0.8 * f64::from(positive)
        };
        writeln!(text, "{age},{city},{p},{positive}").unwrap();
    }
    text
}

#[test]
fn two_files_make_a_page_and_a_document() {
    let Some(program) = program() else { return };
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("reference.csv"), csv(3000, 0.0)).unwrap();
    fs::write(folder.path().join("current.csv"), csv(2000, 60.0)).unwrap();
    let files = ["--reference", "reference.csv", "--current", "current.csv"];
    let scored =
        ["--target", "y", "--prediction", "p", "--windows", "4", "--html", "r.html", "--json", "r.json"];
    let (status, said) = run(&program, folder.path(), &[&files[..], &scored].concat());
    assert_eq!(status, 0, "{said}");
    assert!(said.contains("drifted: 1 of 4 features have drifted"), "{said}");

    let document: Value = serde_json::from_slice(&fs::read(folder.path().join("r.json")).unwrap()).unwrap();
    assert_eq!((&document["format"], &document["version"]), (&"mlops-report".into(), &1.into()));
    assert_eq!(document["drift"]["rows"], 2000);
    let windows = document["trend"]["windows"].as_array().unwrap();
    assert!((2..=4).contains(&windows.len()), "{windows:?}");
    assert_eq!(windows.iter().map(|window| window["rows"].as_u64().unwrap()).sum::<u64>(), 2000);
    let metrics = document["performance"]["slices"][0]["metrics"].as_array().unwrap();
    let accuracy = metrics.iter().find(|metric| metric["name"] == "accuracy").unwrap();
    assert_eq!(accuracy["value"], 0.75);
    assert_eq!(document["quality"]["outcome"], "failed", "ages are out of the range");

    let page = fs::read_to_string(folder.path().join("r.html")).unwrap();
    for section in ["overview", "drift", "trend", "quality", "performance"] {
        assert!(page.contains(&format!("<section id=\"{section}\"")), "{section}");
    }
}

#[test]
fn files_that_cannot_be_compared_are_refused_with_what_is_wrong() {
    let Some(program) = program() else { return };
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
    write("reference.csv", "a,b\n1,x\n2,y\n");
    write("empty.csv", "a,b\n");
    write("lacks.csv", "b\nx\n");
    write("typed.csv", "a,b\nold,x\n");
    write("turned.csv", "b,a\nx,1\ny,2\n");
    for (file, wrong) in [
        ("empty.csv", "`empty.csv` has no rows"),
        ("lacks.csv", "`lacks.csv` lacks columns of the reference: `a`"),
        ("typed.csv", "column `a` holds whole numbers in `reference.csv`, but text in `typed.csv`"),
        ("away.csv", "not found: file `away.csv`"),
    ] {
        let (status, said) =
            run(&program, folder.path(), &["--reference", "reference.csv", "--current", file]);
        assert!(status == 1 && said.contains(wrong), "{file}: {said}");
    }
    let (status, said) =
        run(&program, folder.path(), &["--reference", "reference.csv", "--current", "turned.csv"]);
    assert_eq!(status, 0, "columns are matched by name: {said}");
    let (status, _) = run(&program, folder.path(), &["--reference", "reference.csv"]);
    assert_eq!(status, 2);
}
