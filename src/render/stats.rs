//! What the rules of objects cost a Prometheus, counted and not measured.

use std::collections::BTreeMap;

use super::rules;
use crate::{
    api::monitoring_coreos::RuleGroup,
    model::Model,
    series::{Series, Subject},
};

/// The titles of the table.
const TITLES: [&str; 9] =
    ["NAMESPACE", "NAME", "EVERY", "GROUPS", "RECORDING", "ALERTS", "SERIES", "SAMPLES/S", "PER VALUE"];
/// Blanks between two columns, as in tables of kubectl.
const GAP: usize = 3;

/// What the rules of an object cost that are evaluated equally often.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Stats {
    /// Rule groups.
    pub groups: usize,
    /// Recording rules.
    pub recording: usize,
    /// Alerting rules.
    pub alerts: usize,
    /// The most series that these record if each label of `per_value` has one value.
    pub series: usize,
    /// The rules that record one series for each value of a label that the object does not bound, such as the collections of a
    /// database, by label.
    pub per_value: BTreeMap<&'static str, usize>,
}

impl Stats {
    /// `workloads` and `objectives`: how many the object has.
    fn add(&mut self, group: &RuleGroup, workloads: usize, objectives: usize) {
        self.groups += 1;
        for rule in &group.rules {
            let Some(series) = rule.record.as_deref().and_then(Series::named) else {
                self.alerts += usize::from(rule.alert.is_some());
                continue;
            };
            self.recording += 1;
            // A rule without the label takes it from the series that it reads.
            let is_of_all = !rule.labels.contains_key(series.subject().label());
            self.series += match series.subject() {
                Subject::Workload if is_of_all => workloads,
                Subject::Objective if is_of_all => objectives,
                _ => series.most(),
            };
            if series.subject() == Subject::Pod {
                *self.per_value.entry(Subject::Pod.label()).or_default() += 1;
            }
            if series.most() == 1 {
                series.labels().iter().for_each(|label| *self.per_value.entry(label).or_default() += 1);
            }
        }
    }

    fn join(mut self, other: &Self) -> Self {
        self.groups += other.groups;
        self.recording += other.recording;
        self.alerts += other.alerts;
        self.series += other.series;
        other.per_value.iter().for_each(|(label, rules)| *self.per_value.entry(label).or_default() += rules);
        self
    }
}

/// The rules of an object by the seconds between their evaluations.
pub fn stats(model: &Model) -> BTreeMap<u32, Stats> {
    // Servers, training and workers.
    let workloads = 2 + model.workers.len();
    let mut by_interval: BTreeMap<u32, Stats> = BTreeMap::new();
    for group in rules::rule_groups(model).into_iter().flatten() {
        let seconds = group.interval.as_deref().and_then(|interval| interval.strip_suffix('s')?.parse().ok());
        by_interval.entry(seconds.unwrap_or_default()).or_default().add(&group, workloads, model.objectives.len());
    }
    by_interval
}

/// The sum over all intervals, and the samples per second that it writes.
pub fn total(by_interval: &BTreeMap<u32, Stats>) -> (Stats, f64) {
    let sum = by_interval.values().fold(Stats::default(), Stats::join);
    // The sum of no numbers is -0.
    (sum, by_interval.iter().fold(0.0, |all, (seconds, of)| all + samples(*seconds, of)))
}

fn samples(seconds: u32, of: &Stats) -> f64 {
    of.series as f64 / f64::from(seconds.max(1))
}

/// A table with a line for each interval of each object, and one for the whole object.
pub fn stats_table(models: &[Model]) -> String {
    let mut lines = vec![TITLES.map(str::to_owned)];
    for model in models {
        let by_interval = stats(model);
        let (sum, all) = total(&by_interval);
        let each = by_interval.iter().map(|(seconds, of)| (format!("{seconds}s"), of, samples(*seconds, of)));
        for (every, of, samples) in each.chain([("all".to_owned(), &sum, all)]) {
            lines.push(line(model, every, of, samples));
        }
    }
    let widths: Vec<usize> =
        (0..TITLES.len()).map(|column| lines.iter().map(|line| line[column].len()).max().unwrap_or_default()).collect();
    let text = |line: &[String; 9]| -> String {
        let cells = line.iter().zip(&widths).map(|(cell, width)| format!("{cell:0$}", width + GAP));
        format!("{}\n", cells.collect::<String>().trim_end())
    };
    lines.iter().map(text).collect()
}

fn line(model: &Model, every: String, of: &Stats, samples: f64) -> [String; 9] {
    let per_value: Vec<String> = of.per_value.iter().map(|(label, rules)| format!("{rules} {label}")).collect();
    [
        model.identity.namespace.clone(),
        model.identity.name.clone(),
        every,
        of.groups.to_string(),
        of.recording.to_string(),
        of.alerts.to_string(),
        of.series.to_string(),
        format!("{samples:.2}"),
        if per_value.is_empty() { "-".into() } else { per_value.join(",") },
    ]
}
