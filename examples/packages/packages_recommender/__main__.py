"""The command line and the contract with the operator: environment in, report and exit code out.

    python3 -m packages_recommender index --output FILE [PACKAGES_FILE...]
    python3 -m packages_recommender train --full [--data FILE]
    python3 -m packages_recommender serve [--port 8000]

Exit codes: 0 done; 2 what was given cannot work (trying again will not help); 1 everything else.
"""

import gc
import os

# What is imported stays: searching it for garbage takes a seventh of a server's start. `main` enables it again.
gc.disable()

# One thread per process, said before numpy is imported: the pod's CPU limit is not the machine's number of cores.
for _threads in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_threads, "1")

import argparse
import hashlib
import json
import logging
import math
import re
import signal
import sys
import time
from dataclasses import fields
from pathlib import Path

from . import index, logs
from .errors import InputError
from .settings import Settings

REPORT_LIMIT = 4096  # bytes: what Kubernetes keeps of a termination message
log = logging.getLogger("packages_recommender")


def main(arguments: list[str] | None = None) -> int:
    """Runs one command; every failure is a JSON log line and the termination message's `error`."""
    logs.configure(os.environ.get("LOG_LEVEL", "INFO").upper())
    signal.signal(signal.SIGTERM, stop)  # as process 1 of a container nothing would end us otherwise
    options = parser().parse_args(arguments)
    if options.command != "serve":  # a server does so when it is loaded
        gc.enable()
    try:
        options.run(options)
    except InputError as error:
        log.error(str(error))
        report_error(str(error))
        return 2
    except Exception as error:
        log.exception("%s failed", options.command)
        report_error(f"{options.command} failed: {type(error).__name__}: {error}")
        return 1
    return 0


def parser() -> argparse.ArgumentParser:
    commands = argparse.ArgumentParser(
        prog="packages_recommender", description="Recommends libraries to Debian packages."
    )
    command = commands.add_subparsers(dest="command", required=True)

    build = command.add_parser("index", help="build the data file from apt's package index")
    build.add_argument(
        "--output", type=Path, required=True, help="the data file to write, for example packages.jsonl.gz"
    )
    build.add_argument("files", type=Path, nargs="*", help="Packages files; default: all that apt has on this machine")
    build.set_defaults(run=run_index)

    train = command.add_parser("train", help="train a model version and report it")
    train.add_argument("--full", action="store_true", required=True, help="train on all data")
    train.add_argument(
        "--data",
        type=Path,
        default=Path(os.environ.get("PACKAGES_DATA", "/data/packages.jsonl.gz")),
        help="the data file (env PACKAGES_DATA; default %(default)s)",
    )
    for knob in fields(Settings):
        train.add_argument(f"--{knob.name}", type=knob.type, default=knob.default, help=knob.metadata["help"])
    train.set_defaults(run=run_train)

    serve = command.add_parser("serve", help="serve one model version over HTTP")
    serve.add_argument("--host", default="0.0.0.0", help="address to listen on (default %(default)s)")
    serve.add_argument("--port", type=int, default=os.environ.get("PORT", "8000"), help="env PORT; default 8000")
    serve.add_argument(
        "--max-wait-seconds",
        type=wait_seconds,
        default=os.environ.get("MAX_WAIT_SECONDS", "1"),
        help="refuse requests that would wait longer than this for their turn, with 503 and Retry-After; 0 or none: refuse "
        "none and compute in the event loop, so that an overloaded server answers no probes and scrapes either (env "
        "MAX_WAIT_SECONDS; default 1)",
    )
    serve.set_defaults(run=run_serve)
    return commands


def wait_seconds(text: str) -> float:
    """A time in seconds; 0 for none."""
    seconds = 0.0 if text == "none" else float(text)
    if not 0 <= seconds < math.inf:
        raise ValueError(text)
    return seconds


def run_index(options: argparse.Namespace) -> None:
    built = index.build(options.files or index.discover(), options.output)
    log.info(
        "data file written",
        extra={
            "fields": {
                "file": str(options.output),
                "bytes": options.output.stat().st_size,
                "packages": len(built.packages),
                "data_through": built.data_through,
            }
        },
    )


def run_train(options: argparse.Namespace) -> None:
    """The trainer's contract: RECOMMENDER_VERSION, _KIND and _OUTPUT_URI in, the report out."""
    version = required("RECOMMENDER_VERSION", "the name of the version to train, for example full-20261121-030000")
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}", version):
        raise InputError(f"RECOMMENDER_VERSION is {version!r}: use up to 128 letters, digits, '.', '_' and '-'")
    output = required("RECOMMENDER_OUTPUT_URI", "file:///absolute/path or s3://bucket/prefix to write below")
    kind = os.environ.get("RECOMMENDER_KIND", "Full")
    if kind != "Full":
        raise InputError(f"RECOMMENDER_KIND is {kind!r}, but `train --full` was called: only Full is supported")

    from . import storage, training

    settings = Settings(**{knob.name: getattr(options, knob.name) for knob in fields(Settings)})
    uri = f"{output.rstrip('/')}/model.npz"
    storage.split(uri)  # a bad URI is found before the work is done
    started = time.monotonic()
    data = index.read(options.data)
    result = training.train(data, version, settings)
    artifact = result.model.to_bytes()
    storage.write(uri, artifact)
    digest = f"sha256:{hashlib.sha256(artifact).hexdigest()}"
    report(
        {
            "metrics": result.metrics,
            "artifact": {"uri": uri, "digest": digest, "bytes": len(artifact)},
            "dataThrough": data.data_through,
        }
    )
    log.info(
        "version trained",
        extra={
            "fields": {
                "version": version,
                "uri": uri,
                "digest": digest,
                "bytes": len(artifact),
                "seconds": round(time.monotonic() - started, 1),
            }
        },
    )


def run_serve(options: argparse.Namespace) -> None:
    """The server's contract: loads exactly what RECOMMENDER_MODEL_URI and _DIGEST name, else does not even listen."""
    version = required("RECOMMENDER_VERSION", "the version to serve")
    uri = required("RECOMMENDER_MODEL_URI", "the artifact's URI from the training report")
    digest = required("RECOMMENDER_MODEL_DIGEST", "the artifact's digest from the training report")

    from . import server

    model = server.load(version, uri, digest)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))  # uvicorn raises it again when the last request is answered
    server.run(model, digest, options.host, options.port, options.max_wait_seconds)


def required(variable: str, meaning: str) -> str:
    value = os.environ.get(variable, "")
    if not value:
        raise InputError(f"the environment variable {variable} is not set: it must be {meaning}")
    return value


def report(content: dict) -> None:
    """Writes the termination message. Where there is none (not in a container) the report goes to stdout instead."""
    line = json.dumps(content, ensure_ascii=False)
    if len(line.encode()) > REPORT_LIMIT:
        raise InputError(f"the report has {len(line.encode())} bytes; Kubernetes keeps {REPORT_LIMIT}: shorten the URI")
    target = Path(os.environ.get("RECOMMENDER_TERMINATION_LOG", "/dev/termination-log"))
    if target.exists() or "RECOMMENDER_TERMINATION_LOG" in os.environ:
        target.write_text(line, encoding="utf-8")
    else:
        print(line, flush=True)


def report_error(message: str) -> None:
    """Tells whoever reads the termination message why; the log has said it already, so failing here is no failure."""
    try:
        report({"error": message[:1000]})  # at most 4 bytes a character: well below the limit
    except (OSError, InputError):
        log.exception("cannot write the termination message")


def stop(signum: int, _frame) -> None:
    """Ends the process through `finally` blocks, so that no temporary file stays."""
    sys.exit(128 + signum)


if __name__ == "__main__":
    sys.exit(main())
