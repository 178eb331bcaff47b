"""Centres that can't be had, and what is left alone on the way to those that can."""

import copy
import threading
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import camfast
from tests.test_centres import Calls, assembled, last


def _attention(x: Tensor) -> Tensor:
    tokens = x.flatten(2).transpose(1, 2)
    mixed = F.scaled_dot_product_attention(tokens, tokens, tokens)
    return mixed.transpose(1, 2).unflatten(2, x.shape[2:])


REFUSED: dict[str, tuple[nn.Module, str]] = {
    "pooled": (nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Conv2d(1, 2, 1)), "adaptive_avg_pool2d|mean"),
    "uneven": (nn.Sequential(nn.AdaptiveAvgPool2d(5), nn.Conv2d(1, 2, 1)), "which makes 5 of 16 cells"),
    "dense": (nn.Sequential(nn.Flatten(), nn.Linear(256, 16), nn.Unflatten(1, (1, 4, 4))), "at addmm"),
    "tokens": (nn.Sequential(nn.Conv2d(1, 4, 4, stride=4), nn.Flatten(2)), "as tokens"),
    "attention": (Calls(_attention), "at bmm|attention"),
    "assembled": (Calls(lambda x: assembled(x, 2, 0)), r"at copy, where cells at 2 \+ 1 i meet cells at 0 \+ 1 i"),
    "fractions": (nn.Sequential(nn.FractionalMaxPool2d(2, output_ratio=0.5)), "at fractional_max_pool2d"),
    "turned": (Calls(lambda x: x.flip(2)), "at flip"),
    "rolled": (Calls(lambda x: x.roll(3, 2)), "at roll"),
    "mixed": (Calls(lambda x: x.roll(3)), "at roll"),
    "repeated": (Calls(lambda x: x.repeat(1, 1, 2, 1)), "at repeat"),
    "picked": (Calls(lambda x: x.index_select(3, torch.arange(4))), "at index_select"),
    "listed": (Calls(lambda x: x[:, :, [3, 0]]), "at index"),
    "listed twice": (Calls(lambda x: x[[0], [0]].unsqueeze(1)), "at index"),
    "masked": (Calls(lambda x: x[x > 0.5]), "at index"),
    "transposed": (Calls(lambda x: x.transpose(2, 3)), "no grid of the input's 2 spatial axes in their order"),
    "no grid": (nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten()), "lose their place"),
    "steps": (
        Calls(lambda x, a: a(x[..., ::2, ::2]) + x[..., :6, :6], nn.Conv2d(1, 1, 3)),
        r"at add, where cells at 2 \+ 2 i meet cells at 0 \+ 1 i",
    ),
    "concatenated": (
        Calls(lambda x, a: torch.cat([a(x), x[..., :12, :12]], 1), nn.Conv2d(1, 1, 5)),
        r"at cat, where cells at 2 \+ 1 i meet cells at 0 \+ 1 i",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_has_no_centres_says_where_they_went(name: str) -> None:
    model, message = REFUSED[name]
    with pytest.raises(camfast.CaptureError, match=message):
        camfast.receptive_field_centres(model, last(model), torch.rand(1, 1, 16, 16))


def test_errors_say_what_was_found() -> None:
    model = nn.Sequential(nn.Conv2d(1, 1, 3), nn.ReLU())
    with pytest.raises(ValueError, match="the model has no layer 'reul'"):
        camfast.receptive_field_centres(model, "reul", torch.rand(1, 1, 8, 8))
    with pytest.raises(TypeError, match="inputs must hold a tensor"):
        camfast.receptive_field_centres(model, "1", torch.rand(8, 8))
    with pytest.raises(camfast.CaptureError, match="was never reached"):
        camfast.receptive_field_centres(Unused(), "spare", torch.rand(1, 1, 8))


class Unused(nn.Module):
    """A layer that doesn't run."""

    def __init__(self) -> None:
        super().__init__()
        self.spare = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        return x


def test_arguments_in_a_dict_or_a_tuple() -> None:
    class Two(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv1d(1, 1, 3)

        def forward(self, gain: Tensor, signal: Tensor) -> Tensor:
            return self.conv(signal * gain)

    gain, signal = torch.tensor(2.0), torch.rand(1, 1, 9)
    assert camfast.receptive_field_centres(Two(), "conv", (gain, signal)) == ((1, 1),)
    assert camfast.receptive_field_centres(Two(), "conv", {"signal": signal, "gain": gain}) == ((1, 1),)


def test_the_model_and_what_a_caller_does_with_it_are_left_alone() -> None:
    model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.ReLU(inplace=True), nn.Conv2d(2, 1, 3))
    before = copy.deepcopy(model.state_dict())
    inputs = torch.rand(2, 1, 9, 9)
    kept = inputs.clone()
    with camfast.capture(model, "2") as captured:
        scores = model(inputs)
        assert camfast.receptive_field_centres(model, "1", inputs) == ((1, 1), (1, 1))
        assert captured.map(scores.flatten(1).sum(1), size="grid").shape == (2, 7, 7)
    assert torch.equal(inputs, kept)
    assert all(parameter.grad is None for parameter in model.parameters())
    assert not any(module._forward_hooks for module in model.modules())
    model.load_state_dict(before)
    camfast.receptive_field_centres(model, "1", inputs)
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
    with torch.inference_mode():
        assert camfast.receptive_field_centres(model, "3", inputs) == ((2, 1), (2, 1))


def test_threads_follow_their_own_tensors() -> None:
    model = nn.Sequential(*(nn.Conv1d(1, 1, 3, stride=2) for _ in range(4)))
    found: dict[int, Any] = {}
    expected = {layer: 2.0**layer * 2 - 1 for layer in range(4)}

    def follow(layer: int) -> None:
        found[layer] = [camfast.receptive_field_centres(model, str(layer), torch.rand(1, 1, 80)) for _ in range(10)]

    threads = [threading.Thread(target=follow, args=(layer,)) for layer in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for layer, start in expected.items():
        assert found[layer] == [((start, 2.0 ** (layer + 1)),)] * 10
