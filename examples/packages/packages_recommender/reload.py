"""Another version without another pod: a file names the version to serve, and is replaced when that changes.

The file is `{"version": ..., "uri": ..., "digest": ...}` in a mounted ConfigMap. The kubelet replaces its directory by a
symbolic link, so its content is read again every second: watches of the file itself end with the first replacement.
"""

import json
import logging
import math
import threading
import time
from pathlib import Path

from .errors import InputError
from .served import Loaded, Served, load

POLL = 1  # seconds: the kubelet takes up to a minute to replace the file, and reading it takes microseconds
RETRY = 10  # seconds after an error that may pass, as of a store out of reach
KEYS = ("version", "uri", "digest")
log = logging.getLogger(__name__)


class VersionFile:
    """The version that a file names, loaded whenever that is another one than before."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.tried: bytes | str | None = None
        self.again = math.inf  # when to try the same content again

    def next(self, current: Loaded | None = None) -> Loaded | None:
        """The version in the file, if that is not the current one and can be loaded. An error is logged."""
        content = self.read()
        if content is None or content == self.tried and time.monotonic() < self.again:
            return None
        self.tried, self.again = content, math.inf
        try:
            version, uri, digest = parse(content)
            if current and (current.model.version, current.digest) == (version, digest):
                return None
            loaded = load(version, uri, digest, "FILE")
            if self.read() == content:
                return loaded
            # It was named before what the file has now, as of a version that was taken back meanwhile: that is loaded next.
            log.info("version dropped, because the file changed while it was loaded", extra={"fields": {"version": version}})
        except InputError as error:
            self.failed(str(error))
        except Exception as error:
            self.again = time.monotonic() + RETRY
            self.failed(f"{type(error).__name__}: {error}")
        return None

    def read(self) -> bytes | str | None:
        """The file's content, why it cannot be read, or nothing without a file."""
        try:
            return self.path.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            return str(error)

    def failed(self, cause: str) -> None:
        log.error("cannot load the version in %s: %s", self.path, cause)

    def follow(self, served: Served) -> None:
        """Replaces the version served by the one in the file from now on, in a thread of its own."""
        threading.Thread(target=self.poll, args=[served], name="reload", daemon=True).start()

    def poll(self, served: Served) -> None:
        while True:
            time.sleep(POLL)
            if loaded := self.next(served.loaded):
                before, served.loaded = served.loaded, loaded
                fields = {"version": loaded.model.version, "before": before.model.version}
                log.info("version replaced", extra={"fields": fields})


def parse(content: bytes | str) -> tuple[str, str, str]:
    """Version, URI and digest, or an `InputError`."""
    if isinstance(content, str):
        raise InputError(content)
    try:
        named = json.loads(content)
    except ValueError as error:
        raise InputError(f"it is no JSON: {error}") from error
    if not isinstance(named, dict) or not all(isinstance(named.get(key), str) and named[key] for key in KEYS):
        raise InputError(f"it must be a JSON object with the strings {', '.join(KEYS)}")
    return named["version"], named["uri"], named["digest"]
