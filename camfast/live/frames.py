"""What a source gives, and how it says that it can't."""

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from camfast.errors import CamfastError

DTYPES = ("uint8", "uint16", "float32")


class SourceError(CamfastError):
    """A source can give no frames now: it is closed, and opened again after a while."""


class BrokenFrameError(SourceError):
    """One frame can't be used, such as a truncated file: it is counted, and the source goes on."""


class SourceEndedError(SourceError):
    """A source has no more frames and never will, such as a film at its end."""


@dataclass(frozen=True)
class Frame:
    """One picture or volume from a source.

    Attributes
    ----------
    data : ndarray
        (H, W) grey, (H, W, 3) red, green and blue, or (D, H, W) a volume; uint8, uint16 or float32, contiguous.
        Nobody writes to it again: it may be kept.
    number : int
        Which of the source's frames, from 0; a source that loses frames skips their numbers.
    time : float
        ``time.perf_counter()`` when the whole frame was in memory.
    name : str
        Of the file or the image, where there is one.
    volume : bool
        Whether three axes are (D, H, W); else they are (H, W, 3).
    """

    data: NDArray[Any]
    number: int
    time: float
    name: str = ""
    volume: bool = False


class Source(Protocol):
    """Where frames come from; one thread opens it, reads and closes it, and may open it again."""

    @property
    def name(self) -> str:
        """What was asked for, such as ``sim:1024x1024@30``."""

    def open(self) -> None:
        """Get ready to read; SourceError where that can't be done now, InputError where it never will."""

    def read(self, timeout: float) -> Frame | None:
        """Wait for the next frame, at most so many seconds; None where none came.

        Raises
        ------
        BrokenFrameError
            If a frame came and can't be used; the next one can be read.
        SourceEndedError
            If there will be no other frame.
        SourceError
            If the source has to be opened again.
        """

    def close(self) -> None:
        """Let go of everything; also where it isn't open."""


def checked(data: Any, *, volume: bool, what: str) -> NDArray[Any]:
    """Return an array as a frame's data: dtypes other than a frame's become float32, bool uint8; alpha is dropped.

    Parameters
    ----------
    data
        Array of a source.
    volume
        Whether three axes are (D, H, W).
    what
        Its name in an error, such as that of its file.

    Raises
    ------
    BrokenFrameError
        If it has other axes, no pixels, or numbers that aren't real.
    """
    array = np.asarray(data)
    if array.ndim == 3 and not volume and array.shape[2] == 1:
        array = array[..., 0]
    if array.ndim == 3 and not volume and array.shape[2] == 4:
        array = array[..., :3]
    fits = array.ndim == 2 or (array.ndim == 3 and (volume or array.shape[2] == 3))
    if not fits or 0 in array.shape:
        expected = "(H, W) or (D, H, W)" if volume else "(H, W) or (H, W, 3)"
        raise BrokenFrameError(f"{what} has the shape {array.shape}, expected {expected}")
    if array.dtype.name not in DTYPES:
        if array.dtype.kind not in "biuf":
            raise BrokenFrameError(f"{what} holds {array.dtype}, expected real numbers: uint8, uint16 or float32")
        array = array.astype(np.uint8 if array.dtype.kind == "b" else np.float32)
    return np.ascontiguousarray(array, array.dtype.newbyteorder("="))
