"""What is new in a folder: noticed by the system, or found by a look at the folder now and then."""

import os
import stat
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from camfast._extras import require
from camfast.live.frames import SourceError

LOOK_SECONDS = 1.0
LOOK_SHARE = 0.05  # of the time, at most: a look at very many files takes long
NOTICE_MS = 20  # a wait for notices that is over is noticed so late
SETTLE_MS = 5  # notices that come together are taken together

Stamp = tuple[int, int, int]  # time of the last change in ns, bytes, inode


class Watched:
    """Files of a folder whose names fit a pattern, and what has changed among them since it was asked last.

    Parameters
    ----------
    folder
        Has to exist only once it is started.
    pattern
        Of the names below the folder, as a shell's: ``*.tif``, ``*/*.tif`` or ``**/*.tif``. Names that start with a
        dot are left out.
    wanted
        Whether a file is of use, by its path.
    """

    def __init__(self, folder: Path, pattern: str, wanted: Callable[[Path], bool]) -> None:
        self._watchfiles = require("watchfiles", "live", "watching a folder")
        self._folder, self._patterns, self._wanted = folder, pattern.split("/"), wanted
        self._known: dict[Path, Stamp] = {}
        self._notices: Generator[set[tuple[Any, str]], None, None] | None = None
        self._look_at = 0.0

    def start(self) -> None:
        """Begin to watch; what is known stays known.

        Raises
        ------
        SourceError
            If the folder isn't there.
        """
        self._check()
        self._watch()
        self._look_at = 0.0

    def changed(self, timeout: float) -> dict[Path, Stamp]:
        """Wait until files are new or changed, at most so many seconds; empty where none are.

        Raises
        ------
        SourceError
            If the folder isn't there any more.
        """
        end = time.perf_counter() + timeout
        while True:
            now = time.perf_counter()
            if now >= self._look_at:
                first, found = self._look_at == 0, self._look()
                if found and not first and self._notices is not None:
                    self._watch()  # no notice came of these: it may be another folder of the same name
            else:
                found = self._noticed(max(0.0, min(end, self._look_at) - now))
            if found or time.perf_counter() >= end:
                return found

    def stop(self) -> None:
        """Watch no longer."""
        if self._notices is not None:
            self._notices.close()
            self._notices = None

    def _watch(self) -> None:
        self.stop()
        self._notices = self._watchfiles.watch(
            self._folder,
            watch_filter=None,
            debounce=4 * SETTLE_MS,
            step=SETTLE_MS,
            rust_timeout=NOTICE_MS,
            yield_on_timeout=True,
            recursive=len(self._patterns) > 1,
            ignore_permission_denied=True,
        )
        self._noticed(0)  # only now it watches

    def _check(self) -> None:
        try:
            there = self._folder.is_dir()
        except OSError as error:  # such as a network drive that is gone
            raise SourceError(f"{self._folder} can't be read: {error.strerror}") from None
        if not there:
            raise SourceError(f"{self._folder}: there is no such folder; it is watched as soon as there is one")

    def _noticed(self, timeout: float) -> dict[Path, Stamp]:
        """Wait for notices; without a watch, which a system may refuse, just wait."""
        end = time.perf_counter() + timeout
        while self._notices is not None:
            try:
                notices = next(self._notices)
            except (OSError, RuntimeError):  # too many watches, or a file system without notices
                self.stop()
                break
            if notices:
                self._check()
                return self._new(Path(path) for _, path in notices)
            if time.perf_counter() >= end:
                return {}
        time.sleep(max(0.0, end - time.perf_counter()))
        return {}

    def _look(self) -> dict[Path, Stamp]:
        start = time.perf_counter()
        self._check()
        paths = list(self._listed())
        found = self._new(paths)
        for path in self._known.keys() - set(paths):
            del self._known[path]
        now = time.perf_counter()
        self._look_at = now + max(LOOK_SECONDS, (now - start) / LOOK_SHARE)
        return found

    def _listed(self) -> Iterator[Path]:
        if len(self._patterns) > 1:
            yield from self._folder.glob("/".join(self._patterns))
            return
        try:
            yield from (self._folder / name for name in os.listdir(self._folder))  # noqa: PTH208 - names are enough
        except OSError as error:
            raise SourceError(f"{self._folder} can't be read: {error.strerror}") from None

    def _new(self, paths: Iterable[Path]) -> dict[Path, Stamp]:
        """Return those of the paths that are wanted and aren't known as they are, and know them."""
        found = {}
        for path in paths:
            if path.name.startswith(".") or not self._wanted(path):
                continue
            stamp = _stamp(path) if _fits(path.relative_to(self._folder).parts, self._patterns) else None
            if stamp is not None and stamp != self._known.get(path):
                found[path] = self._known[path] = stamp
        return found


def _stamp(path: Path) -> Stamp | None:
    """Return what changes whenever a file does; None where there is no such file."""
    try:
        status = path.stat()
    except OSError:
        return None
    return (status.st_mtime_ns, status.st_size, status.st_ino) if stat.S_ISREG(status.st_mode) else None


def _fits(parts: Sequence[str], patterns: Sequence[str]) -> bool:
    """Whether the parts of a path fit those of a pattern; ``**`` stands for any number of folders."""
    if not parts or not patterns:
        return not parts and not patterns
    if patterns[0] == "**":
        return _fits(parts, patterns[1:]) or _fits(parts[1:], patterns)
    return fnmatchcase(parts[0], patterns[0]) and _fits(parts[1:], patterns[1:])
