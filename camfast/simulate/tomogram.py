"""Simulated tomograms: a volume packed with particles, imaged as a whole, and the table of what is where."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from camfast.errors import InputError
from camfast.simulate.noise import Microscope, form_image
from camfast.simulate.particles import Particle, Template, pack, place, random_quaternion, templates


@dataclass(frozen=True)
class Tomogram:
    """A simulated tomogram with its ground truth.

    Parameters
    ----------
    data
        (D, H, W) in the order z, y, x, float32, not normalised; particles are dark.
    particles
        The ground truth.
    labels
        Names of the classes in the order of their indices.
    voxel_angstrom
        Voxel size in ångström.
    """

    data: NDArray[np.float32]
    particles: tuple[Particle, ...]
    labels: tuple[str, ...]
    voxel_angstrom: float


def tomogram(
    size: tuple[int, int, int],
    particles: int | Mapping[str, int],
    *,
    seed: int | np.random.Generator,
    densities: Mapping[str, NDArray[Any]] | Sequence[str] | None = None,
    snr: float = 0.5,
    voxel_angstrom: float = 10.0,
    gap: float = 1.0,
    microscope: Microscope | None = None,
) -> Tomogram:
    """Simulate a tomogram of particles at random places and orientations that do not overlap.

    Parameters
    ----------
    size
        (D, H, W) in voxels.
    particles
        How many in all, shared evenly among the classes (the first ones get the remainder), or how many by label.
    seed
        Seed or generator; the same seed gives the same tomogram.
    densities
        Arrays (D, H, W) by label, at ``voxel_angstrom`` and centred in their boxes; names of built-in shapes; or
        None for all built-in shapes.
    snr, microscope
        As for `camfast.simulate.form_image`; the signal's variance is that of the whole tomogram.
    voxel_angstrom
        Voxel size in ångström.
    gap
        Least distance in voxels between the spheres that hold the particles.

    Returns
    -------
    Tomogram
        Volume and ground truth.

    Raises
    ------
    InputError
        If the particles do not fit, a label or a density cannot be used, or the SNR is not above 0.

    Examples
    --------
    >>> made = tomogram((32, 48, 48), {"ball": 1, "ring": 1}, seed=0, snr=1.0)
    >>> made.data.shape, [particle.label for particle in made.particles]
    ((32, 48, 48), ['ball', 'ring'])
    """
    generator = np.random.default_rng(seed)
    known = templates(densities)
    labels = tuple(template.label for template in known)
    classes = _classes(particles, labels)
    centres = pack([known[index].radius for index in classes], size, gap, generator)
    placed = tuple(
        Particle(index, labels[index], centre, random_quaternion(generator))
        for index, centre in zip(classes, centres, strict=True)
    )
    density = density_of(known, placed, size)
    data = form_image(density, generator, snr=snr, voxel_angstrom=voxel_angstrom, microscope=microscope)
    return Tomogram(data, placed, labels, voxel_angstrom)


def density_of(
    known: Sequence[Template], particles: Sequence[Particle], size: tuple[int, int, int]
) -> NDArray[np.float32]:
    """Add up the particles' densities in an empty volume (D, H, W), before any imaging."""
    volume = np.zeros(size, np.float32)
    for particle in particles:
        place(known[particle.class_index], particle, volume)
    return volume


def _classes(particles: int | Mapping[str, int], labels: Sequence[str]) -> list[int]:
    if not isinstance(particles, Mapping):
        return [index % len(labels) for index in range(particles)]
    unknown = [label for label in particles if label not in labels]
    if unknown:
        raise InputError(f"particles names {unknown[0]!r}, which is no density; known are {', '.join(labels)}")
    return [labels.index(label) for label, count in particles.items() for _ in range(count)]
