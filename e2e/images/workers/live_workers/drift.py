"""A monitor of drift: the population stability index of features of current data, by the contract DriftMonitor.

The data of the training are samples of a normal distribution, and so are the current ones; those of the feature `age` are
shifted by what a file says, which can be changed meanwhile.
"""

import argparse
import math
import random
import time
from bisect import bisect_right
from collections.abc import Sequence
from pathlib import Path

from prometheus_client import Gauge, start_http_server

SAMPLES = 2_000
BINS = 10
CLEAR = 0.2  # a PSI from which on a feature counts as drifted
FEATURES = ("age", "genre")
SHIFTED = "age"


def run(arguments: argparse.Namespace) -> None:
    score = Gauge("recommender_drift_score", "PSI of a feature.", ["recommender", "feature"])
    ratio = Gauge("recommender_drifted_features_ratio", "Part of the features that drifted.", ["recommender"])
    last_run = Gauge("recommender_drift_last_run_timestamp_seconds", "Time of the last comparison.", ["recommender"])
    name = arguments.recommender
    source = random.Random(7)
    trained = {feature: samples(source, 0.0) for feature in FEATURES}
    start_http_server(arguments.port)
    while True:
        shift = float(arguments.shift.read_text()) if arguments.shift.exists() else 0.0
        scores = [psi(trained[feature], samples(source, shift if feature == SHIFTED else 0.0)) for feature in FEATURES]
        for feature, value in zip(FEATURES, scores, strict=True):
            score.labels(name, feature).set(value)
        ratio.labels(name).set(sum(value > CLEAR for value in scores) / len(scores))
        last_run.labels(name).set_to_current_time()
        time.sleep(arguments.every_seconds)


def samples(source: random.Random, shift: float) -> list[float]:
    return [source.gauss(shift, 1.0) for _ in range(SAMPLES)]


def psi(trained: Sequence[float], current: Sequence[float]) -> float:
    """The population stability index, over bins that have the same number of trained samples."""
    ordered = sorted(trained)
    edges = [ordered[len(ordered) * number // BINS] for number in range(1, BINS)]
    pairs = zip(parts(trained, edges), parts(current, edges), strict=True)
    return sum((now - then) * math.log(now / then) for then, now in pairs)


def parts(values: Sequence[float], edges: Sequence[float]) -> list[float]:
    """The part of the values in each bin; half a value where there is none, because the index has a logarithm."""
    counts = [0] * BINS
    for value in values:
        counts[bisect_right(edges, value)] += 1
    return [max(count, 0.5) / len(values) for count in counts]


def options(command: argparse.ArgumentParser) -> None:
    command.add_argument("--recommender", required=True, help="the object of whose data this is")
    command.add_argument("--port", type=int, default=9103)
    command.add_argument("--every-seconds", type=float, default=2.0)
    command.add_argument("--shift", type=Path, default=Path("/tmp/shift"), help="a file with standard deviations")
