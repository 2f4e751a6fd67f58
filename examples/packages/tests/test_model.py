"""What is stored, loaded and asked."""

import io
from dataclasses import replace

import numpy as np
import pytest

from packages_recommender import training
from packages_recommender.errors import InputError
from packages_recommender.model import from_bytes, highest
from packages_recommender.settings import Settings


@pytest.fixture(scope="module")
def model(small_index):
    return training.train(small_index, "v1", Settings(factors=24, iterations=5, regularization=0.5)).model


def test_a_package_is_recommended_what_its_family_uses_and_it_does_not(model):
    row = model.package_rows["app3-5"]
    has = {model.libraries[library] for library in model.dependencies_of(row)}
    missing = {f"lib3-{number}" for number in range(16)} - has
    found = model.recommend_for_package("app3-5", 4)
    assert {r.library for r in found} == missing
    assert [r.score for r in found] == sorted((r.score for r in found), reverse=True)


def test_a_library_is_not_recommended_itself_nor_its_siblings(model):
    siblings = replace(model, library_sources=np.where(np.arange(len(model.libraries)) < 5, 7, 9).astype(np.int32))
    row = siblings.package_rows["lib0-0"]
    siblings.package_sources[row] = 7
    found = {r.library for r in siblings.recommend_for_package("lib0-0", 1000)}
    assert found == set(model.libraries[5:]) - {"lib0-0"}


def test_without_dependencies_the_most_popular_are_recommended(model):
    found = model.recommend_for_package("meta", 3)
    assert [r.score for r in found] == sorted(model.popularity / len(model.packages), reverse=True)[:3]


def test_the_limit_is_capped_by_what_there_is(model):
    known = np.arange(5, dtype=np.int32)
    assert len(model.recommend(known, 1000)) == len(model.libraries) - 5


@pytest.mark.parametrize("count", [0, 1, 3, 6, 8])
def test_the_highest_are_those_of_a_whole_sort_equal_ones_in_their_order(count):
    scores = np.array([1, 3, -np.inf, 3, 2, 3, 1, 1], np.float32)
    assert highest(scores, count).tolist() == [1, 3, 5, 4, 0, 6, 7, 2][:count]


def test_stored_and_loaded_it_is_the_same(model):
    loaded = from_bytes(model.to_bytes())
    assert loaded.to_bytes() == model.to_bytes()
    assert loaded.recommend_for_package("app3-5", 10) == model.recommend_for_package("app3-5", 10)


@pytest.mark.parametrize(
    "change, message",
    [
        (lambda m: {"library_factors": m.library_factors[1:]}, "library_factors has 319 rows for 320 libraries"),
        (lambda m: {"library_factors": m.library_factors.astype(np.float64)}, "2-dimensional array of float64"),
        (lambda m: {"confidence": m.confidence * np.float32("nan")}, "not a finite number"),
        (lambda m: {"packages": m.packages[1:]}, "package_sources has 742 rows for 741 packages"),
        (lambda m: {"dependencies": m.dependencies + np.int32(320)}, "not one of the libraries"),
        (lambda m: {"dependency_starts": m.dependency_starts[::-1].copy()}, "does not divide"),
        (lambda m: {"neighbour_starts": m.neighbour_starts + np.int32(1)}, "neighbour_starts does not divide"),
        (lambda m: {"similarities": np.ones(1, np.float32)}, "1 similarities of 0 neighbours"),
        (lambda m: {"algorithm": "oracle"}, "its algorithm is 'oracle', not one of als, cosine"),
    ],
)
def test_an_artifact_that_does_not_fit_together_is_refused(model, change, message):
    with pytest.raises(InputError, match=message):
        from_bytes(replace(model, **change(model)).to_bytes())


def test_what_is_no_artifact_is_refused(model):
    pickled = io.BytesIO()
    np.savez(pickled, header=np.array([{"a": 1}], dtype=object))
    for data in (b"", b"rubbish", model.to_bytes()[:-100], pickled.getvalue()):
        with pytest.raises(InputError, match="the artifact is not a model"):
            from_bytes(data)
