"""Measure the server and one page of good faith before, during and after the load, and judge."""

import http.client
import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from select import select
from statistics import median
from tempfile import TemporaryFile
from typing import IO, Any

import psutil
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from camfast.live.serving import hub, lines
from reliability.connections import SIZE, TOKEN

ROOT = Path(__file__).resolve().parents[2]
MIB = 1 << 20
FRAME = 4 * SIZE * SIZE  # overlay and frame, raw
SLACK = 16 * MIB  # allocator, encoders' buffers, the server's own objects
FRESH = 5.0  # seconds in which a page that opens is served, also under load, on a machine that does other things
RARE = 5.0  # seconds without a frame that a page of good faith may see under floods, which take all processors
LATE = 5.0  # seconds that a busy machine may be late with what is due
SELDOM = 1.0  # frames a second that it gets at least


@dataclass
class State:
    """What a process holds."""

    memory: int
    descriptors: int
    threads: int

    @classmethod
    def of(cls, process: psutil.Process) -> "State":
        return cls(process.memory_info().rss, process.num_fds(), process.num_threads())


@dataclass
class Phase:
    """What was seen in a while."""

    seconds: float
    most: State
    gaps: list[float] = field(default_factory=list)
    opened: list[float] = field(default_factory=list)

    def words(self) -> tuple[str, ...]:
        slowest = f"{1e3 * max(self.gaps):.0f}" if self.gaps else "none"
        return (
            f"{self.seconds:.0f}",
            f"{self.most.memory / MIB:.0f}",
            str(self.most.descriptors),
            str(self.most.threads),
            f"{len(self.gaps) / self.seconds:.1f}",
            f"{1e3 * median(self.gaps):.0f}" if self.gaps else "none",
            slowest,
            f"{1e3 * max(self.opened):.0f}" if self.opened else "none",
        )


@dataclass
class Measured:
    """All of a campaign."""

    before: Phase
    during: Phase
    after: Phase
    seen: dict[str, int]
    said: str
    lifetime: float
    closed: str = ""

    def faults(self) -> list[str]:
        """What was wrong."""
        before, most, after = self.before.most, self.during.most, self.after.most
        pages = hub.MOST
        bounds = {
            "memory under load": (most.memory, before.memory + 2 * pages * FRAME + SLACK),
            "memory afterwards": (after.memory, before.memory + 2 * pages * FRAME + SLACK),
            "descriptors under load": (most.descriptors, before.descriptors + lines.ALL + 32),
            "descriptors afterwards": (after.descriptors, before.descriptors),
            "threads under load": (most.threads, before.threads),
            "threads afterwards": (after.threads, before.threads),
            "milliseconds of a request that never ends": (
                self.seen.get("longest of these, ms", 0), 1e3 * (self.lifetime + LATE)),
            "guesses that got in": (self.seen.get("GUESSES THAT GOT IN", 0), 0),
            "lines that the server printed": (len(self.said.splitlines()), 0),
        }  # fmt: skip
        found = [
            f"{what}: {value:,.0f}, at most {bound:,.0f}" for what, (value, bound) in bounds.items() if value > bound
        ]
        found += [f"it printed {line!r}" for line in dict.fromkeys(self.said.splitlines()[:20])]
        if TOKEN in self.said:
            found.append("the token stands in what the server printed")
        if self.closed:
            found.append(f"a page of good faith was sent away: {self.closed}")
        if len(self.during.gaps) < SELDOM * self.during.seconds:
            found.append(f"a page of good faith got {len(self.during.gaps)} frames in {self.during.seconds:.0f} s")
        for what, worst, bound in (
            ("a page of good faith waited for a frame", max(self.during.gaps, default=99), RARE),
            ("a page that opened waited", max(self.during.opened, default=99), FRESH),
        ):
            if worst > bound:
                found.append(f"{what} {worst:.2f} s, at most {bound:.0f} s")
        kinds = ("guesses refused", "messages of floods", "requests that never end", "nonsense", "frames read by them")
        return found + [f"nothing was tried of: {kind}" for kind in kinds if not self.seen.get(kind)]


def run(each: dict[str, int], seconds: float, *, lifetime: float, too_slow: float) -> Measured:
    """Let the load on a server, and watch both."""
    with TemporaryFile() as said, _server(lifetime, too_slow, said) as (process, port), _Page(port) as page:
        quiet = min(5.0, seconds)
        before = _watched(page, process, port, quiet)
        with _attackers(port, each, seconds + 1) as attackers:
            assert attackers.stdout is not None
            page.read_until(lambda: bool(select([attackers.stdout], [], [], 0)[0]), 60)
            during = _watched(page, process, port, seconds)
            page.read_until(lambda: attackers.poll() is not None, 60)
            seen = json.loads(attackers.stdout.read().splitlines()[-1])
        page.read_until(lambda: State.of(process).descriptors <= before.most.descriptors, lifetime + 10)
        after = _watched(page, process, port, quiet)
        said.seek(0)
        return Measured(before, during, after, seen, said.read().decode(errors="replace"), lifetime, page.closed)


@contextmanager
def _attackers(port: int, each: dict[str, int], seconds: float) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", "reliability.connections.attackers", str(port), str(seconds), json.dumps(each)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as attackers:
        try:
            yield attackers
        finally:
            attackers.kill()


@contextmanager
def _server(lifetime: float, too_slow: float, said: IO[bytes]) -> Iterator[tuple[psutil.Process, int]]:
    command = [sys.executable, "-m", "reliability.connections.server"]
    command += ["--lifetime", str(lifetime), "--too-slow", str(too_slow)]
    with subprocess.Popen(
        command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=said, text=True
    ) as server:
        assert server.stdin is not None
        assert server.stdout is not None
        try:
            address = server.stdout.readline()
            yield psutil.Process(server.pid), int(address.rpartition(":")[2].strip("/\n"))
        finally:
            server.stdin.close()
            try:
                server.wait(20)
            except subprocess.TimeoutExpired:
                server.kill()


class _Page:
    """A page of good faith: it reads and acknowledges all the time."""

    def __init__(self, port: int) -> None:
        self.closed = ""
        self._socket = connect(
            f"ws://127.0.0.1:{port}/socket", additional_headers={"Authorization": f"Bearer {TOKEN}"}, compression=None,
            max_size=None, proxy=None, open_timeout=30,
        )  # fmt: skip

    def __enter__(self) -> "_Page":
        self._socket.__enter__()
        return self

    def __exit__(self, *raised: Any) -> None:
        self._socket.__exit__(*raised)

    def next_frame(self) -> bool:
        """Read one message, and acknowledge a frame."""
        try:
            message = self._socket.recv(0.2)
            if isinstance(message, str):
                return False
            length = int.from_bytes(message[:4], "little")
            number = json.loads(message[4 : 4 + length])["number"]
            self._socket.send(json.dumps({"type": "shown", "number": number}))
        except TimeoutError:
            return False
        except ConnectionClosed as end:
            self.closed = str(end)
            time.sleep(0.2)
            return False
        return True

    def read_until(self, done: Callable[[], bool], patience: float) -> None:
        """Go on being a page until something is done, but not for ever."""
        deadline = time.monotonic() + patience
        while not done() and time.monotonic() < deadline:
            self.next_frame()


def _watched(page: _Page, process: psutil.Process, port: int, seconds: float) -> Phase:
    """Be that page for a while; now and then another one opens, and what the server holds is looked at."""
    started = time.monotonic()
    phase = Phase(seconds, State.of(process))
    last, looked = started, 0.0
    fetching = threading.Thread(target=_fetch, args=(port, started + seconds, phase.opened))
    fetching.start()
    while (now := time.monotonic()) < started + seconds:
        if page.next_frame():
            phase.gaps.append(time.monotonic() - last)
            last = time.monotonic()
        if now - looked > 0.1:
            looked, state = now, State.of(process)
            phase.most = State(*(max(pair) for pair in zip(_all(phase.most), _all(state), strict=True)))
    page.read_until(lambda: not fetching.is_alive(), 60)
    return phase


def _all(state: State) -> tuple[int, int, int]:
    return state.memory, state.descriptors, state.threads


def _fetch(port: int, until: float, opened: list[float]) -> None:
    while time.monotonic() < until:
        opened.append(_fetched(port))
        time.sleep(0.5)


def _fetched(port: int) -> float:
    """Seconds in which a new connection gets the page."""
    started = time.monotonic()
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        connection.request("GET", "/live.js", headers={"Authorization": f"Bearer {TOKEN}"})
        status = connection.getresponse().status
    except OSError:
        return 99.0
    finally:
        connection.close()
    return time.monotonic() - started if status == 200 else 99.0


def rows(measured: Measured) -> list[tuple[str, ...]]:
    """The table."""
    phases: list[tuple[str, Any]] = [("before", measured.before), ("load", measured.during), ("after", measured.after)]
    return [(name, *phase.words()) for name, phase in phases]


COLUMNS = (
    "", "s", "memory MiB", "descriptors", "threads", "frames/s of a good page", "between frames ms", "longest ms",
    "new page ms",
)  # fmt: skip
