"""Particles: their table, their poses, and their places in a volume."""

import csv
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from camfast._extras import require
from camfast.errors import InputError
from camfast.simulate.shapes import SHAPES, shape

Point = tuple[float, float, float]


@dataclass(frozen=True)
class Particle:
    """One particle of the ground truth.

    Parameters
    ----------
    class_index, label
        Its class.
    centre
        (z, y, x) in voxels, the first voxel's centre being 0.
    quaternion
        (x, y, z, w) of the rotation from the density as given to its pose, acting on vectors (x, y, z).
    """

    class_index: int
    label: str
    centre: Point
    quaternion: tuple[float, float, float, float]


def write_particles(path: str | os.PathLike[str], particles: Iterable[Particle]) -> None:
    """Write the ground truth as CSV with a header: class_index, label, z, y, x (voxels), qx, qy, qz, qw.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_particles(folder + "/truth.csv", [Particle(0, "ball", (1.0, 2.0, 3.0), (0.0, 0.0, 0.0, 1.0))])
    ...     print((Path(folder) / "truth.csv").read_text(), end="")
    class_index,label,z,y,x,qx,qy,qz,qw
    0,ball,1,2,3,0,0,0,1
    """
    with Path(path).open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["class_index", "label", "z", "y", "x", "qx", "qy", "qz", "qw"])
        for particle in particles:
            numbers = [f"{value:.6g}" for value in (*particle.centre, *particle.quaternion)]
            writer.writerow([particle.class_index, particle.label, *numbers])


@dataclass(frozen=True)
class Template:
    """A density ready to be placed: its cubic-spline coefficients and the radius that holds it."""

    label: str
    coefficients: NDArray[np.float32]
    radius: float


def templates(densities: Mapping[str, NDArray[Any]] | Sequence[str] | None) -> tuple[Template, ...]:
    """Prepare densities by label, names of built-in shapes, or all built-in shapes for None.

    Raises
    ------
    InputError
        If there is none, a name is unknown, or a density is not 3-D, not finite or nowhere positive.
    """
    if densities is None:
        densities = tuple(SHAPES)
    if not isinstance(densities, Mapping):
        densities = {name: shape(name) for name in densities}
    if not densities:
        raise InputError("at least one density is needed")
    ndimage = require("scipy.ndimage", "fit", "Simulating tomograms")
    made = []
    for label, density in densities.items():
        density = np.asarray(density, dtype=np.float32)
        if density.ndim != 3 or not np.isfinite(density).all() or not density.max(initial=0) > 0:
            raise InputError(f"density {label!r} must be a finite (D, H, W) array with positive values")
        coefficients = ndimage.spline_filter(density, order=3, mode="constant", output=np.float32)
        made.append(Template(label, coefficients, _radius(density)))
    return tuple(made)


def random_quaternion(generator: np.random.Generator) -> tuple[float, float, float, float]:
    """Draw a rotation uniformly, as (x, y, z, w)."""
    values = generator.standard_normal(4)
    x, y, z, w = (values / np.linalg.norm(values)).tolist()
    return x, y, z, w


def place(template: Template, particle: Particle, volume: NDArray[np.float32]) -> None:
    """Add a particle's density to a volume (D, H, W), rotated about the middle of its box onto its centre."""
    ndimage = require("scipy.ndimage", "fit", "Simulating tomograms")
    rotation = require("scipy.spatial.transform", "fit", "Simulating tomograms").Rotation
    # scipy rotates vectors (x, y, z): reversing rows and columns gives the matrix for (z, y, x).
    to_template = rotation.from_quat(particle.quaternion).inv().as_matrix()[::-1, ::-1]
    centre = np.asarray(particle.centre)
    reach = template.radius + 1.5
    start = np.maximum(np.ceil(centre - reach).astype(int), 0)
    stop = np.minimum(np.floor(centre + reach).astype(int) + 1, volume.shape)
    if (stop <= start).any():
        return
    middle = (np.asarray(template.coefficients.shape) - 1) / 2
    volume[tuple(map(slice, start, stop))] += ndimage.affine_transform(
        template.coefficients,
        to_template,
        offset=middle + to_template @ (start - centre),
        output_shape=tuple(stop - start),
        order=3,
        prefilter=False,
    )


def pack(radii: Sequence[float], size: tuple[int, int, int], gap: float, generator: np.random.Generator) -> list[Point]:
    """Find centres of spheres that overlap neither each other nor the walls, largest first, at random.

    Parameters
    ----------
    radii
        One a sphere, in voxels.
    size
        (D, H, W) of the volume in voxels.
    gap
        Least distance between surfaces, in voxels.
    generator
        Source of the positions.

    Returns
    -------
    list
        Centres (z, y, x) in the order of ``radii``.

    Raises
    ------
    InputError
        If a sphere finds no place.
    """
    centres = np.zeros((len(radii), 3))
    placed: list[int] = []
    for index in sorted(range(len(radii)), key=lambda i: -radii[i]):
        distances = radii[index] + np.asarray(radii)[placed] + gap
        centre = _free_centre(radii[index], size, centres[placed], distances, generator)
        if centre is None:
            raise InputError(
                f"only {len(placed)} of {len(radii)} particles found room in {size} voxels; ask for fewer, for a "
                "larger volume or for a smaller gap"
            )
        centres[index] = centre
        placed.append(index)
    return [(z, y, x) for z, y, x in centres.tolist()]


def _free_centre(
    radius: float,
    size: tuple[int, int, int],
    centres: NDArray[np.float64],
    distances: NDArray[np.float64],
    generator: np.random.Generator,
) -> NDArray[np.float64] | None:
    """Try places inside the walls until one keeps its distance to every centre, or give up."""
    low, high = np.full(3, radius), np.asarray(size) - 1 - radius
    if (low > high).any():
        return None
    for _ in range(200):
        trials = generator.uniform(low, high, (64, 3))
        free = (np.linalg.norm(trials[:, None] - centres, axis=2) >= distances).all(axis=1)
        if free.any():
            return np.asarray(trials[free.argmax()])
    return None


def _radius(density: NDArray[np.float32]) -> float:
    """Distance from the middle of the box to the farthest voxel above 5 % of the maximum."""
    inside = np.argwhere(density > 0.05 * density.max())
    return float(np.linalg.norm(inside - (np.asarray(density.shape) - 1) / 2, axis=1).max())
