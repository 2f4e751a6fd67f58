"""Doing something a number of times, evenly and regardless of how long it takes: an open loop."""

import time
from collections.abc import Iterator


def ticks(count: int, per_second: float | None) -> Iterator[int]:
    """0 to count - 1, each when its time has come; what was late is made up for."""
    started = time.monotonic()
    for number in range(count):
        if per_second is not None:
            ahead = started + number / per_second - time.monotonic()
            if ahead > 0:
                time.sleep(ahead)
        yield number
