//! Embeds the catalogue: writes the list of its files, so that a new file needs no line of Rust.

use std::{
    env, fs,
    path::{Path, PathBuf},
};

/// Directory of the catalogue, below that of the package.
const CATALOG: &str = "src/catalog";

fn main() {
    let root = PathBuf::from(env::var("CARGO_MANIFEST_DIR").expect("cargo sets it")).join(CATALOG);
    let mut files = Vec::new();
    collect(&root, &mut files);
    files.sort();
    let entries: String = files
        .iter()
        .map(|file| {
            let path = file.strip_prefix(&root).expect("it is below").display().to_string();
            format!("    ({path:?}, include_str!({:?})),\n", file.display().to_string())
        })
        .collect();
    let list = PathBuf::from(env::var("OUT_DIR").expect("cargo sets it")).join("catalog.rs");
    fs::write(list, format!("&[\n{entries}]\n")).expect("the list can be written");
    println!("cargo:rerun-if-changed=build.rs");
}

/// The YAML files of a directory and of those in it.
fn collect(directory: &Path, files: &mut Vec<PathBuf>) {
    println!("cargo:rerun-if-changed={}", directory.display());
    for entry in fs::read_dir(directory).expect("the catalogue can be read") {
        let path = entry.expect("the catalogue can be read").path();
        if path.is_dir() {
            collect(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "yaml") {
            files.push(path);
        }
    }
}
