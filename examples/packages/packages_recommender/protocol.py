"""Refusals before a request is parsed: a quarter less CPU each, and under overload they are half of what a server does."""

from re import compile as regex

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from .answers import QUIET
from .overload import CLOSE, Refusal

# A GET request that has arrived in one piece. A path with escapes is left to uvicorn, which decodes it.
WHOLE = regex(rb"GET (/[!-$&->@-~]*)(?:\?[!-~]*)? HTTP/1\.1\r\n((?:[^\r\n]+\r\n)+)\r\n")
# Headers by which more than this one piece belongs to the request.
MORE = {b"content-length", b"transfer-encoding", b"expect", b"upgrade"}


def refusing(refusal: Refusal) -> type[HttpToolsProtocol]:
    """uvicorn's protocol, but for GET requests that are refused anyway. The others are refused by `refusal` itself."""

    class Refusing(HttpToolsProtocol):
        def data_received(self, data: bytes) -> None:
            # The parser has no headers until it has been given something; from then on it must be given everything.
            if self.headers is None and refusal.line.full() and (request := whole(data)):
                self.refuse(*request)
            else:
                super().data_received(data)

        def refuse(self, path: str, headers: dict[bytes, bytes]) -> None:
            answered, body = refusal.refuse("GET", path, headers)
            if headers.get(b"connection", b"").lower() == CLOSE[1] and CLOSE not in answered:
                answered.append(CLOSE)
            lines = [b"%b: %b\r\n" % header for header in (*self.server_state.default_headers, *answered)]
            self.transport.write(b"HTTP/1.1 503 Service Unavailable\r\n%b\r\n%b" % (b"".join(lines), body))
            if CLOSE in answered:
                self.transport.close()
            self.on_response_complete()

    return Refusing


def whole(data: bytes) -> tuple[str, dict[bytes, bytes]] | None:
    """Path and headers of a GET request without a body that has arrived as a whole, unless it is of a probe or scrape."""
    request = WHOLE.fullmatch(data)
    if not request:
        return None
    path = request[1].decode()
    lines = (line.partition(b":") for line in request[2].splitlines())
    headers = {name.lower(): value.strip() for name, _, value in lines}
    return None if path in QUIET or MORE & headers.keys() else (path, headers)
