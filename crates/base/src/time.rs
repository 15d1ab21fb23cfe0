//! Points in time, in whole seconds of UTC. Reading a clock happens at the edge.

use core::fmt;
use core::str::FromStr;

/// Seconds since 1970-01-01T00:00:00Z, within the years 1970 to 9999.
///
/// Displays as TUF and RFC 3339 write it: `2026-11-21T14:00:00Z`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(u64);

/// 9999-12-31T23:59:59Z.
const MAX_SECONDS: u64 = 253_402_300_799;
const SECONDS_PER_DAY: u64 = 86_400;

/// A text that is not a UTC date and time of the exact form `YYYY-MM-DDTHH:MM:SSZ`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a UTC time of the form 2026-11-21T14:00:00Z")]
pub struct TimestampError;

impl Timestamp {
    /// The Epoch.
    pub const EPOCH: Self = Self(0);

    /// From seconds since the Epoch; `None` past the year 9999.
    pub const fn from_unix(seconds: u64) -> Option<Self> {
        if seconds > MAX_SECONDS { None } else { Some(Self(seconds)) }
    }

    /// Seconds since the Epoch.
    pub const fn as_unix(self) -> u64 {
        self.0
    }

    /// `days` later, capped at the year 9999.
    #[must_use]
    pub const fn plus_days(self, days: u64) -> Self {
        self.plus_seconds(days.saturating_mul(SECONDS_PER_DAY))
    }

    /// `seconds` later, capped at the year 9999.
    #[must_use]
    pub const fn plus_seconds(self, seconds: u64) -> Self {
        let sum = self.0.saturating_add(seconds);
        Self(if sum > MAX_SECONDS { MAX_SECONDS } else { sum })
    }

    /// Seconds from `earlier` to `self`, 0 if it is not earlier.
    pub const fn seconds_since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (year, month, day) = civil_from_days(self.0 / SECONDS_PER_DAY);
        let second = self.0 % SECONDS_PER_DAY;
        let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
        write!(f, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
    }
}

impl FromStr for Timestamp {
    type Err = TimestampError;

    /// Reads `YYYY-MM-DDTHH:MM:SSZ`; no fraction, no offset, no leap second (TUF 1.0.34 section 4.2.1).
    fn from_str(text: &str) -> Result<Self, TimestampError> {
        let bytes = text.as_bytes();
        let shape = b"dddd-dd-ddTdd:dd:ddZ";
        if bytes.len() != shape.len() {
            return Err(TimestampError);
        }
        for (&byte, &want) in bytes.iter().zip(shape) {
            let fits = if want == b'd' { byte.is_ascii_digit() } else { byte == want };
            if !fits {
                return Err(TimestampError);
            }
        }
        let number = |at: usize, len: usize| {
            bytes[at..at + len].iter().fold(0u64, |sum, digit| sum * 10 + u64::from(digit - b'0'))
        };
        let (year, month, day) = (number(0, 4), number(5, 2), number(8, 2));
        let (hour, minute, second) = (number(11, 2), number(14, 2), number(17, 2));
        if year < 1970 || !(1..=12).contains(&month) || hour > 23 || minute > 59 || second > 59 {
            return Err(TimestampError);
        }
        let days = days_from_civil(year, month, day);
        if civil_from_days(days) != (year, month, day) {
            return Err(TimestampError);
        }
        Ok(Self(days * SECONDS_PER_DAY + hour * 3600 + minute * 60 + second))
    }
}

/// Days since the Epoch of a date of the Gregorian calendar, after 1970.
///
/// Source: Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms".
const fn days_from_civil(year: u64, month: u64, day: u64) -> u64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year / 400;
    let year_of_era = year % 400;
    let month_from_march = (month + 9) % 12;
    let day_of_year = (153 * month_from_march + 2) / 5 + day.saturating_sub(1);
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

/// The inverse of `days_from_civil`: (year, month, day).
const fn civil_from_days(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468;
    let era = days / 146_097;
    let day_of_era = days % 146_097;
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = era * 400 + year_of_era + if month <= 2 { 1 } else { 0 };
    (year, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_times_round_trip() {
        for (text, seconds) in [
            ("1970-01-01T00:00:00Z", 0),
            ("2000-02-29T12:34:56Z", 951_827_696),
            ("2026-11-21T14:00:00Z", 1_795_269_600),
            ("9999-12-31T23:59:59Z", MAX_SECONDS),
        ] {
            let time: Timestamp = text.parse().unwrap();
            assert_eq!(time.as_unix(), seconds, "{text}");
            assert_eq!(time.to_string(), text);
        }
    }

    #[test]
    fn every_day_of_three_centuries_round_trips() {
        for day in 0..110_000 {
            let time = Timestamp::from_unix(day * SECONDS_PER_DAY).unwrap();
            assert_eq!(time.to_string().parse(), Ok(time));
        }
    }

    #[test]
    fn times_that_are_not_exactly_so_are_refused() {
        for bad in [
            "2026-02-29T00:00:00Z",
            "2026-13-01T00:00:00Z",
            "2026-01-00T00:00:00Z",
            "2026-01-01T24:00:00Z",
            "2026-01-01T00:00:60Z",
            "2026-01-01T00:00:00.0Z",
            "2026-01-01T00:00:00+00:00",
            "2026-01-01 00:00:00Z",
            "1969-12-31T23:59:59Z",
            "",
        ] {
            assert_eq!(bad.parse::<Timestamp>(), Err(TimestampError), "{bad}");
        }
    }
}
