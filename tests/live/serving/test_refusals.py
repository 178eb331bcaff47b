"""What is malformed, too large, too often, too many or not allowed ends with a code; the server lives."""

import http.client
import socket
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from importlib.resources import files

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

from camfast.live.serving import application
from camfast.live.serving.access import HEADERS
from camfast.live.serving.server import PageServer
from tests.live.serving.fakes import FakeControl, Scene, until
from tests.live.serving.watching import closed, next_frame, next_text, say, watch

TOKEN = "a-token-for-tests"


@pytest.fixture(scope="module")
def control() -> FakeControl:
    return FakeControl()


@pytest.fixture(scope="module")
def scene(control: FakeControl) -> Scene:
    return Scene(control)


@pytest.fixture(scope="module")
def server(control: FakeControl) -> Iterator[PageServer]:
    """One for all that is refused here: it lives."""
    server = PageServer(control, port=0)
    server.start()
    yield server
    server.close()


@pytest.mark.parametrize(
    ("message", "code", "reason"),
    [
        (b"{}", 1003, "messages are text"),
        (b"", 1003, "messages are text"),
        ("{", 1007, "not JSON"),
        ("[" * 4000, 1007, "not JSON"),
        ("[]", 1008, "JSON object"),
        ('{"type": "shutdown"}', 1008, "unknown type"),
        ("x" * 4097, 1009, ""),
        ("x" * 1_000_000, 1009, ""),
    ],
)
def test_malformed_messages_close_the_connection(
    server: PageServer, scene: Scene, message: str | bytes, code: int, reason: str
) -> None:
    with watch(server) as other:
        with watch(server) as page:
            page.send(message)
            found = closed(page)
        assert found[0] == code
        assert reason in found[1]
        scene.put(server)
        next_frame(other)


def test_text_that_is_no_utf8_closes_the_connection(server: PageServer) -> None:
    with watch(server) as page:
        page.send(b'"\xff"', text=True)
        assert closed(page)[0] == 1007


@pytest.mark.parametrize(
    "junk", [b"\x16\x03\x01\x02\x00\x01\xfc\xff\r\n\r\n", b"GET / HTTP/1.1\r\n" + b"x" * 100_000, bytes(1000) + b"\n\n"]
)  # fmt: skip
def test_what_is_no_http_is_refused(server: PageServer, junk: bytes) -> None:
    port = int(server.name.rpartition(":")[2].rstrip("/"))
    with socket.create_connection(("127.0.0.1", port), 5) as line:
        line.sendall(junk)
        assert line.recv(1000).startswith(b"HTTP/1.1 400")
    with watch(server) as page:
        next_text(page, "hello")


def test_a_message_of_the_largest_size_is_read(server: PageServer) -> None:
    with watch(server) as page:
        page.send('{"type": "pause", "paused": 3}'.ljust(4096))
        assert "true or false" in next_text(page, "error")["message"]


def test_too_many_messages_close_the_connection(server: PageServer) -> None:
    with watch(server) as page:
        with suppress(ConnectionClosed):
            for _ in range(5000):
                say(page, "pause", paused=True)
        assert closed(page) == (1008, "more than 200 messages a second")


def test_too_many_pages_are_told_to_come_later(server: PageServer) -> None:
    with ExitStack() as pages:
        for _ in range(64):
            next_text(pages.enter_context(watch(server)), "hello")
        with watch(server) as one_more:
            assert closed(one_more) == (1013, "64 pages are open already")
        first = pages.enter_context(watch(server))
        assert closed(first)[0] == 1013
    with watch(server) as page:  # whose places are free again
        next_text(page, "hello")


def _ask(server: PageServer, path: str, method: str = "GET", **headers: str) -> tuple[int, dict[str, str], str]:
    """Status, headers and text of an answer; the path is sent as it is written, where most clients would tidy it."""
    connection = http.client.HTTPConnection(server.name.removeprefix("http://").rstrip("/"), timeout=5)
    connection.request(method, path, headers=headers)
    answer = connection.getresponse()
    text = answer.read().decode()
    connection.close()
    return answer.status, {name.lower(): value for name, value in answer.getheaders()}, text


def test_only_the_pages_own_files_are_served(server: PageServer) -> None:
    for path, (name, kind) in application.FILES.items():
        status, headers, text = _ask(server, path)
        assert (status, headers["content-type"]) == (200, kind)
        assert text == (files("camfast.live.serving") / "web" / name).read_text()
        assert headers.items() >= {name.lower(): value for name, value in HEADERS.items()}.items()
        assert _ask(server, path, "HEAD")[::2] == (200, "")
    assert {name for name, _ in application.FILES.values()} == {
        path.name for path in (files("camfast.live.serving") / "web").iterdir()
    }


@pytest.mark.parametrize(
    "path",
    ["/index.html", "/web/live.js", "/server.py", "/..", "/../server.py", "/%2e%2e/server.py", "/..%2fserver.py",
     "//etc/passwd", "/live.js/", "/live.js%00", "/socket", "/snapshot.png", "/favicon.ico", "/live.js/../server.py"],
)  # fmt: skip
def test_every_other_address_is_unknown(server: PageServer, path: str) -> None:
    status, headers, _ = _ask(server, path)
    assert status == 404
    assert "default-src 'none'" in headers["content-security-policy"]


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"])
def test_other_methods_are_refused(server: PageServer, method: str) -> None:
    assert _ask(server, "/", method)[0] == 405


def test_a_strange_host_gets_nothing(server: PageServer) -> None:
    status, headers, text = _ask(server, "/live.js", Host="evil.example.org")
    assert status == 403
    assert "--allow-host" in text
    assert headers["x-content-type-options"] == "nosniff"


def _refused(server: PageServer, **options: object) -> int:
    with pytest.raises(InvalidStatus) as refused, watch(server, **options):
        pass
    return refused.value.response.status_code


def test_sockets_of_other_pages_are_refused(server: PageServer) -> None:
    assert _refused(server, origin="http://evil.example.org") == 403
    assert _refused(server, origin="http://localhost:1") == 403
    with watch(server, origin=server.name.rstrip("/")) as page:
        next_text(page, "hello")


def test_a_name_that_was_given_this_machines_address_is_refused(server: PageServer) -> None:
    port = int(server.name.rpartition(":")[2].rstrip("/"))
    rebound = f"rebound.example.org:{port}"
    with (
        socket.create_connection(("127.0.0.1", port), 5) as line,
        pytest.raises(InvalidStatus) as refused,
        connect(f"ws://{rebound}/socket", sock=line, origin=f"http://{rebound}", proxy=None),
    ):
        pass
    assert refused.value.response.status_code == 403


@pytest.fixture
def guarded(control: FakeControl) -> Iterator[PageServer]:
    server = PageServer(control, port=0, token=TOKEN)
    server.start()
    yield server
    server.close()


def test_a_token_becomes_a_cookie(guarded: PageServer) -> None:
    for path in ("/", "/live.js", "/socket", "/nowhere", "/?token=wrong-token", f"/live.js?token={TOKEN}"):
        status, headers, _ = _ask(guarded, path)
        assert status == 401, path
        assert "set-cookie" not in headers
    status, headers, text = _ask(guarded, guarded.address.removeprefix(guarded.name[:-1]))
    assert status == 200
    assert "http-equiv=refresh content='0; url=/'" in text
    cookie, *attributes = headers["set-cookie"].split("; ")
    assert set(attributes) == {"HttpOnly", "SameSite=Strict", "Path=/"}
    assert _ask(guarded, "/live.js", Cookie=cookie)[0] == 200
    assert _ask(guarded, "/nowhere", Cookie=cookie)[0] == 404
    assert _refused(guarded) == 403
    for headers in ({"Cookie": cookie}, {"Authorization": f"Bearer {TOKEN}"}):
        with watch(guarded, additional_headers=headers) as page:
            next_text(page, "hello")
    assert _refused(guarded, additional_headers={"Cookie": cookie}, origin="http://evil.example.org") == 403
    assert _refused(guarded, additional_headers={"Authorization": "Bearer wrong-token"}) == 403


def test_the_server_lives_after_all_that(server: PageServer, scene: Scene) -> None:
    with watch(server) as healthy:
        for message in (b"", "{", "[]", "x" * 5000):
            with watch(server) as page:
                page.send(message)
                closed(page)
        scene.put(server)
        until(lambda: next_frame(healthy).header["number"] == scene.number - 1, "the newest frame")
        assert next_text(healthy, "status")["pages"] == 1
