"""Simulated subtomograms: one particle in a box of its own."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from camfast.simulate.noise import Microscope, form_image
from camfast.simulate.particles import Particle, random_quaternion, templates
from camfast.simulate.tomogram import density_of


@dataclass(frozen=True)
class Subtomogram:
    """A simulated subtomogram: data (D, H, W) in the order z, y, x, float32, and the particle in it."""

    data: NDArray[np.float32]
    particle: Particle


def subtomogram(
    density: str | NDArray[Any],
    *,
    seed: int | np.random.Generator,
    size: int = 40,
    snr: float = 0.1,
    shift: float = 0.0,
    quaternion: tuple[float, float, float, float] | None = None,
    voxel_angstrom: float = 10.0,
    microscope: Microscope | None = None,
    normalize: bool = True,
) -> Subtomogram:
    """Simulate one particle at a random orientation and a random shift, in a cubic box.

    Parameters
    ----------
    density
        Name of a built-in shape, or an array (D, H, W) at ``voxel_angstrom``, centred in its box.
    seed
        Seed or generator; the same seed gives the same subtomogram.
    size
        Edge of the box in voxels.
    snr, microscope
        As for `camfast.simulate.form_image`.
    shift
        Largest shift on each axis in voxels, drawn uniformly; 0 puts the particle at (size − 1)/2.
    quaternion
        (x, y, z, w) of the orientation; None draws it uniformly.
    voxel_angstrom
        Voxel size in ångström.
    normalize
        Whether to bring the box to mean 0 and standard deviation 1.

    Returns
    -------
    Subtomogram
        Box and particle (its class index is 0).

    Raises
    ------
    InputError
        If the density cannot be used or the SNR is not above 0.

    Examples
    --------
    >>> made = subtomogram("ring", seed=0, size=24, snr=1.0)
    >>> made.data.shape, made.particle.label
    ((24, 24, 24), 'ring')
    """
    generator = np.random.default_rng(seed)
    known = templates((density,) if isinstance(density, str) else {"density": density})
    z, y, x = ((size - 1) / 2 + generator.uniform(-shift, shift, 3)).tolist()
    turn = random_quaternion(generator) if quaternion is None else quaternion
    particle = Particle(0, known[0].label, (z, y, x), turn)
    volume = density_of(known, (particle,), (size, size, size))
    data = form_image(volume, generator, snr=snr, voxel_angstrom=voxel_angstrom, microscope=microscope)
    if normalize:
        data = ((data - data.mean(dtype=np.float64)) / data.std(dtype=np.float64)).astype(np.float32)
    return Subtomogram(data, particle)
