"""The model version that a server answers with, which may be replaced by another one while it answers."""

import logging
import time
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from . import stored
from .errors import InputError
from .model import Model

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Loaded:
    """A verified version that can answer at once."""

    model: Model
    digest: str
    seconds: float  # that loading took


class Served(Collector):
    """The version for requests that arrive now.

    A request takes `loaded` once, when it arrives, and is answered with that in body and headers. So a replacement is one
    assignment, which needs no lock. Its metrics are read from the same value: there is never a series of an older version.
    """

    def __init__(self, loaded: Loaded) -> None:
        self.loaded = loaded

    def collect(self) -> Iterator[GaugeMetricFamily]:
        loaded = self.loaded
        info = GaugeMetricFamily(
            "recommender_model_info", "The model version served; always 1.", labels=["version", "digest"]
        )
        info.add_metric([loaded.model.version, loaded.digest], 1)
        loading = GaugeMetricFamily(
            "recommender_model_load_seconds", "How long loading the model took.", labels=["version"]
        )
        loading.add_metric([loaded.model.version], loaded.seconds)
        yield from (info, loading)


def load(version: str, uri: str, digest: str, role: str) -> Loaded:
    """Loads the artifact at `uri`, or raises an `InputError` unless it is exactly the one that was promised."""
    started = time.monotonic()
    model, data = stored.load(version, uri, digest, role)
    # Also builds what the first request would wait for.
    if not model.recommend(np.arange(min(3, len(model.libraries))), 1):
        raise InputError(f"version {version!r} at {uri} recommends nothing: it has {len(model.libraries)} libraries")
    loaded = Loaded(model, digest, time.monotonic() - started)
    fields = {
        "version": version,
        "uri": uri,
        "digest": digest,
        "bytes": len(data),
        "libraries": len(model.libraries),
        "packages": len(model.packages),
        "seconds": round(loaded.seconds, 3),
    }
    log.info("model loaded", extra={"fields": fields})
    return loaded
