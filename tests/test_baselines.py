"""What replaces parts of an input, against sums by hand."""

import math
from typing import Any

import numpy as np
import pytest
import torch

from camfast.baselines import baseline, blurred, describe

SHAPES = [(9,), (6, 7), (4, 5, 6)]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_kinds(shape: tuple[int, ...], dtype: torch.dtype) -> None:
    inputs = torch.randn(2, 3, *shape).to(dtype)
    assert torch.equal(baseline(inputs, "zero"), torch.zeros_like(inputs))
    assert torch.equal(baseline(inputs, 2.5), torch.full_like(inputs, 2.5))
    mean = baseline(inputs, "mean")
    assert mean.shape == inputs.shape
    for n in range(2):
        for c in range(3):
            values = inputs[n, c].flatten().tolist()
            # float32 sums, and one rounding to the dtype
            assert abs(float(mean[n, c].flatten()[0]) - sum(values) / len(values)) < 1e-6 + torch.finfo(dtype).eps
    given = torch.arange(3.0).reshape(3, *(1,) * len(shape))
    assert torch.equal(baseline(inputs, given)[1, 2], torch.full(shape, 2.0).to(dtype))
    for kind in ("zero", "mean", "blur", 1, given):
        assert baseline(inputs, kind).dtype == dtype


def test_blur_is_a_gaussian_with_weights_that_sum_to_one_at_the_border_too() -> None:
    inputs = torch.randn(2, 2, 20).double()
    found = baseline(inputs, "blur")
    for p in range(20):
        weights = [math.exp(-((p - q) ** 2) / (2 * 2.5**2)) for q in range(20)]
        expected = sum(w * inputs[1, 0, q].item() for q, w in enumerate(weights)) / sum(weights)
        assert abs(float(found[1, 0, p]) - expected) < 1e-6  # Gaussians are cut at 5.5 σ
    thin = torch.randn(1, 1, 1, 16).double()
    assert torch.allclose(baseline(thin, "blur")[0, 0, 0], baseline(thin[:, :, 0], "blur")[0, 0], atol=1e-12)
    even = torch.full((1, 1, 5, 6), 3.0).double()
    assert torch.allclose(blurred(even, 2.0), even, atol=1e-12)


def test_the_inputs_are_not_changed() -> None:
    inputs = torch.randn(2, 2, 9)
    given = inputs.clone()
    for kind in ("zero", "mean", "blur"):
        baseline(inputs, kind)
    assert torch.equal(inputs, given)


@pytest.mark.parametrize("kind", [2, 0.5, np.float32(0.5), np.int64(2), torch.tensor(0.5)])
def test_numbers_of_any_kind(kind: Any) -> None:
    assert torch.equal(baseline(torch.ones(2, 1, 4), kind), torch.full((2, 1, 4), float(kind)))


@pytest.mark.parametrize("kind", ["black", None, True, [0.0]])
def test_what_is_none_is_named(kind: Any) -> None:
    with pytest.raises(ValueError, match="baseline must be 'zero', 'mean', 'blur', a number or a tensor, found"):
        baseline(torch.ones(1, 1, 4), kind)


def test_descriptions() -> None:
    assert describe("blur") == "blur"
    assert describe(0.5) == "0.5"
    assert describe(torch.ones(3, 1)) == "a tensor (3, 1)"
