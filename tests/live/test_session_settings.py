"""What is chosen in a session: applied to the next frame, refused or taken back, and what is said of it."""

import time
from collections.abc import Iterator

import numpy as np
import pytest
from numpy.typing import NDArray

import camfast
from camfast.errors import InputError
from camfast.live import Frame, Looks, Overlay, Session, Settings
from camfast.live.looks import Overlays
from camfast.models import Preprocess
from tests.live.feeds import Feed, Kept, endless, paced, until
from tests.live.looks import LOOKS, balanced, frame
from tests.live.networks import pictures

pytestmark = pytest.mark.usefixtures("no_thread_is_left")


def test_settings_apply_to_the_next_frame() -> None:
    sink = Kept()
    feed = Feed(endless(frame(0)))
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
    with Session(Feed([frame(0)], ends=False), LOOKS, [sink]) as session:
        until(lambda: sink.shown)
        before = session.settings
        with pytest.raises(InputError, match=str(next(iter(changes)))):
            session.change({"alpha": 0.1, **changes})
        assert session.settings == before


def test_a_layer_that_cannot_be_shown_is_said_and_taken_back() -> None:
    """The method "cam" needs a linear head behind the layer, which an early layer doesn't have."""
    sink = Kept()
    with Session(Feed(endless(frame(0))), LOOKS, [sink]) as session:
        until(lambda: sink.shown)
        session.change({"layer": "1", "method": "cam"})
        until(lambda: session.status()["failed"])
        until(lambda: session.settings.method == "gradcam")
        assert session.settings.layer == "3"
        assert "cam at 1 can't be shown" in session.status()["message"]
        count = len(sink.shown)
        until(lambda: len(sink.shown) > count)
    assert balanced(session)


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
    with Session(Feed(endless(frame(0))), LOOKS, [sink]) as session:
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
    with Session(Feed(endless(frame(0))), LOOKS, [sink], Settings("3", target=7)) as session:
        until(lambda: sink.shown)
        assert session.settings.target == "predicted"
        assert "class 7 by gradcam at 3 can't be shown" in session.status()["message"]


def test_settings_show_on_the_last_frame_where_no_other_comes() -> None:
    class Showing(Kept):
        again = True

    showing, recording = Showing(), Kept()
    with Session(Feed([frame(0)]), LOOKS, [showing, recording]) as session:
        assert session.wait(20)  # the source has ended, and the picture can still be looked at
        until(lambda: showing.shown)
        session.change(target=2, alpha=1.0)
        until(lambda: showing.shown[-1].settings.alpha == 1.0)
    assert [shown.target for shown in showing.shown][-1] == 2
    assert len(recording.shown) == 1
    status = session.status()
    assert (status["arrived"], status["shown"]) == (1, 1)


def test_too_few_names_are_said(caplog: pytest.LogCaptureFixture) -> None:
    with Session([frame(0)], Looks(LOOKS.explainer, LOOKS.preprocess, labels=["a", "b"])) as session:
        assert session.wait(20)
        assert session.choices.classes == ("a", "b", "2", "3", "4")
    assert "there are 2 names for 5 classes" in caplog.text


def test_a_first_frame_that_fails_does_not_cost_the_class() -> None:
    sink = Kept()
    sessions: list[Session] = []
    steps = paced(
        2,
        lambda: len(sink.numbers) + sessions[0].status()["failed"],
        lambda number: frame(number, (24, 20) if number else (2, 2)),
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
    with Session(Feed(endless(frame(0))), looks, [sink]) as session:
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
