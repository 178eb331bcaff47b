"""A session that is measured from within and from without: its latencies, and clients that read or don't."""

import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from camfast.live import Looks, Session, Source
from camfast.live.serving import PageServer
from camfast.live.serving.application import SOCKET
from camfast.live.shown import Shown


class Watching:
    """A sink in front of the page, which notes latencies, and how old frames were when they were begun with."""

    name = "watching"

    def __init__(self, page: PageServer) -> None:
        self._page = page
        self.latencies: list[float] = []
        self.ages: list[float] = []
        self.stages: list[dict[str, float]] = []

    def put(self, shown: Shown) -> None:
        waited = (time.perf_counter() - shown.frame.time) * 1e3 - sum(shown.milliseconds.values())
        self._page.put(shown)
        self.latencies.append((time.perf_counter() - shown.frame.time) * 1e3)
        self.ages.append(waited)
        self.stages.append(dict(shown.milliseconds))

    def close(self) -> None:
        self._page.close()


class Client:
    """A healthy client in a process of its own; see `bench.live_client`."""

    def __init__(self, page: PageServer) -> None:
        address = page.name.replace("http", "ws", 1).rstrip("/") + SOCKET
        command = [sys.executable, "-m", "bench.live_client", address]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        if self._process.stdout.readline() != "open\n":
            raise SystemExit("the client couldn't connect")

    def stop(self) -> int:
        """End it, and return how many overlays it had."""
        output, _ = self._process.communicate(timeout=10)
        return int(output)


@dataclass
class Watched:
    """A session that is being measured."""

    session: Session
    page: PageServer
    watching: Watching


@contextmanager
def watched(source: Source, looks: Looks) -> Iterator[Watched]:
    """A session with its page."""
    session = Session(source, looks)
    page = PageServer(session, port=0)
    page.start()
    watching = Watching(page)
    session.add(watching)
    with session:
        yield Watched(session, page, watching)


def resident() -> float:
    """Megabytes of this process in memory."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096 / 1e6


def silent(page: PageServer) -> socket.socket:
    """A client that asks for overlays and never reads."""
    host, port = page.name.removeprefix("http://").rstrip("/").split(":")
    connection = socket.create_connection((host, int(port)))
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    connection.sendall(
        f"GET {SOCKET} HTTP/1.1\r\nHost: {host}:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n\r\n".encode()
    )
    return connection
