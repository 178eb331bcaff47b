"""A film: ``video:FILE``."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from camfast._extras import require
from camfast.errors import InputError
from camfast.live.frames import Frame, SourceEndedError, SourceError, checked
from camfast.live.sources.pace import check_rate, wait_until
from camfast.live.spec import Spec

FPS = 25.0  # of films that don't say
MISSING_SECONDS = 0.5  # a film that ends so much too early has been cut off


class FilmSource:
    """Frames of a film in turn, at its own rate; a film waits for who reads late, and then catches up.

    Grey films of 8 bits stay grey, grey ones of 10 to 16 bits become uint16 over its whole range, others (H, W, 3).

    Parameters
    ----------
    path
        Anything that FFmpeg reads.
    fps
        Frames a second; None: as the film says.
    loop
        Whether it starts again at its end.

    Raises
    ------
    InputError
        If the rate makes no sense; in `open` if there is no such file.
    """

    def __init__(self, path: str | Path, *, fps: float | None = None, loop: bool = False) -> None:
        self._av = require("av", "live", "playing a film")
        self._path, self._loop = Path(path).expanduser(), loop
        options = ([] if fps is None else [f"fps={fps:g}"]) + ["loop=1"] * loop
        self.name = f"video:{path}" + ("?" + "&".join(options) if options else "")
        self._fps = None if fps is None else check_rate(fps, self.name)
        self._container: Any = None
        self._frames: Iterator[Any] = iter(())
        self._pending: Any = None
        self._number = 0
        self._start = self._end = self._length = 0.0  # of this turn of the film, on the clock; in seconds

    @classmethod
    def of(cls, spec: Spec) -> "FilmSource":
        """Make what a person asked for as ``video:FILE``, ``?fps=`` and ``?loop=1``."""
        spec.check_options("fps", "loop")
        if not spec.place:
            raise InputError(f"{spec.text}: expected the name of a file, such as video:run1.mp4")
        return cls(spec.place, fps=spec.number("fps"), loop=spec.flag("loop"))

    def open(self) -> None:
        """Start the film, from its beginning."""
        self._rewind()
        self._start = self._end = time.perf_counter()

    def read(self, timeout: float) -> Frame | None:
        """Wait for the next frame, at most so many seconds; None where it isn't due."""
        if self._container is None:
            raise SourceError(f"{self.name} isn't open")
        if self._pending is None:
            self._pending = self._following()
        moment, picture = self._pending
        if not wait_until(moment, timeout):
            return None
        self._pending = None
        kept = self._kept(picture.format.name)
        data = checked(picture.to_ndarray(format=kept), volume=False, what=self._path.name)
        number = self._number
        self._number += 1
        return Frame(np.array(data), number, time.perf_counter(), self._path.name)

    def close(self) -> None:
        """Close the file; also where it isn't open."""
        self._frames, self._pending = iter(()), None
        if self._container is not None:
            self._container.close()
            self._container = None

    @staticmethod
    def _kept(pixels: str) -> str:
        if not pixels.startswith("gray") or pixels.startswith("grayf"):
            return "rgb24"
        return "gray" if pixels == "gray" else "gray16le"

    def _rewind(self) -> None:
        self.close()
        if not self._path.is_file():
            raise InputError(f"{self.name}: there is no such file")
        try:
            self._container = self._av.open(str(self._path))
        except (self._av.FFmpegError, OSError) as error:
            raise SourceError(f"{self._path} is no film, or its end is missing: {error.strerror}") from None
        if not self._container.streams.video:
            self.close()
            raise SourceError(f"{self._path} holds no pictures")
        stream = self._container.streams.video[0]
        self._rate = float(stream.average_rate or stream.guessed_rate or FPS)
        self._length = (self._container.duration or 0) / self._av.time_base
        self._frames = self._container.decode(stream)
        self._index = 0

    def _following(self) -> tuple[float, Any]:
        """Return the next frame and when it is due."""
        try:
            picture = next(self._frames, None)
        except (self._av.FFmpegError, OSError) as error:
            raise SourceEndedError(
                f"{self._path} is damaged or truncated after {self._index} frames: {error.strerror}"
            ) from None
        if picture is None:
            return self._turn()
        rate = self._fps or self._rate
        seconds = self._index / rate if self._fps or picture.time is None else picture.time
        self._index += 1
        self._end = self._start + seconds + 1 / rate
        return self._start + seconds, picture

    def _turn(self) -> tuple[float, Any]:
        """Start again, or say that it has ended."""
        shown = self._index / self._rate if self._fps else self._end - self._start
        if shown < self._length - MISSING_SECONDS:
            raise SourceEndedError(
                f"{self._path} is truncated: it ends after {shown:.1f} s, and should last {self._length:.1f} s"
            )
        if not self._loop:
            raise SourceEndedError(f"{self._path} has ended after {self._index} frames")
        if not self._index:
            raise SourceEndedError(f"{self._path} holds no pictures")
        self._rewind()
        self._start = self._end
        return self._following()
