"""What goes over the websocket, as docs/live/protocol.md says: written for pages, read from them."""

import json
import math
import struct
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, NoReturn

import numpy as np

from camfast.errors import InputError
from camfast.live.serving.encoding import FORMATS, QUALITIES, Encoded
from camfast.live.shown import Shown

PROTOCOL = 1
LARGEST = 4096
"""Bytes of a message from a page."""
TOP = 5
"""So many of the largest scores go with each frame."""
GOING_AWAY, UNSUPPORTED, INVALID, POLICY, TRY_LATER = 1001, 1003, 1007, 1008, 1013
_LONGEST_ERROR = 500


class Malformed(Exception):  # noqa: N818 (said of the message)
    """A message that no page of camfast sends: the connection is closed with a code and a reason."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason


@dataclass(frozen=True)
class Want:
    """What a page wants of each frame.

    Attributes
    ----------
    format : str
        One of `camfast.live.serving.encoding.FORMATS`.
    frame : bool
        Whether the frame alone comes beside the overlay.
    quality : int
        Of JPEG and WebP: one of `camfast.live.serving.encoding.QUALITIES`.
    """

    format: str = "jpeg"
    frame: bool = False
    quality: int = 85


@dataclass(frozen=True)
class Seen:
    """A page has drawn the frame of this number, and all before it."""

    number: int


@dataclass(frozen=True)
class Change:
    """A page asks for other settings."""

    changes: dict[str, Any]


@dataclass(frozen=True)
class Pause:
    """A page wants no frames, or wants them again."""

    paused: bool


Message = Want | Seen | Change | Pause


def read(text: str) -> Message:
    """Read a message from a page.

    Raises
    ------
    Malformed
        If it isn't JSON (1007), or no message that is known (1008).
    InputError
        If a known message has a field that doesn't fit.

    Examples
    --------
    >>> read('{"type": "pause", "paused": true}')
    Pause(paused=True)
    """
    try:
        message = json.loads(text, parse_constant=_refuse_constant)
    except (ValueError, RecursionError):
        raise Malformed(INVALID, "not JSON") from None
    if not isinstance(message, dict):
        raise Malformed(POLICY, "a message is a JSON object with a type")
    kind = message.pop("type", None)
    if kind == "change":
        return Change(message)
    if kind == "want":
        return _want(message)
    if kind == "shown":
        return Seen(**_fields(kind, message, {"number": int}))
    if kind == "pause":
        return Pause(**_fields(kind, message, {"paused": bool}))
    raise Malformed(POLICY, "unknown type of message; known are shown, change, want and pause")


def _want(message: dict[str, Any]) -> Want:
    filled = asdict(Want()) | message
    want = Want(**_fields("want", filled, {"format": str, "frame": bool, "quality": int}))
    if want.format not in FORMATS:
        raise InputError(f"format must be one of {', '.join(FORMATS)}; found {want.format!r}")
    if want.quality not in QUALITIES:
        raise InputError(f"quality must be one of {', '.join(map(str, QUALITIES))}; found {want.quality}")
    return want if want.format != "raw" else Want("raw", want.frame)  # one encoding, whatever the quality


def _fields(kind: str, message: dict[str, Any], types: Mapping[str, type]) -> dict[str, Any]:
    if set(message) != set(types):
        raise InputError(f"{kind} has the fields {', '.join(types)}; found {', '.join(message) or 'none'}")
    for name, value in message.items():
        if type(value) is not types[name]:  # True is no number here
            raise InputError(f"{name} of {kind} must be {_JSON_NAMES[types[name]]}, found {value!r}")
    return message


_JSON_NAMES = {int: "an integer", bool: "true or false", str: "a string"}


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")


def text(kind: str, **fields: Any) -> str:
    """Write a text message for a page; numbers that aren't finite become null."""
    return json.dumps(_plain({"type": kind, **fields}), allow_nan=False, separators=(",", ":"))


def error_text(error: InputError) -> str:
    """Write what a page said wrong."""
    message = str(error)
    return text("error", message=message if len(message) <= _LONGEST_ERROR else f"{message[:_LONGEST_ERROR]}…")


def header(shown: Shown, classes: Sequence[str], latency: float) -> dict[str, Any]:
    """Return what is said of a frame beside its pictures.

    Parameters
    ----------
    shown
        The frame and its overlay.
    classes
        Names of all classes.
    latency
        Seconds from the frame's arrival in memory until now.
    """
    frame = shown.frame
    return {
        "number": frame.number,
        "name": frame.name,
        "shape": frame.data.shape,
        "dtype": frame.data.dtype.name,
        "volume": frame.volume,
        "target": {"class": shown.target, "name": _name(classes, shown.target)},
        "scores": top_scores(np.asarray(shown.scores, np.float64), classes),
        "low": shown.low,
        "high": shown.high,
        "black": shown.black,
        "white": shown.white,
        "milliseconds": shown.milliseconds,
        "latency_ms": 1e3 * latency,
        "settings": asdict(shown.settings),
    }


def top_scores(scores: Any, classes: Sequence[str], count: int = TOP) -> list[dict[str, Any]]:
    """Return the largest scores (C,) and their probabilities, by a softmax over all; one class alone has none."""
    order = np.argsort(np.where(np.isnan(scores), -np.inf, -scores), kind="stable")[:count]  # NaN isn't hidden
    with np.errstate(invalid="ignore"):  # scores may be NaN: then so are the probabilities
        powers = np.exp(scores - scores.max())
    probabilities = powers / powers.sum()
    return [
        {
            "class": int(index),
            "name": _name(classes, int(index)),
            "score": float(scores[index]),
            "probability": float(probabilities[index]) if len(scores) > 1 else None,
        }
        for index in order
    ]


def _name(classes: Sequence[str], index: int) -> str:
    return classes[index] if index < len(classes) else str(index)


def pack(header: Mapping[str, Any], pictures: Sequence[tuple[str, Encoded]]) -> bytes:
    """Write a binary message: length of the header (uint32, little endian), header, pictures.

    Parameters
    ----------
    header
        What is said of the frame; its ``parts`` are added.
    pictures
        Kind ("overlay" or "frame") and bytes of each.
    """
    parts = [
        {
            "kind": kind,
            "format": picture.format,
            "bytes": len(picture.data),
            "width": picture.width,
            "height": picture.height,
            "channels": picture.channels,
        }
        for kind, picture in pictures
    ]
    head = json.dumps(_plain({**header, "parts": parts}), allow_nan=False, separators=(",", ":")).encode()
    return b"".join((struct.pack("<I", len(head)), head, *(picture.data for _, picture in pictures)))


def _plain(value: Any) -> Any:
    """Make a value fit for JSON, which has no NaN, no infinity and no numbers of numpy."""
    if isinstance(value, Mapping):
        return {str(name): _plain(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    if isinstance(value, np.generic):
        value = value.item()
    return None if isinstance(value, float) and not math.isfinite(value) else value
