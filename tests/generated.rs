//! Files that are generated and committed: each must be what the code says now.
//!
//! `UPDATE_GENERATED=1 cargo test --test generated` writes them.

use std::{fs, path::Path};

use recommender_operator::{
    api::crd,
    validate::{documents, report, validate},
};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// Compares a committed file with what it is generated from, or writes it when asked to.
fn assert_generated(path: &str, wanted: &str) {
    let file = Path::new(ROOT).join(path);
    if std::env::var_os("UPDATE_GENERATED").is_some() {
        fs::create_dir_all(file.parent().expect("the file is in a directory")).expect("the directory can be made");
        fs::write(&file, wanted).expect("the file can be written");
    }
    let found = fs::read_to_string(&file).unwrap_or_default();
    let line = found.lines().zip(wanted.lines()).position(|(found, wanted)| found != wanted);
    assert!(
        found == wanted,
        "{path} is out of date (first difference in line {}): run `cargo run -- crd > {path}`",
        line.unwrap_or_else(|| found.lines().count().min(wanted.lines().count())) + 1
    );
}

#[test]
fn the_crd_for_kubectl_is_up_to_date() {
    assert_generated("crds/recommendermodels.recommender.dev.yaml", &crd::yaml());
}

#[test]
fn the_crd_in_the_chart_is_up_to_date() {
    assert_generated("charts/recommender-operator/files/crds/recommendermodels.recommender.dev.yaml", &crd::yaml());
}

#[test]
fn the_examples_are_valid() {
    let mut models = 0;
    for entry in fs::read_dir(Path::new(ROOT).join("examples")).expect("there are examples") {
        let path = entry.expect("the directory can be read").path();
        if path.extension().is_none_or(|extension| extension != "yaml") {
            continue;
        }
        let text = fs::read_to_string(&path).expect("the example can be read");
        let found = documents(&text).unwrap_or_else(|error| panic!("{}:{error}", path.display()));
        assert!(!found.is_empty(), "{} has no RecommenderModel", path.display());
        for document in found {
            let problems = validate(&document.object);
            assert!(problems.is_empty(), "{}:{}: {}", path.display(), document.line, report("", &problems));
            models += 1;
        }
    }
    assert!(models >= 2, "examples/minimal.yaml and examples/packages.yaml are missing");
}
