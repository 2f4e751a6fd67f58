"""How far the packages of today are from those of a training, feature by feature.

A training stores a histogram of each feature. The population stability index compares it with that of another index:

    PSI = sum over the bins of (c - t) * ln(c / t), with c and t the shares of today and of the training

It is 0 for equal distributions. Below 0.1 is commonly taken as stable and from 0.2 as drifted: Wu and Olson, Enterprise risk
management: coping with model risk in a large bank, Journal of the Operational Research Society 61 (2010). By chance alone
it is about (bins - 1) * (1 / today's observations + 1 / the training's), so a small sample has no score.
"""

import math
from collections import Counter
from collections.abc import Callable, Iterable

from .errors import InputError
from .index import Index

DRIFTED = 0.2
TOP = 20  # values of a feature with bins of their own; more of them are noise, and fewer hide a change
OTHER = "(other)"
FLOOR = 1e-4  # share of an empty bin: with 0 the index would be infinite after a single new value
MINIMUM = 200  # packages: with 21 bins, chance gives 0.1, half of a clear drift
BOUNDS = (0, 1, 2, 4, 8, 16, 32, 64)  # lower ones of the bins of numbers of dependencies
Histogram = dict[str, int]


def sizes(index: Index) -> Iterable[str]:
    counts = (len(package.dependencies) for package in index.packages)
    return (f"{max(bound for bound in BOUNDS if bound <= count)}+" for count in counts)


def libraries(index: Index) -> Iterable[str]:
    return (library for package in index.packages for library in package.dependencies)


def prefixes(index: Index) -> Iterable[str]:
    return (package.name.partition("-")[0] for package in index.packages)


# Feature -> its value for each observation.
FEATURES: dict[str, Callable[[Index], Iterable[str]]] = {
    "dependencies": sizes,  # number of each package
    "library": libraries,  # of each dependency
    "prefix": prefixes,  # of each package's name up to the first dash: python3, golang, node, r ...
}


def profile(index: Index) -> dict[str, Histogram]:
    """A histogram of each feature: its most frequent values, and all others together."""

    def histogram(values: Iterable[str]) -> Histogram:
        counts = Counter(values)
        top = dict(counts.most_common(TOP))
        return top | {OTHER: counts.total() - sum(top.values())}

    return {feature: histogram(values(index)) for feature, values in FEATURES.items()}


def scores(trained: dict[str, Histogram], index: Index) -> dict[str, float]:
    """The population stability index of each feature, or an `InputError` when nothing can be stated."""
    if trained.keys() != FEATURES.keys():
        raise InputError("the model has no histograms of its training data: train a new version")
    if len(index.packages) < MINIMUM:
        raise InputError(f"the index has only {len(index.packages)} packages: a score needs {MINIMUM}")
    return {feature: psi(trained[feature], Counter(values(index))) for feature, values in FEATURES.items()}


def psi(trained: Histogram, today: Counter[str]) -> float:
    """The index of one feature, over the bins of the training."""
    named = {value: today[value] for value in trained if value != OTHER}
    counted = named | {OTHER: today.total() - sum(named.values())}

    def share(histogram: Histogram, value: str) -> float:
        return max(histogram[value] / max(sum(histogram.values()), 1), FLOOR)

    pairs = [(share(counted, value), share(trained, value)) for value in trained]
    return sum((c - t) * math.log(c / t) for c, t in pairs)
