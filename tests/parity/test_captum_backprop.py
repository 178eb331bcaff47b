"""Guided backpropagation, deconvolution and saliency against captum's, which sees modules of nn.ReLU only."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

import camfast
from camfast import models
from tests.backprop.test_saliency import resnet20_twin

pytestmark = [
    pytest.mark.parity,
    pytest.mark.filterwarnings("ignore:Setting backward hooks on ReLU activations"),  # captum's own words
    pytest.mark.filterwarnings("ignore:Input Tensor 0 did not already require gradients"),
]

PEERS: dict[str, tuple[Callable[..., Tensor], str]] = {
    "saliency": (camfast.saliency, "Saliency"),
    "guided": (camfast.guided_backprop, "GuidedBackprop"),
    "deconvnet": (camfast.deconvnet, "Deconvolution"),
}


def _perceptron() -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(8, 16, 3, padding=1, stride=2),
        nn.BatchNorm2d(16), nn.ReLU(), nn.Flatten(), nn.Linear(16 * 8 * 8, 32), nn.ReLU(), nn.Linear(32, 10),
    )  # fmt: skip


def _volumes() -> nn.Sequential:
    return nn.Sequential(
        nn.Conv3d(3, 4, 3), nn.ReLU(), nn.AvgPool3d(2), nn.Conv3d(4, 6, 3), nn.ReLU(), nn.Flatten(), nn.LazyLinear(10)
    )


def _theirs(captum_attr, name: str, model: nn.Module, x: Tensor, classes: Tensor) -> Tensor:
    attribution = getattr(captum_attr, name)(model)
    options = {"abs": False} if name == "Saliency" else {}
    return attribution.attribute(x.clone().requires_grad_(), target=classes, **options).detach()


def _agree(ours: Tensor, theirs: Tensor) -> None:
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-6 * float(theirs.abs().max()))


@pytest.mark.parametrize("make", [_perceptron, _volumes])
@pytest.mark.parametrize("rule", PEERS)
def test_modules(captum_attr, rule, make):
    model = make()
    x = torch.randn(3, 3, *((32, 32) if make is _perceptron else (12, 12, 12)))
    model(x)
    explain, name = PEERS[rule]
    classes = torch.tensor([1, 7, 4])
    model.eval()
    _agree(explain(model, x, classes), _theirs(captum_attr, name, model, x, classes))


@pytest.mark.parametrize("rule", PEERS)
def test_residual_additions_and_functionals(captum_attr, rule):
    """ResNet-20 as it stands, with F.relu, gives what captum finds in a twin of nn.ReLU modules."""
    model = models.resnet20().eval()
    x, classes = torch.randn(2, 3, 32, 32), torch.tensor([3, 8])
    explain, name = PEERS[rule]
    theirs = _theirs(captum_attr, name, resnet20_twin(model), x, classes)
    _agree(explain(model, x, classes), theirs)
    _agree(explain(resnet20_twin(model), x, classes), theirs)
    if rule != "saliency":  # where captum sees no ReLU it gives the plain gradient
        assert float((_theirs(captum_attr, name, model, x, classes) - theirs).abs().max()) > 0.1 * theirs.abs().max()
