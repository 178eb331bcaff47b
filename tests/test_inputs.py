"""What every function takes as inputs, and what each says where the model fails on them."""

from collections import UserDict
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import camfast
from camfast.inputs import arguments, tensors


class Named(nn.Module):
    """A model of keyword arguments that writes into its input, as a processor's batch is passed on."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.linear = nn.Conv2d(3, 4, 3, padding=1), nn.Linear(4, 5)

    def forward(self, index: Tensor, image: Tensor) -> Tensor:
        scores: Tensor = self.linear(self.conv(image.mul_(2)).relu().mean((2, 3)))
        return scores + 0 * index[:, None]


FUNCTIONS: dict[str, Callable[[nn.Module, Any], Any]] = {
    "cam": lambda model, inputs: camfast.cam(model, inputs, "conv", 1),
    "saliency": lambda model, inputs: camfast.saliency(model, inputs, 1),
    "guided_backprop": lambda model, inputs: camfast.guided_backprop(model, inputs, 1),
    "guided_gradcam": lambda model, inputs: camfast.guided_gradcam(model, inputs, "conv", 1),
    "project": lambda model, inputs: camfast.project(model, inputs, "conv", 1),
    "attentive_response": lambda model, inputs: camfast.attentive_response(model, inputs, "conv", 2).values,
    "receptive_field_centres": lambda model, inputs: camfast.receptive_field_centres(model, "conv", inputs),
    "layer_sweep": lambda model, inputs: camfast.layer_sweep(model, inputs, target=1)["conv"].maps,
    "randomization_check": lambda model, inputs: (
        camfast.metrics.randomization_check(
            model, inputs, lambda model, inputs: camfast.cam(model, inputs, "conv", 1), seeds=1
        ).reference
    ),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_any_mapping_names_the_arguments_and_is_left_as_it_was(name: str) -> None:
    torch.manual_seed(0)
    model, image = Named().eval(), torch.rand(2, 3, 7, 6)
    named = {"index": torch.arange(2), "image": image.clone()}
    expected = FUNCTIONS[name](model, named)
    for inputs in (UserDict(named), (named["index"], named["image"])):
        found = FUNCTIONS[name](model, inputs)
        assert torch.equal(found, expected) if isinstance(found, Tensor) else found == expected
    assert torch.equal(named["image"], image)


FAILING: dict[str, Callable[[nn.Module, Tensor], Any]] = {
    "cam": lambda model, x: camfast.cam(model, x, "0"),
    "saliency": camfast.saliency,
    "effective_receptive_field": lambda model, x: camfast.effective_receptive_field(model, x, "0"),
    "receptive_field_centres": lambda model, x: camfast.receptive_field_centres(model, "0", x),
    "occlusion": lambda model, x: camfast.occlusion(model, x, 0, window=2),
    "average_drop": lambda model, x: camfast.metrics.average_drop(model, x, x[:, 0]),
    "randomization_check": lambda model, x: camfast.metrics.randomization_check(model, x, camfast.saliency),
}


@pytest.mark.parametrize("name", FAILING)
def test_a_model_that_fails_is_told_of_its_input(name: str) -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(100, 5)).eval()
    with pytest.raises(RuntimeError) as caught:
        FAILING[name](model, torch.rand(2, 1, 7, 7))
    assert caught.value.__notes__ == [
        "camfast ran the model on inputs of float32 (2, 1, 7, 7), without changing them",
        "the first convolution, '0', takes (N, 3, *S), found (2, 1, 7, 7)",
    ]
    assert all(not module._forward_hooks and not module._forward_pre_hooks for module in model.modules())


def _normalised() -> nn.Module:
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(100, 5)).eval()


@pytest.mark.parametrize(
    ("inputs", "error", "note"),
    [
        (torch.rand(3, 7, 7), ValueError, "'0', takes (N, C, *S) with 2 spatial axes, found (3, 7, 7)"),
        ([torch.rand(1, 3, 7, 7)], TypeError, "a list is passed on as one argument: several arguments"),
        ((torch.rand(1, 3, 7, 7), 1), TypeError, "camfast ran the model on inputs of float32 (1, 3, 7, 7)"),
        (torch.rand(1, 3, 7, 7).half(), RuntimeError, "'0', has weights of float32: convert the inputs or the model"),
        (torch.rand(1, 3, 7, 7, device="meta"), RuntimeError, "'0', is on cpu, the inputs on meta: move one of them"),
    ],
)
def test_what_the_model_takes_is_said_for_errors_of_every_kind(inputs: Any, error: type[Exception], note: str) -> None:
    with pytest.raises(error) as caught:
        camfast.cam(_normalised(), inputs, "2", 1)
    assert note in "\n".join(caught.value.__notes__)


@pytest.mark.parametrize("name", FAILING)
def test_an_image_without_a_batch_axis_is_not_taken_for_a_batch_of_its_channels(name: str) -> None:
    model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(25, 5)).eval()
    with pytest.raises(ValueError, match=r"\(N, |no batch axis: the first convolution, '0', takes \(N, 1, \*S\)"):
        FAILING[name](model, torch.rand(1, 7, 7))


class _Grey(nn.Module):
    """A model that gives its images (N, H, W) the axis of their channel itself."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.linear = nn.Conv2d(1, 4, 3), nn.Linear(4, 5)

    def forward(self, images: Tensor) -> Tensor:
        scores: Tensor = self.linear(self.conv(images[:, None]).relu().mean((2, 3)))
        return scores


@pytest.mark.parametrize("samples", [1, 2])
def test_a_model_may_add_the_axis_of_channels(samples: int) -> None:
    assert camfast.saliency(_Grey().eval(), torch.rand(samples, 7, 7), 1).shape == (samples, 7, 7)


def test_copies_in_the_order_of_the_arguments() -> None:
    one, two = torch.ones(2), torch.zeros(3)
    positional, keywords = arguments((one, [two], 3.0))
    assert keywords == {}
    assert positional[2] == 3.0
    assert [tuple(tensor.shape) for tensor in tensors(positional)] == [(2,), (3,)]
    assert positional[0].data_ptr() != one.data_ptr()
    assert positional[1][0].data_ptr() != two.data_ptr()
    assert arguments([one])[0][0][0].equal(one)  # a list is one argument
    with pytest.raises(TypeError, match=r"inputs is a numpy array: pass torch\.from_numpy"):
        arguments(np.ones(3))
