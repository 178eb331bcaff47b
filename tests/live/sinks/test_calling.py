"""A function of the caller's, and what its exceptions do."""

import logging

import pytest

from camfast.live import Shown
from camfast.live.sinks import CallbackSink
from tests.live.sinks.made import make


def test_each_overlay_reaches_the_function() -> None:
    seen: list[Shown] = []
    sink = CallbackSink(seen.append, name="collect")
    shown = [make(i) for i in range(3)]
    for one in shown:
        sink.put(one)
    sink.close()
    assert [id(one) for one in seen] == [id(one) for one in shown]
    assert (sink.name, sink.failed, sink.failure) == ("collect", 0, "")


def test_an_exception_is_told_and_counted(caplog: pytest.LogCaptureFixture) -> None:
    def picky(shown: Shown) -> None:
        if shown.frame.number < 5:
            raise ZeroDivisionError(f"frame {shown.frame.number}")

    sink = CallbackSink(picky)
    with caplog.at_level(logging.ERROR):
        for number in range(5):
            sink.put(make(number))
    assert (sink.failed, sink.failure) == (5, "picky: ZeroDivisionError: frame 4")
    (record,) = caplog.records  # the others came within the same second
    assert record.exc_info is not None
    assert record.exc_info[0] is ZeroDivisionError
    assert "picky failed, 1 times so far" in record.message
    sink.put(make(5))
    assert (sink.failed, sink.failure) == (5, "")


def test_a_fatal_exception_goes_on_to_the_session() -> None:
    def fail(_: Shown) -> None:
        raise KeyError("stage")

    sink = CallbackSink(fail, fatal=True)
    with pytest.raises(KeyError, match="stage"):
        sink.put(make(0))
    assert sink.failure == "fail: KeyError: 'stage'"


def test_a_callable_object_is_named_after_its_class() -> None:
    class Feedback:
        def __call__(self, _: Shown) -> None:
            raise AssertionError

    assert CallbackSink(Feedback()).name == "Feedback"
