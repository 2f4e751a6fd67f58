//! The schedules of trainings: the five fields of cron in a time zone.
//!
//! The rules are those of Vixie cron. The CronJobs of Kubernetes follow them too, except at clock changes:
//! - If day-of-month and day-of-week are both restricted, either has to match. If one of them begins with a star, both
//!   have to match.
//! - Without a star in minute and hour, the times are fixed times of the day. A time that the clock skips in spring runs
//!   at the first instant after the gap. A time that the clock repeats in autumn runs once, at its first occurrence.
//! - With a star, the times are an interval. A time that the clock skips does not run, one that it repeats runs twice.

use jiff::{
    SignedDuration, Timestamp,
    civil::Date,
    tz::{AmbiguousOffset, TimeZone},
};

use super::{FieldPath, InvalidField};
use crate::api::Training;

/// How far to search for a matching day, in days (41 years). The rarest day, a leap day on a given weekday, occurs at
/// least once in 40 years; a day that does not occur within this horizon never occurs.
const HORIZON_DAYS: usize = 41 * 366;
/// Days in which the longest pause of a schedule is searched for: two years, so that a day of the year occurs twice.
const PAUSE_DAYS: usize = 2 * 366;

/// The schedules of the full and of the partial training of a spec.
///
/// # Errors
/// What is wrong with each of them.
pub(super) fn schedules(training: &Training) -> Result<[Option<Schedule>; 2], Vec<InvalidField>> {
    let full = schedule("training.full", training.full.schedule.as_ref(), training.full.time_zone.as_deref());
    let partial = training.partial.as_ref().map_or(Ok(None), |partial| {
        schedule("training.partial", partial.schedule.as_ref(), partial.time_zone.as_deref())
    });
    match (full, partial) {
        (Ok(full), Ok(partial)) => Ok([full, partial]),
        (full, partial) => Err(full.err().into_iter().chain(partial.err()).collect()),
    }
}

fn schedule(field: &str, cron: Option<&String>, zone: Option<&str>) -> Result<Option<Schedule>, InvalidField> {
    let problem = |error: ScheduleError| {
        let name = if error.is_time_zone() { "timeZone" } else { "schedule" };
        FieldPath::spec().field(field).field(name).problem(error.to_string())
    };
    cron.map(|cron| Schedule::parse(cron, zone).map_err(problem)).transpose()
}

/// A valid schedule: it fires an unlimited number of times.
#[derive(Clone, Debug, PartialEq)]
pub struct Schedule {
    minutes: u64,
    hours: u64,
    days: u64,
    months: u64,
    weekdays: u64,
    both_day_fields: bool,
    fixed_times: bool,
    zone: TimeZone,
}

/// What is wrong with a schedule, and what to write instead.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum ScheduleError {
    /// Not five fields.
    #[error(
        "{text:?} {problem}: write the five fields minute, hour, day-of-month, month and day-of-week, for example \"0 3 * * *\" for every night at 3"
    )]
    Shape {
        /// The schedule as written.
        text: String,
        /// What is wrong with it.
        problem: String,
    },
    /// One field cannot be read.
    #[error("{text:?} in field {field} {problem}")]
    Field {
        /// Name of the field.
        field: &'static str,
        /// The field as written.
        text: String,
        /// What is wrong with it and what to write instead.
        problem: String,
    },
    /// There is no such day.
    #[error("{text:?} never fires: no such day exists in any year; correct the day-of-month or the month")]
    NeverFires {
        /// The schedule as written.
        text: String,
    },
    /// Not a time zone of the IANA database.
    #[error("{name:?} is not a time zone: write a name of the IANA database, {example}")]
    TimeZone {
        /// The name as written.
        name: String,
        /// Names that may have been intended.
        example: String,
    },
}

impl ScheduleError {
    /// Whether it is the time zone that is wrong.
    pub fn is_time_zone(&self) -> bool {
        matches!(self, Self::TimeZone { .. })
    }
}

/// One of the five fields of cron.
struct Field {
    /// Name of the field in errors.
    name: &'static str,
    /// Smallest value.
    min: u8,
    /// Largest value.
    max: u8,
    /// Names of values, from `min` on.
    names: &'static [&'static str],
}

/// Minute of the hour.
const MINUTE: Field = Field { name: "minute", min: 0, max: 59, names: &[] };
/// Hour of the day.
const HOUR: Field = Field { name: "hour", min: 0, max: 23, names: &[] };
/// Day of the month.
const DAY: Field = Field { name: "day-of-month", min: 1, max: 31, names: &[] };
/// Month, by number or name.
const MONTH: Field = Field {
    name: "month",
    min: 1,
    max: 12,
    names: &["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"],
};
/// Day of the week, by number or name; Sunday is both 0 and 7.
const WEEKDAY: Field =
    Field { name: "day-of-week", min: 0, max: 7, names: &["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"] };

impl Schedule {
    /// Parses a schedule; the default time zone is UTC.
    ///
    /// # Errors
    /// What is wrong, in which field, and what to write instead.
    pub fn parse(cron: &str, time_zone: Option<&str>) -> Result<Self, ScheduleError> {
        let texts: Vec<&str> = cron.split_whitespace().collect();
        let &[minute, hour, day, month, weekday] = texts.as_slice() else {
            return Err(wrong_shape(cron, &texts));
        };
        let weekdays = WEEKDAY.parse(weekday)?;
        let schedule = Self {
            minutes: MINUTE.parse(minute)?,
            hours: HOUR.parse(hour)?,
            days: DAY.parse(day)?,
            months: MONTH.parse(month)?,
            // Sunday is both 0 and 7.
            weekdays: weekdays | weekdays >> 7,
            both_day_fields: day.starts_with('*') || weekday.starts_with('*'),
            fixed_times: !minute.contains('*') && !hour.contains('*'),
            zone: time_zone.map_or(Ok(TimeZone::UTC), zone)?,
        };
        let fires = days_from(Date::constant(2000, 1, 1)).any(|date| schedule.has_day(date));
        if fires { Ok(schedule) } else { Err(ScheduleError::NeverFires { text: cron.into() }) }
    }

    /// The first scheduled time after the given instant.
    pub fn next_after(&self, after: Timestamp) -> Option<Timestamp> {
        days_from(self.date(after))
            .filter(|date| self.has_day(*date))
            .find_map(|date| self.instants(date).filter(|instant| *instant > after).min())
    }

    /// The latest scheduled time that is after `after` and not after `until`.
    pub fn latest_within(&self, after: Timestamp, until: Timestamp) -> Option<Timestamp> {
        let oldest = self.date(after);
        std::iter::successors(Some(self.date(until)), |date| date.yesterday().ok())
            .take_while(|date| *date >= oldest)
            .filter(|date| self.has_day(*date))
            .find_map(|date| self.instants(date).filter(|instant| (*instant > after) && (*instant <= until)).max())
    }

    /// The longest time between two runs, seconds, as far as two years show it; `None` if they do not. Clock changes are
    /// not counted.
    pub fn longest_pause_seconds(&self) -> Option<i64> {
        let days: Vec<Date> =
            days_from(Date::constant(2000, 1, 1)).take(PAUSE_DAYS).filter(|date| self.has_day(*date)).collect();
        let pauses = days.windows(2).map(|pair| pair[0].duration_until(pair[1]).as_mins());
        let minutes: Vec<i64> = (0..24 * 60)
            .filter(|minute| has(self.hours, (minute / 60) as i8) && has(self.minutes, (minute % 60) as i8))
            .map(i64::from)
            .collect();
        let overnight = pauses.max()? - (minutes.last()? - minutes.first()?);
        let within_a_day = minutes.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap_or(0);
        Some(60 * overnight.max(within_a_day))
    }

    fn date(&self, instant: Timestamp) -> Date {
        instant.to_zoned(self.zone.clone()).date()
    }

    fn has_day(&self, date: Date) -> bool {
        let day = has(self.days, date.day());
        let weekday = has(self.weekdays, date.weekday().to_sunday_zero_offset());
        has(self.months, date.month()) && if self.both_day_fields { day && weekday } else { day || weekday }
    }

    /// All scheduled times of a day, in no particular order.
    fn instants(&self, date: Date) -> impl Iterator<Item = Timestamp> {
        let times = (0..24_i8)
            .filter(|hour| has(self.hours, *hour))
            .flat_map(|hour| (0..60_i8).filter(|minute| has(self.minutes, *minute)).map(move |minute| (hour, minute)));
        times.flat_map(move |(hour, minute)| self.resolve(date, hour, minute)).flatten()
    }

    /// The instants of a local time: normally one. If the clock skips it, none or the end of the gap; if the clock
    /// repeats it, one or two.
    fn resolve(&self, date: Date, hour: i8, minute: i8) -> [Option<Timestamp>; 2] {
        let shown = self.zone.to_ambiguous_timestamp(date.at(hour, minute, 0, 0));
        let (earlier, later) = (shown.earlier().ok(), shown.later().ok());
        match (shown.offset(), self.fixed_times) {
            (AmbiguousOffset::Unambiguous { .. }, _) | (AmbiguousOffset::Fold { .. }, true) => [earlier, None],
            (AmbiguousOffset::Fold { .. }, false) => [earlier, later],
            (AmbiguousOffset::Gap { .. }, true) => [later.map(|instant| self.end_of_gap(instant)), None],
            (AmbiguousOffset::Gap { .. }, false) => [None, None],
        }
    }

    /// The instant at which the clock was set forward. `within` is at or after it, by no more than the gap.
    fn end_of_gap(&self, within: Timestamp) -> Timestamp {
        let just_after = within.saturating_add(SignedDuration::from_secs(1)).unwrap_or(within);
        self.zone.preceding(just_after).next().map_or(within, |transition| transition.timestamp())
    }
}

fn has(set: u64, value: i8) -> bool {
    u32::try_from(value).is_ok_and(|value| set >> value & 1 == 1)
}

fn days_from(first: Date) -> impl Iterator<Item = Date> {
    std::iter::successors(Some(first), |date| date.tomorrow().ok()).take(HORIZON_DAYS)
}

impl Field {
    /// The values of a field, as a bit set.
    fn parse(&self, text: &str) -> Result<u64, ScheduleError> {
        text.split(',')
            .try_fold(0, |set, item| Ok(set | self.item(item)?))
            .map_err(|problem: String| ScheduleError::Field { field: self.name, text: text.into(), problem })
    }

    fn item(&self, item: &str) -> Result<u64, String> {
        let (range, step) = match item.split_once('/') {
            Some((range, step)) => (range, Some(self.step(range, step)?)),
            None => (item, None),
        };
        let (first, last) = match (range, range.split_once('-')) {
            ("*", _) => (self.min, self.max),
            (_, Some((first, last))) => self.range(first, last)?,
            (_, None) => self.value(range).map(|value| (value, value))?,
        };
        Ok((first..=last).step_by(step.unwrap_or(1)).fold(0, |set, value| set | 1 << value))
    }

    fn step(&self, range: &str, step: &str) -> Result<usize, String> {
        if range != "*" && !range.contains('-') {
            return Err(format!("has a step without a range: write {range}-{}/{step} or */{step}", self.max));
        }
        let most = self.max;
        step.parse()
            .ok()
            .filter(|step| (1..=usize::from(most)).contains(step))
            .ok_or_else(|| format!("has the step {step:?}: write a number from 1 to {most}, as in */2"))
    }

    fn range(&self, first: &str, last: &str) -> Result<(u8, u8), String> {
        let from = self.value(first)?;
        // A range may end on Sunday: SAT-SUN is 6-7.
        let to = match self.value(last)? {
            0 if from > 0 && last.eq_ignore_ascii_case("SUN") => 7,
            value => value,
        };
        if from > to {
            return Err(format!(
                "runs backwards from {first} to {last}: write {first}-{},{}-{last}",
                self.max, self.min
            ));
        }
        Ok((from, to))
    }

    fn value(&self, text: &str) -> Result<u8, String> {
        let (min, max) = (self.min, self.max);
        let named = self.names.iter().position(|name| name.eq_ignore_ascii_case(text));
        if let Some(position) = named {
            return Ok(min + u8::try_from(position).unwrap_or_default());
        }
        if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
            let names = self.names.first().zip(self.names.last());
            let names = names.map(|(first, last)| format!(", names {first} to {last}")).unwrap_or_default();
            return Err(format!(
                "has {text:?}, which is not understood: write * or numbers from {min} to {max}{names}, lists such as \
                 {min},{max}, ranges such as {min}-{max}, steps such as */2"
            ));
        }
        let value = text.parse().ok().filter(|value| (min..=max).contains(value));
        value.ok_or_else(|| format!("has {text}, which is out of range: write numbers from {min} to {max}"))
    }
}

fn wrong_shape(cron: &str, fields: &[&str]) -> ScheduleError {
    let problem = match fields {
        [nickname] if nickname.starts_with('@') => "is a nickname, which is not supported".into(),
        [first, ..] if first.contains("TZ=") => "names a time zone, which belongs into timeZone".into(),
        [] => "is empty".into(),
        [_] => "has one field".into(),
        more if more.len() > 5 => {
            format!("has {} fields, but seconds and years are not supported", more.len())
        }
        fewer => format!("has {} fields", fewer.len()),
    };
    ScheduleError::Shape { text: cron.into(), problem }
}

fn zone(name: &str) -> Result<TimeZone, ScheduleError> {
    TimeZone::get(name)
        .ok()
        .filter(|zone| !zone.is_unknown())
        .ok_or_else(|| ScheduleError::TimeZone { name: name.into(), example: examples(name) })
}

/// The first zone whose city has the given name, else two examples.
fn examples(name: &str) -> String {
    let city = |zone: &str| zone.rsplit('/').next().unwrap_or_default().to_ascii_lowercase();
    let desired = city(&name.trim().replace(' ', "_"));
    let mut meant: Vec<String> = jiff::tz::db()
        .available()
        .map(|zone| zone.to_string())
        .filter(|zone| zone.contains('/') && city(zone) == desired)
        .collect();
    meant.sort();
    match meant.first() {
        Some(zone) => format!("perhaps {zone}"),
        None => "for example Europe/Helsinki or UTC".into(),
    }
}

#[cfg(test)]
mod tests;
