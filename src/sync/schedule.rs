//! When to look next: the cron expressions of `spec.sync.schedule`, read as upstream's library reads them (robfig/cron v3,
//! `ParseStandard`). In comes a text and a moment; out goes the next moment. It never reads a clock.

use std::time::Duration;

use jiff::{Span, Timestamp, ToSpan, Zoned, tz::TimeZone};

/// Marks a field that was `*` or `?`: then both days must match, else either one does (cron's old rule).
const STAR: u64 = 1 << 63;
/// How many years ahead are searched: `0 0 30 2 *` never comes.
const HORIZON: i16 = 5;

/// Why a text is no schedule.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Unparsable(String);

/// A schedule.
#[derive(Clone, Debug)]
pub enum Schedule {
    /// Again and again, this long after the last time.
    Every(Duration),
    /// At the minutes that match.
    Cron(Cron),
}

/// The minutes that match, as one bit for each value of each field.
#[derive(Clone, Debug)]
pub struct Cron {
    minutes: u64,
    hours: u64,
    days: u64,
    months: u64,
    weekdays: u64,
    /// The zone that `CRON_TZ=` names; the machine's own without one.
    zone: TimeZone,
}

/// What a field may hold.
struct Field {
    name: &'static str,
    least: u32,
    most: u32,
    /// Words for values, the first for `least`.
    words: &'static [&'static str],
}

const MINUTE: Field = Field {
    name: "minute",
    least: 0,
    most: 59,
    words: &[],
};
const HOUR: Field = Field {
    name: "hour",
    least: 0,
    most: 23,
    words: &[],
};
const DAY: Field = Field {
    name: "day of month",
    least: 1,
    most: 31,
    words: &[],
};
const MONTH: Field = Field {
    name: "month",
    least: 1,
    most: 12,
    words: &[
        "jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec",
    ],
};
const WEEKDAY: Field = Field {
    name: "day of week",
    least: 0,
    most: 6,
    words: &["sun", "mon", "tue", "wed", "thu", "fri", "sat"],
};

impl Schedule {
    /// Returns the schedule that `text` means: five fields, `@hourly` and the like, or `@every 5m`; `CRON_TZ=` or `TZ=`
    /// may precede it, else times are in `local`.
    ///
    /// # Errors
    /// [`Unparsable`] with the reason.
    pub fn parse(text: &str, local: &TimeZone) -> Result<Self, Unparsable> {
        let (zone, rest) = zone(text, local)?;
        let fields = match rest.strip_prefix('@') {
            None => rest,
            Some(word) => match word.strip_prefix("every ") {
                Some(delay) => return Ok(Self::Every(whole_seconds(delay)?)),
                None => descriptor(word)?,
            },
        };
        Cron::parse(fields, zone).map(Self::Cron)
    }

    /// Returns the first moment after `after` that matches; nothing if there is none in the next five years.
    #[must_use]
    pub fn next(&self, after: Timestamp) -> Option<Timestamp> {
        match self {
            Self::Every(delay) => {
                let whole = Timestamp::from_second(after.as_second()).ok()?;
                whole.checked_add(*delay).ok()
            }
            Self::Cron(cron) => cron.next(after),
        }
    }
}

fn zone<'a>(text: &'a str, local: &TimeZone) -> Result<(TimeZone, &'a str), Unparsable> {
    let Some(rest) = ["CRON_TZ=", "TZ="]
        .iter()
        .find_map(|prefix| text.strip_prefix(prefix))
    else {
        return Ok((local.clone(), text.trim()));
    };
    let (name, rest) = rest.split_once(' ').unwrap_or((rest, ""));
    let zone = match name {
        "" => Ok(TimeZone::UTC),
        "Local" => Ok(local.clone()),
        name => TimeZone::get(name),
    };
    let zone = zone.map_err(|_| Unparsable(format!("provided bad location {name:?}")))?;
    Ok((zone, rest.trim()))
}

fn descriptor(word: &str) -> Result<&'static str, Unparsable> {
    match word {
        "yearly" | "annually" => Ok("0 0 1 1 *"),
        "monthly" => Ok("0 0 1 * *"),
        "weekly" => Ok("0 0 * * 0"),
        "daily" | "midnight" => Ok("0 0 * * *"),
        "hourly" => Ok("0 * * * *"),
        _ => Err(Unparsable(format!("unrecognized descriptor: @{word}"))),
    }
}

/// Returns a duration as Go writes it, in whole seconds, at least one.
fn whole_seconds(text: &str) -> Result<Duration, Unparsable> {
    let wrong = || Unparsable(format!("failed to parse duration @every {text}"));
    let negative = text.starts_with('-');
    let mut rest = text.trim_start_matches(['+', '-']);
    if rest.is_empty() || text.len() - rest.len() > 1 {
        return Err(wrong());
    }
    let mut seconds = 0.0;
    while !rest.is_empty() && rest != "0" {
        let digits = rest
            .find(|c: char| !c.is_ascii_digit() && c != '.')
            .ok_or_else(wrong)?;
        let number: f64 = rest[..digits].parse().map_err(|_| wrong())?;
        let end = rest[digits..]
            .find(|c: char| c.is_ascii_digit() || c == '.')
            .map_or(rest.len(), |at| digits + at);
        seconds += number * unit(&rest[digits..end]).ok_or_else(wrong)?;
        rest = &rest[end..];
    }
    if negative {
        return Ok(Duration::from_secs(1));
    }
    let whole = Duration::try_from_secs_f64(seconds.floor().max(1.0)).map_err(|_| wrong())?;
    // The longest that Go's own type holds.
    if whole > Duration::from_nanos(i64::MAX.unsigned_abs()) {
        return Err(wrong());
    }
    Ok(whole)
}

/// Returns the seconds in a unit of Go's durations.
fn unit(name: &str) -> Option<f64> {
    match name {
        "ns" => Some(1e-9),
        "us" | "µs" | "μs" => Some(1e-6),
        "ms" => Some(1e-3),
        "s" => Some(1.0),
        "m" => Some(60.0),
        "h" => Some(3600.0),
        _ => None,
    }
}

impl Field {
    /// Returns the bits of a list such as `1-5,10/15,MON`.
    fn bits(&self, text: &str) -> Result<u64, Unparsable> {
        let parts = text.split(',').filter(|part| !part.is_empty());
        parts.map(|part| self.range(part)).try_fold(0, |all, bits| {
            bits.map(|bits| all | bits)
                .map_err(|why| Unparsable(format!("{}: {why}", self.name)))
        })
    }

    fn range(&self, text: &str) -> Result<u64, String> {
        let (range, step) = match text.split_once('/') {
            None => (text, None),
            Some((_, step)) if step.contains('/') => {
                return Err(format!("too many slashes: {text}"));
            }
            Some((range, step)) => (range, Some(number(step)?)),
        };
        let (low, high) = match range.split_once('-') {
            None => (range, None),
            Some((low, high)) => (low, Some(high)),
        };
        let star = low == "*" || low == "?";
        let start = if star { self.least } else { self.value(low)? };
        let end = match high {
            _ if star => self.most,
            Some(high) if high.contains('-') => return Err(format!("too many hyphens: {text}")),
            Some(high) => self.value(high)?,
            None if step.is_some() => self.most,
            None => start,
        };
        let step = step.unwrap_or(1);
        self.check(text, (start, end), step)?;
        let bits = (start..=end)
            .step_by(step as usize)
            .fold(0, |bits, value| bits | 1 << value);
        Ok(if star && step == 1 { bits | STAR } else { bits })
    }

    fn check(&self, text: &str, (start, end): (u32, u32), step: u32) -> Result<(), String> {
        let Self { least, most, .. } = self;
        if start < *least {
            Err(format!(
                "beginning of range ({start}) below minimum ({least}): {text}"
            ))
        } else if end > *most {
            Err(format!(
                "end of range ({end}) above maximum ({most}): {text}"
            ))
        } else if start > end {
            Err(format!(
                "beginning of range ({start}) beyond end of range ({end}): {text}"
            ))
        } else if step == 0 {
            Err(format!("step of range should be a positive number: {text}"))
        } else {
            Ok(())
        }
    }

    fn value(&self, text: &str) -> Result<u32, String> {
        let word = self.words.iter().zip(self.least..);
        let named = word
            .into_iter()
            .find(|(word, _)| word.eq_ignore_ascii_case(text));
        named.map_or_else(|| number(text), |(_, value)| Ok(value))
    }
}

fn number(text: &str) -> Result<u32, String> {
    match text.parse::<i64>() {
        Ok(value) if value < 0 => Err(format!("negative number ({value}) not allowed: {text}")),
        Ok(value) => u32::try_from(value).map_err(|_| format!("failed to parse int from {text}")),
        Err(_) => Err(format!("failed to parse int from {text}")),
    }
}

impl Cron {
    fn parse(text: &str, zone: TimeZone) -> Result<Self, Unparsable> {
        let fields: Vec<&str> = text.split_whitespace().collect();
        let [minutes, hours, days, months, weekdays] = fields[..] else {
            let found = fields.len();
            return Err(Unparsable(format!(
                "expected exactly 5 fields, found {found}: [{text}]"
            )));
        };
        Ok(Self {
            minutes: MINUTE.bits(minutes)?,
            hours: HOUR.bits(hours)?,
            days: DAY.bits(days)?,
            months: MONTH.bits(months)?,
            weekdays: WEEKDAY.bits(weekdays)?,
            zone,
        })
    }

    fn next(&self, after: Timestamp) -> Option<Timestamp> {
        let from = after.to_zoned(self.zone.clone());
        let limit = from.year().checked_add(HORIZON)?;
        let mut at = truncated(&from, 60)?.checked_add(1.minute()).ok()?;
        while at.year() <= limit {
            if self.matches(&at) {
                return Some(at.timestamp());
            }
            at = self.step(&at)?;
        }
        None
    }

    fn matches(&self, at: &Zoned) -> bool {
        has(self.months, at.month())
            && self.has_day(at)
            && has(self.hours, at.hour())
            && has(self.minutes, at.minute())
    }

    /// Returns the next moment that may match, after one that does not.
    fn step(&self, at: &Zoned) -> Option<Zoned> {
        if !has(self.months, at.month()) {
            let first = at.date().first_of_month().checked_add(1.month()).ok()?;
            first.to_zoned(self.zone.clone()).ok()
        } else if !self.has_day(at) {
            at.tomorrow().ok()?.start_of_day().ok()
        } else if !has(self.hours, at.hour()) {
            later(&truncated(at, 3600)?, 1.hour())
        } else {
            later(at, 1.minute())
        }
    }

    fn has_day(&self, at: &Zoned) -> bool {
        let day = has(self.days, at.day());
        let weekday = has(self.weekdays, at.weekday().to_sunday_zero_offset());
        if (self.days | self.weekdays) & STAR == 0 {
            day || weekday
        } else {
            day && weekday
        }
    }
}

fn has(bits: u64, value: i8) -> bool {
    bits >> value & 1 == 1
}

fn later(at: &Zoned, by: Span) -> Option<Zoned> {
    at.checked_add(by).ok()
}

/// Returns the start of the minute or of the hour, on the clock of the zone.
fn truncated(at: &Zoned, seconds: i64) -> Option<Zoned> {
    let into = if seconds == 60 {
        0
    } else {
        i64::from(at.minute()) * 60
    };
    let into = into + i64::from(at.second());
    let whole = at
        .checked_sub(i64::from(at.subsec_nanosecond()).nanoseconds())
        .ok()?;
    whole.checked_sub(into.seconds()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn utc(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn next(schedule: &str, after: &str) -> String {
        let schedule = Schedule::parse(schedule, &TimeZone::UTC).unwrap();
        let next = schedule.next(utc(after));
        next.map_or("never".into(), |next| next.to_string())
    }

    #[test]
    #[expect(clippy::too_many_lines, reason = "a table")]
    fn the_next_moment_is_the_first_that_matches() {
        for (schedule, after, expected) in [
            // Every so many minutes, across the hour, the day and the year.
            (
                "*/15 * * * *",
                "2012-07-09T14:45:00Z",
                "2012-07-09T15:00:00Z",
            ),
            (
                "*/15 * * * *",
                "2012-07-09T14:59:59Z",
                "2012-07-09T15:00:00Z",
            ),
            (
                "*/15 * * * *",
                "2012-07-09T23:46:00Z",
                "2012-07-10T00:00:00Z",
            ),
            (
                "*/5 * * * *",
                "2012-12-31T23:59:45Z",
                "2013-01-01T00:00:00Z",
            ),
            (
                "20-35/15 * * * *",
                "2012-07-09T23:35:51Z",
                "2012-07-10T00:20:00Z",
            ),
            (
                "5/15 * * * *",
                "2012-07-09T14:06:00Z",
                "2012-07-09T14:20:00Z",
            ),
            ("+5 * * * *", "2012-07-09T14:06:00Z", "2012-07-09T15:05:00Z"),
            (
                "1,,2 * * * *",
                "2012-07-09T14:01:00Z",
                "2012-07-09T14:02:00Z",
            ),
            // Months and leap years.
            (
                "0 0 1 */5 ?",
                "2012-07-09T00:00:00Z",
                "2012-11-01T00:00:00Z",
            ),
            (
                "0 0 29 Feb ?",
                "2013-07-09T00:00:00Z",
                "2016-02-29T00:00:00Z",
            ),
            ("0 0 31 4,JUN *", "2012-07-09T00:00:00Z", "never"),
            // The two kinds of days: either one matches, unless one of them is a star.
            (
                "0 0 15 * Sun",
                "2012-07-09T00:00:00Z",
                "2012-07-15T00:00:00Z",
            ),
            (
                "0 0 1,15 * Sun",
                "2012-07-09T00:00:00Z",
                "2012-07-15T00:00:00Z",
            ),
            (
                "0 0 1,15 * Sun",
                "2012-07-15T00:00:00Z",
                "2012-07-22T00:00:00Z",
            ),
            (
                "0 0 * * Mon",
                "2012-07-10T00:00:00Z",
                "2012-07-16T00:00:00Z",
            ),
            (
                "0 0 */1 * Mon",
                "2012-07-10T00:00:00Z",
                "2012-07-16T00:00:00Z",
            ),
            (
                "0 0 */10 * Sun",
                "2012-07-09T00:00:00Z",
                "2012-07-11T00:00:00Z",
            ),
            (
                "0 0 * * *,MON",
                "2012-07-10T00:00:00Z",
                "2012-07-11T00:00:00Z",
            ),
            // Words for common ones.
            ("@hourly", "2012-07-09T14:06:30Z", "2012-07-09T15:00:00Z"),
            ("@daily", "2012-07-09T14:06:30Z", "2012-07-10T00:00:00Z"),
            ("@midnight", "2012-07-09T00:00:00Z", "2012-07-10T00:00:00Z"),
            ("@weekly", "2012-07-09T00:00:00Z", "2012-07-15T00:00:00Z"),
            ("@monthly", "2012-07-09T00:00:00Z", "2012-08-01T00:00:00Z"),
            ("@yearly", "2012-07-09T00:00:00Z", "2013-01-01T00:00:00Z"),
            ("@annually", "2013-01-01T00:00:00Z", "2014-01-01T00:00:00Z"),
            // Delays.
            (
                "@every 5m",
                "2012-07-09T14:06:30.5Z",
                "2012-07-09T14:11:30Z",
            ),
            (
                "@every 1.5h",
                "2012-07-09T14:00:00Z",
                "2012-07-09T15:30:00Z",
            ),
            (
                "@every 1h2m3s4ms",
                "2012-07-09T14:00:00Z",
                "2012-07-09T15:02:03Z",
            ),
            ("@every 5ms", "2012-07-09T14:00:00Z", "2012-07-09T14:00:01Z"),
            // Zones.
            (
                "TZ=America/New_York 0 0 * * *",
                "2012-07-09T14:45:00Z",
                "2012-07-10T04:00:00Z",
            ),
            (
                "CRON_TZ=Asia/Tokyo 30 8 * * *",
                "2012-07-09T14:45:00Z",
                "2012-07-09T23:30:00Z",
            ),
            (
                "CRON_TZ=UTC @daily",
                "2012-07-09T14:45:00Z",
                "2012-07-10T00:00:00Z",
            ),
            // The hour that a summer night lacks is left out; the one that a winter night has twice comes twice.
            (
                "TZ=America/New_York 30 2 11 Mar ?",
                "2012-03-11T05:00:00Z",
                "2013-03-11T06:30:00Z",
            ),
            (
                "TZ=America/New_York 0 * * * ?",
                "2012-03-11T06:00:00Z",
                "2012-03-11T07:00:00Z",
            ),
            (
                "TZ=America/New_York 0 1 4 11 ?",
                "2012-11-04T05:00:00Z",
                "2012-11-04T06:00:00Z",
            ),
            (
                "TZ=Asia/Kolkata 0 * * * *",
                "2012-07-09T14:45:00Z",
                "2012-07-09T15:30:00Z",
            ),
        ] {
            assert_eq!(next(schedule, after), expected, "{schedule} after {after}");
        }
    }

    #[test]
    fn what_is_no_schedule_is_told_why() {
        for (text, why) in [
            ("", "exactly 5 fields, found 0"),
            ("* * * *", "exactly 5 fields, found 4"),
            ("0 0 * * * *", "exactly 5 fields, found 6"),
            ("xyz * * * *", "minute: failed to parse int from xyz"),
            ("5-1 * * * *", "beyond end"),
            ("60 * * * *", "above maximum"),
            ("* 24 * * *", "hour: "),
            ("* * 0 * *", "below minimum"),
            ("* * * 13 *", "month: "),
            ("* * * * 7", "day of week: "),
            ("* * * * L", "failed to parse int"),
            ("*/0 * * * *", "positive"),
            ("1/2/3 * * * *", "too many slashes"),
            ("1-2-3 * * * *", "too many hyphens"),
            ("-1 * * * *", "failed to parse int"),
            ("*/-1 * * * *", "negative"),
            ("@unrecognized", "unrecognized descriptor"),
            ("@every", "unrecognized descriptor"),
            ("@every soon", "duration"),
            ("@every 5", "duration"),
            ("@every 5x", "duration"),
            ("@every 1e99h", "duration"),
            ("@every 999999999999h", "duration"),
            ("TZ=Nowhere/Land * * * * *", "bad location"),
        ] {
            let told = Schedule::parse(text, &TimeZone::UTC).unwrap_err();
            assert!(told.to_string().contains(why), "{text:?}: {told}");
        }
    }
}
