//! The rules and files are valid, and pass the linter.

use super::*;

#[test]
fn the_rules_of_every_profile_are_valid_and_lint() -> Result<()> {
    let file = directory("lint")?.join("rules.yaml");
    for profile in profiles::all() {
        let groups = rule_groups(&of_profile(profile));
        write_rules(&file, &groups)?;
        let stdout = promtool(&LINT, &file).with_context(|| format!("the rules of {profile}"))?;
        let found = format!("{} rules found", groups.iter().map(|group| group.rules.len()).sum::<usize>());
        ensure!(stdout.contains(&found), "promtool read other than {found} of {profile}: {stdout}");
    }
    Ok(())
}

#[test]
fn the_rules_of_the_examples_of_five_designs_lint() -> Result<()> {
    let file = directory("lint-designs")?.join("rules.yaml");
    let mut linted = 0;
    for name in stems("../examples/designs")? {
        let path = e2e::paths::repository().join("examples/designs").join(&name).with_extension("yaml");
        let object: RecommenderModel = serde_saphyr::from_str(&fs::read_to_string(path)?)?;
        let model = Model::new(&object, Timestamp::now()).map_err(|problems| anyhow!("{name}: {problems:?}"))?;
        fs::write(&file, render::rule_file(&[model])?)?;
        promtool(&LINT, &file).with_context(|| name.clone())?;
        linted += 1;
    }
    ensure!(linted == 5, "five examples were expected: {linted}");
    Ok(())
}

#[test]
fn the_rules_of_all_scaling_signals_are_valid_and_lint() -> Result<()> {
    let file = directory("lint-scaling")?.join("rules.yaml");
    let mut dependencies = DEPENDENCIES.iter().map(|(_, yaml)| dependency(yaml)).collect::<Result<Vec<_>>>()?;
    for (dependency, (exporter, _)) in dependencies.iter_mut().zip(DEPENDENCIES) {
        dependency.name = (*exporter).into();
    }
    // Then an alert has two rules of different severity.
    dependencies[0].critical = false;
    let resources = resources("{limits: {cpu: 500m}}");
    // Two windows of error budgets.
    let mut objectives = measured();
    objectives[0].window_days = 7;
    let usual = packages();
    let servers = Servers { latency_target: Some(&P95), resources: Some(&resources), ..usual.servers };
    let monitored = Monitored { servers, dependencies: &dependencies, objectives: &objectives, ..usual };
    let fronts = ["{ingressNginx: {}}", "{istio: {}}", "{custom: {requests: 'rate(requests_total[1m]) # in front'}}"];
    for front in fronts {
        let front: Front = serde_saphyr::from_str(front)?;
        let file = directory("lint-front")?.join("rules.yaml");
        let servers = Servers { front: Some(&front), ..servers };
        write_rules(&file, &rule_groups(&Monitored { servers, ..monitored }))?;
        promtool(&LINT, &file)?;
    }
    write_rules(&file, &rule_groups(&monitored))?;
    promtool(&LINT, &file).map(drop)
}

/// `render --rules` prints valid rules and a valid scrape configuration.
#[test]
fn the_rule_file_and_its_scrape_configuration_are_valid() -> Result<()> {
    let directory = directory("file")?;
    let mut models = Vec::new();
    for (name, spec) in [("packages", json!({})), ("books.v2", scaled_spec()?)] {
        let text = fs::read_to_string(e2e::paths::repository().join("examples/packages.yaml"))?;
        let mut object = validate::documents(&text)?.remove(0).object;
        object["metadata"]["name"] = name.into();
        for (field, value) in spec.as_object().into_iter().flatten() {
            object["spec"][field] = value.clone();
        }
        if name == "packages" {
            object["spec"]["monitoring"]["probe"] = json!({"prober": "blackbox:9115"});
        }
        let object: RecommenderModel = serde_json::from_value(validate::stored(&object))?;
        models.push(Model::new(&object, Timestamp::now()).map_err(|problems| anyhow!("{problems:?}"))?);
    }
    let text = render::rule_file(&models)?;

    let rules = directory.join("rules.yaml");
    fs::write(&rules, &text)?;
    promtool(&["check", "rules", "--lint=none"], &rules)?;
    let written: serde_json::Value = serde_saphyr::from_str(&text)?;
    let groups = written["groups"].as_array().context("groups")?;
    ensure!(
        groups.len() == 5,
        "two groups of rules of each object and one of custom ones were expected: {}",
        groups.len()
    );

    let commented =
        text.lines().skip_while(|line| *line != "# scrape_configs:").take_while(|line| line.starts_with('#'));
    let scraping: Vec<&str> = commented.map(|line| &line[2..]).collect();
    ensure!(scraping.iter().filter(|line| line.starts_with("- job_name:")).count() == 4, "{text}");
    let configuration = directory.join("prometheus.yaml");
    fs::write(&configuration, scraping.join("\n"))?;
    promtool(&["check", "config"], &configuration).map(drop)
}

/// PromQL of specs, see the file.
#[derive(Deserialize)]
struct Expressions {
    accepted: Vec<String>,
    /// Each with a part of the reason.
    refused: BTreeMap<String, String>,
}

#[test]
fn promql_of_specs_is_accepted_and_refused_as_by_promtool() -> Result<()> {
    let file = directory("promql")?.join("rules.yaml");
    let table: Expressions = serde_saphyr::from_str(include_str!("../../../tests/promql.yaml"))?;
    let check = |expression: &str| {
        let rule = Rule { record: Some("x:y".into()), expr: format!("sum((\n{expression}\n))"), ..Rule::default() };
        write_rules(&file, &[RuleGroup { name: "a".into(), interval: None, query_offset: None, rules: vec![rule] }])?;
        promtool(&["check", "rules", "--lint=none"], &file).map(drop)
    };
    for accepted in &table.accepted {
        check(accepted).with_context(|| accepted.clone())?;
    }
    for refused in table.refused.keys() {
        ensure!(check(refused).is_err(), "promtool accepts {refused}");
    }
    Ok(())
}

/// Fields of an object that scales on all supported signals.
fn scaled_spec() -> Result<serde_json::Value> {
    let dependencies = DEPENDENCIES.iter().map(|(name, yaml)| {
        let mut dependency: serde_json::Value = serde_saphyr::from_str(yaml)?;
        dependency["name"] = name.replace('_', "-").into();
        Ok(dependency)
    });
    Ok(json!({
        "dependencies": dependencies.collect::<Result<Vec<_>>>()?,
        "workers": [{"name": "events", "metrics": {"port": 9100, "path": "/metrics"}}],
    }))
}

#[test]
fn the_rules_are_valid_with_any_names() -> Result<()> {
    let file = directory("names")?.join("rules.yaml");
    let names = [
        "a",
        "7days",
        "shop.packages",
        "\"",
        "\\",
        "\\\"",
        "x\"} or up{a=\"",
        "{{ .Labels }}",
        "{@}",
        "a\nb\t\0",
        "#",
        "é\u{202e}",
        "$1|.*",
    ];
    let mut groups = Vec::new();
    for (index, name) in names.iter().enumerate() {
        let other = names[(index + 3) % names.len()];
        let usual = packages();
        groups.extend(rule_groups(&Monitored {
            object: Object { namespace: other, name, base: name },
            metrics: Metrics { unmeasured_paths: &[name, other], ..usual.metrics },
            ..usual
        }));
    }
    write_rules(&file, &groups)?;
    // Without lint: in one file the alerts of several objects count as duplicates. In a cluster each object has its own
    // file.
    promtool(&["check", "rules", "--lint=none"], &file).map(drop)
}
