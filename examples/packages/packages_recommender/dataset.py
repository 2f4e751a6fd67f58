"""Package records -> who depends on what, as a sparse matrix, and a split that keeps the evaluation honest."""

from collections import defaultdict
from dataclasses import dataclass

import numpy as np
from scipy import sparse

from .errors import InputError
from .index import Index

# A library that packages of fewer sources use says nothing about others.
MINIMUM_SOURCES = 3
# What more packages than this share depend on (libc6, python3, perl ...) says nothing about any of them.
MAXIMUM_SHARE = 0.05


@dataclass(frozen=True)
class Dataset:
    """`matrix[user, item]` is 1 where package `packages[user]` depends on library `libraries[item]`.

    Every package of the index is a row, also one without a usable dependency. `sources[user]` numbers the source
    package it is built from.
    """

    packages: list[str]
    sources: np.ndarray
    libraries: list[str]
    matrix: sparse.csr_matrix


def build(index: Index) -> Dataset:
    """Chooses the libraries that can be recommended and builds the matrix.

    Left out are dependencies on a package of the same source (`foo-dev` on `libfoo1`), which are packaging and not a
    choice, and on names that are no package of the index (virtual ones with several providers).
    """
    source_of = {package.name: package.source for package in index.packages}
    users_of, sources_using = defaultdict(int), defaultdict(set)
    for package in index.packages:
        for library in package.dependencies:
            if source_of.get(library, package.source) != package.source:
                users_of[library] += 1
                sources_using[library].add(package.source)
    libraries = sorted(
        library
        for library, count in users_of.items()
        if len(sources_using[library]) >= MINIMUM_SOURCES and count <= MAXIMUM_SHARE * len(index.packages)
    )
    if len(libraries) < 20:
        raise InputError(
            f"only {len(libraries)} libraries are used by packages of {MINIMUM_SOURCES} sources or more and by at most "
            f"{MAXIMUM_SHARE:.0%} of all packages; at least 20 are needed: give a larger package index"
        )
    column_of = {library: column for column, library in enumerate(libraries)}
    rows, columns = [], []
    for row, package in enumerate(index.packages):
        for library in package.dependencies:
            if library in column_of and source_of[library] != package.source:
                rows.append(row)
                columns.append(column_of[library])
    _, sources = np.unique([package.source for package in index.packages], return_inverse=True)
    matrix = sparse.csr_matrix(
        (np.ones(len(rows), np.float32), (rows, columns)), shape=(len(index.packages), len(libraries))
    )
    return Dataset([package.name for package in index.packages], sources, libraries, matrix)


@dataclass(frozen=True)
class Split:
    """What the evaluation may learn from, what it must guess, and for which rows it is asked."""

    train: sparse.csr_matrix
    held_out: sparse.csr_matrix
    rows: np.ndarray


def split(data: Dataset, seed: int, share_of_sources: float = 0.2, minimum_dependencies: int = 10) -> Split:
    """Hides half of the dependencies of a fifth of the source packages.

    A dependency is hidden from all packages of a source at once: siblings share dependencies, so one would tell what
    the other must guess. For the same reason each source counts once, with its largest package. Packages of fewer
    than `minimum_dependencies` dependencies are not asked: with two dependencies hidden, nobody can fill ten places.
    """
    random = np.random.default_rng(seed)
    pairs = data.matrix.tocoo()
    chosen = random.random(data.sources.max() + 1) < share_of_sources
    keys, pair_of = np.unique(
        data.sources[pairs.row].astype(np.int64) * data.matrix.shape[1] + pairs.col, return_inverse=True
    )
    hidden = (random.random(len(keys)) < 0.5)[pair_of] & chosen[data.sources[pairs.row]]

    def part(mask: np.ndarray) -> sparse.csr_matrix:
        return sparse.csr_matrix((pairs.data[mask], (pairs.row[mask], pairs.col[mask])), shape=data.matrix.shape)

    train, held_out = part(~hidden), part(hidden)
    known, asked = np.diff(train.indptr), np.diff(held_out.indptr)
    rows = np.flatnonzero((known >= 1) & (asked >= 1) & (known + asked >= minimum_dependencies))
    largest_first = rows[np.argsort(-(known + asked)[rows], kind="stable")]
    _, first = np.unique(data.sources[largest_first], return_index=True)
    rows = np.sort(largest_first[first])
    if len(rows) < 10:
        raise InputError(
            f"only {len(rows)} source packages with {minimum_dependencies} dependencies or more are left to test on; "
            "at least 10 are needed: give a larger package index"
        )
    return Split(train, held_out, rows)
