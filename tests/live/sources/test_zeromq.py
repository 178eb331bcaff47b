import json
import pickle
import re
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zmq

from camfast.errors import InputError
from camfast.live.frames import BrokenFrameError, SourceEndedError, SourceError
from camfast.live.sources import ZeroMQSource, open_source, send_frame
from tests.live.sources.until import next_frame, thread_count, wait_for

RANDOM = np.random.default_rng(0)
PICTURE = RANDOM.integers(0, 65536, (5, 7)).astype("<u2")
HEADER = {"shape": [5, 7], "dtype": "uint16", "number": 0}


class Sender:
    """A publisher that waits for its subscribers."""

    def __init__(self, port: int | None = None) -> None:
        self.context = zmq.Context()
        self.socket = self.context.socket(zmq.XPUB)  # a PUB that says who has subscribed
        self.socket.linger = 0
        if port is None:
            self.port = self.socket.bind_to_random_port("tcp://127.0.0.1")
        else:
            self.port = port
            self.socket.bind(f"tcp://127.0.0.1:{port}")

    def wait(self) -> None:
        """Wait until somebody has subscribed."""
        assert self.socket.poll(5000)
        self.socket.recv()

    def send(self, *parts: bytes) -> None:
        self.socket.send_multipart(parts)

    def close(self) -> None:
        self.socket.close()
        self.context.term()


@pytest.fixture
def sender() -> Iterator[Sender]:
    threads = thread_count()
    sender = Sender()
    yield sender
    sender.close()
    wait_for(lambda: thread_count() <= threads)


@pytest.fixture
def source(sender: Sender) -> Iterator[ZeroMQSource]:
    source = ZeroMQSource(f"tcp://127.0.0.1:{sender.port}", largest=10_000)
    source.open()
    sender.wait()
    yield source
    source.close()


@pytest.mark.parametrize("kind", ["uint8", "uint16", "float32", ">u2", "int16", "float64", "float16", "bool"])
def test_what_is_sent_arrives(sender: Sender, source: ZeroMQSource, kind: str) -> None:
    for shape in ((5, 7), (1, 1), (6, 4, 3)):
        values = RANDOM.integers(0, 2 if kind == "bool" else 100, shape).astype(kind)
        send_frame(sender.socket, values, 0, name="image 1")
        frame = next_frame(source)
        np.testing.assert_array_equal(frame.data, values)
        kept = (
            kind if kind in ("uint8", "uint16", "float32") else {"bool": "uint8", ">u2": "uint16"}.get(kind, "float32")
        )
        assert frame.data.dtype == kept
        assert (frame.name, frame.volume) == ("image 1", False)
        assert frame.data.flags.writeable
        assert frame.data.flags.c_contiguous


def test_the_documented_bytes_are_enough(sender: Sender, source: ZeroMQSource) -> None:
    sender.send(json.dumps({"shape": [5, 7], "dtype": "uint16"}).encode(), PICTURE.tobytes())
    frame = next_frame(source)
    np.testing.assert_array_equal(frame.data, PICTURE)
    assert (frame.number, frame.name) == (0, "")


def test_the_example_of_the_page_sends(tmp_path: Path) -> None:
    page = (Path(__file__).parents[3] / "docs" / "live" / "sources.md").read_text()
    (example,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    address = f"ipc://{tmp_path}/frames"
    assert "tcp://127.0.0.1:5555" in example

    class Camera:
        """Gives pictures until one has arrived."""

        arrived = threading.Event()

        def snap(self) -> np.ndarray:
            if self.arrived.wait(0.002):
                raise StopIteration
            return PICTURE

    def run() -> None:
        names: dict[str, Any] = {"camera": Camera()}
        with pytest.raises(StopIteration):
            exec(example.replace("tcp://127.0.0.1:5555", address).replace("1000", "100000"), names)
        names["socket"].close(linger=0)
        zmq.Context.instance().term()

    sender = threading.Thread(target=run)
    source = ZeroMQSource(address)
    source.open()
    sender.start()
    try:
        np.testing.assert_array_equal(next_frame(source).data, PICTURE)
    finally:
        Camera.arrived.set()
        sender.join()
        source.close()


def test_a_volume_is_one(sender: Sender, source: ZeroMQSource) -> None:
    values = RANDOM.standard_normal((4, 5, 3)).astype(np.float32)
    send_frame(sender.socket, values[..., ::-1], 3, volume=True)
    frame = next_frame(source)
    assert frame.volume
    np.testing.assert_array_equal(frame.data, values[..., ::-1])


def test_the_newest_is_taken_and_the_others_show_as_gaps(sender: Sender, source: ZeroMQSource) -> None:
    send_frame(sender.socket, PICTURE, 40)
    assert next_frame(source).number == 0
    numbers = []
    for number in range(41, 45):
        send_frame(sender.socket, np.full((2, 2), number, np.uint16), number)
    wait_for(lambda: source._socket.poll(0) != 0)
    while not numbers or numbers[-1] < 4:
        frame = next_frame(source)
        assert frame.data[0, 0] == 40 + frame.number
        numbers.append(frame.number)
    assert numbers == sorted(set(numbers))
    send_frame(sender.socket, PICTURE, 50)
    assert next_frame(source).number == 10
    send_frame(sender.socket, PICTURE, 0)  # the sender has started over
    assert next_frame(source).number == 11


def test_what_waits_is_drained(source: ZeroMQSource, monkeypatch: pytest.MonkeyPatch) -> None:
    class Waiting:
        """A socket in which three messages wait."""

        def __init__(self) -> None:
            self.left = [[b"1"], [b"2"], [b"3"]]

        def recv_multipart(self, flags: int = 0, *, copy: bool) -> list[bytes]:
            assert not copy
            if not self.left:
                assert flags == zmq.NOBLOCK
                raise zmq.Again
            return self.left.pop(0)

    monkeypatch.setattr(source, "_socket", Waiting())
    assert source._newest() == [b"3"]
    monkeypatch.undo()


def header(**changes: Any) -> bytes:
    return json.dumps({**HEADER, **changes}).encode()


@pytest.mark.parametrize(
    ("parts", "words"),
    [
        ((b"{}",), "a message of 1 parts, expected a header and an array"),
        ((b"", b"", b"", b""), "a message of 4 parts"),
        ((b"not json", b""), "the header is no JSON: b'not json'"),
        ((b"\xff\xfe", b""), "the header is no JSON"),
        ((b"[" * 60_000, b""), "the header is no JSON"),
        ((b" " * 70_000, b""), "a header of .* bytes"),
        ((pickle.dumps(PICTURE), b""), "the header is no JSON"),
        ((b"[1, 2]", b""), r"the header must be a JSON object, found \[1, 2\]"),
        ((b"{}", b""), "shape must be two or three whole numbers, found None"),
        ((header(shape=[35]), PICTURE.tobytes()), "shape must be"),
        ((header(shape=[5, -7]), PICTURE.tobytes()), "shape must be"),
        ((header(shape=[5, 0]), b""), "shape must be"),
        ((header(shape=[5, 7.0]), PICTURE.tobytes()), "shape must be"),
        ((header(shape=[True, 35]), PICTURE.tobytes()), "shape must be"),
        ((header(shape=[1, 1, 5, 7]), PICTURE.tobytes()), "shape must be"),
        ((header(dtype="object"), PICTURE.tobytes()), "dtype must be one of bool, .* found 'object'"),
        ((header(dtype=">u2"), PICTURE.tobytes()), "dtype must be one of"),
        ((header(dtype=["uint16"]), PICTURE.tobytes()), "dtype must be one of"),
        ((header(shape=[1 << 20, 1 << 20]), b""), "a frame of 2,199,023,255,552 bytes, expected at most 10,000"),
        ((header(shape=[10**30, 10**30]), b""), "expected at most 10,000"),
        ((header(), PICTURE.tobytes()[:-1]), r"69 bytes, expected 70 of \(5, 7\) uint16"),
        ((header(), PICTURE.tobytes() + b"0"), "71 bytes, expected 70"),
        ((header(number=-1), PICTURE.tobytes()), "number must be a whole number from 0, found '-1'"),
        ((header(number=1.5), PICTURE.tobytes()), "number must be"),
        ((header(number=1 << 70), PICTURE.tobytes()), "number must be"),
        ((header(name=5), PICTURE.tobytes()), "name must be a text of at most 200 letters"),
        ((header(name="x" * 201), PICTURE.tobytes()), "name must be"),
        ((header(volume=1), PICTURE.tobytes()), "volume must be true or false, found '1'"),
        ((header(shape=[5, 7, 2]), PICTURE.tobytes() * 2), "has the shape"),
    ],
)  # fmt: skip
def test_a_message_that_makes_no_sense_is_broken_and_the_next_comes(
    sender: Sender, parts: tuple[bytes, ...], words: str
) -> None:
    source = ZeroMQSource(f"tcp://127.0.0.1:{sender.port}", largest=100_000 if len(parts[0]) > 10_000 else 10_000)
    source.open()
    sender.wait()
    sender.send(*parts)
    with pytest.raises(BrokenFrameError, match=words):
        next_frame(source)
    send_frame(sender.socket, PICTURE, 0)
    np.testing.assert_array_equal(next_frame(source).data, PICTURE)
    source.close()


def test_a_sender_of_too_much_is_cut_off_and_comes_back(sender: Sender, source: ZeroMQSource) -> None:
    sender.send(header(), bytes(20_000))
    with pytest.raises(SourceError, match="was cut off because it sent more than 10,000 bytes") as raised:
        next_frame(source)
    assert not isinstance(raised.value, BrokenFrameError | SourceEndedError)
    source.close()
    source.open()
    wait_for(lambda: sender.socket.poll(0) != 0)
    while sender.socket.poll(100):
        last = sender.socket.recv()
    assert last[:1] == b"\x01"  # subscribed
    send_frame(sender.socket, PICTURE, 0)
    np.testing.assert_array_equal(next_frame(source).data, PICTURE)


def test_a_sender_may_go_and_come_back() -> None:
    sender = Sender()
    source = open_source(f"zmq:tcp://127.0.0.1:{sender.port}")
    source.open()
    assert source.read(0.02) is None
    sender.wait()
    send_frame(sender.socket, PICTURE, 7)
    assert next_frame(source).number == 0
    sender.close()
    with pytest.raises(SourceError, match="the sender has gone"):
        next_frame(source)
    source.close()
    source.open()  # before there is a sender
    assert source.read(0.02) is None
    sender = Sender(sender.port)
    sender.wait()
    send_frame(sender.socket, PICTURE, 0)
    assert next_frame(source).number == 1
    source.close()
    sender.close()


def test_senders_may_connect_and_have_topics() -> None:
    source = ZeroMQSource("tcp://127.0.0.1:*", bind=True, topic="camera1")
    assert source.name == "zmq:tcp://127.0.0.1:*?bind=1&topic=camera1"
    source.open()
    address = source._socket.get(zmq.LAST_ENDPOINT)
    with zmq.Context() as context, context.socket(zmq.XPUB) as socket:
        socket.linger = 0
        socket.connect(address)
        wait_for(lambda: source.read(0) is None and socket.poll(10) != 0)  # it subscribes while it reads
        assert socket.recv() == b"\x01camera1"
        send_frame(socket, PICTURE + 1, 0, topic="camera2")
        send_frame(socket, PICTURE, 1, topic="camera1")
        np.testing.assert_array_equal(next_frame(source).data, PICTURE)
    assert source.read(0.05) is None  # senders come and go
    source.close()


def test_an_address_that_is_none_is_named() -> None:
    for text in ("zmq:", "zmq:microscope:5555"):
        with pytest.raises(InputError, match="expected an address such as zmq:tcp://microscope:5555"):
            open_source(text)
    threads = thread_count()
    for text in ("zmq:tcp://", "zmq:carrier-pigeon://roof", "zmq:tcp://host:port"):
        with pytest.raises(InputError, match="expected an address such as tcp://microscope:5555"):
            open_source(text).open()
    wait_for(lambda: thread_count() <= threads)
    with pytest.raises(SourceError, match="isn't open"):
        open_source("zmq:tcp://127.0.0.1:5555").read(0)
