"""Another version in the same process: no request fails, and no answer is of two versions."""

import json
import os
import threading
import time
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from conftest import PATIENCE, serving, train
from packages_recommender import reload
from packages_recommender.errors import InputError

PATHS = ("/recommendations/app3-5?limit=4", "/recommendations/app7-2?limit=4")


class ConfigMap:
    """A mounted one: the file is a link through a link to a directory, and the latter link is replaced."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.file = folder / "version.json"
        self.written = 0
        folder.mkdir()

    def write(self, content: str) -> None:
        self.written += 1
        directory = self.folder / f"..{self.written}"
        directory.mkdir()
        (directory / "version.json").write_text(content)
        (self.folder / "..data_tmp").symlink_to(directory.name)
        os.replace(self.folder / "..data_tmp", self.folder / "..data")
        if not self.file.is_symlink():
            self.file.symlink_to("..data/version.json")

    def name(self, report: dict, named: str, **changes: str) -> None:
        artifact = report["artifact"]
        self.write(json.dumps({"version": named, "uri": artifact["uri"], "digest": artifact["digest"], **changes}))


@pytest.fixture(scope="module")
def other(tmp_path_factory, data_file):
    """Version v2, whose recommendations are others than those of v1."""
    folder = tmp_path_factory.mktemp("other")
    return train(folder, data_file, f"file://{folder}/v2", "v2", arguments=("--make-worse", "inaccurate")).report


@pytest.fixture
def config_map(tmp_path) -> ConfigMap:
    return ConfigMap(tmp_path / "config")


def follow(tmp_path, config_map: ConfigMap, report: dict, **variables: str):
    return serving(tmp_path, report, RECOMMENDER_VERSION_FILE=str(config_map.file), **variables)


def wait_for(condition, what: str) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.05)


def wait_for_version(server, version: str) -> None:
    wait_for(lambda: server.client.get("/health").json()["version"] == version, f"{version} does not serve")


def errors(server) -> list[str]:
    return [line["message"] for line in server.logs() if line["level"] == "error"]


@contextmanager
def asking(server):
    """Asks all the time in several threads; yields the answers so far."""
    answers, ended = [], threading.Event()

    def ask(path: str) -> None:
        with httpx.Client(base_url=server.client.base_url, trust_env=False) as client:
            while not ended.is_set():
                answers.append((path, client.get(path)))

    threads = [threading.Thread(target=ask, args=[path]) for path in PATHS for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        yield answers
    finally:
        ended.set()
        for thread in threads:
            thread.join()


# Without the limit requests wait for their turn between the versions, with none they are computed in the event loop.
@pytest.mark.parametrize("max_wait", ["30", "0"])
def test_no_request_fails_and_no_answer_is_of_two_versions(tmp_path, config_map, trained, other, max_wait):
    config_map.name(trained.report, "v1")
    with follow(tmp_path, config_map, trained.report, MAX_WAIT_SECONDS=max_wait) as server:
        bodies = {("v1", path): server.client.get(path).json() for path in PATHS}
        with asking(server) as answers:
            for report, version in ((other, "v2"), (trained.report, "v1"), (other, "v2")):
                config_map.name(report, version)
                wait_for_version(server, version)
                bodies |= {(version, path): server.client.get(path).json() for path in PATHS}
                asked = len(answers)
                wait_for(lambda: len(answers) > asked + 20, "the new version answers nobody")
    assert bodies["v1", PATHS[0]]["recommendations"] != bodies["v2", PATHS[0]]["recommendations"]
    assert len(answers) > 80 and {answer.headers["x-model-version"] for _, answer in answers} == {"v1", "v2"}
    for path, answer in answers:
        assert answer.status_code == 200
        assert answer.json() == bodies[answer.headers["x-model-version"], path]
    assert not errors(server)


def test_metrics_and_health_are_of_the_version_that_answers(tmp_path, config_map, trained, other):
    with follow(tmp_path, config_map, trained.report) as server:
        wait_for_version(server, "v1")  # there is no file yet
        config_map.name(other, "v2")
        wait_for_version(server, "v2")
        assert server.client.get("/health").json()["digest"] == other["artifact"]["digest"]
        lines = [line for line in server.client.get("/metrics").text.splitlines() if line.startswith("recommender_")]
        [replaced] = [line for line in server.logs() if line["message"] == "version replaced"]
    digest = other["artifact"]["digest"]
    assert lines[0] == f'recommender_model_info{{digest="{digest}",version="v2"}} 1.0'
    assert lines[1].startswith('recommender_model_load_seconds{version="v2"} ') and len(lines) == 2
    assert (replaced["before"], replaced["version"]) == ("v1", "v2")


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"digest": "sha256:" + "0" * 64}, "not sha256:0000"),
        ({"version": "v3"}, "holds version 'v2', not 'v3' as RECOMMENDER_VERSION_FILE says"),
        ({"uri": "file:///nowhere/model.npz"}, "there is no artifact at file:///nowhere/model.npz"),
        ({"uri": ""}, "must be a JSON object with the strings version, uri, digest"),
    ],
)
def test_what_cannot_be_loaded_is_logged_once_and_leaves_what_serves(tmp_path, config_map, trained, other, changes, message):
    config_map.name(trained.report, "v1")
    with follow(tmp_path, config_map, trained.report) as server:
        config_map.name(other, "v2", **changes)
        wait_for(lambda: errors(server), "it is not logged")
        time.sleep(2.5 * reload.POLL)
        [logged] = errors(server)
        assert message in logged
        assert server.client.get("/health").json()["version"] == "v1"
        config_map.name(other, "v2")
        wait_for_version(server, "v2")


def test_the_file_comes_before_the_environment(tmp_path, config_map, trained, other):
    config_map.name(other, "v2")
    with follow(tmp_path, config_map, trained.report) as server:
        assert server.client.get("/health").json()["version"] == "v2", "the first that is ready"
        assert [line["version"] for line in server.logs() if line["message"] == "model loaded"] == ["v2"]


@pytest.mark.parametrize("content", ["", "{", "[]", '{"version": "v2", "uri": "file:///nowhere", "digest": "sha256:0"}'])
def test_a_server_that_starts_with_a_bad_file_serves_the_version_of_its_environment(tmp_path, config_map, trained, content):
    config_map.write(content)
    with follow(tmp_path, config_map, trained.report) as server:
        assert server.client.get("/health").json()["version"] == "v1"
        assert len(errors(server)) == 1


def test_an_error_that_may_pass_is_tried_again(tmp_path, monkeypatch):
    file = tmp_path / "version.json"
    file.write_text(json.dumps({"version": "v2", "uri": "s3://models/v2", "digest": "sha256:0"}))
    calls, loaded = [], object()

    def load(*arguments):
        calls.append(arguments)
        if len(calls) == 1:
            raise ConnectionError("the store is out of reach")
        return loaded

    monkeypatch.setattr(reload, "load", load)
    now = [100.0]
    monkeypatch.setattr(reload.time, "monotonic", lambda: now[0])
    version_file = reload.VersionFile(file)
    assert version_file.next() is None and version_file.next() is None and len(calls) == 1, "not at once"
    now[0] += reload.RETRY
    assert version_file.next() is loaded and version_file.next() is None
    assert calls == 2 * [("v2", "s3://models/v2", "sha256:0", "FILE")]


def test_a_version_is_dropped_if_the_file_changes_while_it_is_loaded(tmp_path, monkeypatch):
    file, calls = tmp_path / "version.json", []

    def name(version: str) -> None:
        file.write_text(json.dumps({"version": version, "uri": f"s3://models/{version}", "digest": "sha256:0"}))

    def load(version, *_):
        calls.append(version)
        if version == "v3":
            name("v2")  # it is taken back meanwhile
        return version

    monkeypatch.setattr(reload, "load", load)
    version_file = reload.VersionFile(file)
    name("v3")
    assert version_file.next() is None, "the file does not name it any more"
    assert version_file.next() == "v2" and version_file.next() is None
    assert calls == ["v3", "v2"]


def test_a_file_that_cannot_be_read_is_logged_once(tmp_path, caplog):
    version_file = reload.VersionFile(tmp_path)
    assert [version_file.next() for _ in range(3)] == 3 * [None]
    [record] = caplog.records
    assert "Is a directory" in record.getMessage()


@pytest.mark.parametrize("content", [b"", b"nonsense", b"[]", b'{"version": "v1", "uri": 1, "digest": "d"}'])
def test_a_file_that_names_no_version_is_refused(content):
    with pytest.raises(InputError):
        reload.parse(content)
