//! A distribution over categories: a pair of bars for each.

use super::super::distribution::{Distribution, Place};
use super::super::format::percent;
use super::super::markup::Html;
use super::write_legend;

/// Most categories that are drawn; the rest is one more.
const DRAWN: usize = 24;

pub(super) fn write(distribution: &Distribution, names: &[String], description: &str, html: &mut Html) {
    let mut rows: Vec<(&str, f64, f64)> = names
        .iter()
        .zip(distribution.reference.iter().zip(&distribution.current))
        .map(|(name, (reference, current))| (name.as_str(), *reference, *current))
        .collect();
    rows.sort_by(|a, b| b.1.max(b.2).total_cmp(&a.1.max(a.2)));
    let rest = rows.split_off(rows.len().min(DRAWN));
    let top = distribution.largest_share().max(distribution.largest_beside()).max(1e-9);
    html.element("div", &[("class", "categories"), ("role", "img"), ("aria-label", description)], |html| {
        for (name, reference, current) in rows {
            write_row(name, false, reference, current, top, html);
        }
        if !rest.is_empty() {
            let sum = |share: fn(&(&str, f64, f64)) -> f64| rest.iter().map(share).sum();
            let name = format!("{} rarer ones", rest.len());
            write_row(&name, true, sum(|row| row.1), sum(|row| row.2), top, html);
        }
        for beside in &distribution.beside {
            let name = match beside.place {
                Place::Other => "other known",
                Place::New => "never seen before",
                place => place.label(),
            };
            write_row(name, true, beside.reference, beside.current, top, html);
        }
    });
    write_legend([("reference", "Reference"), ("current", "Current")], html);
}

fn write_row(name: &str, ours: bool, reference: f64, current: f64, top: f64, html: &mut Html) {
    let class = if ours { "category special" } else { "category" };
    html.element("div", &[("class", class)], |html| {
        html.leaf("bdi", &[("title", name)], name);
        html.element("span", &[("class", "pair")], |html| {
            for (class, share) in [("reference", reference), ("current", current)] {
                let style = format!("width:{:.1}%", (100.0 * share / top).clamp(0.0, 100.0));
                html.leaf("span", &[("class", class), ("style", &style)], "");
            }
        });
        html.element("span", &[("class", "shares")], |html| {
            html.leaf("span", &[], &percent(reference));
            html.leaf("b", &[], &percent(current));
        });
    });
}
