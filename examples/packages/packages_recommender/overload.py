"""Overload: requests wait in one line, the line is bounded by time, and a request beyond it is refused at little cost.

The event loop accepts, refuses, and answers probes and scrapes; the model computes in a thread of its own, for one
request after the other. So a server that is asked for more than it can do stays ready and measured, and does what it can.
"""

import asyncio
import json
import logging
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from fastapi import Request
from prometheus_client import Counter
from prometheus_fastapi_instrumentator.routing import get_route_name

from .answers import QUIET, problem, problem_body, request_id
from .served import Served

FIRST_GUESS = 0.01  # seconds for one request, until some were measured
WEIGHT = 1 / 16  # of a new measurement in the average: with 150m of CPU 16 requests span some periods of throttling
MAXIMUM_WAITING = 200  # requests, however fast they are: each holds a connection and up to 256 KiB of body
# Times the longest wait. The estimate can be wrong by that much when a crowd comes and a CPU limit begins to throttle;
# who has waited longer at its turn is refused after all, as hardly anyone still waits for the answer.
PATIENCE = 2
RETRY_AFTER = 1  # seconds: the line moves on within one
CLOSE = (b"connection", b"close")  # the next connection may reach another server, one that has just started
# Every fourth answer that was refused or waited long closes its connection: a new one costs a quarter as much CPU as a
# refusal, and clients have still moved to other servers within seconds.
CLOSE_EVERY = 4
LONG = 1 / 4  # of the longest wait
KNOWN_PATHS = 4096  # whose handlers are remembered; matching the routes takes a tenth of a refusal's CPU
TELL_EVERY = 10  # seconds between log lines about refusals: one line for each would cost as much as the refusal
MESSAGE = "this server has more requests waiting than it can answer in time; try again after Retry-After seconds"
log = logging.getLogger(__name__)


class Line:
    """Who waits: one request has its turn, the others follow in the order they came."""

    def __init__(self, max_wait: float) -> None:
        self.max_wait = max_wait
        self.waiting = 0  # the one that has its turn included
        self.service = FIRST_GUESS  # seconds, moving average
        self.turn = asyncio.Lock()  # gives way in the order of arrival
        self.ended = 0.0  # when the last turn did
        self.thread = ThreadPoolExecutor(1, "model")
        self.crowded = 0  # answers that were refused or waited long

    def full(self) -> bool:
        """Whether one more would wait too long. When nobody waits none does, however slow the last one was."""
        return self.waiting * self.service > self.max_wait or self.waiting >= MAXIMUM_WAITING

    def moves(self, method: str) -> bool:
        """Whether the client of a request that was refused or waited long is to open another connection for its next one."""
        if method not in ("GET", "HEAD"):  # the others have a body, which a closed connection would cut off
            return False
        self.crowded += 1
        return self.crowded % CLOSE_EVERY == 0

    def too_late(self, arrived: float) -> bool:
        return time.monotonic() - arrived > PATIENCE * self.max_wait

    def served(self, arrived: float) -> None:
        """Measures from the end of the turn before, so that throttling and all work besides the turns is included."""
        now = time.monotonic()
        self.service += WEIGHT * (now - max(arrived, self.ended) - self.service)
        self.ended = now

    async def compute(self, function: Callable, *arguments: object):
        """Calls the function in the thread, while the event loop goes on."""
        return await asyncio.get_running_loop().run_in_executor(self.thread, function, *arguments)


class Refusal:
    """Outermost: refuses when the line is full, before anything else is done for a request. See also `protocol`.

    `requests` counts all requests, for those refused are demand as well. They are in no histogram of latencies, where
    quick refusals would make a slow server look good.
    """

    def __init__(self, app, line: Line, requests: Counter, served: Served) -> None:
        self.app = app
        self.line = line
        self.requests = requests
        self.body = json.dumps(problem_body("%s", "overloaded", MESSAGE)).encode()
        self.headers = [
            (b"content-type", b"application/json"),
            (b"retry-after", str(RETRY_AFTER).encode()),
        ]
        self.served = served
        self.handlers: dict[tuple[str, str], str] = {}
        self.untold = 0
        self.told = float("-inf")

    async def __call__(self, scope, receive, send) -> None:
        if scope["type"] != "http" or scope["path"] in QUIET or not self.line.full():
            return await self.app(scope, receive, send)
        headers, body = self.refuse(scope["method"], scope["path"], dict(scope["headers"]))
        await send({"type": "http.response.start", "status": 503, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    def refuse(self, method: str, path: str, headers: dict[bytes, bytes]) -> tuple[list[tuple[bytes, bytes]], bytes]:
        """Counts and logs a refusal, and returns its headers and its body."""
        self.requests.labels(method=method, status="5xx", handler=self.handler(method, path)).inc()
        self.tell()
        used = request_id(headers)
        body = self.body % used
        version = self.served.loaded.model.version.encode()
        answered = [
            *self.headers,
            (b"x-model-version", version),
            (b"content-length", b"%d" % len(body)),
            (b"x-request-id", used),
        ]
        if self.line.moves(method):
            answered.append(CLOSE)
        return answered, body

    def handler(self, method: str, path: str) -> str:
        """The route of a request, as the instrumentator names it."""
        asked = (method, path)
        if asked not in self.handlers:
            if len(self.handlers) >= KNOWN_PATHS:
                self.handlers.clear()
            scope = {"type": "http", "method": method, "path": path, "headers": [], "app": self.app}
            self.handlers[asked] = get_route_name(Request(scope), False) or "none"
        return self.handlers[asked]

    def tell(self) -> None:
        """Logs how many were refused since it last said so."""
        self.untold += 1
        now = time.monotonic()
        if now - self.told < TELL_EVERY:
            return
        fields = {
            "refused": self.untold,
            "waiting": self.line.waiting,
            "service_ms": round(self.line.service * 1000, 2),
        }
        log.warning("overloaded", extra={"fields": fields})
        self.untold, self.told = 0, now


class Turns:
    """Inside what measures and logs, so that waiting is in the latency and the waiting are in progress."""

    def __init__(self, app, line: Line) -> None:
        self.app = app
        self.line = line

    async def __call__(self, scope, receive, send) -> None:
        if scope["type"] != "http" or scope["path"] in QUIET:
            return await self.app(scope, receive, send)
        # Read before the turn and sent after it: a slow caller must not hold up the line.
        request, answer = await received(receive), []

        async def keep(message) -> None:
            answer.append(message)

        waited = await self.in_turn(scope, request, keep)
        if answer and waited > LONG * self.line.max_wait and self.line.moves(scope["method"]):
            answer[0]["headers"] = [*answer[0].get("headers", ()), CLOSE]
        for message in answer:
            await send(message)

    async def in_turn(self, scope, receive, send) -> float:
        """Returns how many seconds the request waited for its turn."""
        line, arrived = self.line, time.monotonic()
        line.waiting += 1
        try:
            async with line.turn:
                waited = time.monotonic() - arrived
                if line.too_late(arrived):
                    refusal = problem(Request(scope), 503, "overloaded", MESSAGE)
                    refusal.headers["Retry-After"] = str(RETRY_AFTER)
                    await refusal(scope, receive, send)
                    return waited
                try:
                    await self.app(scope, receive, send)
                finally:
                    line.served(arrived)
                return waited
        finally:
            line.waiting -= 1


async def received(receive):
    """Waits for the whole request (of limited length); returns the `receive` that has it."""
    messages = deque([await receive()])
    while messages[-1].get("more_body"):
        messages.append(await receive())

    async def again():
        return messages.popleft() if messages else await receive()

    return again
