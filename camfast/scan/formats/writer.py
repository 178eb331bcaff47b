"""What a format has to offer for a map to be written into it block by block."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from numpy.typing import NDArray

from camfast.scan.formats.statistics import Statistics
from camfast.scan.windows.bricks import Slices
from camfast.scan.windows.plan import Shape

Step = tuple[int, int | None, Slices]


class Writer(Protocol):
    """An output that is made first, then filled by blocks in any order and by any process, then finished."""

    @property
    def block(self) -> Shape:
        """Shape of the pieces that are written at once."""

    @property
    def channels(self) -> int | None:
        """Number of maps, None for one without an axis of channels."""

    def create(self) -> None:
        """Make room for all blocks."""

    def is_made(self) -> bool:
        """Whether what `create` made is there, as far as that can be seen at once: a person may have removed some."""

    def lacks(self, level: int, channel: int | None, block: Slices) -> bool:
        """Whether a block that was written, of level 0 or a coarser one, has no file; blocks of zeros need none."""

    def write(self, voxels: Slices, values: NDArray[Any], channel: int | None = None) -> Statistics:
        """Write one block, and return what its values are like as they are stored."""

    def coarser(self) -> list[list[Step]]:
        """What `coarsen` has to be called for once all blocks are written, in groups that come one after the other."""

    def coarsen(self, level: int, channel: int | None, block: Slices) -> None:
        """Fill one block of a coarser level."""

    def finish(self, statistics: Sequence[Statistics], attributes: Mapping[str, Any] | None = None) -> None:
        """Write what is known at the end: statistics of each map, and how they came about."""


def has_coarser(writer: Writer) -> bool:
    """Whether nothing of the coarser levels has gone since it was written; blocks of zeros are written again to see."""
    whole = True
    for step in (step for level in writer.coarser() for step in level):
        if writer.lacks(*step):  # as all of it is 0, or as it is gone
            writer.coarsen(*step)
            whole = whole and writer.lacks(*step)
    return whole
