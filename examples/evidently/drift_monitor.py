"""A monitor of drift with Evidently, for a dependency with the exporter DriftMonitor: see README.md.

It compares a table of current data with that of the training and exposes the score of each feature. While a comparison fails, the
scores stay what they were and their age grows, which `RecommenderDriftUnknown` notices.
"""

import argparse
import logging
import os
import time
from collections.abc import Iterator
from pathlib import Path

os.environ.setdefault("DO_NOT_TRACK", "1")  # read when Evidently is imported: it would report its use to its makers

import pandas as pd  # noqa: E402
from evidently import Report  # noqa: E402
from evidently.presets import DataDriftPreset  # noqa: E402
from prometheus_client import Gauge, start_http_server  # noqa: E402

SCORE = Gauge("recommender_drift_score", "Drift of a feature.", ["recommender", "feature"])
RATIO = Gauge("recommender_drifted_features_ratio", "Part of the features that drifted.", ["recommender"])
LAST_RUN = Gauge("recommender_drift_last_run_timestamp_seconds", "Time of the last comparison.", ["recommender"])


def run(arguments: argparse.Namespace) -> None:
    start_http_server(arguments.port)
    report = Report([DataDriftPreset(method=arguments.method, threshold=arguments.threshold)])
    while True:
        try:
            result = report.run(pd.read_csv(arguments.current), pd.read_csv(arguments.reference)).dict()
        except Exception:
            logging.exception("cannot compare %s with %s", arguments.current, arguments.reference)
        else:
            expose(arguments.recommender, result)
        time.sleep(arguments.every_seconds)


def expose(recommender: str, result: dict) -> None:
    for feature, score in scores(result):
        SCORE.labels(recommender, feature).set(score)
    RATIO.labels(recommender).set(drifted(result))
    LAST_RUN.labels(recommender).set_to_current_time()


def scores(result: dict) -> Iterator[tuple[str, float]]:
    for metric in result["metrics"]:
        if metric["config"]["type"].endswith(":ValueDrift"):
            yield metric["config"]["column"], float(metric["value"])


def drifted(result: dict) -> float:
    (share,) = (of["value"]["share"] for of in result["metrics"] if of["config"]["type"].endswith(":DriftedColumnsCount"))
    return float(share)


def main() -> None:
    parser = argparse.ArgumentParser(description="Exposes the drift of data that Evidently finds.")
    parser.add_argument("--recommender", required=True, help="name of the RecommenderModel")
    parser.add_argument("--reference", type=Path, required=True, help="CSV with a sample of the data of the training")
    parser.add_argument("--current", type=Path, required=True, help="CSV with a sample of the data of today, same columns")
    parser.add_argument("--method", default="psi", help="a method of Evidently whose score grows with the drift")
    parser.add_argument("--threshold", type=float, default=0.2, help="score from which on a feature counts as drifted")
    parser.add_argument("--port", type=int, default=9103)
    parser.add_argument("--every-seconds", type=float, default=600.0)
    logging.basicConfig(level=logging.INFO)
    run(parser.parse_args())


if __name__ == "__main__":
    main()
