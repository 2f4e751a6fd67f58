"""The knobs of training. Kept apart from `training`, so that the command line need not load scipy to know them."""

from dataclasses import dataclass, field, fields
from math import isfinite

from .errors import InputError


def knob(default: float, meaning: str):
    return field(default=default, metadata={"help": f"{meaning} (default %(default)s)"})


@dataclass(frozen=True)
class Settings:
    """Hyperparameters of ALS. The defaults were chosen on Debian 12's index; README.md has the table."""

    factors: int = knob(128, "size of a library's vector")
    iterations: int = knob(5, "rounds of ALS; more of them fit the known dependencies better and the hidden ones worse")
    regularization: float = knob(5.0, "pull of the vectors towards zero")
    alpha: float = knob(16.0, "weight of a dependency against the absence of one")
    seed: int = knob(1, "seed of the split and of ALS")

    def __post_init__(self) -> None:
        for knob in fields(self):
            value = getattr(self, knob.name)
            if not (isfinite(value) and value > 0 or knob.name == "seed" and value == 0):
                raise InputError(f"{knob.name} is {value}: it must be above zero")
