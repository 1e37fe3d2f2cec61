//! Versions compared without an allocation.

use std::cmp::Ordering;

use mlops_core::{Error, Result};

/// What a version must be: `>=2.1.0, <3.0.0`. All of the comparisons must hold.
///
/// The order is that of Semantic Versioning 2.0.0, section 11: `2.1.0-beta.2 < 2.1.0-beta.10 < 2.1.0`,
/// whatever is built (`+...`). That is not the rule of Cargo, where `>=2.0.0` leaves `2.1.0-beta.1` out.
#[derive(Debug)]
pub(super) struct VersionRange(Box<[(Comparison, Bound)]>);

#[derive(Debug, Clone, Copy)]
enum Comparison {
    Equal,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

#[derive(Debug)]
struct Bound {
    numbers: [u64; 3],
    pre: Box<str>,
}

/// The longer sign first, so that `>=` is not read as `>`.
const SIGNS: [(&str, Comparison); 5] = [
    (">=", Comparison::GreaterOrEqual),
    ("<=", Comparison::LessOrEqual),
    (">", Comparison::Greater),
    ("<", Comparison::Less),
    ("=", Comparison::Equal),
];

impl VersionRange {
    pub(super) fn parse(text: &str) -> Result<Self> {
        text.split(',')
            .map(|comparison| parse_comparison(text, comparison.trim()))
            .collect::<Result<_>>()
            .map(Self)
    }

    /// Whether `version` is a version, and one in the range.
    pub(super) fn contains(&self, version: &str) -> bool {
        Version::parse(version).is_some_and(|version| {
            self.0.iter().all(|(comparison, bound)| {
                let order = version.cmp(&Version { numbers: bound.numbers, pre: &bound.pre });
                match comparison {
                    Comparison::Equal => order.is_eq(),
                    Comparison::Less => order.is_lt(),
                    Comparison::LessOrEqual => order.is_le(),
                    Comparison::Greater => order.is_gt(),
                    Comparison::GreaterOrEqual => order.is_ge(),
                }
            })
        })
    }
}

fn parse_comparison(whole: &str, text: &str) -> Result<(Comparison, Bound)> {
    let found =
        SIGNS.iter().find_map(|(sign, comparison)| Some((*comparison, text.strip_prefix(sign)?.trim())));
    let bound = found.and_then(|(comparison, version)| {
        let Version { numbers, pre } = Version::parse(version)?;
        Some((comparison, Bound { numbers, pre: pre.into() }))
    });
    bound.ok_or_else(|| {
        Error::invalid_input(format!(
            "`{text}` in `{whole}` compares with no version; write one of >=, >, <=, < and = before a version, as in \
             `>=2.1.0, <3.0.0`"
        ))
    })
}

/// A version as it is ordered. Missing numbers are zero, and a `v` in front is skipped: `v2.1` is `2.1.0`.
#[derive(Debug, PartialEq, Eq)]
struct Version<'a> {
    numbers: [u64; 3],
    pre: &'a str,
}

impl<'a> Version<'a> {
    fn parse(text: &'a str) -> Option<Self> {
        let mut rest = text.strip_prefix(['v', 'V']).unwrap_or(text);
        let mut numbers = [0; 3];
        for (place, number) in numbers.iter_mut().enumerate() {
            if place > 0 {
                let Some(more) = rest.strip_prefix('.') else { break };
                rest = more;
            }
            (*number, rest) = leading_number(rest)?;
        }
        let Some(pre) = rest.strip_prefix('-') else {
            return (rest.is_empty() || rest.starts_with('+')).then_some(Self { numbers, pre: "" });
        };
        let pre = pre.split_once('+').map_or(pre, |(pre, _build)| pre);
        let is_identifier = |part: &str| {
            !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
        };
        pre.split('.').all(is_identifier).then_some(Self { numbers, pre })
    }

    fn cmp(&self, other: &Self) -> Ordering {
        self.numbers.cmp(&other.numbers).then_with(|| match (self.pre, other.pre) {
            (one, another) if one == another => Ordering::Equal,
            ("", _) => Ordering::Greater,
            (_, "") => Ordering::Less,
            (one, another) => compare_pre_releases(one, another),
        })
    }
}

/// The number that a text begins with, and what comes behind it.
fn leading_number(text: &str) -> Option<(u64, &str)> {
    let digits = text.bytes().take_while(u8::is_ascii_digit);
    let (number, length) = digits.enumerate().try_fold((0_u64, 0), |(number, _), (index, digit)| {
        let number = number.checked_mul(10)?.checked_add(u64::from(digit - b'0'))?;
        Some((number, index + 1))
    })?;
    if length == 0 { None } else { Some((number, text.get(length..)?)) }
}

fn is_number(part: &str) -> bool {
    !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit())
}

fn compare_pre_releases(one: &str, another: &str) -> Ordering {
    let (mut ones, mut others) = (one.split('.'), another.split('.'));
    loop {
        let order = match (ones.next(), others.next()) {
            (None, None) => return Ordering::Equal,
            (None, Some(_)) => Ordering::Less,
            (Some(_), None) => Ordering::Greater,
            (Some(one), Some(another)) => match (is_number(one), is_number(another)) {
                (true, true) => compare_numbers(one, another),
                (true, false) => Ordering::Less,
                (false, true) => Ordering::Greater,
                (false, false) => one.cmp(another),
            },
        };
        if order.is_ne() {
            return order;
        }
    }
}

/// Of any length.
fn compare_numbers(one: &str, another: &str) -> Ordering {
    let [one, another] = [one, another].map(|number| number.trim_start_matches('0'));
    one.len().cmp(&another.len()).then_with(|| one.cmp(another))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn compare(one: &str, another: &str) -> Option<Ordering> {
        Some(Version::parse(one)?.cmp(&Version::parse(another)?))
    }

    /// The example of Semantic Versioning 2.0.0, section 11.
    #[test]
    fn the_order_is_that_of_the_specification() {
        let rising = [
            "1.0.0-alpha",
            "1.0.0-alpha.1",
            "1.0.0-alpha.beta",
            "1.0.0-beta",
            "1.0.0-beta.2",
            "1.0.0-beta.11",
            "1.0.0-rc.1",
            "1.0.0",
            "1.0.1",
            "1.1.0",
            "2.0.0",
            "10.0.0",
        ];
        for (low, one) in rising.iter().enumerate() {
            for (high, another) in rising.iter().enumerate() {
                assert_eq!(compare(one, another), Some(low.cmp(&high)), "{one} {another}");
            }
        }
    }

    #[test]
    fn short_and_decorated_versions_are_read_and_others_are_none() {
        for (written, meant) in
            [("2", "2.0.0"), ("v2.1", "2.1.0"), ("V2.1.0+build.5", "2.1.0"), ("2-rc.1", "2.0.0-rc.1")]
        {
            assert_eq!(compare(written, meant), Some(Ordering::Equal), "{written}");
        }
        let huge = "99999999999999999999.0.0";
        for none in
            ["", "v", "x", "2.", ".2", "2.1.0.0", "-1", "2.1.0-", "2.1.0-a..b", "2.1.0-é", "2 .1", "２", huge]
        {
            assert_eq!(Version::parse(none), None, "{none}");
        }
    }

    #[test]
    fn ranges_hold_what_they_say() {
        let range = VersionRange::parse(">=2.1.0, <3.0.0-0").unwrap();
        for (version, is_in) in [
            ("2.0.9", false),
            ("2.1.0-rc.1", false),
            ("2.1.0", true),
            ("2.1.0+build", true),
            ("2.9.0-beta", true),
            ("3.0.0-alpha", false),
            ("3.0.0", false),
            ("latest", false),
            ("", false),
        ] {
            assert_eq!(range.contains(version), is_in, "{version}");
        }
        assert!(VersionRange::parse("=1.2").unwrap().contains("v1.2.0"));
        assert!(VersionRange::parse("<= 1.2").unwrap().contains("1.1.99"));
        assert!(!VersionRange::parse("> 1.2").unwrap().contains("1.2.0"));
        for bad in ["", " ", "2.1.0", ">=", ">=x", ">=1, ", "^1.2", "~1", ">>1", "=>1", ">=1 <2"] {
            let error = VersionRange::parse(bad).unwrap_err().to_string();
            assert!(error.contains(&format!("in `{bad}` compares with no version")), "{error}");
        }
    }

    proptest! {
        /// Whatever the crate `semver` reads is read here, and ordered alike.
        #[test]
        fn agrees_with_semver(
            versions in prop::collection::vec("(0|[1-9][0-9]{0,3})(\\.(0|[1-9][0-9]{0,2})){2}(-([a-z]{1,3}|[1-9][0-9]{0,22}|0|[0-9]{0,2}-[a-z])(\\.[a-b]{1,2}|\\.[1-9][0-9]{0,2}){0,2})?(\\+[a-z]{1,3})?", 2),
        ) {
            let [one, another] = [0, 1].map(|place| semver::Version::parse(&versions[place]).unwrap());
            prop_assert_eq!(compare(&versions[0], &versions[1]), Some(one.cmp_precedence(&another)));
        }

        #[test]
        fn any_text_is_read_or_not_and_nothing_panics(text in ".{0,20}", range in "[<>=, .v0-9a-]{0,12}") {
            _ = Version::parse(&text);
            if let Ok(range) = VersionRange::parse(&range) {
                _ = range.contains(&text);
            }
        }
    }
}
