"""The slot for the newest frame: nothing is queued, and every frame is counted once."""

import threading

import numpy as np

from camfast.live.frames import Frame
from camfast.live.latest import Latest


def _frame(number: int) -> Frame:
    return Frame(np.zeros((1, 1), np.uint8), number, time=0.0)


def test_a_newer_frame_takes_the_place_of_an_older_one() -> None:
    slot = Latest()
    for number in range(5):
        slot.put(_frame(number))
    taken = slot.take(0.0)
    assert taken is not None
    assert taken.number == 4
    assert slot.counts() == (5, 4)
    assert slot.take(0.01) is None


def test_a_frame_that_waits_when_the_source_ends_is_still_taken() -> None:
    slot = Latest()
    slot.put(_frame(0))
    slot.close(drop=False)
    assert not slot.finished()
    assert slot.take(1.0) is not None
    assert slot.finished()
    assert slot.counts() == (1, 0)


def test_a_stop_drops_what_waits_and_what_still_comes() -> None:
    slot = Latest()
    slot.put(_frame(0))
    slot.close()
    slot.put(_frame(1))
    assert slot.take(0.0) is None
    assert slot.counts() == (2, 2)


def test_closing_wakes_whoever_waits() -> None:
    slot = Latest()
    taken: list[Frame | None] = []
    thread = threading.Thread(target=lambda: taken.append(slot.take(60.0)))
    thread.start()
    slot.close()
    thread.join(5.0)
    assert taken == [None]


def test_counts_add_up_between_threads() -> None:
    slot = Latest()
    done = threading.Event()
    taken = []

    def take() -> None:
        while not done.is_set() or not slot.finished():
            frame = slot.take(0.01)
            if frame is not None:
                taken.append(frame.number)

    thread = threading.Thread(target=take)
    thread.start()
    for number in range(2000):
        slot.put(_frame(number))
    slot.close(drop=False)
    done.set()
    thread.join(10.0)
    arrived, dropped = slot.counts()
    assert (arrived, arrived - dropped) == (2000, len(taken))
    assert taken == sorted(taken)
    assert taken[-1] == 1999
