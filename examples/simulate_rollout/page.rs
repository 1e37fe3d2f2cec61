//! A page with the figures, and a plot of one rollout of each scenario. It needs no network.

use std::fmt::Write as _;
use std::time::Duration;

use mlops_rollout::{Plan, SimulationReport, TracePoint};

use super::arguments::Failure;
use super::panel::{Line, Panel, escaped};
use super::table;

const STYLE: &str = "
:root { color-scheme: light dark; --stable: light-dark(#7a818c, #8b93a0); --candidate: light-dark(#2f47c2, #8fa3ff);
  --line: light-dark(#e3e3de, #2b2f37); --quiet: light-dark(#5b6068, #a2a8b3); }
body { margin: 0 auto; max-width: 1060px; padding: 24px; font: 15px/1.5 system-ui, sans-serif;
  background: light-dark(#fff, #14161a); color: light-dark(#1b1d21, #e9eaed); }
table { border-collapse: collapse; font-size: 13px; font-variant-numeric: tabular-nums; display: block; overflow-x: auto; }
th, td { padding: 4px 10px; border-bottom: 1px solid var(--line); text-align: left; white-space: nowrap; }
section { margin-top: 40px; } svg { width: 100%; height: auto; display: block; margin-top: 10px; }
pre { font-size: 13px; white-space: pre-wrap; color: var(--quiet); }
svg text { font: 12px system-ui, sans-serif; fill: var(--quiet); } svg .title { font-weight: 600; }
polyline { fill: none; } polyline, svg line { stroke-width: 1.5; }
.stable { stroke: var(--stable); } .candidate, .share, .difference { stroke: var(--candidate); }
.band { fill: var(--candidate); opacity: .18; } .grid { stroke: var(--line); }
.zero { stroke: var(--quiet); stroke-dasharray: 2 3; } .move { stroke: var(--quiet); stroke-dasharray: 4 4; opacity: .6; }
";

pub fn of(plan: &Plan, reports: &[SimulationReport]) -> Result<String, Failure> {
    let mut page = format!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width\">\
         <title>Simulated rollouts</title><style>{STYLE}</style><h1>Simulated rollouts</h1><table><tr>"
    );
    for title in table::HEADER {
        write!(page, "<th>{title}</th>")?;
    }
    for report in reports {
        page.push_str("</tr><tr>");
        for cell in table::row(report) {
            write!(page, "<td>{}</td>", escaped(&cell))?;
        }
    }
    page.push_str("</tr></table>");
    for (index, report) in reports.iter().enumerate() {
        section(&mut page, index, report)?;
    }
    let plan = serde_json::to_string_pretty(plan)?;
    write!(page, "<section><h2>The plan</h2><pre>{}</pre></section></html>", escaped(&plan))?;
    Ok(page)
}

fn section(page: &mut String, index: usize, report: &SimulationReport) -> Result<(), Failure> {
    let every = report.trace.len() / 1_500 + 1;
    let shown = |(place, point): &(usize, &TracePoint)| place % every == 0 || point.moved_to.is_some();
    let trace: Vec<_> = report.trace.iter().enumerate().filter(shown).map(|(_, point)| point).collect();
    let hours = trace.last().map_or(1.0, |last| hour(last.at)).max(1e-3);
    write!(page, "<section><h2>{}</h2>", escaped(&report.scenario))?;
    for (place, panel) in panels(&trace).iter().enumerate() {
        page.push_str(&panel.svg(&format!("clip-{index}-{place}"), hours));
    }
    page.push_str("<pre>");
    for point in trace.iter().filter(|point| point.moved_to.is_some()) {
        let to = point.moved_to.as_deref().unwrap_or_default();
        let line = match to.starts_with("rolled back") {
            true => format!("{:6.2} h  {to}\n", hour(point.at)),
            false => format!("{:6.2} h  {to}: {}\n", hour(point.at), point.reason),
        };
        page.push_str(&escaped(&line));
    }
    page.push_str("</pre></section>");
    Ok(())
}

fn panels(trace: &[&TracePoint]) -> Vec<Panel> {
    let points = |number: fn(&TracePoint) -> Option<f64>| {
        trace.iter().map(|point| (hour(point.at), number(point))).collect::<Vec<_>>()
    };
    let moves = || {
        let moved = trace.iter().filter_map(|point| Some((hour(point.at), point.moved_to.clone()?)));
        moved.collect::<Vec<_>>()
    };
    let panel = |title: &str, lines: Vec<Line>, unit: fn(f64) -> String| {
        let numbers = lines.iter().flat_map(|line| &line.points).filter_map(|(_, number)| *number);
        let highest = numbers.fold(0.0, f64::max).max(1e-6);
        Panel {
            title: title.to_owned(),
            lines,
            band: Vec::new(),
            range: (0.0, highest),
            unit,
            moves: moves(),
        }
    };
    let shares = Line { name: "share", points: stepped(&points(|point| Some(point.share))) };
    let mut panels = vec![
        Panel { range: (0.0, 1.0), ..panel("share of the candidate", vec![shares], percent) },
        panel(
            "failures, in the step",
            vec![
                Line { name: "stable", points: points(|point| point.stable_failures) },
                Line { name: "candidate", points: points(|point| point.candidate_failures) },
            ],
            percent,
        ),
        difference(
            trace,
            panel("difference of the failure rates, and its 95 % confidence sequence", Vec::new(), percent),
        ),
    ];
    if trace.iter().any(|point| point.stable_p99.is_some()) {
        let latencies = vec![
            Line { name: "stable", points: points(|point| point.stable_p99.map(millis)) },
            Line { name: "candidate", points: points(|point| point.candidate_p99.map(millis)) },
        ];
        panels.push(panel("p99 latency, in the step", latencies, |millis| format!("{millis:.0} ms")));
    }
    panels
}

/// The first intervals of a step are wide; the axis is made for the others.
fn difference(trace: &[&TracePoint], panel: Panel) -> Panel {
    let mut reaches: Vec<f64> = trace
        .iter()
        .filter_map(|point| point.difference)
        .map(|(lower, upper)| lower.abs().max(upper.abs()))
        .collect();
    reaches.sort_by(f64::total_cmp);
    let reach = reaches.get(reaches.len() * 4 / 5).copied().unwrap_or(1.0) * 1.2;
    let middle = |point: &&TracePoint| {
        let known = point.difference.map(|(lower, upper)| lower.midpoint(upper));
        (hour(point.at), known)
    };
    Panel {
        lines: vec![Line { name: "difference", points: trace.iter().map(middle).collect() }],
        band: trace.iter().map(|point| (hour(point.at), point.difference)).collect(),
        range: (-reach, reach),
        ..panel
    }
}

/// A share holds until it changes.
fn stepped(points: &[(f64, Option<f64>)]) -> Vec<(f64, Option<f64>)> {
    let mut all = Vec::new();
    for pair in points.windows(2) {
        if let [(from, share), (to, _)] = pair {
            all.extend([(*from, *share), (*to, *share)]);
        }
    }
    all.extend(points.last());
    all
}

fn hour(at: Duration) -> f64 {
    at.as_secs_f64() / 3_600.0
}

fn millis(latency: Duration) -> f64 {
    1e3 * latency.as_secs_f64()
}

fn percent(share: f64) -> String {
    match share != 0.0 && share.abs() < 0.1 {
        true => format!("{:.2} %", 100.0 * share),
        false => format!("{:.0} %", 100.0 * share),
    }
}
