"""The campaign on the kernels in its short form, and that it notices what is wrong."""

from typing import Any

import pytest
import torch

from camfast import ops
from reliability.kernels import campaign


@pytest.mark.parametrize("op", campaign.PROPERTIES)
@pytest.mark.parametrize("backend", ["cpu", "torch"])
def test_hostile_calls_give_what_the_formula_gives(op: str, backend: str) -> None:
    outcome = campaign.run(op, backend, 10 if backend == "cpu" else 3, None, room=512)
    assert not outcome.wrong, outcome.wrong
    assert outcome.cases >= 3


@pytest.mark.parametrize("op", campaign.PROPERTIES)
def test_any_number_of_threads_gives_the_same_bits(op: str) -> None:
    outcome = campaign.run(op, "cpu", 5, None, 1 << 17, campaign.TEAMS)
    assert not outcome.wrong, outcome.wrong
    assert outcome.cases >= 5


@pytest.mark.parametrize("op", ["fused_cam", "overlay", "running_max", "window_sum"])
def test_bits_that_depend_on_the_threads_are_found(op: str, monkeypatch: pytest.MonkeyPatch) -> None:
    right = getattr(ops, op)

    def wrong(*arguments: Any, **options: Any) -> Any:
        result = right(*arguments, **options)
        values = result if isinstance(result, torch.Tensor) else result.values
        if torch.get_num_threads() == 7 and values.numel():
            values[(-1,) * values.ndim] = 77
        return result

    monkeypatch.setattr(ops, op, wrong)
    before = torch.get_num_threads()
    found = campaign.run(op, "cpu", 10, None, 256, campaign.TEAMS, shrink=False).wrong
    assert "7 threads give other bits than 1" in found[0]
    assert torch.get_num_threads() == before


@pytest.mark.parametrize("op", ["product_sum", "linear_upsample", "running_max", "window_sum"])
@pytest.mark.parametrize("defect", ["rounds", "hides", "keeps"])
def test_a_planted_defect_is_found(op: str, defect: str, monkeypatch: pytest.MonkeyPatch) -> None:
    right = getattr(ops, op)

    def wrong(*arguments: Any, **options: Any) -> Any:
        result = right(*arguments, **options)
        values = result if isinstance(result, torch.Tensor) else result.values
        if defect == "rounds":
            values.mul_(1 + 1e-4)
        elif defect == "hides":
            values.nan_to_num_(nan=0.0, posinf=0.0, neginf=0.0)
        elif values.numel():
            values[(-1,) * values.ndim] = 77
        return result

    monkeypatch.setattr(ops, op, wrong)
    found = campaign.run(op, "cpu", 60, None, room=256, shrink=False).wrong
    assert found[0].startswith("AssertionError")
