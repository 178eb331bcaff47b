"""From a source to all who watch: `Session`."""

import logging
import threading
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from camfast.live.clock import Notice, Percentiles, Rate, Seldom
from camfast.live.frames import Frame, Source
from camfast.live.latest import Latest
from camfast.live.looks import Looks, Overlays
from camfast.live.picture import Picture
from camfast.live.reading import Reader, describe
from camfast.live.settings import Choices, Settings
from camfast.live.shown import Shown, Sink

log = logging.getLogger("camfast.live")

_WAIT = 0.1
# Seconds that a frame may take when the session is stopped.
_PATIENCE = 1.5


class Session:
    """Shows a source's frames with their maps, to some sinks, until it is stopped or the source ends.

    One thread reads the source, one makes the overlays and hands each to the sinks. A frame waits only until the one
    before it is done, and a newer one takes its place: arrived = shown + dropped + failed, with at most one
    that waits and one that is worked on besides. Frames of another shape get a pipeline of their own.

    Parameters
    ----------
    source
        Where frames come from; see `camfast.live.open_source`.
    looks
        How they become overlays.
    sinks
        Where overlays go.
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
    ...     camfast.live.open_source(frames),
    ...     camfast.live.Looks(camfast.Explainer(model, "1")),
    ...     [camfast.live.open_sink(lambda shown: classes.append(shown.target))],
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
        source: Source,
        looks: Looks,
        sinks: Sequence[Sink] = (),
        settings: Settings | None = None,
    ) -> None:
        self._notice, self._seldom = Notice(), Seldom()
        self._looks = looks
        self._sinks = list(sinks)
        self._overlays = Overlays(looks)
        self._settings = settings or Settings(self._overlays.choices.layers[0], looks.explainer.method)
        self._slot = Latest()
        self._reader = Reader(source, self._slot)
        self._shown = self._failed = 0
        self._fatal: Exception | None = None
        self._working = replace(self._settings, target="predicted")  # later the last that were shown
        self._latencies, self._rate = Percentiles(), Rate()
        self._lock = threading.Lock()
        self._closing, self._closed = threading.Lock(), False
        self._stopping, self._ended = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._run, name="camfast-overlay", daemon=True)

    @property
    def choices(self) -> Choices:
        """What the settings can be; the classes and layers of a network are known from the first frame on."""
        return self._overlays.choices

    @property
    def settings(self) -> Settings:
        """What is shown now."""
        return self._settings

    def add(self, sink: Sink) -> None:
        """Hand overlays to one more sink."""
        self._sinks.append(sink)

    def change(self, changes: dict[str, Any]) -> Settings:
        """Change some settings from the next frame on, and return all of them.

        Raises
        ------
        InputError
            If one doesn't fit.
        """
        with self._lock:
            self._settings = self._settings.changed(self.choices, changes)
            return self._settings

    def status(self) -> dict[str, Any]:
        """Return what can be said of source, counts and latencies; see `Control.status`."""
        shown, failed = self._shown, self._failed  # before what arrived, so that never more is shown than there was
        arrived, dropped = self._slot.counts()
        shape, dtype = self._overlays.form or ((), "")
        reader = self._reader
        failures = [getattr(sink, "failure", None) or "" for sink in self._sinks]
        fatal = "" if self._fatal is None else describe(self._fatal)
        messages = [fatal, reader.message, reader.notice.text, self._notice.text, self._overlays.notice.text, *failures]
        return {
            "source": reader.source.name,
            "state": "failed" if fatal else reader.state,
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
            "sinks": {sink.name: note for sink in self._sinks if (note := getattr(sink, "note", ""))},
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
        behind it. So they are where a sink itself stops the session.

        Raises
        ------
        Exception
            What a sink failed with when it was closed; all are closed.
        """
        self._stopping.set()
        self._slot.close()
        self._reader.stop(1.0)
        if threading.current_thread() is self._thread:
            return
        if self._thread.ident is None:
            self._ended.set()
        elif not self._ended.wait(_PATIENCE):
            log.warning("the frame that is worked on takes longer than %g s: it is left behind", _PATIENCE)
            return
        else:
            self._thread.join()
        self._close()

    def __enter__(self) -> "Session":
        if self._thread.ident is None:
            self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _run(self) -> None:
        try:
            while not self._stopping.is_set() and not self._slot.finished():
                frame = self._slot.take(_WAIT)
                if frame is not None:
                    self._show(frame)
        except Exception as error:
            self._fatal = error
            log.exception("the session ends")
        finally:
            self._slot.close()
            self._ended.set()
        if self._stopping.is_set():
            self._close()

    def _close(self) -> None:
        """Close all sinks, once; then raise what the first of them failed with."""
        with self._closing:
            sinks, self._closed = () if self._closed else tuple(self._sinks), True
            errors = [error for error in map(_closed, sinks) if error is not None]
        if errors:
            raise errors[0]

    def _show(self, frame: Frame) -> None:
        settings = self._settings
        try:
            picture = self._overlays.of(frame, settings).show(frame.data)
        except Exception as error:  # a frame or a layer that this network can't take must not end the session
            self._failed += 1
            self._explain_failure(frame, settings, error)
            return
        self._working = settings
        shown = _shown(frame, picture, settings)
        try:
            for sink in self._sinks:
                sink.put(shown)
        except Exception:
            self._failed += 1
            raise
        self._latencies.add((time.perf_counter() - frame.time) * 1e3)
        self._rate.add()
        self._shown += 1

    def _explain_failure(self, frame: Frame, settings: Settings, error: Exception) -> None:
        """Say what was wrong, and go back to settings that worked for such frames, where others were tried."""
        reason = describe(error)
        tried, worked = ((s.layer, s.method, s.target) for s in (settings, self._working))
        if tried != worked:
            reason = f"class {tried[2]} by {tried[1]} at {tried[0]} can't be shown: {reason}"
            self._go_back(tried, worked)
        if self._notice.say(reason) and self._seldom.is_time():
            log.error("frame %s: %s", frame.name or frame.number, reason)
            log.debug("where", exc_info=error)

    def _go_back(self, tried: tuple[Any, ...], worked: tuple[Any, ...]) -> None:
        """Put back what worked, unless somebody has chosen something else meanwhile."""
        with self._lock:
            now = self._settings
            if (now.layer, now.method, now.target) == tried:
                layer, method, target = worked
                self._settings = replace(now, layer=layer, method=method, target=target)


def _shown(frame: Frame, picture: Picture, settings: Settings) -> Shown:
    return Shown(
        frame,
        picture.rgb.numpy(),
        picture.gray.numpy(),
        picture.grid.numpy(),
        picture.scores.numpy(),
        picture.target,
        settings,
        picture.low,
        picture.high,
        picture.black,
        picture.white,
        picture.milliseconds,
    )


def _closed(sink: Sink) -> Exception | None:
    """Close a sink; return what it failed with."""
    try:
        sink.close()
    except Exception as error:
        log.exception("%s can't be closed", sink.name)
        return error
    return None
