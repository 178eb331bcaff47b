"""`cam` in closed form: behind average pooling it is the gradient's map, its sum the score less the bias."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

import camfast
from camfast import models
from tests import oracle
from tests.capture.networks import Apply, images, sequential

POOLS = (nn.AdaptiveAvgPool1d, nn.AdaptiveAvgPool2d, nn.AdaptiveAvgPool3d)
CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)


def _inputs(rank: int, samples: int = 3) -> Tensor:
    return torch.randn(samples, 2, *(9, 7, 6)[:rank], dtype=torch.float64)


def _pooled(rank: int, *tail: nn.Module) -> nn.Sequential:
    """Layer "1" gives 6 channels; a linear layer behind the average of each, or the tail."""
    trunk = CONVOLUTIONS[rank - 1](2, 6, 3, padding=1), nn.Tanh()
    return nn.Sequential(*trunk, *(tail or (POOLS[rank - 1](1), nn.Flatten(), nn.Linear(6, 4)))).double()


def _convolved(rank: int) -> nn.Sequential:
    return _pooled(rank, nn.Dropout(), CONVOLUTIONS[rank - 1](6, 4, 1), POOLS[rank - 1](1), nn.Flatten()).eval()


@pytest.mark.parametrize("rank", [1, 2, 3])
@pytest.mark.parametrize("network", [_pooled, _convolved])
@pytest.mark.parametrize("target", ["predicted", 2, torch.tensor([3, 0, 1]), [1, 0], "all"], ids=str)
def test_it_is_the_map_of_the_gradient_and_adds_up_to_the_score(rank: int, network: Any, target: Any) -> None:
    model, x = network(rank), _inputs(rank)
    result = camfast.Explainer(model, "1", "cam", size="grid")(x, target)
    by_gradient = camfast.Explainer(model, "1", "gradcam", relu=False, size="grid")(x, target)
    assert oracle.relative_error(result.grid, by_gradient.grid) < 1e-9
    assert oracle.relative_error(result.weights, by_gradient.weights) < 1e-9
    bias = (model[4] if network is _pooled else model[3]).bias.detach()
    y = model(x).detach()
    each = result.targets if result.targets.ndim == 2 else result.targets[:, None]
    expected = y.gather(1, each) - bias[each]
    lead = 1 if result.targets.ndim == 1 else 2
    sums = result.grid.flatten(lead).sum(-1).view_as(expected)
    assert oracle.relative_error(sums, expected) < 1e-9
    assert torch.allclose(result.residual.view_as(expected), bias[each], atol=1e-12)
    assert not result.ill_conditioned.any()
    assert not any(tensor.requires_grad for tensor in (result.scores, result.grid, result.maps, result.weights))


def test_one_score_no_bias_and_functional_pooling() -> None:
    class Regression(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.trunk, self.rate = nn.Conv2d(2, 6, 3), nn.Linear(6, 1, bias=False)

        def forward(self, x: Tensor) -> Tensor:
            return self.rate(self.trunk(x).mean((2, 3)))[:, 0]

    model, x = Regression().double(), _inputs(2)
    result = camfast.Explainer(model, "trunk", "cam", size="grid")(x)
    assert oracle.relative_error(result.grid.flatten(1).sum(1), model(x).detach()) < 1e-9


def test_a_grid_of_one_position_needs_no_pooling() -> None:
    model = nn.Sequential(nn.Conv1d(2, 6, 9), nn.Flatten(), nn.Linear(6, 4)).double()
    x = _inputs(1)
    found = camfast.cam(model, x, "0", 1, method="cam", size="grid")
    assert oracle.relative_error(found[:, 0], (model(x)[:, 1] - model[2].bias[1]).detach()) < 1e-9


def test_resnet_finds_its_head_and_out_and_sizes_work() -> None:
    model, x = models.resnet20().eval(), torch.randn(2, 3, 32, 32)
    explainer = camfast.Explainer(model, "layer3", "cam")
    result = explainer(x, "all")
    expected = camfast.Explainer(model, "layer3", "gradcam", relu=False)(x, "all")
    assert oracle.relative_error(result.maps, expected.maps) < 1e-5  # float32
    out = torch.empty(2, 10, 32, 32)
    assert explainer(x, "all", out=out).maps is out
    assert torch.equal(out, result.maps)
    named = camfast.cam(model, x, "layer3", "all", method="cam", head="linear")
    assert torch.equal(named, result.maps)
    module = camfast.cam(model, x, "layer3", "all", method="cam", head=model.linear)
    assert torch.equal(module, result.maps)


def test_half_precision() -> None:
    model, x = _pooled(2).to(torch.bfloat16), _inputs(2).to(torch.bfloat16)
    result = camfast.Explainer(model, "1", "cam", size="grid")(x, 1)
    assert result.grid.dtype == torch.float32
    A = model[1](model[0](x)).detach().double()
    expected = torch.einsum("nkij,k->nij", A, model[4].weight[1].detach().double()) / 63
    assert oracle.relative_error(result.grid, expected) < 1e-6


def test_scores_in_single_of_activations_in_half() -> None:
    single = Apply(lambda scores: scores.float())
    model = _pooled(2, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 4), single).float()
    x = _inputs(2).float()
    exact = camfast.cam(model, x, "1", 1, method="cam", size="grid")
    with torch.autocast("cpu", torch.bfloat16):
        found = camfast.cam(model, x, "1", 1, method="cam", size="grid")
    assert oracle.relative_error(found, exact) < 0.05  # eight bits in the convolution, and in what it gives


def test_empty_batches_and_what_is_not_finite() -> None:
    model, x = _pooled(2), _inputs(2)
    assert camfast.cam(model, x[:0], "1", "all", method="cam").shape == (0, 4, 9, 7)
    clean = camfast.cam(model, x, "1", "all", method="cam", size="grid")
    x[1, 0, 0, 0] = torch.nan
    found = camfast.cam(model, x, "1", "all", method="cam", size="grid")
    assert torch.equal(found[[0, 2]], clean[[0, 2]])
    assert found[1].isnan().flatten(1).any(1).all()


def test_a_map_in_a_loss_reaches_the_head() -> None:
    model, x = _pooled(2), _inputs(2)
    maps = camfast.cam(model, x, "1", 1, method="cam", size="grid", create_graph=True)
    found = torch.autograd.grad(maps.square().sum(), [model[0].weight, model[4].weight])
    A = model[1](model[0](x))
    L = torch.einsum("nkij,k->nij", A, model[4].weight[1]) / 63
    expected = torch.autograd.grad(L.square().sum(), [model[0].weight, model[4].weight])
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-12)


def _refused(model: nn.Module, x: Tensor, layer: str, **options: Any) -> str:
    with pytest.raises(ValueError, match="method='cam'") as caught:
        camfast.cam(model.eval(), x, layer, method="cam", **options)
    message = str(caught.value)
    assert "gradcam and hirescam need no such head" in message
    return message


def test_other_heads_are_refused_and_described() -> None:
    x = images()
    message = _refused(sequential(), x, "1")
    assert (
        "2.1 takes 256 values, and the layer has 4 channels: a flatten in between keeps the positions apart" in message
    )
    assert "behind the layer stand Flatten, Linear, Tanh, Linear" in message
    assert "name the module by head=" in message

    squeezenet = models.squeezenet1_0(classes=10)
    message = _refused(squeezenet, torch.randn(1, 3, 96, 96), "fire9")
    assert "conv10 is a 1×1 convolution with padding=(1, 1), whose border the layer doesn't have" in message
    assert "ReLU" in message

    pool = nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 4)
    inputs = _inputs(2)
    for tail in (
        (nn.ReLU(), *pool),
        (*pool, nn.Softmax(1)),
        (nn.MaxPool2d(7), nn.Flatten(), nn.Linear(6, 4)),
        (nn.Conv2d(6, 4, 1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()),
    ):
        assert "doesn't give the scores from the layer's average (something else stands between" in _refused(
            _pooled(2, *tail), inputs, "1"
        )
    message = _refused(_pooled(2, nn.Conv2d(6, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten()), inputs, "1")
    assert "the model has no linear layer and no 1×1 convolution" in message
    assert "gives 5 values, and there are 4 scores" in _refused(
        _pooled(2, *pool[:2], nn.Linear(6, 5), nn.Linear(5, 4)), inputs, "1"
    )
    assert "is a 1×1 convolution with stride=(2, 2) and groups=1" in _refused(
        _pooled(2, nn.Conv2d(6, 4, 1, stride=2), nn.AdaptiveAvgPool2d(1), nn.Flatten()), inputs, "1"
    )


def test_a_named_head_is_looked_at_alone() -> None:
    model, x = _pooled(2), _inputs(2)
    assert "by head='1': 1 is a Tanh, not a linear layer or a 1×1 convolution" in _refused(model, x, "1", head="1")
    assert "is a convolution of size (3, 3), not 1×1" in _refused(model, x, "1", head="0")
    with pytest.raises(ValueError, match="the model has no layer '9'"):
        camfast.Explainer(model, "1", "cam", head="9")
    with pytest.raises(ValueError, match="head belongs to method='cam', found it with 'gradcam'"):
        camfast.cam(model, x, "1", head="4")


@pytest.mark.parametrize(
    "target", [lambda scores: scores[:, 0], camfast.Unit("3", 2), [camfast.Unit("3", 2)]], ids=["function", "unit", "s"]
)
def test_other_targets_are_refused(target: Any) -> None:
    with pytest.raises(
        ValueError, match=r"method='cam' explains class scores .* found a target of type (function|Unit)"
    ):
        camfast.cam(_pooled(2), _inputs(2), "1", target, method="cam")


def test_regions_and_captures_are_refused() -> None:
    model = nn.Sequential(nn.Conv2d(2, 6, 3), nn.Conv2d(6, 4, 1)).double()
    with pytest.raises(ValueError, match="found a target of type Region: give classes, or use gradcam or hirescam"):
        camfast.cam(model, _inputs(2), "0", camfast.Region(1, "image"), method="cam")
    model, x = _pooled(2), _inputs(2)
    with camfast.capture(model, "1") as captured:
        scores = model(x)
    with pytest.raises(ValueError, match=r"a head and the scores of a whole pass: use camfast.cam"):
        captured.map(scores, "cam")
