//! A run that was ended at any moment is gone on with: every part is written once, and comes out as it would have.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant, SystemTime};

use mlops_core::{Error, ModelId, Result};
use mlops_serve::score::{Format, Progress, Scoring};

use crate::support::scoring::{contents, summing, texts};

/// Where a child process reads and writes.
const CHILD: &str = "MLOPS_SCORING_CHILD";

fn job(folder: &Path, output: &str) -> Scoring {
    Scoring::new(summing(), folder.join("in"), folder.join(output))
        .with_kept(["id"])
        .with_part_rows(200)
        .with_batch_rows(16)
}

fn run(scoring: Scoring) -> Result<Progress> {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(scoring.run())
}

/// A folder with input: a CSV file, and one of JSON Lines, with rows of all lengths, of which some are bad.
fn input(rows: usize) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let (mut csv, mut json) = ("id,x_0,x_1,name\r\n".to_owned(), String::new());
    for id in 0..rows {
        let x = if id % 37 == 0 { "oops".to_owned() } else { format!("{}", id % 12) };
        write!(csv, "{id},{x},{id},\"{}\n\"\r\n", "n".repeat(id % 50)).unwrap();
        writeln!(
            json,
            "{{\"id\":{id},\"x\":[{},1],\"name\":\"{}\"}}\n",
            id as i64 % 12 - 1,
            "é".repeat(id % 40)
        )
        .unwrap();
    }
    fs::create_dir(folder.path().join("in")).unwrap();
    fs::write(folder.path().join("in/a.csv"), csv).unwrap();
    fs::write(folder.path().join("in/b.jsonl"), json).unwrap();
    folder
}

fn mixed(folder: &Path, output: &str) -> Scoring {
    job(folder, output).with_output_format(Format::JsonLines)
}

/// The finished parts, and what tells whether one is written again.
fn parts(output: &Path) -> BTreeMap<PathBuf, (SystemTime, u64)> {
    let entries = fs::read_dir(output).into_iter().flatten().map(|entry| entry.unwrap().path());
    let stamp = |path: PathBuf| {
        let metadata = fs::metadata(&path).unwrap();
        #[cfg(unix)]
        let file = std::os::unix::fs::MetadataExt::ino(&metadata);
        #[cfg(not(unix))]
        let file = 0;
        (path, (metadata.modified().unwrap(), file))
    };
    entries.filter(|path| path.is_file()).map(stamp).collect()
}

/// Not a test by itself: what the next test kills.
#[test]
fn child() {
    if let Some(folder) = std::env::var_os(CHILD) {
        run(mixed(Path::new(&folder), "killed")).unwrap();
    }
}

#[test]
fn a_run_that_is_killed_again_and_again_comes_out_as_if_it_were_not() {
    let folder = input(4_000);
    let whole = run(mixed(folder.path(), "whole")).unwrap();
    assert!(whole.parts == 40 && whole.quarantined > 100, "{whole:?}");

    let output = folder.path().join("killed");
    let (mut killed, mut between, mut random) = (0, 0, 0x2545_F491_4F6C_DD1D_u64);
    loop {
        let before = parts(&output);
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["resume::child", "--exact", "--nocapture"])
            .env(CHILD, folder.path())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        // It is killed some moments after it has finished so many parts more.
        let (more, moments) =
            (before.len() + (random >> 40) as usize % 5, Duration::from_micros(random % 6_000));
        let mut due = None;
        let ended = loop {
            if let Some(status) = child.try_wait().unwrap() {
                assert!(status.success(), "{status}");
                break true;
            }
            if due.is_none() && parts(&output).len() >= more {
                due = Some(Instant::now() + moments);
            }
            if due.is_some_and(|due| due <= Instant::now()) {
                child.kill().unwrap();
                child.wait().unwrap();
                break false;
            }
            std::thread::yield_now();
        };
        let after = parts(&output);
        assert!(
            before.iter().all(|(path, stamp)| after[path] == *stamp),
            "a finished part was written again"
        );
        killed += usize::from(!ended);
        between += usize::from(!ended && !after.is_empty());
        if ended {
            break;
        }
    }
    assert!(killed >= 5 && between >= 3, "killed {killed} times, {between} times with parts");
    let (killed, whole) = (contents(&output), contents(&folder.path().join("whole")));
    let names = |files: &BTreeMap<String, Vec<u8>>| {
        let finished = files.keys().filter(|name| !name.ends_with(".tmp"));
        finished.cloned().collect::<Vec<_>>()
    };
    assert_eq!(names(&killed), names(&whole));
    for name in names(&whole) {
        assert!(killed[&name] == whole[&name], "{name} differs");
    }
}

#[test]
fn a_run_that_has_nothing_left_touches_nothing() {
    let folder = input(450);
    let first = run(mixed(folder.path(), "out")).unwrap();
    let output = folder.path().join("out");
    let before = parts(&output);
    let again = run(mixed(folder.path(), "out").with_batch_rows(64).with_concurrency(1)).unwrap();
    assert_eq!((again.rows(), again.parts, again.resumed), (0, 0, first.rows()));
    assert_eq!(again.share(), 1.0);
    assert_eq!(parts(&output), before);
}

#[test]
fn a_run_whose_future_is_dropped_is_gone_on_with() {
    let folder = input(450);
    run(mixed(folder.path(), "whole")).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        let (told, mut tell) = tokio::sync::mpsc::unbounded_channel();
        let dropped =
            mixed(folder.path(), "out").on_progress(move |progress| told.send(progress.parts).unwrap());
        let some = async { while tell.recv().await.unwrap() < 2 {} };
        tokio::select! { biased; () = some => {}, result = dropped.run() => panic!("{result:?}") }
    });
    // The threads of the first run finish what they have begun before they let the folder go.
    let done = loop {
        match run(mixed(folder.path(), "out")) {
            Err(Error::Conflict { what }) => assert!(what.contains("another run is writing"), "{what}"),
            other => break other.unwrap(),
        }
    };
    assert!(done.resumed >= 400, "{done:?}");
    assert!(texts(&folder.path().join("out")) == texts(&folder.path().join("whole")));
}

#[test]
fn what_has_changed_is_a_conflict_until_the_job_is_restarted() {
    let folder = input(10);
    let again = || mixed(folder.path(), "out");
    run(again()).unwrap();
    let id = ModelId::new("summing".parse().unwrap(), "2.0.0".parse().unwrap());
    for (job, expected) in [
        (again().with_part_rows(7), "the number of rows per part"),
        (again().with_kept(["name"]), "what columns are taken, filled or kept"),
        (again().with_fill("x", 0), "what columns are taken, filled or kept"),
        (again().with_output_format(Format::Csv), "the format of the output"),
        (again().with_model_id(id), "the id of the model"),
        (again().with_record_bytes(1 << 20), "the greatest length of a record"),
    ] {
        let error = run(job).unwrap_err();
        assert!(matches!(error, Error::Conflict { .. }) && error.to_string().contains(expected), "{error}");
    }
    let path = folder.path().join("in/b.jsonl");
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, &text[..text.len() / 2]).unwrap();
    let error = run(again()).unwrap_err();
    assert!(
        error.to_string().contains("the input `b.jsonl` is not what this output was begun with"),
        "{error}"
    );
    fs::remove_file(&path).unwrap();
    let error = run(again()).unwrap_err();
    assert!(error.to_string().contains("the list of input files, of which some are gone,"), "{error}");

    let done = run(again().with_output_format(Format::Csv).restarted()).unwrap();
    assert_eq!((done.resumed, done.parts), (0, 1));
    let left: Vec<_> = texts(&folder.path().join("out")).into_keys().collect();
    assert_eq!(left, ["_quarantine/part-00000-00000.jsonl", "part-00000-00000.csv"]);
}

#[test]
fn folders_of_others_and_parts_that_were_changed_are_refused() {
    let folder = input(10);
    let output = folder.path().join("out");
    fs::create_dir(&output).unwrap();
    fs::write(output.join("part-00000-00000.jsonl"), "precious").unwrap();
    for job in [mixed(folder.path(), "out"), mixed(folder.path(), "out").restarted()] {
        let error = run(job).unwrap_err();
        assert!(matches!(error, Error::Conflict { .. }), "{error:?}");
        assert!(error.to_string().contains("which no scoring job has written"), "{error}");
    }
    assert_eq!(fs::read_to_string(output.join("part-00000-00000.jsonl")).unwrap(), "precious");

    run(mixed(folder.path(), "mine")).unwrap();
    let part = folder.path().join("mine/part-00001-00000.jsonl");
    fs::write(&part, "{}").unwrap();
    let error = run(mixed(folder.path(), "mine")).unwrap_err();
    assert!(matches!(error, Error::Integrity { .. }), "{error:?}");
    fs::write(folder.path().join("mine/_scoring/job.json"), "{").unwrap();
    let error = run(mixed(folder.path(), "mine")).unwrap_err();
    assert!(matches!(error, Error::Integrity { .. }), "{error:?}");
    assert_eq!(run(mixed(folder.path(), "mine").restarted()).unwrap().parts, 2);
    assert!(!output.join("_scoring").exists(), "nothing is written where nothing may be");
}

#[test]
fn bad_rows_of_earlier_runs_count() {
    let folder = input(450);
    let error = run(mixed(folder.path(), "out").with_max_errors(12)).unwrap_err();
    assert!(error.to_string().contains("more than 12 rows"), "{error}");
    let parts_then = parts(&folder.path().join("out")).len();
    assert!(parts_then > 0);
    let error = run(mixed(folder.path(), "out").with_max_errors(12)).unwrap_err();
    assert!(error.to_string().contains("more than 12 rows"), "{error}");
    assert_eq!(parts(&folder.path().join("out")).len(), parts_then);
}
