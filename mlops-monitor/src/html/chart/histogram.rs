//! A distribution over numbers: the reference as an area, the current values as a line over it.

use std::fmt::Write as _;

use super::super::distribution::{Beside, Bins, Distribution};
use super::super::format::{self, percent};
use super::super::markup::Html;
use super::scale::{position, ticks};
use super::write_legend;

/// Units of height of a drawing.
const HEIGHT: f64 = 1000.0;
/// Most steps of a glyph.
const GLYPH_STEPS: usize = 20;
/// Units of height of a glyph.
const GLYPH_HEIGHT: f64 = 24.0;

pub(super) fn write(distribution: &Distribution, bins: &Bins, description: &str, html: &mut Html) {
    let top = 1.06 * distribution.largest_share().max(1e-9);
    html.element("div", &[("class", "distribution")], |html| {
        html.element("div", &[("class", "axis"), ("aria-hidden", "true")], |html| {
            for tick in ticks(0.0, top, 3) {
                let style = format!("bottom:{:.1}%", 100.0 * tick / top);
                html.leaf("span", &[("style", &style)], &percent(tick));
            }
        });
        html.element("div", &[("class", "plot")], |html| {
            write_steps(distribution, top, description, bins, html);
            html.element("div", &[("class", "ticks"), ("aria-hidden", "true")], |html| {
                write_ticks(bins, html);
            });
        });
        if !distribution.beside.is_empty() {
            html.element("div", &[("class", "beside"), ("aria-hidden", "true")], |html| {
                let top = top.max(1.06 * distribution.largest_beside());
                distribution.beside.iter().for_each(|beside| write_beside(beside, top, html));
            });
        }
    });
    html.leaf("output", &[("class", "readout")], "");
    write_legend([("reference", "Reference"), ("current", "Current")], html);
}

/// The two distributions as steps, one unit of width each.
fn write_steps(distribution: &Distribution, top: f64, description: &str, bins: &Bins, html: &mut Html) {
    let view = format!("0 0 {} {HEIGHT}", distribution.reference.len().max(1));
    let largest = format!("{top:.4}");
    let (kind, names) = match bins {
        Bins::Ranges { from, to } => ("data-range", format!("{from:.6e} {to:.6e}")),
        _ => ("data-names", bins.labels().join("\n")),
    };
    let attributes = [
        ("viewBox", view.as_str()),
        ("preserveAspectRatio", "none"),
        ("role", "img"),
        ("tabindex", "0"),
        ("aria-label", description),
        ("data-top", &largest),
        (kind, &names),
    ];
    html.element("svg", &attributes, |html| {
        let lines: String = ticks(0.0, top, 3)
            .iter()
            .map(|tick| format!("M0 {:.0}H{}", HEIGHT * (1.0 - tick / top), distribution.reference.len()))
            .collect();
        html.leaf("path", &[("class", "grid"), ("d", &lines)], "");
        html.leaf(
            "path",
            &[("class", "reference"), ("d", &steps(&distribution.reference, top, HEIGHT, 1))],
            "",
        );
        html.leaf("path", &[("class", "current"), ("d", &steps(&distribution.current, top, HEIGHT, 1))], "");
    });
}

fn write_ticks(bins: &Bins, html: &mut Html) {
    match bins {
        Bins::Ranges { from, to } => {
            let marks = |most| {
                let ticks = ticks(*from, *to, most);
                format::ticks(&ticks).into_iter().zip(ticks)
            };
            let long = marks(5).any(|(label, _)| label.chars().count() > 5);
            for (label, tick) in marks(if long { 2 } else { 5 }) {
                let style = format!("left:{:.1}%", 100.0 * position(tick, *from, *to));
                html.leaf("span", &[("style", &style)], &label);
            }
        }
        _ => {
            let labels = bins.labels();
            let every = labels.len().div_ceil(8).max(1);
            for (index, label) in labels.iter().enumerate().step_by(every) {
                let style = format!("left:{:.1}%", 100.0 * (index as f64 + 0.5) / labels.len() as f64);
                html.leaf("span", &[("style", &style)], label);
            }
        }
    }
}

/// What has no place on the axis, as a pair of bars.
fn write_beside(beside: &Beside, top: f64, html: &mut Html) {
    let label = beside.place.label();
    let said =
        format!("{label}: reference {}, current {}", percent(beside.reference), percent(beside.current));
    html.element("div", &[("title", &said)], |html| {
        html.element("div", &[("class", "bars")], |html| {
            for (class, share) in [("reference", beside.reference), ("current", beside.current)] {
                let style = format!("height:{:.1}%", 100.0 * share / top);
                html.leaf("span", &[("class", class), ("style", &style)], "");
            }
        });
        html.leaf("small", &[], label);
        html.leaf("small", &[], &format!("{} → {}", percent(beside.reference), percent(beside.current)));
    });
}

pub(super) fn write_glyph(distribution: &Distribution, html: &mut Html) {
    let beside = |share: fn(&Beside) -> f64| distribution.beside.iter().map(share);
    let reference: Vec<f64> =
        fewer(&distribution.reference).into_iter().chain(beside(|beside| beside.reference)).collect();
    let current: Vec<f64> =
        fewer(&distribution.current).into_iter().chain(beside(|beside| beside.current)).collect();
    let top = reference.iter().chain(&current).copied().fold(1e-9, f64::max);
    let view = format!("0 0 {} {GLYPH_HEIGHT}", 4 * reference.len().max(1));
    html.element(
        "svg",
        &[("viewBox", &view), ("preserveAspectRatio", "none"), ("aria-hidden", "true")],
        |html| {
            html.leaf("path", &[("class", "reference"), ("d", &steps(&reference, top, GLYPH_HEIGHT, 4))], "");
            html.leaf("path", &[("class", "current"), ("d", &steps(&current, top, GLYPH_HEIGHT, 4))], "");
        },
    );
}

/// Neighbours added up until there are few enough.
fn fewer(shares: &[f64]) -> Vec<f64> {
    shares.chunks(shares.len().div_ceil(GLYPH_STEPS).max(1)).map(|shares| shares.iter().sum()).collect()
}

/// A closed path of steps, each `width` wide and as high as its share of `top`.
fn steps(shares: &[f64], top: f64, height: f64, width: usize) -> String {
    let mut path = format!("M0 {height}");
    for share in shares {
        let _ = write!(path, "V{:.0}h{width}", height * (1.0 - (share / top).clamp(0.0, 1.0)));
    }
    let _ = write!(path, "V{height}Z");
    path
}
