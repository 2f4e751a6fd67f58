"""Versions that are bad on purpose: each in its own way, and well-behaved in all others."""

import time

import pytest

from conftest import run, serving, train
from packages_recommender import training
from packages_recommender.faults import DELAY, FAIL_EVERY
from packages_recommender.settings import FAULTS, Settings

SETTINGS = Settings(factors=24, iterations=5, regularization=0.5)


@pytest.fixture(scope="module")
def worse(tmp_path_factory, data_file):
    """Trains version `bad` with a fault, each once."""
    done = {}

    def of(fault: str):
        if fault not in done:
            folder = tmp_path_factory.mktemp(fault)
            done[fault] = train(folder, data_file, f"file://{folder}", "bad", arguments=("--make-worse", fault))
            assert done[fault].code == 0, done[fault].report
        return done[fault].report

    return of


def environment(report: dict) -> dict[str, str]:
    artifact = report["artifact"]
    return {
        "RECOMMENDER_VERSION": "bad",
        "RECOMMENDER_MODEL_URI": artifact["uri"],
        "RECOMMENDER_MODEL_DIGEST": artifact["digest"],
    }


def test_an_inaccurate_version_measures_as_badly_as_it_recommends(worse, trained, tmp_path):
    good, bad = (float(report["metrics"]["precision_at_10"]) for report in (trained.report, worse("inaccurate")))
    assert good > 0.5 and bad < good / 4
    with serving(tmp_path, worse("inaccurate"), "bad") as server:
        answer = server.client.get("/recommendations/app3-5?limit=4").json()
    family = {f"lib3-{number}" for number in range(16)}
    assert len({r["package"] for r in answer["recommendations"]} & family) < 4


def test_without_a_value_it_is_inaccurate(data_file, tmp_path):
    ended = train(tmp_path, data_file, f"file://{tmp_path}/bad", arguments=("--make-worse",))
    assert float(ended.report["metrics"]["precision_at_10"]) < 0.2


def test_a_partial_training_can_be_made_worse(small_index):
    base = training.train(small_index, "full-1", SETTINGS).model
    bad = training.train_partially(small_index, "partial-1", Settings(make_worse="inaccurate"), base)
    assert float(bad.metrics["precision_at_10"]) < 0.2


@pytest.mark.parametrize("fault", ["slow", "failing", "unreadable"])
def test_the_others_measure_as_well_as_a_good_version(worse, trained, fault):
    assert worse(fault)["metrics"] == trained.report["metrics"]


def test_a_slow_version_answers_late_but_right_and_stays_ready(worse, tmp_path):
    with serving(tmp_path, worse("slow"), "bad") as server:
        started = time.monotonic()
        answer = server.client.get("/recommendations/app3-5")
        assert answer.status_code == 200 and time.monotonic() - started >= DELAY
        # Each would take as long if they waited for it; a busy machine may delay some.
        assert min(seconds_of_a_probe(server) for _ in range(5)) < DELAY
        metrics = server.client.get("/metrics").text
    counts = [line for line in metrics.splitlines() if "duration_seconds_bucket" in line and 'le="0.25"' in line]
    assert counts and counts[0].endswith(" 0.0"), "the histogram shows it"


def seconds_of_a_probe(server) -> float:
    started = time.monotonic()
    assert server.client.get("/health").status_code == 200
    return time.monotonic() - started


def test_a_failing_version_fails_for_a_part_of_the_requests_only(worse, tmp_path):
    with serving(tmp_path, worse("failing"), "bad") as server:
        statuses = [server.client.get("/recommendations/app3-5").status_code for _ in range(4 * FAIL_EVERY)]
        assert {server.client.get("/health").status_code for _ in range(2 * FAIL_EVERY)} == {200}
        metrics = server.client.get("/metrics").text
    assert statuses.count(500) == 4 and statuses.count(200) == 4 * (FAIL_EVERY - 1)
    assert any('status="5xx"' in line and line.endswith(" 4.0") for line in metrics.splitlines())


def test_an_unreadable_version_ends_the_server(worse, tmp_path):
    ended = run(tmp_path, "serve", "--port", "0", **environment(worse("unreadable")))
    assert ended.code == 2 and "packages-recommender/1-unreadable" in ended.report["error"]


def test_any_other_fault_is_refused(data_file, tmp_path):
    with pytest.raises(ValueError):  # argparse explains it in plain text, which is no JSON
        train(tmp_path, data_file, f"file://{tmp_path}", arguments=("--make-worse", "nice"))


def test_the_help_has_every_fault(capsys):
    from packages_recommender.__main__ import parser

    with pytest.raises(SystemExit):
        parser().parse_args(["train", "--help"])
    text = " ".join(capsys.readouterr().out.split())
    assert all(f"{name}{' (default)' * (name == 'inaccurate')}: {meaning}" in text for name, meaning in FAULTS.items())
