"""From a source to all who watch: `Session`."""

import atexit
import logging
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

from camfast.engine import Explainer
from camfast.live.clock import Notice, Percentiles, Rate, Seldom
from camfast.live.frames import Frame, Source
from camfast.live.latest import Latest
from camfast.live.looks import Looks, Overlays
from camfast.live.outlets import Outlet, Outlets
from camfast.live.reading import Reader, describe
from camfast.live.settings import Choices, Settings
from camfast.live.shown import Shown
from camfast.live.sources import open_source

log = logging.getLogger("camfast.live")

_WAIT = 0.1
# Seconds that a frame may take when the session is stopped.
_PATIENCE = 1.5
_AT_EXIT = 30.0  # seconds for a frame that was left behind: a thread that still computes when Python ends aborts it


class Session:
    """Shows a source's frames with their maps, to some sinks, until it is stopped or the source ends.

    One thread reads the source, one makes the overlays and hands each to the sinks. A frame waits only until the one
    before it is done, and a newer one takes its place: arrived = shown + dropped + failed, with at most one that waits
    and one that is worked on besides. Frames of another shape get a pipeline of their own.

    On a CPU no other thread should compute by torch, not even before: each keeps a team of threads, and more of them
    than there are processors slow each other down. `camfast.ops.threads.without_team` lets one compute without a team.

    Parameters
    ----------
    source
        Where frames come from: what `camfast.live.open_source` takes.
    looks
        How they become overlays; an explainer alone where there is nothing else to say.
    sinks
        Where overlays go: what `camfast.live.open_sink` takes.
    settings
        What is shown at first; None: the predicted class, by the explainer's layer and method.

    Examples
    --------
    >>> import numpy as np
    >>> from torch.nn import Conv2d, Flatten, Linear, ReLU, Sequential
    >>> model = Sequential(Conv2d(1, 4, 3), ReLU(), Flatten(), Linear(144, 5)).eval()
    >>> frames = [np.full((8, 8), level, np.uint8) for level in (10, 20)]
    >>> classes = []
    >>> session = camfast.live.Session(
    ...     frames, camfast.Explainer(model, "1"), [lambda shown: classes.append(shown.target)]
    ... )
    >>> with session:
    ...     session.wait()
    True
    >>> counts = session.status()
    >>> counts["arrived"] == counts["shown"] + counts["dropped"] == 2
    True
    """

    def __init__(
        self,
        source: Source | str | Iterable[Any],
        looks: Looks | Explainer,
        sinks: Sequence[Outlet] = (),
        settings: Settings | None = None,
    ) -> None:
        looks = Looks(looks) if isinstance(looks, Explainer) else looks
        if not isinstance(looks, Looks):
            raise TypeError(
                f"looks must be camfast.live.Looks(explainer, ...) or a camfast.Explainer, found {type(looks).__name__}"
            )
        self._notice, self._seldom = Notice(), Seldom()
        self._looks = looks
        self._outlets = Outlets(sinks)
        self._overlays = Overlays(looks)
        self._settings = settings or Settings(self._overlays.choices.layers[0], looks.explainer.method)
        self._slot = Latest()
        self._reader = Reader(open_source(source), self._slot)
        self._shown = self._failed = 0
        self._fatal: Exception | None = None
        self._working = self._settings  # the last that were shown
        self._latencies, self._rate = Percentiles(), Rate()
        self._lock = threading.Lock()
        self._stopping, self._ended, self._done = (threading.Event() for _ in range(3))
        self._frame: Frame | None = None  # the last that was shown
        self._left_behind = False
        self._failing = False
        self._thread = threading.Thread(target=self._run, name="camfast-overlay", daemon=True)

    @property
    def choices(self) -> Choices:
        """What the settings can be; the classes and layers of a network are known from the first frame on."""
        return self._overlays.choices

    @property
    def settings(self) -> Settings:
        """What is shown now."""
        return self._settings

    def add(self, sink: Outlet) -> None:
        """Hand overlays to one more sink."""
        self._outlets.add(sink)

    def change(self, changes: Mapping[str, Any] | None = None, /, **more: Any) -> Settings:
        """Change some settings (fields of `Settings`) from the next frame on, and return all of them.

        Where no frame comes within a tenth of a second, the last one is explained again, for those sinks that show.

        Raises
        ------
        InputError
            If one doesn't fit.
        """
        with self._lock:
            self._settings = self._settings.changed(self.choices, {**(changes or {}), **more})
            return self._settings

    def status(self) -> dict[str, Any]:
        """Return what can be said of source, counts and latencies; see `Control.status`."""
        shown, failed = self._shown, self._failed  # before what arrived, so that never more is shown than there was
        arrived, dropped = self._slot.counts()
        shape, dtype = self._overlays.form or ((), "")
        reader = self._reader
        fatal = "" if self._fatal is None else describe(self._fatal)
        messages = [fatal, reader.message, reader.notice.text, self._notice.text, self._overlays.notice.text]
        messages += self._outlets.failures()
        return {
            "source": reader.source.name,
            "state": "failed" if fatal or (self._failing and reader.state == "running") else reader.state,
            "message": "; ".join(dict.fromkeys(message for message in messages if message)),
            "arrived": arrived,
            "shown": shown,
            "dropped": dropped,
            "broken": reader.broken,
            "lost": reader.lost,
            "failed": failed,
            "fps": self._rate.per_second(),
            "source_fps": reader.rate.per_second(),
            "latency_ms": self._latencies.summary(),
            "frame_shape": list(shape),
            "dtype": dtype,
            "model": self._looks.name,
            "sinks": self._outlets.notes(),
        }

    def start(self) -> None:
        """Begin, in threads of its own.

        Raises
        ------
        RuntimeError
            If it was started or stopped before.
        """
        if self._thread.ident is not None or self._stopping.is_set():
            raise RuntimeError("a session runs once: make another one")
        self._reader.start()
        self._thread.start()

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until the source has ended or failed for good; return whether it has, within so many seconds.

        Raises
        ------
        Exception
            What the source or a sink failed with, where no waiting will mend it.
        """
        ended = self._ended.wait(timeout)
        error = self._fatal or self._reader.error
        if ended and error is not None:
            raise error
        return ended

    def stop(self) -> None:
        """End: finish the frame that is worked on, drop the one that waits, close the sinks.

        A frame that takes more than a second and a half is left behind: it is in no count yet, and the sinks are closed
        behind it. So they are where a sink itself stops the session. A program that ends waits for such a frame.

        Raises
        ------
        Exception
            What a sink failed with when it was closed; all are closed.
        """
        self._stopping.set()
        self._slot.close()
        self._reader.stop(1.0)
        inside = threading.current_thread() is self._thread
        if self._thread.ident is None:
            self._ended.set()
            self._done.set()
        if inside or not self._done.wait(_PATIENCE):
            if not inside:
                log.warning("the frame that is worked on takes longer than %g s: it is left behind", _PATIENCE)
                atexit.register(self._thread.join, _AT_EXIT)
            self._left_behind = True  # to the thread, to close the sinks
        if self._done.is_set():
            self._outlets.close()
            if self._thread.ident is not None:
                self._thread.join()

    def __enter__(self) -> "Session":
        if self._thread.ident is None:
            self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _run(self) -> None:
        try:
            while not self._stopping.is_set():
                frame = self._slot.take(_WAIT)
                if frame is not None:
                    self._show(frame)
                    continue
                if self._slot.finished():
                    self._ended.set()
                    self._stopping.wait(_WAIT)
                self._show_again()
        except Exception as error:
            self._fatal = error
            log.exception("the session ends")
        finally:
            self._slot.close()
            self._ended.set()
            self._done.set()
        if self._left_behind:
            with suppress(Exception):  # it was logged
                self._outlets.close()

    def _show(self, frame: Frame) -> None:
        shown = self._explained(frame)
        self._failing = shown is None
        if shown is None:
            self._failed += 1
            return
        try:
            self._outlets.put(shown)
        except Exception:
            self._failed += 1
            raise
        self._frame = frame
        self._latencies.add((time.perf_counter() - frame.time) * 1e3)
        self._rate.add()
        self._shown += 1

    def _show_again(self) -> None:
        """Explain the last frame again where settings have changed since and none has come."""
        if self._frame is None or self._settings == self._working:
            return
        shown = self._explained(self._frame)
        if shown is not None:
            self._outlets.put_again(shown)

    def _explained(self, frame: Frame) -> Shown | None:
        settings = self._settings
        try:
            picture = self._overlays.of(frame, settings).show(frame.data)
        except Exception as error:  # a frame or a layer that this network can't take must not end the session
            self._explain_failure(frame, settings, error)
            return None
        if not picture.scores.isfinite().all():
            self._notice.say("scores that are no numbers: there is NaN in the frame, or in the network")
        self._working = settings
        return picture.shown(frame, settings)

    def _explain_failure(self, frame: Frame, settings: Settings, error: Exception) -> None:
        """Say what was wrong, and go back to settings that worked for such frames, where others were tried."""
        reason = describe(error)
        tried, worked = ((s.layer, s.method, s.target) for s in (settings, self._working))
        classes = len(self.choices.classes)  # 0 where no frame has told yet
        if isinstance(worked[2], int) and 0 < classes <= worked[2]:
            worked = (*worked[:2], "predicted")  # the class that was asked for at first isn't there
        if tried != worked:
            reason = f"class {tried[2]} by {tried[1]} at {tried[0]} can't be shown: {reason}"
            self._go_back(tried, worked)
        if self._notice.say(reason) and self._seldom.is_time():
            log.error("frame %s: %s", frame.name or frame.number, reason)
            log.debug("its traceback", exc_info=error)

    def _go_back(self, tried: tuple[Any, ...], worked: tuple[Any, ...]) -> None:
        """Put back what worked, unless somebody has chosen something else meanwhile."""
        with self._lock:
            now = self._settings
            if (now.layer, now.method, now.target) == tried:
                layer, method, target = worked
                self._settings = replace(now, layer=layer, method=method, target=target)
