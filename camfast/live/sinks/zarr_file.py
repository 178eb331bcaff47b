"""A recording of frames, maps and scores: ``zarr:OUT``."""

import logging
import queue
import threading
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from camfast.errors import InputError
from camfast.live.clock import Seldom
from camfast.live.shown import Shown
from camfast.live.sinks.recording import Form, Recording
from camfast.live.spec import Spec

log = logging.getLogger("camfast.live")

SLOTS = 8
CLOSING_SECONDS = 5.0
_NOTHING: NDArray[np.uint8] = np.empty(0, np.uint8)


class ZarrSink:
    """Records what is shown, in a Zarr store that can be read while it grows.

    ``put`` copies into one of a few buffers (the frame itself is kept, as nobody writes to it again), and a thread
    writes. Where the disk is slower than the frames, and all buffers wait, a frame isn't recorded. A recording that
    can't go on, because the disk is full for example, ends; overlays go on. For what is written, and what is left after
    a kill, see `camfast.live.sinks.recording.Recording`.

    Parameters
    ----------
    path
        Folder to create.
    about
        What is known of network and source, for the store's attributes.
    overlay
        Whether the overlays are recorded too; they can be made again of frame, map and settings.
    overwrite
        Whether a recording that is there is deleted.
    every
        Which overlays are recorded: each (1), every second (2) and so on, from the first one.

    Attributes
    ----------
    recorded : int
        Overlays that can be read.
    failure : str
        Why the recording has ended, or "".

    Raises
    ------
    InputError
        If something is there already, or the folder can't be made.
    MissingExtraError
        Without zarr.
    """

    def __init__(
        self,
        path: str | Path,
        about: Mapping[str, Any] | None = None,
        *,
        overlay: bool = False,
        overwrite: bool = False,
        every: int = 1,
    ) -> None:
        if every < 1:
            raise InputError(f"every must be 1 or more, found {every}: 2 records every second overlay")
        options = [f"every={every}"] * (every > 1) + ["overlay=1"] * overlay
        self.name = f"zarr:{path}" + ("?" + "&".join(options) if options else "")
        self.recorded = 0
        self.failure = ""
        self._overlay, self._every = overlay, every
        self._recording = Recording(Path(path).expanduser(), about or {}, overwrite=overwrite)
        self._seen = self._asked = self._taken = 0
        self._free = deque(_Slot() for _ in range(SLOTS))
        self._waiting: queue.SimpleQueue[_Slot | None] = queue.SimpleQueue()
        self._closed = False
        self._unsaid, self._seldom = 0, Seldom()
        self._thread = threading.Thread(target=self._write, name="camfast-recording", daemon=True)
        self._thread.start()

    @classmethod
    def of(cls, spec: Spec, about: Mapping[str, Any]) -> "ZarrSink":
        """Make what a person asked for as ``zarr:OUT``, ``?every=``, ``?overlay=1`` and ``?overwrite=1``."""
        if not spec.place:
            raise InputError(f"{spec.text}: expected the name of a folder, such as zarr:run.zarr")
        return cls(
            spec.place,
            about,
            overlay=spec.flag("overlay"),
            overwrite=spec.flag("overwrite"),
            every=spec.whole("every", 1),
        )

    @property
    def missed(self) -> int:
        """Overlays that should have been recorded, and weren't."""
        writes = self._thread.is_alive() and not self.failure
        return self._asked - (self._taken if writes else self.recorded)

    @property
    def note(self) -> str:
        """What to say of it."""
        return f"{self.recorded} recorded" + (f", {self.missed} missed" if self.missed else "")

    def put(self, shown: Shown) -> None:
        """Take an overlay, or count it as missed."""
        self._seen += 1
        if (self._seen - 1) % self._every:
            return
        self._asked += 1
        try:
            slot = None if self.failure or self._closed else self._free.popleft()
        except IndexError:  # all of them wait for the disk
            slot = None
        if slot is None:
            self._miss()
            return
        slot.fill(shown, overlay=self._overlay)
        self._taken += 1
        self._waiting.put(slot)

    def close(self) -> None:
        """Write what was taken, for at most 5 seconds."""
        self._closed = True
        self._waiting.put(None)
        self._thread.join(CLOSING_SECONDS)
        if self._thread.is_alive() and not self.failure:
            self.failure = f"{self.name}: the disk takes longer than {CLOSING_SECONDS:g} s; the last frames may be lost"
            log.error("%s", self.failure)
        if self._unsaid and not self.failure:
            log.warning("%s: the disk was too slow, %d frames in all aren't recorded", self.name, self.missed)
            self._unsaid = 0

    def _miss(self) -> None:
        """Say that an overlay isn't recorded, once a second while the recording goes on."""
        if self.failure or self._closed:
            return
        self._unsaid += 1
        if self._seldom.is_time():
            log.warning("%s: the disk is too slow, %d frames aren't recorded", self.name, self._unsaid)
            self._unsaid = 0

    def _write(self) -> None:
        try:
            while self._write_some():
                pass
        except Exception as error:  # whatever ends a recording must not end what is shown
            self.failure = f"{self.name}: recording ended after {self.recorded} frames: {error}"
            log.exception("%s", self.failure)

    def _write_some(self) -> bool:
        """Wait for overlays, write those that there are, then let readers see them; return whether more may come."""
        slot = self._waiting.get()
        count = 0
        while slot is not None:
            self._recording.append(slot.form, slot.shown, slot.utc)
            self._free.append(slot)
            count += 1
            if count == SLOTS or self._waiting.empty():
                break
            slot = self._waiting.get()
        self._recording.commit()
        self.recorded += count
        return slot is not None


class _Slot:
    """A place for one overlay, whose arrays are used again."""

    def __init__(self) -> None:
        self._held: dict[str, NDArray[Any]] = {}
        self.form: Form
        self.shown: Shown
        self.utc = 0.0

    def fill(self, shown: Shown, *, overlay: bool) -> None:
        """Copy what will be written, but the frame, which stays as it is."""
        self.form = Form.of(shown, overlay=overlay)
        self.utc = time.time() - (time.perf_counter() - shown.frame.time)
        self.shown = replace(
            shown,
            rgb=self._copy("rgb", shown.rgb) if overlay else _NOTHING,
            grid=self._copy("grid", shown.grid),
            scores=self._copy("scores", shown.scores),
        )

    def _copy(self, name: str, array: NDArray[Any]) -> NDArray[Any]:
        held = self._held.get(name)
        if held is None or held.shape != array.shape:
            held = self._held[name] = np.empty(array.shape, array.dtype)
        np.copyto(held, array)
        return held
