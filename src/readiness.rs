//! What ticks observe of the inputs of an object's trainings and promotions. Pure.
//!
//! A reconcile decides with it once a training is due. Only counts of messages enqueue the object, because the status keeps them.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};

use crate::{
    api::{RecommenderModelStatus, TrainingKind, TrainingStatus},
    model::{
        Model,
        readiness::Input,
        triggers::{Condition, TriggerPlan},
    },
    observed::{OfSource, Ticked},
    scaling::Signal,
    series::Series,
    signals::Readings,
    training::Reading,
    triggers::{Newest, Watched},
};

/// What the ticks keep of an object.
#[derive(Debug, Default)]
pub struct State {
    object: OfSource,
    inputs: Vec<Input>,
    /// Counts of messages since the newest run with the data of a kind.
    counts: Vec<Watched>,
    /// What the last tick observed, without the counts.
    observed: BTreeMap<String, Reading>,
}

impl Ticked for State {
    type Observed = BTreeMap<String, Reading>;

    fn update(&mut self, model: &Model, prior: &RecommenderModelStatus) {
        self.object = OfSource::new(model);
        self.inputs = all(model);
        self.observed.retain(|name, _| self.inputs.iter().any(|input| input.dependency == *name));
        let none = TrainingStatus::default();
        let training = prior.training.as_ref().unwrap_or(&none);
        let counted = self.inputs.iter().filter_map(|input| Some((input, input.min_events?)));
        let plans =
            counted.flat_map(|(input, count)| TrainingKind::ALL.map(|kind| plan(&input.dependency, kind, count)));
        let mut before = std::mem::take(&mut self.counts);
        let count = |plan: TriggerPlan| {
            let recorded = training.new_events(plan.kind).get(&plan.name).copied();
            let newest = training.newest(plan.kind);
            let newest = newest.map(|(version, is_pending)| Newest { version: version.into(), is_pending });
            Watched::of(&mut before, &plan, newest, recorded, None)
        };
        self.counts = plans.map(count).collect();
    }

    fn object(&self) -> &OfSource {
        &self.object
    }

    fn is_empty(&self) -> bool {
        self.inputs.is_empty()
    }

    fn demanded(&self) -> Vec<Series> {
        self.inputs.iter().filter(|input| input.events_until_due).map(|_| Series::EventLag).collect()
    }

    fn observed(&self) -> Self::Observed {
        let reading = |input: &Input| {
            let counts = self.counts.iter().filter(|count| count.plan.name == input.dependency);
            let events = counts.filter_map(|of| Some((of.plan.kind, (of.reported()?, of.version())))).collect();
            let rest = self.observed.get(&input.dependency).cloned().unwrap_or_default();
            (input.dependency.clone(), Reading { events, ..rest })
        };
        self.inputs.iter().map(reading).collect()
    }

    fn tick(&mut self, readings: Option<&Readings>, now: Timestamp) -> bool {
        let object = &self.object;
        let signal = |series, about: &str| object.signal(readings, series, about, now);
        let reading = |input: &Input| {
            let of = |series| signal(series, &input.dependency);
            let reading = Reading {
                up: of(Series::DependencyUp).last().map(|up| up >= 1.0),
                lag: of(Series::Lag).last(),
                events_until: events_until(of(Series::EventLag), now),
                has_arrivals: of(Series::Arrivals).last().is_some(),
                events: BTreeMap::new(),
            };
            (input.dependency.clone(), reading)
        };
        self.observed = self.inputs.iter().map(reading).collect();
        let changed = self.counts.iter_mut().filter_map(|count| {
            let before = count.reported();
            count.observe(signal(Series::Arrivals, &count.plan.name).last(), now);
            (before != count.reported()).then_some(())
        });
        // Only a training that is due needs the rest, and that is decided again every minute.
        changed.count() > 0
    }
}

/// The inputs of trainings, and those of promotions alone. Of promotions no messages are counted.
fn all(model: &Model) -> Vec<Input> {
    let mut inputs = model.readiness.inputs.clone();
    for of in &model.promotion_readiness.inputs {
        match inputs.iter_mut().find(|input| input.dependency == of.dependency) {
            Some(input) => input.events_until_due |= of.events_until_due,
            None => inputs.push(Input { min_events: None, ..of.clone() }),
        }
    }
    inputs
}

/// Until when a stream has processed its events: its lag before the sample was taken.
fn events_until(lag: Signal, now: Timestamp) -> Option<Timestamp> {
    let behind = SignedDuration::try_from_secs_f64(lag.last()? + lag.age()).ok()?;
    now.checked_sub(behind).ok()
}

fn plan(dependency: &str, kind: TrainingKind, count: i64) -> TriggerPlan {
    let condition = Condition::Events { dependency: dependency.into(), count };
    TriggerPlan { name: dependency.into(), kind, cool_down: SignedDuration::ZERO, condition }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::signals::fake::{at, readings};

    #[test]
    fn the_inputs_of_promotions_are_observed_beside_those_of_trainings() {
        let input = |inputs: &str| format!("readiness: {{inputs: [{inputs}]}}");
        let training = input("{dependency: clicks, minNewEvents: 9}, {dependency: stream}");
        let promotion = input("{dependency: stream, eventsUntilDue: true}, {dependency: users-db}");
        let object = format!(
            "{{apiVersion: recommender.dev/v1alpha1, kind: RecommenderModel, metadata: {{name: a, namespace: shop}}, spec: {{
               artifacts: {{persistentVolumeClaim: {{claimName: models}}}}, training: {{image: a, full: {{}}, {training}}},
               promotion: {{{promotion}}}, serving: {{image: a}}, monitoring: {{metrics: {{profile: FastApiInstrumentator}}}},
               dependencies: [{{name: clicks, kafka: {{consumerGroup: g, topics: [t]}}}}, {{name: stream, flink: {{job: a}}}},
                 {{name: users-db, exporter: {{name: PostgresExporter}}}}]}}}}"
        );
        let object = serde_saphyr::from_str(&object).expect("an object");
        let model = Model::new(&object, at(0)).expect("a valid model");
        let found: Vec<_> =
            all(&model).into_iter().map(|of| (of.dependency, of.events_until_due, of.min_events)).collect();
        let expected = [("clicks", false, Some(9)), ("stream", true, None), ("users-db", false, None)];
        assert_eq!(found, expected.map(|(name, until, least)| (name.to_owned(), until, least)));
    }

    #[test]
    fn what_is_recorded_of_an_input_is_observed_and_what_is_too_old_is_not_known() {
        let input = Input { dependency: "clicks".into(), events_until_due: true, ..Input::default() };
        let object = OfSource::packages();
        let counts = TrainingKind::ALL
            .map(|kind| Watched::of(&mut Vec::new(), &plan("clicks", kind, 100), None, None, None))
            .into();
        let mut state = State { object, inputs: vec![input], counts, observed: BTreeMap::new() };
        assert_eq!(state.demanded(), [Series::EventLag]);
        let read = |second| {
            let sample = |series, value: &str, age| ("shop", "packages", series, "clicks", value.to_owned(), age);
            readings(
                &[
                    sample(Series::DependencyUp, "1", 0),
                    sample(Series::Lag, "7", 0),
                    sample(Series::EventLag, "30", 10),
                    sample(Series::Arrivals, "5", 0),
                ],
                second,
            )
        };
        assert!(!state.tick(Some(&read(0)), at(0)));
        assert!(state.tick(Some(&read(10)), at(10)), "tenths are written, so that a restart does not lose them");
        assert!(!state.tick(Some(&read(11)), at(11)), "fewer than a tenth more");
        let reading = state.observed().remove("clicks").expect("observed");
        assert_eq!((reading.up, reading.lag, reading.events_until), (Some(true), Some(7.0), Some(at(-29))));
        assert_eq!(reading.events, TrainingKind::ALL.map(|kind| (kind, (50, None))).into());
        state.tick(Some(&read(10)), at(400));
        let reading = state.observed().remove("clicks").expect("observed");
        let unknown = (reading.up, reading.lag, reading.events_until, reading.has_arrivals);
        assert_eq!(unknown, (None, None, None, false));
    }
}
