"""Several scans into one output: one does it, and the others are told who."""

import errno
import fcntl
import os
import re
import signal
import socket
import time
from collections.abc import Callable

import numpy as np

from camfast.scan.tasks import locking
from reliability.scans.trials import Setting, Tally, moment

HOST = socket.gethostname()
_BEAT, _WATCH = 0.1, 1.0  # seconds, so that nobody waits for long


def twice(setting: Setting, rng: np.random.Generator, count: int) -> Tally:
    """Two at any distance in time, the second one sometimes of other options: it is refused with the first's number."""
    tally = Tally("two runs on one output", setting.output)
    while tally.tried < count:
        trial, at = setting.trial(), moment(setting, rng, 0.9)
        more = [(), ("--overwrite",), ("--target", "3", "--overwrite")][tally.tried % 3]
        first = trial.scan()
        first.until(trial.held)
        time.sleep(at * rng.choice([0.0, 0.5]))
        if first.ended:
            continue
        first.send(signal.SIGSTOP)  # it can't end meanwhile
        held = (trial.staging / "lock").exists()
        second = trial.scan(*more).wait() if held else None
        first.send(signal.SIGCONT)
        ended = first.wait()
        if second is None:
            continue
        tally.tried += 1
        tally.note(second, 2)
        who = re.search(r"process (\d+) on (\S+) is scanning into it", second.err)
        if who is None or who.groups() != (str(first.pid), HOST):
            tally.wrong.append(f"the second one of process {first.pid}: {second}")
        if ended.code != 0:
            tally.wrong.append(f"the first one: {ended}")
        trial.judge(tally, "two at once")
        trial.finish(tally, "two at once")
    return tally


def after_a_kill(setting: Setting, rng: np.random.Generator, count: int) -> Tally:
    """Whoever was killed holds nothing, whether the file system has locks or not, and whichever machine it was on."""
    tally = Tally("run after one that was killed, without locks or elsewhere", setting.output)
    while tally.tried < count:
        trial, kind = setting.trial(), tally.tried % 3
        before: Callable[[], None] = [lacking_locks, _elsewhere, lacking_locks_elsewhere][kind]
        after: Callable[[], None] = [lacking_locks, _hasty, lacking_locks][kind]
        first = trial.scan(prepare=before)
        first.until(trial.begun)
        time.sleep(moment(setting, rng, 0.7))
        if kind != 1 and not first.ended:  # it lives: its record says so, where no lock does
            second = trial.scan(prepare=after).wait()
            if second.code != 2 or not ("is scanning into it" in second.err or "exists already" in second.err):
                tally.wrong.append(f"beside a living one: {second}")
        first.send(signal.SIGKILL)
        first.wait()
        trial.judge(tally, "killed")
        if trial.whole():
            continue
        tally.tried += 1
        tally.note(trial.scan(prepare=after).wait(), 0)
        trial.judge(tally, "taken over")
        trial.finish(tally, "taken over")
    return tally


def _hasty() -> None:
    locking._BEAT, locking._WATCH = _BEAT, _WATCH


def _elsewhere() -> None:
    _hasty()
    socket.gethostname = lambda: "another-machine"


def lacking_locks() -> None:
    """As on some file systems of clusters."""
    _hasty()

    def none(*_: object) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    fcntl.flock = none


def lacking_locks_elsewhere() -> None:
    """The same on another machine."""
    lacking_locks()
    _elsewhere()


def beside(setting: Setting, rng: np.random.Generator, count: int) -> Tally:
    """Two outputs whose side outputs have one name: what the first one wrote stays."""
    tally = Tally("two outputs with side outputs of one name", setting.output)
    other = "cam.zarr" if setting.output == "cam.mrc" else "cam.mrc"
    for _ in range(count):
        trial = setting.trial()
        first = trial.scan()
        time.sleep(moment(setting, rng, 0.3))
        second = trial.scan("--target", "3", output=other)
        tally.tried += 1
        ends = first.wait(), second.wait()
        tally.note(ends[0], 0, 2)
        if sorted(one.code or 0 for one in ends) != [0, 2]:
            tally.wrong.append(f"{ends[0]} and {ends[1]}")
        if ends[0].code == 0:
            trial.judge(tally, "beside another one")
    return tally
