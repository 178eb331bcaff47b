"""The hour, in seconds; and that it notices what it is for."""

import mmap
import socket
import threading
from pathlib import Path

import pytest
import torch

from reliability.soak import __main__ as program
from reliability.soak import explaining, living
from reliability.soak.census import Count, at_rest, drift
from reliability.soak.explaining import Explaining, WrongError
from reliability.soak.living import Living
from reliability.soak.recording import Recording
from reliability.soak.scanning import Scanning


def _turns(work: program.Work, count: int) -> None:
    for _ in range(count):
        work.turn()


@pytest.mark.timeout(300)
def test_everything_at_once(tmp_path: Path) -> None:
    report = program.soak(4.0, tmp_path, every=0.2)
    facts = dict(row[:2] for row in report.rows)
    missed = [what for what in report.measurements[0]["missed"] if not what.startswith("memory")]  # it is all warm-up
    assert not missed, (missed, report.measurements[0]["troubles"])
    assert int(facts["frames checked"]) > 0


def test_a_drift_is_the_last_tenth_over_the_first() -> None:
    steady = [Count(i, 100.0 + (50.0 if i % 7 == 3 else 0.0), 9, 8) for i in range(100)]
    assert drift(steady) == 0.0
    assert drift([Count(i, 100.0 + i, 9, 8) for i in range(100)]) == 90.0


def test_memory_descriptors_and_threads_are_counted() -> None:
    before = at_rest()
    held = mmap.mmap(-1, 40_000_000)  # an allocator may have room already
    held.write(bytes(len(held)))
    ends = socket.socketpair()
    going = threading.Event()
    thread = threading.Thread(target=going.wait)
    thread.start()
    try:
        during = at_rest()
    finally:
        going.set()
        thread.join()
        for end in ends:
            end.close()
    assert during.resident - before.resident > len(held) / 1e6 * 0.9  # what is garbage may go meanwhile
    assert during.descriptors == before.descriptors + 2
    assert during.threads == before.threads + 1


def test_other_bits_are_noticed() -> None:
    work = Explaining()
    _turns(work, 12)
    name, first = next(iter(work._first.items()))
    work._first[name] = torch.nextafter(first, torch.tensor(torch.inf))
    with pytest.raises(WrongError, match="other bits than the first time"):
        _turns(work, 12)


def test_a_map_that_is_not_autograds_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    cam = explaining.camfast.cam
    monkeypatch.setattr(explaining.camfast, "cam", lambda *a, **k: cam(*a, **k) * 1.001)
    with pytest.raises(WrongError, match="from plain autograd in float64"):
        Explaining()


def test_other_bytes_of_a_scan_are_noticed(tmp_path: Path) -> None:
    scanning = Scanning(tmp_path)
    _turns(scanning, 4)
    first = next(iter(scanning._first.values()))
    name = next(name for name in first if name.endswith(".mrc"))
    first[name] = first[name][:-1] + bytes([first[name][-1] ^ 1])
    with pytest.raises(WrongError, match=name):
        scanning.turn()


def test_another_recording_is_noticed(tmp_path: Path) -> None:
    recording = Recording(tmp_path)
    recording.turn()
    assert recording._first is not None
    recording._first[0] += 1
    with pytest.raises(WrongError, match="others than the first time"):
        recording.turn()


def test_an_overlay_of_something_else_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(living, "_CHECKED", 1)
    grid = living.oracle.grid
    monkeypatch.setattr(living.oracle, "grid", lambda *a, **k: grid(*a, **k) * 1.01)
    with Living(fps=20) as shown, pytest.raises(WrongError, match="isn't that of plain autograd"):
        _turns(shown, 4)


def test_trouble_ends_it_and_is_told() -> None:
    class Failing:
        name = "failing"

        def turn(self) -> None:
            raise WrongError("as planned")

    worker = program.Worker([Failing()])
    worker.start()
    worker.join(10)
    assert not worker.is_alive()
    assert "as planned" in worker.trouble
