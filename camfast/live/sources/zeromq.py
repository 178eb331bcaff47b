"""Arrays that another program sends: ``zmq:tcp://HOST:PORT``. `send_frame` is how.

A message has two parts, or three where the sender has topics:

1. the topic, if any;
2. a JSON object of at most 64 KiB: ``{"shape": [H, W], "dtype": "uint16", "number": 17}`` and, where wanted,
   ``"name"`` (a text) and ``"volume"`` (true where three axes are (D, H, W), else they are (H, W, 3));
3. the array's bytes, little-endian, the last axis fastest, and no others.
"""

import json
import math
import time
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from camfast._extras import require
from camfast.errors import InputError
from camfast.live.frames import BrokenFrameError, Frame, SourceError, checked
from camfast.live.sources.counting import SentNumbers
from camfast.live.spec import Spec

LARGEST = 1 << 30  # bytes of a frame
LARGEST_HEADER = 1 << 16
LONGEST_NAME = 200
QUEUED = 4  # messages that the library holds; the newest is taken
KINDS = ("bool", "int8", "uint8", "int16", "uint16", "int32", "uint32", "float16", "float32", "float64")


class ZeroMQSource:
    """The newest of the arrays that a publisher sends; those before it are skipped, which their numbers show.

    Numbers are the sender's, counted from the first that came, and go on where the sender starts over. Nothing that is
    received is run or unpickled.

    Parameters
    ----------
    address
        Of ZeroMQ, such as ``tcp://microscope:5555`` or ``ipc:///tmp/frames``.
    bind
        Whether senders connect to this address; else the sender is bound to it.
    topic
        What the first part of a message must begin with.
    largest
        Bytes of a frame. A larger one is refused; a sender that sends it all the same is cut off.

    Raises
    ------
    InputError
        In `open`, if it is no address.
    """

    def __init__(self, address: str, *, bind: bool = False, topic: str = "", largest: int = LARGEST) -> None:
        self._zmq = require("zmq", "live", "receiving frames over ZeroMQ")
        require("zmq.utils.monitor", "live", "receiving frames over ZeroMQ")
        self._address, self._bind, self._topic, self._largest = address, bind, topic, largest
        options = ["bind=1"] * bind + [f"topic={topic}"] * bool(topic)
        self.name = f"zmq:{address}" + ("?" + "&".join(options) if options else "")
        self._context: Any = None
        self._socket: Any = None
        self._monitor: Any = None
        self._numbers = SentNumbers()

    @classmethod
    def of(cls, spec: Spec) -> "ZeroMQSource":
        """Make what a person asked for as ``zmq:tcp://HOST:PORT``, ``?bind=1`` and ``?topic=``."""
        spec.check_options("bind", "topic")
        if "://" not in spec.place:
            raise InputError(f"{spec.text}: expected an address such as zmq:tcp://microscope:5555")
        return cls(spec.place, bind=spec.flag("bind"), topic=spec.options.get("topic", ""))

    def open(self) -> None:
        """Connect, or wait for senders; the sender may come later."""
        self.close()
        zmq = self._zmq
        self._context = zmq.Context()
        self._socket = self._context.socket(zmq.SUB)
        self._socket.set(zmq.LINGER, 0)
        self._socket.set(zmq.RCVHWM, QUEUED)
        self._socket.set(zmq.MAXMSGSIZE, self._largest)
        self._socket.set(zmq.SUBSCRIBE, self._topic.encode())
        if not self._bind:
            self._monitor = self._socket.get_monitor_socket(zmq.EVENT_DISCONNECTED)
        try:
            (self._socket.bind if self._bind else self._socket.connect)(self._address)
        except zmq.ZMQError as error:
            self.close()
            never = error.errno in (zmq.EPROTONOSUPPORT, zmq.EINVAL, zmq.ENOCOMPATPROTO)
            kind: type[InputError | SourceError] = InputError if never else SourceError
            raise kind(f"{self.name}: {error.strerror}; expected an address such as tcp://microscope:5555") from None

    def read(self, timeout: float) -> Frame | None:
        """Wait for a message, at most so many seconds, and return the newest; None where none came."""
        if self._socket is None:
            raise SourceError(f"{self.name} isn't open")
        zmq = self._zmq
        poller = zmq.Poller()
        poller.register(self._socket, zmq.POLLIN)
        if self._monitor is not None:
            poller.register(self._monitor, zmq.POLLIN)
        ready = dict(poller.poll(math.ceil(timeout * 1000)))
        if self._socket in ready:
            return self._frame(self._newest())
        if ready:
            zmq.utils.monitor.recv_monitor_message(self._monitor)
            raise SourceError(
                f"{self.name}: the sender has gone, or was cut off because it sent more than {self._largest:,} bytes"
            )
        return None

    def close(self) -> None:
        """Hang up; also where it isn't open."""
        if self._monitor is not None:
            self._socket.disable_monitor()
            self._monitor.close(linger=0)
            self._monitor = None
        if self._socket is not None:
            self._socket.close(linger=0)
            self._context.term()
            self._socket = self._context = None

    def _newest(self) -> list[Any]:
        parts = self._socket.recv_multipart(copy=False)
        for _ in range(2 * QUEUED):  # a sender that is faster than this can't hold it up
            try:
                parts = self._socket.recv_multipart(self._zmq.NOBLOCK, copy=False)
            except self._zmq.Again:
                break
        return list(parts)

    def _frame(self, parts: list[Any]) -> Frame:
        if len(parts) not in (2, 3):
            raise BrokenFrameError(f"{self.name}: a message of {len(parts)} parts, expected a header and an array")
        header = _header(parts[-2].buffer, self.name)
        try:
            shape, dtype = _layout(header, self._largest)
            name, volume, sent = _about(header)
        except ValueError as error:
            raise BrokenFrameError(f"{self.name}: {error}") from None
        content, expected = parts[-1].buffer, math.prod(shape) * dtype.itemsize
        if len(content) != expected:
            raise BrokenFrameError(
                f"{self.name}: {len(content):,} bytes, expected {expected:,} of {shape} {dtype.name}"
            )
        array: NDArray[Any] = np.frombuffer(content, dtype).reshape(shape).astype(dtype.newbyteorder("="))
        data = checked(array, volume=volume, what=self.name)
        number = self._numbers.number(sent)
        return Frame(data, number, time.perf_counter(), name, volume=volume and data.ndim == 3)


def send_frame(
    socket: Any, array: ArrayLike, number: int, *, name: str = "", volume: bool = False, topic: str | None = None
) -> None:
    """Send an array as a frame, the way `ZeroMQSource` receives it.

    Parameters
    ----------
    socket
        ``PUB`` of pyzmq.
    array
        (H, W), (H, W, 3) or, with ``volume``, (D, H, W): integers up to 32 bits, floating point or bool.
    number
        Which frame it is; a gap tells the receiver that frames were lost.
    name
        What to call it, up to 200 letters.
    volume
        Whether three axes are (D, H, W).
    topic
        For receivers that want only some of what is sent.

    Examples
    --------
    >>> import zmq
    >>> with zmq.Context() as context, context.socket(zmq.PUB) as socket:
    ...     port = socket.bind_to_random_port("tcp://127.0.0.1")
    ...     send_frame(socket, np.zeros((4, 6), np.uint16), number=0)
    """
    values = np.ascontiguousarray(array)
    values = values.astype(values.dtype.newbyteorder("<"), copy=False)
    header: dict[str, Any] = {"shape": values.shape, "dtype": values.dtype.name, "number": int(number)}
    header |= {"name": name} if name else {}
    header |= {"volume": True} if volume else {}
    first = [] if topic is None else [topic.encode()]
    socket.send_multipart([*first, json.dumps(header).encode(), values.data if values.size else b""])


def _header(content: Any, what: str) -> dict[str, Any]:
    if len(content) > LARGEST_HEADER:
        raise BrokenFrameError(f"{what}: a header of {len(content):,} bytes, expected at most {LARGEST_HEADER:,}")
    try:
        header = json.loads(bytes(content))
    except (ValueError, RecursionError):
        raise BrokenFrameError(f"{what}: the header is no JSON: {bytes(content[:40])!r}") from None
    if not isinstance(header, dict):
        raise BrokenFrameError(f"{what}: the header must be a JSON object, found {str(header)[:40]}")
    return header


def _layout(header: dict[str, Any], largest: int) -> tuple[tuple[int, ...], np.dtype[Any]]:
    shape, kind = header.get("shape"), header.get("dtype")
    if not isinstance(shape, list) or len(shape) not in (2, 3) or not all(type(n) is int and n > 0 for n in shape):
        raise ValueError(f"shape must be two or three whole numbers, found {str(shape)[:40]}")
    if kind not in KINDS:
        raise ValueError(f"dtype must be one of {', '.join(KINDS)}; found {str(kind)[:40]!r}")
    dtype = np.dtype(kind).newbyteorder("<")
    size = math.prod(shape) * dtype.itemsize
    if size > largest:
        raise ValueError(f"a frame of {size:,} bytes, expected at most {largest:,}")
    return tuple(shape), dtype


def _about(header: dict[str, Any]) -> tuple[str, bool, int | None]:
    name, volume, number = header.get("name", ""), header.get("volume", False), header.get("number")
    if not isinstance(name, str) or len(name) > LONGEST_NAME:
        raise ValueError(f"name must be a text of at most {LONGEST_NAME} letters, found {str(name)[:40]!r}")
    if not isinstance(volume, bool):
        raise ValueError(f"volume must be true or false, found {str(volume)[:40]!r}")
    if number is not None and not (type(number) is int and 0 <= number < 1 << 63):
        raise ValueError(f"number must be a whole number from 0, found {str(number)[:40]!r}")
    return name, volume, number
