use croner::parser::{CronParser, Seconds, Year};
use jiff::{SignedDuration, Timestamp, Zoned, tz::TimeZone};
use proptest::prelude::*;

use super::Schedule;

/// A time zone with clock changes.
const HELSINKI: Option<&str> = Some("Europe/Helsinki");

fn at(text: &str) -> Timestamp {
    text.parse().expect("an instant")
}

fn parse(cron: &str, zone: Option<&str>) -> Schedule {
    Schedule::parse(cron, zone).unwrap_or_else(|error| panic!("{error}"))
}

/// All scheduled times after `from` and not after `until`.
fn instants(cron: &str, zone: Option<&str>, from: &str, until: &str) -> Vec<String> {
    let schedule = parse(cron, zone);
    std::iter::successors(schedule.next_after(at(from)), |instant| schedule.next_after(*instant))
        .take_while(|instant| *instant <= at(until))
        .map(|instant| instant.to_string())
        .collect()
}

fn error(cron: &str, zone: Option<&str>) -> String {
    Schedule::parse(cron, zone).expect_err("an error").to_string()
}

#[test]
fn the_longest_pause_is_found_wherever_it_is_in_the_year() {
    let hours = |cron| parse(cron, HELSINKI).longest_pause_seconds().map(|seconds| seconds as f64 / 3600.0);
    assert_eq!(hours("0 3 * * *"), Some(24.0));
    assert_eq!(hours("0,30 8-17 * * *"), Some(14.5), "from 17:30 to 8:00");
    assert_eq!(hours("*/15 * * * *"), Some(0.25));
    assert_eq!(hours("0 3 * * 1-5"), Some(72.0), "from Friday to Monday");
    assert_eq!(hours("0 3 1 * *"), Some(31.0 * 24.0));
    assert_eq!(hours("0 3 1 1 *"), Some(366.0 * 24.0));
    assert_eq!(hours("0 3 1 6 *"), Some(365.0 * 24.0));
    assert_eq!(hours("0 3 31 12 *"), Some(365.0 * 24.0));
    assert_eq!(hours("0 3 29 2 *"), None, "once in four years");
}

#[test]
fn a_time_that_the_clock_skips_in_spring_runs_once_right_after_the_gap() {
    // In Helsinki 03:00 to 04:00 does not exist on 29 March 2026; the gap is at 01:00 UTC.
    for cron in ["30 3 * * *", "0 3 * * *", "59 3 * * *"] {
        let of_the_day = instants(cron, HELSINKI, "2026-03-29T00:00:00Z", "2026-03-29T20:00:00Z");
        assert_eq!(of_the_day, ["2026-03-29T01:00:00Z"], "{cron}");
    }
    assert_eq!(
        instants("30 3 * * *", HELSINKI, "2026-03-28T00:00:00Z", "2026-03-31T00:00:00Z"),
        ["2026-03-28T01:30:00Z", "2026-03-29T01:00:00Z", "2026-03-30T00:30:00Z"]
    );
}

#[test]
fn of_several_times_a_day_only_the_skipped_one_moves() {
    assert_eq!(
        instants("0 3,15 * * *", HELSINKI, "2026-03-29T00:00:00Z", "2026-03-29T20:00:00Z"),
        ["2026-03-29T01:00:00Z", "2026-03-29T12:00:00Z"]
    );
}

#[test]
fn a_time_that_the_clock_repeats_in_autumn_runs_once_the_first_time() {
    // In Helsinki 03:00 to 04:00 occurs twice on 25 October 2026, from 00:00 and from 01:00 UTC.
    assert_eq!(
        instants("30 3 * * *", HELSINKI, "2026-10-24T12:00:00Z", "2026-10-26T12:00:00Z"),
        ["2026-10-25T00:30:00Z", "2026-10-26T01:30:00Z"]
    );
}

#[test]
fn an_interval_runs_twice_where_the_clock_repeats_and_not_where_it_skips() {
    assert_eq!(
        instants("*/30 3 * * *", HELSINKI, "2026-10-24T12:00:00Z", "2026-10-25T12:00:00Z"),
        ["2026-10-25T00:00:00Z", "2026-10-25T00:30:00Z", "2026-10-25T01:00:00Z", "2026-10-25T01:30:00Z"]
    );
    assert_eq!(
        instants("*/30 3 * * *", HELSINKI, "2026-03-28T12:00:00Z", "2026-03-30T00:10:00Z"),
        ["2026-03-30T00:00:00Z"]
    );
    let hours = instants("0 * * * *", HELSINKI, "2026-03-28T21:30:00Z", "2026-03-29T21:30:00Z");
    assert_eq!(hours.len(), 24, "an hour lasts an hour, whatever the clock shows");
}

#[test]
fn latest_within_finds_the_same_times_as_next_after() {
    let schedule = parse("30 3 * * *", HELSINKI);
    let within = |after, until| schedule.latest_within(at(after), at(until)).map(|instant| instant.to_string());
    assert_eq!(within("2026-03-28T12:00:00Z", "2026-03-29T01:00:00Z").as_deref(), Some("2026-03-29T01:00:00Z"));
    assert_eq!(within("2026-03-28T12:00:00Z", "2026-03-29T00:59:59Z"), None);
    assert_eq!(within("2026-10-24T12:00:00Z", "2026-10-25T01:45:00Z").as_deref(), Some("2026-10-25T00:30:00Z"));
    assert_eq!(within("2026-10-25T00:30:00Z", "2026-10-25T01:45:00Z"), None);
}

#[test]
fn a_leap_day_occurs_in_leap_years_only() {
    let leap_day = parse("0 0 29 2 *", None);
    assert_eq!(leap_day.next_after(at("2026-11-20T12:00:00Z")), Some(at("2028-02-29T00:00:00Z")));
    assert_eq!(leap_day.next_after(at("2096-03-01T00:00:00Z")), Some(at("2104-02-29T00:00:00Z")));
    assert_eq!(
        leap_day.latest_within(at("2020-01-01T00:00:00Z"), at("2027-12-31T00:00:00Z")),
        Some(at("2024-02-29T00:00:00Z"))
    );
}

#[test]
fn names_of_months_and_days_are_accepted_and_sunday_is_both_0_and_7() {
    let week = |cron| instants(cron, None, "2026-11-20T12:00:00Z", "2026-12-04T12:00:00Z");
    assert_eq!(week("0 3 * * sun"), ["2026-11-22T03:00:00Z", "2026-11-29T03:00:00Z"]);
    assert_eq!(week("0 3 * * 7"), week("0 3 * * SUN"));
    assert_eq!(week("0 3 * * 0"), week("0 3 * * SUN"));
    assert_eq!(week("0 3 * * SAT-SUN"), week("0 3 * * 6,0"));
    assert_eq!(week("0 3 1 DEC *"), ["2026-12-01T03:00:00Z"]);
}

#[test]
fn day_of_month_and_day_of_week_mean_either_unless_one_begins_with_a_star() {
    let days = |cron| instants(cron, None, "2026-11-20T12:00:00Z", "2026-12-01T12:00:00Z");
    assert_eq!(days("0 3 1 * MON"), ["2026-11-23T03:00:00Z", "2026-11-30T03:00:00Z", "2026-12-01T03:00:00Z"]);
    assert_eq!(days("0 3 */2 * MON"), ["2026-11-23T03:00:00Z"], "odd days that are Mondays");
}

#[test]
fn a_schedule_that_never_fires_is_refused() {
    for cron in ["0 0 30 2 *", "0 0 31 2,4,6,9,11 *", "0 0 31 APR */1"] {
        assert!(error(cron, None).contains("never fires: no such day exists"), "{cron}");
    }
    assert!(Schedule::parse("0 0 29 2 */3", None).is_ok(), "leap days on some weekdays are rare, but occur");
}

#[test]
fn errors_report_the_problem_the_field_and_what_to_write_instead() {
    let cases = [
        (
            "0 3 * *",
            r#""0 3 * *" has 4 fields: write the five fields minute, hour, day-of-month, month and day-of-week, for example "0 3 * * *""#,
        ),
        ("", r#""" is empty: write the five fields"#),
        ("0 0 3 * * *", "has 6 fields, but seconds and years are not supported: write"),
        ("@daily", "is a nickname, which is not supported: write the five fields"),
        ("TZ=UTC 0 3 * * *", "names a time zone, which belongs into timeZone"),
        ("CRON_TZ=Europe/Helsinki 0 3 * * *", "names a time zone, which belongs into timeZone"),
        ("60 3 * * *", r#""60" in field minute has 60, which is out of range: write numbers from 0 to 59"#),
        ("0 24 * * *", r#""24" in field hour has 24, which is out of range: write numbers from 0 to 23"#),
        ("0 3 0 * *", r#""0" in field day-of-month has 0, which is out of range: write numbers from 1 to 31"#),
        ("0 3 * 13 *", r#""13" in field month has 13, which is out of range"#),
        ("0 3 * * 8", r#""8" in field day-of-week has 8, which is out of range"#),
        ("0 99999999999999999999 * * *", "which is out of range"),
        ("5/15 3 * * *", r#""5/15" in field minute has a step without a range: write 5-59/15 or */15"#),
        ("*/0 3 * * *", r#"has the step "0": write a number from 1 to 59"#),
        ("*/90 * * * *", r#"has the step "90": write a number from 1 to 59"#),
        ("0 22-2 * * *", r#""22-2" in field hour runs backwards from 22 to 2: write 22-23,0-2"#),
        ("0 3 * * FRI-MON", "runs backwards from FRI to MON: write FRI-7,0-MON"),
        ("0,,5 3 * * *", r#""0,,5" in field minute has "", which is not understood"#),
        ("0 3 L * *", r#""L" in field day-of-month has "L", which is not understood: write * or numbers from 1 to 31"#),
        (
            "0 3 * * MONDAY",
            r#"has "MONDAY", which is not understood: write * or numbers from 0 to 7, names SUN to SAT"#,
        ),
        ("MON 3 * * *", r#""MON" in field minute has "MON", which is not understood"#),
        ("0 3 ? * *", "which is not understood"),
        ("-1 3 * * *", "which is not understood"),
        ("+1 3 * * *", "which is not understood"),
        ("0 three * * *", r#"has "three", which is not understood: write * or numbers from 0 to 23"#),
    ];
    for (cron, expected) in cases {
        let found = error(cron, None);
        assert!(found.contains(expected), "{cron}: {found}");
        assert!(!Schedule::parse(cron, None).expect_err("an error").is_time_zone());
    }
}

#[test]
fn an_unknown_time_zone_is_refused_with_a_suggestion() {
    let helsinki = error("0 3 * * *", Some("Helsinki"));
    assert_eq!(
        helsinki,
        r#""Helsinki" is not a time zone: write a name of the IANA database, perhaps Europe/Helsinki"#
    );
    for unknown in ["Europe/Atlantis", "+02:00", "Etc/Unknown", "EET-2EEST", "../etc/passwd", "Local"] {
        let error = Schedule::parse("0 3 * * *", Some(unknown)).expect_err(unknown);
        assert!(error.is_time_zone(), "{unknown}");
        assert!(error.to_string().contains("for example Europe/Helsinki or UTC"), "{error}");
    }
}

fn field(min: u8, max: u8) -> impl Strategy<Value = String> {
    let range = (min..=max, min..=max).prop_map(|(a, b)| format!("{}-{}", a.min(b), a.max(b)));
    prop_oneof![
        3 => Just("*".to_owned()),
        3 => (min..=max).prop_map(|value| value.to_string()),
        1 => (1..=max).prop_map(|step| format!("*/{step}")),
        1 => range.clone(),
        1 => (range, 1..=max).prop_map(|(range, step)| format!("{range}/{step}")),
        1 => prop::collection::vec(min..=max, 1..4)
            .prop_map(|values| values.iter().map(u8::to_string).collect::<Vec<_>>().join(",")),
    ]
}

/// Fields that both implementations treat as the same kind of schedule at clock changes: one number, or a star.
fn simple_field(max: u8) -> impl Strategy<Value = String> {
    prop_oneof![
        Just("*".to_owned()),
        (0..=max).prop_map(|value| value.to_string()),
        (1..=max).prop_map(|step| format!("*/{step}")),
    ]
}

fn croner(cron: &str) -> croner::Cron {
    let fields: Vec<&str> = cron.split(' ').collect();
    CronParser::builder()
        .seconds(Seconds::Disallowed)
        .year(Year::Disallowed)
        .dom_and_dow(fields[2].starts_with('*') || fields[4].starts_with('*'))
        .build()
        .parse(cron)
        .expect("a schedule that was accepted is one")
}

fn assert_same_as_croner(cron: &str, zone: &str, instant: Timestamp) -> Result<(), TestCaseError> {
    let Ok(schedule) = Schedule::parse(cron, Some(zone)) else {
        return Err(TestCaseError::reject("never fires"));
    };
    let other = croner(cron);
    let start: Zoned = instant.to_zoned(TimeZone::get(zone).expect("a zone"));
    let next = other.find_next_occurrence(&start, false).expect("a next instant").timestamp();
    prop_assert_eq!(schedule.next_after(instant), Some(next), "after {}", instant);
    let before = other.find_previous_occurrence(&start, true).expect("a previous instant").timestamp();
    let found = schedule.latest_within(before - SignedDuration::from_secs(1), instant);
    prop_assert_eq!(found, Some(before), "until {}", instant);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { max_global_rejects: 100_000, ..ProptestConfig::default() })]

    #[test]
    fn every_schedule_fires_exactly_when_croner_does(
        minute in field(0, 59), hour in field(0, 23), day in field(1, 31), month in field(1, 12), weekday in field(0, 7),
        second in 1_600_000_000_i64..2_500_000_000,
    ) {
        let cron = format!("{minute} {hour} {day} {month} {weekday}");
        assert_same_as_croner(&cron, "UTC", Timestamp::from_second(second).expect("an instant"))?;
    }

    #[test]
    fn clock_changes_are_handled_as_in_croner(
        minute in simple_field(59), hour in prop_oneof![simple_field(23), (2_u8..5).prop_map(|hour| hour.to_string())],
        hours_from_change in -30_i64..30, spring in any::<bool>(),
    ) {
        let change = if spring { at("2026-03-29T01:00:00Z") } else { at("2026-10-25T01:00:00Z") };
        let instant = change + SignedDuration::from_mins(hours_from_change * 60 + 7);
        assert_same_as_croner(&format!("{minute} {hour} * * *"), "Europe/Helsinki", instant)?;
    }

    #[test]
    fn no_scheduled_time_lies_between_one_and_the_next(
        minute in field(0, 59), hour in field(0, 23), weekday in field(0, 7), second in 1_600_000_000_i64..2_500_000_000,
    ) {
        let schedule = parse(&format!("{minute} {hour} * * {weekday}"), HELSINKI);
        let from = Timestamp::from_second(second).expect("an instant");
        let next = schedule.next_after(from).expect("a next instant");
        prop_assert_eq!(schedule.latest_within(from, next), Some(next));
        prop_assert_eq!(schedule.latest_within(from, next - SignedDuration::from_secs(1)), None);
    }

    #[test]
    fn no_text_makes_the_parser_panic(cron in "\\PC{0,40}", zone in "\\PC{0,20}") {
        let _ = Schedule::parse(&cron, Some(&zone));
    }
}
