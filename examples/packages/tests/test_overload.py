"""A server asked for several times what it can do: it stays visible, refuses what would wait, and does the rest."""

import asyncio
import re
import signal
import socket
import time
from collections import Counter
from contextlib import contextmanager
from urllib.parse import urlsplit

import httpx
import pytest

from conftest import PATIENCE, serving
from packages_recommender import __main__ as program, overload, protocol

SERVICE = 0.2  # seconds that the slow model takes: much, beside what a busy machine adds
ALONE = 5  # requests, one after the other, that tell how many a second this machine, as busy as it is, can answer


def slow(seconds: float) -> tuple:
    """The program as it is, but for the model."""
    return (
        "-c",
        f"""
import sys, time
from packages_recommender import __main__, model
right = model.Model.recommend_for_package
def slow(*arguments):
    time.sleep({seconds})
    return right(*arguments)
model.Model.recommend_for_package = slow
sys.exit(__main__.main())
""",
    )


@contextmanager
def slow_server(folder, trained, seconds=SERVICE, **variables):
    with serving(folder, trained.report, program=slow(seconds), **variables) as running:
        running.port = urlsplit(str(running.client.base_url)).port
        yield running


async def ask(port: int, path: str = "/recommendations/app1-1") -> tuple[int, dict, bytes, float]:
    """Status, headers, body and seconds of one request with a connection of its own."""
    started = time.monotonic()
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(f"GET {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n".encode())
    head, _, body = (await asyncio.wait_for(reader.read(-1), 60)).partition(b"\r\n\r\n")
    writer.close()
    status, *lines = head.decode().lower().split("\r\n")
    headers = dict(line.split(": ", maxsplit=1) for line in lines)
    return int(status.split()[1]), headers, body, time.monotonic() - started


def value(metrics: str, name: str, **labels: str) -> float:
    """The sum of a metric's series that have these labels."""
    found = re.findall(rf"^{name}(?:{{(.*)}})? (\S+)$", metrics, re.M)
    return sum(float(number) for series, number in found if all(f'{k}="{v}"' in series for k, v in labels.items()))


async def flood(port: int, rate: float, seconds: float) -> tuple[list, list]:
    """Requests at a steady rate whatever becomes of them; and the probes and scrapes that were made meanwhile."""
    requests, watched = [], []

    async def watch() -> None:
        while True:
            watched.extend([await ask(port, "/health"), await ask(port, "/metrics")])
            await asyncio.sleep(0.2)

    watcher = asyncio.create_task(watch())
    for _ in range(int(rate * seconds)):
        requests.append(asyncio.create_task(ask(port)))
        await asyncio.sleep(1 / rate)
    answers = await asyncio.gather(*requests)
    watcher.cancel()
    return answers, watched


def test_a_server_asked_for_four_times_what_it_can_stays_visible_and_does_what_it_can(tmp_path, trained):
    with slow_server(tmp_path, trained) as running:
        alone = sum(asyncio.run(ask(running.port))[-1] for _ in range(ALONE))
        capacity = ALONE / alone  # per second
        started = time.monotonic()
        answers, watched = asyncio.run(flood(running.port, rate=4 * capacity, seconds=6))
        took = time.monotonic() - started
        metrics = running.client.get("/metrics").text
        logs = running.logs()

    statuses = Counter(status for status, *_ in answers)
    assert set(statuses) == {200, 503}, "every request is answered, one way or the other"
    assert statuses[200] >= 0.7 * took * capacity, "refusing costs little of what it can do"
    refused = [answer for answer in answers if answer[0] == 503]
    assert all(headers["retry-after"] == "1" for _, headers, *_ in refused)

    assert len(watched) >= 10 and {status for status, *_ in watched} == {200}
    # A second, more where the machine is busy.
    assert max(seconds for *_, seconds in watched) < alone, "neither a probe nor a scrape waits for the model"
    scraped = [body.decode() for _, _, body, _ in watched[1::2]]
    assert max(value(text, "http_requests_inprogress") for text in scraped) > 2, "the line can be seen"

    route = {"handler": "/recommendations/{package}", "method": "GET"}
    late = [line for line in logs if line.get("status") == 503]  # refused after waiting: logged and measured as usual
    assert value(metrics, "http_requests_total", status="2xx", **route) == statuses[200] + ALONE
    assert value(metrics, "http_requests_total", status="5xx", **route) == statuses[503]
    assert value(metrics, "http_requests_inprogress") == 0
    measured = value(metrics, "http_request_duration_highr_seconds_count")
    assert measured == statuses[200] + ALONE + len(late), "refusals on arrival are not in the latency"
    mean = value(metrics, "http_request_duration_highr_seconds_sum") / measured
    assert mean > 2 * SERVICE, "waiting is in the latency"
    told = [line for line in logs if line["message"] == "overloaded"]
    assert 1 <= len(told) <= took / overload.TELL_EVERY + 1 and told[0]["refused"] == 1


def test_a_refusal_is_a_problem_like_any_other(tmp_path, trained):
    async def crowd(url: httpx.URL) -> list[httpx.Response]:
        async with httpx.AsyncClient(base_url=url, trust_env=False, headers={"X-Request-ID": "test-1"}) as client:
            gets = [client.get("/recommendations/app1-1") for _ in range(13)]
            posts = [client.post("/recommendations", json={"dependencies": ["lib7-0"]}) for _ in range(5)]
            return await asyncio.gather(*gets, *posts)

    with slow_server(tmp_path, trained, MAX_WAIT_SECONDS="0.001") as running:
        answers = asyncio.run(crowd(running.client.base_url))

    assert {answer.status_code for answer in answers} == {200, 503}, "who finds nobody waiting is served, however slow"
    refused = [answer for answer in answers if answer.status_code == 503]
    for answer in refused:
        error = answer.json()["error"]
        assert error["code"] == "overloaded" and error["message"] and answer.headers["retry-after"] == "1"
        assert answer.json()["requestId"] == answer.headers["x-request-id"] == "test-1"
        assert answer.headers["x-model-version"] == "v1"
    methods = Counter(answer.request.method for answer in refused)
    assert set(methods) == {"GET", "POST"}
    closed = Counter(answer.request.method for answer in answers if answer.headers.get("connection") == "close")
    assert closed["GET"] >= methods["GET"] // overload.CLOSE_EVERY > 0, "clients move to other servers"
    assert closed["POST"] == 0, "a body that is still on its way is not cut off"


def test_what_is_refused_before_it_is_parsed_is_refused_in_the_same_way_as_the_rest(tmp_path, trained):
    """One connection at a time, so that all are refused while one request waits for its turn."""

    def answer(connection: socket.socket, *pieces: bytes) -> tuple[bytes, dict[bytes, bytes], bytes]:
        for piece in pieces:
            connection.sendall(piece)
            time.sleep(0.02)
        head, _, body = connection.recv(65536).partition(b"\r\n\r\n")
        status, *lines = head.split(b"\r\n")
        return status, dict(line.split(b": ", 1) for line in lines), body

    def wait_until_one_is_computed() -> None:
        deadline = time.monotonic() + PATIENCE
        while value(running.client.get("/metrics").text, "http_requests_inprogress") < 1:
            assert time.monotonic() < deadline

    # So long that what follows is over within it on a busy machine as well.
    with slow_server(tmp_path, trained, seconds=5 * SERVICE, MAX_WAIT_SECONDS="0.005") as running:
        address = ("127.0.0.1", running.port)
        first = b"GET /recommendations/app1-1?limit=5 HTTP/1.1\r\nHost: test\r\nX-Request-ID: test-1\r\n"
        for rest in (b"\r\n", b"Content-Length: 0\r\n\r\n", b"Connection: close\r\n\r\n"):
            answers = []
            for cut in (len(first), 10):  # in one piece and in two
                with socket.create_connection(address) as busy, socket.create_connection(address) as other:
                    busy.sendall(b"GET /recommendations/app1-1 HTTP/1.1\r\nHost: test\r\n\r\n")
                    wait_until_one_is_computed()
                    request = first + rest
                    pieces = [request] if cut == len(first) else [request[:cut], request[cut:]]
                    answers.append(answer(other, *pieces))
                    if b"close" not in rest and b"connection" not in answers[-1][1]:
                        again = answer(other, b"GET /health HTTP/1.1\r\nHost: test\r\n\r\n")
                        assert again[0] == b"HTTP/1.1 200 OK", "the connection goes on, and a probe is answered"
                    busy.recv(65536)
            for status, headers, body in answers:
                assert status == b"HTTP/1.1 503 Service Unavailable" and len(body) == int(headers[b"content-length"])
                assert headers[b"x-request-id"] == b"test-1" and (b"close" not in rest or headers[b"connection"] == b"close")
            names = [headers.keys() - {b"connection"} for _, headers, _ in answers]
            assert names[0] == names[1] and answers[0][2] == answers[1][2]
        refused = value(running.client.get("/metrics").text, "http_requests_total", status="5xx")
    assert refused == 6, "all are counted"


@pytest.mark.parametrize(
    "data",
    [
        b"POST /recommendations HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET /health HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET /metrics?x HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET /a%2Fb HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET /a HTTP/1.0\r\nHost: a\r\n\r\n",
        b"GET /a HTTP/1.1\r\nHost: a\r\n",
        b"GET /a HTTP/1.1\r\nHost: a\r\n\r\nGET /b HTTP/1.1\r\n",
        b"GET /a HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\n",
        b"GET /a HTTP/1.1\r\nHost: a\r\nTRANSFER-ENCODING: chunked\r\n\r\n",
        b"GET http://a/b HTTP/1.1\r\nHost: a\r\n\r\n",
    ],
)
def test_a_request_with_more_to_it_is_left_to_the_parser(data):
    assert protocol.whole(data) is None


def test_a_whole_request_has_its_path_and_headers():
    data = b"GET /a+b?limit=5&x=/%20 HTTP/1.1\r\nHost: a\r\nX-Request-ID:  1 \r\n\r\n"
    assert protocol.whole(data) == ("/a+b", {b"host": b"a", b"x-request-id": b"1"})


def test_every_fourth_client_that_waited_long_moves_to_another_server(tmp_path, trained):
    async def crowd(url: httpx.URL) -> list[httpx.Response]:
        async with httpx.AsyncClient(base_url=url, trust_env=False, timeout=60) as client:
            return await asyncio.gather(*(client.get("/recommendations/app1-1") for _ in range(12)))

    with slow_server(tmp_path, trained, MAX_WAIT_SECONDS="4") as running:
        running.client.get("/recommendations/app1-1")
        alone = running.client.get("/recommendations/app1-1")
        answers = asyncio.run(crowd(running.client.base_url))
    assert "connection" not in alone.headers, "it did not wait"
    assert {answer.status_code for answer in answers} == {200}
    # All but the first five waited longer than a second for their turn, more where the machine is busy.
    assert 1 <= sum(answer.headers.get("connection") == "close" for answer in answers) <= 3


def test_without_a_longest_wait_nothing_is_refused(tmp_path, trained):
    async def crowd(port: int) -> list:
        return await asyncio.gather(*(ask(port) for _ in range(8)))

    with slow_server(tmp_path, trained, MAX_WAIT_SECONDS="none") as running:
        answers = asyncio.run(crowd(running.port))
    assert {status for status, *_ in answers} == {200}
    assert max(seconds for *_, seconds in answers) > 5 * SERVICE, "they waited for each other"


def test_open_requests_are_answered_before_the_server_ends(tmp_path, trained):
    async def crowd(running) -> list:
        requests = [asyncio.create_task(ask(running.port)) for _ in range(5)]
        while value((await ask(running.port, "/metrics"))[2].decode(), "http_requests_inprogress") < 4:
            assert not requests[-1].done(), "the requests are too fast to be seen waiting"
        running.process.send_signal(signal.SIGTERM)
        return await asyncio.gather(*requests)

    with slow_server(tmp_path, trained) as running:
        answers = asyncio.run(crowd(running))
        assert {status for status, *_ in answers} == {200}
        assert running.process.wait(timeout=30) == 0


def test_a_slow_sender_holds_nobody_up(server):
    address = urlsplit(str(server.client.base_url))
    with socket.create_connection((address.hostname, address.port)) as slow:
        head = b"POST /recommendations HTTP/1.1\r\nHost: test\r\nContent-Type: application/json\r\nContent-Length: 21\r\n"
        slow.sendall(head + b"\r\n{")
        time.sleep(0.2)
        assert server.client.get("/recommendations/app1-1", timeout=10).status_code == 200
        slow.sendall(b'"dependencies": [] }')
        slow.settimeout(10)
        assert slow.recv(100).startswith(b"HTTP/1.1 200")


def test_the_line_is_full_when_one_more_would_wait_too_long():
    line = overload.Line(max_wait=1)
    line.service = 0.3
    line.waiting = 3
    assert not line.full()
    line.waiting = 4
    assert line.full()
    line.service = 0.0001
    line.waiting = overload.MAXIMUM_WAITING
    assert line.full(), "however fast, connections and memory are not without end"
    line.service = 60
    line.waiting = 0
    assert not line.full(), "after a stall it is found out again how long one takes"


def test_who_waited_in_vain_is_refused_at_its_turn():
    computed = []

    async def app(scope, receive, send) -> None:
        computed.append(scope["path"])
        await asyncio.sleep(0.25)

    async def receive() -> dict:
        return {"type": "http.request"}

    async def crowd() -> list:
        answers = []

        async def send(message) -> None:
            answers.append(message)

        turns = overload.Turns(app, overload.Line(max_wait=0.05))
        scopes = [{"type": "http", "method": "GET", "path": path, "headers": []} for path in ("/first", "/second")]
        await asyncio.gather(*(turns(scope, receive, send) for scope in scopes))
        return answers

    start, _ = asyncio.run(crowd())
    assert computed == ["/first"] and start["status"] == 503 and (b"retry-after", b"1") in start["headers"]


@pytest.mark.parametrize("text, seconds", [("1.5", 1.5), ("0", 0), ("none", 0)])
def test_the_longest_wait_is_an_option_and_a_variable(monkeypatch, text, seconds):
    assert program.parser().parse_args(["serve", "--max-wait-seconds", text]).max_wait_seconds == seconds
    monkeypatch.setenv("MAX_WAIT_SECONDS", text)
    assert program.parser().parse_args(["serve"]).max_wait_seconds == seconds


@pytest.mark.parametrize("text", ["-1", "nan", "inf", "soon", ""])
def test_another_longest_wait_is_refused(monkeypatch, text, capsys):
    monkeypatch.setenv("MAX_WAIT_SECONDS", text)
    with pytest.raises(SystemExit, match="2"):
        program.parser().parse_args(["serve"])
    assert "--max-wait-seconds" in capsys.readouterr().err
