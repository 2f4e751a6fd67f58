mod alerts;
mod exporters;
mod profiles;

use super::*;

/// An embedded file with one change.
fn changed(path: &str, from: &str, to: &str) -> String {
    let (_, text) = FILES.iter().find(|(file, _)| *file == path).unwrap_or_else(|| panic!("there is no {path}"));
    assert!(text.contains(from), "{path} has no {from}");
    text.replacen(from, to, 1)
}

/// The line of an embedded file in which a text begins.
fn line(path: &str, of: &str) -> usize {
    let (_, text) = FILES.iter().find(|(file, _)| *file == path).expect("an embedded file");
    text[..text.find(of).expect("a text of the file")].matches('\n').count() + 1
}

/// A catalogue of these files alone.
fn load<'a>(files: impl IntoIterator<Item = (&'a str, &'a str)>) -> (Catalog, Vec<Problem>) {
    let mut catalog = Catalog::default();
    let problems = add(&mut catalog, files);
    (catalog, problems)
}

const FAST_API: &str = "profiles/FastApiInstrumentator.yaml";
const KAFKA: &str = "dependencies/kafka/KafkaExporter.yaml";
const LAG: &str = "lag: {parts: 'clamp_min(@end - @next@markers, 0) and (@known)'}\n";
const POSTGRES: &str = "dependencies/exporter/PostgresExporter.yaml";

#[test]
fn every_embedded_file_is_accepted() {
    let groups = FILES.iter().filter(|(file, _)| file.starts_with("alerts/")).count();
    assert_eq!(FILES.len(), groups + embedded().profiles.len() + embedded().exporters.len());
    assert!(groups > 1);
}

/// They read the same series, of which one has another prefix.
#[test]
fn both_exporters_of_rabbitmq_are_the_same_but_for_the_names_of_their_series() {
    let lines = |name: &str| -> Vec<String> {
        let path = format!("dependencies/rabbitmq/{name}.yaml");
        let (_, text) = FILES.iter().find(|(file, _)| *file == path).expect("an embedded file");
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        lines.map(|line| line.replace("rabbitmq_detailed_", "rabbitmq_").replace(name, "NAME")).collect()
    };
    assert_eq!(lines("Detailed"), lines("PerObject"));
}

/// File, what is replaced by what, the text in whose line the problem is, and its reason.
#[test]
fn a_wrong_file_is_refused_with_its_line_and_the_reason() {
    let mut unexpected = Vec::new();
    for (file, from, to, at, reason) in [
        (
            FAST_API,
            "route: ",
            "router: ",
            "route: ",
            "unknown field `router`; the most similar one is route, expected one of ",
        ),
        (FAST_API, "type: counter", "type: conter", "  - {name: http_requests_total", "unknown value `conter`"),
        (FAST_API, "unit: seconds", "unit: second", "    unit: seconds", "unknown value `second`"),
        (FAST_API, "presence: http", "presence: [http", "presence: ", "expected a text: put it in quotes"),
        (
            FAST_API,
            "profile: FastApiInstrumentator",
            "profile: FastAPI",
            "profile: ",
            "profile is FastAPI, the file is FastApiInstrumentator.yaml: give both the same name",
        ),
        (
            FAST_API,
            "requests: [http_requests_total]",
            "requests: [http_request_total]",
            "requests: [",
            "requests: http_request_total is not declared: add it to series, with _bucket, _sum or _count of a histogram left \
             out; the most similar one is http_requests_total",
        ),
        (FAST_API, "requests: [http_requests_total]", "requests: []", "profile: ", "requests is empty"),
        (
            FAST_API,
            "presence: http",
            "presence: x_http",
            "presence: ",
            "presence: x_http_request_duration_highr_seconds_count is not",
        ),
        (
            FAST_API,
            "{status=~\"5..\"}",
            "{code=~\"5..\"}",
            "errors: ",
            "errors: http_requests_total has no label code: add it to its labels, or remove the matcher",
        ),
        (FAST_API, "{status=~\"5..\"}", "{status=~5..}", "errors: ", "errors: unexpected character inside braces: '5'"),
        (
            FAST_API,
            "['http_requests_total{",
            "['sum(http_requests_total){",
            "errors: ",
            "errors: an operator, an operand or a label is missing or misplaced",
        ),
        (
            FAST_API,
            "requests: [http_requests_total]",
            "requests: ['http_requests_total + http_requests_total']",
            "requests: [",
            "is not a selector: write a name, and matchers in braces",
        ),
        (
            FAST_API,
            "requests: [http_requests_total]",
            "requests: [http_requests_inprogress]",
            "requests: [",
            "requests: http_requests_inprogress is not a counter",
        ),
        (FAST_API, "route: handler", "route: path", "route: ", "route: http_requests_total has no label path"),
        (
            FAST_API,
            "latency: http_request_duration_highr_seconds",
            "latency: http_requests_total",
            "latency: ",
            "latency: http_requests_total is not a histogram in series",
        ),
        (
            FAST_API,
            "inFlight: http_requests_inprogress",
            "inFlight: http_requests_total",
            "inFlight: ",
            "inFlight: http_requests_total is not a gauge of requests",
        ),
        (
            FAST_API,
            "responses: http_requests_total",
            "responses: http_requests_inprogress",
            "responses: ",
            "responses: http_requests_inprogress is not a counter",
        ),
        (FAST_API, "\nstatus: status", "", "profile: ", "responses and status go together: set both or neither"),
        (
            FAST_API,
            "\nstatus: status",
            "\nstatus: code",
            "status: status",
            "status: http_requests_total has no label code",
        ),
        (
            FAST_API,
            "routeLatency: http_request_duration_seconds",
            "routeLatency: http_request_duration_highr_seconds",
            "routeLatency: ",
            "routeLatency: http_request_duration_highr_seconds has no label handler",
        ),
        (
            FAST_API,
            "routeLatency: http_request_duration_seconds",
            "routeLatency: http_request_size_bytes",
            "routeLatency: ",
            "routeLatency: the unit Bytes of http_request_size_bytes is not one of time",
        ),
        (
            FAST_API,
            "requestBytes: http_request_size_bytes_sum",
            "requestBytes: http_requests_total",
            "requestBytes: ",
            "requestBytes: http_requests_total is not a counter of bytes",
        ),
        (
            FAST_API,
            "{name: http_requests_total",
            "{name: 5xx_total",
            "  - {name: http_requests_total",
            "5xx_total: it is no name",
        ),
        (
            FAST_API,
            "[handler, method, status]",
            "[handler, 2nd]",
            "  - {name: http_requests_total",
            "\"2nd\" is not a label",
        ),
        (
            FAST_API,
            "[handler, method, status]",
            "[__name__]",
            "  - {name: http_requests_total",
            "__name__ is not stored: Prometheus drops labels that begin with __: remove it",
        ),
        (
            FAST_API,
            "[handler, method, status]",
            "[endpoint]",
            "  - {name: http_requests_total",
            "so that of the server is stored as exported_endpoint: write that",
        ),
        (
            FAST_API,
            "unit: seconds",
            "unit: seconds\n    labels: [le]",
            "  - name: http_request_duration",
            "le is a label that the type adds",
        ),
        (
            FAST_API,
            "{name: http_requests_inprogress",
            "{name: http_requests_total",
            "  - {name: http_requests_in",
            "is declared twice",
        ),
        (
            FAST_API,
            "unit: seconds",
            "unit: milliseconds",
            "  - name: http_request_duration",
            "its name ends with the unit seconds, its unit is milliseconds: correct one of them",
        ),
        (
            FAST_API,
            "type: histogram",
            "type: summary",
            "  - name: http_request_duration",
            "only a histogram has buckets",
        ),
        (FAST_API, "30, 60]", "30, 60, .inf]", "  - name: http_request_duration", "remove others, also +Inf"),
        (FAST_API, "30, 60]", "60, 30]", "  - name: http_request_duration", "not in ascending order"),
        (
            FAST_API,
            "    buckets: [0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 1.5, 2, 2.5, 3, 3.5, 4, 4.5, 5, 7.5, 10, 30, 60]\n",
            "",
            "  - name: http_request_duration",
            "a histogram needs buckets",
        ),
        (
            FAST_API,
            "{name: http_requests_total",
            "{native: true, name: http_requests_total",
            "  - {name: http_requests_total",
            "http_requests_total: only a histogram is native: remove native",
        ),
        (
            FAST_API,
            "type: histogram",
            "type: histogram\n    native: true",
            "  - name: http_request_duration",
            "http_request_duration_highr_seconds: the buckets of a native histogram are not known before: remove them, or remove native",
        ),
        (
            FAST_API,
            "labels: [handler, method], buckets: [0.1, 0.5, 1]",
            "labels: [method], native: true",
            "routeLatency: ",
            "routeLatency: http_request_duration_seconds has no label handler: add it to its labels",
        ),
        (
            KAFKA,
            "exporter: KafkaExporter",
            "exporter: Kafka",
            "exporter: ",
            "exporter is Kafka, the file is KafkaExporter.yaml",
        ),
        (KAFKA, "lag: {parts:", "lag: {pieces:", "lag: ", "unknown value `pieces`"),
        (
            KAFKA,
            "consumed: {offsets: '@committed'}",
            "consumed: {offsets: '@comitted'}",
            "consumed: ",
            "consumed: @comitted is neither a term nor a value of kafka: @group, @topics, @count, @markers, @dead, @labels",
        ),
        (KAFKA, "@end - @next@markers, 0)", "@end - @next@markers, 0", "lag: ", "lag: unclosed left parenthesis, in "),
        (
            KAFKA,
            "kafka_topic_partitions{topic",
            "kafka_topic_partition{topic",
            "parts: ",
            "parts: kafka_topic_partition is not declared",
        ),
        (
            KAFKA,
            "max by (topic) (kafka",
            "max by (queue) (kafka",
            "parts: ",
            "parts: no series of the expression has the label queue",
        ),
        (
            KAFKA,
            "consumed: {offsets: '@committed'}",
            "consumed: {total: 'sum(rate(@committed[@window]))'}",
            "consumed: ",
            "consumed: kafka_consumergroup_current_offset is a gauge, whose rate has no meaning",
        ),
        (
            KAFKA,
            "consumed: {offsets: '@committed'}",
            "consumed: {offsets: 'sum(@committed)'}",
            "consumed: ",
            "offsets need one selector",
        ),
        (
            KAFKA,
            "arrivals: {offsets: '@newest'}",
            "arrivals: {offsets: 'kafka_topic_partitions{topic=~@topics@labels}'}",
            "arrivals: ",
            "the labels topic and partition",
        ),
        (KAFKA, LAG, "", "exporter: ", "lag is missing: dependencies of this kind have one"),
        (
            POSTGRES,
            "records:\n",
            "lag: {total: 'sum(pg_up)'}\nrecords:\n",
            "exporter: ",
            "lag, parts, consumed and arrivals are those of another kind of dependency: write records alone",
        ),
        (
            POSTGRES,
            "  dependency_up: ",
            "  dependency_ups: ",
            "  dependency_up: ",
            "records: dependency_ups is no canonical series of dependencies; the most similar one is dependency_up",
        ),
        (
            POSTGRES,
            "'min(pg_up@of)'",
            "'pg_up@of'",
            "  dependency_up: ",
            "records.dependency_up: it has the labels of the exporter's series: aggregate it, as in max(...)",
        ),
        (
            POSTGRES,
            "'min(pg_up@of)'",
            "'1 * pg_up@of'",
            "  dependency_up: ",
            "records.dependency_up: it has the labels of the exporter's series: aggregate it, as in max(...)",
        ),
        (
            POSTGRES,
            "'min(pg_up@of)'",
            "'min by (instance) (pg_up@of)'",
            "  dependency_up: ",
            "records.dependency_up: instance is no label of this series; it has none: aggregate without it",
        ),
        (
            POSTGRES,
            "'min(pg_up@of)'",
            "'min(pg_down@of)'",
            "  dependency_up: ",
            "records.dependency_up: pg_down is not declared",
        ),
        (
            "dependencies/exporter/FerretDb.yaml",
            "up{@target}",
            "up{@matchers}",
            "  dependency_up: ",
            "records.dependency_up: up without matchers is that of every target of a Prometheus: write up{@target}",
        ),
        (KAFKA, "terms:\n", "terms:\n  old: '@older'\n  older: 2 * @old\n", "terms:", "terms: @old contains itself"),
        (KAFKA, "terms:\n", "terms:\n  unused: '@nothing'\n", "terms:", "terms.unused: @nothing is neither a term"),
        (
            "dependencies/flink/PrometheusReporter.yaml",
            "lag: {total:",
            "lag: {parts:",
            "lag: ",
            "lag: how many parts there are is not known, so this would never be complete: use total",
        ),
    ] {
        // A term is added in the line after its list begins.
        let line = line(file, at) + usize::from(at == "terms:");
        unexpected.extend(self::unexpected(file, from, to, line, reason));
    }
    assert!(unexpected.is_empty(), "{}", unexpected.join("\n"));
}

/// What is unexpected about loading a file with one change that is wrong in this line, for this reason.
fn unexpected(file: &str, from: &str, to: &str, line: usize, reason: &str) -> Option<String> {
    let text = changed(file, from, to);
    let is_beside = |path: &str| path == OTHER || path != file && path.starts_with("alerts/");
    let beside = FILES.iter().copied().filter(|(path, _)| is_beside(path));
    let (catalog, problems) = load(beside.chain([(file, text.as_str())]));
    let is_expected = |of: &Problem| of.file == file && of.line == line as u64 && of.reason.contains(reason);
    // The other files are not affected.
    let is_expected =
        problems.len() == 1 && is_expected(&problems[0]) && catalog.profiles.len() + catalog.exporters.len() == 1;
    (!is_expected).then(|| format!("{to}: expected {file}:{line}: {reason}, got {problems:?}"))
}

/// A file beside the wrong one. Those of alerts are there as well, because alerts name each other.
const OTHER: &str = "dependencies/redisList/RedisExporter.yaml";

#[test]
fn a_file_that_is_added_harms_no_other_and_replaces_none() {
    let mut catalog = embedded().clone();
    let own = changed(FAST_API, "profile: FastApiInstrumentator", "profile: Own");
    let (_, fast_api) = FILES.iter().find(|(file, _)| *file == FAST_API).expect("an embedded file");
    let again = changed(FAST_API, "type: counter", "type: gauge");
    let alert = |name: &str, by: &str| {
        format!(
            "alerts:\n- name: {name}\n  appliesTo: serving\n  expr: recommender:targets_up{{@}} < 1\n  severity: info\n  \
             silencedBy: [{by}]\n  runbook: https://wiki/x\n  summary: None.\n  \
             description: '{{{{ $labels.namespace }}}} {{{{ $labels.recommender }}}}'\n"
        )
    };
    let [good, wrong, taken] = [
        alert("RecommenderOwn", "RecommenderNoHealthyTarget"),
        alert("RecommenderWrong", "RecommenderNoTarget"),
        alert("RecommenderLatencyHigh", ""),
    ];
    let problems = add(
        &mut catalog,
        [
            ("profiles/Own.yaml", own.as_str()),
            (FAST_API, fast_api),
            ("profiles/my-own.yaml", "profile: my-own\nabout: x\nseries: []\npresence: up\nrequests: []\nerrors: []\n"),
            ("profiles/Broken.yaml", "profile: [\n"),
            ("profiles/Wrong.yaml", &again),
            ("alerts/good.yaml", &good),
            ("alerts/wrong.yaml", &wrong),
        ],
    );
    let problems: Vec<String> = problems.iter().map(ToString::to_string).collect();
    let line = line(FAST_API, "profile: ");
    assert_eq!(
        problems[0],
        format!("{FAST_API}:{line}: there is already a profile FastApiInstrumentator: give this one another name")
    );
    assert_eq!(
        problems[1],
        "profiles/my-own.yaml:1: profile: objects could not name my-own: write letters and digits, with a letter at the beginning"
    );
    assert!(problems[2].starts_with("profiles/Broken.yaml:"), "{problems:?}");
    assert!(problems[3].starts_with("profiles/Wrong.yaml:"), "{problems:?}");
    assert_eq!(
        problems[4],
        "alerts/wrong.yaml:6: silencedBy: there is no alert RecommenderNoTarget; the most similar one is RecommenderNoHealthyTarget"
    );
    assert_eq!(problems.len(), 5);
    assert_eq!(catalog.profiles["FastApiInstrumentator"], embedded().profiles["FastApiInstrumentator"]);
    assert_eq!(catalog.profiles.len(), embedded().profiles.len() + 1);
    assert_eq!(catalog.alerts.len(), embedded().alerts.len() + 1);
    let own = catalog.alert("RecommenderOwn").expect("it is accepted");
    assert_eq!((own.runbook.as_deref(), own.is_embedded), (Some("https://wiki/x"), false));
    let problems = add(&mut catalog, [("alerts/taken.yaml", taken.as_str())]);
    assert_eq!(
        problems[0].to_string(),
        "alerts/taken.yaml:2: there is already an alert RecommenderLatencyHigh: give this one another name"
    );
}

#[test]
fn what_is_wrong_with_yaml_is_said_without_words_of_the_library() {
    let begin = "profile: Own\nabout: x\nseries: []\npresence: a\n";
    for (path, text, expected) in [
        ("profiles/Own.yaml", String::new(), "the file is empty or ends too early: write its keys"),
        ("profiles/Own.yaml", format!("{begin}presence: b\n"), "duplicate key presence: remove one of them"),
        ("profiles/Own.yaml", format!("{begin}requests: a\n"), "expected a list, as in [a, b]"),
        ("profiles/Own.yaml", "x".into(), "expected keys with values, as in {name: a}"),
        ("profiles/Own.yaml", begin.into(), "missing field `requests`: add it"),
        (
            "profiles/Own.yaml",
            "profile: Own\nseries:\n- {name: a, type: histogram, unit: seconds, buckets: [1, +Inf]}\n".into(),
            "expected a finite number",
        ),
        (
            "profiles/Own.yaml",
            format!("{begin}requests: []\nerrors: []\n---\n{begin}"),
            "a second document begins: put it into a file of its own",
        ),
        (
            "dependencies/kafka/Own.yaml",
            "exporter: Own\nseries: []\nlag: {total: a, parts: b}\n".into(),
            "expected one key with a value: remove the other keys",
        ),
    ] {
        let (_, problems) = load([(path, text.as_str())]);
        assert_eq!(problems.iter().map(|of| of.reason.as_str()).collect::<Vec<_>>(), [expected], "{text}");
    }
}

#[test]
fn a_name_that_is_taken_for_another_one_is_refused() {
    let mut catalog = embedded().clone();
    let own = changed(FAST_API, "profile: FastApiInstrumentator", "profile: FastAPIInstrumentator");
    let custom = changed(POSTGRES, "exporter: PostgresExporter", "exporter: Custom");
    let redis = changed(POSTGRES, "exporter: PostgresExporter", "exporter: Postgresexporter");
    let problems = add(
        &mut catalog,
        [
            ("profiles/FastAPIInstrumentator.yaml", own.as_str()),
            ("dependencies/exporter/Custom.yaml", &custom),
            ("dependencies/exporter/Postgresexporter.yaml", &redis),
        ],
    );
    let reasons: Vec<&str> = problems.iter().map(|of| of.reason.as_str()).collect();
    assert_eq!(
        reasons,
        [
            "there is a profile FastApiInstrumentator, and FastAPIInstrumentator would be taken for it: give this one another name",
            "exporter: Custom is the word for PromQL in an object: take another name",
            "there is an exporter PostgresExporter, and Postgresexporter would be taken for it: give this one another name",
        ]
    );
}

#[test]
fn a_file_in_no_known_place_is_refused() {
    let (_, fast_api) = FILES.iter().find(|(file, _)| *file == FAST_API).expect("an embedded file");
    let problem = |path: &str, text: &str| load([(path, text)]).1.first().map(ToString::to_string).unwrap_or_default();
    assert_eq!(
        problem("FastApiInstrumentator.yaml", fast_api),
        "FastApiInstrumentator.yaml: no place for it: use alerts/GROUP.yaml, profiles/NAME.yaml or dependencies/KIND/NAME.yaml"
    );
    let kafka = changed(KAFKA, "", "");
    let reason = problem("dependencies/nats/KafkaExporter.yaml", &kafka);
    assert!(
        reason.ends_with("nats is no kind of dependency: use kafka, rabbitmq, rq, redisList, flink, exporter"),
        "{reason}"
    );
}

#[test]
fn the_limit_of_the_latency_is_the_largest_bucket_in_seconds() {
    let in_milliseconds =
        changed(FAST_API, "unit: seconds", "unit: milliseconds").replace("highr_seconds", "highr_milliseconds");
    let (catalog, problems) = load([(FAST_API, in_milliseconds.as_str())]);
    assert_eq!(problems, []);
    let limit =
        |catalog: &Catalog| catalog.profiles["FastApiInstrumentator"].latency.as_ref().map(|of| of.limit_seconds);
    assert_eq!((limit(&catalog), limit(embedded())), (Some(0.06), Some(60.0)));
}

const NATIVE: &str = "profile: Native
about: x
series:
  - {name: process_cpu_seconds_total, type: counter, unit: seconds}
  - {name: shop_ms, type: histogram, native: true, unit: milliseconds, labels: [path, code]}
  - {name: shop_bytes, type: histogram, native: true, unit: bytes}
presence: shop_ms
requests: [shop_ms]
errors: ['shop_ms{code=~\"5..\"}']
route: path
latency: shop_ms
responses: shop_ms
status: code
requestBytes: shop_bytes
";

#[test]
fn a_native_histogram_is_all_of_its_counters_and_shows_any_latency() {
    let (catalog, problems) = load([("profiles/Native.yaml", NATIVE)]);
    assert_eq!(problems, []);
    let profile = &catalog.profiles["Native"];
    let names = [&profile.requests[0], &profile.errors[0], &profile.responses.as_ref().expect("responses").counter];
    assert!(names.iter().all(|of| of.name == "shop_ms_count"), "{names:?}");
    assert_eq!((profile.presence.as_str(), profile.errors[0].matchers.as_str()), ("shop_ms_count", "code=~\"5..\""));
    assert_eq!(profile.request_bytes.as_ref().map(|of| of.name.as_str()), Some("shop_bytes_sum"));
    assert!(profile.latency.as_ref().is_some_and(|of| of.shows_excess(1e6) && of.per_second == 1000));
    assert!(profile.has_route("shop_ms_count") && profile.route_latency.is_some());
    let histograms: Vec<_> = profile.histograms().map(|of| of.name.as_str()).collect();
    assert_eq!(histograms, ["shop_ms", "shop_bytes"]);
}

#[test]
fn the_series_that_a_native_histogram_does_not_have_are_refused() {
    for (from, to, reason) in [
        (
            "presence: shop_ms",
            "presence: shop_ms_count",
            "presence: shop_ms is native, so there is no shop_ms_count: write shop_ms",
        ),
        (
            "requests: [shop_ms]",
            "requests: [shop_ms_count]",
            "requests: shop_ms is native, so there is no shop_ms_count: write shop_ms",
        ),
        ("latency: shop_ms", "latency: shop_bytes", "latency: the unit Bytes of shop_bytes is not one of time"),
        (
            "requestBytes: shop_bytes",
            "requestBytes: shop_bytes_sum",
            "shop_bytes is native, so there is no shop_bytes_sum",
        ),
        ("requestBytes: shop_bytes", "requestBytes: shop_ms", "requestBytes: shop_ms is not a counter of bytes"),
    ] {
        let text = NATIVE.replacen(from, to, 1);
        let line = text[..text.find(to).expect("the change")].matches('\n').count() as u64 + 1;
        let (_, problems) = load([("profiles/Native.yaml", text.as_str())]);
        let is_expected = |of: &Problem| of.line == line && of.reason.contains(reason);
        assert!(problems.len() == 1 && is_expected(&problems[0]), "{to}: {problems:?}");
    }
}

#[test]
fn an_exporter_makes_numbers_of_native_histograms() {
    let file = |template: &str| {
        format!(
            "exporter: Own\nseries:\n  - {{name: q_seconds, type: histogram, native: true, unit: seconds, labels: [a]}}\nrecords:\n  \
             dependency_requests:rate1m: '{template}'\n"
        )
    };
    for accepted in [
        "histogram_count(sum(rate(q_seconds{a=\"b\"@labels}[@window])))",
        "max(histogram_quantile(0.9, rate(q_seconds{a=\"b\"@labels}[@window])))",
        "count(q_seconds{a=\"b\"@labels})",
    ] {
        assert_eq!(load([("dependencies/exporter/Own.yaml", file(accepted).as_str())]).1, [], "{accepted}");
    }
    for refused in ["sum(rate(q_seconds{a=\"b\"@labels}[@window]))", "max(q_seconds{a=\"b\"@labels})"] {
        let (_, problems) = load([("dependencies/exporter/Own.yaml", file(refused).as_str())]);
        let reason =
            "q_seconds is a native histogram, and a rule needs a number: write histogram_quantile, histogram_count";
        assert!(problems.len() == 1 && problems[0].line == 5 && problems[0].reason.contains(reason), "{problems:?}");
    }
}
