"""Data -> model and metrics."""

import numpy as np
import pytest

from packages_recommender import dataset, training
from packages_recommender.errors import InputError
from packages_recommender.index import Index, Package
from packages_recommender.settings import Settings

SETTINGS = Settings(factors=24, iterations=5, regularization=0.5)


@pytest.fixture(scope="module")
def data(small_index):
    return dataset.build(small_index)


def test_only_libraries_that_say_something_are_kept(data):
    assert len(data.libraries) == 320
    assert "libc6" not in data.libraries, "everything depends on it"
    assert "app0-0" not in data.libraries, "only its own source depends on it"
    assert data.matrix.sum() == 12 * 420


def test_the_split_hides_a_dependency_from_all_packages_of_a_source(data):
    split = dataset.split(data, seed=1)
    assert split.train.nnz + split.held_out.nnz == data.matrix.nnz
    assert split.train.multiply(split.held_out).nnz == 0
    for family in range(20):
        first, sibling = data.packages.index(f"app{family}-0"), data.packages.index(f"app{family}-tools")
        assert (split.held_out[first] != split.held_out[sibling]).nnz == 0
    assert len(np.unique(data.sources[split.rows])) == len(split.rows), "each source is asked once"
    assert 10 <= len(split.rows) <= 0.4 * 400, "about a fifth of the sources is asked"


def test_als_finds_the_hidden_dependencies_and_popularity_does_not(small_index):
    metrics = training.train(small_index, "v1", SETTINGS).metrics
    precision, baseline = float(metrics["precision_at_10"]), float(metrics["precision_at_10_popularity"])
    # 6 of the 12 dependencies are hidden on average, among 10 libraries of the family that are not known.
    assert precision > 0.5 and float(metrics["recall_at_10"]) > 0.9
    assert precision > 5 * baseline
    assert float(metrics["catalog_coverage"]) > 0.9
    assert int(metrics["evaluated_packages"]) >= 10


def test_training_twice_gives_the_same_bytes(small_index):
    first, second = (training.train(small_index, "v1", SETTINGS) for _ in range(2))
    assert first.metrics == second.metrics
    assert first.model.to_bytes() == second.model.to_bytes()


def test_a_packages_factors_are_those_that_implicit_computes(data):
    als = training.fit(data.matrix, SETTINGS)
    model = training.to_model(data, "", "v1", als, data.matrix, SETTINGS)
    weighted = training.weigh(data.matrix, SETTINGS.alpha)
    for row in np.flatnonzero(np.diff(data.matrix.indptr))[:20]:
        expected = als.recalculate_user(int(row), weighted[row])
        assert np.allclose(model.factors_of(model.dependencies_of(row)), expected, rtol=1e-3, atol=1e-4)


def test_too_little_data_is_refused():
    tiny = Index((Package("aa", "aa", ("bb",)), Package("bb", "bb", ())), "")
    with pytest.raises(InputError, match="only 0 libraries .* give a larger package index"):
        dataset.build(tiny)


def test_too_few_packages_to_evaluate_on_are_refused(data):
    with pytest.raises(InputError, match="only 0 source packages with 1000 dependencies"):
        dataset.split(data, seed=1, minimum_dependencies=1000)


@pytest.mark.parametrize("setting", ["factors", "iterations", "regularization", "alpha"])
def test_settings_that_cannot_work_are_refused(setting):
    with pytest.raises(InputError, match=f"{setting} is 0: it must be above zero"):
        Settings(**{setting: 0})


def test_a_model_that_is_not_made_of_numbers_is_refused(small_index, monkeypatch):
    def broken(matrix, settings, _progress):
        als = fit(matrix, settings)
        als.item_factors[0, 0] = np.nan
        return als

    fit = training.fit
    monkeypatch.setattr(training, "evaluate", lambda *_: {})
    monkeypatch.setattr(training, "fit", broken)
    with pytest.raises(InputError, match="a factor is not a finite number"):
        training.train(small_index, "v1", SETTINGS)
