//! The page of a report, in a browser.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;
#[path = "common/skip.rs"]
mod skip;

use std::collections::HashSet;
use std::io::{BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};
use std::{env, fs};

use common::Random;
use mlops_core::{ManualClock, Observer, Prediction, Request, Response, RoutingContext, Tensors};
use mlops_monitor::html::{ReportDocument, Trend};
use mlops_monitor::performance::{PerformanceMonitor, PerformanceOptions, PerformanceReport, Task};
use mlops_monitor::quality::{Expectation, QualityReport, Suite};
use mlops_monitor::{Counters, Features, Profile, Rules, Table, TableColumn, TensorFeatures};
use ndarray::Array2;
use skip::skip;
use tempfile::TempDir;

/// What a page of everything has.
const SECTIONS: [&str; 5] = ["overview", "drift", "trend", "quality", "performance"];

/// Names that a page has to bear.
const HOSTILE: [&str; 8] = [
    "<script>throw 'name'</script>",
    "\"><img src=x onerror=alert(1)>",
    "' onmouseover='alert(1)",
    "</script><script>alert(1)</script>",
    "<!-- comment",
    "مرحبا \u{202e}txt.exe",
    "a&amp;b\u{0}\u{7}\u{2028}",
    "&lt;b&gt;",
];

/// A report on as many features, some of them changed, over a few windows.
fn document(width: usize) -> ReportDocument {
    let mut random = Random::new(7);
    let names: Vec<String> = (0..width)
        .map(|i| match HOSTILE.get(i) {
            Some(name) => (*name).to_owned(),
            None if i == HOSTILE.len() => "long ".repeat(400),
            None => format!("feature_{i}"),
        })
        .collect();
    let features = Features::new([TensorFeatures::columns("x", names)]).unwrap();
    let value = |random: &mut Random, column: usize, drift: f64| -> f64 {
        let normal = random.normal();
        match column % 7 {
            0 => normal + drift,
            1 => (normal * 0.8 + drift).exp() * 40.0,
            2 => (3.0 + 1.5 * normal + 2.0 * drift).round().clamp(0.0, 9.0),
            3 => f64::from(u8::from(random.uniform() < 0.3 + 0.3 * drift)),
            4 if random.uniform() < 0.05 + 0.2 * drift => f64::NAN,
            5 => normal / (random.normal().abs() + 1e-3) + drift,
            _ => 1e9 + 1e6 * (random.uniform() + drift * random.uniform()),
        }
    };
    let reference = Array2::from_shape_fn((2000, width), |(_, column)| value(&mut random, column, 0.0));
    let profile = Profile::from_array(reference.view(), features).unwrap();

    let (counters, rules, mut trend) = (Counters::new(profile.clone()), Rules::default(), Trend::new());
    let mut last = None;
    for window in 0..8 {
        let current = Array2::from_shape_fn((600, width), |(_, column)| {
            let drift = if column % 11 == 0 { 0.15 * f64::from(window) } else { 0.0 };
            value(&mut random, column, drift)
        });
        counters.observe(&Tensors::new().with("x", current));
        let counts = counters.rotate();
        let report = rules.report(&profile, &counts).unwrap();
        trend.push(format!("2026-11-{:02}", 10 + window), &report).unwrap();
        last = Some((report, counts));
    }
    let (report, counts) = last.unwrap();
    ReportDocument::new(
        "credit-risk 3.2.0",
        &ManualClock::new("2026-11-17T09:30:00Z".parse().unwrap()),
        report,
    )
    .with_distributions(&profile, &counts)
    .unwrap()
    .with_trend(trend)
    .with_quality(quality())
    .with_performance(performance())
}

/// Chromium, as it is called here.
fn chromium() -> Option<PathBuf> {
    if let Some(program) = env::var_os("CHROME") {
        return Some(program.into());
    }
    let names = ["chromium", "chromium-browser", "google-chrome"];
    let folders: Vec<PathBuf> = env::split_paths(&env::var_os("PATH").unwrap_or_default()).collect();
    let found = names.iter().find_map(|name| folders.iter().map(|it| it.join(name)).find(|it| it.is_file()));
    if found.is_none() {
        skip("there is no chromium: apt-get install chromium, or set CHROME");
    }
    found
}

/// A page, opened.
struct Browser {
    program: PathBuf,
    folder: TempDir,
}

impl Browser {
    fn new(page: &str) -> Option<Self> {
        let (program, folder) = (chromium()?, tempfile::tempdir().unwrap());
        fs::write(folder.path().join("page.html"), page).unwrap();
        Some(Self { program, folder })
    }

    /// What it writes to its output; fails when the page has said anything to the console.
    fn open(&self, fragment: &str, arguments: &[&str]) -> String {
        let (output, complaints) = self.run(fragment, arguments);
        assert!(complaints.is_empty(), "{complaints:#?}");
        output
    }

    /// What it writes to its output, and what the page said to the console.
    fn run(&self, fragment: &str, arguments: &[&str]) -> (String, Vec<String>) {
        let url = format!("file://{}#{fragment}", self.folder.path().join("page.html").display());
        let output = Command::new(&self.program)
            .args([
                "--headless",
                "--no-sandbox",
                "--disable-gpu",
                "--disable-dev-shm-usage",
                "--hide-scrollbars",
            ])
            .args(["--enable-logging=stderr", "--v=0", "--timeout=20000"])
            .arg(format!("--user-data-dir={}", self.folder.path().join("profile").display()))
            .args(arguments)
            .arg(url)
            .output()
            .unwrap();
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{errors}");
        let complaints = errors.lines().filter(|line| line.contains("CONSOLE")).map(str::to_owned).collect();
        (String::from_utf8_lossy(&output.stdout).into_owned(), complaints)
    }

    /// The elements after the page's scripts have run.
    fn dom(&self, fragment: &str) -> String {
        self.open(fragment, &["--dump-dom"])
    }

    /// Width, height and pixels (RGB) of what it paints.
    fn screenshot(&self, arguments: &[&str]) -> (u32, u32, Vec<[u8; 3]>) {
        let file = self.folder.path().join("page.png");
        let screenshot = format!("--screenshot={}", file.display());
        self.open("", &[&[screenshot.as_str(), "--window-size=1200,2000"], arguments].concat());
        let mut reader =
            png::Decoder::new(BufReader::new(fs::File::open(&file).unwrap())).read_info().unwrap();
        let mut bytes = vec![0; reader.output_buffer_size().unwrap()];
        let info = reader.next_frame(&mut bytes).unwrap();
        let pixels = bytes[..info.buffer_size()].chunks_exact(info.color_type.samples());
        (info.width, info.height, pixels.map(|pixel| [pixel[0], pixel[1], pixel[2]]).collect())
    }
}

/// How many entries of the catalogue are to be seen.
fn entries(dom: &str) -> (Vec<&str>, usize) {
    let items: Vec<&str> =
        dom.split("<li id=\"f").skip(1).map(|item| item.split('>').next().unwrap()).collect();
    let hidden = items.iter().filter(|item| item.contains("hidden=")).count();
    (items, hidden)
}

/// Every element closes in the order in which it opened, and text holds no stray markup.
fn assert_balanced(page: &str) {
    const EMPTY: [&str; 3] = ["meta", "input", "!doctype"];
    let (mut open, mut rest) = (Vec::new(), page);
    while let Some(at) = rest.find('<') {
        rest = &rest[at + 1..];
        let end = rest.find('>').unwrap();
        let (tag, after) = (&rest[..end], &rest[end + 1..]);
        rest = after;
        let name = tag.split([' ', '\n']).next().unwrap();
        if let Some(closed) = name.strip_prefix('/') {
            assert_eq!(open.pop(), Some(closed), "before {}", &after[..after.len().min(80)]);
        } else if !EMPTY.contains(&name) {
            assert_eq!(tag.matches('"').count() % 2, 0, "{tag}");
            open.push(name);
            if name == "script" || name == "style" {
                rest = &rest[rest.find("</").unwrap()..];
            }
        }
    }
    assert!(open.is_empty(), "{open:?} never closed");
}

/// Expectations, of which some do not hold.
fn quality() -> QualityReport {
    let suite = Suite::new([
        Expectation::between("age", 0.0..=120.0),
        Expectation::not_null("age").with_mostly(0.5),
        Expectation::in_set("<b>country", ["NO", "</script>"]),
    ]);
    let table = Table::new([
        ("age", TableColumn::integers([Some(31), None, Some(470)])),
        ("<b>country", TableColumn::words([Some("NO"), Some("<img src=x>"), Some("SE")])),
    ]);
    suite.unwrap().check(&table.unwrap())
}

/// Predictions, some of which were wrong.
fn performance() -> PerformanceReport {
    let clock = ManualClock::new("2026-11-17T09:30:00Z".parse().unwrap());
    let options = PerformanceOptions::default().with_segment("<i>country");
    let monitor = PerformanceMonitor::new(Task::binary("p"), options).unwrap().with_clock(clock);
    let mut random = Random::new(3);
    for id in 0..400 {
        let (p, country) = (random.uniform(), if id % 3 == 0 { "NO" } else { "<img src=x>" });
        let context = RoutingContext::new().with_attribute("<i>country", country);
        let request = Request::default().with_id(id.to_string()).with_context(context);
        let response = Response::new(Tensors::new().with("p", vec![p]));
        monitor.observe(&Prediction::new(&request, Ok(&response), Duration::ZERO));
        monitor.label(&id.to_string(), random.uniform() < p).unwrap();
    }
    monitor.report()
}

#[test]
fn a_page_is_well_formed_self_contained_and_small() {
    let page = document(40).page().to_html();
    assert_balanced(&page);
    for forbidden in ["http:", "https:", " src=\"", "url(", "@import", "<link", "<iframe", "<img"] {
        assert!(!page.contains(forbidden), "{forbidden}");
    }
    for id in SECTIONS {
        assert!(page.contains(&format!("<section id=\"{id}\"")), "{id}");
    }
}

#[test]
fn a_report_comes_back_from_its_json_and_makes_the_same_page() {
    let document = document(12);
    let loaded = ReportDocument::from_json(&document.to_json().unwrap()).unwrap();
    assert_eq!(loaded, document);
    assert_eq!(loaded.page().to_html(), document.page().to_html());
    assert!(ReportDocument::from_json(b"{}").is_err());
    let later = br#"{"format":"mlops-report","version":99}"#;
    assert_eq!(ReportDocument::from_json(later).unwrap_err().label(), "unsupported");
}

#[test]
fn five_hundred_features_in_a_browser() {
    let started = Instant::now();
    let page = document(500).page().to_html();
    let made = started.elapsed();
    assert!(page.len() < 4_000_000, "{} bytes", page.len());
    let Some(browser) = Browser::new(&page) else { return };
    if let Some(folder) = env::var_os("MLOPS_PAGE") {
        fs::write(Path::new(&folder).join("page.html"), &page).unwrap();
    }

    let started = Instant::now();
    let dom = browser.dom("");
    let opened = started.elapsed();
    let _ = writeln!(std::io::stderr(), "{} bytes, made in {made:?}, browser ran {opened:?}", page.len());
    for id in SECTIONS {
        assert!(dom.contains(&format!("<section id=\"{id}\"")), "{id}");
    }
    let (items, hidden) = entries(&dom);
    assert_eq!((items.len(), hidden), (500, 0));
    assert!(items[0].contains("data-status=\"drifted\""), "{}", items[0]);
    assert!(!dom.contains("<img"), "a name became an element");
    assert_eq!(dom.matches("<script").count(), 2, "a name became a script");

    let dom = browser.dom("filter=feature_12&sort=name");
    let (items, hidden) = entries(&dom);
    assert_eq!(items.len() - hidden, 11, "feature_12, feature_120 to feature_129");
    let shown: Vec<_> = items.iter().filter(|item| !item.contains("hidden=")).collect();
    assert!(shown[0].contains("data-name=\"feature_12\"") && shown[10].contains("data-name=\"feature_129\""));
    assert!(dom.contains("11 of 500 shown"));

    let dom = browser.dom("filter=%3Cscript&status=stable");
    let (items, hidden) = entries(&dom);
    let named = items.iter().filter(|item| item.contains("&lt;script") && item.contains("stable")).count();
    assert_eq!(items.len() - hidden, named);

    let dom = browser.dom("f311");
    assert!(dom.contains("<li id=\"f311\"") && dom.matches("<details open").count() == 1);
}

#[test]
fn light_dark_and_narrow_are_painted() {
    let Some(browser) = Browser::new(&document(20).page().to_html()) else { return };
    let brightness = |pixels: &[[u8; 3]]| {
        let sum: u64 = pixels.iter().flatten().map(|channel| u64::from(*channel)).sum();
        sum / (3 * pixels.len() as u64)
    };
    let (width, height, light) = browser.screenshot(&[]);
    assert_eq!((width, height), (1200, 2000));
    let (_, _, dark) = browser.screenshot(&["--blink-settings=preferredColorScheme=0"]);
    let (narrow_width, _, narrow) = browser.screenshot(&["--window-size=500,2000"]);
    assert_eq!(narrow_width, 500);
    for (name, pixels) in [("light", &light), ("dark", &dark), ("narrow", &narrow)] {
        let colours: HashSet<&[u8; 3]> = pixels.iter().collect();
        assert!(colours.len() > 100, "{name}: {} colours", colours.len());
    }
    assert!(brightness(&light) > 200, "{}", brightness(&light));
    assert!(brightness(&dark) < 60, "{}", brightness(&dark));
}

/// What proves that the tests above would see a fault.
#[test]
fn a_page_that_throws_or_fetches_is_found_out() {
    let page = document(9).page().to_html();
    for fault in ["<script>throw new Error('on purpose')</script>", "<img src=\"https://example.com/x.png\">"]
    {
        let Some(browser) = Browser::new(&page.replace("<footer>", &format!("{fault}<footer>"))) else {
            return;
        };
        let (_, complaints) = browser.run("", &["--dump-dom"]);
        assert!(!complaints.is_empty(), "{fault}");
    }
}
