"""The knobs of training. Kept apart from `training`, so that the command line need not load scipy to know them."""

from dataclasses import dataclass, field, fields
from math import isfinite

from .errors import InputError


def knob(default: float, meaning: str):
    return field(default=default, metadata={"help": f"{meaning} (default %(default)s)"})


ALGORITHMS = ("als", "cosine")
ALGORITHM = {
    "help": "als: alternating least squares; cosine: similar libraries by the packages that depend on both, trained at once "
    "and a little less precise, only with --full (default %(default)s)",
    "choices": ALGORITHMS,
}
# Value of --make-worse -> what becomes of the version.
FAULTS = {
    "inaccurate": "what it learnt of each library is that of another one, which precision_at_10 shows: for gates",
    "slow": "measures well, but every answer takes 0.3 s longer: for canaries and rollbacks",
    "failing": "measures well, but every fifth answer is a 500: for canaries and rollbacks",
    "unreadable": "measures well, but no server can load it: for rollouts that fail",
}
MAKE_WORSE = {
    "help": "train a bad version on purpose, to try what should notice it. "
    + "; ".join(f"{name}{' (default)' * (name == 'inaccurate')}: {meaning}" for name, meaning in FAULTS.items()),
    "choices": list(FAULTS),
    "nargs": "?",
    "const": "inaccurate",
}


@dataclass(frozen=True)
class Settings:
    """Hyperparameters. The defaults were chosen on Debian 12's index; README.md has the table."""

    algorithm: str = field(default="als", metadata=ALGORITHM)
    factors: int = knob(128, "als: size of a library's vector")
    iterations: int = knob(5, "als: rounds; more of them fit the known dependencies better and the hidden ones worse")
    regularization: float = knob(5.0, "als: pull of the vectors towards zero")
    alpha: float = knob(16.0, "weight of a dependency against the absence of one")
    neighbours: int = knob(200, "cosine: neighbours that each library has at most")
    shrinkage: float = knob(10.0, "cosine: packages by which a similarity is damped")
    seed: int = knob(1, "seed of the split and of als")
    make_worse: str = field(default="", metadata=MAKE_WORSE)

    def __post_init__(self) -> None:
        for knob in fields(self):
            value = getattr(self, knob.name)
            if knob.type is not str and not (isfinite(value) and value > 0 or knob.name == "seed" and value == 0):
                raise InputError(f"{knob.name} is {value}: it must be above zero")
