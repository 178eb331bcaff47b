"""Pictures as bytes for the page."""

import io
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from camfast._extras import require

FORMATS = ("jpeg", "webp", "raw")
QUALITIES = (60, 75, 85, 95)
"""Few, so that all who watch together can't ask for more than nine encodings of a frame."""
_LARGEST = {"jpeg": 65535, "webp": 16383}
_SUBSAMPLED = 2  # colours at half the resolution, 4:2:0: the map is smooth, and the frame is grey


@dataclass(frozen=True)
class Encoded:
    """A picture as bytes.

    Attributes
    ----------
    format : str
        One of `FORMATS`.
    width, height : int
        In pixels.
    channels : int
        3 for colours, 1 for greys.
    data : bytes
        A file, or of ``"raw"`` the bytes of the pixels, row by row.
    """

    format: str
    width: int
    height: int
    channels: int
    data: bytes


def encode(picture: NDArray[Any], form: str, quality: int) -> Encoded:
    """Encode a picture (H, W, 3) or (H, W) of uint8.

    Sides that are too long for WebP (16383) are sent as JPEG, and those too long for JPEG (65535) as they are.

    Parameters
    ----------
    picture
        What is shown.
    form
        One of `FORMATS`.
    quality
        0 to 100; ``"raw"`` has none.

    Raises
    ------
    MissingExtraError
        If Pillow is not installed.

    Examples
    --------
    >>> encode(np.full((2, 3), 65, np.uint8), "raw", 85)
    Encoded(format='raw', width=3, height=2, channels=1, data=b'AAAAAA')
    """
    height, width = picture.shape[:2]
    channels = 3 if picture.ndim == 3 else 1
    for smaller, larger in (("webp", "jpeg"), ("jpeg", "raw")):
        if form == smaller and max(height, width) > _LARGEST[smaller]:
            form = larger
    if form == "raw":
        return Encoded(form, width, height, channels, picture.tobytes())
    image = require("PIL.Image", "live", "showing frames on a page").fromarray(np.ascontiguousarray(picture))
    file = io.BytesIO()
    if form == "jpeg":
        image.save(file, "JPEG", quality=quality, subsampling=_SUBSAMPLED)
    else:
        image.save(file, "WEBP", quality=quality, method=0)
    return Encoded(form, width, height, channels, file.getvalue())
