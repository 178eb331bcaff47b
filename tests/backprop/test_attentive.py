"""Attentive response maps against projections by conv_transpose and max_unpool, one unit after the other."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.profiler import ProfilerActivity, profile

import camfast
from tests.backprop import reference
from tests.oracle import relative_error

TOLERANCE = 1e-12  # float64, the same sums in another order


def _by_hand(
    model: nn.Sequential, x: Tensor, layer: str, units: int, rule: str, rank: str, reduce: str
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Values, unit, units and maps, sample by sample."""
    found: list[list[Tensor]] = [[], [], [], []]
    for image in x:
        z = reference.forwards(model, image[None])[int(layer)]["output"][0].clamp(min=0)
        strengths = [float(feature.max() if rank == "max" else feature.sum()) for feature in z]
        order = sorted(range(len(z)), key=lambda k: (-strengths[k], k))[:units]
        maps = []
        for k in order:
            projected = reference.of_unit(model, image[None], layer, k, rule)[0]
            maps.append({"sum": projected.sum(0), "max": projected.amax(0), "abs": projected.abs().sum(0)}[reduce])
        best, unit = maps[0], torch.full_like(maps[0], order[0])
        for k, candidate in zip(order[1:], maps[1:], strict=True):
            unit = torch.where(candidate > best, k, unit)
            best = torch.where(candidate > best, candidate, best)
        for part, value in zip(found, (best, unit, torch.tensor(order), torch.stack(maps)), strict=True):
            part.append(value)
    values, unit, order, maps = map(torch.stack, found)
    return values, unit, order, maps


@pytest.mark.parametrize("spatial", [1, 2, 3])
@pytest.mark.parametrize("rule", ["deconvnet", "linear", "guided"])
@pytest.mark.parametrize("rank", ["max", "sum"])
@pytest.mark.parametrize("reduce", ["sum", "max", "abs"])
@pytest.mark.parametrize("layer", ["6", "7"], ids=["before the ReLU", "ReLU"])
def test_by_hand(layer: str, reduce: Any, rank: Any, rule: Any, spatial: int) -> None:
    model, x = reference.vgg_like(spatial), reference.image(spatial, samples=2)
    values, unit, units, maps = _by_hand(model, x, layer, 4, rule, rank, reduce)
    found = camfast.attentive_response(model, x, layer, 4, rule=rule, rank=rank, reduce=reduce, per_unit=True)
    assert torch.equal(found.units, units)
    assert found.maps is not None
    assert relative_error(found.maps, maps) < TOLERANCE
    assert relative_error(found.values, values) < TOLERANCE
    # where two units' responses are the same but for rounding, either may win
    clear = (maps.sort(1, descending=True).values.diff(dim=1)[:, 0].abs() > 1e-12) | (found.unit == unit)
    assert clear.double().mean() > 0.5
    assert torch.equal(found.unit[clear], unit[clear].int())
    assert found.unit.dtype == torch.int32
    assert found.units.dtype == torch.int64
    assert (found.layer, found.rule, found.rank, found.reduce) == (layer, rule, rank, reduce)


def test_without_the_maps_of_units() -> None:
    model, x = reference.vgg_like(2), reference.image(2)
    found = camfast.attentive_response(model, x, "7", 5)
    apart = camfast.attentive_response(model, x, "7", 5, per_unit=True)
    assert found.maps is None
    assert torch.equal(found.values, apart.values)
    assert torch.equal(found.unit, apart.unit)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_other_types(dtype: torch.dtype) -> None:
    model, x = reference.vgg_like(2).to(dtype), reference.image(2).to(dtype)
    twin = reference.vgg_like(2)
    twin.load_state_dict(model.state_dict())
    values, *_ = _by_hand(twin, x.double(), "7", 7, "linear", "max", "sum")
    found = camfast.attentive_response(model, x, "7", 7, rule="linear")
    assert found.values.dtype == torch.float32
    assert relative_error(found.values, values) < 100 * torch.finfo(dtype).eps  # a dozen roundings in a row


def test_batches_are_single_samples() -> None:
    model, x = reference.vgg_like(3), reference.image(3)
    together = camfast.attentive_response(model, x, "7", 5)
    for sample in range(len(x)):
        alone = camfast.attentive_response(model, x[sample : sample + 1], "7", 5)
        assert relative_error(together.values[sample : sample + 1], alone.values) < TOLERANCE
        assert torch.equal(together.units[sample : sample + 1], alone.units)


def test_a_batch_of_none() -> None:
    found = camfast.attentive_response(reference.vgg_like(2), reference.image(2)[:0], "7", 3, per_unit=True)
    assert found.values.shape == found.unit.shape == (0, 17, 16)
    assert found.units.shape == (0, 3)
    assert found.maps is not None
    assert found.maps.shape == (0, 3, 17, 16)


def test_units_of_a_dense_layer() -> None:
    model, x = reference.vgg_like(2), reference.image(2)
    values, _, units, _ = _by_hand(model, x, "11", 4, "deconvnet", "max", "sum")
    found = camfast.attentive_response(model, x, "11", 4)
    assert relative_error(found.values, values) < TOLERANCE
    assert torch.equal(found.units, units)


def test_ties() -> None:
    """Equal units rank by channel, and what they see goes to the one of the higher rank."""
    model = nn.Sequential(nn.Conv1d(1, 4, 1, bias=False), nn.ReLU())
    with torch.no_grad():
        model[0].weight.copy_(torch.tensor([1.0, 2.0, 2.0, 1.0]).reshape(4, 1, 1))
    found = camfast.attentive_response(model, torch.ones(1, 1, 3), "1", 4)
    assert found.units.tolist() == [[1, 2, 0, 3]]
    assert found.unit.tolist() == [[1, 1, 1]]
    assert found.values.tolist() == [[4, 4, 4]]


def test_a_start_that_is_handed_through() -> None:
    """Where nothing lies between layer and input, the gradient may be the start value itself."""
    model, x = nn.Sequential(nn.Identity(), nn.Flatten()), torch.rand(2, 3, 4)
    found = camfast.attentive_response(model, x, "0", 3)
    assert torch.equal(found.values, x.amax(1))
    assert torch.equal(found.unit, x.argmax(1).int())


def test_a_dead_layer_answers_nowhere() -> None:
    model, x = reference.vgg_like(2), reference.image(2)
    with torch.no_grad():
        model[6].weight.zero_()
        model[6].bias.fill_(-1)
    found = camfast.attentive_response(model, x, "7", 3)
    assert not found.values.any()
    assert found.units.tolist() == [[0, 1, 2]] * 3
    assert not found.unit.any()


def test_nan_is_not_hidden() -> None:
    model, x = reference.vgg_like(2), reference.image(2)
    x[1, 0, 8, 8] = torch.nan
    found = camfast.attentive_response(model, x, "7", 3)
    assert found.values.isnan().flatten(1).any(1).tolist() == [False, True, False]


def test_what_there_is_not() -> None:
    model, x = reference.vgg_like(2), reference.image(2)
    for units, error, said in (
        (25, ValueError, "units=25: layer '7' has 7 units, ask for 1 to 7 of them"),
        (0, ValueError, "units=0: layer '7' has 7 units"),
        (2.5, TypeError, "units must be a whole number, how many are projected back; found 2.5"),
        (True, TypeError, "found True"),
    ):
        with pytest.raises(error, match=said):
            camfast.attentive_response(model, x, "7", units)  # type: ignore[arg-type]
    for options, said in (
        ({"rule": "zeiler"}, "rule must be one of saliency, guided, deconvnet, linear; found 'zeiler'"),
        ({"rank": "mean"}, "rank must be one of max, sum; found 'mean'"),
        ({"reduce": "mean"}, "reduce must be one of sum, max, abs; found 'mean'"),
    ):
        with pytest.raises(ValueError, match=said):
            camfast.attentive_response(model, x, "7", 3, **options)  # type: ignore[arg-type]
    dense = nn.Sequential(nn.Linear(8, 4), nn.ReLU())
    said = r"inputs must be \(N, C, \*S_in\) with a spatial axis, found the shape \(3, 8\)"
    with pytest.raises(ValueError, match=said):
        camfast.attentive_response(dense, torch.randn(3, 8), "1", 3)


def _peak(units: int, per_unit: bool = False) -> int:
    """Bytes that torch held at most during a call, by its own account."""
    model = nn.Sequential(nn.Conv2d(1, 100, 4, stride=4), nn.ReLU())
    images = torch.randn(2, 1, 32, 32)
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        camfast.attentive_response(model, images, "1", units, per_unit=per_unit)
    held = peak = 0
    for event in profiler.profiler.kineto_results.events():
        if event.name() == "[memory]":
            held += event.nbytes()
            peak = max(peak, held)
    return peak


def test_memory_does_not_grow_with_units() -> None:
    few, many = _peak(10), _peak(100)
    assert many <= 1.2 * few
    assert _peak(10, per_unit=True) - few >= 2 * 10 * 32 * 32 * 4, "the maps of all units don't show in the account"
