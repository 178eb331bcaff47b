"""Halves in other hands: arguments that are no tensors, transforms before the first inputs, several results."""

import copy

import pytest
import torch
from torch import Tensor, nn

import camfast


class _Scaled(nn.Module):
    """Two arguments, of which the second scales the image, and may be used behind the layer as well."""

    def __init__(self, *, late: bool) -> None:
        super().__init__()
        self.layer, self.late = nn.Conv2d(3, 4, 3), late

    def forward(self, image: Tensor, scale: float = 1.0) -> Tensor:
        features = self.layer(image * scale)
        return features.mean((2, 3)) * scale if self.late else features.mean((2, 3))


def test_the_first_inputs_may_be_numbers_too() -> None:
    model, image = _Scaled(late=False), torch.randn(2, 3, 6, 6)
    trunk, head = camfast.split(model, "layer")
    torch.testing.assert_close(head(trunk(image, scale=3.0)), model(image, 3.0))
    assert not trunk._forward_pre_hooks  # compared, and not again


def test_an_argument_that_is_used_on_both_sides_is_named() -> None:
    with pytest.raises(camfast.SplitError, match="the head behind layer 'layer' also needs scale"):
        camfast.split(_Scaled(late=True), "layer")


def test_a_transform_of_the_trunk_is_no_first_input() -> None:
    model, images = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten()), torch.randn(5, 2, 3, 6, 6)
    trunk, _ = camfast.split(model, "0", pair=(copy.deepcopy(model[0]), nn.Identity()))
    found = torch.func.vmap(lambda image: trunk(image))(images)
    torch.testing.assert_close(found, torch.stack([model[0](image) for image in images]))
    with pytest.raises(camfast.SplitError, match=r"gives \(2, 4, 4, 4\) in the place of \(2, 64\)"):
        trunk(images[0])  # which is compared


def test_of_several_results_the_tensors_are_compared() -> None:
    class Named(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer, self.name = nn.Conv2d(3, 4, 3), "own"

        def forward(self, x: Tensor) -> tuple[Tensor, str]:
            return self.layer(x).mean((2, 3)), self.name

    class Head(nn.Module):
        def __init__(self, factor: float) -> None:
            super().__init__()
            self.factor = factor

        def forward(self, features: Tensor) -> tuple[Tensor, str]:
            return self.factor * features.mean((2, 3)), "another"

    model, image = Named(), torch.randn(2, 3, 6, 6)
    assert camfast.split(model, "layer", image, pair=(model.layer, Head(1.0)))[0] is model.layer
    with pytest.raises(camfast.SplitError, match="differs by up to"):
        camfast.split(model, "layer", image, pair=(model.layer, Head(1.1)))
