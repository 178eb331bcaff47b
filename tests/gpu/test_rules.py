"""What holds for every op on every processor: equal bits, NaN in its own sample, empty inputs, words for errors."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from camfast import ops
from camfast.ops.forms import FORMS
from tests.gpu.runners import Runner

Call = Callable[[Runner, Tensor, Tensor, str], Any]

# each op on activations and gradients (N, C, *S), and on what it takes of them
CALLS: dict[str, Call] = {
    "channel_weights": lambda r, A, G, method: ops.channel_weights(A, G, method, backend=r.backend),
    "weighted_sum": lambda r, A, G, _: ops.weighted_sum(A, G.float().flatten(2).mean(-1), backend=r.backend),
    "product_sum": lambda r, A, G, _: ops.product_sum(A, G, rectify="gradients", backend=r.backend),
    "fused_cam": lambda r, A, G, method: ops.fused_cam(
        A, G, method, relu=False, size=(40, 33, 21), upsample="gaussian", sigma=4.0, backend=r.backend
    ),
    "linear_upsample": lambda r, A, _G, _m: ops.linear_upsample(A[:, 0], (40, 33, 21), backend=r.backend),
    "gaussian_upsample": lambda r, A, _G, _m: ops.gaussian_upsample(A[:, 0], (40, 33, 21), 4.0, backend=r.backend),
    "overlay": lambda r, A, G, _: ops.overlay(
        A[:, 0, 0].float().abs(), G[:, 0, 0].float(), low=-0.1, high=0.1, backend=r.backend
    ),
    "running_max": lambda r, A, G, _: (
        ops.running_max(A[:, 0].float(), A[:, 0].int(), G[:, 0], 3, backend=r.backend).values
    ),
}
METHODS = ("gradcam", "gradcam++", "respond")
WITH_METHODS = [
    (op, method) for op in CALLS for method in (METHODS if op in ("channel_weights", "fused_cam") else ("",))
]


@pytest.mark.parametrize(("op", "method"), WITH_METHODS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_two_runs_give_the_same_bits(runner: Runner, op: str, method: str, dtype: torch.dtype) -> None:
    for shape in ((3, 70, 10, 9, 8), (2, 9, 24, 24, 24)):
        A, G = runner.activations(shape, dtype), runner.gradients(shape, dtype)
        first = CALLS[op](runner, A, G, method)
        for _ in range(5):
            assert torch.equal(CALLS[op](runner, A, G, method), first)


@pytest.mark.parametrize(("op", "method"), WITH_METHODS)
@pytest.mark.parametrize("bad", [torch.nan, torch.inf, -torch.inf])
def test_what_is_not_finite_stays_in_its_sample(runner: Runner, op: str, method: str, bad: float) -> None:
    """And shows there."""
    A, G = runner.activations((3, 5, 6, 7, 8), torch.float32), runner.gradients((3, 5, 6, 7, 8), torch.float32)
    clean = CALLS[op](runner, A, G, method)
    place = (1, 0, 0, 3, 4)
    for tensor in (A, G):
        kept = tensor[place].clone()
        tensor[place] = bad
        found = CALLS[op](runner, A, G, method)
        assert torch.equal(found[0], clean[0])
        assert torch.equal(found[2], clean[2])
        if op in ("channel_weights", "fused_cam") and method == "gradcam" and tensor is G:
            assert not found[1].isfinite().all()
        tensor[place] = kept


@pytest.mark.parametrize(("op", "method"), WITH_METHODS)
def test_inputs_are_left_alone(runner: Runner, op: str, method: str) -> None:
    A, G = runner.activations((2, 5, 6, 7, 8), torch.float32), runner.gradients((2, 5, 6, 7, 8), torch.float32)
    kept = A.clone(), G.clone()
    CALLS[op](runner, A, G, method)
    assert torch.equal(A, kept[0])
    assert torch.equal(G, kept[1])


@pytest.mark.parametrize("shape", [(0, 4, 5, 5), (2, 0, 5, 5), (2, 4, 0, 5)])
def test_empty_inputs_give_empty_or_zero_maps(runner: Runner, shape: tuple[int, ...]) -> None:
    A, G = torch.empty(shape, device=runner.device), torch.empty(shape, device=runner.device)
    for method in FORMS:
        parts = ops.fused_cam_parts(A, G, method, backend=runner.backend)
        assert parts.grid.shape == (shape[0], *shape[2:])
        assert not parts.grid.any()
    for rectify in ("none", "product"):
        assert not ops.product_sum(A, G, rectify=rectify, backend=runner.backend).any()  # type: ignore[arg-type]
    weights = ops.channel_weights(A, G, "respond", backend=runner.backend)
    assert weights.shape == shape[:2]
    assert not ops.weighted_sum(A, weights, backend=runner.backend).any()


def test_empty_batches_of_maps(runner: Runner) -> None:
    grid = torch.empty(0, 4, 4, device=runner.device)
    assert ops.linear_upsample(grid, (8, 8), backend=runner.backend).shape == (0, 8, 8)
    assert ops.gaussian_upsample(grid, (8, 8), 2.0, backend=runner.backend).shape == (0, 8, 8)
    image = torch.empty(0, 8, 8, device=runner.device)
    assert ops.overlay(image, grid, low=0.0, high=1.0, backend=runner.backend).shape == (0, 8, 8, 3)
    found = ops.running_max(image, image.int(), image, 1, backend=runner.backend)
    assert found.values.shape == found.index.shape == (0, 8, 8)


def test_errors_name_the_argument(runner: Runner) -> None:
    A = runner.activations((2, 3, 4, 4), torch.float32)
    elsewhere = torch.empty(2, 3, 4, 4, device="meta")
    grid, chosen = A[:, 0], {"backend": runner.backend}
    wrong: tuple[tuple[type[Exception], str, Callable[[], object]], ...] = (
        (ValueError, "gradients is on meta", lambda: ops.product_sum(A, elsewhere, **chosen)),
        (TypeError, "gradients are torch.float64", lambda: ops.product_sum(A, A.double(), **chosen)),
        (ValueError, "gradients must have the shape", lambda: ops.product_sum(A, A[:, :2], **chosen)),
        (ValueError, "activations must be", lambda: ops.product_sum(A[0, 0], A[0, 0], **chosen)),
        (TypeError, "activations must be one of", lambda: ops.product_sum(A.int(), A.int(), **chosen)),
        (TypeError, "gradients must be a torch tensor", lambda: ops.product_sum(A, None, **chosen)),  # type: ignore[arg-type]
        (ValueError, "out shares memory", lambda: ops.product_sum(A, A, out=grid, **chosen)),
        (ValueError, "need positive axes", lambda: ops.linear_upsample(grid, (-1, 4), **chosen)),
        (ValueError, "sigma must be positive", lambda: ops.gaussian_upsample(grid, (4, 4), -1.0, **chosen)),
        (ValueError, "method must be a method", lambda: ops.fused_cam(A, A, "grad", **chosen)),
        (ValueError, "heat is on meta", lambda: ops.overlay(grid, elsewhere[:, 0], low=0.0, high=1.0, **chosen)),
        (TypeError, "index must be an int32", lambda: ops.running_max(grid, grid, grid, 1, **chosen)),
    )
    for kind, message, call in wrong:
        with pytest.raises(kind, match=message):
            call()
