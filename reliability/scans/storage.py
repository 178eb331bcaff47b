"""Disks that are full or can't be written to, and folders that are deleted under a scan."""

import os
import resource
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from reliability.scans.trials import Setting, Tally, Trial, moment

MOUNTING = os.geteuid() == 0
"""Whether small disks can be mounted here; files are limited instead, and rights taken away, where not."""
DELETED = ("", ".", "parts", "blocks", "done", "job.json", "lock", "output", "a file", "a file", "a file")


@contextmanager
def _disk(folder: Path, size: int) -> Iterator[bool]:
    """A small disk of its own in place of a folder, where it can be had."""
    if MOUNTING:
        made = _mount("-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder))
    try:
        yield MOUNTING and made
    finally:
        if MOUNTING and made:
            subprocess.run(["umount", "--lazy", str(folder)], check=True)


def _mount(*arguments: str) -> bool:
    return subprocess.run(["mount", *arguments], capture_output=True, check=False).returncode == 0


def full(setting: Setting, rng: np.random.Generator, count: int) -> Tally:
    """A disk with room for a part of what is written; then there is room again."""
    tally = Tally("disk full", setting.output)
    needed = 2 * sum(map(len, setting.expected.values()))
    for _ in range(count):
        trial, room = setting.trial(), int(rng.uniform(0, needed))
        with _disk(trial.out, max(room, 4096) // 4096 * 4096) as small:
            tally.tried += 1
            limit = None if small else int(rng.uniform(100, 60_000))
            tally.note(trial.scan(prepare=lambda limit=limit: _limited(limit)).wait(), 0, 2)
            when = f"{room:,} bytes of room" if small else f"files of at most {limit} bytes"
            trial.judge(tally, when)
            if small:
                _mount("-o", "remount,size=64m", str(trial.out))
            trial.finish(tally, when, keep=True)
        shutil.rmtree(trial.folder)
    return tally


def _limited(size: int | None) -> None:
    if size is not None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))


def read_only(setting: Setting, rng: np.random.Generator, count: int) -> Tally:
    """A folder that can't be written to, from the beginning or from any moment on; then it can again."""
    tally = Tally("output folder made read-only", setting.output)
    for number in range(count):
        trial, at = setting.trial(), 0.0 if number == 0 else moment(setting, rng)
        with _disk(trial.out, 64 << 20) as small:
            running = trial.scan() if number else None
            time.sleep(at)
            if small:  # fails for the moment that a file is open for writing
                while not _mount("-o", "remount,ro", str(trial.out)):
                    time.sleep(0.001)
            else:
                trial.out.chmod(0o555)
            tally.tried += 1
            tally.note((running or trial.scan()).wait(), 0, 2)
            trial.judge(tally, f"read-only after {at:.3f} s")
            _mount("-o", "remount,rw", str(trial.out)) if small else trial.out.chmod(0o755)
            trial.finish(tally, f"read-only after {at:.3f} s", keep=True)
        shutil.rmtree(trial.folder)
    return tally


def deleted(setting: Setting, rng: np.random.Generator, count: int) -> Tally:
    """The output's folder, that of unfinished work, or something in it is deleted at any moment."""
    tally = Tally("output deleted meanwhile", setting.output)
    while tally.tried < count:
        what, at = DELETED[tally.tried % len(DELETED)], moment(setting, rng)
        trial = setting.trial()
        running = trial.scan()
        running.until(trial.staging.exists)
        time.sleep(at * 0.9)
        if running.ended:
            shutil.rmtree(trial.folder)
            continue
        gone = _delete(trial, what, rng)
        tally.tried += 1
        ended = running.wait()
        tally.note(ended, 0, 2)
        when = f"{gone} deleted after {at:.3f} s ({ended})"
        if what != ".":  # what was deleted with its folder after the end was deleted by a person
            trial.judge(tally, when)
        if trial.whole() or (ended.code == 0 and gone != "everything"):
            trial.judge(tally, when)
        else:
            trial.finish(tally, when)
        shutil.rmtree(trial.folder, ignore_errors=True)
    return tally


def _delete(trial: Trial, what: str, rng: np.random.Generator) -> str:
    """Delete it at once where it is a folder, as nobody may write there meanwhile; what it was."""
    place = trial.out if what == "." else trial.staging / what
    if what == "output":
        place = trial.staging / "done" / trial.setting.output
    if what == "a file":
        files = sorted(path for path in trial.staging.rglob("*") if path.is_file())
        if not files:
            return "nothing"
        place = files[int(rng.integers(len(files)))]
    try:
        if place.is_dir():
            shutil.rmtree(place.rename(trial.folder / "gone"), ignore_errors=True)
        else:
            place.unlink()
    except FileNotFoundError:
        return "nothing"
    return "everything" if what == "." else str(place.relative_to(trial.out))
