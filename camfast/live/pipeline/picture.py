"""What became of a frame."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from torch import Tensor

from camfast.live.frames import Frame
from camfast.live.pipeline.device import Lane
from camfast.live.settings import Settings
from camfast.live.shown import Shown


@dataclass(frozen=True)
class Picture:
    """What became of a frame, on the CPU. Its tensors are written to again by the second frame after it.

    Attributes
    ----------
    rgb : Tensor
        (H, W, 3) uint8: the map in colour over the frame; of a volume (H + D, W + D, 3), over its projections.
    make_gray : function
        Makes `gray`.
    grid : Tensor
        The map on the layer's grid, (h, w) or (d, h, w) float32.
    scores : Tensor
        (C,) float32.
    target : int
        The class that was explained.
    low, high : float
        Values of the map at both ends of the colours.
    black, white : float
        Levels of the frame at both ends of the greys.
    milliseconds : mapping
        What each stage took. On a CPU ``"prepare"``, ``"forward"``, which is the network's own, ``"map"`` (gradient and
        map), ``"scale"``, ``"colour"``, ``"results"``; on a GPU ``"stage"``, ``"upload"``, ``"explain"``, ``"colour"``,
        ``"download"``.
    """

    rgb: Tensor
    make_gray: Callable[[], Tensor]
    grid: Tensor
    scores: Tensor
    target: int
    low: float
    high: float
    black: float
    white: float
    milliseconds: Mapping[str, float]

    @property
    def gray(self) -> Tensor:
        """The frame or projections alone, (H, W) or (H, W, 3) uint8, in what is written to again by the next frame.

        On a CPU a picture's is made when it is asked for: the colours are blended with the frame itself.
        """
        return self.make_gray()

    def shown(self, frame: Frame, settings: Settings) -> Shown:
        """What sinks get of it."""
        return Shown(
            frame,
            self.rgb.numpy(),
            lambda: self.gray.numpy(),
            self.grid.numpy(),
            self.scores.numpy(),
            self.target,
            settings,
            self.low,
            self.high,
            self.black,
            self.white,
            self.milliseconds,
        )


class Pending:
    """An overlay on its way."""

    def __init__(self, lane: Lane, milliseconds: Mapping[str, float], make_gray: Callable[[], Tensor] | None) -> None:
        self._lane, self._milliseconds = lane, milliseconds
        self._make_gray = make_gray or (lambda: lane.gray)

    def result(self) -> Picture:
        """Wait for it, and return it."""
        lane = self._lane
        lane.wait()
        low, high, black, white = lane.ends.tolist()
        scores = lane.scores
        return Picture(
            lane.rgb, self._make_gray, lane.grid, scores, int(lane.target), low, high, black, white,
            lane.milliseconds(self._milliseconds),
        )  # fmt: skip
