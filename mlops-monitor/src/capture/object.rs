//! What captured objects are called.

use std::ops::{Bound, RangeBounds};

use mlops_core::reexports::jiff::Timestamp;
use mlops_core::reexports::jiff::tz::TimeZone;
use mlops_core::{Error, Result};
use object_store::path::Path;
use uuid::Uuid;

use super::options::Format;

/// As in `20261122T014600.123456Z`: sorted as text, they are sorted by time.
const TIME: &str = "%Y%m%dT%H%M%S.%6fZ";

/// The folder that all objects of a log are in.
pub(super) fn folder(prefix: &str) -> Result<Path> {
    Path::parse(prefix)
        .map_err(|error| Error::invalid_input(format!("`{prefix}` cannot be a prefix of objects: {error}")))
}

/// The name of an object with records of that time: sorted by it, and like no other.
pub(super) fn name(folder: &Path, (first, last): (Timestamp, Timestamp), format: Format) -> Path {
    let utc = |time: Timestamp, pattern: &str| time.to_zoned(TimeZone::UTC).strftime(pattern).to_string();
    let day = utc(first, "year=%Y/month=%m/day=%d");
    let (first, last) = (utc(first, TIME), utc(last, TIME));
    let file = format!("{first}_{last}-{}.{}", Uuid::now_v7(), format.extension());
    Path::from_iter(folder.parts().chain(Path::from(day).parts()).chain([file.into()]))
}

/// How an object is written, and whether records of the range may be in it; `None` where it is none of ours.
pub(super) fn parse(path: &Path, range: &impl RangeBounds<Timestamp>) -> Option<(Format, bool)> {
    let file = path.filename()?;
    let (stem, extension) = file.rsplit_once('.')?;
    let format =
        [Format::Parquet, Format::JsonLines].into_iter().find(|format| format.extension() == extension)?;
    let (first, rest) = stem.split_once('_')?;
    let (last, _) = rest.split_once('-')?;
    let time = |text: &str| text.parse::<Timestamp>().ok();
    let (first, last) = (time(first)?, time(last)?);
    let begins_in_time = match range.end_bound() {
        Bound::Included(end) => first <= *end,
        Bound::Excluded(end) => first < *end,
        Bound::Unbounded => true,
    };
    let ends_in_time = match range.start_bound() {
        Bound::Included(start) => last >= *start,
        Bound::Excluded(start) => last > *start,
        Bound::Unbounded => true,
    };
    Some((format, begins_in_time && ends_in_time))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn time(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn names_say_when_and_are_sorted_by_it() {
        let folder = folder("a/b").unwrap();
        let span = (time("2026-11-22T01:46:00.5Z"), time("2026-11-22T01:47:00Z"));
        let one = name(&folder, span, Format::Parquet);
        assert!(one.as_ref().starts_with("a/b/year=2026/month=11/day=22/20261122T014600.500000Z_"), "{one}");
        assert_ne!(name(&folder, span, Format::Parquet), one);
        let later = (time("2026-11-22T01:46:00.6Z"), time("2026-11-22T01:46:00.7Z"));
        assert!(name(&folder, later, Format::Parquet) > one);

        let holds = |from: &str, to: &str| parse(&one, &(time(from)..time(to)));
        assert_eq!(holds("2026-11-22T01:00:00Z", "2026-11-22T01:46:00Z"), Some((Format::Parquet, false)));
        assert_eq!(holds("2026-11-22T01:46:30Z", "2026-11-22T01:46:31Z"), Some((Format::Parquet, true)));
        assert_eq!(holds("2026-11-22T01:47:01Z", "2026-11-23T00:00:00Z"), Some((Format::Parquet, false)));
        assert_eq!(parse(&Path::from("a/b/notes.txt"), &..), None);
        assert_eq!(parse(&Path::from("a/b/x.parquet"), &..), None);
    }
}
