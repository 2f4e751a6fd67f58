//! What is known after the status was lost.

use super::*;

#[test]
fn what_is_not_known_to_be_older_than_the_version_that_serves_is_held_back() {
    let versions = ["v3", "v2", "v1"].map(version);
    let is_held_back = |serving| {
        let of = hold_back_newer(&versions, serving).into_iter();
        of.map(|version| version.state == VersionState::RolledBack).collect::<Vec<_>>()
    };
    assert_eq!(is_held_back(None), [false; 3], "the status was not lost");
    assert_eq!([is_held_back(Some("v3")), is_held_back(Some("v1"))], [[false; 3], [true, true, false]]);
    assert_eq!(is_held_back(Some("v0")), [true; 3], "it has no report, and its artifact is not known");
}
