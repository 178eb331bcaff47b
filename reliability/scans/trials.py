"""A small scan, what an undisturbed one gives, and what counts as wrong."""

import os
import shutil
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from camfast.scan import Volume, write_volumes
from reliability.scans.processes import Ended, Running, forked, started
from tests.scan.cases import contents, density

SHAPE = (30, 34, 38)
OUTPUTS = ("cam.mrc", "cam.zarr")
FACTORY = "from tests.scan.cases import small_network\n\n\ndef network():\n    return small_network()\n"
WHEN = 10**18  # the tomogram's time of change, in nanoseconds


@dataclass
class Tally:
    """What was tried of one kind, how it ended, and what was wrong."""

    what: str
    output: str
    tried: int = 0
    ends: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)

    def note(self, ended: Ended, *good: int | None) -> None:
        """Count an end; another exit code than these, and whatever is not for people, is wrong."""
        self.ends["hung" if ended.code is None else f"exit {ended.code}"] += 1
        if ended.code not in good or (ended.code is not None and ended.code >= 0 and not ended.said_well):
            self.wrong.append(str(ended))


class Setting:
    """One tomogram, one network, and one kind of output.

    Parameters
    ----------
    root
        Where all of it lies.
    output
        Name of the output.
    source
        Ending of the tomogram's name.
    """

    def __init__(self, root: Path, output: str, source: str = ".mrc") -> None:
        self.root, self.output, self.source = root / f"{output}-of-{source[1:]}", output, source
        self.root.mkdir(parents=True)
        self.network = root / "network.py"
        self.network.write_text(FACTORY)
        self._count = 0
        self.seconds = 0.0
        self.expected, took = self._undisturbed(0)
        self.changed, again = self._undisturbed(1)
        self.seconds = (took + again) / 2

    def trial(self) -> "Trial":
        """A new folder with the tomogram, to scan into."""
        self._count += 1
        return Trial(self, self.root / f"{self._count:05d}")

    def _undisturbed(self, seed: int) -> tuple[dict[str, bytes], float]:
        trial = self.trial()
        trial.write_input(seed)
        began = time.perf_counter()
        ended = trial.scan().wait()
        assert ended.code == 0, ended.err
        return trial.results(), time.perf_counter() - began


class Trial:
    """A folder to scan into, beside the tomogram's."""

    def __init__(self, setting: Setting, folder: Path) -> None:
        self.setting, self.folder = setting, folder
        self.out = folder / "out"
        self.out.mkdir(parents=True)
        self.input = folder / f"tomo{setting.source}"
        self.write_input(0)

    @property
    def staging(self) -> Path:
        """The folder of unfinished work."""
        return self.out / f".{self.setting.output}.partial"

    def write_input(self, seed: int) -> None:
        """Write a tomogram of a seed, its time of change always the same."""
        values = density(SHAPE, seed)
        shutil.rmtree(self.input, ignore_errors=True)
        write_volumes(self.input, [values], Volume(values, (10.0, 10.0, 10.0)))
        for path in (self.input, *self.input.rglob("*")):
            os.utime(path, ns=(WHEN, WHEN))

    def arguments(self, *more: str, output: str | None = None) -> list[str]:
        """Of the command line."""
        return [
            "scan", str(self.input), "-o", str(self.out / (output or self.setting.output)),
            "--model", f"{self.setting.network}:network", "--layer", "5", "--target", "2", "--method", "respond",
            "--window", "12,8,8", "--stride", "8,4,8", "--batch", "2", "--also", "scores,labels,picks", "--quiet",
            *more,
        ]  # fmt: skip

    def scan(
        self, *more: str, prepare: Callable[[], None] | None = None, anew: bool = False, output: str | None = None
    ) -> Running:
        """Start the scan; ``anew`` by a new interpreter."""
        log = self.folder / f"log-{len(list(self.folder.glob('log-*')))}"
        arguments = self.arguments(*more, output=output)
        return started(arguments, log) if anew else forked(arguments, log, prepare)

    def results(self) -> dict[str, bytes]:
        """What stands under final names."""
        found = contents(self.out) if self.out.is_dir() else {}
        return {name: content for name, content in found.items() if not name.startswith(".")}

    def whole(self) -> bool:
        """Whether the main output is there."""
        return (self.out / self.setting.output).exists()

    def held(self) -> bool:
        """Whether a scan has written down that it is at work."""
        try:
            return (self.staging / "lock").stat().st_size > 0
        except FileNotFoundError:
            return False

    def begun(self) -> bool:
        """Whether a part of the scan is kept."""
        return any(self.staging.glob("parts/[!.]*"))

    def judge(self, tally: Tally, when: str, *allowed: dict[str, bytes]) -> None:
        """Whatever stands under a final name has to be as in one undisturbed scan; all of it, where the map is."""
        found = self.results()
        allowed = allowed or (self.setting.expected,)
        if not any(found.items() <= one.items() for one in allowed):
            wrong = sorted(name for name, content in found.items() if allowed[0].get(name) != content)
            tally.wrong.append(f"{when}: {', '.join(wrong[:3])} differ from an undisturbed scan's")
        elif self.whole() and found not in allowed:
            missing = sorted(allowed[0].keys() - found.keys())
            tally.wrong.append(f"{when}: the map is there, and {', '.join(missing[:3])} are not")

    def finish(
        self,
        tally: Tally,
        when: str,
        *more: str,
        expected: dict[str, bytes] | None = None,
        keep: bool = False,
        anew: bool = False,
    ) -> None:
        """Give the same command again: it has to end with an undisturbed scan's bytes, and nothing beside them."""
        expected = self.setting.expected if expected is None else expected
        done = self.whole()
        self.out.mkdir(exist_ok=True)
        ended = self.scan(*more, anew=anew).wait()
        if ended.code != (2 if done and "--overwrite" not in more else 0) or not ended.said_well:
            tally.wrong.append(f"{when}; then {ended}")
        if self.results() != expected:
            differ = sorted({name for name, _ in {*self.results().items()} ^ {*expected.items()}})
            tally.wrong.append(f"{when}; then {', '.join(differ[:3])} differ from an undisturbed scan's")
        if left := [path.name for path in self.out.glob(".*")]:
            tally.wrong.append(f"{when}; then {', '.join(left)} is left")
        if not tally.wrong and not keep:
            shutil.rmtree(self.folder)


def moment(setting: Setting, rng: np.random.Generator, of: float = 1.0) -> float:
    """Seconds from a scan's start: any part of all its time."""
    return float(rng.uniform(0, of * setting.seconds))
