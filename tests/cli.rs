//! The program as a person or a pipeline calls it, without a cluster.

use std::{
    io::{ErrorKind, Write},
    path::Path,
    process::{Command, Output, Stdio},
};

fn operator(arguments: &[&str], input: &str) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_recommender-operator"))
        .args(arguments)
        .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the operator starts");
    let written = child.stdin.take().expect("stdin is piped").write_all(input.as_bytes());
    // One that refuses its arguments may have ended before it reads.
    assert!(written.as_ref().err().is_none_or(|error| error.kind() == ErrorKind::BrokenPipe), "{written:?}");
    child.wait_with_output().expect("the operator ends")
}

/// Exit code, standard output, standard error.
fn outcome(output: &Output) -> (i32, String, String) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code().unwrap_or(-1), text(&output.stdout), text(&output.stderr))
}

const MINIMAL: &str = "
apiVersion: recommender.dev/v1alpha1
kind: RecommenderModel
metadata: {name: packages}
spec:
  artifacts: {persistentVolumeClaim: {claimName: models}}
  training: {image: trainer, full: {schedule: '0 3 * * *'}}
  serving: {image: server}
";

#[test]
fn render_prints_the_children_of_every_file_and_passes_over_other_kinds() {
    let (code, out, err) = outcome(&operator(&["render", "examples/packages.yaml", "-"], MINIMAL));
    assert_eq!((code, err.as_str()), (0, ""));
    let kinds = |kind: &str| out.lines().filter(|line| *line == format!("kind: {kind}")).count();
    assert_eq!(["Deployment", "Job", "HorizontalPodAutoscaler", "Namespace"].map(kinds), [2, 2, 1, 0]);
}

#[test]
fn render_prints_later_jobs_only_where_they_are_asked_for() {
    let (code, out, err) = outcome(&operator(&["render", "--later-jobs", "examples/packages.yaml"], ""));
    assert_eq!((code, err.as_str()), (0, ""));
    assert_eq!(out.lines().filter(|line| *line == "kind: Job").count(), 3);
    let jobs: Vec<&str> = out.lines().filter(|line| line.starts_with("# A later ")).collect();
    assert!(
        jobs.len() == 2 && jobs[0].contains("partial training") && jobs[1].contains("deletes artifacts"),
        "{jobs:?}"
    );
    let base = out.lines().skip_while(|line| line.trim() != "- name: RECOMMENDER_BASE_VERSION").nth(1);
    assert!(base.is_some_and(|line| line.trim().starts_with("value: full-i")), "{base:?}");
    let deleted = out.lines().skip_while(|line| line.trim() != "- name: RECOMMENDER_PRUNE_URIS").nth(1);
    assert!(deleted.is_some_and(|line| line.contains("/packages/full-i")), "{deleted:?}");
}

#[test]
fn render_counts_the_rules_and_series_of_each_object_by_the_time_between_evaluations() {
    let (code, out, err) = outcome(&operator(&["render", "--stats", "examples/workers.yaml", "-"], MINIMAL));
    assert_eq!((code, err.as_str()), (0, ""));
    let lines: Vec<Vec<&str>> = out.lines().map(|line| line.split("   ").map(str::trim).collect()).collect();
    let cells = |line: &[&str]| line.iter().filter(|cell| !cell.is_empty()).map(|cell| (*cell).to_owned()).collect();
    let cells: Vec<Vec<String>> = lines.iter().map(|line| cells(line)).collect();
    assert_eq!(
        cells[0],
        ["NAMESPACE", "NAME", "EVERY", "GROUPS", "RECORDING", "ALERTS", "SERIES", "SAMPLES/S", "PER VALUE"]
    );
    let of: Vec<_> = cells[1..].iter().map(|line| (line[1].as_str(), line[2].as_str())).collect();
    assert_eq!(of, [("shop", "10s"), ("shop", "60s"), ("shop", "120s"), ("shop", "all"), ("packages", "all")]);
    let number = |line: usize, column: usize| cells[line][column].parse::<f64>().expect("a number");
    for column in 3..=6 {
        assert_eq!((1..=3).map(|line| number(line, column)).sum::<f64>(), number(4, column), "{out}");
    }
    assert_eq!(number(5, 6), 0.0, "without spec.monitoring nothing is recorded");
    let (code, _, err) = outcome(&operator(&["render", "--stats", "--rules", "-"], MINIMAL));
    assert!(code == 2 && err.contains("cannot be used with"), "{err}");
}

#[test]
fn render_refuses_what_the_api_server_would_in_its_words_and_prints_nothing() {
    let wrong = MINIMAL.replace("{image: server}", "{image: server, port: 0}");
    let (code, out, err) = outcome(&operator(&["render", "examples/packages.yaml", "-"], &wrong));
    assert_eq!((code, out.as_str()), (1, ""));
    let said = "The RecommenderModel \"packages\" is invalid: spec.serving.port: Invalid value: 0: \
                spec.serving.port in body should be greater than or equal to 1";
    assert!(err.contains(said), "{err}");
}

#[test]
fn render_refuses_a_namespace_that_none_can_have() {
    let wrong = MINIMAL.replace("{name: packages}", "{name: packages, namespace: Shop_1}");
    let (code, out, err) = outcome(&operator(&["render", "-"], &wrong));
    assert_eq!((code, out.as_str()), (1, ""));
    assert!(
        err.contains("metadata.namespace: Invalid value: \"Shop_1\": a lowercase RFC 1123 label must consist of"),
        "{err}"
    );
}

#[test]
fn render_refuses_what_only_the_operator_can_judge() {
    let wrong = MINIMAL.replace("0 3 * * *", "61 3 * * *");
    let (code, _, err) = outcome(&operator(&["render", "-"], &wrong));
    assert_eq!(code, 1);
    assert!(err.contains("spec.training.full.schedule") && err.contains("write numbers from 0 to 59"), "{err}");
}

#[test]
fn render_warns_of_what_is_valid_and_seldom_meant() {
    let object = MINIMAL.replace("{image: server}", "{image: server, disruptionBudget: {minAvailable: 1}}");
    let (code, out, err) = outcome(&operator(&["render", "-"], &object));
    assert!(code == 0 && out.contains("kind: PodDisruptionBudget"), "{out}");
    let warning =
        "-:1: warning: RecommenderModel \"packages\": spec.serving.disruptionBudget: with at most 1 servers none may";
    assert!(err.starts_with(warning), "{err}");
}

#[test]
fn render_warns_of_changes_of_alerts_that_the_object_does_not_have() {
    let alerts = "{RecommenderLagHigh: {threshold: 5}, RecommenderNoEvents: {disabled: true}, RecommenderLatencyHigh: {threshold: 2}}";
    let object = format!("{MINIMAL}  monitoring: {{metrics: {{profile: FastApiInstrumentator}}, alerts: {alerts}}}\n");
    let (code, out, err) = outcome(&operator(&["render", "-"], &object));
    assert!(code == 0 && out.contains("kind: PrometheusRule"), "{out}");
    let warning = "-:1: warning: RecommenderModel \"packages\": spec.monitoring.alerts: RecommenderLagHigh: no dependency of the spec \
                   reports recommender:lag_messages, so the object does not have this alert: ";
    assert!(err.starts_with(warning) && err.lines().count() == 1, "{err}");
    // Each of two dependencies reports one of the two series that the alert compares.
    let dependencies = "[{name: a, exporter: {name: PostgresExporter}}, {name: b, exporter: {name: RabbitMqBroker}}]";
    let alerts = "{RecommenderDependencyFilling: {threshold: \"0.2\"}}";
    let object = format!(
        "{MINIMAL}  dependencies: {dependencies}\n  monitoring: {{metrics: {{profile: FastApiInstrumentator}}, alerts: {alerts}}}\n"
    );
    let (code, _, err) = outcome(&operator(&["render", "-"], &object));
    let warning = "RecommenderDependencyFilling: no single dependency of the spec reports recommender:dependency_bytes and \
                   recommender:dependency_free_bytes, so the object does not have this alert: ";
    assert!(code == 0 && err.contains(warning) && err.lines().count() == 1, "{err}");
}

#[test]
fn render_writes_the_url_of_the_runbooks_into_every_alert() {
    let url = "https://git.example.org/runbooks";
    for rules in [&[][..], &["--rules"]] {
        let arguments = [&["render", "--runbook-base-url", url, "examples/packages.yaml"], rules].concat();
        let (code, out, err) = outcome(&operator(&arguments, ""));
        assert_eq!((code, err.as_str()), (0, ""));
        let written: Vec<_> = out.lines().filter(|line| line.contains("runbook_url: ")).collect();
        assert!(
            written.len() > 5 && written.iter().all(|line| line.contains(&format!("{url}/Recommender"))),
            "{written:?}"
        );
    }
}

#[test]
fn inhibit_rules_are_yaml_for_alertmanager() {
    let (code, out, err) = outcome(&operator(&["inhibit-rules"], ""));
    assert_eq!((code, err.as_str()), (0, ""));
    let file: serde_json::Value = serde_saphyr::from_str(&out).expect("YAML");
    let rules = file["inhibit_rules"].as_array().expect("rules");
    assert!(
        rules.len() > 8 && rules.iter().all(|rule| rule["equal"].as_array().is_some_and(|of| of.len() > 1)),
        "{out}"
    );
}

#[test]
fn render_points_to_where_a_field_of_a_pod_is() {
    let (code, _, err) = outcome(&operator(
        &["render", "-"],
        &MINIMAL.replace("{image: server}", "{image: server, pod: {hostNetwork: true}}"),
    ));
    assert_eq!(code, 1);
    assert!(err.contains("unknown field \"spec.serving.pod.hostNetwork\"\ndocs/pods.md lists where"), "{err}");
}

#[test]
fn render_says_where_yaml_is_broken_and_which_file_is_missing() {
    let (code, _, err) = outcome(&operator(&["render", "-"], "spec: {a: [1,\n"));
    assert_eq!(code, 1);
    assert!(err.contains("1:11: unclosed bracket"), "{err}");
    let (code, _, err) = outcome(&operator(&["render", "missing.yaml"], ""));
    assert_eq!(code, 1);
    assert!(err.contains("missing.yaml"), "{err}");
}

#[test]
fn render_of_files_without_any_recommender_is_an_error() {
    let (code, _, err) = outcome(&operator(&["render", "-"], "kind: ConfigMap\napiVersion: v1\n"));
    assert_eq!((code, err.as_str()), (1, "error: no RecommenderModel in these files\n"));
}

#[test]
fn render_prints_one_rule_file_for_the_objects_of_all_files() {
    let monitored = MINIMAL.replace("name: packages", "name: books")
        + "  monitoring: {metrics: {profile: FastApiInstrumentator}}\n";
    let (code, out, err) = outcome(&operator(&["render", "--rules", "examples/packages.yaml", "-"], &monitored));
    assert_eq!((code, err.as_str()), (0, ""));
    let file: serde_json::Value = serde_saphyr::from_str(&out).expect("YAML");
    let names: Vec<_> = file["groups"].as_array().expect("groups").iter().map(|group| &group["name"]).collect();
    assert_eq!(
        names,
        [
            "recommender/shop/packages",
            "recommender/shop/packages/slow",
            "recommender/default/books",
            "recommender/default/books/slow"
        ]
    );
    assert!(out.starts_with("# Rules of RecommenderModels for a Prometheus without prometheus-operator"), "{out}");
    for line in ["# - job_name: default/books/books", "#   - replacement: books", "#   metrics_path: /metrics"] {
        assert!(out.lines().any(|l| l == line), "{line} is not in {out}");
    }
}

#[test]
fn render_of_rules_refuses_objects_without_any_and_one_that_is_there_twice() {
    let (code, out, err) = outcome(&operator(&["render", "--rules", "-"], MINIMAL));
    let said = "error: none of these objects has spec.monitoring: there is nothing to record\n";
    assert_eq!((code, out.as_str(), err.as_str()), (1, "", said));
    let file = "examples/packages.yaml";
    let (code, _, err) = outcome(&operator(&["render", "--rules", file, file], ""));
    assert_eq!(code, 1);
    assert!(err.contains("/packages is in these files twice: leave one of them out"), "{err}");
}

#[test]
fn run_without_a_cluster_says_what_is_missing() {
    let output = Command::new(env!("CARGO_BIN_EXE_recommender-operator"))
        .args(["run", "--listen", "127.0.0.1:0"])
        .env("KUBECONFIG", "/nonexistent/kubeconfig")
        .env_remove("KUBERNETES_SERVICE_HOST")
        .output()
        .expect("the operator starts");
    let (code, _, err) = outcome(&output);
    assert_eq!(code, 1);
    assert!(err.contains("no cluster: neither KUBECONFIG nor a pod's account"), "{err}");
}

#[test]
fn a_wrong_setting_is_told_before_anything_is_done() {
    let (code, _, err) = outcome(&operator(&["run", "--log-filter", "recommender=[", "--listen", "127.0.0.1:0"], ""));
    assert_eq!(code, 1);
    assert!(err.contains("log filter"), "{err}");
    let (code, _, err) = outcome(&operator(&["run", "--concurrency", "0"], ""));
    assert_eq!(code, 2);
    assert!(err.contains("--concurrency"), "{err}");
}

#[test]
fn a_file_that_is_not_in_utf_8_is_named_with_the_line() {
    let file = std::env::temp_dir().join(format!("recommender-cli-latin-1-{}.yaml", std::process::id()));
    let latin_1 = [MINIMAL.as_bytes(), b"  # M\xfcller\n"].concat();
    std::fs::write(&file, latin_1).expect("it can be written");
    let name = file.to_str().expect("UTF-8");
    let (code, _, errors) = outcome(&operator(&["render", name], ""));
    let _ = std::fs::remove_file(&file);
    let line = MINIMAL.lines().count() + 1;
    assert_eq!(code, 1);
    assert!(
        errors.contains(&format!("{name}:{line}: a character is not in UTF-8: save the file in that encoding")),
        "{errors}"
    );
}

/// A directory with files of a catalogue, which is removed at the end.
struct Catalog(std::path::PathBuf);

impl Catalog {
    fn new(name: &str, files: &[(&str, &str)]) -> Self {
        let root = std::env::temp_dir().join(format!("recommender-cli-{name}-{}", std::process::id()));
        for (path, text) in files {
            let file = root.join(path);
            std::fs::create_dir_all(file.parent().expect("a directory")).expect("it can be created");
            std::fs::write(file, text).expect("it can be written");
        }
        Self(root)
    }

    fn render(&self, object: &str) -> (i32, String, String) {
        outcome(&operator(&["render", "--catalog", self.0.to_str().expect("UTF-8"), "-"], object))
    }
}

impl Drop for Catalog {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

const OWN_PROFILE: &str = "
profile: Own
about: A server of our own.
series: [{name: own_requests_total, type: counter, unit: requests, labels: [code]}, {name: own_up, type: gauge, unit: one}]
presence: own_up
requests: [own_requests_total]
errors: ['own_requests_total{code=~\"5..\"}']
process: false
";

const OWN_ALERT: &str = "
alerts:
- name: RecommenderOwn
  appliesTo: serving
  expr: recommender:requests:rate1m{@} > @threshold
  threshold: {default: 100, unit: perSecond}
  severity: info
  summary: The servers are busy.
  description: 'The servers of {{ $labels.namespace }}/{{ $labels.recommender }} get more than @threshold requests per second.'
";

#[test]
fn an_object_uses_the_profiles_and_alerts_of_a_directory() {
    let catalog = Catalog::new("used", &[("profiles/Own.yaml", OWN_PROFILE), ("alerts/own.yaml", OWN_ALERT)]);
    let changed = "{RecommenderOwn: {threshold: 7}}";
    let object = format!("{MINIMAL}  monitoring: {{metrics: {{profile: Own}}, alerts: {changed}}}\n");
    let (code, out, err) = catalog.render(&object);
    assert_eq!((code, err.as_str()), (0, ""));
    assert!(out.contains("own_requests_total{"), "{out}");
    assert!(out.contains("} > 7") && out.contains("7 requests per second."), "{out}");
    let (code, _, err) = outcome(&operator(&["render", "-"], &object));
    assert_eq!(code, 1);
    assert!(err.contains("spec.monitoring.metrics.profile: there is no Own; the most similar one is "), "{err}");
    assert!(err.contains("spec.monitoring.alerts.RecommenderOwn: there is no such alert"), "{err}");
}

#[test]
fn render_refuses_a_catalog_with_a_wrong_file_and_names_its_line() {
    let wrong =
        OWN_PROFILE.replace("requests: [own_requests_total]", "requests: [own_request_total]").replace("Own", "Wrong");
    let catalog = Catalog::new("refused", &[("profiles/Wrong.yaml", wrong.as_str())]);
    let (code, out, err) = catalog.render(MINIMAL);
    assert_eq!((code, out.as_str()), (1, ""));
    assert!(err.starts_with("profiles/Wrong.yaml:6: requests: own_request_total is not declared"), "{err}");
}

#[test]
fn the_files_of_the_page_on_the_catalogue_are_accepted_and_its_objects_use_them() {
    let page = include_str!("../docs/catalog.md");
    let blocks: Vec<&str> =
        page.split("```yaml\n").skip(1).map(|rest| rest.split("```").next().expect("the block")).collect();
    let path = |text: &str| text.lines().next()?.strip_prefix("# ").map(str::to_owned);
    let files: Vec<(String, &str)> = blocks.iter().filter_map(|text| Some((path(text)?, *text))).collect();
    let files: Vec<(&str, &str)> = files.iter().map(|(path, text)| (path.as_str(), *text)).collect();
    let objects: Vec<&str> = blocks.iter().filter_map(|text| text.strip_prefix("spec:\n")).collect();
    assert_eq!((files.len(), objects.len()), (7, 3));
    let catalog = Catalog::new("page", &files);
    for object in objects {
        let (code, out, err) = catalog.render(&format!("{MINIMAL}{object}"));
        assert_eq!((code, err.as_str()), (0, ""), "{object}");
        assert!(out.contains("kind: PrometheusRule") && out.contains("RecommenderShopBusy"), "{out}");
    }
}

#[test]
fn a_profile_with_a_native_histogram_is_read_as_one_alone() {
    let page = include_str!("../docs/catalog.md");
    let (_, rest) = page.split_once("# profiles/ShopNative.yaml").expect("the example of the page");
    let text = rest.split("```").next().expect("the block");
    let catalog = Catalog::new("native", &[("profiles/ShopNative.yaml", text)]);
    // Any threshold: a native histogram has no bounds that are known before.
    let of = |metrics: &str| {
        format!(
            "{MINIMAL}  monitoring:\n    metrics: {metrics}\n    objectives: [{{name: fast, goal: '99', latency: \
             {{thresholdMilliseconds: 123456}}}}]\n"
        )
    };
    let (code, out, err) = catalog.render(&of("{profile: ShopNative}"));
    assert_eq!((code, err.as_str()), (0, ""));
    // Long lines are folded.
    let out = out.split_whitespace().collect::<Vec<_>>().join(" ");
    for read in [
        "histogram_count(rate(shop_request_seconds{",
        "histogram_quantile(0.99, sum(rate(shop_request_seconds{",
        "-Inf, 123.456, ",
    ] {
        assert!(out.contains(read), "{read} is not in {out}");
    }
    for absent in ["shop_request_seconds_", "by (le)", "= inf", "< inf"] {
        assert!(!out.contains(absent), "{absent} is in {out}");
    }
    let (code, _, err) = catalog.render(&of("{profile: ShopNative, histograms: Classic}"));
    assert_eq!(code, 1);
    assert!(
        err.contains("spec.monitoring.metrics.histograms: the profile ShopNative declares native histograms"),
        "{err}"
    );
}
