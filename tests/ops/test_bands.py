"""Bands multiply a line as the reference's formulas do, and are kept."""

import math

import pytest
import torch

from camfast.ops import bands, reference
from camfast.ops.bands import Band, gaussian_band, linear_band
from camfast.ops.forms import GAINS, Gain

CPU = torch.device("cpu")
SIZES = [(1, 1), (1, 7), (7, 1), (2, 9), (10, 40), (63, 257), (257, 63), (14, 224)]


def _apply(band: Band | None, line: torch.Tensor) -> torch.Tensor:
    if band is None:
        return line
    cells = band.first.long() + torch.arange(band.taps)[:, None]
    assert 0 <= int(cells.min()) <= int(cells.max()) < len(line)
    return (band.weights * line[cells]).sum(0)


@pytest.mark.parametrize(("cells", "pixels"), SIZES)
def test_linear_band(cells: int, pixels: int) -> None:
    line = torch.randn(cells, dtype=torch.float64)
    expected = reference.linear_upsample(line[None], (pixels,))[0]
    torch.testing.assert_close(_apply(linear_band(cells, pixels, torch.float64, CPU), line), expected)


@pytest.mark.parametrize("gain", GAINS)
@pytest.mark.parametrize("sigma", [0.3, 2.0, 50.0])
@pytest.mark.parametrize(("cells", "pixels"), SIZES)
@pytest.mark.parametrize("shift", [0.0, -3.3, 400.0])
def test_gaussian_band(cells: int, pixels: int, sigma: float, gain: Gain, shift: float) -> None:
    line = torch.randn(cells, dtype=torch.float64)
    step = pixels / cells
    start = step / 2 - 0.5 + shift
    expected = reference.gaussian_upsample(line[None], (pixels,), [sigma], gain, [start], [step])[0]
    band = gaussian_band(cells, pixels, sigma, start, step, gain, torch.float64, CPU)
    # what is left out is exp(−5.5²/2) of the weights within reach, at each of two sides
    torch.testing.assert_close(_apply(band, line), expected, rtol=1e-5, atol=3e-6 * float(line.abs().sum()))


def test_bands_are_kept_and_the_oldest_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bands, "_CACHE", bands._Cache())
    first = linear_band(3, 4, torch.float32, CPU)
    assert linear_band(3, 4, torch.float32, CPU) is first
    assert linear_band(3, 4, torch.float64, CPU) is not first
    for pixels in range(5, 5 + bands._Cache._LIMIT):
        linear_band(3, pixels, torch.float32, CPU)
    assert linear_band(3, 4, torch.float32, CPU) is not first
    assert len(bands._CACHE._bands) <= bands._Cache._LIMIT


def test_the_sum_of_a_mass_band_is_one_a_cell() -> None:
    band = gaussian_band(6, 48, 5.0, 3.5, 8.0, "mass", torch.float64, CPU)
    sums = torch.zeros(6, dtype=torch.float64)
    sums.index_add_(0, (band.first.long() + torch.arange(band.taps)[:, None]).flatten(), band.weights.flatten())
    assert math.isclose(float(sums.sum()), 6.0, rel_tol=1e-12)
    torch.testing.assert_close(sums, torch.ones_like(sums))
