//! The figures of all scenarios.

use comfy_table::{Table, presets};
use mlops_rollout::{SimulationReport, Spread, Times};

pub const HEADER: [&str; 9] = [
    "scenario",
    "promoted",
    "rolled back",
    "for want of time",
    "promoted after",
    "rolled back after",
    "requests (p90)",
    "users, harmed",
    "harm beyond stable",
];

pub fn of(reports: &[SimulationReport]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::UTF8_FULL_CONDENSED).set_header(HEADER.to_vec());
    table.add_rows(reports.iter().map(row));
    table
}

pub fn row(report: &SimulationReport) -> Vec<String> {
    let time = |times: Option<Times>| times.map_or_else(|| "-".to_owned(), |times| times.to_string());
    let users =
        |users: Option<Spread>| users.map_or_else(|| "-".to_owned(), |users| format!("{:.0}", users.median));
    vec![
        report.scenario.clone(),
        report.promoted.to_string(),
        report.rolled_back.to_string(),
        format!("{:.1} %", 100.0 * report.timed_out.share()),
        time(report.time_to_promotion),
        time(report.time_to_rollback),
        format!("{:.0} ({:.0})", report.requests.median, report.requests.p90),
        format!("{}, {}", users(report.users), users(report.harmed_users)),
        format!("{:+.1}", report.excess_harm.mean),
    ]
}
