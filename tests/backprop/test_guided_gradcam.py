"""Guided Grad-CAM: the product of two maps that are tested on their own, each with any method and target."""

from typing import Any

import pytest
import torch
from torch import nn

import camfast
from tests import oracle
from tests.backprop import reference
from tests.backprop.test_saliency import EXACT
from tests.oracle import relative_error

FINE = [name for name in camfast.methods() if name not in ("extended", "cam")]


def _by_hand(model: torch.nn.Sequential, x: torch.Tensor, class_index: int, method: str) -> torch.Tensor:
    grid = oracle.grid(model, x, "7", class_index, method).relu()
    mode = {3: "linear", 4: "bilinear", 5: "trilinear"}[x.ndim]
    coarse = torch.nn.functional.interpolate(grid[:, None].detach(), x.shape[2:], mode=mode, align_corners=False)
    return reference.of_class(model, x, class_index, "guided") * coarse


@pytest.mark.parametrize("rank", [1, 2, 3])
@pytest.mark.parametrize("method", ["gradcam", "hirescam", "respond", "layercam"])
def test_by_hand(method: str, rank: int) -> None:
    model, x = reference.vgg_like(rank), reference.image(rank)
    found = camfast.guided_gradcam(model, x, "7", 3, method=method)
    assert relative_error(found, _by_hand(model, x, 3, method)) < EXACT
    classes = camfast.guided_gradcam(model, x, "7", "all", method=method)
    assert classes.shape == (len(x), reference.CLASSES, *x.shape[1:])
    assert relative_error(classes[:, 3], found) < EXACT


@pytest.mark.parametrize("method", FINE)
def test_any_method(method: str) -> None:
    model, x = reference.vgg_like(2), reference.image(2)
    coarse = camfast.cam(model, x, "8", [1, 4], method=method, relu=True)
    expected = camfast.guided_backprop(model, x, [1, 4]) * coarse[:, :, None]
    assert relative_error(camfast.guided_gradcam(model, x, "8", [1, 4], method=method), expected) < EXACT


def test_targets() -> None:
    model, x = reference.vgg_like(2), reference.image(2)
    classes = model(x).argmax(1)
    predicted = camfast.guided_gradcam(model, x, "7")
    assert relative_error(predicted, camfast.guided_gradcam(model, x, "7", classes)) < EXACT
    by_function = camfast.guided_gradcam(model, x, "7", lambda scores: scores[:, 1:3])
    assert relative_error(by_function, camfast.guided_gradcam(model, x, "7", [1, 2])) < EXACT


def test_options_of_the_coarse_map() -> None:
    model, x = reference.vgg_like(2), reference.image(2)
    coarse = camfast.cam(model, x, "7", 1, method="extended", relu=True, sigma=3.0)
    expected = camfast.guided_backprop(model, x, 1) * coarse[:, None]
    assert relative_error(camfast.guided_gradcam(model, x, "7", 1, method="extended", sigma=3.0), expected) < EXACT
    with pytest.raises(TypeError, match="guided_gradcam sets relu and size itself: leave it out"):
        camfast.guided_gradcam(model, x, "7", 1, relu=False, size="grid")
    with pytest.raises(ValueError, match="method must be one of"):
        camfast.guided_gradcam(model, x, "7", 1, method="guided")
    with pytest.raises(TypeError, match="layer must be a dotted name or a module, found list"):
        camfast.guided_gradcam(model, x, ["6", "7"], 1)  # type: ignore[arg-type]


def test_a_unit_of_a_layer_that_returns_more_than_a_tensor() -> None:
    """Both passes find it by layer_output=."""

    class Network(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.along = nn.Conv1d(2, 3, 3, padding=1), nn.GRU(3, 4, batch_first=True)
            self.head = nn.Linear(4, 2)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.head(self.along(self.conv(x).relu().transpose(1, 2))[0].mean(1))

    def first(result: Any) -> torch.Tensor:
        return result[0] if isinstance(result, tuple) else result

    model, x = Network().double(), torch.randn(2, 2, 9, dtype=torch.float64)
    unit = camfast.Unit("along", (4, 1))
    found = camfast.guided_gradcam(model, x, "conv", unit, layer_output=first)

    source = x.clone().requires_grad_()
    A = model.conv(source)
    y = model.along(A.relu().transpose(1, 2))[0][:, 4, 1]
    G, g = torch.autograd.grad(y.sum(), [A, source], retain_graph=True)
    (g,) = torch.autograd.grad(A, source, G.clamp(min=0))
    coarse = torch.einsum("nk,nks->ns", G.mean(2), A.detach()).clamp(min=0)
    torch.testing.assert_close(found, g * coarse[:, None])
