"""A session: every frame is counted once, settings apply to the next frame, and nothing that comes in ends it."""

import threading

import numpy as np
import pytest
import torch

import camfast
from camfast.errors import InputError
from camfast.live import Looks, Session
from camfast.live import session as session_module
from camfast.live.shown import Shown
from camfast.models import Preprocess
from tests.live.feeds import Feed, Kept, endless, paced, threads, until
from tests.live.looks import LOOKS, balanced, frame
from tests.live.networks import pictures, volumes

pytestmark = pytest.mark.usefixtures("no_thread_is_left")


def test_every_frame_is_shown_when_there_is_time() -> None:
    sink = Kept()
    feed = Feed(paced(20, lambda: len(sink.numbers), frame))
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
    session = Session(Feed(frame(seed) for seed in range(300)), LOOKS, [sink])
    session.start()
    until(lambda: session.status()["arrived"] == 300)
    going.set()
    assert session.wait(20)
    session.stop()
    assert balanced(session)
    assert sink.numbers[-1] == 299
    assert sink.numbers == sorted(set(sink.numbers))
    assert session.status()["dropped"] >= 290


def test_a_stop_in_the_middle_counts_everything() -> None:
    sink = Kept()
    session = Session(Feed(endless(frame(0))), LOOKS, [sink])
    session.start()
    until(lambda: len(sink.numbers) > 5)
    session.stop()
    assert balanced(session)
    assert session.status()["shown"] == len(sink.numbers)


def test_frames_of_another_shape_get_a_pipeline_of_their_own() -> None:
    sink = Kept()
    shapes = [(24, 20), (40, 16), (24, 20, 3), (24, 20)]
    frames = paced(len(shapes), lambda: len(sink.numbers), lambda number: frame(number, shapes[number]))
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
        lambda number: frame(number, (2, 2) if number == 1 else (24, 20)),
    )
    session = Session(Feed(steps), looks, [sink])
    sessions.append(session)
    with session:
        assert session.wait(20)
    assert sink.numbers == [0, 2]
    status = session.status()
    assert (status["failed"], status["shown"]) == (1, 2)
    assert balanced(session)
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
    session = Session(Feed(endless(frame(0))), LOOKS, [sink])
    with session, pytest.raises(RuntimeError, match="the stage has crashed"):
        session.wait(20)
    assert sink.closed == 1
    assert balanced(session)
    status = session.status()
    assert (status["state"], status["shown"], status["failed"]) == ("failed", 0, 1)
    assert status["message"].startswith("RuntimeError: the stage has crashed")


def test_a_sink_may_stop_the_session() -> None:
    kept = Kept()
    session: list[Session] = []
    stopping = Kept(lambda: session[0].stop() if len(kept.numbers) == 3 else None)
    session.append(Session(Feed(endless(frame(0))), LOOKS, [kept, stopping]))
    session[0].start()
    assert session[0].wait(20)
    until(lambda: kept.closed and stopping.closed)
    assert len(kept.numbers) == 3
    assert balanced(session[0])
    session[0].stop()
    assert kept.closed == 1


def test_a_frame_that_takes_too_long_is_left_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session_module, "_PATIENCE", 0.05)
    going = threading.Event()
    sink = Kept(lambda: going.wait(20))
    session = Session(Feed(endless(frame(0))), LOOKS, [sink])
    session.start()
    until(lambda: session.status()["arrived"] > 2)
    session.stop()
    assert sink.closed == 0  # not while it still takes an overlay
    going.set()
    until(lambda: sink.closed)
    until(lambda: not threads())
    assert balanced(session)


def test_a_sink_that_cannot_be_closed_leaves_none_open() -> None:
    class Stuck(Kept):
        def close(self) -> None:
            raise OSError("the disk is gone")

    other = Kept()
    session = Session(Feed([frame(0)]), LOOKS, [Stuck(), other])
    session.start()
    session.wait(20)
    with pytest.raises(OSError, match="the disk is gone"):
        session.stop()
    assert other.closed == 1
    session.stop()


def test_a_session_runs_once() -> None:
    session = Session(Feed([frame(0)]), LOOKS)
    session.start()
    with session:
        assert session.wait(20)
    with pytest.raises(RuntimeError, match="runs once"):
        session.start()
    never = Session(Feed([]), LOOKS)
    never.stop()
    assert never.wait(20)


def test_scores_in_a_dict_are_found() -> None:
    class Named(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.network = pictures()

        def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
            return {"logits": self.network(x)}

    sink = Kept()
    explainer = camfast.Explainer(Named().eval(), "network.3", output=lambda found: found["logits"])
    with Session(Feed([frame(0)]), Looks(explainer, Preprocess(size=17)), [sink]) as session:
        assert session.wait(20)
        assert "network.3" in session.choices.layers
    assert len(sink.shown) == 1


def test_frames_that_all_fail_are_a_failure() -> None:
    with Session(Feed(endless(frame(0, (2, 2)))), Looks(camfast.Explainer(pictures(1), "3"))) as session:
        until(lambda: session.status()["failed"])
        assert session.status()["state"] == "failed"


def test_numbers_that_are_none_are_said() -> None:
    with Session([np.full((24, 20), np.nan, np.float32)], LOOKS) as session:
        assert session.wait(20)
        assert "scores that are no numbers" in session.status()["message"]


def test_plain_things_are_taken() -> None:
    numbers = []
    explainer = camfast.Explainer(pictures(1), "3")
    with Session([frame(0)], explainer, [lambda shown: numbers.append(shown.frame.number)]) as session:
        assert session.wait(20)
    assert numbers == [0]
    with pytest.raises(TypeError, match=r"looks must be camfast.live.Looks\(explainer, ...\)"):
        Session([], pictures())  # type: ignore[arg-type]
