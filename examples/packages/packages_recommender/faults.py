"""Models that are bad on purpose, to try what should notice them: gates, canaries and rollbacks.

The fault travels in the artifact, because a version's artifact is all in which its servers differ from others.
"""

import asyncio

from .answers import QUIET

DELAY = 0.3  # seconds: far above the 1 ms of an answer and any sensible target, far below clients' timeouts
FAIL_EVERY = 5  # requests: few are enough to see it, and most users still get answers


class Faulty:
    """Answers as badly as the model of the request demands; probes and scrapes are answered well.

    Within what measures and logs. Outside of the line of requests: a slow answer takes no turn, so a server with a slow
    model is not overloaded, and its latency is seen apart from refusals.
    """

    def __init__(self, app) -> None:
        self.app = app
        self.requests = 0

    async def __call__(self, scope, receive, send) -> None:
        if scope["type"] == "http" and scope["path"] not in QUIET:
            await self.worsen(scope["loaded"].model.fault)
        await self.app(scope, receive, send)

    async def worsen(self, fault: str) -> None:
        if fault == "slow":
            await asyncio.sleep(DELAY)
        elif fault == "failing":
            self.requests += 1
            if self.requests % FAIL_EVERY == 0:
                raise RuntimeError("this version was trained with --make-worse failing")
