import numpy as np
import pytest

from camfast.errors import InputError
from camfast.simulate import SHAPES, Microscope, contrast_transfer, form_image, missing_wedge, shape, subtomogram


def _angle_from_kx(size):
    """Angle of (kx, kz) above the kx axis in degrees, on the whole grid."""
    kz, _, kx = np.meshgrid(*(np.fft.fftfreq(n) for n in size), indexing="ij")
    return np.degrees(np.arctan2(np.abs(kz), np.abs(kx))), (kz == 0) & (kx == 0)


@pytest.mark.parametrize("size", [(16, 16, 16), (7, 9, 15), (20, 12, 13)])
@pytest.mark.parametrize("tilt", [30.0, 60.0])
def test_the_wedge_is_empty_and_the_rest_is_not(size, tilt):
    density = np.random.default_rng(0).standard_normal(size)
    image = form_image(density, 1, snr=0.5, microscope=Microscope(tilt_degrees=tilt))
    power = np.abs(np.fft.fftn(image.astype(np.float64))) ** 2
    angle, axis = _angle_from_kx(size)
    radius = np.sqrt(sum(k**2 for k in np.meshgrid(*(np.fft.fftfreq(n) for n in size), indexing="ij")))
    # On the Nyquist planes of even sizes a frequency stands for its mirror image too: only those inside are judged.
    inside = radius < 0.45
    assert power[(angle > tilt + 0.1) & ~axis & inside].max() < 1e-9 * power.max()
    assert (power[(angle < tilt - 0.1) & inside & (radius < 0.3) & (radius > 0)] > 1e-6 * power.max()).all()


def test_a_full_tilt_range_leaves_no_wedge():
    assert missing_wedge((8, 9, 10), 90.0).all()
    assert missing_wedge((9, 9, 9), 60.0).shape == (9, 9, 5)
    assert missing_wedge((90, 1, 90), 60.0).mean() == pytest.approx(1 - 0.25 * 1.155, abs=0.02)


def test_the_contrast_transfer_is_the_formula_at_300_kilovolt():
    k = np.array([0.0, 0.1, 0.25, 0.5])
    volt = 300e3
    wavelength = np.sqrt(150.4 / (volt * (1 + volt / 1.022e6)))
    assert wavelength == pytest.approx(0.0197, rel=0.005)
    per_angstrom = k / 8.0
    phase = np.pi / 2 * (2.7e7 * wavelength**3 * per_angstrom**4 + 2 * 6e4 * wavelength * per_angstrom**2)
    expected = np.sin(phase) * np.exp(-((per_angstrom / (0.4 / 16.0)) ** 2))
    np.testing.assert_allclose(contrast_transfer(k, 8.0, Microscope()), expected, rtol=1e-12, atol=1e-15)


def test_particles_are_dark_and_the_band_is_limited():
    axis = np.arange(40) - 19.5
    density = np.exp(-(axis[:, None, None] ** 2 + axis[:, None] ** 2 + axis**2) / 8)
    image = form_image(density, 0, snr=np.inf)
    assert image[19:21, 19:21, 19:21].mean() < image.mean() - 10 * image.std()
    power = np.abs(np.fft.fftn(image)) ** 2
    radius = np.sqrt(sum(k**2 for k in np.meshgrid(*[np.fft.fftfreq(40)] * 3, indexing="ij")))
    assert power[radius > 0.45].sum() < 1e-8 * power.sum()


def test_a_nominal_ratio_of_a_tenth_is_a_correlation_of_a_twentieth():
    turns = np.random.default_rng(5).standard_normal((40, 4))
    correlations = []
    for index, turn in enumerate(turns):
        name = list(SHAPES)[index % len(SHAPES)]
        pair = [
            subtomogram(name, seed=[index, k], size=40, snr=0.1, quaternion=tuple(turn)).data.ravel() for k in (1, 2)
        ]
        correlations.append(np.corrcoef(*pair)[0, 1])
    assert np.mean(correlations) == pytest.approx(0.05, abs=0.01)


def test_more_signal_gives_more_correlation_and_none_of_noise_gives_all():
    density = shape("shell", 32)

    def correlation(snr):
        return np.mean(
            [np.corrcoef(*(form_image(density, [i, k], snr=snr).ravel() for k in (1, 2)))[0, 1] for i in range(4)]
        )

    values = [correlation(snr) for snr in (0.1, 1.0, 10.0, np.inf)]
    assert values == sorted(values)
    assert values[-1] == pytest.approx(1.0)


def test_noise_is_scaled_by_the_signal_in_a_box_of_any_size():
    density = np.zeros((33, 40, 47), np.float32)
    density[4:28, 8:32, 8:32] = shape("barrel", 24)
    clean, noisy = (form_image(density, 3, snr=snr) for snr in (np.inf, 0.2))
    louder = form_image(100 * density, 3, snr=0.2)
    np.testing.assert_allclose(louder, 100 * noisy, rtol=1e-3, atol=1e-4 * np.abs(louder).max())
    assert (noisy - clean).var() > 2 * clean.var()


@pytest.mark.parametrize("snr", [0.0, -1.0, np.nan])
def test_a_ratio_that_is_not_above_zero_is_refused(snr):
    with pytest.raises(InputError, match="must be above 0"):
        form_image(shape("ball"), 0, snr=snr)


@pytest.mark.parametrize("size", [(4, 4), (4, 0, 4), (1, 4, 4, 4)])
def test_only_volumes_are_imaged(size):
    with pytest.raises(InputError, match=r"must be \(D, H, W\)"):
        form_image(np.zeros(size), 0, snr=1.0)
