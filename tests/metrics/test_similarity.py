"""Rank correlation is scipy's, structural similarity scikit-image's."""

import pytest
import torch
from scipy import stats
from skimage.metrics import structural_similarity

from camfast.metrics.similarity import Similarity, spearman, ssim


@pytest.mark.parametrize("shape", [(2,), (7,), (5, 4), (4, 3, 5)], ids=str)
@pytest.mark.parametrize("tied", [False, True], ids=["distinct", "ties"])
def test_rank_correlation_is_scipy_s(shape: tuple[int, ...], tied: bool) -> None:
    a, b = torch.randn(6, *shape).double(), torch.randn(6, *shape).double()
    if tied:
        a, b = a.relu(), b.round()
        a[:, 0], b[:, 0] = 2, 3
        a[:, -1], b[:, -1] = 0, -3
    for found, x, y in zip(spearman(a, b), a, b, strict=True):
        assert abs(float(found) - stats.spearmanr(x.flatten(), y.flatten()).statistic) < 1e-12


def test_what_has_no_rank_is_nan_in_its_sample() -> None:
    a, b = torch.rand(4, 9), torch.rand(4, 9)
    a[0], b[1, 3], a[2, 2] = 1, torch.nan, torch.inf
    assert spearman(a, b).isnan().tolist() == [True, True, True, False]


@pytest.mark.parametrize("shape", [(9,), (3,), (8, 12), (4, 5), (7, 6, 8), (5, 3, 4)], ids=str)
def test_structural_similarity_is_scikit_image_s(shape: tuple[int, ...]) -> None:
    a, b = torch.rand(4, *shape).double(), torch.randn(4, *shape).double()
    b[0] = a[0] * 3 - 1
    b[1] = a[1] + 0.1 * b[1]
    window = min(7, *shape)
    window -= 1 - window % 2
    for n, found in enumerate(ssim(a, b)):
        x, y = (((m - m.min()) / (m.max() - m.min())).numpy() for m in (a[n], b[n]))
        expected = structural_similarity(x, y, data_range=1.0, win_size=window)
        assert abs(float(found) - expected) < 1e-9  # variances are small differences of means
    assert abs(float(ssim(a, b)[0]) - 1) < 1e-9


def test_too_small_or_constant_maps_have_no_structure() -> None:
    assert ssim(torch.rand(2, 2, 9), torch.rand(2, 2, 9)).isnan().all()
    assert ssim(torch.ones(1, 9), torch.rand(1, 9)).isnan().all()


def test_means_and_spreads_leave_out_and_count_what_is_undefined() -> None:
    values = torch.tensor([[[0.1, 0.3], [0.5, torch.nan]], [[torch.nan] * 2, [0.2, 0.4]]], dtype=torch.float64)
    found = Similarity(values, values, values)
    assert found.undefined.tolist() == [1, 2]
    assert torch.allclose(found.mean().ssim, torch.tensor([0.3, 0.3]).double())
    assert abs(float(found.spread().spearman[0]) - 0.3 / 2**0.5) < 1e-12
    assert found.spread().spearman[1].isnan()  # one seed has no spread
