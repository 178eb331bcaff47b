"""Models in two halves: that they are the model, and what is said where they can't be."""

import copy

import pytest
import torch
from torch import nn
from torch.nn import functional as F

import camfast
from camfast import models

DTYPE = torch.float64


class _Branches(nn.Module):
    """A residual block, a functional head, and a layer that runs twice."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 3, padding=1)
        self.block = nn.Sequential(nn.Conv2d(4, 4, 3, padding=1), nn.BatchNorm2d(4))
        self.twice = nn.ReLU()
        self.head = nn.Linear(4, 5)

    def forward(self, x):
        x = self.twice(self.stem(x))
        x = self.twice(x + self.block(x))
        return self.head(F.adaptive_avg_pool2d(x, 1).flatten(1))


class _Depends(nn.Module):
    """Goes one way or the other, as its values say."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Conv2d(3, 4, 3)

    def forward(self, x):
        features = self.layer(x)
        return features.mean((2, 3)) if x.sum() > 0 else features.amax((2, 3))


def _nested():
    return nn.Sequential(
        nn.Sequential(nn.Conv2d(3, 4, 3), nn.Sequential(nn.BatchNorm2d(4), nn.ReLU())), nn.MaxPool2d(2),
        nn.Flatten(), nn.Dropout(), nn.Linear(36, 5),
    )  # fmt: skip


CASES = {
    "slice": (_nested, "1"),
    "nested": (_nested, "0.1.0"),
    "its last": (_nested, "4"),
    "traced": (_Branches, "block.0"),
    "behind the addition": (_Branches, "twice"),
    "resnet": (models.resnet20, "layer3"),
    "squeezenet": (lambda: models.squeezenet1_0(classes=5), "fire9"),
    "compiled": (lambda: torch.compile(_nested(), backend="eager"), "0"),
    "wrapped": (lambda: nn.DataParallel(_nested()), "0"),
    "the model": (_nested, ""),
}


def _inputs(name, count=2):
    return torch.randn(count, 3, *((64, 64) if name == "squeezenet" else (8, 8)), dtype=DTYPE)


@pytest.mark.parametrize("name", [name for name in CASES if name != "traced"])
def test_the_halves_are_the_model(name):
    make, layer = CASES[name]
    model = make().to(DTYPE).eval()
    x = _inputs(name)
    trunk, head = camfast.split(model, layer, x)
    inner = camfast.layers.unwrap(model)
    torch.testing.assert_close(head(trunk(x)), inner(x), rtol=1e-12, atol=1e-12)
    seen = []
    with inner.get_submodule(layer).register_forward_hook(lambda _, __, result: seen.append(result)):
        inner(x)
    torch.testing.assert_close(trunk(x), seen[-1], rtol=1e-12, atol=1e-12)
    known = {id(parameter) for parameter in model.parameters()}
    assert all(id(parameter) in known for half in (trunk, head) for parameter in half.parameters())


def test_a_connection_over_the_cut_is_named():
    model = _Branches().to(DTYPE).eval()
    with pytest.raises(camfast.SplitError, match=r"head behind layer 'block\.0' also needs twice, which run in front"):
        camfast.split(model, "block.0")


def test_maps_of_the_halves_are_the_models():
    model, x = models.resnet20().to(DTYPE).eval(), _inputs("resnet")
    trunk, head = camfast.split(model, "layer3.1", x)
    found = camfast.head_map(head, trunk(x), "all", "respond")
    expected = camfast.Explainer(model, "layer3.1", "respond", size="grid")(x, "all").maps
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-12)


def test_what_cannot_be_traced_says_so_and_a_pair_does():
    model = _Depends().to(DTYPE)
    with pytest.raises(camfast.SplitError, match=r"can't trace it \(.*control flow.*pair=\(trunk, head\)"):
        camfast.split(model, "layer")
    head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
    up, down = torch.ones(1, 3, 8, 8, dtype=DTYPE), -torch.ones(1, 3, 8, 8, dtype=DTYPE)
    assert camfast.split(model, "layer", up, pair=(model.layer, head)) == (model.layer, head)
    nn.init.normal_(model.layer.weight)
    wrong = nn.Sequential(nn.AdaptiveMaxPool2d(1), nn.Flatten(), nn.Softplus())
    with pytest.raises(camfast.SplitError, match=r"differs by up to .* from values up to .* that the model gives"):
        camfast.split(model, "layer", down, pair=(model.layer, wrong))
    with pytest.raises(camfast.SplitError, match=r"gives \(1, 4, 6, 6\) in the place of \(1, 4\)"):
        camfast.split(model, "layer", up, pair=(model.layer, nn.Identity()))


def test_without_an_example_the_first_inputs_are_the_test():
    model = _Depends().to(DTYPE)
    wrong = nn.Sequential(nn.AdaptiveAvgPool2d(2), nn.Flatten())
    trunk, _ = camfast.split(model, "layer", pair=(copy.deepcopy(model.layer), wrong))
    x = torch.ones(1, 3, 8, 8, dtype=DTYPE)
    for _ in range(2):
        with pytest.raises(camfast.SplitError, match="gives"):
            trunk(x)
    calls = []
    good = _nested().to(DTYPE).eval()
    good.register_forward_hook(lambda *_: calls.append(1))
    trunk, head = camfast.split(good, "1", pair=(nn.Sequential(good[0], good[1]), nn.Sequential(*good[2:])))
    for _ in range(3):
        head(trunk(x))
    assert calls == [1]
    assert not trunk._forward_pre_hooks


def test_training_mode_is_compared_and_left_alone():
    """Dropout by the same random numbers; running means as they were, the caller's random numbers too."""
    model, x = _nested().to(DTYPE).train(), _inputs("slice")
    mean, state = model[0][1][0].running_mean.clone(), torch.get_rng_state()
    trunk, head = camfast.split(model, "0.1", x)
    assert torch.equal(model[0][1][0].running_mean, mean)
    assert torch.equal(torch.get_rng_state(), state)
    assert trunk.training
    assert head.training


def test_a_layer_that_is_never_called():
    class Aside(nn.Module):
        def __init__(self):
            super().__init__()
            self.unused, self.used = nn.Conv2d(3, 4, 3), nn.Conv2d(3, 4, 3)

        def forward(self, x):
            return self.used(x).mean((2, 3))

    with pytest.raises(camfast.SplitError, match="layer 'unused' isn't called"):
        camfast.split(Aside(), "unused")
    with pytest.raises(ValueError, match="did you mean 'used'"):
        camfast.split(Aside(), "usedd")


def test_several_arguments():
    class Two(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer, self.head = nn.Conv2d(3, 4, 3), nn.Linear(4, 2)

        def forward(self, image, scale=2.0):
            return self.head(self.layer(image * scale).mean((2, 3)))

    model, x = Two().to(DTYPE), _inputs("two")
    trunk, head = camfast.split(model, "layer", {"image": x, "scale": 3.0})
    torch.testing.assert_close(head(trunk(x, scale=3.0)), model(x, 3.0), rtol=1e-12, atol=1e-12)


def test_nan_agrees_with_nan_alone():
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten())
    with torch.no_grad():
        model[0].bias[0] = torch.nan
    camfast.split(model, "0", torch.ones(1, 3, 4, 4))
    clean = nn.Sequential(nn.Flatten(), nn.Threshold(-1e9, 0.0))
    clean.register_forward_hook(lambda _, __, result: result.nan_to_num())
    with pytest.raises(camfast.SplitError, match="differs by up to nan"):
        camfast.split(model, "0", torch.ones(1, 3, 4, 4), pair=(model[0], clean))

    class Twice(nn.Module):
        def forward(self, x):
            return x.flatten(1), x

    with pytest.raises(camfast.SplitError, match="gives 2 values, the model 1"):
        camfast.split(model, "0", torch.ones(1, 3, 4, 4), pair=(model[0], Twice()))
    with pytest.raises(TypeError, match="pair must be two modules"):
        camfast.split(model, "0", pair=(model, lambda x: x))
