"""A session without a network: a control, frames whose map is known, and a thread that puts them."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch

from camfast.live.frames import Frame
from camfast.live.settings import Choices, Settings
from camfast.live.shown import Shown, Sink
from camfast.ops.colormaps import color_table

PATIENCE = 10.0  # seconds for what takes milliseconds, unless the machine is busy
NAMES = ("mitochondrion", "ribosome", "membrane", "vesicle", "nothing")


def until(condition: Callable[[], Any], what: str, patience: float = PATIENCE) -> None:
    """Wait for a condition, and fail with what was waited for."""
    deadline = time.monotonic() + patience
    while not condition():
        assert time.monotonic() < deadline, f"waited {patience} s for {what}"
        time.sleep(0.002)


class FakeControl:
    """What a page sees and changes, kept in memory."""

    def __init__(self, classes: tuple[str, ...] = NAMES) -> None:
        self.choices = Choices(classes, ("features.3", "features.7", "fire9"))
        self.settings = Settings("fire9")
        self.changes: list[dict[str, Any]] = []
        self.state, self.message = "running", ""
        self.shown = self.dropped = 0

    def change(self, changes: dict[str, Any]) -> Settings:
        self.settings = self.settings.changed(self.choices, changes)
        self.changes.append(changes)
        return self.settings

    def status(self) -> dict[str, Any]:
        return {
            "source": "sim:512x512@30",
            "state": self.state,
            "message": self.message,
            "arrived": self.shown + self.dropped,
            "shown": self.shown,
            "dropped": self.dropped,
            "broken": 0,
            "lost": 0,
            "failed": 0,
            "fps": 29.97,
            "source_fps": 30.0,
            "latency_ms": {"p50": 21.3, "p95": 28.9, "p99": 34.2} if self.shown else {"p50": None} | _NONE,
            "frame_shape": [512, 512],
            "dtype": "uint16",
            "sinks": {},
            "model": "a scene without a network",
        }


_NONE = {"p95": None, "p99": None}


def spot(size: int, row: float, column: float, sigma: float) -> np.ndarray:
    """A Gaussian of height 1."""
    rows, columns = np.mgrid[:size, :size]
    return np.exp(-((rows - row) ** 2 + (columns - column) ** 2) / (2 * sigma**2))


@dataclass
class Scene:
    """Spots that go round, one for each class; a frame's map is the spot of its class.

    Its arrays are used for every frame, as the pipeline's are: what isn't copied in `Sink.put` is lost.
    """

    control: FakeControl
    size: int = 64
    number: int = 0
    target: int = 1
    name: str = "scene"
    rgb: np.ndarray = field(init=False)
    gray: np.ndarray = field(init=False)

    def __post_init__(self) -> None:
        self.rgb = np.zeros((self.size, self.size, 3), np.uint8)
        self.gray = np.zeros((self.size, self.size), np.uint8)

    def put(self, sink: Sink) -> None:
        """Show the next frame, then overwrite it."""
        sink.put(self.next())
        self.control.shown += 1
        self.rgb[:], self.gray[:] = 0, 0

    def next(self) -> Shown:
        """The next frame with its overlay."""
        settings, size = self.control.settings, self.size
        target = self.target if settings.target == "predicted" else int(settings.target)
        spots = [spot(size, *self.place(index), size / 14) for index in range(5)]
        rng = np.random.default_rng(self.number)
        frame = np.clip(110 * sum(spots) + rng.normal(60, 9, (size, size)), 0, 255)
        heat = spots[target % 5]
        colors = color_table(settings.colormap, torch.device("cpu")).numpy()[(255 * heat).astype(int)]
        alpha = settings.alpha * (heat >= settings.threshold)[..., None]
        self.gray[:] = frame
        self.rgb[:] = (1 - alpha) * frame[..., None] + alpha * colors
        scores = np.full(len(self.control.choices.classes), -2, np.float32)
        scores[:5] = np.roll([4.0, 2.5, 1.5, 1.0, -0.5], self.target)
        shown = Shown(
            frame=Frame(
                (257 * frame).astype(np.uint16), self.number, time.perf_counter(), f"{self.name}_{self.number}"
            ),
            rgb=self.rgb,
            make_gray=lambda: self.gray,
            grid=heat[::8, ::8].astype(np.float32),
            scores=scores,
            target=target,
            settings=settings,
            low=0.0,
            high=float(heat.max()),
            black=0.0,
            white=65535.0,
            milliseconds={"prepare": 1.1, "forward": 12.0, "gradient": 0.4, "overlay": 1.9},
        )
        self.number += 1
        return shown

    def place(self, index: int) -> tuple[float, float]:
        """Row and column of a class's spot in the next frame."""
        angle = 2 * np.pi * index / 5 + self.number / 60
        return self.size * (0.5 + 0.3 * np.sin(angle)), self.size * (0.5 + 0.3 * np.cos(angle))


class Repeated:
    """One scene's first frame again and again, with numbers of its own: large frames for little work."""

    def __init__(self, control: FakeControl, size: int) -> None:
        self.control, self.number = control, 0
        self._shown = Scene(control, size).next()

    def next(self) -> Shown:
        """The frame again."""
        frame = replace(self._shown.frame, number=self.number, time=time.perf_counter())
        self.number += 1
        return replace(self._shown, frame=frame)


class Pump:
    """Puts frames into a sink at a steady rate, in a thread of its own, and keeps what each `put` took."""

    def __init__(self, scene: Scene | Repeated, sink: Sink, fps: float = 30.0) -> None:
        self.seconds: list[float] = []
        self._scene, self._sink, self._interval = scene, sink, 1 / fps
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="pump")

    def __enter__(self) -> "Pump":
        self._thread.start()
        return self

    def __exit__(self, *raised: object) -> None:
        self._ended.set()
        self._thread.join()

    def _run(self) -> None:
        due = time.monotonic()
        while not self._ended.wait(max(0.0, due - time.monotonic())):
            due = max(due + self._interval, time.monotonic())
            shown = self._scene.next()
            started = time.perf_counter()
            self._sink.put(shown)
            self.seconds.append(time.perf_counter() - started)
            self._scene.control.shown += 1
