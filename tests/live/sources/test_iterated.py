import time
from collections.abc import Iterator

import numpy as np
import pytest
import torch

from camfast.errors import InputError
from camfast.live.frames import BrokenFrameError, Frame, SourceEndedError, SourceError
from camfast.live.sources import IteratedSource, open_source

RANDOM = np.random.default_rng(0)
PICTURE = RANDOM.integers(0, 65536, (5, 7)).astype(np.uint16)


def test_arrays_and_tensors_come_as_they_are() -> None:
    colours = RANDOM.integers(0, 256, (5, 7, 3)).astype(np.uint8)
    given = [
        (PICTURE, PICTURE),
        (torch.from_numpy(colours), colours),
        (torch.full((2, 3), 1.5, dtype=torch.bfloat16, requires_grad=True), np.full((2, 3), 1.5, np.float32)),
        (np.float64([[1, 2.5]]), np.float32([[1, 2.5]])),
        (PICTURE.T[::-1], PICTURE.T[::-1]),
        ([[1, 2], [3, 4]], np.float32([[1, 2], [3, 4]])),
    ]
    source = open_source([item for item, _ in given])
    source.open()
    for number, (_, expected) in enumerate(given):
        frame = source.read(1)
        assert isinstance(frame, Frame)
        assert frame.number == number
        assert frame.data.dtype == expected.dtype
        assert frame.data.flags.c_contiguous
        np.testing.assert_array_equal(frame.data, expected)
    with pytest.raises(SourceEndedError, match="iterated:list has ended after 6 frames"):
        source.read(1)


def test_an_array_may_be_written_to_again() -> None:
    def camera() -> Iterator[np.ndarray]:
        buffer = np.zeros((4, 4), np.uint16)
        for value in range(3):
            buffer[:] = value
            yield buffer

    source = IteratedSource(camera())
    source.open()
    frames = [source.read(1) for _ in range(3)]
    assert [int(frame.data[0, 0]) for frame in frames if frame] == [0, 1, 2]
    for frame in frames:
        assert frame is not None
        assert frame.data.flags.writeable


def test_a_frame_keeps_what_it_says() -> None:
    frame = Frame(np.zeros((2, 3, 4), np.uint8), 17, 0.5, "a.tif", volume=True)
    source = IteratedSource([frame])
    source.open()
    read = source.read(1)
    assert read is not None
    assert (read.number, read.time, read.name, read.volume) == (17, 0.5, "a.tif", True)
    assert np.shares_memory(read.data, frame.data)


def test_volumes_are_asked_for() -> None:
    source = IteratedSource([np.zeros((4, 5, 6), np.uint8), np.zeros((5, 6), np.uint8)], volume=True)
    source.open()
    assert [frame.volume for frame in (source.read(1), source.read(1)) if frame] == [True, False]


@pytest.mark.parametrize(
    "item", [np.zeros((4, 5, 6)), np.zeros((0, 4)), "text", [[1], [1, 2]], None, np.zeros((2, 2), complex)]
)
def test_what_is_no_picture_is_broken_and_the_next_comes(item: object) -> None:
    source = IteratedSource([item, PICTURE])
    source.open()
    with pytest.raises(BrokenFrameError, match="iterated:list: frame 0"):
        source.read(1)
    frame = source.read(1)
    assert frame is not None
    assert frame.number == 1


class Failing:
    """Gives a picture, then fails."""

    def __iter__(self) -> Iterator[np.ndarray]:
        yield PICTURE
        raise OSError("the shutter is stuck")


def test_an_iterable_that_fails_can_start_again() -> None:
    source = IteratedSource(Failing())
    for turn in range(2):
        source.open()
        frame = source.read(1)
        assert frame is not None
        assert frame.number == turn
        with pytest.raises(SourceError, match="iterated:Failing failed: OSError: the shutter is stuck") as raised:
            source.read(1)
        assert not isinstance(raised.value, BrokenFrameError | SourceEndedError)
        source.close()


def test_an_iterator_that_fails_can_not() -> None:
    source = IteratedSource(iter(Failing()), name="my camera")
    source.open()
    source.read(1)
    source.close()
    source.open()  # it goes on where it was
    with pytest.raises(SourceError, match="my camera failed"):
        source.read(1)
    source.close()
    with pytest.raises(
        InputError, match="my camera is an iterator, which can't start again: it failed: OSError: the sh"
    ):
        source.open()


def test_what_fails_at_its_start() -> None:
    class Broken:
        def __iter__(self) -> Iterator[np.ndarray]:
            raise RuntimeError

    with pytest.raises(SourceError, match=r"iterated:Broken failed: RuntimeError$"):
        IteratedSource(Broken()).open()


def test_a_rate_holds_it_back() -> None:
    source = IteratedSource([PICTURE] * 5, fps=50)
    source.open()
    start = time.perf_counter()
    frames = [source.read(1) for _ in range(5)]
    assert time.perf_counter() - start >= 4 / 50 - 0.001
    assert None not in frames
    source.close()
    slow = IteratedSource([PICTURE] * 2, fps=0.1)
    slow.open()
    assert slow.read(0) is not None
    assert slow.read(0.01) is None
    slow.close()
    slow.open()
    assert slow.read(0) is not None  # the clock starts again


def test_what_can_not_be_is_named() -> None:
    with pytest.raises(InputError, match="frames must be something to iterate over, found int"):
        IteratedSource(3)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="frames a second must be more than 0"):
        IteratedSource([], fps=0)
    with pytest.raises(SourceError, match="isn't open"):
        IteratedSource([]).read(0)
