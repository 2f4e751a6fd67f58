"""The server's contract: exactly the told version or nothing; and what it answers."""

import asyncio
import re
import signal
from pathlib import Path

import httpx
import pytest

from conftest import run, serving
from packages_recommender import model, server as server_module
from packages_recommender.served import Loaded, Served


def test_health_names_the_version(server, trained):
    body = server.client.get("/health").json()
    assert body["version"] == "v1" and body["digest"] == trained.report["artifact"]["digest"]


def test_a_known_package_gets_what_its_family_uses(server):
    answer = server.client.get("/recommendations/app3-5?limit=4")
    assert answer.status_code == 200 and answer.headers["x-model-version"] == "v1"
    body = answer.json()
    found = [r["package"] for r in body["recommendations"]]
    assert body["basis"] == "dependencies" and len(found) == 4
    assert set(found) | set(body["because"]) == {f"lib3-{number}" for number in range(16)}


def test_a_package_without_usable_dependencies_gets_the_popular_ones(server):
    body = server.client.get("/recommendations/meta").json()
    assert body["basis"] == "popularity" and body["because"] == [] and len(body["recommendations"]) == 10


def test_a_list_of_dependencies_gets_the_rest_of_the_family(server):
    asked = {"dependencies": ["lib7-0", "lib7-1", "lib7-1", "no-such"], "limit": 14}
    body = server.client.post("/recommendations", json=asked).json()
    assert body["because"] == ["lib7-0", "lib7-1"] and body["unknown"] == ["no-such"]
    assert {r["package"] for r in body["recommendations"]} == {f"lib7-{number}" for number in range(2, 16)}


def test_an_unknown_package_gets_404_with_similar_names(server):
    answer = server.client.get("/recommendations/app3-5x", headers={"X-Request-ID": "abc-1"})
    error = answer.json()["error"]
    assert answer.status_code == 404 and error["code"] == "unknown_package"
    assert error["similar"][0] == "app3-5" and "POST" in error["message"]
    assert answer.json()["requestId"] == "abc-1"


@pytest.mark.parametrize(
    "request_, status",
    [
        (("GET", "/recommendations/app3-5?limit=0"), 422),
        (("GET", "/recommendations/app3-5?limit=101"), 422),
        (("GET", f"/recommendations/{'a' * 256}"), 422),
        (("GET", "/no-such-path"), 404),
        (("DELETE", "/health"), 405),
        (("POST", "/recommendations"), 422),
    ],
)
def test_bad_requests_get_an_error_with_a_request_id(server, request_, status):
    answer = server.client.request(*request_)
    assert answer.status_code == status
    assert answer.json()["error"]["message"] and answer.json()["requestId"] == answer.headers["x-request-id"]


@pytest.mark.parametrize(
    "body",
    [
        {"dependencies": ["x"] * 1001},
        {"dependencies": [""]},
        {"dependencies": [1]},
        {"deps": []},
        {"dependencies": [], "limit": 0},
    ],
)
def test_bad_bodies_are_refused(server, body):
    assert server.client.post("/recommendations", json=body).status_code == 422


def test_a_body_that_is_too_long_or_has_no_length_is_refused(server):
    assert server.client.post("/recommendations", content=b" " * 300_000).status_code == 413
    assert server.client.post("/recommendations", content=iter([b"{}"])).status_code == 413


@pytest.mark.parametrize("given, kept", [("abc-1.2_3", True), ("a" * 129, False), ("a b", False), ("", False)])
def test_a_request_id_is_kept_or_made_and_logged(server, given, kept):
    answer = server.client.get("/recommendations/app1-1", headers={"X-Request-ID": given})
    used = answer.headers["x-request-id"]
    assert used == given if kept else re.fullmatch("[0-9a-f]{32}", used)
    line = server.log_of(used)
    assert line["status"] == 200 and line["path"] == "/recommendations/app1-1" and line["duration_ms"] > 0


def test_probes_and_scrapes_are_not_logged(server):
    server.client.get("/metrics")
    server.log_of(server.client.get("/recommendations/app1-1").headers["x-request-id"])
    assert not [entry for entry in server.logs() if entry.get("path") in ("/health", "/metrics")]


def test_metrics_have_the_instrumentators_names_and_useful_buckets(server, trained):
    server.client.get("/recommendations/app2-2")
    server.client.get("/recommendations/nobody")
    text = server.client.get("/metrics").text
    handler = 'handler="/recommendations/{package}"'
    bounds = re.findall(
        rf'^http_request_duration_seconds_bucket{{{re.escape(handler)},le="([^"]+)",method="GET"}}', text, re.M
    )
    assert "0.075" in bounds, "a target of 75 ms can be seen"
    assert max(map(float, set(bounds) - {"+Inf"})) >= 10, "a p99 above one second can be seen"
    for status in ("2xx", "4xx"):
        assert re.search(
            rf'^http_requests_total{{{re.escape(handler)},method="GET",status="{status}"}} [1-9]', text, re.M
        )
    assert re.search(rf'^http_requests_inprogress{{{re.escape(handler)},method="GET"}} 0.0', text, re.M)
    digest = trained.report["artifact"]["digest"]
    assert f'recommender_model_info{{digest="{digest}",version="v1"}} 1.0' in text
    assert re.search(r'^recommender_model_load_seconds{version="v1"} [0-9.e-]*[1-9]', text, re.M)
    assert "process_resident_memory_bytes" in text
    assert 'handler="/health"' not in text and "_created{" not in text


def test_a_crash_is_a_500_with_a_request_id_and_is_counted(small_index, trained, caplog):
    loaded = model.from_bytes(Path(trained.report["artifact"]["uri"].removeprefix("file://")).read_bytes())
    app = server_module.create_app(Served(Loaded(loaded, "sha256:0", 1.0)), max_wait=1)
    loaded.package_rows["broken"] = 10**9  # a row that is not there

    async def ask() -> tuple[httpx.Response, str]:
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            return await client.get("/recommendations/broken"), (await client.get("/metrics")).text

    answer, metrics = asyncio.run(ask())
    assert answer.status_code == 500 and answer.json()["error"]["code"] == "internal_error"
    assert answer.json()["requestId"] == answer.headers["x-request-id"]
    assert re.search(r'^http_requests_total{.*status="5xx"} 1.0', metrics, re.M)
    assert [record.exc_info for record in caplog.records if record.levelname == "ERROR"], "the traceback is logged"


def test_sigterm_ends_the_server_cleanly(tmp_path, trained):
    with serving(tmp_path, trained.report) as running:
        running.process.send_signal(signal.SIGTERM)
        assert running.process.wait(timeout=30) == 0


@pytest.mark.parametrize(
    "told, message",
    [
        ({"RECOMMENDER_MODEL_DIGEST": "sha256:" + "0" * 64}, "not sha256:0000"),
        ({"RECOMMENDER_MODEL_DIGEST": ""}, "RECOMMENDER_MODEL_DIGEST is not set"),
        ({"RECOMMENDER_VERSION": "v2"}, "holds version 'v1', not 'v2'"),
        ({"RECOMMENDER_MODEL_URI": "file:///nowhere/model.npz"}, "there is no artifact at file:///nowhere/model.npz"),
        ({"RECOMMENDER_MODEL_URI": "ftp://x/y"}, "write file:///absolute/path or s3://bucket/path"),
    ],
)
def test_any_other_artifact_is_refused_before_the_port_is_opened(tmp_path, trained, told, message):
    artifact = trained.report["artifact"]
    right = {
        "RECOMMENDER_VERSION": "v1",
        "RECOMMENDER_MODEL_URI": artifact["uri"],
        "RECOMMENDER_MODEL_DIGEST": artifact["digest"],
    }
    ended = run(tmp_path, "serve", "--host", "127.0.0.1", "--port", "0", **{**right, **told})
    assert ended.code == 2 and message in ended.report["error"]
    assert not [line for line in ended.logs if line["logger"].startswith("uvicorn")], "it never listened"


def test_an_artifact_changed_after_training_is_refused(tmp_path, trained):
    file = tmp_path / "model.npz"
    data = bytearray(Path(trained.report["artifact"]["uri"].removeprefix("file://")).read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)
    ended = run(
        tmp_path,
        "serve",
        "--port",
        "0",
        RECOMMENDER_VERSION="v1",
        RECOMMENDER_MODEL_URI=f"file://{file}",
        RECOMMENDER_MODEL_DIGEST=trained.report["artifact"]["digest"],
    )
    assert ended.code == 2 and "replaced or damaged after training" in ended.report["error"]
