"""Tomograms that change while they are scanned, and clocks that jump."""

import os
import random
import signal
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from reliability.scans.trials import WHEN, Setting, Tally, Trial, moment

_ODD = 2 * WHEN  # in nanoseconds: later than now


def changed(setting: Setting, rng: np.random.Generator, count: int) -> Tally:
    """Written over in place, replaced, appended to, cut short, touched or moved away, at any moment."""
    tally = Tally(f"input ({setting.source}) changed meanwhile", setting.output)
    ways = list(WAYS if setting.source == ".mrc" else FOLDER_WAYS)
    while tally.tried < count:
        way, at = ways[tally.tried % len(ways)], moment(setting, rng)
        trial = setting.trial()
        running = trial.scan()
        running.until(trial.staging.exists)
        time.sleep(at * 0.9)
        if running.ended:
            continue
        way(trial)
        tally.tried += 1
        killed = tally.tried % 4 == 0
        if killed:  # before it can find out: then whoever goes on has to
            running.send(signal.SIGKILL)
        ended = running.wait()
        tally.note(ended, 0, 2, -signal.SIGKILL)
        when = f"{way.__name__} after {at:.3f} s ({ended})"
        trial.judge(tally, when, setting.expected)
        new = _other(trial, way)
        if trial.whole():  # it had read all of it before
            continue
        if new is None:
            trial.write_input(0)
            trial.finish(tally, when)
            continue
        kept = trial.begun()
        again = trial.scan().wait()
        if kept and (again.code != 2 or "what is left of another scan" not in again.err):
            tally.wrong.append(f"{when}; not refused, but {again}")
        trial.judge(tally, f"{when}; then again", new)
        trial.finish(tally, when, "--overwrite", expected=new)
    return tally


def _other(trial: Trial, way: Callable[[Trial], None]) -> dict[str, bytes] | None:
    """What a scan of the changed tomogram gives; None where there is none to be had of it."""
    if way in (overwritten, replaced, chunk_set_back):
        return trial.setting.changed
    return trial.setting.expected if way in (touched, appended) else None


def overwritten(trial: Trial) -> None:
    """Other values in place, of the same size, by a program with the file open."""
    other = trial.folder / "other.mrc"
    _write_other(trial, other)
    with trial.input.open("r+b") as file:
        file.write(other.read_bytes())


def replaced(trial: Trial) -> None:
    """Another file takes its name."""
    other = trial.folder / "other.mrc"
    _write_other(trial, other)
    other.replace(trial.input)


def appended(trial: Trial) -> None:
    """Bytes behind what the header promises."""
    with trial.input.open("ab") as file:
        file.write(b"more")


def truncated(trial: Trial) -> None:
    """Half of it."""
    os.truncate(trial.input, trial.input.stat().st_size // 2)


def touched(trial: Trial) -> None:
    """The same values, written again: nobody can know that they are the same."""
    os.utime(trial.input)


def moved(trial: Trial) -> None:
    """No file under its name."""
    trial.input.rename(trial.folder / "elsewhere")


def chunk_set_back(trial: Trial) -> None:
    """Other values in a store, by a machine whose clock is behind: no file is later than the latest one before."""
    names = [path.relative_to(trial.input) for path in trial.input.rglob("*") if path.is_file()]
    before = trial.input.rename(trial.folder / "before")
    trial.write_input(1)
    now = trial.input.rename(trial.folder / "now")
    before.rename(trial.input)
    for name in names:
        (trial.input / name).write_bytes((now / name).read_bytes())
        os.utime(trial.input / name, ns=(WHEN - 10**9, WHEN - 10**9))


WAYS = (overwritten, replaced, appended, truncated, touched, moved)
FOLDER_WAYS = (chunk_set_back, moved)


def _write_other(trial: Trial, place: Path) -> None:
    kept = trial.input
    trial.input = place
    trial.write_input(1)
    trial.input = kept
    os.utime(place)


def clock_jumps(setting: Setting, rng: np.random.Generator, count: int) -> Tally:
    """The clock jumps by years, to and fro, in the process and for what it left when it was killed."""
    tally = Tally("clock jumps", setting.output)
    while tally.tried < count:
        trial, at, seed = setting.trial(), moment(setting, rng), int(rng.integers(1 << 30))
        running = trial.scan(prepare=lambda seed=seed: jumping(seed))
        time.sleep(at)
        running.send(signal.SIGKILL)
        running.wait()
        if trial.whole():
            continue
        for path in trial.staging.rglob("*"):
            when = int(rng.choice([0, WHEN, _ODD]))
            os.utime(path, ns=(when, when))
        tally.tried += 1
        ended = trial.scan(prepare=lambda seed=seed: jumping(seed + 1)).wait()
        tally.note(ended, 0)
        trial.judge(tally, f"seed {seed}, killed after {at:.3f} s")
        trial.finish(tally, f"seed {seed}, killed after {at:.3f} s")
    return tally


def jumping(seed: int) -> None:
    """Let the time of day jump by up to ten years, at every tenth look at it."""
    chance, clock, ahead = random.Random(seed), time.time, [0.0]

    def jumped() -> float:
        if chance.random() < 0.1:
            ahead[0] = chance.uniform(-3e8, 3e8)
        return clock() + ahead[0]

    time.time = jumped
    time.time_ns = lambda: int(jumped() * 1e9)
