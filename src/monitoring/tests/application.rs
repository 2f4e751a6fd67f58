use super::*;
use crate::monitoring::application::read;

/// The expressions `a0`, `a1`, ... for all signals.
pub fn all() -> Application {
    let names = Series::SIGNALS.iter().enumerate().map(|(index, series)| (series.short_name(), format!("a{index}")));
    read(&names.map(|(name, text)| (name.to_owned(), text)).collect(), "shop").expect("they are valid")
}

#[test]
fn signals_are_recorded_every_minute_in_a_group_that_is_dropped_alone() {
    let application = all();
    let groups = rule_groups(&Monitored { application: &application, ..packages("FastApiInstrumentator") });
    let (custom, own): (Vec<_>, Vec<_>) = groups.into_iter().partition(is_custom);
    insta::assert_yaml_snapshot!("the_rules_of_an_application", custom);
    let recorded = |groups: &[RuleGroup]| {
        let rules = groups.iter().flat_map(|group| group.rules.clone()).filter_map(|rule| rule.record);
        rules.filter_map(|name| Series::named(&name)).collect::<BTreeSet<_>>()
    };
    let signals: BTreeSet<_> = Series::SIGNALS.into_iter().chain([Series::TenantShare]).collect();
    assert_eq!(recorded(&custom), signals);
    assert!(recorded(&own).is_disjoint(&signals));
}

#[test]
fn without_signals_nothing_of_them_is_recorded_and_no_alert_waits_for_them() {
    let usual = rules(&packages("FastApiInstrumentator"));
    let application = all();
    let with = rules(&Monitored { application: &application, ..packages("FastApiInstrumentator") });
    let alerts = |rules: &[Rule]| rules.iter().filter(|rule| rule.alert.is_some()).count();
    let reading = catalog::embedded().alerts.iter().filter(|alert| {
        alert.series.iter().any(|series| Series::SIGNALS.contains(series) || *series == Series::TenantShare)
    });
    assert_eq!(alerts(&with), alerts(&usual) + reading.count());
}
