"""A window of napari: ``napari``."""

import importlib
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any

import numpy as np

from camfast._extras import require
from camfast.errors import InputError
from camfast.live.shown import Shown
from camfast.live.spec import Spec

FPS = 20.0
_PURPOSE = "showing overlays in napari"


class NapariSink:
    """Shows the newest overlay in napari: the layers ``frame``, ``map`` and ``overlay``.

    The map lies on the frame's pixels, or voxels, as its cells tile the frame; it is switched off at first, as the
    overlay shows it too. A volume's overlay, over its projections, lies to the right of the volume.

    ``put`` may be called by any thread and only copies. The window belongs to the thread that calls `run_window`,
    which has to be the program's first.

    Parameters
    ----------
    fps
        How often the window is brought up to date, at most.

    Raises
    ------
    InputError
        If the rate makes no sense.
    MissingExtraError
        Without napari.
    """

    again = True  # a window shows what has changed

    def __init__(self, fps: float = FPS) -> None:
        if not 0 < fps <= 1000:
            raise InputError(f"napari: fps must be a rate between 0 and 1000 a second, found {fps:g}")
        # torch may import triton with the first frame: where a window is drawn by Mesa's software renderer by then, the
        # second LLVM of the process crashes it; the other way round both work
        with suppress(ImportError):
            importlib.import_module("triton")
        require("napari", "napari", _PURPOSE)
        self.name = "napari"
        self._interval = max(1, round(1000 / fps))
        self._newest: deque[Shown] = deque(maxlen=1)
        self._closed = False

    @classmethod
    def of(cls, spec: Spec, _about: Mapping[str, Any]) -> "NapariSink":
        """Make what a person asked for as ``napari`` or ``napari:?fps=``."""
        if spec.place:
            raise InputError(f"{spec.text}: a window has no place, expected napari or napari:?fps=20")
        fps = spec.number("fps")
        return cls(FPS if fps is None else fps)

    def put(self, shown: Shown) -> None:
        """Keep an overlay until the window takes it, or a newer one comes."""
        self._newest.append(replace(shown, rgb=shown.rgb.copy(), grid=shown.grid.copy()))

    def close(self) -> None:
        """Close the window, at its next look."""
        self._closed = True

    def run_window(self, session_running: Callable[[], bool]) -> None:
        """Open the window, and return once somebody has closed it, or the session doesn't run any more.

        Parameters
        ----------
        session_running
            Asked each time before the window is brought up to date.

        Raises
        ------
        Exception
            What ``session_running`` raised, or what napari did for an overlay; the window is closed.
        """
        napari = require("napari", "napari", _PURPOSE)
        core = require("qtpy.QtCore", "napari", _PURPOSE)
        viewer = napari.Viewer(title="camfast live")
        layers = _Layers(viewer)
        timer = core.QTimer()

        errors: list[BaseException] = []

        def look() -> None:
            try:
                if self._closed or not session_running():
                    timer.stop()
                    viewer.close()
                elif self._newest:
                    layers.show(self._newest.popleft())
            except BaseException as error:  # Qt's loop lets none through: it is raised behind it
                errors.append(error)
                timer.stop()
                viewer.close()

        timer.timeout.connect(look)
        timer.start(self._interval)
        try:
            napari.run()
        except KeyboardInterrupt:
            viewer.close()
            raise
        finally:
            timer.stop()
        if errors:
            raise errors[0]


class _Layers:
    """The layers of a viewer; frames of another form get new ones."""

    def __init__(self, viewer: Any) -> None:
        self._viewer = viewer
        self._form: tuple[Any, ...] = ()
        self._layers: dict[str, Any] = {}

    def show(self, shown: Shown) -> None:
        """Bring the layers up to date."""
        frame = shown.frame
        form = (frame.data.shape, frame.data.dtype, frame.volume, shown.grid.shape, shown.rgb.shape)
        if form != self._form:
            self._make(shown)
            self._form = form
        else:
            for name, data in (("frame", frame.data), ("map", shown.grid), ("overlay", shown.rgb)):
                self._layers[name].data = data
        self._set_limits("map", shown.low, shown.high)
        if frame.volume or frame.data.ndim == 2:
            self._set_limits("frame", shown.black, shown.white)

    def _make(self, shown: Shown) -> None:
        for layer in self._layers.values():
            self._viewer.layers.remove(layer)
        frame, add = shown.frame, self._viewer.add_image
        rgb = frame.data.ndim == 3 and not frame.volume
        size = np.array(frame.data.shape if frame.volume else frame.data.shape[:2])
        cell = size / np.array(shown.grid.shape)
        axes = ("z", "y", "x")[-len(size) :]
        # pixels have their centres at whole numbers
        placed = {"scale": cell, "translate": (cell - 1) / 2, "axis_labels": axes}
        beside = (0.0, 1.05 * size[-1]) if frame.volume else (0.0, 0.0)
        self._layers = {
            "frame": add(frame.data, name="frame", rgb=rgb, axis_labels=axes),
            "map": add(shown.grid, name="map", colormap="turbo", blending="additive", visible=False, **placed),
            "overlay": add(shown.rgb, name="overlay", rgb=True, translate=beside, axis_labels=("y", "x")),
        }
        self._viewer.reset_view()

    def _set_limits(self, name: str, low: float, high: float) -> None:
        if low < high:
            self._layers[name].contrast_limits = (low, high)
