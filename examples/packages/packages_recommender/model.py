"""What training leaves behind: stored, loaded and asked. Needs nothing but numpy, so that a server stays small."""

import io
import json
import zipfile
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from .errors import InputError
from .settings import ALGORITHMS

FORMAT = "packages-recommender/1"


@dataclass(frozen=True)
class Recommendation:
    """A library and how strongly it is expected among the dependencies: about 1 for sure, about 0 for not at all."""

    library: str
    score: float


@dataclass(frozen=True)
class Model:
    """The libraries' factors, and for every package of the index which libraries it already depends on.

    A package's own factors are not stored: they follow from the libraries it depends on (`factors_of`), which makes a
    package nobody has seen before as good as a known one.
    """

    version: str
    data_through: str
    regularization: float
    libraries: list[str]
    library_factors: np.ndarray  # float32, one row per library
    confidence: np.ndarray  # float32 per library: how much more depending on it says than not depending on it
    popularity: np.ndarray  # int32 per library: how many packages depend on it
    library_sources: np.ndarray  # int32 per library: the source package it is built from
    packages: list[str]
    package_sources: np.ndarray  # int32 per package
    dependency_starts: np.ndarray  # int32, one more than packages; package p depends on
    dependencies: np.ndarray  # int32: dependencies[dependency_starts[p]:dependency_starts[p + 1]]
    # Of the algorithm `cosine` only: library a is similar by similarities[s] to neighbours[s] for s from neighbour_starts[a]
    # to neighbour_starts[a + 1]. The other one, `als`, has none, and this one no factors.
    neighbour_starts: np.ndarray
    neighbours: np.ndarray
    similarities: np.ndarray
    algorithm: str = "als"
    profile: dict[str, dict[str, int]] = field(default_factory=dict)  # histograms of the training data, see `drift`
    fault: str = ""  # one of settings.FAULTS for a model that is bad on purpose

    @cached_property
    def library_rows(self) -> dict[str, int]:
        return {name: row for row, name in enumerate(self.libraries)}

    @cached_property
    def package_rows(self) -> dict[str, int]:
        return {name: row for row, name in enumerate(self.packages)}

    @cached_property
    def gram(self) -> np.ndarray:
        """The part of the normal equations that is the same for every package."""
        factors = self.library_factors
        return factors.T @ factors + self.regularization * np.eye(factors.shape[1], dtype=np.float32)

    def dependencies_of(self, package: int) -> np.ndarray:
        return self.dependencies[self.dependency_starts[package] : self.dependency_starts[package + 1]]

    def factors_of(self, libraries: np.ndarray) -> np.ndarray:
        """The factors of a package that depends on `libraries`: the least-squares step of ALS, solved exactly.

        (YᵀY + λI + Yᵀ(C − I)Y) x = Yᵀ C p, with Y the libraries' factors, C the confidences and p the ones: Hu, Koren
        and Volinsky, Collaborative Filtering for Implicit Feedback Datasets, equation 4.
        """
        factors, confidence = self.library_factors[libraries], self.confidence[libraries]
        left = self.gram + (factors.T * (confidence - 1)) @ factors
        return np.linalg.solve(left, factors.T @ confidence)

    def scores(self, libraries: np.ndarray) -> np.ndarray:
        """How much each library is expected beside `libraries`. With `cosine`: their mean similarity to it, weighted by what
        depending on them says."""
        if self.algorithm == "als":
            return self.library_factors @ self.factors_of(libraries)
        sums = np.zeros(len(self.libraries), np.float32)
        for library in libraries:
            near = slice(self.neighbour_starts[library], self.neighbour_starts[library + 1])
            sums[self.neighbours[near]] += self.confidence[library] * self.similarities[near]
        return sums / self.confidence[libraries].sum()

    def recommend_for_package(self, package: str, limit: int) -> list[Recommendation]:
        """Libraries for a package of the index that it does not depend on and that are not its own source's."""
        row = self.package_rows[package]
        own = np.flatnonzero(self.library_sources == self.package_sources[row])
        exclude = np.append(own, self.library_rows[package]) if package in self.library_rows else own
        return self.recommend(self.dependencies_of(row), limit, exclude)

    def recommend(self, libraries: np.ndarray, limit: int, exclude: np.ndarray | None = None) -> list[Recommendation]:
        """Libraries for what depends on `libraries`, best first; the most popular ones when that is nothing."""
        if len(libraries):
            scores = self.scores(libraries)
        else:
            scores = self.popularity / max(len(self.packages), 1)
        left_out = libraries if exclude is None else np.union1d(libraries, exclude)
        scores[left_out.astype(np.intp)] = -np.inf
        best = highest(scores, min(limit, len(scores) - len(left_out)))
        return [Recommendation(self.libraries[row], float(scores[row])) for row in best]

    def to_bytes(self) -> bytes:
        """The stored form, an uncompressed .npz without pickles; the same model and Python give the same bytes."""
        header = {
            "format": f"{FORMAT}-unreadable" if self.fault == "unreadable" else FORMAT,
            "version": self.version,
            "dataThrough": self.data_through,
            "algorithm": self.algorithm,
            "regularization": self.regularization,
            "profile": self.profile,
            "fault": self.fault,
        }
        buffer = io.BytesIO()
        np.savez(
            buffer,
            header=text(json.dumps(header)),
            libraries=text("\n".join(self.libraries)),
            packages=text("\n".join(self.packages)),
            **{name: getattr(self, name) for name in ARRAYS},
        )
        return buffer.getvalue()


def highest(scores: np.ndarray, count: int) -> np.ndarray:
    """The rows of the `count` highest scores, best first and equal ones in their order; sorts no more than it must."""
    if count < 1:
        return np.empty(0, np.intp)
    rows = np.flatnonzero(scores >= np.partition(scores, -count)[-count])
    return rows[np.argsort(-scores[rows], kind="stable")][:count]


# Field -> (type, dimensions), as stored.
ARRAYS = {
    "library_factors": (np.float32, 2),
    "confidence": (np.float32, 1),
    "popularity": (np.int32, 1),
    "library_sources": (np.int32, 1),
    "package_sources": (np.int32, 1),
    "dependency_starts": (np.int32, 1),
    "dependencies": (np.int32, 1),
    "neighbour_starts": (np.int32, 1),
    "neighbours": (np.int32, 1),
    "similarities": (np.float32, 1),
}


def text(value: str) -> np.ndarray:
    """A string as bytes: numpy's own string arrays take four bytes a character, padded to the longest."""
    return np.frombuffer(value.encode(), np.uint8)


def from_bytes(data: bytes) -> Model:
    """Reads the stored form and checks that it is complete and fits together."""
    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as stored:
            header = json.loads(stored["header"].tobytes())
            if header["format"] != FORMAT:
                raise InputError(f"the artifact has the format {header['format']!r}; this server reads {FORMAT!r}")
            arrays = {name: stored[name] for name in ARRAYS if name in stored}
            model = Model(
                version=header["version"],
                data_through=header["dataThrough"],
                regularization=header["regularization"],
                profile=header.get("profile", {}),
                fault=header.get("fault", ""),
                libraries=stored["libraries"].tobytes().decode().split("\n"),
                packages=stored["packages"].tobytes().decode().split("\n"),
                algorithm=header.get("algorithm", "als"),
                **without_neighbours(len(stored["confidence"])) | arrays,
            )
    except (ValueError, KeyError, TypeError, EOFError, OSError, zipfile.BadZipFile) as error:
        raise InputError(
            f"the artifact is not a model of the format {FORMAT!r} ({type(error).__name__}: {error})"
        ) from error
    if problem := inconsistency(model):
        raise InputError(f"the artifact is damaged: {problem}")
    return model


def without_neighbours(libraries: int) -> dict[str, np.ndarray]:
    """What artifacts do not have that are older than the algorithm `cosine`."""
    return {
        "neighbour_starts": np.zeros(libraries + 1, np.int32),
        "neighbours": np.empty(0, np.int32),
        "similarities": np.empty(0, np.float32),
    }


def inconsistency(model: Model) -> str | None:
    """What does not fit together in a model, or nothing."""
    if model.algorithm not in ALGORITHMS:
        return f"its algorithm is {model.algorithm!r}, not one of {', '.join(ALGORITHMS)}"
    libraries, packages = len(model.libraries), len(model.packages)
    for name, (kind, dimensions) in ARRAYS.items():
        array = getattr(model, name)
        if array.dtype != kind or array.ndim != dimensions:
            return f"{name} is a {array.ndim}-dimensional array of {array.dtype}"
    for name in ("library_factors", "confidence", "popularity", "library_sources"):
        if len(getattr(model, name)) != libraries:
            return f"{name} has {len(getattr(model, name))} rows for {libraries} libraries"
    if len(model.package_sources) != packages:
        return f"package_sources has {len(model.package_sources)} rows for {packages} packages"
    lists = (
        ("dependency", packages, model.dependency_starts, model.dependencies),
        ("neighbour", libraries, model.neighbour_starts, model.neighbours),
    )
    for name, owners, starts, members in lists:
        if len(starts) != owners + 1 or starts[0] != 0 or starts[-1] != len(members) or (np.diff(starts) < 0).any():
            return f"{name}_starts does not divide {len(members)} libraries among {owners}"
        if len(members) and not 0 <= members.min() <= members.max() < libraries:
            return f"a {name} is not one of the libraries"
    if len(model.similarities) != len(model.neighbours):
        return f"there are {len(model.similarities)} similarities of {len(model.neighbours)} neighbours"
    if not all(np.isfinite(values).all() for values in (model.library_factors, model.confidence, model.similarities)):
        return "a factor is not a finite number"
    return None
