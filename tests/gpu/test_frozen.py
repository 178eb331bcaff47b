"""The frozen form and plain explanations on the device of each runner: the CPU's maps, by a graph, without waiting."""

import copy

import pytest
import torch
from torch import nn

import camfast
from tests.gpu.runners import Runner
from tests.oracle import relative_error

NEAR = 1e-9  # float64; other orders of summation
TARGETS = {"predicted": "predicted", "one": 3, "each": [1, 4, 0], "all": "all"}


def _model() -> nn.Sequential:
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv3d(1, 6, 3, padding=1), nn.ReLU(True), nn.MaxPool3d(2), nn.Flatten(), nn.Linear(6 * 4**3, 16), nn.ReLU(),
        nn.Linear(16, 5),
    )  # fmt: skip
    return model.double().eval()


def _images(seed: int) -> torch.Tensor:
    return torch.randn(3, 1, 8, 8, 8, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def _target(name: str, device: str) -> object:
    return torch.tensor(TARGETS[name], device=device) if name == "each" else TARGETS[name]


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("method", ["gradcam", "respond", "layercam"])
def test_it_gives_what_the_cpu_gives(runner: Runner, method: str, target: str) -> None:
    model = _model()
    there = copy.deepcopy(model).to(runner.device)
    explainer = camfast.Explainer(there, "2", method, sigma=2.0, upsample="gaussian", backend=runner.backend)
    frozen = explainer.freeze(torch.zeros(3, 1, 8, 8, 8, dtype=torch.float64, device=runner.device))
    reference = camfast.Explainer(model, "2", method, sigma=2.0, upsample="gaussian", backend="torch")
    for seed in range(3):
        images = _images(seed)
        expected = reference(images, _target(target, "cpu"))
        for explain in (explainer, frozen):
            found = explain(images.to(runner.device), _target(target, runner.device))
            assert relative_error(found.maps.cpu(), expected.maps) < NEAR
            assert relative_error(found.scores.cpu(), expected.scores) < NEAR


def test_weights_trained_in_place_are_followed(runner: Runner) -> None:
    model, images = _model().to(runner.device), _images(1).to(runner.device)
    explainer = camfast.Explainer(model, "2", "respond", backend=runner.backend)
    frozen = explainer.freeze(images, 1)
    frozen(images, 1)
    with torch.no_grad():
        model[0].weight.mul_(1.5)
    assert relative_error(frozen(images, 1).maps, explainer(images, 1).maps) < NEAR


def test_an_explanation_does_not_wait(gpu_runner: Runner) -> None:
    model, images = _model().to("cuda"), _images(1).to("cuda")
    explainer = camfast.Explainer(model, "2", "respond", backend=gpu_runner.backend)
    explainer(images, 1)
    torch.cuda.synchronize()
    before = torch.cuda.get_sync_debug_mode()
    torch.cuda.set_sync_debug_mode("error")
    try:
        explainer(images, 1)
        explainer(images)
    finally:
        torch.cuda.set_sync_debug_mode(before)


def test_what_waits_cannot_be_captured(gpu_runner: Runner) -> None:
    model, images = _model().to("cuda"), _images(1).to("cuda")
    explainer = camfast.Explainer(model, "2", "eigencam", backend=gpu_runner.backend)
    with pytest.raises(camfast.CaptureError, match="can't be captured in a CUDA graph"):
        explainer.freeze(images)(images)
