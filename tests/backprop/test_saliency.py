"""Maps from a score back to the input, against a way back written by hand."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import camfast
from camfast import models
from tests.backprop import reference
from tests.oracle import relative_error

MAPS: dict[str, Callable[..., Tensor]] = {
    "saliency": camfast.saliency,
    "guided": camfast.guided_backprop,
    "deconvnet": camfast.deconvnet,
}
EXACT = 1e-12  # float64, the same sums in another order


@pytest.mark.parametrize("rank", [1, 2, 3])
@pytest.mark.parametrize("rule", MAPS)
def test_by_hand(rule: str, rank: int) -> None:
    model, x = reference.vgg_like(rank), reference.image(rank)
    found = MAPS[rule](model, x, 3)
    assert found.dtype == torch.float64
    assert relative_error(found, reference.of_class(model, x, 3, rule)) < EXACT


@pytest.mark.parametrize("rule", MAPS)
def test_batches_are_single_samples(rule: str) -> None:
    model, x = reference.vgg_like(2), reference.image(2)
    together = MAPS[rule](model, x, 1)
    for sample in range(len(x)):
        alone = MAPS[rule](model, x[sample : sample + 1], 1)
        assert relative_error(together[sample : sample + 1], alone) < EXACT


@pytest.mark.parametrize("rule", MAPS)
def test_targets(rule: str) -> None:
    model, x = reference.vgg_like(2), reference.image(2)
    classes = torch.stack([reference.of_class(model, x, c, rule) for c in range(reference.CLASSES)], dim=1)
    rows = torch.arange(len(x))
    chosen = model(x).argmax(1)
    assert relative_error(MAPS[rule](model, x, "all"), classes) < EXACT
    assert relative_error(MAPS[rule](model, x, [4, 0]), classes[:, [4, 0]]) < EXACT
    assert relative_error(MAPS[rule](model, x), classes[rows, chosen]) < EXACT
    assert relative_error(MAPS[rule](model, x, torch.tensor([2, 0, 4])), classes[rows, [2, 0, 4]]) < EXACT
    assert relative_error(MAPS[rule](model, x, lambda scores: scores[:, 2]), classes[:, 2]) < EXACT
    assert relative_error(MAPS[rule](model, x, lambda scores: scores[:, 1:3]), classes[:, 1:3]) < EXACT


@pytest.mark.parametrize("rule", MAPS)
def test_regions(rule: str) -> None:
    model, x = reference.vgg_like(2)[:8], reference.image(2)
    steps = reference.forwards(model, x)
    place = (slice(None), 2, 1, slice(0, 3))
    start = torch.zeros_like(steps[-1]["output"])
    start[place] = 1
    expected = reference.backwards(steps, start, rule)
    assert relative_error(MAPS[rule](model, x, camfast.Region(2, (1, slice(0, 3)))), expected) < EXACT
    several = MAPS[rule](model, x, [camfast.Region(2, (1, slice(0, 3))), camfast.Region(0, "image")])
    assert several.shape == (len(x), 2, *x.shape[1:])
    assert relative_error(several[:, 0], expected) < EXACT


@pytest.mark.parametrize("rule", MAPS)
def test_units_of_other_layers(rule: str) -> None:
    model, x = reference.vgg_like(2), reference.image(2)
    steps = reference.forwards(model, x)[:7]
    start = torch.zeros_like(steps[-1]["output"])
    start[:, 3, 1, 2] = 1
    expected = reference.backwards(steps, start, rule)
    assert relative_error(MAPS[rule](model, x, camfast.Unit("6", (3, 1, 2))), expected) < EXACT
    several = MAPS[rule](model, x, [camfast.Unit("11", 4), camfast.Unit("6", (3, 1, 2))])
    assert relative_error(several[:, 1], expected) < EXACT


def test_of_a_probability_is_p_times_that_of_its_logarithm() -> None:
    model, x = reference.vgg_like(2), reference.image(2)
    p = model(x).softmax(1)[:, 1].detach()
    of_p = camfast.saliency(model, x, lambda scores: scores.softmax(1)[:, 1])
    of_ln_p = camfast.saliency(model, x, lambda scores: scores.log_softmax(1)[:, 1])
    assert relative_error(of_p, p.reshape(-1, 1, 1, 1) * of_ln_p) < EXACT


def test_saliency_is_the_slope() -> None:
    model, x = reference.vgg_like(2), reference.image(2)
    found = camfast.saliency(model, x, 1)
    step = 1e-5 * torch.randn_like(x)
    with torch.no_grad():
        rise = (model(x + step) - model(x - step))[:, 1]
    # central differences of a piecewise linear function are exact where no kink is crossed; 1e-6 allows for rounding
    torch.testing.assert_close(2 * (found * step).flatten(1).sum(1), rise, rtol=1e-6, atol=0)


class _Block(nn.Module):
    """A block of ResNet-20 with modules for its ReLUs, or with what a function makes of its activations."""

    def __init__(self, block: nn.Module, rectify: Callable[[Tensor], Tensor] | None) -> None:
        super().__init__()
        self.block = block
        self.first = nn.ReLU() if rectify is None else rectify
        self.second = nn.ReLU() if rectify is None else rectify

    def forward(self, x: Tensor) -> Tensor:
        block = self.block
        out = self.first(block.bn1(block.conv1(x)))
        out = block.bn2(block.conv2(out))
        shortcut = x[:, :, :: block.stride, :: block.stride]
        return self.second(out + F.pad(shortcut, (0, 0, 0, 0, block.padding, block.padding)))


def resnet20_twin(model: nn.Module, rectify: Callable[[Tensor], Tensor] | None = None) -> nn.Sequential:
    """ResNet-20, each of whose ReLUs is a module of its own."""
    blocks = [_Block(block, rectify) for stage in (model.layer1, model.layer2, model.layer3) for block in stage]
    first = nn.ReLU() if rectify is None else _Apply(rectify)
    return nn.Sequential(
        model.conv1, model.bn1, first, *blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten(), model.linear
    ).eval()


class _Apply(nn.Module):
    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x)


class _ByRule(torch.autograd.Function):
    """A ReLU whose backward is one rule."""

    @staticmethod
    def forward(ctx, x, rule):
        ctx.save_for_backward(x)
        ctx.rule = rule
        return x.relu()

    @staticmethod
    def backward(ctx, g):
        return reference.at_relu(ctx.saved_tensors[0], g, ctx.rule), None


@pytest.mark.parametrize("rule", MAPS)
def test_residual_additions(rule: str) -> None:
    """ResNet-20 is written with F.relu: its maps are those of a twin whose ReLUs carry the rule themselves."""
    model = models.resnet20().double().eval()
    x = torch.randn(2, 3, 32, 32, dtype=torch.float64)
    twin = resnet20_twin(model, lambda a: _ByRule.apply(a, rule))
    leaf = x.clone().requires_grad_()
    (expected,) = torch.autograd.grad(twin(leaf)[:, 3].sum(), leaf)
    assert relative_error(MAPS[rule](model, x, 3), expected) < EXACT
    assert relative_error(MAPS[rule](resnet20_twin(model), x, 3), expected) < EXACT


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("rule", MAPS)
def test_other_types(rule: str, dtype: torch.dtype) -> None:
    model, x = reference.vgg_like(2), reference.image(2)
    expected = reference.of_class(model.to(dtype).double(), x.to(dtype).double(), 3, rule)
    found = MAPS[rule](model.to(dtype), x.to(dtype), 3)
    assert found.dtype == torch.float32
    # a handful of roundings one after the other; masks may flip where an activation is near 0
    assert relative_error(found, expected) < 500 * torch.finfo(dtype).eps


@pytest.mark.parametrize("rule", MAPS)
def test_other_inputs(rule: str) -> None:
    model, x = reference.vgg_like(2), reference.image(2)

    class Two(nn.Module):
        def forward(self, index: Tensor, image: Tensor, scale: float) -> dict[str, Tensor]:
            return {"index": index, "scores": scale * model(image)}

    expected = 2 * reference.of_class(model, x, 3, rule)
    index = torch.arange(len(x))
    output = lambda result: result["scores"]  # noqa: E731
    assert relative_error(MAPS[rule](Two(), (index, x, 2.0), 3, output=output), expected) < EXACT
    keywords = {"index": index, "image": x, "scale": 2.0}
    assert relative_error(MAPS[rule](Two(), keywords, 3, output=output), expected) < EXACT


def test_one_score_a_sample() -> None:
    model, x = nn.Sequential(*reference.vgg_like(1), nn.Flatten(0)), reference.image(1)
    model[-2] = nn.Linear(8, 1).double()
    assert model(x).shape == (3,)
    leaf = x.clone().requires_grad_()
    (expected,) = torch.autograd.grad(model(leaf).sum(), leaf)
    assert relative_error(camfast.saliency(model, x), expected) < EXACT


def test_what_can_not_be_explained() -> None:
    model, x = reference.vgg_like(1), reference.image(1)
    with pytest.raises(ValueError, match=r"target=7 is out of range: the model has the classes 0 to 4"):
        camfast.saliency(model, x, 7)
    with pytest.raises(TypeError, match=r"inputs is a numpy array: pass torch.from_numpy"):
        camfast.saliency(model, x.numpy())
    with pytest.raises(TypeError, match=r"no floating-point tensor, which alone has a gradient; found torch.int64"):
        camfast.saliency(model, x.long())
    with pytest.raises(RuntimeError) as caught:
        camfast.saliency(model, x[:, :1])
    assert "camfast ran the model on inputs of float64 (3, 1, 17)" in "".join(caught.value.__notes__)
    assert "the first convolution, '0', takes (N, 2, *S), found (3, 1, 17)" in caught.value.__notes__
    with pytest.raises(camfast.CaptureError, match="no gradient flows from the scores back to the input"):
        camfast.guided_backprop(nn.Sequential(model, _Apply(Tensor.detach)), x)
    with pytest.raises(camfast.CaptureError, match=r"model returned dict, not a tensor: pass output="):
        camfast.deconvnet(nn.Sequential(model, _Apply(lambda scores: {"scores": scores})), x)
