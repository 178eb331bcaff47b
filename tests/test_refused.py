"""What is asked of models, files and packages that can't be had: each is said in the words of whoever asked."""

import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import camfast
from camfast import _extras
from camfast.errors import MissingExtraError
from camfast.metrics import randomization_check


def network() -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Conv2d(4, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten()
    ).eval()


def test_an_optional_package_that_is_broken_says_so_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What it lacks is no extra of camfast's, so the advice to install one would lead nowhere."""
    (tmp_path / "half_installed.py").write_text("import what_it_needs\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ModuleNotFoundError, match="No module named 'what_it_needs'") as raised:
        _extras.require("half_installed", "scan", "reading")
    assert not isinstance(raised.value, MissingExtraError)
    assert "half_installed" not in sys.modules


def test_out_holds_the_maps_of_one_layer() -> None:
    x = torch.rand(2, 1, 8, 8)
    frozen = camfast.Explainer(network(), ["0", "2"], "hirescam").freeze(x)
    with pytest.raises(ValueError, match="out= holds the maps of a single layer, without a graph: leave it out here"):
        frozen(x, 1, out=torch.empty(2, 8, 8))


class _Detached(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.detach()


def test_a_layer_that_the_image_does_not_reach() -> None:
    model = nn.Sequential(_Detached(), nn.Conv2d(1, 2, 3))
    with pytest.raises(camfast.CaptureError, match="no gradient flows from layer '1' to the input"):
        camfast.effective_receptive_field(model, torch.rand(2, 1, 9, 9), "1")


class _Vector(nn.Module):
    """Returns a number for each sample, which has no units."""

    def forward(self, x: Tensor) -> Tensor:
        return x.flatten(1).mean(1)


class _Widened(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return torch.stack([x, -x], 1)


def test_a_layer_without_units() -> None:
    model = nn.Sequential(nn.Conv2d(1, 1, 3), _Vector(), _Widened())
    with pytest.raises(ValueError, match=r"layer '1' returned the shape \(2,\), expected \(N, K, \*S\): pass reshape="):
        camfast.project(model, torch.rand(2, 1, 6, 6), "1", 0)


def test_an_explanation_shows_what_it_holds_and_what_it_does_not() -> None:
    found = repr(camfast.Explainer(network(), "2", "hirescam")(torch.rand(2, 1, 8, 8), 1))
    assert found.startswith("Explanation(maps=float32 (2, 8, 8), grid=float32 (2, 4, 4), scores=float32 (2, 4)")
    assert "weights=None" in found


def test_a_network_of_layers_of_vectors_that_fails_has_no_channels_to_name() -> None:
    model = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied") as raised:
        camfast.cam(model, torch.rand(2, 5), "1", 0)
    assert raised.value.__notes__ == ["camfast ran the model on inputs of float32 (2, 5), without changing them"]


def test_maps_have_to_stay_as_large_as_they_were() -> None:
    sizes = iter((8, 6))

    def explain(model: nn.Module, inputs: Tensor) -> Tensor:
        return camfast.cam(model, inputs, "0", 1, size=(next(sizes),) * 2)

    with pytest.raises(ValueError, match=r"explain returned maps \(2, 6, 6\) after \(2, 8, 8\)"):
        randomization_check(network(), torch.rand(2, 1, 8, 8), explain)


def test_a_figure_is_saved_as_png(tmp_path: Path) -> None:
    with pytest.raises(camfast.InputError, match=r"cam\.pdf: the name of a saved figure must end with \.png"):
        camfast.plot.save(object(), tmp_path / "cam.pdf")
    assert list(tmp_path.iterdir()) == []


def test_a_particle_outside_of_the_volume_adds_nothing() -> None:
    from camfast.simulate import particles

    (ball,) = particles.templates({"ball": np.ones((5, 5, 5), np.float32)})
    volume = np.zeros((8, 9, 10), np.float32)
    particles.place(ball, particles.Particle(0, "ball", (4.0, 4.0, 40.0), (0.0, 0.0, 0.0, 1.0)), volume)
    assert not volume.any()
    particles.place(ball, particles.Particle(0, "ball", (4.0, 4.0, 5.0), (0.0, 0.0, 0.0, 1.0)), volume)
    assert volume[4, 4, 5] == pytest.approx(1, abs=0.05)
