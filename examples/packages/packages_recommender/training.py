"""Data -> model and metrics, by `implicit`'s alternating least squares or `neighbours`. Same input, same bytes."""

import logging
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace

import numpy as np
from implicit.cpu.als import AlternatingLeastSquares
from scipy import sparse

from . import dataset, drift, neighbours
from .dataset import Dataset
from .errors import InputError
from .index import Index
from .model import Model, inconsistency
from .neighbours import Neighbours
from .progress import Progress
from .settings import Settings

TOP = 10
Learnt = AlternatingLeastSquares | Neighbours
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Result:
    """A model trained on all data, and what the same settings reached when half of some dependencies were hidden."""

    model: Model
    metrics: dict[str, str]


def train(index: Index, version: str, settings: Settings, progress: Progress | None = None) -> Result:
    """Evaluates on held-out dependencies first, then trains on everything; the second model is the one to serve."""
    progress = progress or Progress()
    progress.expect(2 * (settings.iterations if settings.algorithm == "als" else 1))
    data = read(index)
    metrics = evaluate(data, settings, lambda matrix: fit(matrix, settings, progress))
    return finish(index, data, version, fit(data.matrix, settings, progress), settings, metrics)


def train_partially(
    index: Index, version: str, settings: Settings, base: Model, progress: Progress | None = None
) -> Result:
    """Adds what the base does not have: packages and libraries that are new, against its libraries' fixed factors.

    The base has learnt from the dependencies that an evaluation hides. So what is evaluated is the same procedure on
    what was not hidden: a full training on the packages and libraries of the base, and the others folded in.
    """
    for trained, algorithm in (("this training", settings.algorithm), (f"the base {base.version!r}", base.algorithm)):
        if algorithm != "als":
            raise InputError(f"{trained} has the algorithm {algorithm}, which cannot be trained partially: train in full")
    settings = replace(settings, factors=base.library_factors.shape[1], regularization=base.regularization)
    progress = progress or Progress()
    progress.expect(settings.iterations + 1)  # the last step folds in
    data = read(index)
    known = np.array([name in base.library_rows for name in data.libraries])
    old = np.array([name in base.package_rows for name in data.packages])
    if not known.any():
        raise InputError(f"the base {base.version!r} has none of the libraries of this index: train in full")

    def learn(matrix: sparse.csr_matrix) -> AlternatingLeastSquares:
        of_base = (sparse.diags(old.astype(np.float32)) @ matrix).tocsr()[:, known]
        of_base.eliminate_zeros()
        return fold_in(fit(of_base, settings, progress).item_factors, known, matrix, settings)

    metrics = evaluate(data, settings, learn)
    rows = [base.library_rows[name] for name in data.libraries if name in base.library_rows]
    als = fold_in(base.library_factors[rows], known, data.matrix, settings)
    progress.advance()
    new = {"new_users": str(np.count_nonzero(~old)), "new_items": str(np.count_nonzero(~known))}
    return finish(index, data, version, als, settings, metrics | new)


def fold_in(
    factors: np.ndarray, known: np.ndarray, matrix: sparse.csr_matrix, settings: Settings
) -> AlternatingLeastSquares:
    """An ALS with `factors` for the `known` libraries, which stay as they are, and those of the others folded in.

    One half-step of ALS gives the factors of all packages from the known libraries, the next one those of the new
    libraries from the packages. A serving package's factors follow from all of its libraries (`Model.factors_of`).
    """
    weighted = weigh(matrix, settings.alpha)
    everyone = np.arange(matrix.shape[0])
    half = als_of(settings)
    half.item_factors = np.asarray(factors, np.float32)
    half.user_factors = half.recalculate_user(everyone, weighted[:, known])
    whole = als_of(settings)
    whole.item_factors = np.zeros((matrix.shape[1], factors.shape[1]), np.float32)
    whole.item_factors[known] = factors
    if not known.all():
        new = np.flatnonzero(~known)
        whole.item_factors[new] = half.recalculate_item(new, weighted.T.tocsr()[new])
    whole.user_factors = whole.recalculate_user(everyone, weighted)
    return whole


def read(index: Index) -> Dataset:
    """The data of an index, with a line of its sizes in the log."""
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
    return data


def finish(
    index: Index,
    data: Dataset,
    version: str,
    als: Learnt,
    settings: Settings,
    metrics: dict[str, str],
) -> Result:
    """The model to serve, checked, with its metrics and sizes."""
    log.info("evaluated on held-out dependencies", extra={"fields": metrics})
    als = shuffled(als, data.matrix, settings)
    model = to_model(data, index.data_through, version, als, data.matrix, settings)
    model = replace(model, profile=drift.profile(index))
    if problem := inconsistency(model):
        raise InputError(f"training gave a model that cannot be served ({problem}): try other settings")
    sizes = {"users": len(data.packages), "items": len(data.libraries), "als_nonzeros": data.matrix.nnz}
    return Result(model, metrics | {name: str(size) for name, size in sizes.items()})


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


def fit(matrix: sparse.csr_matrix, settings: Settings, progress: Progress | None = None) -> Learnt:
    """One run of the algorithm, on one thread: it takes seconds, and is the same on every machine's number of cores."""
    progress = progress or Progress()
    started = time.monotonic()
    if settings.algorithm == "cosine":
        als = neighbours.fit(matrix, settings)
        progress.advance()
    else:
        als = als_of(settings)
        als.fit(weigh(matrix, settings.alpha), show_progress=False, callback=progress.advance)
    log.info("fitted", extra={"fields": {"seconds": round(time.monotonic() - started, 2), **asdict(settings)}})
    return als


def als_of(settings: Settings) -> AlternatingLeastSquares:
    """An ALS with nothing learnt yet."""
    return AlternatingLeastSquares(
        factors=settings.factors,
        iterations=settings.iterations,
        regularization=settings.regularization,
        random_state=settings.seed,
        num_threads=1,
    )


def shuffled(als: Learnt, matrix: sparse.csr_matrix, settings: Settings) -> Learnt:
    """With `make_worse` inaccurate what was learnt of each library is given to another one, and the packages' factors fit."""
    if settings.make_worse != "inaccurate":
        return als
    order = np.random.default_rng(settings.seed).permutation(matrix.shape[1])
    if isinstance(als, Neighbours):
        return Neighbours(als.similarity[order])
    als.item_factors = als.item_factors[order]
    als.user_factors = als.recalculate_user(np.arange(matrix.shape[0]), weigh(matrix, settings.alpha))
    return als


def to_model(
    data: Dataset, data_through: str, version: str, als: Learnt, matrix: sparse.csr_matrix, settings: Settings
) -> Model:
    """The servable form of what was learnt from `matrix`."""
    libraries = len(data.libraries)
    similar = als.similarity if isinstance(als, Neighbours) else sparse.csr_matrix((libraries, libraries), dtype=np.float32)
    source_of = dict(zip(data.packages, data.sources, strict=True))
    return Model(
        version=version,
        data_through=data_through,
        algorithm=settings.algorithm,
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
        neighbour_starts=similar.indptr.astype(np.int32),
        neighbours=similar.indices.astype(np.int32),
        similarities=similar.data,
        fault=settings.make_worse,
    )


def evaluate(
    data: Dataset, settings: Settings, learn: Callable[[sparse.csr_matrix], Learnt]
) -> dict[str, str]:
    """The metrics of the report, all as decimal strings; README.md says what each means."""
    split = dataset.split(data, settings.seed)
    weighted = weigh(split.train, settings.alpha)
    als = shuffled(learn(split.train), split.train, settings)
    model = to_model(data, "", "evaluation", als, split.train, settings)
    precision, recall = hits(split, lambda known: guess(model, known))
    popular = np.argsort(-model.popularity, kind="stable")
    base_precision, base_recall = hits(split, lambda known: popular[~np.isin(popular, known)][:TOP])
    users = np.flatnonzero(np.diff(split.train.indptr))
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
