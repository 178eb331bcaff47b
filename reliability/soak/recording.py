"""Sessions that begin and end, each recorded."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import zarr
from numpy.typing import NDArray

import camfast
from camfast.live import Looks, Session
from camfast.live.sinks import ZarrSink
from reliability.soak.explaining import WrongError
from tests.live.feeds import Feed, paced
from tests.live.networks import pictures

_FRAMES = 6
_SHAPE = (40, 52)


class Recording:
    """A turn records a session of six frames into a Zarr store, reads the store, and removes it."""

    name = "record"

    def __init__(self, folder: Path) -> None:
        self._out = folder / "run.zarr"
        self._looks = Looks(camfast.Explainer(pictures(1), "3"), levels=(0.0, 255.0))
        self._first: NDArray[np.float32] | None = None

    def turn(self) -> None:
        """Record, look, remove."""
        sink = ZarrSink(self._out)
        source = Feed(paced(_FRAMES, lambda: sink.recorded, _frame))
        with Session(source, self._looks, [sink]) as session:
            session.wait(60)
        maps = [np.asarray(part["map"]) for part in _parts(self._out)]
        shutil.rmtree(self._out)
        found = np.concatenate(maps)
        if self._first is None:
            self._first = found
        if len(found) != _FRAMES or not np.array_equal(found, self._first):
            raise WrongError(f"a recording of {_FRAMES} frames has {len(found)} maps, or others than the first time")


def _frame(number: int) -> NDArray[np.uint8]:
    return np.random.default_rng(number).integers(0, 255, _SHAPE).astype(np.uint8)


def _parts(path: Path) -> Iterator[zarr.Group]:
    group = zarr.open_group(path, mode="r")
    for _, part in sorted(group.groups()):
        yield part
