"""``sigma="auto"``: measured on calibration images, once for each layer, whatever asks for it first."""

import math
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import camfast
from camfast import calibration
from tests import oracle


def _blurs(count: int) -> nn.Sequential:
    """Uniform three-tap convolutions, whose receptive field has σ = √(2·count/3), and a head."""
    steps = [nn.Conv1d(1, 1, 3, padding=1, bias=False) for _ in range(count)]
    for step in steps:
        nn.init.constant_(step.weight, 1 / 3)
    return nn.Sequential(*steps, nn.Flatten(), nn.Linear(64, 3))


def _images(samples: int = 4) -> Tensor:
    return torch.rand(samples, 1, 64)


def _options(images: Any = None) -> dict[str, Any]:
    return {"method": "extended", "sigma": "auto", "calibration": _images() if images is None else images}


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The layers that were measured, each time one was."""
    layers: list[str] = []
    measure = calibration.effective_receptive_field

    def counted(model: nn.Module, inputs: Tensor, layer: str) -> camfast.ReceptiveField:
        layers.append(layer)
        return measure(model, inputs, layer)

    monkeypatch.setattr(calibration, "effective_receptive_field", counted)
    return layers


def test_sigma_is_that_of_the_layer(measured: list[str]) -> None:
    model, x = _blurs(20), _images(2)
    explainer = camfast.Explainer(model, ["9", "19"], **_options())
    assert not measured
    result = explainer(x, "all")
    assert measured == ["9", "19"]
    for layer, count in (("9", 10), ("19", 20)):
        sigma = camfast.effective_receptive_field(model, explainer.arguments["calibration"], layer).sigma
        assert sigma[0] == pytest.approx(math.sqrt(2 * count / 3), rel=0.05)
        assert torch.equal(result.maps[layer], camfast.cam(model, x, layer, "all", method="extended", sigma=sigma))
    explainer(x, 1)
    assert measured == ["9", "19"]
    assert explainer.upsampling.sigma[0] == pytest.approx(math.sqrt(20 / 3), rel=0.05)  # type: ignore[index]


def test_replacing_keeps_what_was_measured_for_the_model(measured: list[str]) -> None:
    model, x = _blurs(8), _images(1)
    explainer = camfast.Explainer(model, "7", **_options())
    first = explainer(x, 1).maps
    again = explainer.replace(method="hirescam", relu=False, upsample="gaussian")
    assert oracle.relative_error(again(x, 1).maps, first) < 1e-6
    assert measured == ["7"]
    explainer.replace(calibration=_images(2))(x, 1)
    explainer.replace(model=_blurs(8))(x, 1)
    assert measured == ["7"] * 3
    explainer.replace(sigma=2.0, calibration=None)(x, 1)
    assert measured == ["7"] * 3


def test_another_size_than_the_inputs_scales_sigma() -> None:
    model, x, images = _blurs(8), _images(1), _images()
    (sigma,) = camfast.effective_receptive_field(model, images, "7").sigma
    found = camfast.cam(model, x, "7", 1, size=(160,), **_options(images))
    assert torch.equal(found, camfast.cam(model, x, "7", 1, method="extended", size=(160,), sigma=sigma * 2.5))


def test_the_grid_needs_no_measuring(measured: list[str]) -> None:
    camfast.cam(_blurs(4), _images(1), "3", 1, size="grid", **_options())
    assert not measured


def test_a_scan_takes_the_measured_sigma(measured: list[str]) -> None:
    model = nn.Sequential(nn.Conv3d(1, 2, 3, padding=1), nn.AvgPool3d(2), nn.Flatten(), nn.Linear(128, 3))
    volume, images = torch.randn(12, 12, 12), torch.randn(3, 1, 8, 8, 8)
    options: dict[str, Any] = {"window": 8, "stride": 4, "target": 1, "progress": False}
    found = camfast.scan(volume, camfast.Explainer(model, "1", **_options(images)), **options).cam
    sigma = camfast.effective_receptive_field(model, images, "1").sigma
    expected = camfast.scan(volume, camfast.Explainer(model, "1", "extended", sigma=sigma), **options).cam
    assert measured == ["1"]
    assert torch.equal(found, expected)


def test_threads_measure_once(measured: list[str]) -> None:
    explainer, x = camfast.Explainer(_blurs(8), "7", **_options()), _images(1)
    barrier = threading.Barrier(4)
    with ThreadPoolExecutor(4, initializer=barrier.wait) as pool:
        maps = list(pool.map(lambda _: explainer(x, 1).maps, range(8)))
    assert measured == ["7"]
    assert all(torch.equal(one, maps[0]) for one in maps)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"sigma": "auto"}, ValueError, r"sigma='auto' needs calibration=, images like those that will be explained"),
        (
            {"sigma": 2.0, "calibration": _images()},
            ValueError,
            r"calibration belongs to sigma='auto', found .*sigma=2.0",
        ),
        ({"calibration": _images()}, ValueError, r"calibration belongs to sigma='auto', found it with sigma=None"),
        ({"sigma": "auto", "calibration": [1.0]}, TypeError, r"calibration must be a tensor of images .* found list"),
        (
            {"sigma": "auto", "calibration": torch.rand(1, 64)},
            ValueError,
            r"calibration must be images .* found \(1, 64\)",
        ),
        ({"sigma": "auto", "calibration": _images(0)}, ValueError, r"at least one.* found \(0, 1, 64\)"),
        (
            {"sigma": "auto", "calibration": torch.rand(2, 3, 64)},
            ValueError,
            r"like the inputs.*\(1, 1, 64\); found \(2, 3",
        ),
        (
            {"sigma": "auto", "calibration": torch.rand(2, 1, 8, 8)},
            ValueError,
            r"like the inputs.*found \(2, 1, 8, 8\)",
        ),
        ({"sigma": "wide"}, ValueError, r"found 'wide'.*sigma='auto' of an Explainer with calibration="),
    ],
)
def test_what_does_not_fit(options: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        camfast.cam(_blurs(4), _images(1), "3", 1, method="extended", **options)
    with pytest.raises(ValueError, match="sigma and centres belong to upsample='gaussian'"):
        camfast.Explainer(_blurs(4), "3", sigma="auto", calibration=_images())


def test_an_error_says_that_it_came_from_measuring() -> None:
    dead = nn.Sequential(nn.Conv1d(1, 1, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(64, 3))
    nn.init.constant_(dead[0].bias, -9.0)
    with pytest.raises(ValueError, match="give other images") as caught:
        camfast.cam(dead, _images(1), "1", 1, **_options())
    assert caught.value.__notes__ == [
        "camfast was measuring sigma='auto' of layer '1' on calibration= of the shape (4, 1, 64)"
    ]
