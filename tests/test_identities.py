"""What the formulas say of the methods' sums and of one another, in float64 on random networks; and toys by hand."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

import camfast
from tests import oracle
from tests.capture.networks import Apply

SIGNED: dict[str, Any] = {"relu": False, "size": "grid"}
SAME_SUM = ("respond", "xgradcam", "hirescam", "extended")
POOLS = (nn.AdaptiveAvgPool1d, nn.AdaptiveAvgPool2d, nn.AdaptiveAvgPool3d)
TOLERANCE = 1e-9


def _network(rank: int, seed: int, *, tail: tuple[nn.Module, ...] | None = None) -> nn.Sequential:
    """Layer "0" gives six positive channels, so that no weight is ill-conditioned; a curved head, or the tail."""
    torch.manual_seed(seed)
    convolution = (nn.Conv1d, nn.Conv2d, nn.Conv3d)[rank - 1]
    trunk = nn.Sequential(convolution(2, 6, 3, padding=1), nn.Softplus())
    curved = convolution(6, 5, 3, 2), nn.Flatten(), nn.LazyLinear(7), nn.Tanh(), nn.Linear(7, 4)
    model = nn.Sequential(trunk, *(tail or curved)).double()
    model(_inputs(rank))
    return model


def _inputs(rank: int) -> Tensor:
    return torch.randn(3, 2, *(9, 7, 6)[:rank], dtype=torch.float64)


def _explained(model: nn.Module, x: Tensor, *methods: str, target: Any = "all") -> dict[str, camfast.Explanation]:
    return {method: camfast.Explainer(model, "0", method, **SIGNED)(x, target) for method in methods}


def _sums(grid: Tensor, lead: int = 2) -> Tensor:
    return grid.flatten(lead).sum(-1)


@pytest.mark.parametrize("rank", [1, 2, 3])
@pytest.mark.parametrize("seed", range(4))
def test_four_signed_maps_have_the_same_sum(rank: int, seed: int) -> None:
    model, x = _network(rank, seed), _inputs(rank)
    found = _explained(model, x, *SAME_SUM)
    sums = {method: _sums(result.grid) for method, result in found.items()}
    A, G = _many(model, x)
    assert oracle.relative_error(sums["hirescam"], (G * A).flatten(2).sum(2)) < TOLERANCE
    # w_k (S_k + ε) = Σ GA exactly; the identity holds as far as ε, Z·1e-10 and 1e-7, may be left out
    small = {"respond": x[0, 0].numel() * 1e-10, "xgradcam": 1e-7, "extended": 0.0}
    for method, epsilon in small.items():
        rest = 0 if found[method].weights is None else epsilon * found[method].weights.sum(2)
        assert oracle.relative_error(sums[method] + rest, sums["hirescam"]) < TOLERANCE
        assert oracle.relative_error(sums[method], sums["hirescam"]) < 1e-7


def _many(model: nn.Module, x: Tensor) -> tuple[Tensor, Tensor]:
    """A (N, 1, C, Z) and G (N, T, C, Z) of the oracle, one target after the other."""
    pairs = [oracle.activations_and_gradients(model, x, "0", target)[:2] for target in range(4)]
    return pairs[0][0].flatten(2)[:, None], torch.stack([G.flatten(2) for _, G in pairs], 1)


@pytest.mark.parametrize("rank", [1, 2, 3])
@pytest.mark.parametrize("seed", range(4))
def test_that_sum_less_gradcams_is_the_covariance(rank: int, seed: int) -> None:
    model, x = _network(rank, seed), _inputs(rank)
    found = _explained(model, x, "extended", "gradcam")
    A, G = _many(model, x)
    covariance = ((A - A.mean(3, keepdim=True)) * (G - G.mean(3, keepdim=True))).mean(3)
    gap = _sums(found["extended"].grid) - _sums(found["gradcam"].grid)
    assert oracle.relative_error(gap, A.shape[3] * covariance.sum(2)) < TOLERANCE


@pytest.mark.parametrize("rank", [1, 2, 3])
@pytest.mark.parametrize("seed", range(4))
def test_behind_global_average_pooling_the_maps_are_one(rank: int, seed: int) -> None:
    model = _network(rank, seed, tail=(POOLS[rank - 1](1), nn.Flatten(), nn.Linear(6, 4)))
    x = _inputs(rank)
    found = _explained(model, x, "cam", "gradcam", "extended", "hirescam")
    for method in ("gradcam", "extended", "hirescam"):
        assert oracle.relative_error(found[method].grid, found["cam"].grid) < TOLERANCE
    weights = model[3].weight.detach().expand(3, 4, 6) / x[0, 0].numel()
    for method in ("cam", "gradcam"):
        assert oracle.relative_error(found[method].weights, weights) < TOLERANCE
    y = model(x).detach()
    assert oracle.relative_error(_sums(found["cam"].grid), y - model[3].bias.detach()) < TOLERANCE


@pytest.mark.parametrize("rank", [1, 2, 3])
@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("method", SAME_SUM)
def test_one_linear_layer_behind_gives_the_score(rank: int, seed: int, method: str) -> None:
    x = _inputs(rank)
    model = _network(rank, seed, tail=(nn.Flatten(), nn.Linear(6 * x[0, 0].numel(), 4).double()))
    result = _explained(model, x, method)[method]
    bias = model[2].bias.detach()
    # xgradcam's 1e-7 beside S_k stays in its sums
    tolerance = 1e-7 if method == "xgradcam" else TOLERANCE
    assert oracle.relative_error(_sums(result.grid) + bias, model(x).detach()) < tolerance
    assert oracle.relative_error(result.residual, bias.expand(3, 4)) < 10 * tolerance


@pytest.mark.parametrize("rank", [1, 2, 3])
@pytest.mark.parametrize("method", [name for name in camfast.methods() if name != "cam"])
def test_many_targets_are_what_each_is_alone(rank: int, method: str) -> None:
    model, x = _network(rank, 9), _inputs(rank)
    together = _explained(model, x, method, target=[3, 0, 3])[method]
    for column, target in enumerate((3, 0, 3)):
        alone = _explained(model, x, method, target=target)[method]
        assert oracle.relative_error(together.grid[:, column], alone.grid) < TOLERANCE
        assert oracle.relative_error(together.residual[:, column], alone.residual) < TOLERANCE
        if alone.weights is not None:
            assert oracle.relative_error(together.weights[:, column], alone.weights) < TOLERANCE


def test_a_channel_that_sums_to_zero_breaks_the_sum_and_is_flagged() -> None:
    def cancel(a: Tensor) -> Tensor:
        return torch.cat([a[:, :1] - a[:1, :1].mean(), a[:, 1:]], 1)  # in the first sample only

    model = _network(2, 3)
    model[0].append(Apply(cancel))
    x = _inputs(2)
    with pytest.warns(camfast.IllConditionedWarning, match="in 1 of 3 samples"):
        respond = _explained(model, x, "respond")["respond"]
    extended = _explained(model, x, "extended")["extended"]
    assert respond.ill_conditioned.tolist() == [True, False, False]
    assert not extended.ill_conditioned.any()
    error = (_sums(respond.grid) - _sums(extended.grid)).abs().amax(1)
    assert (error[1:] < 1e-7).all()
    assert error[0] > 1e-3


def test_dead_channels_have_no_part() -> None:
    model, x = _network(2, 4), _inputs(2)
    model[0].append(Apply(lambda a: torch.cat([a[:, :2] * 0, a[:, 2:]], 1)))
    found = _explained(model, x, *SAME_SUM, "eigencam", "eigengradcam")
    for method in ("respond", "xgradcam", "eigencam", "eigengradcam"):
        assert not found[method].weights[:, :, :2].any()
        assert found[method].weights[:, :, 2:].all()
        assert not found[method].ill_conditioned.any()
    for method in SAME_SUM:
        assert oracle.relative_error(_sums(found[method].grid), _sums(found["hirescam"].grid)) < 1e-7


# Two channels on a grid of 2 × 2, and gradients that differ in sign from place to place.
ACTIVATIONS = [[[4.0, 0.0], [0.0, 2.0]], [[0.0, 3.0], [1.0, 0.0]]]
GRADIENTS = [[[1.0, -3.0], [5.0, -3.0]], [[2.0, 2.0], [-4.0, 0.0]]]


def _toy() -> tuple[nn.Module, Tensor]:
    """A segmentation of one class with O[q] = Σ_k G[k, q] A[k, q], explained at its input."""
    weights = torch.tensor(GRADIENTS, dtype=torch.float64)
    head = Apply(lambda a: (a * weights).sum(1, keepdim=True))
    return nn.Sequential(nn.Identity(), head), torch.tensor([ACTIVATIONS], dtype=torch.float64)


TOY: list[tuple[Any, str, list[list[float]]]] = [
    # The whole image: each channel's gradients have the mean 0, so nothing is left of Grad-CAM.
    ("image", "gradcam", [[0, 0], [0, 0]]),
    ("image", "hirescam", [[1 * 4, 2 * 3], [-4 * 1, -3 * 2]]),
    ("image", "layercam", [[1 * 4, 2 * 3], [0, 0]]),
    ("image", "elementwise", [[4, 6], [0, 0]]),
    # w = (4 − 6, 6 − 4) / (S = 6, 4) = (−1/3, 1/2)
    ("image", "respond", [[-4 / 3, 3 / 2], [1 / 2, -2 / 3]]),
    # The upper row: means −1/2 and 1. Grad-CAM is negative where channel 1 speaks for the region, and spills below it.
    ((slice(0, 1), slice(None)), "gradcam", [[-1 / 2 * 4, 1 * 3], [1 * 1, -1 / 2 * 2]]),
    ((slice(0, 1), slice(None)), "hirescam", [[4, 6], [0, 0]]),
    # w = (4/6, 6/4)
    ((slice(0, 1), slice(None)), "respond", [[8 / 3, 9 / 2], [3 / 2, 4 / 3]]),
]


@pytest.mark.parametrize(("where", "method", "expected"), TOY)
def test_averaged_weights_wash_out_what_hirescam_keeps(where: Any, method: str, expected: list[list[float]]) -> None:
    model, x = _toy()
    result = camfast.Explainer(model, "0", method, **SIGNED)(x, camfast.Region(0, where))
    # the toy's sums are exact in float64 up to the 1e-10 of respond's denominator
    torch.testing.assert_close(result.grid[0], torch.tensor(expected, dtype=torch.float64), rtol=1e-9, atol=1e-9)
    y = 4 + 6 - 4 - 6 if where == "image" else 4 + 6
    assert result.residual.item() == pytest.approx(y - sum(map(sum, expected)), abs=1e-8)
    assert result.empty.tolist() == [where == "image" and method == "gradcam"]


def _segmenter(rank: int, seed: int) -> tuple[nn.Module, Tensor]:
    torch.manual_seed(seed)
    convolution = (nn.Conv1d, nn.Conv2d, nn.Conv3d)[rank - 1]
    model = nn.Sequential(
        nn.Sequential(convolution(2, 6, 3, padding=1), nn.Softplus()), convolution(6, 5, 3, padding=1), nn.Tanh(),
        convolution(5, 3, 1),
    )  # fmt: skip
    return model.double(), _inputs(rank)


@pytest.mark.parametrize("rank", [1, 2, 3])
@pytest.mark.parametrize("method", ["gradcam", "hirescam", "extended", "respond", "xgradcam"])
def test_a_regions_map_is_the_sum_of_its_points_maps(rank: int, method: str) -> None:
    """The gradient of a sum is the sum of gradients, and these maps are linear in the gradient."""
    model, x = _segmenter(rank, 1)
    box = (slice(1, 3),) * rank
    points: list[tuple[int, ...]] = [()]
    for _ in range(rank):
        points = [(*point, place) for point in points for place in (1, 2)]
    explainer = camfast.Explainer(model, "0", method, **SIGNED)
    whole = explainer(x, camfast.Region(2, box))
    each = explainer(x, [camfast.Region(2, point) for point in points])
    assert oracle.relative_error(whole.grid, each.grid.sum(1)) < TOLERANCE
    if whole.weights is not None:
        assert oracle.relative_error(whole.weights, each.weights.sum(1)) < TOLERANCE
    assert oracle.relative_error(whole.residual, each.residual.sum(1)) < TOLERANCE


@pytest.mark.parametrize("rank", [1, 2, 3])
@pytest.mark.parametrize("method", [name for name in camfast.methods() if name != "cam"])
def test_the_whole_image_is_the_function_of_the_same_sum(rank: int, method: str) -> None:
    model, x = _segmenter(rank, 2)
    explainer = camfast.Explainer(model, "0", method, **SIGNED)
    region = explainer(x, camfast.Region(1, "image"))
    function = explainer(x, lambda scores: scores[:, 1].flatten(1).sum(1))
    assert oracle.relative_error(region.grid, function.grid) < TOLERANCE
    assert oracle.relative_error(region.residual, function.residual) < TOLERANCE
    expected = oracle.grid(model, x, "0", lambda scores: scores[:, 1].flatten(1).sum(1), method)
    assert oracle.relative_error(region.grid, expected) < TOLERANCE
