//! What the trainer of an object's active run reports of its progress, as recorded by version. Pure.

use jiff::{SignedDuration, Timestamp};

use crate::{
    api::{RecommenderModelStatus, TrainingProgress},
    model::Model,
    observed::{OfSource, Ticked},
    series::Series,
    signals::Readings,
};

/// Shortest time between two reports of the progress of a run: 30 s. Each is a write of the status.
const REPORT_PAUSE: SignedDuration = SignedDuration::from_secs(30);

/// The progress of the run with a version.
pub type Observed = Option<(String, TrainingProgress)>;

/// What the ticks keep of an object while a run is active whose trainer exposes metrics.
#[derive(Debug, Default)]
pub struct State {
    object: OfSource,
    /// The version of the active run.
    version: Option<String>,
    reported: Option<TrainingProgress>,
    /// When that was reported; none when it was before a restart of the operator.
    reported_at: Option<Timestamp>,
}

impl Ticked for State {
    type Observed = Observed;

    fn update(&mut self, model: &Model, prior: &RecommenderModelStatus) {
        self.object = OfSource::new(model);
        let exposes = model.monitoring.is_some() && model.training.metrics.is_some();
        let active = prior.training.as_ref().and_then(|training| training.active.as_ref()).filter(|_| exposes);
        let version = active.map(|run| run.version.clone());
        if self.version != version {
            (self.reported, self.reported_at) = (active.and_then(|run| run.progress.clone()), None);
        }
        self.version = version;
    }

    fn object(&self) -> &OfSource {
        &self.object
    }

    fn is_empty(&self) -> bool {
        self.version.is_none()
    }

    fn demanded(&self) -> Vec<Series> {
        Series::PROGRESS.into()
    }

    fn observed(&self) -> Observed {
        self.version.clone().zip(self.reported.clone())
    }

    fn tick(&mut self, readings: Option<&Readings>, now: Timestamp) -> bool {
        let Some(version) = &self.version else { return false };
        let value = |series| self.object.signal(readings, series, version, now).last();
        let progress = progress(Series::PROGRESS.map(value));
        let is_early = self.reported_at.is_some_and(|at| now.duration_since(at) < REPORT_PAUSE);
        let key =
            |of: &Option<TrainingProgress>| of.as_ref().map(|of| (of.percent, of.percent.is_none().then_some(of.step)));
        if is_early || key(&progress) == key(&self.reported) {
            return false;
        }
        (self.reported, self.reported_at) = (progress, Some(now));
        true
    }
}

/// The progress of these values, in the order of [`Series::PROGRESS`]; `None` without any.
fn progress([ratio, step, loss, remaining]: [Option<f64>; 4]) -> Option<TrainingProgress> {
    let progress = TrainingProgress {
        // Decimal fractions are not exact.
        percent: ratio.map(|ratio| (100.0 * ratio + 1e-9).clamp(0.0, 100.0) as i32),
        step: step.map(|step| step as i64),
        loss: loss.map(|loss| format!("{loss:.4}")),
        remaining_seconds: remaining.map(|seconds| seconds.ceil() as i64),
    };
    (progress != TrainingProgress::default()).then_some(progress)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::signals::fake::{at, readings};

    fn state() -> State {
        let object = OfSource::packages();
        State { object, version: Some("full-2".into()), ..State::default() }
    }

    /// Observes values of a version, and returns whether they are a change.
    fn observe(state: &mut State, version: &str, values: [Option<&str>; 4], second: i64) -> bool {
        let values = Series::PROGRESS.into_iter().zip(values).filter_map(|(series, value)| Some((series, value?)));
        let samples: Vec<_> =
            values.map(|(series, value)| ("shop", "packages", series, version, value.to_owned(), 0)).collect();
        state.tick(Some(&readings(&samples, second)), at(second))
    }

    fn percent(state: &State) -> Option<i32> {
        state.observed()?.1.percent
    }

    #[test]
    fn progress_is_reported_when_its_whole_per_cent_changes_and_at_most_every_half_minute() {
        let mut state = state();
        for (ratio, second, expected) in [
            ("0.29", 0, (true, Some(29))),
            ("0.5", 29, (false, Some(29))),
            ("0.5", 30, (true, Some(50))),
            ("0.509", 90, (false, Some(50))),
            ("1.7", 120, (true, Some(100))),
        ] {
            let is_changed = observe(&mut state, "full-2", [Some(ratio), Some("3"), None, None], second);
            assert_eq!((is_changed, percent(&state)), expected, "{second}");
        }
        let values = [Some("0.25"), Some("3"), Some("0.12345"), Some("99.2")];
        observe(&mut state, "full-2", values, 200);
        let expected = TrainingProgress {
            percent: Some(25),
            step: Some(3),
            loss: Some("0.1235".into()),
            remaining_seconds: Some(100),
        };
        assert_eq!(state.observed(), Some(("full-2".into(), expected)));
    }

    #[test]
    fn a_trainer_that_exposes_nothing_and_another_run_show_nothing() {
        let mut state = state();
        assert!(!observe(&mut state, "full-2", [None; 4], 0));
        assert!(!observe(&mut state, "full-1", [Some("1"), None, None, None], 10), "it has ended");
        assert_eq!(state.observed(), None);
        assert!(observe(&mut state, "full-2", [None, Some("7"), None, None], 20));
        assert!(
            observe(&mut state, "full-2", [None, Some("8"), None, None], 60),
            "steps count where there is no ratio"
        );
        assert!(state.tick(None, at(400)));
        assert_eq!(state.observed(), None);
    }

    #[test]
    fn after_a_restart_the_progress_of_the_same_run_is_taken_over() {
        let object = "{apiVersion: recommender.dev/v1alpha1, kind: RecommenderModel, metadata: {name: packages, namespace: shop},
               spec: {artifacts: {persistentVolumeClaim: {claimName: models}},
               training: {image: a, full: {}, metrics: {port: 9091}}, serving: {image: a},
               monitoring: {metrics: {profile: FastApiInstrumentator}}},
               status: {versions: [], conditions: [], training: {active: {job: a, version: full-2, kind: Full, trigger: Schedule,
               progress: {percent: 40}}}}}";
        let object: crate::api::RecommenderModel = serde_saphyr::from_str(object).expect("an object");
        let model = Model::new(&object, at(0)).expect("valid");
        let mut status = object.status.clone().expect("a status");
        let mut state = State::default();
        state.update(&model, &status);
        assert_eq!(percent(&state), Some(40));
        assert!(!observe(&mut state, "full-2", [Some("0.4"), None, None, None], 0));
        status.training = None;
        state.update(&model, &status);
        assert_eq!((state.is_empty(), state.observed()), (true, None));
    }
}
