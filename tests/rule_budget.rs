//! How many rules and series an object may have: a change that needs more changes a number here, with its reason in the commit.

use std::{fs, path::Path};

use recommender_operator::{api::RecommenderModel, catalog, model::Model, render, validate};
use serde_json::{Value, json};

/// Object, the most recording rules, alerts, series and samples per second.
const BUDGETS: [(&str, usize, usize, usize, f64); 6] = [
    ("everything.yaml", 269, 81, 414, 14.7),
    ("latency.yaml", 63, 35, 80, 3.3),
    ("minimal.yaml", 0, 0, 0, 0.0),
    ("packages.yaml", 57, 31, 71, 1.3),
    ("production.yaml", 84, 38, 146, 3.3),
    ("workers.yaml", 76, 45, 135, 3.9),
];

/// An object that is none of the examples: one with a dependency on each exporter, and workers that scale on all with a lag. These
/// are more than the schema allows.
const EVERYTHING: &str = "everything.yaml";

fn examples() -> Vec<(String, Value)> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples");
    let files = fs::read_dir(directory).expect("the examples").map(|file| file.expect("a file").path());
    let files = files.filter(|path| path.extension().is_some_and(|of| of == "yaml"));
    let read = |path: std::path::PathBuf| {
        let text = fs::read_to_string(&path).expect("it is readable");
        let objects = validate::documents(&text).expect("it is YAML").into_iter().map(|document| document.object);
        let name = path.file_name().and_then(|name| name.to_str()).expect("a name").to_owned();
        objects.map(move |object| (name.clone(), object)).collect::<Vec<_>>()
    };
    files.flat_map(read).collect()
}

fn everything(examples: &[(String, Value)]) -> Value {
    let (_, latency) = examples.iter().find(|(name, _)| name == "latency.yaml").expect("the example");
    let mut object = latency.clone();
    let names = || catalog::embedded().exporters.keys();
    let name = |kind: &str, exporter: &str| format!("{kind}-{exporter}").to_lowercase();
    let dependencies = names().map(|(kind, exporter)| {
        let of = match kind.as_str() {
            "kafka" => json!({"consumerGroup": "g", "topics": ["t"], "exporter": exporter}),
            "rabbitmq" => json!({"queues": ["q"], "endpoint": exporter}),
            "rq" => json!({"queues": ["q"]}),
            "redisList" => json!({"keys": ["k"]}),
            "flink" => json!({"job": "j"}),
            catalog::NO_LAG => json!({"name": exporter}),
            _ => panic!("write what a dependency of the kind {kind} needs"),
        };
        json!({"name": name(kind, exporter), kind: of})
    });
    let workers = names().filter(|(kind, _)| kind != catalog::NO_LAG).map(|(kind, exporter)| {
        let lag = json!({"dependency": name(kind, exporter)});
        json!({"name": name(kind, exporter), "autoscaling": {"minReplicas": 1, "maxReplicas": 4, "lag": lag}})
    });
    object["spec"]["dependencies"] = dependencies.collect();
    object["spec"]["workers"] = workers.collect();
    object["spec"]["promotion"] = json!({"gates": [{"metric": "precision_at_10", "minimum": "0.2"}]});
    object["spec"]["monitoring"]["front"] = json!({"ingressNginx": {}});
    object
}

fn model(object: &Value) -> Model {
    let object: RecommenderModel = serde_json::from_value(validate::stored(object)).expect("a RecommenderModel");
    Model::new(&object, "2026-11-21T12:00:00Z".parse().expect("an instant")).expect("it is valid")
}

#[test]
fn rules_and_series_stay_within_their_budgets() {
    let mut objects = examples();
    objects.push((EVERYTHING.into(), everything(&objects)));
    let mut exceeded = Vec::new();
    for (name, object) in &objects {
        let (of, samples) = render::total(&render::stats(&model(object)));
        let budget = BUDGETS.iter().find(|(known, ..)| known == name);
        let &(_, recording, alerts, series, most) =
            budget.unwrap_or_else(|| panic!("add the budget of {name}: {of:?}, {samples:.1} samples/s"));
        if of.recording > recording || of.alerts > alerts || of.series > series || samples > most {
            exceeded.push(format!("{name}: {of:?}, {samples:.1} samples/s"));
        }
        // A budget that is far too large keeps nothing in check.
        assert!(
            series <= of.series + of.series / 5 + 2,
            "{name} needs {} series, and its budget is {series}",
            of.series
        );
    }
    assert!(exceeded.is_empty(), "above budget:\n{}", exceeded.join("\n"));
}

#[test]
fn a_rule_over_all_objectives_or_workloads_counts_as_many_series() {
    let objective = |name: &str| json!({"name": name, "goal": "99", "availability": {}});
    let series = |objectives: &[&str], workers: &[&str]| {
        let (_, mut object) = examples().into_iter().find(|(name, _)| name == "packages.yaml").expect("the example");
        object["spec"]["monitoring"]["objectives"] = objectives.iter().map(|name| objective(name)).collect();
        object["spec"]["workers"] = workers.iter().map(|name| json!({"name": name})).collect();
        let (of, _) = render::total(&render::stats(&model(&object)));
        (of.recording, of.series)
    };
    let (rules, one) = series(&["a"], &[]);
    let (more_rules, two) = series(&["a", "b"], &[]);
    // Its own rules of one series, and one more series of each rule over all.
    let over_all = two - one - (more_rules - rules);
    assert!((10..rules).contains(&over_all), "{over_all}");
    // Workers add nothing to the rules of objectives.
    let workers = |objectives: &[&str]| series(objectives, &["x", "y", "z"]).1 - series(objectives, &[]).1;
    assert_eq!(workers(&["a", "b"]), workers(&[]));
}
