//! Numbers as people read them.

/// With four significant digits: `12,340`, `0.0123`, `1.2e-9`.
pub(super) fn number(number: f64) -> String {
    if number.is_nan() {
        return "–".to_owned();
    }
    if number.is_infinite() {
        return if number > 0.0 { "∞" } else { "−∞" }.to_owned();
    }
    let magnitude = number.abs();
    if magnitude == 0.0 {
        return "0".to_owned();
    }
    if !(1e-3..1e7).contains(&magnitude) {
        return trimmed(&format!("{number:.2e}"));
    }
    let decimals = (3 - magnitude.log10().floor() as i32).clamp(0, 6) as usize;
    let text = format!("{magnitude:.decimals$}");
    let (whole, fraction) = text.split_once('.').unwrap_or((&text, ""));
    let sign = if number < 0.0 { "−" } else { "" };
    match fraction.trim_end_matches('0') {
        "" => format!("{sign}{}", grouped(whole)),
        fraction => format!("{sign}{}.{fraction}", grouped(whole)),
    }
}

/// `1,234,567`.
pub(super) fn count(count: u64) -> String {
    grouped(&count.to_string())
}

/// `1 feature`, `1,200 features`.
pub(super) fn counted(number: usize, one: &str, many: &str) -> String {
    format!("{} {}", count(number as u64), if number == 1 { one } else { many })
}

/// A share of 1 in percent: `12.3%`.
pub(super) fn percent(share: f64) -> String {
    match 100.0 * share {
        percent if percent.is_nan() => "–".to_owned(),
        0.0 => "0%".to_owned(),
        percent if percent < 0.1 => "<0.1%".to_owned(),
        percent if (99.95..100.0).contains(&percent) => ">99.9%".to_owned(),
        percent => format!("{percent:.1}%").replace(".0%", "%"),
    }
}

/// The labels of an axis: with as many digits as its steps need.
pub(super) fn ticks(ticks: &[f64]) -> Vec<String> {
    let step = ticks.windows(2).map(|pair| pair[1] - pair[0]).fold(f64::INFINITY, f64::min);
    let most = ticks.iter().fold(0.0, |most: f64, tick| most.max(tick.abs()));
    if !step.is_finite() || most == 0.0 {
        return ticks.iter().map(|tick| number(*tick)).collect();
    }
    let (most, step) = (most.log10().floor() as i32, (step * 1.001).log10().floor() as i32);
    let label = |tick: &f64| {
        if *tick == 0.0 {
            "0".to_owned()
        } else if most >= 6 || step < -5 {
            let digits = (tick.abs().log10().floor() as i32 - step).clamp(0, 15) as usize;
            trimmed(&format!("{tick:.digits$e}"))
        } else {
            let (sign, digits) = (if *tick < 0.0 { "−" } else { "" }, (-step).max(0) as usize);
            let text = format!("{:.digits$}", tick.abs());
            let (whole, fraction) = text.split_at(text.find('.').unwrap_or(text.len()));
            format!("{sign}{}{fraction}", grouped(whole))
        }
    };
    ticks.iter().map(label).collect()
}

/// A probability: `0.042`, `<0.001`.
pub(super) fn p_value(p: f64) -> String {
    if p < 0.001 { "<0.001".to_owned() } else { format!("{p:.3}") }
}

fn grouped(digits: &str) -> String {
    let mut grouped = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

/// `1.50e-9` as `1.5e−9`.
fn trimmed(scientific: &str) -> String {
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((scientific, "0"));
    let mantissa =
        if mantissa.contains('.') { mantissa.trim_end_matches('0').trim_end_matches('.') } else { mantissa };
    format!("{mantissa}e{exponent}").replace('-', "−")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short_and_keep_their_size() {
        for (value, text) in [
            (0.0, "0"),
            (1.0, "1"),
            (-1.5, "−1.5"),
            (0.123_456, "0.1235"),
            (1234.0, "1,234"),
            (1_234_567.8, "1,234,568"),
            (0.001, "0.001"),
            (1.5e-9, "1.5e−9"),
            (-2e300, "−2e300"),
            (f64::MAX, "1.8e308"),
            (f64::INFINITY, "∞"),
            (f64::NAN, "–"),
        ] {
            assert_eq!(number(value), text);
        }
        assert_eq!(count(1_000_000), "1,000,000");
        assert_eq!(counted(1, "row", "rows"), "1 row");
        assert_eq!((p_value(1e-9), p_value(0.25)), ("<0.001".to_owned(), "0.250".to_owned()));
    }

    #[test]
    fn neighbouring_ticks_differ() {
        assert_eq!(ticks(&[0.0, 0.5, 1.0]), ["0", "0.5", "1.0"]);
        assert_eq!(ticks(&[-2000.0, 0.0, 2000.0]), ["−2,000", "0", "2,000"]);
        assert_eq!(ticks(&[1.0e9, 1.000_2e9, 1.000_4e9]), ["1e9", "1.0002e9", "1.0004e9"]);
        assert_eq!(ticks(&[1e-7, 2e-7]), ["1e−7", "2e−7"]);
        assert_eq!(ticks(&[3.0]), ["3"]);
    }

    #[test]
    fn what_is_not_nothing_and_not_all_is_not_shown_as_such() {
        for (share, text) in [
            (0.0, "0%"),
            (1e-6, "<0.1%"),
            (0.1234, "12.3%"),
            (0.9999, ">99.9%"),
            (1.0, "100%"),
            (f64::NAN, "–"),
        ] {
            assert_eq!(percent(share), text);
        }
    }
}
