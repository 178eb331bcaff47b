"""A folder that fills: ``watch:DIR/*.tif``."""

import re
import time
from pathlib import Path

from camfast.errors import InputError
from camfast.live.frames import BrokenFrameError, Frame, SourceError
from camfast.live.sources.pictures import READERS, UnfinishedError, read_picture
from camfast.live.sources.watched import Stamp, Watched
from camfast.live.spec import Spec
from camfast.scan.files import ending_of

PATIENCE = 5.0
_WILD = re.compile(r"[*?[]")


class FolderSource:
    """The newest file of a folder, each time there is one: TIFF, PNG, JPEG, BMP, MRC or EM.

    Of the files that are there at the start only the newest is a frame. Of several that arrive together the newest is,
    and the others' numbers are skipped. A file that is written again is another frame.

    A file may still be being written: one that can't be read is tried again whenever it changes, while other files
    go on being frames, and is given up as broken once it hasn't changed for some seconds. A broken file has no number.

    Parameters
    ----------
    folder
        Where to look; it may come later, and go and come again.
    pattern
        Of the names, such as ``*.tif``, or ``*/*.tif`` for folders below it.
    volume
        Whether files of several pages are volumes; else their last page is the frame.
    patience
        Seconds that an unfinished file is waited for since its last change.

    Raises
    ------
    InputError
        If the pattern is that of files that can't be read.
    """

    def __init__(
        self, folder: str | Path, pattern: str = "*", *, volume: bool = False, patience: float = PATIENCE
    ) -> None:
        asked = Path(folder).expanduser()
        self._folder, self._volume, self._patience = asked.absolute(), volume, patience  # as notices name files
        self.name = f"watch:{asked / pattern}" + ("?volume=1" if volume else "")
        ending = ending_of(Path(pattern)) if not _WILD.search(Path(pattern).suffix or "*") else None
        if ending is not None and ending not in READERS:
            raise InputError(f"{self.name}: no reader for {ending}; there are {', '.join(READERS)}")
        self._watched = Watched(self._folder, pattern, lambda path: ending_of(path) in READERS)
        self._fresh: dict[Path, Stamp] = {}
        self._unfinished: dict[Path, tuple[float, str]] = {}  # since when, and what is wrong with it
        self._number = 0
        self._started = self._running = False

    @classmethod
    def of(cls, spec: Spec) -> "FolderSource":
        """Make what a person asked for as ``watch:DIR/*.tif``, ``?volume=1``; ``watch:DIR`` takes every picture."""
        spec.check_options("volume")
        if not spec.place:
            raise InputError(f"{spec.text}: expected a folder and a pattern, such as watch:run1/*.tif")
        path = Path(spec.place).expanduser()
        parts = path.parts
        plain = next((place for place, part in enumerate(parts) if _WILD.search(part)), None)
        if plain is None and not path.is_dir() and ending_of(path) in READERS:
            plain = len(parts) - 1  # a file that is written again and again
        if plain is None:
            return cls(path, volume=spec.flag("volume"))
        return cls(Path(*parts[:plain]), "/".join(parts[plain:]), volume=spec.flag("volume"))

    def open(self) -> None:
        """Begin to watch, the first time with the newest file; later with what has come since."""
        self._watched.start()
        if not self._started:
            there = self._watched.changed(0)
            self._fresh = dict(sorted(there.items(), key=_age)[-1:])
            self._started = True
        self._running = True

    def read(self, timeout: float) -> Frame | None:
        """Wait for the next file, at most so many seconds; None where none came."""
        if not self._running:
            raise SourceError(f"{self.name} isn't open")
        end = time.perf_counter() + timeout
        while True:
            frame = self._newest() or self._given_up()
            if frame is not None:
                return frame
            now = time.perf_counter()
            patient = min((since + self._patience for since, _ in self._unfinished.values()), default=end)
            for path, stamp in self._watched.changed(max(0.0, min(end, patient) - now)).items():
                self._fresh[path] = stamp
            if not self._fresh and time.perf_counter() >= end:
                return None

    def close(self) -> None:
        """Watch no longer; also where it isn't open."""
        self._watched.stop()
        self._running = False

    def _newest(self) -> Frame | None:
        """Read the newest file that can be; those before it are skipped."""
        for path, _ in sorted(self._fresh.items(), key=_age, reverse=True):
            del self._fresh[path]
            self._unfinished.pop(path, None)
            frame = self._read(path)
            if frame is not None:
                return frame
        return None

    def _read(self, path: Path) -> Frame | None:
        try:
            data = read_picture(path, volume=self._volume)
        except FileNotFoundError:
            return None  # it came and went
        except UnfinishedError as error:
            self._unfinished[path] = (time.perf_counter(), str(error))
            return None
        number = self._number + len(self._fresh)
        self._number = number + 1
        self._fresh.clear()
        name = str(path.relative_to(self._folder))
        return Frame(data, number, time.perf_counter(), name, volume=self._volume and data.ndim == 3)

    def _given_up(self) -> Frame | None:
        """Read a file that has been unfinished for too long a last time, or complain of it."""
        now = time.perf_counter()
        late = [path for path, (since, _) in self._unfinished.items() if now - since >= self._patience]
        if not late:
            return None
        del self._unfinished[late[0]]
        frame = self._read(late[0])
        if late[0] in self._unfinished:
            _, reason = self._unfinished.pop(late[0])
            raise BrokenFrameError(f"{reason}; it hasn't changed for {self._patience:g} s")
        return frame


def _age(entry: tuple[Path, Stamp]) -> tuple[int, str]:
    path, stamp = entry
    return stamp[0], path.name
