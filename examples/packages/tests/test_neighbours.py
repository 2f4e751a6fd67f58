"""The algorithm `cosine`: trained, stored, served, and not confused with the other one."""

import io
import json
from dataclasses import replace

import numpy as np
import pytest
from scipy import sparse

from conftest import serving, train
from packages_recommender import dataset, neighbours, training
from packages_recommender.errors import InputError
from packages_recommender.model import from_bytes, text
from packages_recommender.progress import Progress
from packages_recommender.settings import Settings

SETTINGS = Settings(algorithm="cosine")


@pytest.fixture(scope="module")
def result(small_index):
    return training.train(small_index, "v1", SETTINGS)


def test_the_similarity_is_the_damped_cosine():
    matrix = sparse.csr_matrix(np.array([[1, 1, 0], [1, 1, 0], [1, 0, 1], [1, 0, 0]], np.float32))
    found = neighbours.fit(matrix, replace(SETTINGS, shrinkage=2.0)).similarity.toarray()
    first, second = 2 / (np.sqrt(4 * 2) + 2), 1 / (np.sqrt(4 * 1) + 2)
    assert np.allclose(found, [[0, first, second], [first, 0, 0], [second, 0, 0]])


def test_only_the_nearest_neighbours_are_kept(small_index):
    matrix = dataset.build(small_index).matrix
    every = neighbours.fit(matrix, SETTINGS).similarity
    nearest = neighbours.fit(matrix, replace(SETTINGS, neighbours=3)).similarity
    assert np.diff(every.indptr).min() > 3
    for row in range(20):
        kept = set(nearest[row].data)
        assert kept == set(np.sort(every[row].data)[-3:]) and np.isin(nearest[row].indices, every[row].indices).all()


def test_it_finds_the_hidden_dependencies_and_popularity_does_not(result):
    metrics = {name: float(value) for name, value in result.metrics.items()}
    assert metrics["precision_at_10"] > 5 * metrics["precision_at_10_popularity"] and metrics["recall_at_10"] > 0.9
    assert metrics["catalog_coverage"] > 0.9


def test_what_is_evaluated_is_what_serves(small_index):
    """The coverage comes from all packages at once, the answers from one after the other."""
    data = dataset.build(small_index)
    learnt = training.fit(data.matrix, SETTINGS)
    model = training.to_model(data, "", "v1", learnt, data.matrix, SETTINGS)
    users = np.flatnonzero(np.diff(data.matrix.indptr))[:50]
    weighted = training.weigh(data.matrix, SETTINGS.alpha)
    for user in users:
        # A family has four libraries beside the twelve that a package knows; further ones have no score.
        at_once, _ = learnt.recommend(np.array([user]), weighted[[user]], N=4, filter_already_liked_items=True)
        served = model.recommend(model.dependencies_of(user), 4)
        scores = model.scores(model.dependencies_of(user))
        assert np.allclose([r.score for r in served], scores[at_once]), "in any order of equal scores"


def test_stored_and_loaded_it_is_the_same(result):
    loaded = from_bytes(result.model.to_bytes())
    assert loaded.algorithm == "cosine" and loaded.to_bytes() == result.model.to_bytes()
    assert loaded.recommend_for_package("app3-5", 10) == result.model.recommend_for_package("app3-5", 10)


def test_an_artifact_from_before_there_were_algorithms_is_one_of_als(small_index):
    model = training.train(small_index, "v1", Settings(factors=24, iterations=5, regularization=0.5)).model
    with np.load(io.BytesIO(model.to_bytes())) as stored:
        arrays = {name: stored[name] for name in stored.files if "neighbour" not in name and name != "similarities"}
    header = json.loads(arrays["header"].tobytes())
    older = {name: header[name] for name in ("format", "version", "dataThrough", "regularization")}
    buffer = io.BytesIO()
    np.savez(buffer, **arrays | {"header": text(json.dumps(older))})
    loaded = from_bytes(buffer.getvalue())
    assert (loaded.algorithm, loaded.fault, loaded.profile) == ("als", "", {})
    assert loaded.recommend_for_package("app3-5", 10) == model.recommend_for_package("app3-5", 10)


def test_training_twice_gives_the_same_bytes(small_index, result):
    assert training.train(small_index, "v1", SETTINGS).model.to_bytes() == result.model.to_bytes()


def test_it_can_be_made_worse(small_index, result):
    bad = training.train(small_index, "v1", replace(SETTINGS, make_worse="inaccurate"))
    assert float(bad.metrics["precision_at_10"]) < float(result.metrics["precision_at_10"]) / 4


def test_its_progress_ends_at_all(small_index):
    progress = Progress()
    training.train(small_index, "v1", SETTINGS, progress)
    assert (progress.done, progress.total) == (2, 2)


def test_it_cannot_be_trained_partially(small_index, result):
    als = Settings(factors=24, iterations=5, regularization=0.5)
    with pytest.raises(InputError, match="the base 'v1' has the algorithm cosine, which .* train in full"):
        training.train_partially(small_index, "v2", als, result.model)
    base = training.train(small_index, "v1", als).model
    with pytest.raises(InputError, match="this training has the algorithm cosine, which .* train in full"):
        training.train_partially(small_index, "v2", SETTINGS, base)


def test_the_command_trains_it_and_the_server_serves_it(data_file, tmp_path):
    ended = train(tmp_path, data_file, f"file://{tmp_path}/v1", arguments=("--algorithm", "cosine"))
    assert ended.code == 0
    with serving(tmp_path, ended.report) as server:
        body = server.client.get("/recommendations/app3-5?limit=4").json()
    family = {f"lib3-{number}" for number in range(16)}
    assert {r["package"] for r in body["recommendations"]} | set(body["because"]) == family
    assert all(0 < r["score"] < 1 for r in body["recommendations"])
