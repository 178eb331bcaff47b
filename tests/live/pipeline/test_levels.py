"""Running percentiles, against numpy's and against the recursion written out."""

import numpy as np
import pytest
import torch

from camfast.live.pipeline.levels import RunningRange


@pytest.mark.parametrize("size", [1, 7, 100, 4096])
def test_the_first_frame_gives_its_own_percentiles(size: int) -> None:
    values = torch.randn(size)
    levels = RunningRange(size, (10.0, 90.0))
    levels.update(values)
    expected = np.percentile(values.double().numpy(), (10, 90))
    if size == 1:
        expected[:] = values[0]
    torch.testing.assert_close(levels.ends.double(), torch.from_numpy(expected), rtol=1e-5, atol=1e-6)


def test_half_of_a_change_is_followed_in_a_half_life() -> None:
    levels = RunningRange(101, (0.0, 100.0), half_life=8)
    levels.update(torch.linspace(0, 1, 101))
    for _ in range(8):
        levels.update(torch.linspace(10, 21, 101))
    torch.testing.assert_close(levels.ends, torch.tensor([5.0, 11.0]))


def test_a_large_frame_is_sampled_evenly() -> None:
    values = torch.linspace(0, 1, 1_000_003)
    levels = RunningRange(values.numel(), (1.0, 99.0))
    levels.update(values[torch.randperm(values.numel())])
    # 4,000 values of a uniform distribution: percentiles within 5 standard errors of 0.0016
    torch.testing.assert_close(levels.ends, torch.tensor([0.01, 0.99]), rtol=0, atol=8e-3)


@pytest.mark.parametrize("shape", [(64, 256, 256), (1024, 1024), (8, 500, 1000)])
def test_the_sample_is_not_of_some_columns(shape: tuple[int, ...]) -> None:
    """Blank first columns, as a camera with a dark border has, must not be all that is seen."""
    values = torch.linspace(1, 2, shape[-1]).expand(shape).clone()
    values[..., :4] = 0.0
    levels = RunningRange(values.numel(), (5.0, 95.0))
    levels.update(values)
    expected = np.percentile(values.numpy(), (5, 95))
    # 4,000 values: 5 standard errors of the 5th percentile of a uniform distribution
    np.testing.assert_allclose(levels.ends.numpy(), expected, atol=0.02)


def test_a_spot_smaller_than_the_share_above_still_has_a_scale() -> None:
    values = torch.zeros(1000)
    values[3] = 5.0
    levels = RunningRange(1000, (0.5, 99.5))
    levels.update(values)
    assert levels.ends.tolist() == [0.0, 5.0]


def test_values_that_are_no_numbers_count_for_nothing() -> None:
    values = torch.cat([torch.arange(100.0), torch.full((57,), torch.nan), torch.tensor([torch.inf, -torch.inf])])
    levels = RunningRange(values.numel(), (10.0, 90.0))
    levels.update(values[torch.randperm(values.numel())])
    np.testing.assert_allclose(levels.ends.numpy(), np.percentile(np.arange(100.0), (10, 90)), rtol=1e-6)


def test_what_is_no_number_leaves_the_range_as_it_was() -> None:
    levels = RunningRange(10, (0.0, 100.0))
    levels.update(torch.full((10,), torch.nan))
    assert levels.ends.isnan().all()
    levels.update(torch.arange(10.0))
    levels.update(torch.full((10,), torch.nan))
    levels.update(torch.full((10,), torch.inf))
    assert levels.ends.tolist() == [0.0, 9.0]
    levels.reset()
    levels.update(torch.arange(5.0, 15.0))
    assert levels.ends.tolist() == [5.0, 14.0]
