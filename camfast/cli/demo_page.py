"""The pictures and the page of ``camfast demo``."""

import platform
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from camfast._version import __version__

if TYPE_CHECKING:
    from camfast.models import Loaded
    from camfast.scan.showing.report import ClassHits
    from camfast.simulate import Tomogram

MARKER_RADIUS = 11.0
REACH = 6.0
"""A slice shows a particle whose centre is no farther from it than this, in voxels."""
PAGE = "index.html"
MARK = '<meta name="generator" content="camfast demo">'
"""Stands in every page of the demo: a folder with it is the demo's own."""
WORDS = {
    "cam_richest": (
        "The map for {label}, over the slices that cut most true {label} particles.",
        "Slices of the tomogram with the map over them: red where the network sees a {label}.",
    ),
    "tomogram_richest": (
        "The same slices alone: this is what the network is given.",
        "The same slices of the noisy tomogram without the map; particles are dark.",
    ),
    "cam_central": (
        "The map for {label}, over the central slices.",
        "Central slices of the tomogram with the map over them: red where the network sees a {label}.",
    ),
}
"""Caption and description of each picture."""
FILES = (
    {"name": "tomogram.mrc", "what": "the simulated tomogram"},
    {"name": "cam.mrc", "what": "its class activation map"},
    {"name": "particles.csv", "what": "the true positions and orientations"},
)


def centres_by_label(tomogram: "Tomogram") -> dict[str, list[tuple[float, float, float]]]:
    """Positions (z, y, x) of the true particles of each class."""
    return {label: [p.centre for p in tomogram.particles if p.label == label] for label in tomogram.labels}


def machine() -> dict[str, Any]:
    """What the run's speed depends on."""
    import torch

    return {
        "threads": torch.get_num_threads(),
        "machine": platform.machine(),
        "camfast": __version__,
        "torch": torch.__version__,
        "python": platform.python_version(),
    }


def draw(folder: Path, tomogram: "Tomogram", cam: Any, facts: dict[str, Any]) -> list[dict[str, str]]:
    """Draw slices with the map and alone, on light and on dark ground; return what the page says of each."""
    from camfast import plot

    label = facts["class"]
    centres = centres_by_label(tomogram)
    others = [centre for name, group in centres.items() if name != label for centre in group]
    markers = [
        plot.Markers(f"true {label}", centres[label], MARKER_RADIUS, "#00b4d8"),
        plot.Markers("other particles", others, MARKER_RADIUS, "#35c435", ":"),
    ]
    # Evidence against a class runs deeper than evidence for it: each side of 0 has a scale of its own.
    low, high = (float(value) for value in np.quantile(cam, (0.001, 0.999)))
    middle = [n // 2 for n in tomogram.data.shape]
    richest = richest_planes(centres[label], tomogram.data.shape)
    pictures = []
    planes = {"cam_richest": richest, "tomogram_richest": richest, "cam_central": middle}
    for name, centre in planes.items():
        caption, alt = (text.format(label=label) for text in WORDS[name])
        for ground in ("light", "dark"):
            figure = plot.slices(
                tomogram.data,
                cam,
                centre=centre,
                voxel_angstrom=[tomogram.voxel_angstrom] * 3,
                markers=markers,
                limit=(low, high),
                dark=ground == "dark",
            )
            if name.startswith("tomogram"):
                _take_map_away(figure)
            plot.save(figure, folder / f"{name}_{ground}.png", provenance=facts)
        circles = f" Circles mark true {label} particles, dotted circles all others."
        pictures.append(
            {
                "light": f"{name}_light.png",
                "dark": f"{name}_dark.png",
                "caption": caption,
                "alt": alt + circles,
            }
        )
    return pictures


def _take_map_away(figure: Any) -> None:
    """Hide the map and its colour bar; the panels stay where they are, so that the eye can go back and forth."""
    figure.draw_without_rendering()
    figure.set_layout_engine("none")
    for axes in figure.axes:
        if axes.get_label() == "<colorbar>":
            axes.set_visible(False)
        else:
            axes.images[-1].set_visible(False)


def richest_planes(centres: Sequence[Sequence[float]], shape: Sequence[int]) -> list[int]:
    """For each axis the plane that cuts most particles, the one nearest to the middle where several do."""
    planes = []
    for axis, length in enumerate(shape):
        at = np.array([centre[axis] for centre in centres])
        cut = (np.abs(at[:, None] - np.arange(length)) <= REACH).sum(0)
        best = np.flatnonzero(cut == cut.max())
        planes.append(int(best[np.abs(best - length // 2).argmin()]))
    return planes


def write(
    folder: Path,
    loaded: "Loaded",
    tomogram: "Tomogram",
    counts: list["ClassHits"],
    own: "ClassHits",
    others: "ClassHits",
    pictures: list[dict[str, str]],
    facts: dict[str, Any],
) -> str:
    """Write the page; return its name."""
    from camfast.scan.showing.report import together, write_report

    write_report(
        folder / PAGE,
        label=own.label,
        scanned=own,
        others=others,
        all=together(counts, "all"),
        counts=counts,
        pictures=pictures,
        run=_about(loaded, tomogram, facts),
        files=FILES,
        command=_command(own.label, facts),
        **{name: facts[name] for name in ("windows", "scan_seconds", "voxels_per_second", "threads")},
    )
    return PAGE


def taken(folder: Path) -> list[str]:
    """Names in a folder that the demo would write over and that are not an earlier demo's."""
    page = folder / PAGE
    if page.is_file() and MARK in page.read_text(encoding="utf-8", errors="replace"):
        return []
    pictures = [f"{name}_{ground}.png" for name in WORDS for ground in ("light", "dark")]
    return [name for name in (PAGE, *(file["name"] for file in FILES), *pictures) if (folder / name).exists()]


def _about(loaded: "Loaded", tomogram: "Tomogram", facts: dict[str, Any]) -> dict[str, str]:
    shape, window = (" × ".join(str(n) for n in size) for size in (tomogram.data.shape, facts["window"]))
    parameters = sum(p.numel() for p in loaded.module.parameters())
    accuracy = 100 * loaded.metadata["accuracy"]
    return {
        "tomogram": f"{shape} voxels of {tomogram.voxel_angstrom:g} Å, nominal SNR {facts['snr']:g}, "
        f"seed {facts['seed']}",
        "network": f"subtomogram_demo, {parameters:,} parameters; right on {accuracy:.1f} % of simulated windows "
        "it had not seen",
        "map": f"{facts['method']} at layer {facts['layer']}, windows of {window} voxels every {facts['stride']}",
        "time": f"simulation {facts['simulation_seconds']:.1f} s, scan {facts['scan_seconds']:.1f} s",
        "versions": f"camfast {facts['camfast']}, torch {facts['torch']}, Python {facts['python']}",
        "machine": f"{facts['machine']}, {facts['threads']} thread{'' if facts['threads'] == 1 else 's'}",
    }


def _command(label: str, facts: dict[str, Any]) -> str:
    window = ",".join(str(n) for n in facts["window"])
    return (
        f"camfast scan tomogram.mrc --model subtomogram_demo --method {facts['method']} --target {label} \\\n"
        f"    --window {window} --stride {facts['stride']} -o again.mrc"
    )
