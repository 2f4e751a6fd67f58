"""The trainer's contract with the operator: environment in, report and exit code out."""

import hashlib
import json
import re
from pathlib import Path

import pytest

from conftest import run, train


def test_the_report_says_what_was_written(trained):
    assert trained.code == 0
    assert len(trained.raw_report) <= 4096
    artifact = trained.report["artifact"]
    file = Path(artifact["uri"].removeprefix("file://"))
    assert file.name == "model.npz" and file.parent.name == "v1"
    assert artifact["bytes"] == file.stat().st_size
    assert artifact["digest"] == f"sha256:{hashlib.sha256(file.read_bytes()).hexdigest()}"
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", trained.report["dataThrough"])
    assert [entry.name for entry in file.parent.iterdir()] == ["model.npz"], "no temporary file stays"


def test_metrics_are_decimal_strings(trained):
    metrics = trained.report["metrics"]
    assert {"precision_at_10", "recall_at_10", "catalog_coverage", "precision_at_10_popularity"} <= metrics.keys()
    for value in metrics.values():
        assert isinstance(value, str) and re.fullmatch(r"\d+(\.\d+)?", value)


def test_the_log_is_json_with_the_settings_and_the_digest(trained):
    assert trained.logs[-1]["message"] == "version trained"
    assert trained.logs[-1]["digest"] == trained.report["artifact"]["digest"]
    assert all(line["level"] == "info" for line in trained.logs)


def test_a_run_repeated_replaces_the_artifact_by_the_same(trained, data_file, tmp_path):
    again = train(tmp_path, data_file, trained.report["artifact"]["uri"].removesuffix("/model.npz"))
    assert again.report == trained.report


@pytest.mark.parametrize(
    "variables, message",
    [
        ({"RECOMMENDER_VERSION": ""}, "RECOMMENDER_VERSION is not set"),
        ({"RECOMMENDER_VERSION": "a b"}, "RECOMMENDER_VERSION is 'a b'"),
        ({"RECOMMENDER_OUTPUT_URI": ""}, "RECOMMENDER_OUTPUT_URI is not set"),
        ({"RECOMMENDER_OUTPUT_URI": "relative/path"}, "write file:///absolute/path or s3://bucket/path"),
        ({"RECOMMENDER_OUTPUT_URI": "https://example.org/x"}, "write file:///absolute/path or s3://bucket/path"),
        ({"RECOMMENDER_KIND": "Partial"}, "RECOMMENDER_KIND is 'Partial', but `train --full` was called"),
        ({"PACKAGES_DATA": "/nowhere/packages.jsonl.gz"}, "there is no data file /nowhere/packages.jsonl.gz"),
    ],
)
def test_what_cannot_work_ends_with_2_and_says_why(tmp_path, variables, message):
    told = {"RECOMMENDER_VERSION": "v1", "RECOMMENDER_OUTPUT_URI": f"file://{tmp_path}/v1", **variables}
    ended = run(tmp_path, "train", "--full", **told)
    assert ended.code == 2
    assert message in ended.report["error"] and "artifact" not in ended.report
    assert ended.logs[-1]["level"] == "error" and message in ended.logs[-1]["message"]


def test_a_failed_write_ends_with_1_and_leaves_no_report_of_success(tmp_path, data_file):
    (tmp_path / "file").write_text("in the way")
    ended = train(tmp_path, data_file, f"file://{tmp_path}/file/v1")
    assert ended.code == 1
    assert "NotADirectoryError" in ended.report["error"] or "FileExistsError" in ended.report["error"]
    assert "traceback" in ended.logs[-1]
    assert ended.report["stage"] == "save"


def test_data_that_cannot_be_read_is_a_failure_of_loading(tmp_path):
    ended = train(tmp_path, tmp_path / "nothing.jsonl.gz", f"file://{tmp_path}/v1")
    assert ended.code == 2 and ended.report["stage"] == "load"


def test_a_report_that_kubernetes_would_cut_off_is_a_failure(tmp_path, data_file):
    long = "/".join(["d" * 200] * 19)
    ended = train(tmp_path, data_file, f"file://{tmp_path}/{long}")
    assert ended.code == 2 and "shorten the URI" in ended.report["error"]


def test_the_data_file_is_built_by_a_command(tmp_path):
    (tmp_path / "Packages").write_text("Package: aa\nDepends: bb\n")
    ended = run(tmp_path, "index", "--output", str(tmp_path / "out.gz"), str(tmp_path / "Packages"))
    assert ended.code == 0 and ended.logs[-1]["packages"] == 1
    ended = run(tmp_path, "index", "--output", str(tmp_path / "out.gz"), str(tmp_path / "none"))
    assert ended.code == 2 and "is not a file" in json.dumps(ended.logs[-1])
