"""Calls like one that was checked: still the right numbers, and every difference that matters is seen."""

import threading
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.autograd import forward_ad

import camfast
from bench import overhead
from camfast import ops
from camfast.ops import native, plans
from tests.ops import cases


def arguments() -> tuple[Tensor, Tensor, Tensor]:
    A, G = cases.activations((2, 3, 4, 5), torch.float32), cases.gradients((2, 3, 4, 5), torch.float32)
    return A, G, cases.poisoned((2, 4, 5), torch.float32)


def known(A: Tensor, G: Tensor, out: Tensor) -> Tensor:
    """A call that has a plan: it has been made before."""
    ops.product_sum(A, G, out=out)
    assert ops.product_sum(A, G, out=out) is out
    return out.clone()


@pytest.mark.parametrize("name", overhead.CALLS)
def test_every_op_gives_the_same_again(name: str) -> None:
    for call in overhead.CALLS[name]():
        first = [part.clone() for part in overhead.tensors(call())]
        for part in overhead.tensors(call()):
            part.zero_()
        for found, expected in zip(overhead.tensors(call()), first, strict=True):
            assert torch.equal(found, expected)


def test_other_values_at_other_places() -> None:
    A, G, out = arguments()
    known(A, G, out)
    for _ in range(3):
        A, G, out = torch.randn_like(A), torch.randn_like(G), torch.empty_like(out)
        exact = ops.product_sum(A.double(), G.double()).float()
        torch.testing.assert_close(ops.product_sum(A, G, out=out), exact, rtol=1e-5, atol=1e-5)


def test_one_tensor_for_two() -> None:
    A, G, out = arguments()
    known(A, A, out)
    torch.testing.assert_close(known(A, G, out), (A * G).sum(1))
    torch.testing.assert_close(known(G, G, out), (G * G).sum(1))


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (lambda A, G, out: (A, G[:1], out), ValueError, "gradients must have the shape of activations"),
        (lambda A, G, out: (A, G.double(), out), TypeError, "gradients are torch.float64"),
        (lambda A, G, out: (A, G.to("meta"), out), ValueError, "gradients is on meta, the other input on cpu"),
        (lambda A, G, out: (A, G.int(), out), TypeError, "gradients must be one of"),
        (lambda A, _, out: (A, None, out), TypeError, "gradients must be a torch tensor, found NoneType"),
        (lambda A, G, out: (A, G, out[:1]), ValueError, "out must have the shape"),
        (lambda A, G, out: (A, G, out.double()), TypeError, "out must be torch.float32"),
        (lambda A, G, out: (A, G, out.mT.contiguous().mT), ValueError, "out must be contiguous in its last 2 axes"),
        (lambda A, G, _: (A, G, A.flatten()[:40].view(2, 4, 5)), ValueError, "out shares memory with an input"),
        (lambda A, G, _: (A, G, G.flatten()[80:].view(2, 4, 5)), ValueError, "out shares memory with an input"),
        (lambda A, G, out: (A, G, out.requires_grad_()), ValueError, "out requires grad|autograd records"),
        (lambda A, G, out: (A.requires_grad_(), G, out), ValueError, "out= can't be used where autograd records"),
        (lambda A, G, out: (A, G, [out]), TypeError, "out must be a torch tensor, found list"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_seen_after_a_call_that_was_right(
    change: Callable[..., Any], error: type[Exception], message: str
) -> None:
    A, G, out = arguments()
    known(A, G, out)
    before = out.clone()
    A, G, wrong = change(A, G, out)
    with pytest.raises(error, match=message):
        ops.product_sum(A, G, out=wrong)
    assert torch.equal(out.detach(), before)


def test_options_are_told_apart() -> None:
    A, G, out = arguments()
    plain = known(A, G, out)
    assert torch.equal(ops.product_sum(A, G, relu=True, out=out), plain.relu())
    assert torch.equal(ops.product_sum(A, G, rectify="gradients", out=out), ops.product_sum(A, G.relu()))
    with pytest.raises(ValueError, match="rectify must be one of"):
        ops.product_sum(A, G, rectify="all", out=out)  # type: ignore[arg-type]
    with pytest.raises(camfast.BackendError):
        ops.product_sum(A, G, out=out, backend="cuda")
    assert torch.equal(known(A, G, out), plain)


def test_sizes_as_lists_and_tuples() -> None:
    grid = torch.randn(2, 3, 4)
    expected = ops.gaussian_upsample(grid, (6, 8), (1.0, 2.0), centres=((0.5, 2.0), (0.5, 2.0)))
    for _ in range(2):
        found = ops.gaussian_upsample(grid, [6, 8], [1.0, 2.0], centres=[[0.5, 2.0], [0.5, 2.0]])  # type: ignore[list-item]
        assert torch.equal(found, expected)
        assert torch.equal(ops.linear_upsample(grid, [6, 8]), ops.linear_upsample(grid, torch.Size((6, 8))))


def test_strides_are_told_apart() -> None:
    A, G, out = arguments()
    expected = known(A, G, out)
    for layout in ("channels_last", "sliced", "transposed"):
        other = cases.laid_out(A, layout)
        for _ in range(2):
            torch.testing.assert_close(ops.product_sum(other, G, out=out), expected)


def test_the_negative_bit_is_seen() -> None:
    A, G, out = arguments()
    expected = known(A, G, out)
    assert torch.equal(ops.product_sum(torch._neg_view(A), G, out=out), -expected)
    assert torch.equal(ops.product_sum(A, torch._neg_view(G)), -expected)


@pytest.mark.filterwarnings("ignore:.torch.jit.script. is deprecated")  # torch makes its own duals with it
def test_subclasses_and_transforms_are_seen() -> None:
    A, G, out = arguments()
    expected = known(A, G, out)
    known(A, G, out)

    class Sub(Tensor):
        pass

    assert torch.equal(torch.func.functionalize(ops.product_sum)(A, G), expected)
    assert torch.equal(ops.product_sum(A.as_subclass(Sub), G), expected)
    with forward_ad.dual_level():
        assert torch.equal(ops.product_sum(A, G), expected)
        with pytest.raises(ValueError, match="product_sum has no forward-mode derivative"):
            ops.product_sum(forward_ad.make_dual(A, G), G)
    with torch.inference_mode():
        assert torch.equal(ops.product_sum(A.clone(), G), expected)


def test_parameters_without_autograd() -> None:
    A, G, out = arguments()
    weight = torch.nn.Parameter(A)
    with torch.no_grad():
        assert torch.equal(known(weight, G, out), known(A, G, out))
    assert ops.product_sum(weight, G).requires_grad


def test_empty_tensors_have_no_plan() -> None:
    for _ in range(2):
        assert ops.product_sum(torch.ones(0, 3, 4), torch.ones(0, 3, 4)).shape == (0, 4)
        assert torch.equal(ops.product_sum(torch.ones(2, 0, 4), torch.ones(2, 0, 4)), torch.zeros(2, 4))


def test_running_max_in_place_and_beside() -> None:
    values, index, candidate = torch.zeros(2, 3), torch.zeros(2, 3, dtype=torch.int32), torch.ones(2, 3)
    for unit in (1, 2):
        ops.running_max(values, index, candidate * unit, 7, out=(values, index))
        assert torch.equal(values, candidate * unit)
    room = torch.zeros(9)
    for _ in range(2):
        with pytest.raises(ValueError, match="shares memory"):
            ops.running_max(room[:6].view(2, 3), index, candidate, 7, out=(room[3:].view(2, 3), index))


def test_the_number_of_plans_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plans, "_MOST", 8)
    kept = plans.Plans()
    for positions in range(1, 30):
        kept.keep(lambda *_: None, (torch.ones(1, 1, positions),), None, None)
        assert 1 <= len(kept._known) <= 8


def test_options_that_can_change_are_not_kept() -> None:
    kept = plans.Plans()
    for option in (object(), torch.Size, (1, [2]), (1, (2, object()))):
        kept.keep(lambda *_: None, (torch.ones(1), option), None, None)
    assert not kept._known
    kept.keep(lambda *_: None, (torch.ones(1), "a", 1, 2.0, None, True, (1, (2.0,)), [3]), None, None)
    assert len(kept._known) == 1


def test_without_the_extension_nothing_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(native, "_load", lambda: "not built")
    kept = plans.Plans()
    kept.keep(lambda *_: None, (torch.ones(1),), None, None)
    assert not kept._known
    assert kept.attempt((torch.ones(1),), None, None) is None


def test_many_threads_at_once() -> None:
    wrong: list[object] = []

    def work(seed: int) -> None:
        generator = torch.Generator().manual_seed(seed)
        for i in range(200):
            A = torch.randn(1 + (i + seed) % 3, 3, 2 + i % 5, generator=generator)
            out = torch.empty(len(A), A.shape[2])
            if not torch.allclose(ops.product_sum(A, A, out=out), (A * A).sum(1), rtol=1e-5):
                wrong.append((seed, i))

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


@pytest.mark.parametrize("name", overhead.CALLS)
def test_the_overhead_of_a_call_is_small(name: str) -> None:
    with_output, _ = overhead.CALLS[name]()
    assert overhead.microseconds(with_output, rounds=5, calls=200) < 40  # `python -m bench.overhead` says how small
