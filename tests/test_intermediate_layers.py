"""Maps of layers at several depths of CNN-2 from one pass, as in the fourth figure of Respond-CAM."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

import camfast
from camfast import models
from tests import oracle

METHODS = [name for name in camfast.methods() if name != "cam"]


def _network() -> tuple[nn.Module, Tensor]:
    torch.manual_seed(2)
    model = models.cnn2(classes=4, width=4, hidden=8, side=16).double().eval()
    for name, value in model.named_parameters():
        if name.endswith("bias"):
            nn.init.constant_(value, 0.1)  # no channel is dead
    return model, torch.rand(2, 1, 16, 16, 16, dtype=torch.float64)


def _layers(model: nn.Module) -> list[str]:
    """The rectified convolutions and the poolings, from the input to the last grid."""
    kinds = (nn.ReLU, nn.MaxPool3d)
    found = [name for name, module in model.named_modules() if isinstance(module, kinds) and not name.startswith("fc")]
    last = found.index("maxpool2")
    return found[: last + 1]


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("target", [2, "all"])
def test_each_layer_is_what_it_is_alone(method: str, target: Any) -> None:
    model, x = _network()
    layers = _layers(model)
    assert len(layers) == 6
    options: dict[str, Any] = {"sigma": 2.0} if method == "extended" else {}
    together = camfast.Explainer(model, layers, method, **options)(x, target)
    grids = {tuple(together.grid[layer].shape[-3:]) for layer in layers}
    assert grids == {(8,) * 3, (4,) * 3, (2,) * 3}
    for layer in layers:
        alone = camfast.Explainer(model, layer, method, **options)(x, target)
        assert together.maps[layer].shape[-3:] == (16, 16, 16)
        for field in ("maps", "grid", "residual", "weights"):
            one, other = getattr(together, field)[layer], getattr(alone, field)
            if other is not None:
                torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-12)
        expected = oracle.grid(model, x, layer, 2, method)
        signed = camfast.cam(model, x, layer, 2, method=method, relu=False, size="grid")
        assert oracle.relative_error(signed, expected) < 1e-9


@pytest.mark.parametrize("method", ["respond", "eigencam", "eigengradcam"])
@pytest.mark.parametrize("fuse", ["mean", "max"])
def test_layers_become_one_map(method: str, fuse: Any) -> None:
    model, x = _network()
    layers = _layers(model)[1::2]
    apart = camfast.Explainer(model, layers, method)(x, [0, 3])
    stacked = torch.stack([apart.maps[layer] for layer in layers])
    expected = stacked.mean(0) if fuse == "mean" else stacked.amax(0)
    found = camfast.Explainer(model, layers, method, fuse=fuse)(x, [0, 3])
    assert oracle.relative_error(found.maps, expected) < 1e-12
    assert set(found.residual) == set(layers)


def test_the_closed_form_knows_one_layer_only() -> None:
    pooled = nn.Sequential(nn.Conv2d(1, 6, 3), nn.ReLU(), nn.Conv2d(6, 6, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    model, x = pooled.append(nn.Linear(6, 3)).double(), torch.rand(2, 1, 9, 9, dtype=torch.float64)
    assert camfast.cam(model, x, ["2"], method="cam")["2"].shape == (2, 9, 9)  # type: ignore[index]
    with pytest.raises(ValueError, match=r"method='cam' needs scores .* of the average of layer '1'"):
        camfast.cam(model, x, ["1", "2"], method="cam")  # type: ignore[arg-type]
