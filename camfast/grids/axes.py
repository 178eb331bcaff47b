"""What is known of one dimension of a tensor: where its cells lie along an axis of the input.

Centres are fractions: what agrees in the arithmetic is equal here.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

Number = Fraction | int


@dataclass(frozen=True)
class Axis:
    """A dimension whose cells lie at start + i · step along one spatial axis of the input, in input pixels."""

    of: int
    start: Fraction
    step: Fraction

    def __str__(self) -> str:
        return f"{float(self.start):g} + {float(self.step):g} i"


@dataclass(frozen=True)
class Lost:
    """A dimension whose cells have no place in the input any more, and where that happened."""

    where: str


@dataclass(frozen=True)
class Merged:
    """Several dimensions in one, such as the tokens that the pixels of an image became: the size and entry of each."""

    parts: tuple[tuple[int, "Entry"], ...]


Entry = Axis | Lost | Merged | None  # None: samples, channels, or constants without a place
Grid = tuple[Entry, ...]


def moved(entry: Entry, offset: Number, factor: Number, where: str) -> Entry:
    """A dimension whose new cells lie at offset + i · factor, in cells of the old one."""
    if isinstance(entry, Axis):
        return replace(entry, start=entry.start + entry.step * offset, step=entry.step * factor)
    return Lost(where) if isinstance(entry, Merged) and (offset, factor) != (0, 1) else entry


def joined(parts: Sequence[tuple[int, Entry]], size: int, where: str) -> Entry:
    """What a dimension becomes where tensors meet that have (size, entry) there.

    Constants and what is broadcast have no say. Centres that differ by a cell at most are averaged, such as those of a
    strided convolution and of the pooling beside it; beyond that the branches don't see the same place.
    """
    entries = [entry for extent, entry in parts if entry is not None and extent == size]
    axes = [entry for entry in entries if isinstance(entry, Axis)]
    if size == 1 and axes:
        entries = list(axes)  # beside a grid of one cell what was pooled over the image is broadcast
    if len(set(entries)) < 2:
        return entries[0] if entries else None
    lost = next((entry for entry in entries if isinstance(entry, Lost)), None)
    if lost or len(axes) < len(entries) or len({axis.of for axis in axes}) > 1:
        return lost or Lost(f"{where}, where different axes meet")
    first, last = [axis.start for axis in axes], [axis.start + axis.step * (size - 1) for axis in axes]
    if max(max(ends) - min(ends) for ends in (first, last)) > max(axis.step for axis in axes):
        other = next(axis for axis in axes if axis != axes[0])
        return Lost(f"{where}, where cells at {axes[0]} meet cells at {other}")
    start, step = (sum(values, Fraction(0)) / len(axes) for values in (first, [axis.step for axis in axes]))
    return Axis(axes[0].of, start, step)
