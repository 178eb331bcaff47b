"""`NapariSink` in a window that pretends; tests/napari has the real one, which needs a display."""

import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from camfast.errors import InputError
from camfast.live import open_sink
from tests.live.sinks.made import make


class Viewer:
    """The part of napari's viewer that a sink calls; its layers are what they were given."""

    def __init__(self, title: str) -> None:
        self.title = title
        self.layers: list[Any] = []
        self.is_open = True

    def add_image(self, data: Any, **arguments: Any) -> Any:
        self.layers.append(SimpleNamespace(data=data, **arguments))
        return self.layers[-1]

    def reset_view(self) -> None:
        pass

    def close(self) -> None:
        self.is_open = False


class Window:
    """napari and Qt with a loop that runs a timer's function until the viewer is closed, or a number of times."""

    def __init__(self) -> None:
        self.viewer: Any = None
        self.look: Callable[[], None] = lambda: None
        self.interval: int | None = None
        self.turns = 100
        self.end: BaseException | None = None

    def open(self, title: str) -> Viewer:
        self.viewer = Viewer(title)
        return self.viewer

    def timer(self) -> Any:
        def connect(look: Callable[[], None]) -> None:
            self.look = look

        def start(interval: int) -> None:
            self.interval = interval

        def stop() -> None:
            self.interval = None

        return SimpleNamespace(timeout=SimpleNamespace(connect=connect), start=start, stop=stop)

    def run(self) -> None:
        for _ in range(self.turns):
            if self.interval is not None and self.viewer.is_open:
                self.look()
        if self.end is not None:
            raise self.end


@pytest.fixture
def window(monkeypatch: pytest.MonkeyPatch) -> Window:
    window = Window()
    monkeypatch.setitem(sys.modules, "napari", SimpleNamespace(Viewer=window.open, run=window.run))
    monkeypatch.setitem(sys.modules, "qtpy", SimpleNamespace())
    monkeypatch.setitem(sys.modules, "qtpy.QtCore", SimpleNamespace(QTimer=window.timer))
    return window


def shown_in(window: Window, frames: Sequence[Any]) -> list[dict[str, Any]]:
    """Put frames into a sink, one each time that its window looks; what the layers were after each."""
    sink, seen = open_sink("napari:?fps=50"), []
    left = list(frames)

    def running() -> bool:
        if window.viewer.layers:
            seen.append({layer.name: layer for layer in window.viewer.layers})
        if not left:
            return False
        sink.put(left.pop(0))
        return True

    sink.run_window(running)
    return seen


def test_a_picture_its_map_and_its_overlay(window: Window) -> None:
    shown = make(4, (30, 48), grid=(5, 6))
    (layers,) = shown_in(window, [shown])
    frame, grid, overlay = layers["frame"], layers["map"], layers["overlay"]
    np.testing.assert_array_equal(frame.data, shown.frame.data)
    np.testing.assert_array_equal(grid.data, shown.grid)
    np.testing.assert_array_equal(overlay.data, shown.rgb)
    assert (frame.rgb, overlay.rgb, grid.visible) == (False, True, False)
    assert frame.contrast_limits == (shown.black, shown.white)
    assert grid.contrast_limits == (shown.low, shown.high)
    # the cells tile the frame: their outer edges are those of its pixels
    np.testing.assert_allclose(np.array(grid.translate) - np.array(grid.scale) / 2, (-0.5, -0.5))
    np.testing.assert_allclose(np.array(grid.translate) + np.array(grid.scale) * (4.5, 5.5), (29.5, 47.5))
    assert window.viewer.title == "camfast live"
    assert (window.viewer.is_open, window.interval) == (False, None)


def test_frames_alike_share_layers_and_another_form_gets_its_own(window: Window) -> None:
    frames = [make(1, (20, 24)), make(2, (20, 24)), make(3, (16, 16, 3), "uint8"), make(4, (20, 24), grid=(4, 4))]
    seen = shown_in(window, frames)
    # the first two looks share a layer, which holds what came last
    assert seen[0]["frame"] is seen[1]["frame"]
    for layers, shown in zip(seen[1:], frames[1:], strict=True):
        np.testing.assert_array_equal(layers["frame"].data, shown.frame.data)
        np.testing.assert_array_equal(layers["map"].data, shown.grid)
        np.testing.assert_array_equal(layers["overlay"].data, shown.rgb)
    assert len({id(layers["frame"]) for layers in seen}) == 3
    assert [layers["frame"].rgb for layers in seen] == [False, False, True, False]
    assert not hasattr(seen[2]["frame"], "contrast_limits")  # colours are shown as they are
    assert len(window.viewer.layers) == 3


def test_a_volume_lies_beside_its_overlay(window: Window) -> None:
    shown = make(2, (8, 12, 10), "float32", volume=True, grid=(2, 3, 5))
    (layers,) = shown_in(window, [shown])
    np.testing.assert_allclose(layers["map"].scale, (4, 4, 2))
    np.testing.assert_allclose(layers["map"].translate, (1.5, 1.5, 0.5))
    assert layers["map"].axis_labels == ("z", "y", "x")
    assert layers["frame"].contrast_limits == (shown.black, shown.white)
    assert layers["overlay"].translate[-1] > 10


def test_limits_that_are_one_value_are_left(window: Window) -> None:
    (layers,) = shown_in(window, [replace(make(1), low=0.5, high=0.5)])
    assert not hasattr(layers["map"], "contrast_limits")


def test_the_newest_is_shown_as_it_was_put(window: Window) -> None:
    sink, shown, seen = open_sink("napari"), make(2), []
    sink.put(make(1))
    sink.put(shown)
    expected = shown.grid.copy(), shown.rgb.copy()
    shown.grid[:], shown.rgb[:] = -1, 0

    def running() -> bool:
        seen[:] = window.viewer.layers
        return not seen

    sink.run_window(running)
    layers = {layer.name: layer for layer in seen}
    np.testing.assert_array_equal(layers["map"].data, expected[0])
    np.testing.assert_array_equal(layers["overlay"].data, expected[1])


def test_what_the_session_failed_with_comes_through(window: Window) -> None:
    def running() -> bool:
        raise ZeroDivisionError("the source")

    with pytest.raises(ZeroDivisionError, match="the source"):
        open_sink("napari").run_window(running)
    assert (window.viewer.is_open, window.interval) == (False, None)


def test_a_sink_that_is_closed_closes_its_window(window: Window) -> None:
    sink = open_sink("napari")
    sink.close()
    sink.run_window(lambda: True)
    assert window.viewer.is_open is False


def test_a_window_that_somebody_closed_ends_it(window: Window) -> None:
    window.turns = 3
    asked = []
    open_sink("napari:?fps=50").run_window(lambda: not asked.append(window.interval))
    assert asked == [20, 20, 20]  # ms
    assert window.interval is None


def test_control_c_closes_the_window(window: Window) -> None:
    window.turns, window.end = 1, KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt):
        open_sink("napari").run_window(lambda: True)
    assert (window.viewer.is_open, window.interval) == (False, None)


@pytest.mark.usefixtures("window")
@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("napari:somewhere", "a window has no place, expected napari or napari:\\?fps=20"),
        ("napari:?fps=0", "fps must be a rate between 0 and 1000 a second, found 0"),
        ("napari:?size=3", "unknown option 'size'"),
    ],
)
def test_what_makes_no_sense_is_named(text: str, words: str) -> None:
    with pytest.raises(InputError, match=words):
        open_sink(text)
