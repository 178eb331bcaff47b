"""The source's thread: what fails is opened again, what is broken is counted, what ends ends."""

from collections.abc import Iterator

import numpy as np
import pytest

from camfast.errors import InputError
from camfast.live import reading
from camfast.live.frames import BrokenFrameError, Frame, SourceError
from camfast.live.latest import Latest
from camfast.live.reading import Reader
from tests.live.feeds import Feed, threads, until

FRAME = np.zeros((2, 2), np.uint8)


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(reading, "_FIRST_PAUSE", 0.01)
    monkeypatch.setattr(reading, "_STALLED", 0.05)
    yield
    assert not threads()


def test_a_source_that_ends() -> None:
    slot, feed = Latest(), Feed([FRAME, FRAME])
    reader = Reader(feed, slot)
    reader.start()
    until(lambda: reader.state == "ended")
    until(lambda: feed.closed)
    reader.stop(5.0)
    assert reader.message == "the feed is at its end"
    assert slot.counts() == (2, 1)
    assert slot.take(0.0) is not None
    assert slot.finished()


def test_a_source_that_dies_is_opened_again_and_goes_on() -> None:
    feed = Feed([FRAME, SourceError("the cable is out"), SourceError("still out"), FRAME], ends=False)
    slot = Latest()
    reader = Reader(feed, slot)
    states = []
    reader.start()
    until(lambda: states.append((reader.state, reader.message)) or slot.arrived == 2)
    until(lambda: reader.state == "running")
    reader.stop(5.0)
    assert ("failed", "the cable is out; it is tried again") in states
    assert (feed.opened, feed.closed) == (3, 3)


def test_broken_frames_are_counted_and_said_for_a_while() -> None:
    feed = Feed([FRAME, BrokenFrameError("a.tif is truncated"), FRAME], ends=False)
    slot = Latest()
    reader = Reader(feed, slot)
    reader.start()
    until(lambda: slot.arrived == 2)
    reader.stop(5.0)
    assert (reader.broken, reader.notice.text, feed.opened) == (1, "a.tif is truncated", 1)


def test_of_many_broken_frames_few_lines_are_written(caplog: pytest.LogCaptureFixture) -> None:
    broken = [BrokenFrameError(f"{number}.tif is truncated") for number in range(20)]
    slot = Latest()
    reader = Reader(Feed([*broken, FRAME], ends=False), slot)
    reader.start()
    until(lambda: slot.arrived == 1)
    reader.stop(5.0)
    assert (reader.broken, reader.notice.text) == (20, "19.tif is truncated")
    lines = [record.message for record in caplog.records if "truncated" in record.message]
    assert lines[0].endswith("0.tif is truncated (1 broken so far)")
    assert len(lines) < 20  # one a second


def test_numbers_that_a_source_skips_are_counted_as_lost() -> None:
    slot = Latest()
    reader = Reader(Feed([Frame(FRAME, number, 0.0) for number in (2, 3, 7, 1, 2)]), slot)
    reader.start()
    until(lambda: reader.state == "ended")
    reader.stop(5.0)
    assert (reader.lost, slot.arrived) == (2 + 3, 5)  # a number that is smaller starts another count


def test_a_source_without_frames_has_stalled_until_one_comes() -> None:
    going = False

    def steps() -> Iterator[np.ndarray | None]:
        yield FRAME
        while not going:
            yield None
        while True:
            yield FRAME

    slot = Latest()
    reader = Reader(Feed(steps()), slot)
    reader.start()
    until(lambda: reader.state == "stalled")
    assert reader.message == "no frame for 0 s"
    going = True
    until(lambda: reader.state == "running")
    assert reader.message == ""
    reader.stop(5.0)


@pytest.mark.parametrize("error", [InputError("no such camera; plug it in"), ZeroDivisionError("division by zero")])
def test_what_no_waiting_mends_ends_it(error: Exception) -> None:
    slot, feed = Latest(), Feed([error])
    reader = Reader(feed, slot)
    reader.start()
    until(slot.finished)
    reader.stop(5.0)
    assert reader.error is error
    assert reader.state == "failed"
    assert str(error) in reader.message
    assert feed.closed == 1


def test_a_stop_closes_the_source() -> None:
    feed = Feed([], ends=False)
    reader = Reader(feed, Latest())
    reader.start()
    until(lambda: feed.opened)
    reader.stop(5.0)
    assert feed.closed == 1
