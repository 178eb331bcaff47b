"""What a page says of a scan, in words: how the map came about, and the first picks."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from camfast.scan.picking.picks import Picks
from camfast.scan.volumes import Volume

# What is said of a scan, in this order; facts with other names come after these.
WORDS = {
    "volume": "tomogram",
    "method": "method",
    "layer": "layer",
    "target": "target",
    "label": "class",
    "labels": "classes",
    "options": "options",
    "model": "model",
    "model_class": "class of the model",
    "weights": "weights",
    "model_sha256": "SHA-256 of the model",
    "window": "window",
    "stride": "stride",
    "trunk": "trunk",
    "difference_from_exact": "difference from the exact trunk",
    "blend": "blend",
    "normalize": "normalisation",
    "invert": "density inverted",
    "masked": "masked",
    "batch": "windows per pass",
    "sum_to_score_residual": "sum-to-score residual",
    "camfast": "camfast",
    "torch": "torch",
}
_IN_VOXELS = ("window", "stride")
_REPEATED = "version"  # stands as camfast, too


def rows_of(about: Mapping[str, Any], density: Volume) -> list[tuple[str, str]]:
    """Name and value of everything that is known of a map and the volume it is of.

    Examples
    --------
    >>> rows_of({"window": [32, 32, 32], "relu": False}, Volume(np.zeros((4, 5, 6)), (10.0, 10.0, 10.0)))
    [('shape', '4 × 5 × 6 voxels (z, y, x)'), ('voxel size', '10 Å'), ('window', '32 × 32 × 32 voxels'), ('relu', 'no')]
    """
    found = [("shape", f"{times(density.shape)} voxels (z, y, x)"), ("voxel size", voxel_size(density))]
    names = [name for name in WORDS if name in about]
    names += [name for name in about if name not in WORDS and name != _REPEATED]
    for name in names:
        if name == "difference_from_exact":
            value = in_words(difference_of(about))
        elif name == "sum_to_score_residual":
            value = f"{percent(about[name])} (mean |y − Σ L| over mean |y|)"
        elif name in _IN_VOXELS and isinstance(about[name], list | tuple):
            value = f"{times(about[name])} voxels"
        else:
            value = _text(about[name])
        found.append((WORDS.get(name, name.replace("_", " ")), value))
    return found


def difference_of(about: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """What was measured of the shared trunk; None where nothing was, or a header had no room for all of it."""
    found = about.get("difference_from_exact")
    whole = isinstance(found, Mapping) and {"maps", "worst", "scores", "same_class", "windows"} <= found.keys()
    return found if whole else None


def in_words(difference: Mapping[str, Any] | None) -> str:
    """Say how far maps of the shared trunk are from exact ones."""
    if difference is None:
        return "not kept"
    return (
        f"maps {percent(difference['maps'])} (worst window {percent(difference['worst'])}), "
        f"scores {percent(difference['scores'])}, the same class in {percent(difference['same_class'])} "
        f"of {difference['windows']} windows"
    )


def percent(share: Any) -> str:
    """Write a share with three digits; what is no number, such as ``inf``, stays as it is.

    Examples
    --------
    >>> percent(0.5634), percent(0.0), percent(3.2e-7), percent("inf")
    ('56.3 %', '0 %', '3.2e-05 %', 'inf')
    """
    return f"{100 * share:.3g} %" if isinstance(share, int | float) else str(share)


def voxel_size(density: Volume) -> str:
    """Edge lengths of a voxel, one number where they are the same."""
    if density.voxel_angstrom is None:
        return "unknown"
    sizes = [f"{size:g}" for size in density.voxel_angstrom]
    return f"{' × '.join(sizes if len(set(sizes)) > 1 else sizes[:1])} Å"


def times(lengths: Sequence[Any]) -> str:
    """Lengths along axes."""
    return " × ".join(str(length) for length in lengths)


def pick_rows(picks: Picks | None, labels: Mapping[int, str], density: Volume, most: int) -> list[dict[str, str]]:
    """Write the first picks as rows of a table."""
    if picks is None:
        return []
    rows = []
    for index in range(min(most, len(picks))):
        voxels, label = picks.position[index], int(picks.label[index])
        row = {
            "label": labels.get(label, f"class {label}"),
            "voxels": ", ".join(f"{length:.1f}" for length in voxels),
            "angstrom": "",
            "value": f"{picks.value[index]:.3g}",
            "probability": "" if np.isnan(picks.probability[index]) else f"{picks.probability[index]:.2f}",
        }
        if density.voxel_angstrom is not None:
            row["angstrom"] = ", ".join(f"{length:.0f}" for length in voxels * np.array(density.voxel_angstrom))
        rows.append(row)
    return rows


def _text(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return {None: "none", True: "yes", False: "no"}[value]
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {_text(one)}" for name, one in value.items()) or "none"
    if isinstance(value, list | tuple):
        return ", ".join(_text(one) for one in value) or "none"
    return str(value)
