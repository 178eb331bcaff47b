"""Sums of maps against scores: Kendall's τ-b is scipy's, and L1 is a mean over classes."""

import pytest
import torch
from scipy import stats
from torch import Tensor, nn

import camfast
from camfast.metrics import sum_to_score


def _expected_tau(grid: Tensor, scores: Tensor) -> list[float]:
    sums = grid.double().flatten(2).sum(2)
    return [float(stats.kendalltau(a.numpy(), b.numpy()).statistic) for a, b in zip(sums, scores, strict=True)]


@pytest.mark.parametrize("classes", [2, 3, 7, 23, 300])
@pytest.mark.parametrize("tied", [False, True], ids=["distinct", "ties"])
def test_tau_is_scipy_s(classes: int, tied: bool) -> None:
    grid = torch.randn(5, classes, 3, 2, dtype=torch.float64)
    scores = grid.sum((2, 3)) + 3 * torch.randn(5, classes, dtype=torch.float64)
    if tied:
        grid, scores = torch.zeros_like(grid), (scores / 3).round()
        grid[:, ::2, 0, 0] = torch.randint(-2, 3, (5, (classes + 1) // 2), dtype=torch.float64)
    found = sum_to_score(grid, scores)
    # both are exact counts of pairs under two roots
    assert torch.allclose(found.tau, torch.tensor(_expected_tau(grid, scores)).double(), atol=1e-12, equal_nan=True)


@pytest.mark.parametrize("shape", [(1,), (7,), (3, 4), (2, 3, 4)], ids=str)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_l1_is_the_mean_over_classes(shape: tuple[int, ...], dtype: torch.dtype) -> None:
    grid, scores = torch.randn(3, 5, *shape).to(dtype), torch.randn(3, 5).to(dtype)
    l1, tau = sum_to_score(grid, scores)
    for sample in range(3):
        distances = [abs(float(grid[sample, c].double().sum()) - float(scores[sample, c])) for c in range(5)]
        assert abs(float(l1[sample]) - sum(distances) / 5) < 1e-12
    assert l1.dtype == tau.dtype == torch.float64


def test_undefined_taus_are_counted_and_stay_with_their_sample() -> None:
    grid, scores = torch.randn(6, 4, 3), torch.randn(6, 4)
    grid[1] = 0
    scores[2] = 5
    grid[3, 0, 0] = torch.nan
    scores[4, 1] = torch.inf
    found = sum_to_score(grid, scores)
    assert found.tau.isnan().tolist() == [False, True, True, True, False, False]
    assert found.undefined == 3
    assert found.l1.isnan().tolist() == [False, False, False, True, False, False]
    assert torch.allclose(found.tau[[0, 4, 5]], torch.tensor(_expected_tau(grid, scores))[[0, 4, 5]].double())


def test_a_batch_equals_single_samples_and_chunks() -> None:
    grid, scores = torch.randn(20, 1000, 2), torch.randn(20, 1000)  # 20 samples are more than one chunk of pairs
    whole = sum_to_score(grid, scores)
    for sample in (0, 7, 19):
        single = sum_to_score(grid[sample : sample + 1], scores[sample : sample + 1])
        assert torch.equal(single.tau[0], whole.tau[sample])
    assert abs(float(whole.tau[19]) - _expected_tau(grid[19:], scores[19:])[0]) < 1e-12


def test_no_sample_and_one_class() -> None:
    l1, tau = sum_to_score(torch.zeros(0, 3, 4), torch.zeros(0, 3))
    assert l1.shape == tau.shape == (0,)
    assert sum_to_score(torch.ones(2, 1, 4), torch.ones(2, 1)).undefined == 2


def test_respond_keeps_the_order_of_the_scores_behind_one_linear_layer() -> None:
    model = nn.Sequential(nn.Conv3d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(256, 23, bias=False)).double()
    result = camfast.Explainer(model, "1", "respond", size="grid")(torch.randn(3, 1, 6, 6, 6).double(), "all")
    found = sum_to_score(result.grid, result.scores)
    assert float(found.l1.max()) < 1e-8  # Z·1e-10 stands in the denominator of a weight
    assert found.tau.tolist() == [1.0, 1.0, 1.0]


def test_what_does_not_fit_is_named() -> None:
    with pytest.raises(ValueError, match=r"found \(2, 3\) and \(2, 3\): explain target='all'"):
        sum_to_score(torch.ones(2, 3), torch.ones(2, 3))
    with pytest.raises(ValueError, match=r"\(2, 4, 5\) and \(2, 3\)"):
        sum_to_score(torch.ones(2, 4, 5), torch.ones(2, 3))
    with pytest.raises(TypeError, match="must be tensors, found list"):
        sum_to_score([1.0], torch.ones(2, 3))  # type: ignore[arg-type]
