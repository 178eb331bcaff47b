"""The class that an overlay shows, and networks and pipelines that it can't show or needn't keep."""

import numpy as np
import pytest
import torch
from torch import nn

import camfast
from camfast.errors import InputError
from camfast.live import Frame, Overlay, Settings
from camfast.live import looks as rooms
from camfast.live.settings import Choices
from tests.live.networks import pictures

FRAME = np.random.default_rng(0).integers(0, 256, (24, 20)).astype(np.uint8)


def overlay(model: nn.Module, layer: str = "3") -> Overlay:
    return Overlay(camfast.Explainer(model, layer), FRAME.shape, "uint8", levels=(0, 255))


def test_the_class_can_be_chosen_and_left_to_the_network_again() -> None:
    pipeline = overlay(pictures(1))
    assert pipeline.target == "predicted"
    predicted = pipeline.show(FRAME)
    best, grid = predicted.target, predicted.grid.clone()
    other = (best + 1) % 5
    pipeline.target = other
    assert pipeline.target == other
    found = pipeline.show(FRAME)
    assert found.target == other
    assert not torch.equal(found.grid, grid)
    pipeline.target = "predicted"
    again = pipeline.show(FRAME)
    assert again.target == best
    torch.testing.assert_close(again.grid, grid)


@pytest.mark.parametrize(
    ("model", "layer", "says"),
    [
        (nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU()), "1", "one score for every class and position"),
        (
            nn.Sequential(nn.Conv2d(1, 4, 3), nn.Flatten(2), nn.AdaptiveAvgPool1d(1), nn.Flatten()),
            "1",
            r"grid \(396,\)",
        ),
    ],
)
def test_networks_that_have_no_class_or_no_grid(model: nn.Module, layer: str, says: str) -> None:
    with pytest.raises((ValueError, InputError), match=says):
        overlay(model, layer)


def test_predicted_is_a_choice_as_any_class() -> None:
    settings, choices = Settings("3", target=1), Choices(("cell", "debris"), ("3",))
    assert settings.changed(choices, {"target": "predicted"}).target == "predicted"
    assert settings.changed(choices, {"target": np.int64(0)}).target == 0
    with pytest.raises(InputError, match="target must be 'predicted' or a class from 0 to 1, found 2"):
        settings.changed(choices, {"target": 2})


def test_pipelines_of_the_frames_seen_last_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rooms, "_KEPT", 2)
    room = rooms.Overlays(rooms.Looks(camfast.Explainer(pictures(1), "3")))

    def of(height: int) -> Overlay:
        return room.of(Frame(np.zeros((height, 20), np.uint8), 0, 0.0), Settings("3"))

    first, second = of(24), of(26)
    assert of(24) is first  # used last
    of(28)
    assert of(24) is first
    assert of(26) is not second  # made again
