"""Partial training: what is new is folded in against the fixed factors of the base."""

import hashlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from conftest import SMALL, run
from packages_recommender import training
from packages_recommender.errors import InputError
from packages_recommender.index import Index
from packages_recommender.model import from_bytes
from packages_recommender.settings import Settings

SETTINGS = Settings(factors=24, iterations=5, regularization=0.5)


def without(index: Index, names: set[str]) -> Index:
    """The index before these packages came."""
    packages = (package for package in index.packages if package.name not in names)
    kept = (replace(package, dependencies=tuple(d for d in package.dependencies if d not in names)) for package in packages)
    return Index(tuple(kept), "2026-11-20T00:00:00Z")


@pytest.fixture(scope="module")
def earlier(small_index):
    """Without a library of one family and without packages of another one."""
    return without(small_index, {"lib3-0", *(f"app5-{number}" for number in range(1, 4))})


@pytest.fixture(scope="module")
def base(earlier):
    return training.train(earlier, "full-1", SETTINGS).model


@pytest.fixture(scope="module")
def partial(small_index, base):
    return training.train_partially(small_index, "partial-1", SETTINGS, base)


def test_the_factors_of_the_base_stay_and_new_ones_are_added(base, partial):
    model = partial.model
    assert set(model.libraries) - set(base.libraries) == {"lib3-0"}
    for name in base.libraries:
        new, old = model.library_factors[model.library_rows[name]], base.library_factors[base.library_rows[name]]
        assert np.array_equal(new, old), name
    assert np.linalg.norm(model.library_factors[model.library_rows["lib3-0"]]) > 0


def test_a_new_library_is_recommended_to_its_family_only(partial):
    model = partial.model
    row = model.library_rows["lib3-0"]
    lacking = [
        name
        for name in (f"app3-{number}" for number in range(20))
        if row not in model.dependencies_of(model.package_rows[name])
    ]
    assert lacking, "somebody does not use it yet"
    for name in lacking:
        assert "lib3-0" in {r.library for r in model.recommend_for_package(name, 4)}, name
    assert "lib3-0" not in {r.library for r in model.recommend_for_package("app4-4", 4)}


def test_a_new_package_is_recommended_what_its_family_uses(base, partial):
    assert "app5-1" not in base.package_rows
    model = partial.model
    has = {model.libraries[library] for library in model.dependencies_of(model.package_rows["app5-1"])}
    found = {r.library for r in model.recommend_for_package("app5-1", 4)}
    assert found == {f"lib5-{number}" for number in range(16)} - has


def test_it_is_evaluated_on_hidden_dependencies_as_a_full_training_is(small_index, partial):
    full = training.train(small_index, "full-2", SETTINGS).metrics
    assert partial.metrics.keys() - full.keys() == {"new_users", "new_items"}
    assert (partial.metrics["new_users"], partial.metrics["new_items"]) == ("4", "1"), "the library is a package, too"
    assert partial.metrics["evaluated_packages"] == full["evaluated_packages"]
    assert abs(float(partial.metrics["precision_at_10"]) - float(full["precision_at_10"])) < 0.05


def test_partial_trainings_follow_one_another(earlier, small_index, base):
    between = without(small_index, {"lib3-0"})
    first = training.train_partially(between, "partial-1", SETTINGS, base).model
    second = training.train_partially(small_index, "partial-2", SETTINGS, first).model
    assert "lib3-0" in second.library_rows and "app5-1" in second.package_rows
    kept = [second.library_rows[name] for name in base.libraries]
    assert np.array_equal(second.library_factors[kept], base.library_factors), "through both"


def test_without_anything_new_the_factors_are_those_of_the_base(earlier, base):
    again = training.train_partially(earlier, "partial-1", SETTINGS, base)
    assert np.array_equal(again.model.library_factors, base.library_factors)
    assert (again.metrics["new_users"], again.metrics["new_items"]) == ("0", "0")


def test_a_base_of_other_data_is_refused(small_index, base):
    other = replace(base, libraries=[f"other-{number}" for number in range(len(base.libraries))])
    with pytest.raises(InputError, match="has none of the libraries .* train in full"):
        training.train_partially(small_index, "partial-1", SETTINGS, other)


def told(trained, folder: Path, **changes: str) -> dict[str, str]:
    """The environment of a partial run on the version of the fixture."""
    artifact = trained.report["artifact"]
    return {
        "RECOMMENDER_VERSION": "partial-1",
        "RECOMMENDER_KIND": "Partial",
        "RECOMMENDER_OUTPUT_URI": f"file://{folder}/partial-1",
        "RECOMMENDER_BASE_VERSION": "v1",
        "RECOMMENDER_BASE_URI": artifact["uri"],
        "RECOMMENDER_BASE_DIGEST": artifact["digest"],
        "RECOMMENDER_DATA_FROM": "2026-11-20T12:00:00Z",
        "RECOMMENDER_DATA_TO": "2026-11-20T12:15:00Z",
        **changes,
    }


def test_the_command_writes_a_version_of_its_own_and_reports_it(trained, data_file, tmp_path):
    ended = run(tmp_path, "train", "--partial", "--data", str(data_file), *SMALL, **told(trained, tmp_path))
    assert ended.code == 0, ended.report
    artifact = ended.report["artifact"]
    stored = Path(artifact["uri"].removeprefix("file://")).read_bytes()
    assert artifact["digest"] == f"sha256:{hashlib.sha256(stored).hexdigest()}"
    assert from_bytes(stored).version == "partial-1"
    assert ended.report["metrics"]["new_users"] == "0"
    [line] = [line for line in ended.logs if line["message"] == "base loaded"]
    assert (line["base"], line["from"], line["to"]) == ("v1", "2026-11-20T12:00:00Z", "2026-11-20T12:15:00Z")


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"RECOMMENDER_KIND": "Full"}, "RECOMMENDER_KIND is 'Full', but `train --partial` was called"),
        ({"RECOMMENDER_BASE_VERSION": ""}, "RECOMMENDER_BASE_VERSION is not set"),
        ({"RECOMMENDER_BASE_URI": "file:///nowhere/model.npz"}, "there is no artifact at file:///nowhere/model.npz"),
        ({"RECOMMENDER_BASE_DIGEST": "sha256:00"}, "not sha256:00 as told by RECOMMENDER_BASE_DIGEST"),
        ({"RECOMMENDER_BASE_VERSION": "v2"}, "holds version 'v1', not 'v2' as RECOMMENDER_BASE_VERSION says"),
    ],
)
def test_a_base_that_cannot_work_ends_with_2(trained, data_file, tmp_path, changes, message):
    ended = run(tmp_path, "train", "--partial", "--data", str(data_file), *SMALL, **told(trained, tmp_path, **changes))
    assert ended.code == 2 and message in ended.report["error"], ended.report
    assert "artifact" not in ended.report
