"""A camera that isn't there: ``sim:HxW@FPS``."""

import math
import re
import time
from collections.abc import Sequence

from camfast.errors import InputError
from camfast.live.frames import Frame, SourceError
from camfast.live.sources.pace import Pace, check_rate
from camfast.live.sources.scene import Scene
from camfast.live.spec import Spec

FPS = 30.0
BUFFERED, BUFFERED_SECONDS = 8, 0.1  # the camera keeps so many frames, or those of so long, for who reads late
LARGEST = 1 << 28  # pixels
_PLACE = re.compile(r"(\d{1,9}(?:x\d{1,9}){1,2})(?:@(.*))?", re.ASCII)


class SimulatedSource:
    """A moving scene with noise, uint16, at a steady rate; frame i depends on the seed and i alone.

    It is a camera that doesn't wait: frames are due 1 / fps apart, whenever they are read. Who reads late gets each in
    turn as long as it is among the last 8 or of the last 0.1 s; those before are lost, and their numbers are skipped.

    Parameters
    ----------
    shape
        (H, W), or (D, H, W) for volumes.
    fps
        Frames a second, at most 1000.
    seed
        Of the scene.

    Raises
    ------
    InputError
        If a size or the rate makes no sense.

    Examples
    --------
    >>> source = SimulatedSource((32, 48), fps=100)
    >>> source.open()
    >>> source.read(timeout=1).data.shape
    (32, 48)
    >>> source.close()
    """

    def __init__(self, shape: Sequence[int], fps: float = FPS, *, seed: int = 0) -> None:
        self._shape, self._seed = tuple(shape), seed
        size = "x".join(map(str, shape))
        self.name = f"sim:{size}@{fps:g}" + (f"?seed={seed}" if seed else "")
        if len(self._shape) not in (2, 3) or min(self._shape) < 1 or math.prod(self._shape) > LARGEST:
            raise InputError(
                f"{self.name}: a frame must have two or three axes of 1 pixel or more, and at most {LARGEST:,} pixels"
            )
        self._fps = check_rate(fps, self.name)
        self._buffered = max(BUFFERED, math.ceil(BUFFERED_SECONDS * fps))
        self._next = self._first = 0
        self._running: tuple[Scene, Pace] | None = None

    @classmethod
    def of(cls, spec: Spec) -> "SimulatedSource":
        """Make what a person asked for as ``sim:HxW@FPS`` or ``sim:DxHxW@FPS``, ``?seed=``."""
        spec.check_options("seed")
        found = _PLACE.fullmatch(spec.place)
        try:
            fps = float(found[2]) if found and found[2] is not None else FPS
        except ValueError:
            fps = math.nan
        if not found or math.isnan(fps):
            raise InputError(
                f"{spec.text}: expected sim:HxW@FPS such as sim:1024x1024@30, or sim:DxHxW@FPS such as sim:64x256x256@5"
            )
        return cls([int(extent) for extent in found[1].split("x")], fps, seed=spec.whole("seed", 0))

    def open(self) -> None:
        """Set the scene, and start the clock; numbers go on where they were."""
        scene = Scene(self._shape, self._seed)
        self._first = self._next
        self._running = scene, Pace(self._fps)

    def read(self, timeout: float) -> Frame | None:
        """Wait for the next frame, at most so many seconds; None where none came."""
        if self._running is None:
            raise SourceError(f"{self.name} isn't open")
        scene, pace = self._running
        self._next = max(self._next, self._first + pace.newest() - (self._buffered - 1))
        if not pace.wait(self._next - self._first, timeout):
            return None
        number = self._next
        data = scene.frame(number)
        self._next += 1
        return Frame(data, number, time.perf_counter(), volume=len(self._shape) == 3)

    def close(self) -> None:
        """Stop; also where it isn't open."""
        self._running = None
