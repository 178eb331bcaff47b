"""The campaign on the kernels in its short form, and that it notices what is wrong."""

from typing import Any

import pytest
import torch

from camfast import ops
from reliability.kernels import campaign


@pytest.mark.parametrize("op", campaign.PROPERTIES)
@pytest.mark.parametrize("backend", ["cpu", "torch"])
def test_hostile_calls_give_what_the_formula_gives(op: str, backend: str) -> None:
    outcome = campaign.run(op, backend, 15, None, room=1024)
    assert not outcome.wrong, outcome.wrong
    assert outcome.cases >= 15


def test_any_number_of_threads_gives_the_same_bits() -> None:
    outcome = campaign.run("threads", "cpu", 5, None, 1 << 16, campaign.threads)
    assert not outcome.wrong, outcome.wrong


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
            values.view(-1)[-1] = 77
        return result

    monkeypatch.setattr(ops, op, wrong)
    assert campaign.run(op, "cpu", 60, None, room=256).wrong
