"""What all answers have in common, those of the middlewares too: the shape of an error, and the request's id."""

from random import getrandbits
from re import compile as regex

from fastapi import Request
from fastapi.responses import JSONResponse

REQUEST_ID = regex(rb"[A-Za-z0-9._:/+=-]{1,128}")
QUIET = ("/health", "/metrics", "/profile")  # asked by machines again and again: not logged, not measured, never made to wait


def request_id(headers: dict[bytes, bytes]) -> bytes:
    """The caller's X-Request-ID when it is one, else a new one: no secret, so not from the kernel, which takes a tenth of a
    refusal's CPU."""
    given = headers.get(b"x-request-id", b"")
    return given if REQUEST_ID.fullmatch(given) else b"%032x" % getrandbits(128)


def problem(request: Request, status: int, code: str, message: str, **more: object) -> JSONResponse:
    """The body of every error."""
    return JSONResponse(problem_body(request.scope.get("request_id"), code, message, **more), status_code=status)


def problem_body(request_id: str | None, code: str, message: str, **more: object) -> dict:
    return {"error": {"code": code, "message": message, **more}, "requestId": request_id}
