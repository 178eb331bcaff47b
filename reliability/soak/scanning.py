"""Scans of a small tomogram into files, which have to be the same bytes each time."""

import itertools
import shutil
from pathlib import Path

import camfast
from camfast.scan import Volume, write_volumes
from reliability.soak.explaining import WrongError
from tests.scan.cases import STRIDE, WINDOW, contents, density, small_network

_SHAPE = (24, 28, 20)


class Scanning:
    """A turn scans into MRC or OME-Zarr, by one trunk or the other, with all that can be written beside."""

    name = "scan"

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._explainer = camfast.Explainer(small_network(), "5", "respond")
        self._tomogram = folder / "tomo.mrc"
        write_volumes(self._tomogram, [density(_SHAPE)], Volume(density(_SHAPE), (10.0, 10.0, 10.0)))
        self._kinds = itertools.cycle(itertools.product(("cam.mrc", "cam.zarr"), ("exact", "shared")))
        self._first: dict[tuple[str, str], dict[str, bytes]] = {}

    def turn(self) -> None:
        """Scan once, look at the result, and remove it."""
        kind = name, trunk = next(self._kinds)
        place = self._folder / "out"
        place.mkdir()
        camfast.scan(
            self._tomogram, self._explainer, window=WINDOW, stride=STRIDE if trunk == "exact" else (4, 4, 4), target=2,
            trunk=trunk, out=place / name, also=["scores", "labels", "picks"], progress=False,
        )  # fmt: skip
        found = contents(place)
        shutil.rmtree(place)
        first = self._first.setdefault(kind, found)
        different = sorted(file for file in found.keys() | first.keys() if found.get(file) != first.get(file))
        if different:
            raise WrongError(f"{name}, trunk {trunk}: other bytes than the first time in {', '.join(different)}")
