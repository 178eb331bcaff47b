"""What is written beside a map: the windows' scores and labels, picks, and a page that shows it all."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from camfast.errors import InputError
from camfast.scan.files import open_written, write_volumes
from camfast.scan.formats.statistics import Statistics
from camfast.scan.lists import name_of
from camfast.scan.picking.peaks import Peaks
from camfast.scan.picking.pick_files import write_copick, write_star
from camfast.scan.picking.picks import Picks, choose, merge
from camfast.scan.preparing import Planned
from camfast.scan.volumes import Triple, Volume

NOTHING = frozenset(("nothing", "background", "empty", "none"))
"""Names of classes for what no particle is."""
DEVIATIONS = 2.0
"""Standard deviations of a map that its picks are above where windows aren't asked."""
_ENDINGS = {"scores": ".scores.zarr", "labels": ".labels.zarr", "report": ".report.html"}


def picked(plan: Planned) -> dict[int, str]:
    """Classes whose particles are picked, with names that every program takes: the targets, or all but "nothing".

    Raises
    ------
    InputError
        If a target is no class.
    """
    target, labels = plan.asked.target, plan.asked.labels or ()
    every = range(plan.first.scores.shape[1])
    wanted = every if isinstance(target, str) else np.atleast_1d(np.asarray(target, object)).tolist()
    if not all(isinstance(one, int | np.integer) for one in wanted):
        raise InputError(
            f"picks are particles of classes, and the target is {target!r}; give a class, or leave picks out"
        )
    named = {int(one): labels[one] if one < len(labels) else f"class-{one}" for one in wanted}
    found: dict[int, str] = {}
    for index, name in named.items():
        if not isinstance(target, str) or name.lower() not in NOTHING:
            word = re.sub(r"[^A-Za-z0-9.-]+", "-", name).strip("-") or f"class-{index}"
            found[index] = word if word not in found.values() else f"{word}-{index}"
    return found


def side_names(path: Path, plan: Planned) -> list[Path]:
    """Names of what is written beside an output: its own, with other endings.

    Raises
    ------
    InputError
        If picks are asked for, and the target is no class or the voxel size is unknown.
    """
    found = [ending_of(path, _ENDINGS[one]) for one in plan.asked.also if one != "picks"]
    if "picks" in plan.asked.also:
        if plan.source.voxel_angstrom is None:
            raise InputError(
                f"{plan.source.name}: its header gives no voxel size (0 or 1.0 means unknown), and picks are written "
                "in ångström; say the voxel size with --apix"
            )
        found += [ending_of(path, ".picks.star"), *copick_places(path, picked(plan)).values()]
    return found


def ending_of(path: Path, ending: str) -> Path:
    """Name beside an output with another ending."""
    return path.with_name(path.name.removesuffix(path.suffix) + ending)


def copick_places(path: Path, objects: dict[int, str]) -> dict[int, Path]:
    """A copick file for each class: its name is in that of the file where there are several."""
    alone = len(objects) == 1
    return {
        index: ending_of(path, ".picks.json" if alone else f".picks.{name}.json") for index, name in objects.items()
    }


class SideOutputs:
    """Scores, labels, picks and report of a scan.

    Parameters
    ----------
    plan
        The scan.
    scores
        Of all windows, (nz, ny, nx, C).
    noted
        What was noted of each block, with its peaks.
    names
        Of the maps' classes.
    about
        How the map came about.
    """

    def __init__(
        self, plan: Planned, scores: Tensor, noted: list[dict[str, Any]], names: list[str], about: dict[str, Any]
    ) -> None:
        self.plan, self.scores, self.noted, self.names, self.about = plan, scores, noted, names, about
        self._files: set[Path] = set()
        self.picks = self._picks() if {"picks", "report"} & set(plan.asked.also) else None

    def write(self, folder: Path, path: Path) -> None:
        """Write what was asked for into the folder of the map, under the names that it will have beside ``path``."""
        inside, also = folder / path.name, self.plan.asked.also
        steps: dict[str, Callable[[], None]] = {
            "scores": lambda: self._scores(ending_of(inside, _ENDINGS["scores"])),
            "labels": lambda: self._labels(ending_of(inside, _ENDINGS["labels"])),
            "picks": lambda: self._pick_files(inside),
            "report": lambda: self._report(ending_of(inside, _ENDINGS["report"]), inside),
        }
        for name, step in steps.items():
            if name in also:
                step()
                self._files.update(_files(folder, path.name))

    def is_whole(self) -> bool:
        """Whether nothing of it has gone since it was written: a person may have removed some."""
        return all(file.exists() for file in self._files)

    def _scores(self, place: Path) -> None:
        classes = self.scores.shape[-1]
        names = [self._label(index) for index in range(classes)]
        volumes = (self.scores[..., index].numpy() for index in range(classes))
        write_volumes(place, volumes, self._windows(), channels=names, attributes=self.about)

    def _labels(self, place: Path) -> None:
        known = ~self.scores.isnan().any(-1)
        labels = torch.where(known, self.scores.nan_to_num(-torch.inf).argmax(-1), -1).to(torch.int16)
        meaning = {str(index): self._label(index) for index in range(self.scores.shape[-1])}
        attributes = {**self.about, "labels_by_value": {"-1": "not scanned", **meaning}}
        write_volumes(place, [labels.numpy()], self._windows(), attributes=attributes, dtype="int16")

    def _pick_files(self, path: Path) -> None:
        assert self.picks is not None
        source, objects = self.plan.source, picked(self.plan)
        name = source.tomogram or ("tomogram" if source.path is None else name_of(source.path))
        write_star(ending_of(path, ".picks.star"), self.picks, source, name, objects)
        for index, place in copick_places(path, objects).items():
            own = self.picks.take(self.picks.label == index)
            write_copick(place, own, source, name=objects[index].replace("_", "-"), run=name)

    def _report(self, place: Path, cam: Path) -> None:
        from camfast.scan.showing.page import write_scan_page

        picks = self.picks
        write_scan_page(
            place,
            density=self.plan.source,
            cam=open_written(cam),
            names=self.names or ["predicted class"],
            scores=self.scores.numpy(),
            picks=picks,
            about=self.about,
            labels=self.plan.asked.labels,
        )

    def _label(self, index: int) -> str:
        labels = self.plan.asked.labels or ()
        return labels[index] if index < len(labels) else f"class {index}"

    def _windows(self) -> Volume:
        """The grid of strides as a volume: a voxel a window, centred where the window is."""
        plan, source = self.plan.plan, self.plan.source
        size = source.voxel_angstrom
        known: Triple = size or (1.0, 1.0, 1.0)
        step = tuple(s * v for s, v in zip(plan.stride, known, strict=True))
        first = tuple(t + (w - 1) / 2 * v for t, w, v in zip(source.translation, plan.window, known, strict=True))
        shape = np.broadcast_to(np.float32(0), plan.counts)
        return Volume(shape, None if size is None else step, first)  # type: ignore[arg-type]

    def _picks(self) -> Picks:
        """Peaks of all blocks that the windows' scores agree with, or those that stand out of the map."""
        target, objects = self.plan.asked.target, picked(self.plan)
        if isinstance(target, str):  # a map of each window's own class has the particles of all classes
            of_map = {0: list(objects)} if target == "predicted" else {index: [index] for index in objects}
        else:
            of_map = {number: [int(one)] for number, one in enumerate(np.atleast_1d(target).tolist())}
        agree = self.plan.asked.pick_by == "window"
        return merge(
            [
                choose(self._peaks(number, above=not agree), self.scores, self.plan.plan, index, agree=agree)
                for number, indices in of_map.items()
                for index in indices
            ]
        )

    def _peaks(self, number: int, *, above: bool) -> Peaks:
        """Peaks of one map, as they were noted with its blocks; ``above`` some deviations only."""
        count = len(self.noted) // (self.plan.targets or 1)
        own = self.noted[number * count : (number + 1) * count]
        found = Peaks(
            np.array([p for one in own for p in one["positions"]], np.int64).reshape(-1, 3),
            np.array([v for one in own for v in one["values"]], np.float32),
            np.array([c for one in own for c in one["centres"]], np.float64).reshape(-1, 3),
        )
        if not above:
            return found
        whole = Statistics.merged(Statistics(**one["statistics"]) for one in own)
        high = found.value > DEVIATIONS * whole.deviation
        return Peaks(found.position[high], found.value[high], found.centre[high])


def _files(folder: Path, but: str) -> list[Path]:
    """All files of a folder but for those of one name in it."""
    others = [child for child in folder.iterdir() if child.name != but]
    return [file for child in others for file in (child.rglob("*") if child.is_dir() else (child,)) if file.is_file()]
