"""Artifacts in S3, against a small server that speaks enough of it: PUT and GET of an object, by path."""

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs

import pytest

from conftest import run, serving, train

NO_SUCH_BUCKET = b"<Error><Code>NoSuchBucket</Code><Message>The bucket does not exist.</Message></Error>"
NO_SUCH_KEY = b'<?xml version="1.0"?><Error><Code>NoSuchKey</Code><Message>The key does not exist.</Message></Error>'
SLOW_DOWN = b'<?xml version="1.0"?><Error><Code>SlowDown</Code><Message>Reduce your request rate.</Message></Error>'


class Store(ThreadingHTTPServer):
    """Keeps objects of one bucket by path, refuses unsigned requests, and answers the first `failures` requests with 503."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.objects: dict[str, bytes] = {}
        self.failures = 0
        self.requests: list[str] = []


class Handler(BaseHTTPRequestHandler):
    server: Store

    def do_PUT(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.admit():
            if self.path.startswith("/models/"):
                self.server.objects[self.path] = body
                self.answer(200, b"")
            else:
                self.answer(404, NO_SUCH_BUCKET)

    def do_DELETE(self) -> None:
        if self.admit():
            self.server.objects.pop(self.path, None)
            self.answer(204, b"")

    def do_GET(self) -> None:
        path, _, query = self.path.partition("?")
        if "list-type=2" in query:
            if self.admit():
                self.list_keys(path, parse_qs(query)["prefix"][0])
        elif self.admit():
            found = self.server.objects.get(self.path)
            self.answer(404, NO_SUCH_KEY) if found is None else self.answer(200, found)

    def list_keys(self, bucket: str, prefix: str) -> None:
        """One page of keys."""
        keys = [path.removeprefix(f"{bucket}/") for path in self.server.objects]
        found = "".join(f"<Contents><Key>{key}</Key></Contents>" for key in keys if key.startswith(prefix))
        self.answer(200, f"<ListBucketResult><IsTruncated>false</IsTruncated>{found}</ListBucketResult>".encode())

    def admit(self) -> bool:
        self.server.requests.append(f"{self.command} {self.path}")
        if not self.headers.get("Authorization", "").startswith("AWS4-HMAC-SHA256 Credential=key-of-a-test/"):
            self.answer(403, b"<Error><Code>AccessDenied</Code><Message>not signed</Message></Error>")
            return False
        if self.server.failures > 0:
            self.server.failures -= 1
            self.answer(503, SLOW_DOWN)
            return False
        return True

    def answer(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("ETag", '"0"')
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_) -> None:
        """Says nothing."""


@pytest.fixture
def store():
    server = Store()
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def access(store: Store, key: str = "key-of-a-test") -> dict[str, str]:
    """The variables that the operator gives to pods, and what keeps boto3 from looking around on this machine."""
    return {
        "AWS_ACCESS_KEY_ID": key,
        "AWS_SECRET_ACCESS_KEY": "not-a-secret",
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{store.server_port}",
        "AWS_CONFIG_FILE": "/nonexistent",
        "AWS_SHARED_CREDENTIALS_FILE": "/nonexistent",
        "NO_PROXY": "127.0.0.1",
    }


def test_a_version_is_trained_into_a_bucket_and_served_from_it(store, data_file, tmp_path, trained):
    store.failures = 1
    ended = train(tmp_path, data_file, "s3://models/packages/v1", **access(store))
    assert ended.code == 0
    assert store.requests == ["PUT /models/packages/v1/model.npz"] * 2, "what fails for a moment is tried again"
    assert ended.report["artifact"]["uri"] == "s3://models/packages/v1/model.npz"
    assert ended.report["artifact"]["digest"] == trained.report["artifact"]["digest"]
    with serving(tmp_path, ended.report, **access(store)) as running:
        assert running.client.get("/recommendations/app3-5").json()["version"] == "v1"


def test_a_missing_object_is_refused(store, tmp_path):
    told = {
        "RECOMMENDER_VERSION": "v1",
        "RECOMMENDER_MODEL_URI": "s3://models/none",
        "RECOMMENDER_MODEL_DIGEST": "sha256:0",
    }
    ended = run(tmp_path, "serve", **told, **access(store))
    assert ended.code == 2 and "there is no artifact at s3://models/none" in ended.report["error"]


def test_wrong_credentials_end_with_2_and_are_not_in_the_log(store, data_file, tmp_path):
    ended = train(tmp_path, data_file, "s3://models/packages/v1", **access(store, key="another"))
    assert ended.code == 2
    assert ended.report["error"] == (
        "403 AccessDenied from the store: check AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and what they permit; "
        "cannot write s3://models/packages/v1/model.npz: not signed"
    )
    assert "not-a-secret" not in str(ended.logs) + str(ended.report)
    assert not store.objects


def test_a_missing_bucket_is_told(store, data_file, tmp_path):
    ended = train(tmp_path, data_file, "s3://model/packages/v1", **access(store))
    assert ended.code == 2
    assert ended.report["error"].startswith("404 NoSuchBucket from the store: create the bucket, or correct the URI")


def test_pruned_versions_are_deleted_from_the_bucket_and_others_stay(store, tmp_path):
    for key in ("v1/model.npz", "v1/parts/a", "v10/model.npz", "v2/model.npz"):
        store.objects[f"/models/packages/{key}"] = b"x"
    told = {
        "RECOMMENDER_PRUNE_VERSIONS": "v1 v3",
        "RECOMMENDER_PRUNE_URIS": "s3://models/packages/v1 s3://models/packages/v3",
    }
    store.failures = 1
    ended = run(tmp_path, "prune", **told, **access(store))
    assert ended.code == 0
    assert sorted(store.objects) == ["/models/packages/v10/model.npz", "/models/packages/v2/model.npz"]
    refused = run(tmp_path, "prune", **told, **access(store, key="another"))
    assert refused.code == 2 and refused.report["error"].startswith("403 AccessDenied from the store")
