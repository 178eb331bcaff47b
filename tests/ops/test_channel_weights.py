"""`channel_weights` against the float64 reference."""

import math

import pytest
import torch

from camfast import ops
from camfast.ops import reference
from tests.ops import cases

METHODS = ("gradcam", "gradcam++", "xgradcam", "respond")


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("dtype", cases.DTYPES, ids=str)
@pytest.mark.parametrize("layout", cases.LAYOUTS)
@pytest.mark.parametrize("signed", [False, True])
def test_equals_the_reference(method: str, dtype: torch.dtype, layout: str, signed: bool) -> None:
    seed = cases.seed(method, dtype, layout, signed)
    for shape in cases.random_shapes(seed, 3, 60_000):
        torch.manual_seed(seed)
        A, G = cases.activations(shape, dtype, layout, signed=signed), cases.gradients(shape, dtype, layout)
        out = cases.poisoned(shape[:2], reference.map_dtype(dtype))
        assert ops.channel_weights(A, G, method, out=out) is out
        expected = reference.channel_weights(A.double(), G.double(), method)
        condition = cases.conditioning(A, G, method) if signed else 1.0
        if math.isfinite(condition):
            assert cases.relative_error(out, expected) < cases.TOLERANCE[dtype] * condition


@pytest.mark.parametrize("method", METHODS)
def test_targets_are_independent(method: str) -> None:
    A, G = cases.activations((3, 7, 5, 9), torch.float32), cases.gradients((4, 3, 7, 5, 9), torch.float32)
    together = ops.channel_weights(A, G, method)
    assert together.shape == (3, 4, 7)
    for t in range(4):
        assert torch.equal(together[:, t], ops.channel_weights(A, G[t], method))


def test_a_dead_channel_has_weight_zero() -> None:
    A, G = torch.zeros(1, 2, 8), torch.ones(1, 2, 8)
    for method in ("xgradcam", "respond"):
        assert torch.equal(ops.channel_weights(A, G, method), torch.zeros(1, 2))


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("value", [math.nan, math.inf])
@pytest.mark.parametrize("where", ["activations", "gradients"])
def test_nan_and_inf_stay_in_their_sample_and_show(method: str, value: float, where: str) -> None:
    A, G = cases.activations((3, 4, 33), torch.float32), cases.gradients((3, 4, 33), torch.float32).abs()
    clean = ops.channel_weights(A, G, method)
    (A if where == "activations" else G)[1, 2, 5] = value
    weights = ops.channel_weights(A, G, method)
    expected = reference.channel_weights(A, G, method)
    assert torch.equal(weights[[0, 2]], clean[[0, 2]])
    assert torch.equal(weights[1].isfinite(), expected[1].isfinite())
    assert torch.equal(weights[1, [0, 1, 3]], clean[1, [0, 1, 3]])


def test_a_method_without_weights_is_refused() -> None:
    A = torch.ones(1, 1, 4)
    with pytest.raises(ValueError, match=r"method must be a method with channel weights: one of gradcam, .*'hirescam'"):
        ops.channel_weights(A, A, "hirescam")
