"""The command line and the contract with the operator: environment in, report and exit code out.

    python3 -m packages_recommender index --output FILE [PACKAGES_FILE...]
    python3 -m packages_recommender train --full [--data FILE]
    python3 -m packages_recommender train --partial [--data FILE]
    python3 -m packages_recommender prune
    python3 -m packages_recommender serve [--port 8000]
    python3 -m packages_recommender drift [--data FILE] [--once]

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
import contextlib
import hashlib
import json
import logging
import math
import re
import signal
import sys
import time
from collections.abc import Iterator
from dataclasses import fields
from functools import partial
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
        report_error(str(error), error)
        return 2
    except Exception as error:
        log.exception("%s failed", options.command)
        report_error(f"{options.command} failed: {type(error).__name__}: {error}", error)
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
    kind = train.add_mutually_exclusive_group(required=True)
    kind.add_argument("--full", action="store_const", dest="kind", const="Full", help="train on all data")
    kind.add_argument(
        "--partial",
        action="store_const",
        dest="kind",
        const="Partial",
        help="add new packages and libraries to the version in RECOMMENDER_BASE_VERSION, _URI and _DIGEST",
    )
    add_data(train)
    for knob in fields(Settings):
        option = f"--{knob.name.replace('_', '-')}"
        train.add_argument(option, type=knob.type, default=knob.default, **knob.metadata)
    train.set_defaults(run=run_train)

    prune = command.add_parser("prune", help="delete the versions in RECOMMENDER_PRUNE_VERSIONS and _URIS")
    prune.set_defaults(run=run_prune)

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

    drift = command.add_parser("drift", help="compare the data with those that the version to serve was trained on")
    add_data(drift)
    drift.add_argument(
        "--server",
        default=os.environ.get("RECOMMENDER_SERVER", ""),
        help="URL of a server, whose version is compared with, for example http://packages; without it that of the variables "
        "of `serve` (env RECOMMENDER_SERVER)",
    )
    drift.add_argument(
        "--recommender",
        default=os.environ.get("RECOMMENDER_NAME", ""),
        help="name of the RecommenderModel, for the label of the metrics; not needed in a worker of it (env RECOMMENDER_NAME)",
    )
    drift.add_argument("--port", type=int, default=9100, help="port of /metrics (default %(default)s)")
    drift.add_argument(
        "--every-seconds", type=positive_seconds, default=300, help="time between comparisons (default %(default)s)"
    )
    drift.add_argument("--once", action="store_true", help="print the scores as JSON and end, without metrics")
    drift.set_defaults(run=run_drift)
    return commands


def add_data(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--data",
        type=Path,
        default=Path(os.environ.get("PACKAGES_DATA", "/data/packages.jsonl.gz")),
        help="the data file (env PACKAGES_DATA; default %(default)s)",
    )


def positive_seconds(text: str) -> float:
    """A time in seconds above 0."""
    seconds = float(text)
    if not 0 < seconds < math.inf:
        raise ValueError(text)
    return seconds


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
    kind = os.environ.get("RECOMMENDER_KIND", options.kind)
    if kind != options.kind:
        raise InputError(f"RECOMMENDER_KIND is {kind!r}, but `train --{options.kind.lower()}` was called")

    from . import storage, training
    from .progress import Progress

    settings = Settings(**{knob.name: getattr(options, knob.name) for knob in fields(Settings)})
    uri = f"{output.rstrip('/')}/model.npz"
    storage.split(uri)  # a bad URI is found before the work is done
    started = time.monotonic()
    progress = Progress()
    progress.serve()
    with stage("load"):
        base = base_model() if options.kind == "Partial" else None
        data = index.read(options.data)
    with stage("fit"):
        if base is None:
            result = training.train(data, version, settings, progress)
        else:
            result = training.train_partially(data, version, settings, base, progress)
        artifact = result.model.to_bytes()
    with stage("save"):
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


def run_prune(_options: argparse.Namespace) -> None:
    """The contract of training.prune: deletes all below each URI; 0 only if nothing is left there, also if nothing was."""
    versions = required("RECOMMENDER_PRUNE_VERSIONS", "the versions to delete, separated by blanks").split()
    uris = required("RECOMMENDER_PRUNE_URIS", "the URI of each of them, separated by blanks").split()
    if len(versions) != len(uris):
        raise InputError(f"{len(versions)} versions in RECOMMENDER_PRUNE_VERSIONS, and {len(uris)} in _URIS: give one URI each")
    for version, uri in zip(versions, uris, strict=True):
        # Before anything is deleted: a URI that is cut short would be that of all versions.
        if not version or uri.rstrip("/").rsplit("/", 1)[-1] != version:
            raise InputError(f"the URI {uri!r} does not end with the version {version!r}: nothing is deleted")

    from . import storage

    for version, uri in zip(versions, uris, strict=True):
        deleted = storage.delete_below(uri)
        log.info("version deleted", extra={"fields": {"version": version, "uri": uri, "objects": deleted}})


def base_model():
    """The version that a partial training adds to.

    An index has everything up to its own time, so the interval from RECOMMENDER_DATA_FROM to RECOMMENDER_DATA_TO is
    only logged; a trainer that reads events takes those of that interval.
    """
    from . import stored

    version = required("RECOMMENDER_BASE_VERSION", "the version to add to")
    uri = required("RECOMMENDER_BASE_URI", "the URI of its artifact")
    digest = required("RECOMMENDER_BASE_DIGEST", "the digest of its artifact")
    base, _ = stored.load(version, uri, digest, "BASE")
    interval = {name: os.environ.get(f"RECOMMENDER_DATA_{name.upper()}", "") for name in ("from", "to")}
    log.info("base loaded", extra={"fields": {"base": version, "base_data_through": base.data_through, **interval}})
    return base


def run_serve(options: argparse.Namespace) -> None:
    """The server's contract: loads exactly the version it was given, else does not even listen."""
    from . import server

    current = version_to_serve()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))  # uvicorn raises it again when the last request is answered
    server.run(current, options.host, options.port, options.max_wait_seconds)


def run_drift(options: argparse.Namespace) -> None:
    """Compares the data file with the training data of the version that serves."""
    from . import monitor

    if options.server:
        source = partial(monitor.of_server, options.server)
    else:
        source = partial(monitor.of_artifact, version_to_serve())
    scores = monitor.Monitor(options.recommender)
    if options.once:
        print(json.dumps(scores.update(source(), options.data)), flush=True)
    else:
        monitor.run(source, scores, options.data, options.port, options.every_seconds)


def version_to_serve():
    """The version in the file RECOMMENDER_VERSION_FILE, which may be replaced later, else the one in RECOMMENDER_VERSION,
    RECOMMENDER_MODEL_URI and _DIGEST."""
    from . import served
    from .reload import VersionFile

    path = os.environ.get("RECOMMENDER_VERSION_FILE", "")
    file = VersionFile(Path(path)) if path else None
    loaded = file.next() if file else None
    if loaded is None:
        loaded = served.load(*version_of_environment(), "MODEL")
    current = served.Served(loaded)
    if file:
        file.follow(current)
    return current


def version_of_environment() -> tuple[str, str, str]:
    """Version, URI and digest to serve."""
    return (
        required("RECOMMENDER_VERSION", "the version to serve"),
        required("RECOMMENDER_MODEL_URI", "the artifact's URI from the training report"),
        required("RECOMMENDER_MODEL_DIGEST", "the artifact's digest from the training report"),
    )


@contextlib.contextmanager
def stage(name: str) -> Iterator[None]:
    """Names the stage in which an error ends the training, for its report."""
    try:
        yield
    except Exception as error:
        error.stage = name
        raise


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


def report_error(message: str, error: Exception) -> None:
    """Tells whoever reads the termination message why; the log has said it already, so failing here is no failure."""
    try:
        in_stage = {"stage": error.stage} if hasattr(error, "stage") else {}
        report({"error": message[:1000], **in_stage})  # at most 4 bytes a character: well below the limit
    except (OSError, InputError):
        log.exception("cannot write the termination message")


def stop(signum: int, _frame) -> None:
    """Ends the process through `finally` blocks, so that no temporary file stays."""
    sys.exit(128 + signum)


if __name__ == "__main__":
    sys.exit(main())
