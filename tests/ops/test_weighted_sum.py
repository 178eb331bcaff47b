"""`weighted_sum` against the float64 reference."""

import pytest
import torch

from camfast import ops
from camfast.ops import reference
from tests.ops import cases


@pytest.mark.parametrize("dtype", cases.DTYPES, ids=str)
@pytest.mark.parametrize("layout", cases.LAYOUTS)
@pytest.mark.parametrize("targets", [None, 1, 5])
@pytest.mark.parametrize("relu", [False, True])
def test_equals_the_reference(dtype: torch.dtype, layout: str, targets: int | None, relu: bool) -> None:
    seed = cases.seed(dtype, layout, targets, relu)
    for shape in cases.random_shapes(seed, 3, 60_000):
        torch.manual_seed(seed)
        A = cases.activations(shape, dtype, layout)
        lead = shape[:1] if targets is None else (shape[0], targets)
        weights = torch.randn((*lead, shape[1]), dtype=reference.map_dtype(dtype))
        out = cases.poisoned((*lead, *shape[2:]), weights.dtype)
        assert ops.weighted_sum(A, weights, relu=relu, out=out) is out
        expected = reference.weighted_sum(A.double(), weights.double(), relu)
        assert cases.relative_error(out, expected) < cases.TOLERANCE[dtype]


def test_a_transposed_weight_is_read_as_it_is() -> None:
    A, weights = cases.activations((3, 4, 9), torch.float32), torch.randn(4, 3).t()
    assert torch.equal(ops.weighted_sum(A, weights), ops.weighted_sum(A, weights.contiguous()))


def test_errors_name_the_weights() -> None:
    A = torch.ones(2, 3, 4)
    with pytest.raises(ValueError, match=r"weights must be \(2, 3\) or \(2, T, 3\) .*found \(3, 2\)"):
        ops.weighted_sum(A, torch.ones(3, 2))
    with pytest.raises(TypeError, match=r"weights must be torch.float32 .*found torch.float64"):
        ops.weighted_sum(A, torch.ones(2, 3, dtype=torch.float64))
