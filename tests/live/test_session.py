"""A session: every frame is counted once, settings apply to the next frame, and nothing that comes in ends it."""

import threading
from collections.abc import Iterator

import numpy as np
import pytest
from numpy.typing import NDArray

import camfast
from camfast.errors import InputError
from camfast.live import Looks, Session, Settings
from camfast.live.shown import Shown
from camfast.models import Preprocess
from tests.live.feeds import Feed, Kept, endless, paced, threads, until
from tests.live.networks import pictures, volumes

LOOKS = Looks(camfast.Explainer(pictures(), "3"), Preprocess(size=17), labels=("a", "b", "c", "d", "e"), name="small")


def _frame(seed: int, shape: tuple[int, ...] = (24, 20)) -> NDArray[np.generic]:
    return np.random.default_rng(seed).integers(0, 255, shape).astype(np.uint8)


@pytest.fixture(autouse=True)
def _no_thread_is_left() -> Iterator[None]:
    yield
    assert not threads()


def _balanced(session: Session) -> bool:
    status = session.status()
    return bool(status["arrived"] == status["shown"] + status["dropped"] + status["failed"])


def test_every_frame_is_shown_when_there_is_time() -> None:
    sink = Kept()
    feed = Feed(paced(20, lambda: len(sink.numbers), _frame))
    with Session(feed, LOOKS, [sink]) as session:
        assert session.wait(20)
    assert sink.numbers == list(range(20))
    status = session.status()
    assert (status["arrived"], status["shown"], status["dropped"]) == (20, 20, 0)
    assert (status["state"], status["frame_shape"], status["dtype"]) == ("ended", [24, 20], "uint8")
    assert status["latency_ms"]["p50"] <= status["latency_ms"]["p95"] <= status["latency_ms"]["p99"]
    assert status["model"] == "small"
    assert sink.closed == 1


def test_frames_that_come_too_fast_are_dropped_and_counted() -> None:
    going = threading.Event()
    sink = Kept(lambda: going.wait(20))
    session = Session(Feed(_frame(seed) for seed in range(300)), LOOKS, [sink])
    session.start()
    until(lambda: session.status()["arrived"] == 300)
    going.set()
    assert session.wait(20)
    session.stop()
    assert _balanced(session)
    assert sink.numbers[-1] == 299
    assert sink.numbers == sorted(set(sink.numbers))
    assert session.status()["dropped"] >= 290


def test_a_stop_in_the_middle_counts_everything() -> None:
    sink = Kept()
    session = Session(Feed(endless(_frame(0))), LOOKS, [sink])
    session.start()
    until(lambda: len(sink.numbers) > 5)
    session.stop()
    assert _balanced(session)
    assert session.status()["shown"] == len(sink.numbers)


def test_settings_apply_to_the_next_frame() -> None:
    sink = Kept()
    feed = Feed(endless(_frame(0)))
    with Session(feed, LOOKS, [sink]) as session:
        until(lambda: sink.shown)
        assert session.choices.classes == ("a", "b", "c", "d", "e")
        assert {"1", "3"} <= set(session.choices.layers)
        session.change({"target": 2, "method": "respond", "layer": "1", "alpha": 0.25})
        until(lambda: sink.shown[-1].settings.method == "respond")
        assert session.settings == Settings("1", "respond", 2, alpha=0.25)
    last = sink.shown[-1]
    assert (last.target, last.grid.shape) == (2, (8, 8))


@pytest.mark.parametrize(
    "changes",
    [{"alpha": 1.5}, {"alpha": "0.5"}, {"alpha": True}, {"target": 5}, {"target": "cat"}, {"target": True},
     {"method": "magic"}, {"layer": "99"}, {"colour": "red"}, {"colormap": None}, {"threshold": float("nan")}],
)  # fmt: skip
def test_settings_that_are_refused(changes: dict[str, object]) -> None:
    sink = Kept()
    with Session(Feed([_frame(0)], ends=False), LOOKS, [sink]) as session:
        until(lambda: sink.shown)
        before = session.settings
        with pytest.raises(InputError, match=str(next(iter(changes)))):
            session.change({"alpha": 0.1, **changes})
        assert session.settings == before


def test_a_layer_that_cannot_be_shown_is_said_and_taken_back() -> None:
    """The method "cam" needs a linear head behind the layer, which an early layer doesn't have."""
    sink = Kept()
    with Session(Feed(endless(_frame(0))), LOOKS, [sink]) as session:
        until(lambda: sink.shown)
        session.change({"layer": "1", "method": "cam"})
        until(lambda: session.status()["failed"])
        until(lambda: session.settings.method == "gradcam")
        assert session.settings.layer == "3"
        assert "cam at 1 can't be shown" in session.status()["message"]
        count = len(sink.shown)
        until(lambda: len(sink.shown) > count)
    assert _balanced(session)


def test_frames_of_another_shape_get_a_pipeline_of_their_own() -> None:
    sink = Kept()
    shapes = [(24, 20), (40, 16), (24, 20, 3), (24, 20)]
    frames = paced(len(shapes), lambda: len(sink.numbers), lambda number: _frame(number, shapes[number]))
    with Session(Feed(frames), LOOKS, [sink]) as session:
        assert session.wait(20)
    assert [shown.rgb.shape[:2] for shown in sink.shown] == [shape[:2] for shape in shapes]
    assert "frames are now uint8 (24, 20), after uint8 (24, 20, 3)" in session.status()["message"]


def test_a_frame_that_the_network_cannot_take_is_counted_and_the_next_is_shown() -> None:
    looks = Looks(camfast.Explainer(pictures(1), "3"))
    sink = Kept()
    sessions: list[Session] = []
    steps = paced(
        3,
        lambda: len(sink.numbers) + sessions[0].status()["failed"],
        lambda number: _frame(number, (2, 2) if number == 1 else (24, 20)),
    )
    session = Session(Feed(steps), looks, [sink])
    sessions.append(session)
    with session:
        assert session.wait(20)
    assert sink.numbers == [0, 2]
    status = session.status()
    assert (status["failed"], status["shown"]) == (1, 2)
    assert _balanced(session)
    assert "Kernel size can't be greater" in status["message"]
    assert "inputs of float32 (1, 1, 2, 2)" in status["message"]


def test_volumes() -> None:
    sink = Kept()
    frames = [np.random.default_rng(0).random((9, 14, 11), np.float32)]
    with Session(Feed(frames, volume=True), Looks(camfast.Explainer(volumes(), "1")), [sink]) as session:
        assert session.wait(20)
    assert sink.shown[0].rgb.shape == (23, 20, 3)


def test_a_source_that_cannot_be_had_says_so() -> None:
    session = Session(Feed([InputError("no such camera; plug it in")]), LOOKS)
    with session, pytest.raises(InputError, match="no such camera"):
        session.wait(20)
    assert session.status()["state"] == "failed"


def test_a_sink_that_raises_ends_the_session_with_its_error() -> None:
    def fail(_: Shown) -> None:
        raise RuntimeError("the stage has crashed")

    sink = Kept()
    sink.put = fail  # type: ignore[method-assign]
    session = Session(Feed(endless(_frame(0))), LOOKS, [sink])
    with session, pytest.raises(RuntimeError, match="the stage has crashed"):
        session.wait(20)
    assert sink.closed == 1


def test_several_layers_are_refused() -> None:
    with pytest.raises(InputError, match="shows one layer"):
        Session(Feed([]), Looks(camfast.Explainer(pictures(), ["1", "3"])))
