"""How far a training is, as metrics for Prometheus on a port that the operator names: no credentials, no file."""

import os
import time

from prometheus_client import CollectorRegistry, Gauge, start_http_server

from .errors import InputError


class Progress:
    """Counts the steps of a training. Without RECOMMENDER_METRICS_PORT it only counts."""

    def __init__(self) -> None:
        self.started = time.monotonic()
        self.registry = CollectorRegistry()
        self.ratio = self.gauge("recommender_training_progress_ratio", "Which part of the training is done, 0 to 1.")
        self.step = self.gauge("recommender_training_step", "Rounds of ALS that are done.")
        self.remaining = self.gauge("recommender_training_remaining_seconds", "Estimated time until the training ends.")
        self.total, self.done = 1, 0

    def gauge(self, name: str, meaning: str) -> Gauge:
        return Gauge(name, meaning, registry=self.registry)

    def serve(self) -> None:
        """Answers scrapes in a thread of its own, until the process ends."""
        port = os.environ.get("RECOMMENDER_METRICS_PORT", "")
        if not port:
            return
        if not port.isdigit() or not 0 < int(port) < 65536:
            raise InputError(f"RECOMMENDER_METRICS_PORT is {port!r}: it must be a port, for example 9091")
        start_http_server(int(port), registry=self.registry)

    def expect(self, steps: int) -> None:
        """Sets how many steps there are in all."""
        self.total = max(steps, 1)

    def advance(self, *_: object) -> None:
        """One more step is done. ALS calls it after each round, with arguments that are not needed."""
        self.done = min(self.done + 1, self.total)
        ratio = self.done / self.total
        self.ratio.set(ratio)
        self.step.set(self.done)
        self.remaining.set((time.monotonic() - self.started) * (1 - ratio) / ratio)
