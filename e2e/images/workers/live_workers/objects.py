"""Writes an object into an S3 server and reads it back, again and again, whether it succeeds or not."""

import argparse
import hashlib
import hmac
import http.client
import logging
import time

from live_workers.pace import ticks

REGION = "us-east-1"
USER, PASSWORD = "models", "models-password"
BUCKET, OBJECT = "/models", "/models/model.pkl"
TIMEOUT_SECONDS = 2.0
# The body is not signed.
UNSIGNED = "UNSIGNED-PAYLOAD"


def run(arguments: argparse.Namespace) -> None:
    last = 0
    for _ in ticks(arguments.count, arguments.per_second):
        status = request(arguments.server, "PUT", OBJECT, b"a model")
        if status == http.HTTPStatus.NOT_FOUND:
            request(arguments.server, "PUT", BUCKET)
        request(arguments.server, "GET", OBJECT)
        if status != last:
            logging.info("status %d", status)
        last = status


def request(server: str, method: str, path: str, body: bytes = b"") -> int:
    """The status of a request; 0 without an answer."""
    connection = http.client.HTTPConnection(server, timeout=TIMEOUT_SECONDS)
    try:
        connection.request(method, path, body, signed(server, method, path))
        return connection.getresponse().status
    except OSError:
        return 0
    finally:
        connection.close()


def signed(server: str, method: str, path: str) -> dict[str, str]:
    """The headers of a request: version 4 of the signatures of AWS."""
    now = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    headers = {"host": server, "x-amz-content-sha256": UNSIGNED, "x-amz-date": now}
    names = ";".join(headers)
    lines = [f"{name}:{value}" for name, value in headers.items()]
    canonical = "\n".join([method, path, "", *lines, "", names, UNSIGNED])
    scope = f"{now[:8]}/{REGION}/s3/aws4_request"
    text = "\n".join(["AWS4-HMAC-SHA256", now, scope, hashlib.sha256(canonical.encode()).hexdigest()])
    key = f"AWS4{PASSWORD}".encode()
    for part in scope.split("/"):
        key = hmac.digest(key, part.encode(), "sha256")
    signature = hmac.digest(key, text.encode(), "sha256").hex()
    credential = f"Credential={USER}/{scope}, SignedHeaders={names}, Signature={signature}"
    return headers | {"authorization": f"AWS4-HMAC-SHA256 {credential}"}
