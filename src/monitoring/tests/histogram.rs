use super::*;

/// The rules that differ where native histograms are read.
fn differing(profile: &str) -> Vec<Rule> {
    both(profile).into_iter().filter(|(native, classic)| native != classic).map(|(native, _)| native).collect()
}

/// All rules, each as it is where native histograms are read, and as it is where they are not.
fn both(profile: &str) -> Vec<(Rule, Rule)> {
    let resources = scaling::half_a_core();
    let objectives = objectives::some();
    let usual = Monitored { objectives: &objectives[1..2], canary: CANARY, ..scaling::scaled(profile, &resources) };
    let classic = rules(&usual);
    let native = rules(&Monitored { metrics: Metrics { reads_native: true, ..usual.metrics }, ..usual });
    assert_eq!(native.len(), classic.len(), "a form has no rule of its own");
    native.into_iter().zip(classic).collect()
}

/// A constant stands for whatever is absent, also for what nobody exposes.
#[test]
fn to_read_both_forms_takes_no_constant_that_one_does_not_take() {
    for profile in profiles::all() {
        for (native, classic) in both(profile) {
            assert_eq!((&native.record, &native.alert), (&classic.record, &classic.alert), "{profile}");
            let constants = |rule: &Rule| rule.expr.matches("vector(").count();
            assert_eq!(constants(&native), constants(&classic), "{profile}: {}", native.expr);
        }
    }
}

#[test]
fn the_rules_of_native_histograms() {
    for profile in ["FastApiInstrumentator", "OpenTelemetry"] {
        insta::assert_yaml_snapshot!(format!("the_rules_of_native_{profile}"), differing(profile));
    }
}

#[test]
fn only_what_reads_a_histogram_differs_and_reads_it_in_both_forms() {
    for profile in profiles::all() {
        let histograms: Vec<&str> = profiles::of(profile).histograms().map(|of| of.name.as_str()).collect();
        let rules = differing(profile);
        assert_eq!(rules.is_empty(), histograms.is_empty(), "{profile}");
        for rule in rules {
            let read: BTreeSet<String> = selectors(&rule.expr).into_iter().map(|of| of.name).collect();
            let native = histograms.iter().filter(|name| read.contains(**name));
            let parts =
                |name: &str| ["_bucket", "_count", "_sum"].iter().any(|end| read.contains(&format!("{name}{end}")));
            let is_in_both = native.clone().all(|name| parts(name));
            assert!(native.count() > 0 && is_in_both, "{profile}: {}", rule.expr);
        }
    }
}
