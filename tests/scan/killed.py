"""Scans that are killed by SIGKILL and go on: a program of its own, as only a process without threads may fork.

``python -m tests.scan.killed moments|moves NAME FOLDER`` prints as JSON what happened; `test_resume` judges it.
"""

import importlib
import json
import os
import shutil
import signal
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

import camfast
from camfast.scan import Volume, write_volumes
from camfast.scan.tasks.staging import Staging
from tests.scan.cases import STRIDE, WINDOW, contents, cut_small, density, small_network

MOMENTS = 6  # python -m reliability.scans tries fifty
MOVES = (*range(9), 20)  # the last ones when the folder is removed, file by file
SHAPE = (30, 34, 38)


def make_small() -> None:
    """Many bricks and blocks of a small volume, for there to be many places to be killed at; import what is slow."""
    for module in ("torch._dynamo", "zarr", "mrcfile", "gemmi.cif"):
        importlib.import_module(module)
    cut_small()


def scanned(out: Path, **options: object) -> None:
    """Scan into a file, with everything that can be written beside it."""
    explainer = camfast.Explainer(small_network(), "5", "respond")
    options = {"window": WINDOW, "stride": STRIDE, "target": 2, "batch": 1, "progress": False, **options}
    camfast.scan(out.with_name("tomo.mrc"), explainer, out=out, also=["scores", "labels", "picks"], **options)


def in_child(task: Callable[[], None], seconds: float | None = None) -> str:
    """Do a task in a process of its own, ``"done"``, ``"failed"`` or ``"killed"``: after some time, or by itself."""
    child = os.fork()
    if child == 0:
        code = 0
        try:
            task()
        except BaseException:
            traceback.print_exc()
            code = 1
        finally:
            os._exit(code)
    if seconds is not None:
        time.sleep(seconds)
        os.kill(child, signal.SIGKILL)  # of no effect where it has ended already
    status = os.waitpid(child, 0)[1]
    return "killed" if os.WIFSIGNALED(status) else "failed" if os.waitstatus_to_exitcode(status) else "done"


def results(folder: Path) -> dict[str, bytes]:
    """What stands under final names."""
    return {
        name: content
        for name, content in contents(folder).items()
        if not name.startswith(".") and not name.startswith("tomo")
    }


def prepared(folder: Path) -> Path:
    folder.mkdir()
    write_volumes(folder / "tomo.mrc", [density(SHAPE)], Volume(density(SHAPE), (10.0, 10.0, 10.0)))
    os.utime(folder / "tomo.mrc", ns=(10**18, 10**18))
    return folder


def at_moments(name: str, folder: Path) -> dict[str, object]:
    """Kill it at random moments of all its time, and go on; begin anew where it got to its end before that."""
    options = {"stride": (4, 4, 4), "trunk": "shared" if name.endswith("zarr") else "exact"}
    undisturbed = prepared(folder / "undisturbed")
    began = time.perf_counter()
    assert in_child(lambda: scanned(undisturbed / name, **options)) == "done"
    seconds = time.perf_counter() - began
    expected = results(undisturbed)
    disturbed = prepared(folder / "disturbed")
    out, staging = disturbed / name, Staging(disturbed / name)
    rng = np.random.default_rng(len(name))
    left, wrong, ends = [], [], 0
    while len(left) < MOMENTS or not out.exists():
        limit = rng.uniform(0, seconds) if len(left) < MOMENTS else None
        end = in_child(lambda: scanned(out, **options), limit)
        found = results(disturbed)
        wrong += [one for one, content in found.items() if expected.get(one) != content]
        if end == "killed":
            left.append([len(list(place.glob("[!.]*"))) for place in (staging.parts, staging.blocks)])
        if end == "failed":
            return {"failed": left}
        if out.exists():
            ends += 1
            wrong += sorted(expected.keys() ^ found.keys())
            if len(left) < MOMENTS:
                for path in disturbed.glob("cam*"):
                    shutil.rmtree(path) if path.is_dir() else path.unlink()
    again = in_child(lambda: scanned(out, **options))  # refused, as the output exists; what a kill left is removed
    hidden = sorted(path.name for path in disturbed.glob(".*"))
    return {"left": left, "wrong": wrong, "ends": ends, "again": again, "hidden": hidden, "names": sorted(expected)}


class Killer:
    """Kills the process in front of the k-th call from now on that moves or removes something."""

    def __init__(self, which: int) -> None:
        self.left = which
        for name in ("replace", "rename", "unlink", "rmdir"):
            setattr(os, name, self._guarded(getattr(os, name)))

    def _guarded(self, function: Callable[..., None]) -> Callable[..., None]:
        def call(*arguments: object, **options: object) -> None:
            if self.left == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            self.left -= 1
            function(*arguments, **options)

        return call


def published(out: Path, which: int | None, **options: bool) -> str:
    """Scan on, and be killed at a call of the publishing; None: not at all."""
    publish = Staging.publish

    def armed(self: Staging, outputs: list[Path], **options: bool) -> None:
        Killer(which)
        publish(self, outputs, **options)

    def task() -> None:
        if which is not None:
            Staging.publish = armed
        scanned(out, **options)

    return in_child(task)


def at_moves(name: str, folder: Path, *, overwrite: bool) -> dict[str, object]:
    """Kill it at every move of the outputs to their places, twice in a row, and go on."""
    undisturbed, work, kept = prepared(folder / "undisturbed"), prepared(folder / "work"), folder / "kept"
    out = work / name
    assert in_child(lambda: scanned(undisturbed / name)) == "done"
    if overwrite:
        assert in_child(lambda: scanned(out, blend="mean")) == "done"
    new, old = results(undisturbed), results(work)
    assert published(out, 0, overwrite=overwrite) == "killed"
    shutil.copytree(work, kept)
    torn: list[object] = []
    ends: list[list[str]] = []
    hidden: list[str] = []
    for which in MOVES:
        shutil.rmtree(work)
        shutil.copytree(kept, work)
        ends.append([])
        for call in (which, which, None):
            if call is None and results(work) == new and not any(work.glob(".*")):
                continue  # nothing is left to do, and whoever tries is told that the output exists
            ends[-1].append(published(out, call, overwrite=overwrite))
            found = results(work)
            torn += [[which, one] for one, value in found.items() if value not in (old.get(one), new.get(one))]
        torn += [[which, one] for one in new.keys() ^ results(work).keys()]
        hidden += [path.name for path in work.glob(".*")]
    return {"torn": torn, "ends": ends, "hidden": hidden, "changed": old != new, "equal": results(work) == new}


if __name__ == "__main__":
    torch.set_num_threads(1)
    make_small()
    what, name, folder = sys.argv[1:]
    if what == "moments":
        facts = at_moments(name, Path(folder))
    else:
        facts = at_moves(name, Path(folder), overwrite=what == "overwriting")
    print(json.dumps(facts))
