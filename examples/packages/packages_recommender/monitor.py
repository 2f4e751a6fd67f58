"""A worker that exposes the drift of the data by the metrics that the operator knows as those of a DriftMonitor."""

import json
import logging
import time
from collections.abc import Callable
from pathlib import Path
from urllib.request import urlopen

from prometheus_client import CollectorRegistry, Gauge, start_http_server

from . import drift, index
from .errors import InputError
from .served import Served

TIMEOUT = 10  # seconds for an answer of a server, which takes milliseconds
# Version and histograms of its training data.
Trained = tuple[str, dict[str, drift.Histogram]]
log = logging.getLogger(__name__)


def of_server(url: str) -> Trained:
    """Those of the version that the server answers with."""
    with urlopen(f"{url.rstrip('/')}/profile", timeout=TIMEOUT) as answer:
        body = json.load(answer)
    return body["version"], body["profile"]


def of_artifact(served: Served) -> Trained:
    model = served.loaded.model
    return model.version, model.profile


class Monitor:
    """The scores of the last run that succeeded. Its age grows while runs fail: old scores are as good-looking as new ones."""

    def __init__(self, recommender: str) -> None:
        self.registry = CollectorRegistry()
        self.recommender = recommender
        self.score = self.gauge("drift_score", "Population stability index; 0.2 is a clear drift.", "feature")
        self.ratio = self.gauge("drifted_features_ratio", "Features with a clear drift, as a part of all.")
        self.run_at = self.gauge("drift_last_run_timestamp_seconds", "When the scores were computed.")

    def gauge(self, name: str, meaning: str, *labels: str) -> Gauge:
        return Gauge(f"recommender_{name}", meaning, ["recommender", *labels], registry=self.registry)

    def update(self, trained: Trained, data: Path) -> dict[str, float]:
        """Compares the data with those of the training, or raises what prevents it."""
        version, profile = trained
        scores = drift.scores(profile, index.read(data))
        for feature, score in scores.items():
            self.score.labels(self.recommender, feature).set(score)
        drifted = sum(score >= drift.DRIFTED for score in scores.values())
        self.ratio.labels(self.recommender).set(drifted / len(scores))
        self.run_at.labels(self.recommender).set_to_current_time()
        log.info("drift computed", extra={"fields": {"version": version, **scores}})
        return scores


def run(source: Callable[[], Trained], monitor: Monitor, data: Path, port: int, every: float) -> None:
    """Compares until the process is ended."""
    start_http_server(port, registry=monitor.registry)
    while True:
        try:
            monitor.update(source(), data)
        except InputError as error:
            log.error("cannot compute the drift: %s", error)
        except Exception:
            log.exception("cannot compute the drift")
        time.sleep(every)
