"""A source's own thread: it opens the source, reads it, and opens it again where it has failed."""

import logging
import threading
import time

from camfast.errors import CamfastError
from camfast.live.clock import Notice, Rate, Seldom
from camfast.live.frames import BrokenFrameError, Source, SourceEndedError, SourceError
from camfast.live.latest import Latest

log = logging.getLogger("camfast.live")

# How long a read may wait, so that a stop is noticed.
_READ = 0.1
# Without a frame for so long a source is said to have stalled.
_STALLED = 3.0
# Seconds until a source that has failed is opened again: at first, and at most.
_FIRST_PAUSE, _LONGEST_PAUSE = 0.5, 5.0


class Reader:
    """Reads a source in a thread, and leaves each frame in a slot.

    A source that fails is closed, and opened again after half a second, then after twice as long, up to five seconds.

    Parameters
    ----------
    source
        Where frames come from.
    slot
        Where they are left.

    Attributes
    ----------
    state : str
        ``"starting"``, ``"running"``, ``"stalled"``, ``"failed"`` or ``"ended"``.
    message : str
        What there is to say of it.
    broken : int
        Frames that couldn't be used.
    lost : int
        Frames that the source had and never gave: gaps between their numbers.
    notice : Notice
        Why the last of them couldn't.
    rate : Rate
        How often frames arrive.
    error : Exception or None
        Why it won't go on: input that no waiting will mend, or a fault of the program.
    """

    def __init__(self, source: Source, slot: Latest) -> None:
        self.source, self._slot = source, slot
        self.state, self.message = "starting", "waiting for the first frame"
        self.broken, self.notice, self._seldom = 0, Notice(), Seldom()
        self.lost, self._next = 0, 0
        self.rate = Rate()
        self.error: Exception | None = None
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="camfast-source", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self, timeout: float) -> None:
        """End, and wait for the thread at most so many seconds."""
        self._stop.set()
        if self._thread.ident is not None:
            self._thread.join(timeout)

    def _run(self) -> None:
        try:
            self._read_until_stopped()
        except Exception as error:
            self.error = error
            self._say("failed", describe(error).removeprefix(f"{self.source.name}: "), logging.ERROR)
        finally:
            self._slot.close(drop=self._stop.is_set())

    def _read_until_stopped(self) -> None:
        pause = _FIRST_PAUSE
        while not self._stop.is_set():
            before = self._slot.arrived
            try:
                self.source.open()
                self._read()
                return
            except SourceEndedError as ended:
                self._say("ended", self._own(ended))
                return
            except SourceError as failure:
                if self._slot.arrived > before:
                    pause = _FIRST_PAUSE
                self._say("failed", f"{self._own(failure)}; it is tried again", logging.WARNING)
            finally:
                self.source.close()
            self._stop.wait(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)

    def _read(self) -> None:
        last = time.perf_counter()
        while not self._stop.is_set():
            try:
                frame = self.source.read(_READ)
            except BrokenFrameError as broken:
                self.broken += 1
                last = time.perf_counter()
                self.notice.say(self._own(broken))
                if self._seldom.is_time():
                    log.warning("%s: %s (%d broken so far)", self.source.name, self._own(broken), self.broken)
                continue
            if frame is not None:
                last = time.perf_counter()
                self.lost += max(0, frame.number - self._next)
                self._next = frame.number + 1
                self._slot.put(frame)
                self.rate.add()
                self._say("running", "")
            elif time.perf_counter() - last > _STALLED:
                self._say("stalled", f"no frame for {time.perf_counter() - last:.0f} s", logging.WARNING)

    def _own(self, error: SourceError) -> str:
        """What a source says, without its name, which is said anyway."""
        return str(error).removeprefix(f"{self.source.name}: ")

    def _say(self, state: str, message: str, level: int = logging.INFO) -> None:
        if state != self.state:
            log.log(level, "%s: %s%s", self.source.name, state, f": {message}" if message else "")
        self.state, self.message = state, message


def describe(error: Exception) -> str:
    """Say what went wrong, in one line: a message of camfast's own is meant for people, and so are its notes."""
    text = "; ".join(" ".join(part.split()) for part in (str(error), *getattr(error, "__notes__", ())))
    return text if isinstance(error, CamfastError | ValueError) else f"{type(error).__name__}: {text}"
