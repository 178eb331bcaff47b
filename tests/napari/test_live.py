"""`NapariSink` in napari itself, on a display that Xvfb provides."""

import os
import signal
import threading
import time
import warnings
from dataclasses import replace

import numpy as np
import pytest

with warnings.catch_warnings():  # its libraries' own, which nothing here can change
    warnings.simplefilter("ignore")
    napari = pytest.importorskip(
        "napari", reason="napari is not installed: make napari installs it", exc_type=ImportError
    )

from camfast.live import open_sink
from tests.live.sinks.made import make

pytestmark = [
    pytest.mark.napari,
    pytest.mark.skipif(not os.environ.get("DISPLAY"), reason="there is no display: make napari starts Xvfb"),
    pytest.mark.filterwarnings("default"),
]

SECONDS = 60.0


@pytest.fixture
def sink():
    return open_sink("napari:?fps=50")


def watched(sink, look, shown=()):
    """Run the window, and ask a function of the viewer, which Qt's thread calls, whether to end."""
    for one in shown:
        sink.put(one)
    limit = time.monotonic() + SECONDS

    def running():
        assert time.monotonic() < limit, f"not seen within {SECONDS:g} s"
        return not look(napari.current_viewer())

    sink.run_window(running)


def layers_of(viewer):
    return {layer.name: layer for layer in viewer.layers}


def test_a_picture_its_map_and_its_overlay(sink):
    shown = make(4, (30, 48), grid=(5, 6))
    found = {}

    def look(viewer):
        found.update(layers_of(viewer))
        found["extent"] = viewer.layers.extent.world if found else None
        return "overlay" in found

    watched(sink, look, [make(3, (30, 48), grid=(5, 6)), shown])
    frame, grid, overlay = found["frame"], found["map"], found["overlay"]
    np.testing.assert_array_equal(frame.data, shown.frame.data)
    np.testing.assert_array_equal(grid.data, shown.grid)
    np.testing.assert_array_equal(overlay.data, shown.rgb)
    assert (frame.rgb, overlay.rgb) == (False, True)
    np.testing.assert_allclose(frame.contrast_limits, (shown.black, shown.white))
    np.testing.assert_allclose(grid.contrast_limits, (shown.low, shown.high))
    # the cells tile the frame: their outer edges are those of its pixels
    np.testing.assert_allclose(grid.scale, (6, 8))
    np.testing.assert_allclose(np.array(grid.translate) - np.array(grid.scale) / 2, (-0.5, -0.5))
    np.testing.assert_allclose(np.array(grid.translate) + np.array(grid.scale) * (4.5, 5.5), (29.5, 47.5))
    assert grid.visible is False


def test_the_newest_is_shown_and_layers_stay_while_frames_are_alike(sink):
    """Frames come from another thread; a frame of another form gets layers of its own."""
    stop, put = threading.Event(), []

    def feed():
        number = 0
        while not stop.is_set():
            number += 1
            put.append(make(number, (20, 24) if number < 200 else (16, 16, 3), "uint8", grid=(4, 4)))
            sink.put(put[-1])
            time.sleep(0.002)

    seen, ids = [], set()

    def look(viewer):
        layers = layers_of(viewer)
        if layers and len(layers) == 3:
            data = layers["frame"].data
            behind = [i for i, one in enumerate(put) if one.frame.data.shape == data.shape]
            match = [i for i in behind if np.array_equal(put[i].frame.data, data)]
            seen.extend(match)
            ids.add(id(layers["frame"]))
            assert np.array_equal(layers["map"].data, put[match[0]].grid)
            assert np.array_equal(layers["overlay"].data, put[match[0]].rgb)
            return layers["frame"].rgb and len(seen) > 20
        return False

    thread = threading.Thread(target=feed)
    thread.start()
    try:
        watched(sink, look)
    finally:
        stop.set()
        thread.join()
    assert seen == sorted(seen)
    assert len(set(seen)) < len(put)  # latest only
    assert len(ids) == 2


def test_arrays_are_copied(sink):
    shown = make(1)
    kept = replace(shown, grid=shown.grid.copy(), rgb=shown.rgb.copy())
    sink.put(shown)
    shown.grid[:], shown.rgb[:] = -1, 0
    found = {}

    def look(viewer):
        found.update(layers_of(viewer))
        return bool(found)

    watched(sink, look)
    np.testing.assert_array_equal(found["map"].data, kept.grid)
    np.testing.assert_array_equal(found["overlay"].data, kept.rgb)


def test_a_volume_lies_beside_its_overlay(sink):
    shown = make(2, (8, 12, 10), "float32", volume=True, grid=(2, 3, 5))
    found = {}

    def look(viewer):
        found.update(layers_of(viewer))
        return bool(found)

    watched(sink, look, [shown])
    np.testing.assert_array_equal(found["frame"].data, shown.frame.data)
    np.testing.assert_array_equal(found["map"].data, shown.grid)
    np.testing.assert_allclose(found["map"].scale, (4, 4, 2))
    np.testing.assert_allclose(found["map"].translate, (1.5, 1.5, 0.5))
    assert found["overlay"].translate[-1] > 10


def test_it_is_seen(sink):
    shown = make(5, (64, 64), "uint8", grid=(4, 4))
    red = np.zeros((64, 64, 3), np.uint8)
    red[..., 0] = 255
    pictures = []

    def look(viewer):
        if not viewer.layers or not all(layer.loaded for layer in viewer.layers):
            return False
        pictures.append(viewer.screenshot(canvas_only=True, flash=False))
        return (pictures[-1][..., :3] == (255, 0, 0)).all(-1).mean() > 0.2

    watched(sink, look, [replace(shown, rgb=red)])


def test_a_window_that_somebody_closes_ends_it(sink):
    def look(viewer):
        if viewer.layers:
            viewer.window._qt_window.close()
        return False

    watched(sink, look, [make(1)])
    napari.Viewer._instances.clear()  # or close_all() of another test closes it once more


def test_what_the_session_failed_with_comes_through(sink):
    viewers = []

    def look(viewer):
        viewers.append(viewer)
        if viewer.layers:
            raise ZeroDivisionError("the source")
        return False

    with pytest.raises(ZeroDivisionError, match="the source"):
        watched(sink, look, [make(1)])
    assert not viewers[-1].layers  # as closing leaves it


def test_a_sink_that_is_closed_closes_its_window(sink):
    def look(viewer):
        if viewer.layers:
            sink.close()
        return False

    watched(sink, look, [make(1)])


def test_control_c_ends_it(sink):
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # whoever runs the tests may ignore it
    viewers = []

    def look(viewer):
        viewers.append(viewer)
        if viewer.layers:
            os.kill(os.getpid(), signal.SIGINT)
        return False

    try:
        with pytest.raises(KeyboardInterrupt):
            watched(sink, look, [make(1)])
    finally:
        signal.signal(signal.SIGINT, before)
    assert not viewers[-1].layers  # as closing leaves it
