"""Pruning: the versions that the operator names are deleted, and nothing else."""

import pytest

from conftest import run


def stored(folder, *versions):
    """A volume with versions of two files each."""
    store = folder / "artifacts"
    for version in versions:
        (store / version / "parts").mkdir(parents=True)
        (store / version / "model.npz").write_bytes(b"x")
        (store / version / "parts" / "a").write_bytes(b"x")
    return store


def prune(folder, versions, uris):
    return run(folder, "prune", RECOMMENDER_PRUNE_VERSIONS=versions, RECOMMENDER_PRUNE_URIS=uris)


def test_exactly_the_versions_that_are_named_are_deleted_and_again_is_no_error(tmp_path):
    store = stored(tmp_path, "full-1", "full-2", "full-10")
    for deleted in ([2, 2], [0, 0]):
        ended = prune(tmp_path, "full-1 full-2", f"file://{store}/full-1 file://{store}/full-2/")
        assert ended.code == 0
        assert [line["objects"] for line in ended.logs if line["message"] == "version deleted"] == deleted
        assert [path.name for path in store.iterdir()] == ["full-10"]


@pytest.mark.parametrize(
    ("versions", "uris", "error"),
    [
        ("", "file:///a/full-1", "RECOMMENDER_PRUNE_VERSIONS is not set"),
        ("full-1", "", "RECOMMENDER_PRUNE_URIS is not set"),
        ("full-1 full-2", "file://{store}/full-1", "2 versions in RECOMMENDER_PRUNE_VERSIONS, and 1 in _URIS"),
        ("full-1 full-2", "file://{store}/full-1 file://{store}", "does not end with the version 'full-2'"),
        ("full-1", "file://{store}/../..", "does not end with the version 'full-1'"),
        ("full-1", "http://{store}/full-1", "cannot use the artifact URI"),
        ("full-1", "file://{store}/elsewhere/full-1", "check the volume and its mount path"),
    ],
)
def test_what_is_not_a_version_is_refused_and_nothing_is_deleted(tmp_path, versions, uris, error):
    store = stored(tmp_path, "full-1", "full-2")
    ended = prune(tmp_path, versions, uris.format(store=store))
    assert ended.code == 2 and error in ended.report["error"]
    assert sorted(path.name for path in store.iterdir()) == ["full-1", "full-2"]


def test_a_link_to_what_belongs_to_others_is_not_followed(tmp_path):
    store = stored(tmp_path, "full-2")
    (store / "full-1").symlink_to(store / "full-2")
    ended = prune(tmp_path, "full-1", f"file://{store}/full-1")
    assert ended.code == 2 and "symbolic link" in ended.report["error"]
    assert (store / "full-2" / "model.npz").exists()
