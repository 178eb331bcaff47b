"""A session: every frame is counted once, settings apply to the next frame, and nothing that comes in ends it."""

import threading
import time
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

import camfast
from camfast.errors import InputError
from camfast.live import Frame, Looks, Overlay, Session, Settings
from camfast.live import session as session_module
from camfast.live.looks import Overlays
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
    assert _balanced(session)
    status = session.status()
    assert (status["state"], status["shown"], status["failed"]) == ("failed", 0, 1)
    assert status["message"].startswith("RuntimeError: the stage has crashed")


def test_a_sink_may_stop_the_session() -> None:
    kept = Kept()
    session: list[Session] = []
    stopping = Kept(lambda: session[0].stop() if len(kept.numbers) == 3 else None)
    session.append(Session(Feed(endless(_frame(0))), LOOKS, [kept, stopping]))
    session[0].start()
    assert session[0].wait(20)
    until(lambda: kept.closed and stopping.closed)
    assert len(kept.numbers) == 3
    assert _balanced(session[0])
    session[0].stop()
    assert kept.closed == 1


def test_a_frame_that_takes_too_long_is_left_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session_module, "_PATIENCE", 0.05)
    going = threading.Event()
    sink = Kept(lambda: going.wait(20))
    session = Session(Feed(endless(_frame(0))), LOOKS, [sink])
    session.start()
    until(lambda: session.status()["arrived"] > 2)
    session.stop()
    assert sink.closed == 0  # not while it still takes an overlay
    going.set()
    until(lambda: sink.closed)
    until(lambda: not threads())
    assert _balanced(session)


def test_a_sink_that_cannot_be_closed_leaves_none_open() -> None:
    class Stuck(Kept):
        def close(self) -> None:
            raise OSError("the disk is gone")

    other = Kept()
    session = Session(Feed([_frame(0)]), LOOKS, [Stuck(), other])
    session.start()
    session.wait(20)
    with pytest.raises(OSError, match="the disk is gone"):
        session.stop()
    assert other.closed == 1
    session.stop()


def test_a_session_runs_once() -> None:
    session = Session(Feed([_frame(0)]), LOOKS)
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
    with Session(Feed([_frame(0)]), Looks(explainer, Preprocess(size=17)), [sink]) as session:
        assert session.wait(20)
        assert "network.3" in session.choices.layers
    assert len(sink.shown) == 1


def test_scales_start_anew_behind_another_layer() -> None:
    sink = Kept()
    level = 100

    def frames() -> Iterator[NDArray[np.generic]]:
        while True:
            yield (level + np.random.default_rng(0).integers(0, 50, (24, 20))).astype(np.uint16)
            time.sleep(0.002)

    with Session(Feed(frames()), Looks(camfast.Explainer(pictures(1), "3")), [sink]) as session:
        until(lambda: sink.shown)
        session.change({"layer": "1"})
        until(lambda: sink.shown[-1].settings.layer == "1")
        level = 10_000
        until(lambda: sink.shown[-1].frame.data.min() > 9_000)
        count = len(sink.shown)
        session.change({"layer": "3"})
        until(lambda: any(shown.settings.layer == "3" for shown in sink.shown[count:]))
    back = next(shown for shown in sink.shown[count:] if shown.settings.layer == "3")
    assert back.black >= 10_000


def test_a_newer_choice_is_not_taken_back(monkeypatch: pytest.MonkeyPatch) -> None:
    sink = Kept()
    with Session(Feed(endless(_frame(0))), LOOKS, [sink]) as session:
        until(lambda: sink.shown)
        of = Overlays.of

        def slow(self: Overlays, frame: Frame, settings: Settings) -> Overlay:
            if settings.method == "cam":
                session.change({"method": "respond"})
            return of(self, frame, settings)

        monkeypatch.setattr(Overlays, "of", slow)
        session.change({"layer": "1", "method": "cam"})
        until(lambda: sink.shown[-1].settings.method == "respond")
        assert session.settings.layer == "1"


def test_a_first_class_that_is_not_there_becomes_the_predicted_one() -> None:
    sink = Kept()
    with Session(Feed(endless(_frame(0))), LOOKS, [sink], Settings("3", target=7)) as session:
        until(lambda: sink.shown)
        assert session.settings.target == "predicted"
        assert "class 7 by gradcam at 3 can't be shown" in session.status()["message"]


def test_settings_show_on_the_last_frame_where_no_other_comes() -> None:
    class Showing(Kept):
        again = True

    showing, recording = Showing(), Kept()
    with Session(Feed([_frame(0)]), LOOKS, [showing, recording]) as session:
        assert session.wait(20)  # the source has ended, and the picture can still be looked at
        until(lambda: showing.shown)
        session.change(target=2, alpha=1.0)
        until(lambda: showing.shown[-1].settings.alpha == 1.0)
    assert [shown.target for shown in showing.shown][-1] == 2
    assert len(recording.shown) == 1
    status = session.status()
    assert (status["arrived"], status["shown"]) == (1, 1)


def test_frames_that_all_fail_are_a_failure() -> None:
    with Session(Feed(endless(_frame(0, (2, 2)))), Looks(camfast.Explainer(pictures(1), "3"))) as session:
        until(lambda: session.status()["failed"])
        assert session.status()["state"] == "failed"


def test_numbers_that_are_none_are_said() -> None:
    frame = np.full((24, 20), np.nan, np.float32)
    with Session([frame], LOOKS) as session:
        assert session.wait(20)
        assert "scores that are no numbers" in session.status()["message"]


def test_too_few_names_are_said(caplog: pytest.LogCaptureFixture) -> None:
    with Session([_frame(0)], Looks(LOOKS.explainer, LOOKS.preprocess, labels=["a", "b"])) as session:
        assert session.wait(20)
        assert session.choices.classes == ("a", "b", "2", "3", "4")
    assert "there are 2 names for 5 classes" in caplog.text


def test_plain_things_are_taken() -> None:
    numbers = []
    explainer = camfast.Explainer(pictures(1), "3")
    with Session([_frame(0)], explainer, [lambda shown: numbers.append(shown.frame.number)]) as session:
        assert session.wait(20)
    assert numbers == [0]
    with pytest.raises(TypeError, match=r"looks must be camfast.live.Looks\(explainer, ...\)"):
        Session([], pictures())  # type: ignore[arg-type]


def test_a_first_frame_that_fails_does_not_cost_the_class() -> None:
    sink = Kept()
    sessions: list[Session] = []
    steps = paced(
        2,
        lambda: len(sink.numbers) + sessions[0].status()["failed"],
        lambda number: _frame(number, (24, 20) if number else (2, 2)),
    )
    sessions.append(Session(Feed(steps), Looks(camfast.Explainer(pictures(1), "3")), [sink], Settings("3", target=2)))
    with sessions[0] as session:
        assert session.wait(20)
    assert [shown.target for shown in sink.shown] == [2]


def test_numbers_of_numpy_are_numbers() -> None:
    session = Session(Feed([]), LOOKS)
    changed = session.change({"target": np.int64(3), "alpha": np.float32(0.25)})
    assert (changed.target, changed.alpha) == (3, 0.25)
    assert type(changed.target) is int
    session.stop()


def test_the_callers_relu_stays_with_the_method() -> None:
    sink = Kept()
    looks = Looks(LOOKS.explainer.replace(relu=False), Preprocess(size=17))
    with Session(Feed(endless(_frame(0))), looks, [sink]) as session:
        until(lambda: sink.shown)
        session.change({"layer": "1"})
        until(lambda: sink.shown[-1].settings.layer == "1")
    assert sink.shown[-1].low < 0


def test_levels_that_make_no_sense_are_refused_at_once() -> None:
    with pytest.raises(ValueError, match="levels must be"):
        Looks(LOOKS.explainer, levels=(1, 1))


def test_several_layers_are_refused() -> None:
    with pytest.raises(InputError, match="shows one layer"):
        Session(Feed([]), Looks(camfast.Explainer(pictures(), ["1", "3"])))
