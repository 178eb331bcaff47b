"""Connections of HTTP are bounded in number and time, whatever they send or read."""

import socket
import struct
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress

import pytest
from websockets.exceptions import ConnectionClosed

from camfast.live.serving import lines
from camfast.live.serving.server import PageServer
from tests.live.serving.fakes import PATIENCE, FakeControl, Pump, Scene
from tests.live.serving.watching import closed, next_frame, watch

SLOW = {
    "nothing": b"",
    "half a line": b"GET / HT",
    "half a header": b"GET / HTTP/1.1\r\nHost: localhost\r\nX: ",
    "half a body": b"GET / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\nabc",
    "half a handshake": b"GET /socket HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n",
}


@pytest.fixture
def short(control: FakeControl, monkeypatch: pytest.MonkeyPatch) -> Iterator[PageServer]:
    monkeypatch.setattr(lines, "LIFETIME", 0.5)
    server = PageServer(control, port=0)
    server.start()
    yield server
    server.close()


def _line(server: PageServer) -> socket.socket:
    line = socket.create_connection(("127.0.0.1", int(server.name.rpartition(":")[2].rstrip("/"))), PATIENCE)
    line.settimeout(PATIENCE)
    return line


def _ended(line: socket.socket) -> bool:
    try:
        while line.recv(1 << 16):
            pass
    except ConnectionResetError:
        return True
    except TimeoutError:
        return False
    return True


def _cut_while_sending(line: socket.socket, drop: bytes) -> bool:
    deadline = time.monotonic() + PATIENCE
    try:
        while time.monotonic() < deadline:
            line.sendall(drop)
            time.sleep(0.02)
    except (ConnectionResetError, BrokenPipeError):
        return True
    return False


@pytest.mark.parametrize("sent", SLOW.values(), ids=SLOW)
def test_a_request_that_never_ends_is_cut(short: PageServer, sent: bytes) -> None:
    with _line(short) as line:
        line.sendall(sent)
        started = time.monotonic()
        assert _ended(line)
        assert time.monotonic() - started < PATIENCE / 2


def test_a_request_that_comes_in_drops_is_cut(short: PageServer) -> None:
    with _line(short) as line:
        assert _cut_while_sending(line, b"X")


def test_an_answer_that_is_never_read_is_cut(short: PageServer) -> None:
    with socket.socket() as line:
        line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
        line.connect(("127.0.0.1", int(short.name.rpartition(":")[2].rstrip("/"))))
        line.settimeout(PATIENCE)
        time.sleep(0.01)
        line.sendall(400 * b"GET /live.js HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert _cut_while_sending(line, b"GET / HTTP/1.1\r\n")


def test_a_websocket_outlives_them(short: PageServer, scene: Scene) -> None:
    with watch(short) as page:
        time.sleep(1.0)
        scene.put(short)
        next_frame(page)


def test_for_too_many_the_oldest_are_cut(server: PageServer, scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lines, "MOST", 5)
    with ExitStack() as opened, watch(server) as page:
        several = [opened.enter_context(_line(server)) for _ in range(8)]
        for line in several[:3]:
            assert _ended(line)
        several[-1].sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert several[-1].recv(100).startswith(b"HTTP/1.1 200")
        scene.put(server)
        next_frame(page)


def test_a_flood_of_pings_is_cut(server: PageServer) -> None:
    with watch(server) as page:
        ping = 1000 * (bytes([0x89, 0x80, 0, 0, 0, 0]))  # empty and masked by nothing
        deadline = time.monotonic() + 6 * PATIENCE  # a busy machine takes a megabyte of pings slowly
        with suppress(OSError):
            while time.monotonic() < deadline:
                page.socket.sendall(ping)
        assert time.monotonic() < deadline


@pytest.mark.parametrize("message", [b'"\xff"', b"x" * 5000])
def test_a_page_that_was_closed_below_leaves_no_line_in_the_log(
    server: PageServer, control: FakeControl, capfd: pytest.CaptureFixture[str], message: bytes
) -> None:
    with Pump(Scene(control), server, fps=500):  # there is always something to send to a page that was closed
        for _ in range(20):
            with watch(server) as page:
                next_frame(page)
                page.send(message, text=True)
                closed(page)
        with watch(server) as page:
            next_frame(page)
    assert capfd.readouterr() == ("", "")


def test_answers_to_one_who_has_gone_leave_no_line_in_the_log(
    server: PageServer, scene: Scene, caplog: pytest.LogCaptureFixture
) -> None:
    wrong = b'{"type":"change","alpha":7}'
    wrong = bytes([0x81, 0x80 | len(wrong), 0, 0, 0, 0]) + wrong  # masked by nothing
    caplog.set_level("WARNING")
    for _ in range(20):
        with watch(server) as page:
            page.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            page.socket.sendall(150 * wrong)
            page.socket.close()  # without a goodbye
    with watch(server) as page:
        scene.put(server)
        next_frame(page)
    assert caplog.text == ""


def test_what_goes_wrong_here_is_said(
    server: PageServer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("camfast.live.serving.hub.Hub.serve", None)
    with suppress(ConnectionClosed), watch(server) as page:
        page.recv(PATIENCE)
    assert "the page's server failed for /socket" in caplog.text
    assert "TypeError" in caplog.text


def test_what_is_no_http_leaves_no_line_in_the_log(server: PageServer, capfd: pytest.CaptureFixture[str]) -> None:
    for _ in range(3):
        with _line(server) as line:
            line.sendall(b"\x16\x03\x01 no HTTP\r\n\r\n")
            assert _ended(line)
        with _line(server) as line:
            line.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\n")
            assert line.recv(100).startswith(b"HTTP/1.1 200")
    assert capfd.readouterr() == ("", "")
