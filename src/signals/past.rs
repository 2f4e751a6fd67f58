//! Backfill queries: reads the load that was recorded for a workload before the operator started. They are sent one after
//! the other.

use jiff::Timestamp;
use tokio::time::Instant;

use super::{
    answer,
    client::{Client, Reply, Session},
    config::SourceConfig,
    failure::Failure,
    readings::seconds,
};
use crate::{
    monitoring::promql,
    scaling::past::{Past, PastLoad},
    series::Series,
};

/// Range of the query for the recorded samples of the load. By default Prometheus keeps 15 days.
const LOADS: &str = "1d";
/// Range and resolution of the subquery for the highest load of each quarter of an hour. By default Prometheus keeps 15
/// days.
const QUARTERS: &str = "7d:15m";
/// Window of each maximum in [`QUARTERS`].
const QUARTER: &str = "15m";

/// The workload that is queried; it scales on latency.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subject {
    /// Namespace of the object.
    pub namespace: String,
    /// Name of the object.
    pub recommender: String,
    /// Name of the workload.
    pub workload: String,
}

/// The load that a source recorded for a workload up to `now`. Empty when it recorded none.
///
/// # Errors
/// One sentence, when the load of the day cannot be read. A failed query for the week is not an error: its quarters of an
/// hour are then empty.
pub async fn past(source: &SourceConfig, of: &Subject, now: Timestamp) -> Result<Past, String> {
    ask(source, of, now).await.map_err(|failure| failure.sentence(source, None))
}

async fn ask(source: &SourceConfig, of: &Subject, now: Timestamp) -> Result<Past, Failure> {
    let client = Client::new(source)?;
    let session = client.session(source, (Instant::now(), seconds(now)))?;
    let labels = [("namespace", &of.namespace), ("recommender", &of.recommender), ("workload", &of.workload)];
    let select = |series| session.select(series, labels.map(|(label, value)| promql::equals(label, value)));
    let (rate, latest) = (select(Series::RequestRate), select(Series::LatestRequestRate));
    let (loads, now) = samples(&session, &format!("{rate}[{LOADS}]")).await?;
    if loads.is_empty() {
        return Ok(Past::default());
    }
    let (latest, _) = samples(&session, &format!("{latest}[{LOADS}]")).await?;
    let quarters = samples(&session, &format!("max_over_time({rate}[{QUARTER}])[{QUARTERS}]")).await;
    let mut past = joined(&loads, &latest);
    past.iter_mut().for_each(|load| load.at = (load.at - now).min(0.0));
    let quarters = quarters.map(|(quarters, _)| quarters).unwrap_or_default();
    Ok(Past { quarters: quarters.into_iter().map(|(at, highest)| (at - now, highest)).collect(), loads: past })
}

/// The samples of one series, and the current time, both by the server's clock.
async fn samples(session: &Session<'_>, query: &str) -> Result<(Vec<(f64, f64)>, f64), Failure> {
    let Reply { body, clock } = session.query(query).await?;
    Ok((answer::samples(&body)?, clock.server))
}

/// Joins two series by their times. Where the series of latest rates has no sample, the load is used instead.
fn joined(loads: &[(f64, f64)], latest: &[(f64, f64)]) -> Vec<PastLoad> {
    let mut others = latest.iter().copied().peekable();
    let pairs = loads.iter().map(|&(at, load)| {
        while others.next_if(|(other, _)| *other < at).is_some() {}
        let latest = others.peek().filter(|(other, _)| *other == at).map_or(load, |(_, latest)| *latest);
        PastLoad { at, load, latest }
    });
    pairs.collect()
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;
    use crate::signals::{
        config,
        fake::{Fake, LABELS, at, matrix, of_object, reply, sample},
    };

    #[test]
    fn series_are_joined_by_their_times() {
        let loads = [(-20.0, 1.0), (-15.0, 2.0), (-5.0, 4.0), (0.0, 5.0)];
        let latest = [(-30.0, 9.0), (-15.0, 20.0), (-10.0, 30.0), (-5.0, 40.0)];
        let found: Vec<(f64, f64)> = joined(&loads, &latest).iter().map(|of| (of.load, of.latest)).collect();
        assert_eq!(found, [(1.0, 1.0), (2.0, 20.0), (4.0, 40.0), (5.0, 5.0)]);
    }

    fn subject() -> Subject {
        Subject { namespace: "shop".into(), recommender: "packages".into(), workload: "serving".into() }
    }

    /// Queries a server with additional fields of the configuration. Returns the result, and the queries that were sent.
    async fn asked(answer: fn(&str) -> (u16, String), more: &str) -> (Result<Past, String>, Vec<String>) {
        let queries: Arc<Mutex<Vec<String>>> = Arc::default();
        let sink = queries.clone();
        let fake = Fake::start(Arc::new(move |request| {
            let query = request.uri().query().expect("a query").replace("%3A", ":").replace("%22", "'");
            let (code, body) = answer(&query);
            sink.lock().expect("sound").push(query);
            reply(code, body)
        }))
        .await;
        let text = format!("sources: [{{name: default, url: '{}'{more}}}]", fake.url);
        let [source] = config::parse(&text).expect("valid").try_into().expect("one");
        let found = past(&source, &subject(), at(0)).await;
        let queries = std::mem::take(&mut *queries.lock().expect("sound"));
        (found, queries)
    }

    #[tokio::test]
    async fn a_day_of_loads_and_a_week_of_quarters_are_read() {
        let answer = |query: &str| {
            let (early, late) = if query.contains("rate10s") { ("7", "NaN") } else { ("5", "6") };
            let values = if query.contains("max_over_time") {
                sample(-900, "80")
            } else {
                format!("{},{}", sample(-10, early), sample(-5, late))
            };
            (200, of_object(&values))
        };
        let (found, queries) = asked(answer, ", matchLabels: {cluster: prod}").await;
        let loads = vec![PastLoad { at: -10.0, load: 5.0, latest: 7.0 }, PastLoad { at: -5.0, load: 6.0, latest: 6.0 }];
        assert_eq!(found, Ok(Past { quarters: vec![(-900.0, 80.0)], loads }));
        let labels = "%7Bnamespace%3D'shop'%2Crecommender%3D'packages'%2Cworkload%3D'serving'%2Ccluster%3D'prod'%7D";
        let expected = [
            format!("recommender:requests:rate20s{labels}%5B1d%5D"),
            format!("recommender:requests:rate10s{labels}%5B1d%5D"),
            format!("max_over_time%28recommender:requests:rate20s{labels}%5B15m%5D%29%5B7d:15m%5D"),
        ];
        let queries: Vec<&str> =
            queries.iter().map(|query| query["query=".len()..].split('&').next().expect("one")).collect();
        assert_eq!(queries, expected);
    }

    #[tokio::test]
    async fn without_a_recorded_load_no_further_query_is_sent_and_a_refused_week_is_empty() {
        let (found, queries) = asked(|_| (200, matrix(&[])), "").await;
        assert_eq!((found, queries.len()), (Ok(Past::default()), 1));

        let answer = |query: &str| match query.contains("max_over_time") {
            true => (422, r#"{"status":"error","error":"the query's range is longer than 1d"}"#.into()),
            false => (200, of_object(&sample(-5, "6"))),
        };
        let found = asked(answer, "").await.0.expect("the loads");
        assert_eq!((found.loads.len(), found.quarters.len()), (1, 0));
    }

    #[tokio::test]
    async fn an_error_is_reported_as_one_sentence() {
        let two = |_: &str| (200, matrix(&[(LABELS, &sample(-5, "6")), (LABELS, &sample(-5, "7"))]));
        let error = asked(two, "").await.0.expect_err("two clusters");
        assert!(error.contains("it has 2 series, more than 1") && error.contains("matchLabels"), "{error}");
        let error = asked(|_| (503, String::new()), "").await.0.expect_err("not ready");
        assert!(
            error.starts_with("metric source \"default\" (http://127.0.0.1:") && error.contains("HTTP 503"),
            "{error}"
        );
    }
}
