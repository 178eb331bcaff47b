"""Pages that never read cost nobody else anything, and are sent away with a reason."""

import itertools
import select
import socket
import statistics
import time
import tracemalloc
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress

import pytest
from websockets.sync.client import connect

from camfast.live.serving import client
from camfast.live.serving.server import PageServer
from tests.live.serving.fakes import PATIENCE, FakeControl, Pump, Repeated, Scene, until
from tests.live.serving.watching import closed, next_frame, next_text, say, watch

SIZE = 512  # raw, a frame is 786 kB: two fill what the kernel takes for a page that doesn't read


@contextmanager
def _never_reading(server: PageServer) -> Iterator[socket.socket]:
    """A page that opens a websocket, asks for large frames, and reads no more."""
    port = int(server.name.rpartition(":")[2].rstrip("/"))
    line = socket.socket()
    line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    line.connect(("127.0.0.1", port))
    with line:
        key = "dGhlIHNhbXBsZSBub25jZQ=="
        line.sendall(
            f"GET /socket HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n".encode()
        )
        want = b'{"type":"want","format":"raw"}'
        line.sendall(bytes([0x81, 0x80 | len(want), 0, 0, 0, 0]) + want)  # a text, masked by nothing
        yield line


def _intervals(server: PageServer, count: int) -> list[float]:
    """Seconds between the frames that a healthy page gets."""
    with watch(server) as page:
        for _ in range(5):
            next_frame(page)
        times = []
        for _ in range(count):
            next_frame(page)
            times.append(time.monotonic())
    return [later - earlier for earlier, later in itertools.pairwise(times)]


def test_twenty_that_never_read_dont_slow_a_healthy_page(server: PageServer, control: FakeControl) -> None:
    scene = Repeated(control, SIZE)
    alone, crowded = [], []
    with Pump(scene, server, fps=20) as pump:
        for _ in range(2):  # in turns
            alone += _intervals(server, 25)
            before = len(pump.seconds)
            with ExitStack() as pages:
                for _ in range(20):
                    pages.enter_context(_never_reading(server))
                crowded += _intervals(server, 25)
                took = statistics.median(pump.seconds[before:])
    # a frame comes every 50 ms in both; what the twenty cost would be seen long before they cost half of that
    assert statistics.median(crowded) < 1.5 * statistics.median(alone)
    assert took < 0.025  # seconds, in the pipeline's thread


def test_memory_is_bounded_by_two_frames_a_page(server: PageServer, control: FakeControl) -> None:
    scene = Repeated(control, SIZE)
    frame = 3 * SIZE * SIZE
    with ExitStack() as pages, Pump(scene, server, fps=60):
        tracemalloc.start()
        for _ in range(20):
            pages.enter_context(_never_reading(server))
        before = scene.number
        until(lambda: scene.number > before + 40, "frames that aren't read")
        held = tracemalloc.get_traced_memory()[0]
        tracemalloc.stop()
    # beside them: the still, the newest frame and the scene's own arrays
    assert held < (20 * 2 + 12) * frame


def _pages(server: PageServer) -> int:
    """How many pages are open, but for the one that asks."""
    with watch(server) as page:
        return int(next_text(page, "status")["pages"]) - 1


def _hung_up(line: socket.socket) -> bool:
    """Whether the other end is gone, without reading what it sent."""
    poll = select.poll()
    poll.register(line, select.POLLHUP | select.POLLERR)
    return bool(poll.poll(0))


def test_a_page_that_doesnt_acknowledge_is_closed(
    server: PageServer, control: FakeControl, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "TOO_SLOW", 0.5)
    with watch(server) as page, Pump(Repeated(control, SIZE), server):
        assert closed(page) == (1008, "too slow")


def test_a_page_that_cant_be_closed_is_cut_off(
    server: PageServer, control: FakeControl, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "TOO_SLOW", 0.5)
    monkeypatch.setattr(client, "GOODBYE", 0.3)
    with _never_reading(server):
        until(lambda: _pages(server) == 1, "the page")
        with Pump(Repeated(control, SIZE), server):
            until(lambda: _pages(server) == 0, "its end")
            with watch(server) as page:
                next_frame(page)


def test_a_page_that_asks_and_never_reads_is_cut_off(
    server: PageServer, control: FakeControl, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "_SPARE", 1000)
    monkeypatch.setattr(client, "GOODBYE", 0.3)
    pings = 100 * (bytes([0x89, 0x80 | 125, 0, 0, 0, 0]) + bytes(125))
    with _never_reading(server) as line:
        line.settimeout(PATIENCE)
        with suppress(ConnectionResetError, BrokenPipeError):
            while not _hung_up(line):
                line.sendall(pings)
    until(lambda: _pages(server) == 0, "its end")


def test_a_late_acknowledgement_brings_the_newest_frame(
    server: PageServer, control: FakeControl, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "STUCK", 0.1)
    scene = Scene(control)
    with watch(server) as page, Pump(scene, server, fps=100):
        first = next_frame(page, acknowledge=False).header["number"]
        until(lambda: scene.number > first + 50, "frames that nobody waits for")
        say(page, "shown", number=first)
        newest = scene.number
        until(lambda: next_frame(page).header["number"] >= newest, "a new frame")


def test_closing_waits_for_none_that_never_reads(control: FakeControl) -> None:
    server = PageServer(control, port=0)
    server.start()
    scene = Repeated(control, 2 * SIZE)  # two of its frames are more than the kernel takes
    with ExitStack() as pages, Pump(scene, server):
        for _ in range(5):
            pages.enter_context(_never_reading(server))
        until(lambda: scene.number > 20, "frames that aren't read")
        started = time.monotonic()
        server.close()
        assert time.monotonic() - started < 1


def test_a_connection_that_says_nothing_harms_nobody(server: PageServer, scene: Scene) -> None:
    port = int(server.name.rpartition(":")[2].rstrip("/"))
    with ExitStack() as lines:
        for _ in range(50):
            lines.enter_context(socket.create_connection(("127.0.0.1", port), 5)).sendall(b"GET / HT")
        scene.put(server)
        with connect(f"ws://127.0.0.1:{port}/socket", proxy=None) as page:
            next_frame(page)
