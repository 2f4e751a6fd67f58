//! Many objects whose trainings are due in the same minute, with a limit of the trainings that run at a time.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    fmt,
    pin::pin,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use futures::TryStreamExt;
use jiff::{Timestamp, Unit};
use k8s_openapi::api::batch::v1::Job;
use kube::{
    Api, ResourceExt,
    api::{Patch, PatchParams},
    runtime::{WatchStreamExt, watcher},
};
use recommender_operator::{
    api::{MODEL_LABEL, RecommenderModel},
    training::TrainingLimits,
};
use serde_json::json;
use tokio::time::{Instant, sleep};

use crate::{
    contenders::{Bench, OPERATORS, is_settled, quiet},
    requests::Counts,
};

/// How long a trainer takes: long beside a reconcile, so that the limit decides what runs.
const TRAINER: Duration = Duration::from_secs(2);
/// Time from the new schedules of all objects until they are due: each takes some milliseconds, and all must have settled.
const BEFORE_DUE: Duration = Duration::from_secs(60);
/// Of that time, what each object adds.
const BEFORE_DUE_PER_OBJECT: Duration = Duration::from_millis(50);
/// How long the last training may end after the limit would allow it; each object adds half a second.
const TIMEOUT: Duration = Duration::from_secs(120);
/// Most requests of the operator per object, for a run that waits until it may start, and its version: a Job, three Events, four
/// writes of the status, and the first change of a Deployment that was created with replicas and has an autoscaler since (a read
/// and three writes; each later change is one write).
const MOST_REQUESTS: f64 = 12.0;

/// What happened after the minute.
pub struct Due {
    objects: u32,
    limit: usize,
    /// From the minute until the last version served.
    seconds: f64,
    /// Trainings at the same time.
    at_once: usize,
    /// Trainings of each object since the minute, by their number.
    trainings: BTreeMap<usize, usize>,
    requests: Counts,
    /// Requests in the busiest second.
    busiest: u64,
}

/// The Jobs since the minute.
#[derive(Debug, Default)]
struct Jobs {
    unfinished: BTreeSet<String>,
    at_once: usize,
    by_object: HashMap<String, BTreeSet<String>>,
}

/// Converges the objects, gives all the same schedule, and observes what the operator does then.
pub async fn measure(bench: &Bench, objects: u32, limit: usize) -> Result<Due> {
    let limits = TrainingLimits { total: Some(limit), per_namespace: None };
    bench
        .with_operator(limits, TRAINER, async |requests, _| {
            tokio::try_join!(bench.create(objects), bench.all_settled(OPERATORS, objects))?;
            let due = all_due(bench, objects).await?;
            quiet(requests).await?;
            requests.take();
            let jobs = Arc::new(Mutex::new(Jobs::default()));
            ensure!(Timestamp::now() < due, "{objects} objects have not settled before they are due");
            let watch = tokio::spawn(watch_jobs(bench.api(), due, jobs.clone()));
            sleep(Duration::try_from(due - Timestamp::now()).unwrap_or_default()).await;
            let start = Instant::now();
            let mut busiest = 0;
            let timeout = TIMEOUT + TRAINER * (objects / u32::try_from(limit)?) + Duration::from_millis(500) * objects;
            let trained = async {
                tokio::time::timeout(timeout, all_trained(bench, due, objects)).await.context("not all are trained")?
            };
            let count = async {
                let mut before = 0;
                loop {
                    sleep(Duration::from_secs(1)).await;
                    let total = requests.total();
                    busiest = busiest.max(total - before);
                    before = total;
                }
            };
            tokio::select! { trained = trained => trained?, () = count => {} }
            let seconds = start.elapsed().as_secs_f64();
            quiet(requests).await?;
            watch.abort();
            let jobs = std::mem::take(&mut *jobs.lock().unwrap_or_else(PoisonError::into_inner));
            let mut trainings = BTreeMap::from([(0, objects as usize - jobs.by_object.len())]);
            jobs.by_object.values().for_each(|jobs| *trainings.entry(jobs.len()).or_default() += 1);
            let (at_once, requests) = (jobs.at_once, requests.take());
            Ok(Due { objects, limit, seconds, at_once, trainings, requests, busiest })
        })
        .await
}

/// Gives all objects the same schedule, and returns when they are due.
async fn all_due(bench: &Bench, objects: u32) -> Result<Timestamp> {
    let earliest = Timestamp::now() + BEFORE_DUE + BEFORE_DUE_PER_OBJECT * objects;
    let due = earliest.round(Unit::Minute)? + Duration::from_secs(60);
    let schedule = due.strftime("%M %H * * *").to_string();
    let full = json!({"spec": {"training": {"full": {"schedule": schedule, "timeZone": "Etc/UTC"}}}});
    let api: &Api<RecommenderModel> = &bench.api();
    let patch = &Patch::Merge(full);
    bench.on_each(objects, async |name| Ok(api.patch(&name, &PatchParams::default(), patch).await.map(drop)?)).await?;
    Ok(due)
}

/// Waits until the runs of that time of all objects have ended and their versions serve.
async fn all_trained(bench: &Bench, due: Timestamp, objects: u32) -> Result<()> {
    let mut changed = pin!(watcher(bench.api::<RecommenderModel>(), watcher::Config::default()).applied_objects());
    let mut trained = BTreeSet::new();
    while trained.len() < objects as usize {
        let object = changed.try_next().await?.context("the watch ended")?;
        if is_settled(&object) && is_trained(&object, due) {
            trained.insert(object.name_any());
        }
    }
    Ok(())
}

fn is_trained(object: &RecommenderModel, due: Timestamp) -> bool {
    let Some(status) = &object.status else { return false };
    let Some(training) = &status.training else { return false };
    let handled = training.last_schedule_time.as_ref().is_some_and(|time| time.0 >= due) && training.active.is_none();
    let newest = status.versions.first().map(|version| version.id.as_str());
    let last = training.last.as_ref().map(|run| run.version.as_str());
    let serving = status.serving.as_ref().filter(|serving| serving.rolling_out.is_none());
    handled && newest == last && newest.is_some() && serving.and_then(|serving| serving.version.as_deref()) == newest
}

/// Records the Jobs that were created since a time.
async fn watch_jobs(api: Api<Job>, since: Timestamp, jobs: Arc<Mutex<Jobs>>) -> Result<()> {
    let mut changed = pin!(watcher(api, watcher::Config::default()).applied_objects());
    while let Some(job) = changed.try_next().await? {
        if job.creation_timestamp().is_none_or(|created| created.0 < since) {
            continue;
        }
        let mut jobs = jobs.lock().unwrap_or_else(PoisonError::into_inner);
        let name = job.name_any();
        let object = job.labels().get(MODEL_LABEL).cloned().unwrap_or_default();
        jobs.by_object.entry(object).or_default().insert(name.clone());
        if job.status.is_some_and(|status| status.completion_time.is_some()) {
            jobs.unfinished.remove(&name);
        } else {
            jobs.unfinished.insert(name);
        }
        jobs.at_once = jobs.at_once.max(jobs.unfinished.len());
    }
    Ok(())
}

impl Due {
    /// What is worse than promised.
    pub fn failures(&self) -> Vec<String> {
        let once = self.trainings.get(&1).copied().unwrap_or_default();
        let all = [
            (self.at_once > self.limit, format!("{} trainings at once are more than {}", self.at_once, self.limit)),
            (once != self.objects as usize, format!("{once} of {} objects were trained once", self.objects)),
            (
                self.requests_per_object() > MOST_REQUESTS,
                format!("{:.2} requests per object are more than {MOST_REQUESTS}", self.requests_per_object()),
            ),
        ];
        all.into_iter().filter(|(failed, _)| *failed).map(|(_, message)| message).collect()
    }

    fn requests_per_object(&self) -> f64 {
        self.requests.values().sum::<u64>() as f64 / f64::from(self.objects)
    }
}

impl fmt::Display for Due {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let least = TRAINER.as_secs_f64() * (f64::from(self.objects) / self.limit as f64).ceil();
        writeln!(f, "{} objects due in the same minute, at most {} trainings at a time", self.objects, self.limit)?;
        writeln!(f, "{:.1} s until all new versions serve; the trainers alone would take {least:.0} s", self.seconds)?;
        writeln!(f, "{} trainings at the same time, at most", self.at_once)?;
        for (trainings, objects) in &self.trainings {
            writeln!(f, "trained {trainings} times: {objects} objects")?;
        }
        writeln!(f, "{} requests of the operator in the busiest second", self.busiest)?;
        write!(f, "{:.2} requests of the operator per object", self.requests_per_object())?;
        for ((verb, resource), count) in &self.requests {
            let request = format!("{verb} {resource}");
            write!(f, "\n  {request:36} {:12.2}", *count as f64 / f64::from(self.objects))?;
        }
        Ok(())
    }
}
