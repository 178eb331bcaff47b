"""A cluster of two processes that lose their lives while they scan, and a caller that does."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import numpy as np

from reliability.scans.processes import ROOT
from reliability.scans.trials import Setting, Tally

_PATIENCE = 240.0
_SERVER = """
import sys
from camfast.scan.tasks.cluster import local
if __name__ == "__main__":
    with local(2) as client:
        client.cluster.scheduler.allowed_failures = 1000
        print(client.scheduler.address, flush=True)
        for _ in sys.stdin:
            try:
                print(*client.run(__import__("os").getpid, on_error="ignore").values(), flush=True)
            except OSError:  # one has died this very moment
                print(flush=True)
"""


class Workers:
    """Two processes of a scheduler in a process of its own, as this one may have no threads where it forks."""

    def __init__(self, server: "subprocess.Popen[str]") -> None:
        self._server = server
        self.address = self._line()

    def _line(self) -> str:
        assert self._server.stdout is not None
        return self._server.stdout.readline().strip()

    def pids(self) -> list[int]:
        """Numbers of the processes, both of which are there after a while."""
        end = time.monotonic() + _PATIENCE
        while time.monotonic() < end:
            assert self._server.stdin is not None
            self._server.stdin.write("\n")
            self._server.stdin.flush()
            found = [int(one) for one in self._line().split()]
            if len(found) == 2:
                return found
            time.sleep(0.2)
        raise TimeoutError("the workers do not come back")


@contextmanager
def workers() -> Iterator[Workers]:
    """Start them."""
    script = f"import sys; sys.path.insert(0, {str(ROOT)!r})\n{_SERVER}"
    path = ROOT  # where the network's module is found
    server = subprocess.Popen(
        [sys.executable, "-c", script], cwd=path, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"}, start_new_session=True,
    )  # fmt: skip
    try:
        yield Workers(server)
    finally:
        assert server.stdin is not None
        server.stdin.close()
        with suppress(subprocess.TimeoutExpired):
            server.wait(30)
        with suppress(ProcessLookupError):
            os.killpg(server.pid, signal.SIGKILL)


def lost(setting: Setting, rng: np.random.Generator, count: int) -> Tally:
    """One worker or both are killed, once or twice, or the caller is, at any moment."""
    tally = Tally("workers or their caller lost", setting.output)
    with workers() as cluster:
        options = ("--scheduler", cluster.address)
        trial = setting.trial()
        began = time.perf_counter()
        tally.note(trial.scan(*options).wait(), 0)
        seconds = time.perf_counter() - began
        trial.judge(tally, "undisturbed workers")
        while tally.tried < count:
            kind, at = ("one", "both", "caller", "interrupt")[tally.tried % 4], float(rng.uniform(0, seconds))
            trial, pids = setting.trial(), cluster.pids()
            running = trial.scan(*options)
            time.sleep(at)
            if running.ended:
                continue
            if kind in ("one", "both"):
                for pid in pids if kind == "both" else pids[:1]:
                    with suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGKILL if rng.random() < 0.7 else signal.SIGTERM)
            else:
                running.send(signal.SIGKILL if kind == "caller" else signal.SIGINT)
            tally.tried += 1
            good = {"caller": (0, -signal.SIGKILL), "interrupt": (0, 130)}.get(kind, (0,))
            tally.note(running.wait(), *good)
            trial.judge(tally, f"{kind} lost after {at:.2f} s")
            trial.finish(tally, f"{kind} lost after {at:.2f} s", *options)
    return tally
