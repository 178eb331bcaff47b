"""All that takes what a session shows."""

import logging
import threading
from collections.abc import Callable, Iterable

from camfast.live.shown import Shown, Sink
from camfast.live.sinks import open_sink

log = logging.getLogger("camfast.live")

Outlet = Sink | str | Callable[[Shown], object]


class Outlets:
    """Sinks that get the same, and are closed once.

    Parameters
    ----------
    sinks
        What `camfast.live.open_sink` takes.
    """

    def __init__(self, sinks: Iterable[Outlet]) -> None:
        self._sinks: list[Sink] = []
        self._closing, self._closed = threading.Lock(), False
        for sink in sinks:
            self.add(sink)

    def add(self, sink: Outlet) -> None:
        """Take one more."""
        self._sinks.append(open_sink(sink))

    def put(self, shown: Shown) -> None:
        """Hand an overlay to each."""
        for sink in self._sinks:
            sink.put(shown)

    def put_again(self, shown: Shown) -> None:
        """Hand an overlay of a frame that was shown before to each that wants such."""
        for sink in self._sinks:
            if getattr(sink, "again", False):
                sink.put(shown)

    def failures(self) -> list[str]:
        """Say what is wrong with them, "" where nothing is."""
        return [getattr(sink, "failure", None) or "" for sink in self._sinks]

    def notes(self) -> dict[str, str]:
        """Say what there is to say of each, by its name."""
        return {sink.name: note for sink in self._sinks if (note := getattr(sink, "note", ""))}

    def close(self) -> None:
        """Close all, once; then raise what the first of them failed with."""
        with self._closing:
            sinks, self._closed = () if self._closed else tuple(self._sinks), True
            errors = [error for error in map(_closed, sinks) if error is not None]
        if errors:
            raise errors[0]


def _closed(sink: Sink) -> Exception | None:
    """Close a sink; return what it failed with."""
    try:
        sink.close()
    except Exception as error:
        log.exception("%s can't be closed", sink.name)
        return error
    return None
