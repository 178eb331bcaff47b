"""How a microscope shows a density: contrast transfer, noise, band limit and missing wedge, in Fourier space."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from camfast.errors import InputError

Array = NDArray[np.float32]

BAND_RADIUS = 0.25
"""Radius of the band-pass in cycles a voxel: 10 Fourier voxels of a 40³ box."""
BAND_EDGE = 0.05
DETECTOR_START, DETECTOR_WIDTH = 0.025, 0.2


@dataclass(frozen=True)
class Microscope:
    """Optics and tilt range.

    Parameters
    ----------
    kilovolt
        Acceleration voltage.
    cs_millimetre
        Spherical aberration.
    defocus_micrometre
        Defocus Δz, negative for underfocus.
    envelope
        Width σ of the envelope exp(−(k/(σ k_Nyquist))²).
    tilt_degrees
        Largest tilt, to both sides, about the y axis; the beam is along z. 90 leaves no missing wedge.
    """

    kilovolt: float = 300.0
    cs_millimetre: float = 2.7
    defocus_micrometre: float = -6.0
    envelope: float = 0.4
    tilt_degrees: float = 60.0


def contrast_transfer(
    frequency: NDArray[np.floating], voxel_angstrom: float, microscope: Microscope
) -> NDArray[np.floating]:
    """Evaluate sin(π/2·(Cs λ³ k⁴ − 2 Δz λ k²))·exp(−(k/(σ k_Nyquist))²).

    Parameters
    ----------
    frequency
        Length of the frequency in cycles a voxel, any shape.
    voxel_angstrom
        Voxel size in ångström.
    microscope
        Optics; λ = sqrt(150.4/(V(1 + V/1.022e6))) Å.

    Returns
    -------
    ndarray
        Shape of ``frequency``.

    Examples
    --------
    >>> contrast_transfer(np.array([0.0, 0.1]), 10.0, Microscope()).round(3)
    array([0.   , 0.282])
    """
    volt = microscope.kilovolt * 1e3
    wavelength = np.sqrt(150.4 / (volt * (1 + volt / 1.022e6)))
    square = (frequency / voxel_angstrom) ** 2
    aberration = microscope.cs_millimetre * 1e7 * wavelength**3 * square**2
    defocus = 2 * microscope.defocus_micrometre * 1e4 * wavelength * square
    envelope = np.exp(-((2 * frequency / microscope.envelope) ** 2))
    return np.asarray(np.sin(np.pi / 2 * (aberration - defocus)) * envelope)


def missing_wedge(size: tuple[int, int, int], tilt_degrees: float) -> NDArray[np.bool_]:
    """Mark the frequencies that a tilt series about y samples, on the half grid of ``numpy.fft.rfftn``.

    Parameters
    ----------
    size
        (D, H, W) of the volume.
    tilt_degrees
        Largest tilt to both sides.

    Returns
    -------
    ndarray
        (D, H, W // 2 + 1), bool: True where |kz| ≤ |kx|·tan(tilt), and on the line kx = kz = 0.

    Examples
    --------
    >>> missing_wedge((8, 8, 8), 60.0).shape, missing_wedge((8, 8, 8), 90.0).all()
    ((8, 8, 5), np.True_)
    """
    kz, _, kx = _frequencies(size)
    sampled = np.abs(kz) * np.cos(np.radians(tilt_degrees)) <= np.abs(kx) * np.sin(np.radians(tilt_degrees)) + 1e-9
    return np.broadcast_to(sampled, (*size[:2], size[2] // 2 + 1))


def form_image(
    density: NDArray[np.floating],
    seed: int | np.random.Generator,
    *,
    snr: float,
    voxel_angstrom: float = 10.0,
    microscope: Microscope | None = None,
) -> Array:
    """Turn a density into what a tilt series shows of it: particles dark, noisy, without the missing wedge.

    With H = CTF · band-pass, s² = Var(signal after H) / mean |H|², and both noises of variance ½ s²/SNR::

        image = wedge · sphere · band-pass · (CTF · (band-pass · (−density) + white noise) + low-pass · detector noise)

    Radii of all filters are fixed in cycles a voxel, so a box of any size is filtered alike; at 40³ the band-pass has
    10 Fourier voxels. Pearson's r between two images of one density is about SNR/2 for a small nominal SNR.

    Parameters
    ----------
    density
        (D, H, W) in the order z, y, x; treated as periodic.
    seed
        Seed or generator of the noise.
    snr
        Nominal ratio of signal to noise, above 0; ``inf`` for none.
    voxel_angstrom
        Voxel size in ångström, as the contrast transfer needs it.
    microscope
        Optics and tilt range.

    Returns
    -------
    ndarray
        (D, H, W), float32, not normalised.

    Raises
    ------
    InputError
        If the density is not 3-D or the SNR not above 0.

    References
    ----------
    The recipe of the public scripts behind Respond-CAM's simulated subtomograms, generalised to any box.

    Examples
    --------
    >>> density = camfast.simulate.shape("ball", 24)
    >>> form_image(density, seed=0, snr=1.0).shape
    (24, 24, 24)
    """
    if density.ndim != 3 or 0 in density.shape:
        raise InputError(f"a density must be (D, H, W), found {density.shape}")
    if not snr > 0:
        raise InputError(f"the signal-to-noise ratio must be above 0, found {snr}")
    microscope = microscope or Microscope()
    size = (density.shape[0], density.shape[1], density.shape[2])
    kz, ky, kx = _frequencies(size)
    frequency = np.sqrt(kz**2 + ky**2 + kx**2)
    ctf = contrast_transfer(frequency, voxel_angstrom, microscope).astype(np.float32)
    band = _roll_off(frequency, BAND_RADIUS, BAND_EDGE)
    spectrum = np.fft.rfftn(-density.astype(np.float32)) * band * ctf
    if np.isfinite(snr):
        generator = np.random.default_rng(seed)
        power = _mean_square(spectrum, size) / (density.size * _mean_square(ctf * band, size))
        deviation = np.float32(np.sqrt(0.5 / snr * power))
        white, detector = (
            np.fft.rfftn(deviation * generator.standard_normal(size, dtype=np.float32)) for _ in range(2)
        )
        spectrum += white * ctf + detector * _roll_off(frequency, DETECTOR_START, DETECTOR_WIDTH)
    spectrum *= band * (frequency <= 0.5) * missing_wedge(size, microscope.tilt_degrees)
    return np.fft.irfftn(spectrum, s=size, axes=(0, 1, 2)).astype(np.float32)


def _frequencies(size: tuple[int, int, int]) -> tuple[Array, Array, Array]:
    """Give kz, ky, kx in cycles a voxel on the half grid, shaped to broadcast."""
    kz, ky, kx = np.fft.fftfreq(size[0]), np.fft.fftfreq(size[1]), np.fft.rfftfreq(size[2])
    return tuple(k.astype(np.float32) for k in (kz[:, None, None], ky[None, :, None], kx[None, None, :]))  # type: ignore[return-value]


def _roll_off(frequency: Array, radius: float, width: float) -> Array:
    """Pass up to a radius, then fall as a Gaussian: exp(−((k − radius)/width)²)."""
    return np.asarray(np.exp(-((np.maximum(frequency - radius, 0) / width) ** 2)), np.float32)


def _mean_square(half: NDArray[np.inexact], size: tuple[int, int, int]) -> float:
    """Average |F|² without the zero frequency over the whole grid, of which the half grid holds one of each pair."""
    squares = np.abs(half).astype(np.float64) ** 2
    squares[0, 0, 0] = 0.0
    twice = squares[..., 1 : (size[2] + 1) // 2].sum()
    return float((squares.sum() + twice) / np.prod(size))
