"""`product_sum` against the float64 reference."""

import math

import pytest
import torch

from camfast import ops
from camfast.ops import reference
from camfast.ops.forms import RECTIFY, Rectify
from tests.ops import cases


@pytest.mark.parametrize("rectify", RECTIFY)
@pytest.mark.parametrize("dtype", cases.DTYPES, ids=str)
@pytest.mark.parametrize("layout", cases.LAYOUTS)
@pytest.mark.parametrize("relu", [False, True])
def test_equals_the_reference(rectify: Rectify, dtype: torch.dtype, layout: str, relu: bool) -> None:
    seed = cases.seed(rectify, dtype, layout, relu)
    for shape in cases.random_shapes(seed, 3, 60_000):
        torch.manual_seed(seed)
        A, G = cases.activations(shape, dtype, layout, signed=True), cases.gradients(shape, dtype, layout)
        out = cases.poisoned((shape[0], *shape[2:]), reference.map_dtype(dtype))
        assert ops.product_sum(A, G, rectify=rectify, relu=relu, out=out) is out
        expected = reference.product_sum(A.double(), G.double(), rectify, relu)
        assert cases.relative_error(out, expected) < cases.TOLERANCE[dtype]


@pytest.mark.parametrize("rectify", RECTIFY)
@pytest.mark.parametrize("layout", cases.LAYOUTS)
def test_targets_are_independent(rectify: Rectify, layout: str) -> None:
    A = cases.activations((3, 7, 5, 9), torch.float32)
    G = cases.gradients((4, 3, 7, 5, 9), torch.float32, layout, targets=True)
    together = ops.product_sum(A, G, rectify=rectify)
    assert together.shape == (3, 4, 5, 9)
    for t in range(4):
        expected = reference.product_sum(A.double(), G[t].double(), rectify)
        assert cases.relative_error(together[:, t], expected) < cases.TOLERANCE[torch.float32]


@pytest.mark.parametrize("rectify", RECTIFY)
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_nan_and_inf_show_at_their_position_only(rectify: Rectify, value: float) -> None:
    A, G = cases.activations((2, 4, 33), torch.float32), cases.gradients((2, 4, 33), torch.float32)
    clean = ops.product_sum(A, G, rectify=rectify)
    A[1, 2, 5] = value
    found, expected = ops.product_sum(A, G, rectify=rectify), reference.product_sum(A, G, rectify)
    assert torch.equal(found[0], clean[0])
    assert torch.equal(found[1].isnan(), expected[1].isnan())
    assert torch.equal(found[1].isinf(), expected[1].isinf())
    others = torch.arange(33) != 5
    assert torch.equal(found[1, others], clean[1, others])


def test_an_unknown_rectification_is_refused() -> None:
    A = torch.ones(1, 1, 4)
    with pytest.raises(ValueError, match="rectify must be one of none, gradients, product, found 'both'"):
        ops.product_sum(A, A, rectify="both")  # type: ignore[arg-type]
