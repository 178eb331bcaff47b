"""Centres of a layer's cells against where the gradient of a linear twin lies, and impulses against their maps."""

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

import camfast
from camfast import models

CONVOLUTIONS = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}
TRANSPOSED = {1: nn.ConvTranspose1d, 2: nn.ConvTranspose2d, 3: nn.ConvTranspose3d}
MAX = {1: nn.MaxPool1d, 2: nn.MaxPool2d, 3: nn.MaxPool3d}
AVERAGE = {1: nn.AvgPool1d, 2: nn.AvgPool2d, 3: nn.AvgPool3d}
ADAPTIVE = {1: nn.AdaptiveAvgPool1d, 2: nn.AdaptiveAvgPool2d, 3: nn.AdaptiveAvgPool3d}
ADAPTIVE_MAX = {1: nn.AdaptiveMaxPool1d, 2: nn.AdaptiveMaxPool2d, 3: nn.AdaptiveMaxPool3d}
SIDE = {1: 60, 2: 36, 3: 24}


class Calls(nn.Module):
    """A function as a layer."""

    def __init__(self, function: Callable[..., Tensor], *parts: nn.Module) -> None:
        super().__init__()
        self.function, self.parts = function, nn.ModuleList(parts)

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x, *self.parts)


def _linear_twin(model: nn.Module) -> nn.Module:
    """The model with uniform kernels, averages for maxima and nothing for ReLUs: its gradient is symmetric."""
    twin = copy.deepcopy(model).double()
    for parent in list(twin.modules()):
        for name, part in parent.named_children():
            if isinstance(part, nn.modules.pooling._MaxPoolNd):
                rank = int(type(part).__name__[-2])
                average = AVERAGE[rank](part.kernel_size, part.stride, part.padding, part.ceil_mode)
                setattr(parent, name, average)
            elif isinstance(part, nn.modules.pooling._AdaptiveMaxPoolNd):
                setattr(parent, name, ADAPTIVE[int(type(part).__name__[-2])](part.output_size))
            elif isinstance(part, nn.ReLU):
                setattr(parent, name, nn.Identity())
    for parameter in twin.parameters():
        nn.init.constant_(parameter, 1 if parameter.ndim > 1 else 0)
    return twin


def _gradient_centres(model: nn.Module, inputs: Tensor) -> list[list[float]]:
    """For each axis the centre of mass of the gradient of every cell along the line through the middle of the grid."""
    image = inputs.double().requires_grad_()
    activation = _linear_twin(model)(image)
    found = []
    for axis in range(inputs.ndim - 2):
        centres = []
        for cell in range(activation.shape[axis + 2]):
            index = [extent // 2 for extent in activation.shape[2:]]
            index[axis] = cell
            unit = activation[(0, slice(None), *index)].sum()
            (gradient,) = torch.autograd.grad(unit, image, retain_graph=True)
            along = gradient[0].sum(0).movedim(axis, 0).reshape(image.shape[axis + 2], -1).sum(1)
            centres.append(float((along * torch.arange(len(along))).sum() / along.sum()))
        found.append(centres)
    return found


def _networks(rank: int) -> dict[str, nn.Module]:
    conv, up, pool, average = (kind[rank] for kind in (CONVOLUTIONS, TRANSPOSED, MAX, AVERAGE))
    smooth = {1: "linear", 2: "bilinear", 3: "trilinear"}[rank]
    side = SIDE[rank]

    def strided(x: Tensor) -> Tensor:
        return x[(slice(None), slice(None), *(slice(None, None, 2),) * rank)]

    return {
        "valid": nn.Sequential(conv(1, 2, 5), nn.ReLU(), conv(2, 2, 4)),
        "same": nn.Sequential(conv(1, 2, 3, padding="same"), nn.ReLU(), conv(2, 2, 5, padding=2), pool(2)),
        "strided": nn.Sequential(conv(1, 2, 3, stride=2), nn.ReLU(inplace=True), conv(2, 2, 3, stride=2, padding=1)),
        "dilated": nn.Sequential(conv(1, 2, 3, dilation=3, padding=1), conv(2, 2, 2, dilation=2)),
        "grouped": nn.Sequential(conv(1, 4, 2), conv(4, 4, 3, groups=2)),
        "pools": nn.Sequential(pool(3, 2, ceil_mode=True), conv(1, 1, 3, padding=1), average(2, padding=1)),
        "padded pool": nn.Sequential(pool(3, 2, padding=1), conv(1, 1, 2)),
        "transposed": nn.Sequential(conv(1, 2, 4, stride=4), up(2, 2, 3, stride=2, padding=1, output_padding=1)),
        "one axis": nn.Sequential(conv(1, 2, (4,) + (1,) * (rank - 1), stride=(3,) + (1,) * (rank - 1))),
        "adaptive": nn.Sequential(conv(1, 1, 3, padding=1), ADAPTIVE[rank](side // 4)),
        "adaptive maximum": nn.Sequential(ADAPTIVE_MAX[rank](side // 2), conv(1, 1, 3)),
        "smooth": nn.Sequential(pool(4), nn.Upsample(scale_factor=2, mode=smooth), conv(1, 1, 3)),
        "corners": nn.Sequential(
            pool(4), nn.Upsample(size=(side // 2,) * rank, mode=smooth, align_corners=True), conv(1, 1, 1)
        ),
        "padding": nn.Sequential(Calls(lambda x: F.pad(x, (3, 1) * rank)), conv(1, 1, 3)),
        "replicated": nn.Sequential(conv(1, 1, 4, padding=2, padding_mode="replicate"), conv(1, 1, 3, stride=2)),
        "reflected": nn.Sequential(conv(1, 1, 4, padding=2, padding_mode="reflect"), conv(1, 1, 3, stride=2)),
        "circular": nn.Sequential(conv(1, 1, 4, padding=2, padding_mode="circular"), conv(1, 1, 3, stride=2)),
        "residual": nn.Sequential(
            Calls(
                lambda x, main: main(x) + F.pad(strided(x), (0, 0) * rank + (1, 1)),
                nn.Sequential(conv(1, 3, 3, stride=2, padding=1), nn.ReLU(), conv(3, 3, 3, padding=1)),
            ),
            conv(3, 2, 3),
        ),
        "concatenated": nn.Sequential(
            conv(1, 2, 5, stride=2),
            Calls(lambda x, a, b: torch.cat([a(x), b(x).relu()], 1), conv(2, 2, 1), conv(2, 2, 3, padding=1)),
        ),
        "cropped": nn.Sequential(
            Calls(lambda x, a: a(x) + x[(..., *(slice(2, -2),) * rank)], conv(1, 1, 5)), conv(1, 2, 3)
        ),
        "functional": Calls(lambda x: getattr(F, f"avg_pool{rank}d")(F.relu(x) * 2 - x.mean(1, keepdim=True), 3)),
    }  # fmt: skip


NAMES = list(_networks(1))


@pytest.mark.parametrize("rank", [1, 2, 3])
@pytest.mark.parametrize("name", NAMES)
def test_centres_are_where_the_gradient_is(name: str, rank: int) -> None:
    model = _networks(rank)[name]
    inputs = torch.rand(
        1, 1, *(SIDE[rank] + axis for axis in range(rank)) if "adaptive" not in name else (SIDE[rank],) * rank
    )
    found = camfast.receptive_field_centres(model, last(model), inputs)
    assert len(found) == rank
    for (start, step), expected in zip(found, _gradient_centres(model, inputs), strict=True):
        inside = range(len(expected) // 3, max(len(expected) - len(expected) // 3, len(expected) // 3 + 2))
        for cell in inside:  # away from the borders, which cut windows off
            assert abs(start + cell * step - expected[cell]) < 1e-6, (cell, found)  # float64, sums of some hundred


def last(model: nn.Module) -> str:
    return [name for name, _ in model.named_children()][-1] if isinstance(model, nn.Sequential) else ""


@pytest.mark.parametrize("factor", [2, 3, 1.5, 0.5])
@pytest.mark.parametrize("mode", ["nearest", "nearest-exact"])
def test_nearest_neighbours_are_met_on_the_mean(mode: str, factor: float) -> None:
    model = nn.Sequential(nn.Upsample(scale_factor=factor, mode=mode))
    ((start, step),) = camfast.receptive_field_centres(model, "0", torch.rand(1, 1, 24))
    taken = model(torch.arange(24.0)[None, None])[0, 0]
    assert step == pytest.approx(1 / factor)
    assert float((taken - (start + step * torch.arange(len(taken)))).mean()) == pytest.approx(0, abs=1e-5)


@pytest.mark.parametrize("size", [1, 7])
def test_small_images(size: int) -> None:
    model = nn.Sequential(nn.Conv2d(1, 1, 3, padding=1), nn.MaxPool2d(3, stride=1, padding=1))
    assert camfast.receptive_field_centres(model, "1", torch.rand(1, 1, size, size)) == ((0, 1), (0, 1))


def test_networks_that_are_known() -> None:
    squeezenet = models.squeezenet1_0()
    assert camfast.receptive_field_centres(squeezenet, "fire9", torch.rand(1, 3, 227, 227)) == ((17, 16), (17, 16))
    resnet = models.resnet20().eval()  # its shortcuts are x[:, :, ::2, ::2], padded with channels of zeros
    for layer, step in (("layer1", 1), ("layer2", 2), ("layer3", 4)):
        assert camfast.receptive_field_centres(resnet, layer, torch.rand(1, 3, 32, 32)) == ((0, step), (0, step))
    assert camfast.receptive_field_centres(models.cnn2(3), "maxpool2", torch.rand(1, 1, 40, 40, 40)) == ((3.5, 8),) * 3
    unet = models.unet(3)
    assert camfast.receptive_field_centres(unet, "bottleneck", torch.rand(1, 1, 16, 24, 16)) == ((3.5, 8),) * 3
    assert camfast.receptive_field_centres(unet, "decoder.2", torch.rand(1, 1, 17, 24, 16)) == ((0, 1),) * 3


@pytest.mark.parametrize("side", [40, 64])
def test_where_all_is_padded_same_cells_tile_the_image(side: int) -> None:
    model = nn.Sequential(*(part for _ in range(3) for part in (nn.LazyConv2d(2, 3, padding=1), nn.MaxPool2d(2))))
    for start, step in camfast.receptive_field_centres(model, "5", torch.rand(1, 1, side, side)):
        assert (start, step) == ((0 + 0.5) * 8 - 0.5, 8)


class ConvNext(nn.Module):
    """Channels last in the middle, linear layers over channels, a squeeze-and-excite gate, tokens and back."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 4, stride=4)
        self.depthwise = nn.Conv2d(8, 8, 7, padding=3, groups=8)
        self.norm, self.wide, self.narrow = nn.LayerNorm(8), nn.Linear(8, 32), nn.Linear(32, 8)
        self.gate = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Conv2d(8, 8, 1), nn.Sigmoid())
        self.dense = nn.Linear(8, 8)
        self.last = nn.GroupNorm(2, 8)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        y = self.narrow(F.gelu(self.wide(self.norm(self.depthwise(x).permute(0, 2, 3, 1)))))
        x = x + y.permute(0, 3, 1, 2)
        x = x * self.gate(x)
        x = x * torch.sigmoid(self.dense(x.mean((2, 3))))[:, :, None, None]
        tokens = self.dense(x.flatten(2).transpose(1, 2))
        x = tokens.transpose(1, 2).unflatten(2, x.shape[2:])
        one, other = x.chunk(2, dim=1)
        return self.last(F.channel_shuffle(torch.cat([other, one], 1), 2))


@pytest.mark.parametrize("batch", [1, 3])
def test_channels_last_gates_and_tokens_keep_their_place(batch: int) -> None:
    model = ConvNext()
    for layer in ("stem", "depthwise", "narrow", "last"):
        assert camfast.receptive_field_centres(model, layer, torch.rand(batch, 3, 32, 48)) == ((1.5, 4), (1.5, 4)), (
            layer
        )


def test_branches_that_differ_by_less_than_a_cell_meet_in_the_middle() -> None:
    model = Calls(lambda x, a, b: a(x) + b(x), nn.Conv2d(1, 1, 3, stride=2, padding=1), nn.AvgPool2d(2))
    assert camfast.receptive_field_centres(model, "", torch.rand(1, 1, 16, 16)) == ((0.25, 2), (0.25, 2))


def _unpooled(x: Tensor) -> Tensor:
    pooled, places = F.max_pool2d(x, 2, return_indices=True)
    return F.max_unpool2d(pooled.relu(), places, 2)


def assembled(x: Tensor, *firsts: int) -> Tensor:
    whole = torch.zeros(len(x), len(firsts), 12, 12)
    for channel, first in enumerate(firsts):
        whole[:, channel : channel + 1] = x[:, :, first : first + 12, first : first + 12]
    return whole


@pytest.mark.parametrize(
    ("function", "start"),
    [
        (_unpooled, 0),
        (lambda x: assembled(x, 2, 2), 2),
        (lambda x: F.pixel_shuffle(F.pixel_unshuffle(F.avg_pool2d(x, 5, 1), 2), 2), 2),
        (lambda x: torch.stack([x, x * 2], 2).flatten(1, 2), 0),
        (lambda x: torch.cat(x.split([4, 8, 4], 3), 3), 0),
        (lambda x: torch.cat([torch.zeros(1, 1, 16, 3), x], 3)[..., 3:], 0),
        (lambda x: x.softmax(1) + x.expand(2, 1, 16, 16).amax(0, keepdim=True), 0),
        (lambda x: F.local_response_norm(x, 2), 0),
        (lambda x: F.lp_pool2d(x, 2, 3, 1), 1),
        (lambda x: checkpoint(F.avg_pool2d, x, 3, 1, use_reentrant=False), 1),
        (lambda x: F.avg_pool2d(x.repeat(1, 3, 1, 1), 3, 1), 1),  # grey as colours, and colours in another order
        (lambda x: F.avg_pool2d(x.expand(-1, 3, -1, -1).flip(1).roll(1, 1), 3, 1), 1),
        (lambda x: F.avg_pool2d(x.expand(-1, 3, -1, -1)[:, [2, 1, 0]], 3, 1), 1),
        (lambda x: F.avg_pool2d(x.index_select(1, torch.zeros(3, dtype=torch.long)), 3, 1), 1),
    ],
)
def test_operations_that_come_up_now_and_then(function: Callable[[Tensor], Tensor], start: float) -> None:
    found = camfast.receptive_field_centres(Calls(function), "", torch.rand(1, 1, 16, 16))
    assert found == ((start, 1), (start, 1))


def test_models_in_other_types_and_wrappers() -> None:
    model = nn.Sequential(nn.Conv2d(2, 4, 4, stride=2), nn.BatchNorm2d(4), nn.Dropout(), nn.ReLU6(), nn.Conv2d(4, 1, 3))
    expected, images = ((3.5, 2), (3.5, 2)), torch.rand(2, 2, 20, 20)
    with torch.autocast("cpu", torch.bfloat16):
        assert camfast.receptive_field_centres(model, "4", images) == expected
    assert camfast.receptive_field_centres(nn.DataParallel(model), "4", images) == expected
    compiled = torch.compile(model, backend="eager")
    compiled(images)
    assert camfast.receptive_field_centres(compiled, "4", images) == expected  # type: ignore[arg-type]
    half = model.bfloat16().to(memory_format=torch.channels_last)
    assert camfast.receptive_field_centres(half, "4", images.bfloat16()) == expected


def test_a_layer_that_runs_again_is_followed_to_its_last_call() -> None:
    shared = nn.Conv1d(1, 1, 3)
    assert camfast.receptive_field_centres(nn.Sequential(shared, nn.ReLU(), shared), "0", torch.rand(1, 1, 9)) == (
        (2, 1),
    )


def _registered(rank: int, kind: str) -> nn.Sequential:
    """Averaging kernels, and a head that adds up what they give."""
    conv = CONVOLUTIONS[rank]
    trunk = {
        "valid": [conv(1, 1, 5), nn.ReLU(), conv(1, 1, 5), nn.ReLU()],
        "same": [conv(1, 1, 5, padding=2), nn.ReLU(), conv(1, 1, 4, stride=2, padding=1), nn.ReLU()],
        "strided": [conv(1, 1, 5, stride=2), nn.ReLU(), conv(1, 1, 5, stride=2), nn.ReLU()],
    }[kind]
    model = nn.Sequential(*trunk, ADAPTIVE[rank](1), nn.Flatten(), nn.Linear(1, 2))
    for parameter in model.parameters():
        nn.init.constant_(parameter, 1 if parameter.ndim > 1 else 0)
    return model


@pytest.mark.parametrize("rank", [1, 2, 3])
@pytest.mark.parametrize("kind", ["valid", "same", "strided"])
def test_an_impulse_is_found_where_it_was_put(kind: str, rank: int) -> None:
    model, side = _registered(rank, kind), 45
    # at every place of a line across the image, so at cells' centres and between them; all cells that see it are there
    places = [tuple(place + axis for axis in range(rank)) for place in range(12, 31)]
    impulses = torch.zeros(len(places), 1, *(side,) * rank)
    for impulse, place in zip(impulses, places, strict=True):
        impulse[(0, *place)] = 1
    centres = camfast.receptive_field_centres(model, "3", impulses[:1])
    # wide enough that cells four pixels apart don't show: a peak between two of them must not be drawn to one
    options: dict[str, Any] = {"upsample": "gaussian", "sigma": 5.0}

    def errors(**more: Any) -> Tensor:
        maps = camfast.cam(model, impulses, "3", 1, **options, **more)
        peaks = [torch.unravel_index(heat.argmax(), heat.shape) for heat in maps]
        return (torch.tensor([[int(p) for p in peak] for peak in peaks]) - torch.tensor(places)).abs()

    assert errors(centres=centres).max() <= 0.5
    if kind != "same":
        assert errors().max() >= 2  # what the default, of cells that tile the image, makes of such a layer
