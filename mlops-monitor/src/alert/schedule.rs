//! Times that come again, as cron writes them.

use jiff::Timestamp;
use mlops_core::{Error, Result};
use serde::{Deserialize, Serialize};

/// Times that come again: the five fields of cron and a time zone, `30 2 * * Mon Europe/Oslo`. UTC without one.
///
/// Fields are minute, hour, day of month, month, day of week, with lists, ranges, steps and names, `L` for the
/// last day, `W` for the nearest working day and `#` for the nth weekday of a month. Hours that daylight saving
/// leaves out are skipped.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Schedule {
    written: String,
    crontab: cronexpr::Crontab,
}

impl Schedule {
    /// Reads a cron expression.
    ///
    /// # Errors
    /// [`Error::InvalidInput`] that says where it is wrong.
    pub fn new(expression: impl Into<String>) -> Result<Self> {
        let written = expression.into();
        let mut options = cronexpr::ParseOptions::default();
        options.fallback_timezone_option = cronexpr::FallbackTimezoneOption::UTC;
        match cronexpr::parse_crontab_with(&written, options) {
            Ok(crontab) => Ok(Self { written, crontab }),
            Err(cause) => Err(Error::invalid_input(format!(
                "`{written}` is no cron expression such as `30 2 * * Mon Europe/Oslo`: {cause}"
            ))),
        }
    }

    /// The first of its times after `time`; `None` when there is none within four years.
    #[must_use]
    pub fn next_after(&self, time: Timestamp) -> Option<Timestamp> {
        self.crontab.find_next(time.to_string().as_str()).ok().map(|time| time.timestamp())
    }

    /// The expression.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.written
    }
}

impl PartialEq for Schedule {
    fn eq(&self, other: &Self) -> bool {
        self.written == other.written
    }
}

impl TryFrom<String> for Schedule {
    type Error = Error;

    fn try_from(written: String) -> Result<Self> {
        Self::new(written)
    }
}

impl From<Schedule> for String {
    fn from(schedule: Schedule) -> Self {
        schedule.written
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_those_of_the_time_zone() {
        let schedule = Schedule::new("30 2 * * Mon Europe/Oslo").unwrap();
        let after = schedule.next_after("2025-01-06T01:30:00Z".parse().unwrap()).unwrap();
        assert_eq!(after, "2025-01-13T01:30:00Z".parse().unwrap());
        let summer = schedule.next_after("2025-07-01T00:00:00Z".parse().unwrap()).unwrap();
        assert_eq!(summer, "2025-07-07T00:30:00Z".parse().unwrap());
        let utc = Schedule::new("0 0 * * *").unwrap();
        assert_eq!(utc.next_after(Timestamp::UNIX_EPOCH).unwrap(), "1970-01-02T00:00:00Z".parse().unwrap());
    }

    #[test]
    fn what_is_no_schedule_is_refused() {
        for wrong in ["", "* * *", "61 * * * * UTC", "* * * * * Atlantis/Main"] {
            assert!(Schedule::new(wrong).unwrap_err().to_string().contains("no cron expression"), "{wrong}");
        }
        assert_eq!(Schedule::new("0 0 30 2 *").unwrap().next_after(Timestamp::UNIX_EPOCH), None);
    }
}
