//! The example recommender's own tests, so that `cargo test --workspace` means all of them.

use std::{path::Path, process::Command};

#[test]
fn the_example_recommender_passes_its_own_tests() {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/packages/test.sh");
    let output = Command::new(&script).output().unwrap_or_else(|error| panic!("{}: {error}", script.display()));
    let text = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).join("\n");
    assert!(output.status.success(), "{} failed ({}):\n{text}", script.display(), output.status);
    assert!(text.contains(" passed"), "no test ran:\n{text}");
}
