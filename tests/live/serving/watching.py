"""A page for tests: a websocket that reads what the server writes, by the words of docs/live/protocol.md."""

import io
import json
import struct
from typing import Any, NamedTuple

import numpy as np
from PIL import Image
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from camfast.live.serving.server import PageServer
from tests.live.serving.fakes import PATIENCE


class Got(NamedTuple):
    """A frame as it came."""

    header: dict[str, Any]
    images: dict[str, bytes]


def watch(server: PageServer, **options: Any) -> ClientConnection:
    """Open a websocket of a page's server."""
    options = {"compression": None, "max_size": None, "open_timeout": PATIENCE, "close_timeout": PATIENCE} | options
    return connect(f"ws{server.name[4:]}socket", **options)


def say(page: ClientConnection, kind: str, **fields: Any) -> None:
    """Send a message."""
    page.send(json.dumps({"type": kind, **fields}))


def next_text(page: ClientConnection, kind: str) -> dict[str, Any]:
    """Read until a text of a kind comes; frames that come before are acknowledged."""
    while True:
        message = page.recv(PATIENCE)
        if isinstance(message, str):
            text = json.loads(message)
            if text["type"] == kind:
                return text
        else:
            say(page, "shown", number=unpacked(message).header["number"])


def next_frame(page: ClientConnection, *, acknowledge: bool = True) -> Got:
    """Read until a frame comes."""
    while isinstance(message := page.recv(PATIENCE), str):
        pass
    got = unpacked(message)
    if acknowledge:
        say(page, "shown", number=got.header["number"])
    return got


def unpacked(message: bytes) -> Got:
    """Take a binary message apart."""
    (length,) = struct.unpack_from("<I", message)
    header = json.loads(message[4 : 4 + length])
    images, offset = {}, 4 + length
    for part in header["parts"]:
        images[part["kind"]] = message[offset : offset + part["bytes"]]
        offset += part["bytes"]
    assert offset == len(message)
    return Got(header, images)


def pixels(got: Got, kind: str) -> np.ndarray:
    """Decode a picture of a raw frame: (H, W, 3), or (H, W)."""
    [part] = [part for part in got.header["parts"] if part["kind"] == kind]
    assert part["format"] == "raw"
    shape = (part["height"], part["width"], part["channels"])
    flat = np.frombuffer(got.images[kind], np.uint8).reshape(shape)
    return flat if shape[2] == 3 else flat[..., 0]


def opened(data: bytes) -> Image.Image:
    """Open an encoded picture."""
    return Image.open(io.BytesIO(data))


def closed(page: ClientConnection) -> tuple[int, str]:
    """Read until the server closes, and return the code and the reason that it gives."""
    end = None
    while end is None:
        try:
            page.recv(PATIENCE)
        except ConnectionClosed as closing:
            end = closing
    assert end.rcvd is not None, "closed without a word"
    return end.rcvd.code, end.rcvd.reason
