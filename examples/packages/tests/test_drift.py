"""The drift between the data of a training and those of today."""

import json
import math
import re
import subprocess
import sys
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path

import httpx
import pytest
from prometheus_client import generate_latest

from conftest import PATIENCE, PROGRAM, environment, free_port, run
from packages_recommender import drift, index, model, monitor, training
from packages_recommender.errors import InputError
from packages_recommender.index import Index
from packages_recommender.settings import Settings

# The catalogue of the operator has the contract of such a monitor.
CATALOGUE = Path(__file__).parents[3] / "src/catalog/dependencies/exporter/DriftMonitor.yaml"


def moved(data: Index) -> Index:
    """Every package is a Rust one and depends on half as much; the names of the dependencies stay."""
    packages = (replace(p, name=f"rust-{p.name}", dependencies=p.dependencies[: len(p.dependencies) // 2]) for p in data.packages)
    return replace(data, packages=tuple(packages))


@pytest.fixture(scope="module")
def moved_file(small_index, tmp_path_factory) -> Path:
    file = tmp_path_factory.mktemp("moved") / "packages.jsonl.gz"
    index.write(moved(small_index), file, ["test"])
    return file


def given(trained) -> dict[str, str]:
    artifact = trained.report["artifact"]
    return {
        "RECOMMENDER_VERSION": "v1",
        "RECOMMENDER_MODEL_URI": artifact["uri"],
        "RECOMMENDER_MODEL_DIGEST": artifact["digest"],
    }


def test_the_index_is_computed_as_by_hand():
    trained = {"a": 50, "b": 40, drift.OTHER: 10}
    today = Counter({"a": 20, "b": 20, "c": 60})  # 0.2, 0.2, 0.6
    expected = -0.3 * math.log(0.2 / 0.5) - 0.2 * math.log(0.2 / 0.4) + 0.5 * math.log(0.6 / 0.1)
    assert drift.psi(trained, today) == pytest.approx(expected) == pytest.approx(1.3094, abs=1e-4)


def test_an_empty_bin_is_a_large_change_and_not_an_infinite_one():
    score = drift.psi({"a": 100, drift.OTHER: 0}, Counter({"b": 100}))
    assert score == pytest.approx(2 * (1 - drift.FLOOR) * math.log(1 / drift.FLOOR))


def test_the_same_data_have_not_drifted(small_index):
    assert drift.scores(drift.profile(small_index), small_index) == dict.fromkeys(drift.FEATURES, 0)


def test_a_sample_of_the_same_data_has_not_drifted(small_index):
    half = replace(small_index, packages=small_index.packages[::2])
    scores = drift.scores(drift.profile(small_index), half)
    assert 0 < max(scores.values()) < drift.DRIFTED


def test_only_what_has_changed_has_drifted(small_index):
    scores = drift.scores(drift.profile(small_index), moved(small_index))
    assert scores["prefix"] > 1 and scores["dependencies"] > 1 and scores["library"] < drift.DRIFTED


def test_a_profile_is_small_and_complete(small_index):
    profile = drift.profile(small_index)
    assert all(len(histogram) <= drift.TOP + 1 for histogram in profile.values())
    packages = len(small_index.packages)
    pairs = sum(len(package.dependencies) for package in small_index.packages)
    totals = {feature: sum(histogram.values()) for feature, histogram in profile.items()}
    assert totals == {"dependencies": packages, "library": pairs, "prefix": packages}


def test_the_artifact_of_every_training_has_the_profile_of_its_data(small_index):
    settings = Settings(factors=24, iterations=5, regularization=0.5)
    base = training.train(small_index, "v1", settings).model
    partial = training.train_partially(small_index, "v2", settings, base).model
    for trained in (base, partial):
        assert model.from_bytes(trained.to_bytes()).profile == drift.profile(small_index)


def test_too_few_packages_or_an_older_artifact_have_no_score(small_index):
    few = replace(small_index, packages=small_index.packages[: drift.MINIMUM - 1])
    with pytest.raises(InputError, match="only 199 packages: a score needs 200"):
        drift.scores(drift.profile(small_index), few)
    with pytest.raises(InputError, match="no histograms .* train a new version"):
        drift.scores({}, small_index)


def test_once_prints_the_scores(trained, data_file, moved_file, tmp_path):
    def scores(data: Path) -> dict:
        command = [sys.executable, *PROGRAM, "drift", "--once", "--data", str(data)]
        done = subprocess.run(command, env=environment(tmp_path, **given(trained)), capture_output=True, text=True, timeout=PATIENCE)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    assert set(scores(data_file).values()) == {0}
    assert scores(moved_file)["prefix"] > 1


def test_a_worker_asks_a_server_for_the_histograms(server, moved_file, tmp_path):
    body = server.client.get("/profile").json()
    assert body["version"] == "v1" and body["profile"].keys() == drift.FEATURES.keys()
    url = str(server.client.base_url)
    ended = run(tmp_path, "drift", "--once", "--data", str(moved_file), "--server", url)
    assert ended.code == 0 and ended.logs[-1]["version"] == "v1" and ended.logs[-1]["prefix"] > 1


def test_a_server_out_of_reach_is_an_error(data_file, tmp_path):
    url = f"http://127.0.0.1:{free_port()}"
    ended = run(tmp_path, "drift", "--once", "--data", str(data_file), "--server", url)
    assert ended.code == 1 and "refused" in ended.report["error"]


def test_once_without_data_ends_with_2(trained, tmp_path):
    ended = run(tmp_path, "drift", "--once", "--data", str(tmp_path / "none"), **given(trained))
    assert ended.code == 2 and "there is no data file" in ended.report["error"]


def test_the_worker_exposes_what_the_operator_reads_and_goes_on_after_an_error(trained, data_file, moved_file, tmp_path):
    today, port = tmp_path / "today.jsonl.gz", free_port()
    today.write_bytes(data_file.read_bytes())
    command = [sys.executable, *PROGRAM, "drift", "--recommender", "packages", "--data", str(today)]
    command += ["--port", str(port), "--every-seconds", "0.2"]
    log = (tmp_path / "log").open("w")
    process = subprocess.Popen(command, env=environment(tmp_path, **given(trained)), stderr=log)
    prefix = 'recommender_drift_score{feature="prefix",recommender="packages"}'
    ratio = 'recommender_drifted_features_ratio{recommender="packages"}'
    run_at = 'recommender_drift_last_run_timestamp_seconds{recommender="packages"}'
    try:
        first = values_once(port, lambda values: run_at in values)  # set last
        assert first[prefix] == 0 and first[ratio] == 0 and abs(time.time() - first[run_at]) < 10
        today.write_bytes(b"nonsense")
        wait_for_log(tmp_path / "log", "cannot compute the drift")
        failing = values_once(port, lambda values: True)
        assert failing[prefix] == 0, "the scores stay, and their age shows that they are old"
        today.write_bytes(moved_file.read_bytes())
        last = values_once(port, lambda values: values[run_at] > failing[run_at])
        assert last[prefix] > 1 and last[ratio] == pytest.approx(2 / 3)
    finally:
        process.kill()
        process.wait()
        log.close()


def test_its_metrics_are_those_of_the_operators_catalogue(small_index, data_file):
    if not CATALOGUE.exists():
        pytest.skip("the example is not within the repository of the operator")
    expected = {name: set(re.findall(r"\w+", labels)) for name, labels in SERIES.findall(CATALOGUE.read_text())}
    exposed = monitor.Monitor("packages")
    trained = training.train(small_index, "v1", Settings(factors=24, iterations=5, regularization=0.5)).model
    exposed.update((trained.version, trained.profile), data_file)
    lines = [line for line in generate_latest(exposed.registry).decode().splitlines() if line[0] != "#"]
    found = {line.partition("{")[0]: set(re.findall(r'(\w+)="', line)) for line in lines}
    assert len(expected) == 3 and found == {name: labels | {"recommender"} for name, labels in expected.items()}


SERIES = re.compile(r"- \{name: (\w+), .*labels: \[(.*)\]\}")


def values_once(port: int, condition) -> dict[str, float]:
    """The values of /metrics, once they meet the condition."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        try:
            text = httpx.get(f"http://127.0.0.1:{port}/metrics", trust_env=False).text
            values = {series: float(value) for series, value in re.findall(r"^(\w+\{.*\}) (\S+)$", text, re.M)}
            if condition(values):
                return values
        except httpx.TransportError:
            pass
        time.sleep(0.1)
    raise AssertionError("the metrics did not become what was expected")


def wait_for_log(file: Path, message: str) -> None:
    deadline = time.monotonic() + PATIENCE
    while message not in file.read_text():
        assert time.monotonic() < deadline, message
        time.sleep(0.05)
