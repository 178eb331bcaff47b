"""What the pipeline hands to those who show, record or decide."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from numpy.typing import NDArray

from camfast.live.frames import Frame
from camfast.live.settings import Choices, Settings


@dataclass(frozen=True)
class Shown:
    """One frame with its overlay. Its arrays are written to again after `Sink.put` has returned: copy what is kept.

    Attributes
    ----------
    frame : Frame
        As it came from the source.
    rgb : ndarray
        (H, W, 3) uint8: the map in colour over the frame (of a volume: over its projections).
    make_gray : function
        Makes `gray`.
    grid : ndarray
        (h, w) or (d, h, w) float32: the map on the layer's grid.
    scores : ndarray
        (C,) float32: the network's output.
    target : int
        The class that is explained.
    settings : Settings
        What the overlay was made with.
    low, high : float
        Values of the map at both ends of the colours.
    black, white : float
        Levels of the frame at both ends of the greys.
    milliseconds : mapping
        What each stage took, by name; ``"forward"`` is the network's own.
    """

    frame: Frame
    rgb: NDArray[Any]
    make_gray: Callable[[], NDArray[Any]]
    grid: NDArray[Any]
    scores: NDArray[Any]
    target: int
    settings: Settings
    low: float
    high: float
    black: float
    white: float
    milliseconds: Mapping[str, float]

    @property
    def gray(self) -> NDArray[Any]:
        """The frame alone as it is shown, (H, W) or (H, W, 3) uint8: made when it is asked for, in `Sink.put`."""
        return self.make_gray()


class Sink(Protocol):
    """Where overlays go; called by the pipeline's thread for each one, so it has to return within milliseconds.

    A sink with an attribute ``again`` that is true also gets a frame that it had before, when settings have changed and
    no other frame has come: one that shows wants it, one that records or counts doesn't. An attribute ``note`` says
    something of a sink, and ``failure`` what is wrong with it, in the session's status.
    """

    @property
    def name(self) -> str:
        """What was asked for, such as ``zarr:run.zarr``."""

    def put(self, shown: Shown) -> None:
        """Take an overlay; the arrays are valid until this returns."""

    def close(self) -> None:
        """Finish what was taken; no more comes."""


class Control(Protocol):
    """What a page sees and changes: `camfast.live.Session` is one."""

    @property
    def choices(self) -> Choices:
        """What the settings can be."""

    @property
    def settings(self) -> Settings:
        """What is shown now."""

    def change(self, changes: Mapping[str, Any], /) -> Settings:
        """Change some settings, and return all of them; InputError where one doesn't fit."""

    def status(self) -> dict[str, Any]:
        """Return what can be said of source, counts and latencies, for JSON.

        ``source``: what was asked for; ``state``: "starting", "running", "stalled", "failed" or "ended"; ``message``:
        what there is to say of it, or ""; ``arrived``, ``shown``, ``dropped``, ``failed``: frames, with arrived =
        shown + dropped + failed + at most one that waits and one that is worked on; ``broken``: those that couldn't be
        read; ``lost``: those that the source itself skipped; ``fps``: overlays a second; ``source_fps``;
        ``latency_ms``: {"p50", "p95", "p99"} from frame to encoded overlay, of the last 300, or None each;
        ``frame_shape``: list; ``dtype``: str; ``model``: str; ``sinks``: what there is to say of each, by its name.
        """
