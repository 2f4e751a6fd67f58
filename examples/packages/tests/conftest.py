"""A small made-up distribution, a trained model, and a running server, each made once for all tests."""

import json
import os
import random
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

os.environ["OPENBLAS_NUM_THREADS"] = "1"  # as the program itself says, before anything imports numpy

from packages_recommender import index

ROOT = Path(__file__).parent.parent
PROGRAM = ("-m", "packages_recommender")
FAMILIES, PACKAGES, LIBRARIES, DEPENDENCIES = 20, 20, 16, 12
SMALL = ["--factors", "24", "--iterations", "5", "--regularization", "0.5"]
PATIENCE = 180  # seconds that anything may take: some of them, on a slow and busy machine many more
PORTS = iter(range(18_000 + os.getpid() % 100 * 10, 20_000))


def distribution() -> str:
    """20 families of 20 packages; each package depends on 12 of its family's 16 libraries, and on libc6 as all do.

    Of each family's first package there is a sibling `-tools` with the same dependencies, built from the same source.
    """
    choose = random.Random(1)
    stanzas = ["Package: libc6\n"]
    for family in range(FAMILIES):
        libraries = [f"lib{family}-{number}" for number in range(LIBRARIES)]
        stanzas += [f"Package: {library}\nSource: {library.replace('-', '+')}\n" for library in libraries]
        for number in range(PACKAGES):
            depends = ", ".join(["libc6 (>= 2.36)", *choose.sample(libraries, DEPENDENCIES)])
            stanzas.append(f"Package: app{family}-{number}\nSource: src{family}-{number}\nDepends: {depends}\n")
            if number == 0:
                stanzas.append(
                    f"Package: app{family}-tools\nSource: src{family}-0\nDepends: app{family}-0, {depends}\n"
                )
    stanzas.append("Package: meta\nDepends: libc6\n")
    return "\n".join(stanzas)


@pytest.fixture(scope="session")
def data_file(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    packages = folder / "Packages"
    packages.write_text(distribution())
    index.build([packages], folder / "packages.jsonl.gz")
    return folder / "packages.jsonl.gz"


@pytest.fixture(scope="session")
def small_index(data_file) -> index.Index:
    return index.read(data_file)


def environment(folder: Path, **variables: str) -> dict[str, str]:
    """The environment of a command: this one without what would lead it astray, and a termination log in `folder`."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("RECOMMENDER_", "AWS_", "PORT", "PACKAGES_", "MAX_WAIT_"))}
    return {
        **kept,
        "PYTHONPATH": str(ROOT),
        "PYTHONDONTWRITEBYTECODE": "1",
        "RECOMMENDER_TERMINATION_LOG": str(folder / "termination-log"),
        **variables,
    }


@dataclass
class Run:
    """An ended command: its exit code, its log lines (each was valid JSON) and its termination message."""

    code: int
    logs: list[dict]
    report: dict
    raw_report: bytes


def run(folder: Path, *arguments: str, **variables: str) -> Run:
    command = [sys.executable, *PROGRAM, *arguments]
    done = subprocess.run(command, env=environment(folder, **variables), capture_output=True, text=True, timeout=PATIENCE)
    log = folder / "termination-log"
    raw = log.read_bytes() if log.exists() else b""
    return Run(done.returncode, list(map(json.loads, done.stderr.splitlines())), json.loads(raw or "{}"), raw)


def train(folder: Path, data_file: Path, output: str, version: str = "v1", arguments: tuple = (), **variables: str) -> Run:
    return run(
        folder,
        "train",
        "--full",
        "--data",
        str(data_file),
        *SMALL,
        *arguments,
        RECOMMENDER_VERSION=version,
        RECOMMENDER_KIND="Full",
        RECOMMENDER_OUTPUT_URI=output,
        **variables,
    )


@pytest.fixture(scope="session")
def trained(tmp_path_factory, data_file) -> Run:
    """Version v1, trained by the command as the operator's Job would."""
    folder = tmp_path_factory.mktemp("trained")
    return train(folder, data_file, f"file://{folder}/artifacts/v1")


@dataclass
class Server:
    client: httpx.Client
    process: subprocess.Popen
    log_file: Path

    def logs(self) -> list[dict]:
        return list(map(json.loads, self.log_file.read_text().splitlines()))

    def log_of(self, request_id: str) -> dict:
        """The log line of a request; it is written just after the answer is sent, so it may have to be waited for."""
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            if found := [line for line in self.logs() if line.get("request_id") == request_id]:
                return found[-1]
            time.sleep(0.02)
        raise AssertionError(f"no log line for request {request_id}:\n{self.log_file.read_text()}")


def free_port() -> int:
    """Another one at every call, and below those that the kernel gives to connections: it is used only later."""
    for port in PORTS:
        with socket.socket() as free:
            free.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                free.bind(("127.0.0.1", port))
                return port
            except OSError:
                continue
    raise AssertionError("there is no free port")


@contextmanager
def serving(folder: Path, report: dict, version: str = "v1", program: tuple = PROGRAM, **variables: str):
    """A server process for the version of a training report, once it answers."""
    port = free_port()
    told = {
        "RECOMMENDER_VERSION": version,
        "RECOMMENDER_MODEL_URI": report["artifact"]["uri"],
        "RECOMMENDER_MODEL_DIGEST": report["artifact"]["digest"],
    }
    log_file = folder / "server.log"
    with log_file.open("w") as log:
        process = subprocess.Popen(
            [sys.executable, *program, "serve", "--host", "127.0.0.1"],
            env=environment(folder, PORT=str(port), **told, **variables),
            stderr=log,
        )
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False) as client:
            wait_until_ready(client, process, log_file)
            yield Server(client, process, log_file)
    finally:
        process.kill()
        process.wait()


def wait_until_ready(client: httpx.Client, process: subprocess.Popen, log_file: Path) -> None:
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline and process.poll() is None:
        try:
            if client.get("/health").status_code == 200:
                return
        except httpx.TransportError:
            time.sleep(0.05)
    raise AssertionError(f"the server did not get ready (exit code {process.poll()}):\n{log_file.read_text()}")


@pytest.fixture(scope="session")
def server(tmp_path_factory, trained):
    with serving(tmp_path_factory.mktemp("server"), trained.report) as running:
        yield running
