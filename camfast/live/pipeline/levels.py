"""Two percentiles that follow the frames slowly, so that a picture's scale doesn't flicker."""

import math

import torch
from torch import Tensor

# Frames in which half of a change is followed: half a second at 30 frames a second.
HALF_LIFE = 15.0
# Values that the percentiles are taken of, at most: a regular sample of a larger array.
_MOST = 4096


class RunningRange:
    """A low and a high percentile of the frames' values, averaged over the frames with weights that halve.

    With p the percentiles of a frame's values and k = 1 − 2^(−1/half_life)::

        range ← p                        at first
        range ← range + k·(p − range)    afterwards

    Percentiles are those of the values that are finite; a frame without any leaves the range as it is. Where both are
    the same, the highest value stands for the upper one: a spot that is smaller than the share above the percentile
    still gets its scale.

    Parameters
    ----------
    size
        Number of values of a frame.
    percentiles
        Both, 0 to 100.
    half_life
        In frames.
    device
        Of the values; nothing waits for it.
    """

    def __init__(
        self,
        size: int,
        percentiles: tuple[float, float],
        half_life: float = HALF_LIFE,
        device: torch.device | None = None,
    ) -> None:
        self._step = _step(size)
        count = -(-size // self._step)
        self._sorted = torch.empty(count, device=device)
        self._order = torch.empty(count, dtype=torch.int64, device=device)
        self._shares = torch.tensor(percentiles, dtype=torch.float64).div_(100).to(device)
        self._keep = 2.0 ** (-1.0 / half_life)
        self.ends = torch.full((2,), torch.nan, device=device)

    @property
    def low(self) -> Tensor:
        """The lower end, a tensor of no axis."""
        return self.ends[0]

    @property
    def high(self) -> Tensor:
        """The upper end, a tensor of no axis."""
        return self.ends[1]

    def update(self, values: Tensor) -> None:
        """Follow a frame's values, of any shape and real dtype."""
        sample = values.flatten()[:: self._step].float()
        finite = sample.isfinite()
        torch.sort(torch.where(finite, sample, torch.nan), out=(self._sorted, self._order))  # NaN is the highest
        last = (finite.sum() - 1).clamp(min=0)
        places = self._shares * last
        below, above = self._sorted[places.long()], self._sorted[places.ceil().long()]
        found = torch.lerp(below, above, (places - places.floor()).float())
        found[1] = torch.where(found[1] > found[0], found[1], self._sorted[last])
        moved = torch.where(self.ends.isfinite(), found + self._keep * (self.ends - found), found)
        self.ends.copy_(torch.where(found.isfinite(), moved, self.ends))

    def reset(self) -> None:
        """Start again from the next frame."""
        self.ends.fill_(torch.nan)


def _step(size: int) -> int:
    """Between the values of a sample; without a factor in common with the sizes of rows, or it would be of columns."""
    step = -(-size // _MOST)
    while math.gcd(step, size) > 1:
        step += 1
    return step
