//! One chart over time, as SVG.

use std::fmt::Write as _;

pub const WIDTH: f64 = 980.0;
const HEIGHT: f64 = 150.0;
const LEFT: f64 = 64.0;
const RIGHT: f64 = 12.0;
const TOP: f64 = 26.0;
const BOTTOM: f64 = 22.0;

/// A chart of lines, and of an interval around none or one of them, by hours.
pub struct Panel {
    pub title: String,
    pub lines: Vec<Line>,
    /// The lower and the upper end of an interval at each hour.
    pub band: Vec<(f64, Option<(f64, f64)>)>,
    /// What the vertical axis shows.
    pub range: (f64, f64),
    /// How its numbers are written.
    pub unit: fn(f64) -> String,
    /// When the rollout moved, and where to.
    pub moves: Vec<(f64, String)>,
}

/// Numbers by hours; a gap where there is none.
pub struct Line {
    pub name: &'static str,
    pub points: Vec<(f64, Option<f64>)>,
}

impl Panel {
    /// `clip` must differ between all panels of a page.
    pub fn svg(&self, clip: &str, hours: f64) -> String {
        let mut svg = format!(
            r#"<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{title}"><text class="title" x="{LEFT}" y="14">{title}</text>"#,
            title = escaped(&self.title)
        );
        let (width, height) = (WIDTH - LEFT - RIGHT, HEIGHT - TOP - BOTTOM);
        let _ = write!(
            svg,
            r#"<clipPath id="{clip}"><rect x="{LEFT}" y="{TOP}" width="{width}" height="{height}"/></clipPath>"#
        );
        self.axes(&mut svg, hours);
        let _ = write!(svg, r#"<g clip-path="url(#{clip})">"#);
        self.interval(&mut svg, hours);
        for line in &self.lines {
            let points =
                line.points.iter().map(|(hour, value)| Some((self.x(*hour, hours), self.y((*value)?))));
            for stretch in stretches(points) {
                let _ = write!(svg, r#"<polyline class="{}" points="{}"/>"#, line.name, joined(&stretch));
            }
        }
        svg.push_str("</g>");
        self.legend(&mut svg);
        svg.push_str("</svg>");
        svg
    }

    fn axes(&self, svg: &mut String, hours: f64) {
        let (low, high) = self.range;
        for value in [low, low.midpoint(high), high] {
            let y = self.y(value);
            let _ = write!(
                svg,
                r#"<line class="grid" x1="{LEFT}" x2="{end}" y1="{y:.1}" y2="{y:.1}"/><text class="tick" x="{at}" y="{down:.1}" text-anchor="end">{label}</text>"#,
                end = WIDTH - RIGHT,
                at = LEFT - 6.0,
                down = y + 4.0,
                label = (self.unit)(value)
            );
        }
        let step = [0.1, 0.25, 0.5, 1.0, 2.0, 4.0, 6.0, 12.0, 24.0, 48.0]
            .into_iter()
            .find(|step| hours / step <= 12.0);
        let step = step.unwrap_or(168.0);
        for tick in 0..=(hours / step) as u32 {
            let hour = f64::from(tick) * step;
            let (x, y, hour) = (self.x(hour, hours), HEIGHT - 6.0, (100.0 * hour).round() / 100.0);
            let _ =
                write!(svg, r#"<text class="tick" x="{x:.1}" y="{y}" text-anchor="middle">{hour} h</text>"#);
        }
        for (hour, to) in &self.moves {
            let x = self.x(*hour, hours);
            let _ = write!(
                svg,
                r#"<line class="move" x1="{x:.1}" x2="{x:.1}" y1="{TOP}" y2="{}"><title>{}</title></line>"#,
                HEIGHT - BOTTOM,
                escaped(to)
            );
        }
    }

    fn interval(&self, svg: &mut String, hours: f64) {
        let ends = self.band.iter().map(|(hour, ends)| {
            let (lower, upper) = (*ends)?;
            Some((self.x(*hour, hours), self.y(lower), self.y(upper)))
        });
        for stretch in stretches(ends) {
            let upper = stretch.iter().map(|(x, _, upper)| (*x, *upper));
            let lower = stretch.iter().rev().map(|(x, lower, _)| (*x, *lower));
            let outline: Vec<_> = upper.chain(lower).collect();
            let _ = write!(svg, r#"<polygon class="band" points="{}"/>"#, joined(&outline));
        }
        if self.range.0 < 0.0 {
            let zero = self.y(0.0);
            let _ = write!(
                svg,
                r#"<line class="zero" x1="{LEFT}" x2="{}" y1="{zero:.1}" y2="{zero:.1}"/>"#,
                WIDTH - RIGHT
            );
        }
    }

    fn legend(&self, svg: &mut String) {
        if self.lines.len() < 2 {
            return;
        }
        for (index, line) in self.lines.iter().rev().enumerate() {
            let x = WIDTH - RIGHT - 90.0 * (index as f64 + 1.0);
            let (from, to, name) = (x, x + 18.0, line.name);
            let _ = write!(
                svg,
                r#"<line class="{name}" x1="{from}" x2="{to}" y1="10" y2="10"/><text class="tick" x="{}" y="14">{name}</text>"#,
                x + 23.0
            );
        }
    }

    fn x(&self, hour: f64, hours: f64) -> f64 {
        LEFT + (WIDTH - LEFT - RIGHT) * hour / hours
    }

    fn y(&self, value: f64) -> f64 {
        let (low, high) = self.range;
        TOP + (HEIGHT - TOP - BOTTOM) * (high - value) / (high - low)
    }
}

/// The parts between the gaps.
fn stretches<P>(points: impl Iterator<Item = Option<P>>) -> Vec<Vec<P>> {
    let mut all = vec![Vec::new()];
    for point in points {
        match (point, all.last_mut()) {
            (Some(point), Some(last)) => last.push(point),
            _ => all.push(Vec::new()),
        }
    }
    all.retain(|stretch| !stretch.is_empty());
    all
}

fn joined(points: &[(f64, f64)]) -> String {
    let points: Vec<_> = points.iter().map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
    points.join(" ")
}

pub fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
