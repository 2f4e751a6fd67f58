"""HTTP: answers with the model version served, which was loaded and verified before the port is opened."""

import gc
import logging
import sys
import time
from bisect import bisect_left
from collections.abc import Callable
from typing import Annotated

import numpy as np
import uvicorn
from fastapi import FastAPI, Path, Query, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from prometheus_client import REGISTRY, Counter, disable_created_metrics
from prometheus_fastapi_instrumentator import Instrumentator, metrics
from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp

from .answers import QUIET, problem, request_id
from .faults import Faulty
from .model import Model, Recommendation
from .overload import Line, Refusal, Turns
from .protocol import refusing
from .served import Served

# Upper bounds in seconds. The instrumentator's own (0.1, 0.5, 1) can show neither a target of 75 ms nor a p99 above
# one second: Prometheus interpolates between bounds and knows nothing beyond the last one.
LATENCY_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
API_VERSION = "1"  # of the routes and bodies, in /docs
MAXIMUM_BODY = 256 * 1024  # bytes: a thousand dependencies of 255 characters
# Seconds, a tenth of Python's own: the thread that computes and the event loop take the interpreter from each other
# several times a request, and neither should wait for the other longer than it computes.
SWITCH_INTERVAL = 0.0005
log = logging.getLogger(__name__)


def run(served: Served, host: str, port: int, max_wait: float) -> None:
    """Serves until SIGTERM, then lets open requests finish. uvicorn's own access log gives way to ours."""
    if max_wait:
        sys.setswitchinterval(SWITCH_INTERVAL)
    app = create_app(served, max_wait)
    gc.freeze()  # modules and model are no garbage
    gc.enable()
    uvicorn.run(
        app,
        host=host,
        port=port,
        log_config=None,
        access_log=False,
        proxy_headers=False,  # the client's address is in no log
        server_header=False,
        timeout_graceful_shutdown=20,
        http=refusing(app) if max_wait else "auto",
    )


class Basket(BaseModel):
    """The dependencies of a package that need not be in the index."""

    model_config = ConfigDict(extra="forbid")
    dependencies: list[Annotated[str, Field(min_length=1, max_length=255)]] = Field(max_length=1000)
    limit: int = Field(default=10, ge=1, le=100)


def create_app(served: Served, max_wait: float) -> ASGIApp:
    """The application for the model served.

    It refuses requests that would wait for more than `max_wait` seconds, and computes in a thread. With 0 it refuses none
    and computes in the event loop: nothing else is answered meanwhile.
    """
    line = Line(max_wait) if max_wait else None
    compute = line.compute if line else directly
    app = FastAPI(title="Packages recommender", version=API_VERSION, description="Libraries for a Debian package")

    @app.get("/recommendations/{package}")
    async def for_package(
        request: Request,
        package: Annotated[str, Path(max_length=255)],
        limit: Annotated[int, Query(ge=1, le=100)] = 10,
    ) -> JSONResponse:
        """What packages like this one depend on, but this one does not."""
        model = request.scope["loaded"].model
        if package not in model.package_rows:
            return problem(
                request,
                404,
                "unknown_package",
                f"{package!r} is not in the package index this version was "
                f"trained on; for a package of your own POST its dependencies to /recommendations",
                similar=similar_names(model, package),
            )
        known = model.dependencies_of(model.package_rows[package])
        found = await compute(model.recommend_for_package, package, limit)
        return answer(model, {"package": package}, known, found)

    @app.post("/recommendations")
    async def for_basket(request: Request, basket: Basket) -> JSONResponse:
        """What packages that depend on these libraries depend on as well."""
        model = request.scope["loaded"].model
        known = [model.library_rows[name] for name in dict.fromkeys(basket.dependencies) if name in model.library_rows]
        unknown = sorted({name for name in basket.dependencies if name not in model.library_rows})
        rows = np.array(known, np.int32)
        return answer(model, {"unknown": unknown}, rows, await compute(model.recommend, rows, basket.limit))

    @app.get("/health")
    async def health(request: Request) -> dict:
        """200 with the version that answers; before there is one nothing listens."""
        loaded = request.scope["loaded"]
        model = loaded.model
        return {"status": "ok", "version": model.version, "digest": loaded.digest, "dataThrough": model.data_through}

    @app.get("/profile")
    async def profile(request: Request) -> dict:
        """Histograms of the training data, with which `drift` compares those of today."""
        model = request.scope["loaded"].model
        return {"version": model.version, "profile": model.profile}

    @app.exception_handler(RequestValidationError)
    async def invalid(request: Request, error: RequestValidationError) -> JSONResponse:
        details = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors()[:5])
        return problem(request, 422, "invalid_request", details)

    @app.exception_handler(HTTPException)
    async def refused(request: Request, error: HTTPException) -> JSONResponse:
        return problem(
            request, error.status_code, "not_here", f"{request.method} {request.url.path}: {error.detail}; see /docs"
        )

    # What is added later is further out.
    if line:
        app.add_middleware(Turns, line=line)
    app.add_middleware(Faulty)
    requests = instrument(app, served)
    # Outside the instrumentator, which so sees the exception and counts a 5xx before we turn it into one.
    app.add_middleware(RequestLog, served=served)
    # Around the application and not within: what FastAPI does before its outermost middleware is a fifth of a refusal's CPU.
    return Refusal(app, line, requests, served) if line else app


async def directly(function: Callable, *arguments: object):
    return function(*arguments)


def answer(model: Model, about: dict, known: np.ndarray, recommendations: list[Recommendation]) -> JSONResponse:
    """The body of every recommendation; `basis` says whether it is about this package or about all."""
    return JSONResponse(
        {
            **about,
            "version": model.version,
            "basis": "dependencies" if len(known) else "popularity",
            "because": [model.libraries[row] for row in known],
            "recommendations": [{"package": r.library, "score": round(r.score, 4)} for r in recommendations],
        }
    )


def similar_names(model: Model, name: str, count: int = 5) -> list[str]:
    """Packages that share the longest beginning with `name`; the index is sorted, so they are its neighbours."""
    at = bisect_left(model.packages, name)
    neighbours = model.packages[max(at - count, 0) : at + count]

    def shared(other: str) -> int:
        return next((i for i, (a, b) in enumerate(zip(name, other)) if a != b), min(len(name), len(other)))

    return sorted((n for n in neighbours if shared(n) >= 3), key=lambda n: (-shared(n), n))[:count]


def instrument(app: FastAPI, served: Served) -> Counter:
    """The instrumentator's standard names with buckets that suit, requests in flight, and the version served.

    Returns the counter of requests, which the instrumentator keeps to itself: only the registry knows it by name.
    """
    disable_created_metrics()  # a third more series that nobody asks for
    instrumentator = Instrumentator(
        should_instrument_requests_inprogress=True,
        inprogress_labels=True,
        excluded_handlers=[f"^{path}$" for path in QUIET],
    )
    instrumentator.add(metrics.default(latency_lowr_buckets=LATENCY_BUCKETS))
    instrumentator.instrument(app).expose(app, endpoint="/metrics", include_in_schema=False)
    REGISTRY.register(served)
    return REGISTRY._names_to_collectors["http_requests_total"]


class RequestLog:
    """Gives every request an id (the caller's X-Request-ID when it is one), logs it, and gives it one version."""

    def __init__(self, app, served: Served) -> None:
        self.app = app
        self.served = served

    async def __call__(self, scope, receive, send) -> None:
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        headers = dict(scope["headers"])
        used = request_id(headers)
        scope["request_id"] = used.decode()
        scope["loaded"] = loaded = self.served.loaded
        started, status = time.perf_counter(), 0

        async def stamped(message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] += [(b"x-request-id", used), (b"x-model-version", loaded.model.version.encode())]
            await send(message)

        request, crash = Request(scope), None
        try:
            if body_length(headers) > MAXIMUM_BODY:
                too_long = problem(
                    request, 413, "body_too_long", f"send at most {MAXIMUM_BODY} bytes, with Content-Length"
                )
                await too_long(scope, receive, stamped)
            else:
                await self.app(scope, receive, stamped)
        except Exception as error:
            crash = error
            if status:  # the answer has begun: only a broken connection can tell
                raise
            sorry = problem(
                request, 500, "internal_error", "this is a defect of the server; its log has the request id"
            )
            await sorry(scope, receive, stamped)
        finally:
            if crash or scope["path"] not in QUIET:
                fields = {
                    "request_id": scope["request_id"],
                    "method": scope["method"],
                    "path": scope["path"],
                    "status": status,
                    "duration_ms": round((time.perf_counter() - started) * 1000, 2),
                }
                log.log(logging.ERROR if crash else logging.INFO, "request", exc_info=crash, extra={"fields": fields})


def body_length(headers: dict[bytes, bytes]) -> int:
    """The announced length of the body; a body of unknown length counts as too long."""
    if b"transfer-encoding" in headers:
        return MAXIMUM_BODY + 1
    announced = headers.get(b"content-length", b"0")
    return int(announced) if announced.isdigit() else MAXIMUM_BODY + 1
