"""Data -> model and metrics, with `implicit`'s alternating least squares. Same data, settings and seed: same bytes."""

import logging
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass

import numpy as np
from implicit.cpu.als import AlternatingLeastSquares
from scipy import sparse

from . import dataset
from .dataset import Dataset
from .errors import InputError
from .index import Index
from .model import Model, inconsistency
from .settings import Settings

TOP = 10
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Result:
    """A model trained on all data, and what the same settings reached when half of some dependencies were hidden."""

    model: Model
    metrics: dict[str, str]


def train(index: Index, version: str, settings: Settings) -> Result:
    """Evaluates on held-out dependencies first, then trains on everything; the second model is the one to serve."""
    data = dataset.build(index)
    log.info(
        "data read",
        extra={
            "fields": {
                "packages": len(data.packages),
                "libraries": len(data.libraries),
                "dependencies": data.matrix.nnz,
                "data_through": index.data_through,
            }
        },
    )
    metrics = evaluate(data, settings)
    log.info("evaluated on held-out dependencies", extra={"fields": metrics})
    model = to_model(data, index.data_through, version, fit(data.matrix, settings), data.matrix, settings)
    if problem := inconsistency(model):
        raise InputError(f"training gave a model that cannot be served ({problem}): try other settings")
    return Result(model, metrics)


def confidence(matrix: sparse.csr_matrix, alpha: float) -> np.ndarray:
    """How much depending on each library says: `alpha` times its inverse document frequency, at least 1.

    Packages choose a rare library for a reason; a common one comes along.
    """
    packages = np.count_nonzero(np.diff(matrix.indptr))
    popularity = np.bincount(matrix.indices, minlength=matrix.shape[1])
    return np.maximum(alpha * np.log(packages / (1 + popularity)), 1).astype(np.float32)


def weigh(matrix: sparse.csr_matrix, alpha: float) -> sparse.csr_matrix:
    """The matrix with each dependency's confidence in place of its 1."""
    weighted = matrix.copy()
    weighted.data = confidence(matrix, alpha)[matrix.indices]
    return weighted


def fit(matrix: sparse.csr_matrix, settings: Settings) -> AlternatingLeastSquares:
    """One run of ALS, on one thread: it takes seconds, and is the same on every machine's number of cores."""
    als = AlternatingLeastSquares(
        factors=settings.factors,
        iterations=settings.iterations,
        regularization=settings.regularization,
        random_state=settings.seed,
        num_threads=1,
    )
    started = time.monotonic()
    als.fit(weigh(matrix, settings.alpha), show_progress=False)
    log.info("fitted", extra={"fields": {"seconds": round(time.monotonic() - started, 2), **asdict(settings)}})
    return als


def to_model(
    data: Dataset, data_through: str, version: str, als, matrix: sparse.csr_matrix, settings: Settings
) -> Model:
    """The servable form of a fitted ALS on `matrix`."""
    source_of = dict(zip(data.packages, data.sources, strict=True))
    return Model(
        version=version,
        data_through=data_through,
        regularization=settings.regularization,
        libraries=data.libraries,
        library_factors=np.asarray(als.item_factors, np.float32),
        confidence=confidence(matrix, settings.alpha),
        popularity=np.bincount(matrix.indices, minlength=matrix.shape[1]).astype(np.int32),
        library_sources=np.array([source_of[name] for name in data.libraries], np.int32),
        packages=data.packages,
        package_sources=data.sources.astype(np.int32),
        dependency_starts=matrix.indptr.astype(np.int32),
        dependencies=matrix.indices.astype(np.int32),
    )


def evaluate(data: Dataset, settings: Settings) -> dict[str, str]:
    """The metrics of the report, all as decimal strings; README.md says what each means."""
    split = dataset.split(data, settings.seed)
    als = fit(split.train, settings)
    model = to_model(data, "", "evaluation", als, split.train, settings)
    precision, recall = hits(split, lambda known: guess(model, known))
    popular = np.argsort(-model.popularity, kind="stable")
    base_precision, base_recall = hits(split, lambda known: popular[~np.isin(popular, known)][:TOP])
    users = np.flatnonzero(np.diff(split.train.indptr))
    weighted = weigh(split.train, settings.alpha)
    recommended, _ = als.recommend(users, weighted[users], N=TOP, filter_already_liked_items=True)
    return {
        "precision_at_10": decimal(precision),
        "recall_at_10": decimal(recall),
        "catalog_coverage": decimal(len(np.unique(recommended)) / len(data.libraries)),
        "precision_at_10_popularity": decimal(base_precision),
        "recall_at_10_popularity": decimal(base_recall),
        "evaluated_packages": str(len(split.rows)),
    }


def guess(model: Model, known: np.ndarray) -> np.ndarray:
    """The ten best libraries beside the known ones, by the code that will serve."""
    return np.array([model.library_rows[r.library] for r in model.recommend(known, TOP)])


def hits(split: dataset.Split, guesses: Callable[[np.ndarray], np.ndarray]) -> tuple[float, float]:
    """Mean precision (hits of ten places) and mean recall (hits of what was hidden) over the evaluated packages."""
    found, asked = [], []
    for row in split.rows:
        hidden = split.held_out[row].indices
        found.append(len(np.intersect1d(guesses(split.train[row].indices), hidden)))
        asked.append(len(hidden))
    found, asked = np.array(found), np.array(asked)
    return float(np.mean(found / TOP)), float(np.mean(found / asked))


def decimal(value: float) -> str:
    """Four digits: what a difference of a thousandth needs, and no more."""
    return f"{value:.4f}"
