"""What an op sees of autograd, of `torch.func`, and of those who listen to every call."""

import warnings

import torch
import torch.utils.flop_counter
from torch import Tensor

from camfast.ops.checks import has_tangents, is_differentiated, is_intercepted, is_plain
from tests.ops.test_checks import A


def test_what_is_intercepted() -> None:
    assert not is_intercepted()
    with torch.utils.flop_counter.FlopCounterMode(display=False):
        assert is_intercepted()


def test_what_is_plain() -> None:
    recorded = torch.zeros(2, requires_grad=True)
    assert is_plain(A, torch.nn.Parameter(torch.zeros(2), requires_grad=False))
    assert not is_plain(A, recorded)
    with torch.no_grad():
        assert is_plain(A, recorded)
    with torch.autograd.forward_ad.dual_level():
        assert not is_plain(A)
        with warnings.catch_warnings(action="ignore"):  # torch's own, where it is used first
            dual = torch.autograd.forward_ad.make_dual(torch.zeros(2), torch.ones(2))
        assert has_tangents(A, dual)
        assert not has_tangents(A)
    assert not has_tangents(A)
    seen: list[bool] = []
    torch.vmap(lambda row: seen.append(is_plain(row)) or row)(A)
    assert seen == [False]


def test_what_is_differentiated() -> None:
    assert not is_differentiated(A)
    seen: list[bool] = []

    def total(one: Tensor) -> Tensor:
        seen.append(is_differentiated(torch.zeros(1), one))
        return one.sum()

    torch.func.grad(total)(A)
    torch.vmap(torch.func.grad(total))(A)
    torch.func.grad(lambda rows: torch.vmap(total)(rows).sum())(A)
    torch.vmap(total)(A)
    assert seen == [True, True, True, False]
