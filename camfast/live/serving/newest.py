"""A frame as the messages that pages get."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from camfast.live.serving.encoding import Encoded, encode
from camfast.live.serving.messages import Want, pack


@dataclass(frozen=True)
class Newest:
    """The newest frame, for all who watch.

    Attributes
    ----------
    header : mapping
        What is said of it.
    messages : dict
        What was written for each `Want`, shared by all pages that want the same.
    still : pair of ndarray or None
        Copies of overlay and frame, for those who come or want something else before the next frame does.
    """

    header: Mapping[str, Any]
    messages: dict[Want, bytes]
    still: tuple[NDArray[Any], NDArray[Any]] | None

    def message(self, want: Want) -> bytes | None:
        """Return what a page gets, or None where it has to wait for the next frame."""
        if want not in self.messages and self.still is not None:
            self.messages[want] = packed(self.header, want, encodings(*self.still, [want]))
        return self.messages.get(want)


Encodings = dict[tuple[str, str, int], Encoded]
"""Pictures by kind, format and quality."""


def encodings(overlay: NDArray[Any], frame: NDArray[Any], wants: Iterable[Want]) -> Encodings:
    """Encode what pages want, nothing twice."""
    encoded: Encodings = {}
    for want in wants:
        for kind, pixels in (("overlay", overlay), ("frame", frame)):
            key = (kind, want.format, want.quality)
            if key not in encoded and (want.frame or kind == "overlay"):
                encoded[key] = encode(pixels, want.format, want.quality)
    return encoded


def packed(header: Mapping[str, Any], want: Want, encoded: Encodings) -> bytes:
    """Write the message of a `Want`."""
    kinds = ("overlay", "frame") if want.frame else ("overlay",)
    return pack(header, [(kind, encoded[kind, want.format, want.quality]) for kind in kinds])
