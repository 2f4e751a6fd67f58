"""What a training exposes of its progress."""

import urllib.request

import pytest

from conftest import free_port
from packages_recommender import training
from packages_recommender.errors import InputError
from packages_recommender.progress import Progress
from packages_recommender.settings import Settings


def test_each_step_is_exposed_on_the_port_that_the_operator_names(monkeypatch):
    port = str(free_port())
    monkeypatch.setenv("RECOMMENDER_METRICS_PORT", port)
    progress = Progress()
    progress.serve()
    progress.expect(4)
    progress.advance(0, 0.1, None)
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as answer:
        lines = answer.read().decode().splitlines()
    assert "recommender_training_progress_ratio 0.25" in lines
    assert "recommender_training_step 1.0" in lines
    assert any(line.startswith("recommender_training_remaining_seconds ") for line in lines)


def test_more_steps_than_expected_are_no_more_than_all():
    progress = Progress()
    progress.expect(2)
    for _ in range(3):
        progress.advance()
    assert progress.ratio._value.get() == 1


def test_a_port_that_is_none_ends_the_training_with_2(monkeypatch):
    monkeypatch.setenv("RECOMMENDER_METRICS_PORT", "ninety")
    with pytest.raises(InputError, match="RECOMMENDER_METRICS_PORT is 'ninety'"):
        Progress().serve()


def test_a_training_ends_with_all_of_its_steps(small_index):
    settings = Settings(factors=8, iterations=3, regularization=0.5)
    full, partial = Progress(), Progress()
    base = training.train(small_index, "full-1", settings, full).model
    training.train_partially(small_index, "partial-1", settings, base, partial)
    assert [(of.done, of.total, of.ratio._value.get()) for of in (full, partial)] == [(6, 6, 1), (4, 4, 1)]
