//! Asks a source what it has loaded and what it scrapes: three requests for a batch of objects.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use jiff::Timestamp;
use tokio::time::Instant;

use super::{
    answer,
    client::{Client, Reply, Session},
    config::SourceConfig,
    failure::Failure,
    loaded::{self, Asked, Element, Group, Loaded, Pool, Scraped},
    readings::seconds,
};
use crate::{monitoring::promql, series::Series};

/// Most objects of one batch: their names have to fit into a URL of 8 kB, which is as much as many proxies take.
const BATCH: usize = 8;
/// Least time between two checks of a source.
const PAUSE: Duration = Duration::from_secs(5);
/// The same of a source that lists all its rules, whichever are asked for: 16 MB for 1,000 objects.
const PAUSE_OF_ALL: Duration = Duration::from_secs(60);
/// The labels that identify a workload of an object.
const WORKLOAD: &str = "namespace, recommender, workload";
/// The series of targets.
const UP: &str = "up";

/// A source that is asked what it has loaded.
pub struct Inspector {
    config: SourceConfig,
    /// None until the first check, and after one without an answer.
    client: Option<Client>,
    /// Whether its list of rules has more than those that were asked for, or is too large or too slow. It counts until an answer
    /// disproves it.
    is_large: bool,
}

impl Inspector {
    /// Does not connect yet.
    pub fn new(config: SourceConfig) -> Self {
        Self { config, client: None, is_large: false }
    }

    /// Name of the source.
    pub fn name(&self) -> &str {
        &self.config.name
    }

    /// Least time until the next check.
    pub fn pause(&self) -> Duration {
        if self.is_large { PAUSE_OF_ALL } else { PAUSE }
    }

    /// What the source has loaded of these objects. `names`: the series whose existence is of interest.
    pub async fn loaded(&mut self, objects: &[Asked], names: &[&str], now: Timestamp) -> Loaded {
        let mut all = Loaded::default();
        let mut asked = 0;
        let began = Instant::now();
        for batch in objects.chunks(BATCH) {
            let at = now + began.elapsed();
            let failure = self.ask(batch, names, at, &mut all).await.err();
            // Where nothing answers, the next batch would have no answer either.
            let failed = match &failure {
                Some(failure) if !failure.is_answer() => &objects[asked..],
                _ => batch,
            };
            asked += batch.len();
            let Some(failure) = failure else { continue };
            // Its connections may be dead, and its files may have changed.
            self.client = None;
            let sentence = failure.sentence(&self.config, None);
            all.failed.extend(failed.iter().map(|of| (of.key(), sentence.clone())));
            if !failure.is_answer() {
                break;
            }
        }
        all
    }

    /// Asks about a batch. Rules that were listed before stay.
    async fn ask(&mut self, batch: &[Asked], names: &[&str], now: Timestamp, all: &mut Loaded) -> Result<(), Failure> {
        let client = self.client()?;
        let session = client.session(&self.config, (Instant::now(), seconds(now)))?;
        let mut workloads = workloads(&session, &self.config, batch, names).await?;
        let found = match &all.groups {
            Ok(_) if !all.is_complete => Some(groups(&session, batch).await),
            _ => None,
        };
        self.is_large = match &found {
            None => self.is_large,
            Some(Ok((_, is_complete))) => *is_complete,
            Some(Err(failure)) if failure.is_unlisted() => false,
            Some(Err(failure)) => self.is_large || matches!(failure, Failure::TooLarge(_) | Failure::TimedOut(_)),
        };
        match (found, &mut all.groups) {
            (Some(Ok((mut groups, is_complete))), Ok(known)) => {
                known.append(&mut groups);
                all.is_complete = is_complete;
            }
            (Some(Err(failure)), Ok(known)) if failure.is_unlisted() && known.is_empty() => {
                all.groups = Err(failure.to_string());
            }
            (Some(Err(failure)), _) => return Err(failure),
            _ => {}
        }
        all.workloads.append(&mut workloads);
        Ok(())
    }

    /// What the source reports of a scrape pool, of which it has no target that is up.
    pub async fn pool(&mut self, pool: &str, now: Timestamp) -> Pool {
        let asked = async {
            let client = self.client()?;
            let session = client.session(&self.config, (Instant::now(), seconds(now)))?;
            let targets = session.get("targets", [("state", "active"), ("scrapePool", pool)]).await?;
            if let Some(pool) = loaded::targets(&targets.body, pool)? {
                return Ok(pool);
            }
            let pools = session.get("scrape_pools", []).await?;
            Ok::<_, Failure>(if loaded::has_pool(&pools.body, pool)? { Pool::Empty } else { Pool::Absent })
        };
        asked.await.unwrap_or(Pool::Unknown)
    }

    fn client(&mut self) -> Result<Client, Failure> {
        let client = match self.client.take() {
            Some(client) => client.renewed(&self.config),
            None => Client::new(&self.config)?,
        };
        self.client = Some(client.clone());
        Ok(client)
    }
}

/// The rule groups of these objects, and whether the answer has all others as well.
async fn groups(session: &Session<'_>, batch: &[Asked]) -> Result<(BTreeMap<String, Vec<Group>>, bool), Failure> {
    let names: BTreeSet<&str> = batch.iter().flat_map(|of| &of.groups).map(String::as_str).collect();
    let filters = names.iter().map(|name| ("rule_group[]", *name));
    let Reply { body, clock } = session.get("rules", filters.chain([("exclude_alerts", "true")])).await?;
    loaded::groups(&body, &names, clock)
}

/// The series of these objects that exist, and their targets.
async fn workloads(
    session: &Session<'_>,
    config: &SourceConfig,
    batch: &[Asked],
    names: &[&str],
) -> Result<BTreeMap<(String, String, String), Scraped>, Failure> {
    let any = |label: &str, values: BTreeSet<&str>| format!("{label}=~{}", promql::any_of(values));
    let objects = [
        any("namespace", batch.iter().map(|of| of.namespace.as_str()).collect()),
        any("recommender", batch.iter().map(|of| of.recommender.as_str()).collect()),
    ];
    let named = any("__name__", names.iter().copied().chain([UP]).collect());
    let existing = session.select_named("", std::iter::once(named).chain(objects.clone()));
    let (recorded, recorded_up) = (Series::Targets.name(), Series::TargetsUp.name());
    let counted = any("__name__", [UP, recorded, recorded_up].into());
    let counted = session.select_named("", std::iter::once(counted).chain(objects));
    let mut workloads = BTreeMap::new();
    let body = query(session, &format!("count by ({WORKLOAD}, __name__) ({existing})")).await?;
    for element in elements(&body, config)? {
        loaded::add(&mut workloads, &element, |of, name, count| match name {
            UP => of.targets = count,
            _ => _ = of.names.insert(name.into()),
        });
    }
    let body = query(session, &format!("sum by ({WORKLOAD}, __name__) ({counted})")).await?;
    for element in elements(&body, config)? {
        loaded::add(&mut workloads, &element, |of, name, count| match name {
            UP => of.up = count,
            name if name == recorded => of.recorded.0 = Some(count),
            _ => of.recorded.1 = Some(count),
        });
    }
    Ok(workloads)
}

async fn query(session: &Session<'_>, query: &str) -> Result<Vec<u8>, Failure> {
    session.query(query).await.map(|reply| reply.body)
}

/// The elements of a complete answer: of an incomplete one, it is not known what does not exist.
fn elements<'a>(body: &'a [u8], config: &SourceConfig) -> Result<Vec<Element<'a>>, Failure> {
    match answer::result(body, "vector", config.max_series)? {
        (elements, None) => Ok(elements),
        (_, Some(why)) => Err(Failure::Partial(why)),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use axum::{body::Body, http::Request, response::Response};

    use super::*;
    use crate::signals::{
        fake::{Fake, NOW, at, reply},
        loaded::{Evaluated, LoadedRule},
    };

    const GROUP: &str = "recommender/shop/packages";

    fn packages() -> Asked {
        Asked { namespace: "shop".into(), recommender: "packages".into(), groups: vec![GROUP.into()] }
    }

    /// The body of an answer with these rule groups.
    fn rules(groups: &str) -> String {
        format!(r#"{{"status":"success","data":{{"groups":[{groups}]}}}}"#)
    }

    /// A group as Prometheus 3 lists it.
    fn group(name: &str, evaluated: &str, health: &str, error: &str) -> String {
        format!(
            r#"{{"name":"{name}","file":"f.yaml","interval":30,"limit":0,"evaluationTime":0.1,"lastEvaluation":"{evaluated}",
            "rules":[{{"name":"recommender:targets","query":"vector(0)","health":"ok","type":"recording"}},
            {{"name":"A","query":"up","health":"{health}","lastError":"{error}","duration":300,"labels":{{"severity":"page"}},
            "annotations":{{"summary":"s"}},"alerts":[],"type":"alerting"}}]}}"#
        )
    }

    fn vector(elements: &str) -> String {
        format!(r#"{{"status":"success","data":{{"resultType":"vector","result":[{elements}]}}}}"#)
    }

    fn element(labels: &str, value: &str) -> String {
        format!(
            r#"{{"metric":{{"namespace":"shop","recommender":"packages","workload":"serving"{labels}}},"value":[1,"{value}"]}}"#
        )
    }

    /// A source with three targets, of which two are up, and this answer on rules. Returns what it has loaded, and the requests.
    async fn inspect(
        on_rules: impl Fn() -> Response + Send + Sync + 'static,
        objects: &[Asked],
    ) -> (Loaded, Vec<String>, Duration) {
        let requests: Arc<Mutex<Vec<String>>> = Arc::default();
        let sink = requests.clone();
        let fake = Fake::start(Arc::new(move |request: Request<Body>| {
            let uri = request.uri().to_string();
            let is = |part: &str| uri.contains(part);
            let answer = match () {
                () if is("/api/v1/rules") => on_rules(),
                () if is("query=count") => {
                    let elements = [element(r#","__name__":"up""#, "3"), element(r#","__name__":"a_total""#, "9")];
                    reply(200, vector(&elements.join(",")))
                }
                () => {
                    let named = |name: &str, value| element(&format!(r#","__name__":"{name}""#), value);
                    let elements =
                        [named("up", "2"), named("recommender:targets", "4"), named("recommender:targets_up", "1")];
                    reply(200, vector(&elements.join(",")))
                }
            };
            sink.lock().expect("sound").push(uri);
            answer
        }))
        .await;
        let mut inspector = Inspector::new(SourceConfig::plain(&fake.url).expect("a URL"));
        let found = inspector.loaded(objects, &["a_total", "b:c"], at(0)).await;
        let requests = std::mem::take(&mut *requests.lock().expect("sound"));
        (found, requests, inspector.pause())
    }

    #[tokio::test]
    async fn groups_targets_and_series_of_an_object_are_read() {
        let evaluated = jiff::Timestamp::from_second(NOW - 20).expect("in range").to_string();
        let body = rules(&group(GROUP, &evaluated, "err", "many-to-many\\nmatching"));
        let (found, requests, pause) = inspect(move || reply(200, body.clone()), &[packages()]).await;
        let groups = found.groups.as_ref().expect("listed");
        let [group] = &groups[GROUP][..] else { panic!("{groups:?}") };
        let texts = |name: &str, value: &str| [(name.to_owned(), value.to_owned())].into();
        let recording =
            LoadedRule { name: "recommender:targets".into(), query: Some("vector(0)".into()), ..LoadedRule::default() };
        let alert = LoadedRule {
            name: "A".into(),
            query: Some("up".into()),
            labels: texts("severity", "page"),
            annotations: Some(texts("summary", "s")),
            for_seconds: Some(300.0),
        };
        assert_eq!((&group.rules[..], group.interval_seconds), (&[recording, alert][..], Some(30.0)));
        assert_eq!(group.failed, Some(("A".into(), "many-to-many matching".into())));
        assert!(matches!(group.evaluated, Evaluated::Ago(age) if (20.0..25.0).contains(&age)), "{:?}", group.evaluated);
        let scraped =
            Scraped { names: BTreeSet::from(["a_total".into()]), targets: 3, up: 2, recorded: (Some(4), Some(1)) };
        assert_eq!(found.workload("shop", "packages", "serving"), Some(&scraped));
        assert_eq!(pause, PAUSE);
        let expected = [
            "/api/v1/query?query=count%20by%20%28namespace%2C%20recommender%2C%20workload%2C%20__name__%29%20%28%7B__name__%3D~%22\
             a_total%7Cb%3Ac%7Cup%22%2Cnamespace%3D~%22shop%22%2Crecommender%3D~%22packages%22%7D%29&timeout=4s&nocache=1",
            "/api/v1/query?query=sum%20by%20%28namespace%2C%20recommender%2C%20workload%2C%20__name__%29%20%28%7B__name__%3D~%22\
             recommender%3Atargets%7Crecommender%3Atargets_up%7Cup%22%2Cnamespace%3D~%22shop%22%2Crecommender%3D~%22packages%22%7D%29\
             &timeout=4s&nocache=1",
            "/api/v1/rules?rule_group%5B%5D=recommender%2Fshop%2Fpackages&exclude_alerts=true",
        ];
        assert_eq!(requests, expected);
    }

    #[tokio::test]
    async fn a_source_without_rules_is_asked_once_and_its_series_are_read_nevertheless() {
        type Answer = fn() -> Response;
        let cases: [(Answer, &str); 6] = [
            (|| reply(404, "404 page not found"), "HTTP 404"),
            (|| reply(400, ""), "HTTP 400"),
            (|| reply(501, ""), "HTTP 501"),
            (|| reply(200, "<html>"), "a page of HTML"),
            (|| reply(200, r#"{"status":"success","data":["a"]}"#), "not that of a Prometheus"),
            (|| reply(200, r#"{"status":"error","error":"no ruler"}"#), "no ruler"),
        ];
        for (answer, part) in cases {
            let objects = vec![packages(); BATCH + 1];
            let (found, requests, _) = inspect(answer, &objects).await;
            let why = found.groups.as_ref().expect_err("not listed");
            assert!(why.contains(part), "{why}");
            assert!(found.workload("shop", "packages", "serving").is_some());
            assert_eq!(requests.iter().filter(|uri| uri.contains("/rules")).count(), 1, "{requests:?}");
        }
    }

    #[tokio::test]
    async fn a_failure_of_the_list_of_rules_is_that_of_its_batch_only() {
        for (code, number) in [(401, 0), (429, 1), (500, 0), (503, 1)] {
            let evaluated = jiff::Timestamp::from_second(NOW - 20).expect("in range").to_string();
            let body = rules(&group(GROUP, &evaluated, "ok", ""));
            let count = std::sync::atomic::AtomicUsize::new(0);
            let on_rules = move || match count.fetch_add(1, std::sync::atomic::Ordering::Relaxed) {
                of if of == number => reply(code, ""),
                _ => reply(200, body.clone()),
            };
            let named = |name: usize| Asked { recommender: name.to_string(), ..packages() };
            let objects: Vec<Asked> = (0..3 * BATCH).map(named).collect();
            let (found, requests, pause) = inspect(on_rules, &objects).await;
            assert!(found.groups.as_ref().expect("listed").contains_key(GROUP));
            let failed: BTreeSet<_> = objects[number * BATCH..][..BATCH].iter().map(Asked::key).collect();
            assert_eq!(found.failed.keys().cloned().collect::<BTreeSet<_>>(), failed, "{code}");
            assert!(found.failed.values().all(|why| why.contains(&format!("HTTP {code}"))));
            assert_eq!(requests.iter().filter(|uri| uri.contains("/rules")).count(), 3);
            assert_eq!(pause, PAUSE);
        }
    }

    #[tokio::test]
    async fn a_list_of_rules_that_is_too_large_is_asked_for_rarely_until_an_answer_disproves_it() {
        let answers: Arc<Mutex<Vec<String>>> = Arc::default();
        let next = answers.clone();
        let fake = Fake::start(Arc::new(move |request: Request<Body>| {
            let is_rules = request.uri().path().ends_with("/rules");
            let body = if is_rules { next.lock().expect("sound").pop() } else { Some(vector("")) };
            body.map_or_else(|| reply(503, ""), |body| reply(200, body))
        }))
        .await;
        let mut config = SourceConfig::plain(&fake.url).expect("a URL");
        config.max_bytes = 4096;
        let mut inspector = Inspector::new(config);
        let few = rules("");
        for (answer, pause) in
            [(few.clone(), PAUSE), ("x".repeat(5000), PAUSE_OF_ALL), (String::new(), PAUSE), (few, PAUSE)]
        {
            answers.lock().expect("sound").push(answer);
            inspector.loaded(&[packages()], &[], at(0)).await;
            assert_eq!(inspector.pause(), pause);
            let is_failed = inspector.loaded(&[packages()], &[], at(0)).await.failed.len();
            assert_eq!((is_failed, inspector.pause()), (1, pause), "HTTP 503 disproves nothing");
        }
    }

    #[tokio::test]
    async fn a_source_that_lists_all_rules_is_asked_for_them_once_and_less_often() {
        let (zero, other) = ("0001-01-01T00:00:00Z", group("kubernetes", "x", "ok", ""));
        let body = rules(&[group(GROUP, zero, "ok", ""), other, group("recommender/a/b", "", "ok", "")].join(","));
        let objects = vec![packages(); 3 * BATCH];
        let (found, requests, pause) = inspect(move || reply(200, body.clone()), &objects).await;
        let groups = found.groups.expect("listed");
        assert_eq!(groups.keys().collect::<Vec<_>>(), ["recommender/a/b", GROUP], "those of others are dropped");
        assert_eq!(groups[GROUP][0].evaluated, Evaluated::Never);
        assert_eq!(groups["recommender/a/b"][0].evaluated, Evaluated::Unknown);
        assert_eq!(requests.iter().filter(|uri| uri.contains("/rules")).count(), 1, "{requests:?}");
        assert_eq!((requests.len(), pause), (7, PAUSE_OF_ALL));
    }

    #[tokio::test]
    async fn a_source_that_does_not_answer_queries_has_failed() {
        let fake = Fake::always(|| reply(503, "")).await;
        let mut inspector = Inspector::new(SourceConfig::plain(&fake.url).expect("a URL"));
        let loaded = inspector.loaded(&[packages()], &[], at(0)).await;
        let error = &loaded.failed[&packages().key()];
        assert!(error.starts_with("metric source \"default\" (http://127.0.0.1:") && error.contains("503"), "{error}");
        assert_eq!(inspector.pool("p", at(0)).await, Pool::Unknown);
    }

    #[tokio::test]
    async fn a_pool_is_absent_empty_or_has_targets_with_an_error() {
        let fake = Fake::start(Arc::new(|request: Request<Body>| {
            let target = |pool: &str, error: &str| format!(r#"{{"scrapePool":"{pool}","lastError":"{error}"}}"#);
            let targets = [target("down", ""), target("down", "HTTP status 404"), target("well", "")].join(",");
            let body = match request.uri().path().ends_with("/targets") {
                true => format!(r#"{{"status":"success","data":{{"activeTargets":[{targets}]}}}}"#),
                false => r#"{"status":"success","data":{"scrapePools":["down","empty"]}}"#.into(),
            };
            reply(200, body)
        }))
        .await;
        let mut inspector = Inspector::new(SourceConfig::plain(&fake.url).expect("a URL"));
        for (name, pool) in [
            ("down", Pool::Targets(Some("HTTP status 404".into()))),
            ("well", Pool::Targets(None)),
            ("empty", Pool::Empty),
            ("gone", Pool::Absent),
        ] {
            assert_eq!(inspector.pool(name, at(0)).await, pool, "{name}");
        }
    }
}
