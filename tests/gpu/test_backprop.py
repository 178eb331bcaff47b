"""Maps in input space on the device of each runner, against a way back written by hand on the CPU."""

import pytest

import camfast
from tests.backprop import reference
from tests.backprop.test_saliency import MAPS
from tests.gpu.runners import Runner
from tests.oracle import relative_error

NEAR = 1e-9  # float64; other orders of summation, and atomic ones, on a GPU


@pytest.mark.parametrize("rank", [2, 3])
@pytest.mark.parametrize("rule", MAPS)
def test_of_a_score(runner: Runner, rule: str, rank: int) -> None:
    model, x = reference.vgg_like(rank), reference.image(rank)
    expected = reference.of_class(model, x, 3, rule)
    found = MAPS[rule](model.to(runner.device), x.to(runner.device), [0, 3])
    assert found.device.type == runner.device
    assert relative_error(found[:, 1].cpu(), expected) < NEAR


@pytest.mark.parametrize("rule", ["deconvnet", "linear"])
def test_of_units(runner: Runner, rule: str) -> None:
    model, x = reference.vgg_like(3), reference.image(3)
    expected = camfast.attentive_response(model, x, "7", 5, rule=rule)  # type: ignore[arg-type]
    projected = reference.of_unit(model, x, "7", int(expected.units[0, 0]), rule)
    model, x = model.to(runner.device), x.to(runner.device)
    found = camfast.attentive_response(model, x, "7", 5, rule=rule)  # type: ignore[arg-type]
    assert found.values.device.type == found.unit.device.type == runner.device
    assert found.units.tolist() == expected.units.tolist()
    assert relative_error(found.values.cpu(), expected.values) < NEAR
    again = camfast.project(model, x, "7", int(expected.units[0, 0]), rule)  # type: ignore[arg-type]
    assert relative_error(again.cpu(), projected) < NEAR
