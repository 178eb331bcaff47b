"""Bootstrap intervals: they cover the truth as often as they say, and pairs cancel what samples share."""

import math

import numpy as np
import pytest
import torch

from camfast.metrics import Interval, bootstrap, paired_bootstrap


def test_percentiles_are_those_of_resampled_means() -> None:
    values = torch.randn(40, dtype=torch.float64)
    found = bootstrap(values, method="percentile", resamples=20_000)
    draws = np.random.default_rng(5).choice(values.numpy(), (20_000, 40)).mean(1)
    # the percentiles of 20,000 draws scatter by about 0.02 of a standard error of 0.16
    assert abs(found.low - np.quantile(draws, 0.025)) < 0.02
    assert abs(found.high - np.quantile(draws, 0.975)) < 0.02
    assert abs(found.estimate - float(values.mean())) < 1e-12
    assert (found.count, found.undefined, found.method) == (40, 0, "percentile")


@pytest.mark.parametrize("statistic", ["mean", "median"])
def test_the_truth_is_covered_as_often_as_said(statistic: str) -> None:
    rng = np.random.default_rng(0)
    truth = 1.0 if statistic == "mean" else math.log(2)
    inside = 0
    for seed in range(200):
        found = bootstrap(rng.exponential(size=60), statistic=statistic, level=0.9, resamples=400, seed=seed)  # type: ignore[arg-type]
        inside += found.low <= truth <= found.high
    assert 0.83 < inside / 200 < 0.96  # 0.9 ± 3 · 0.021


def test_pairs_cancel_what_samples_share() -> None:
    images = 100 * torch.randn(200)
    a, b = images + 1 + 0.5 * torch.randn(200), images + 0.5 * torch.randn(200)
    paired = paired_bootstrap(a, b)
    assert paired.excludes(0)
    assert paired.low < 1 < paired.high
    assert paired.high - paired.low < 0.05 * (bootstrap(a).high - bootstrap(a).low)
    mirrored = paired_bootstrap(b, a, method="percentile")
    straight = paired_bootstrap(a, b, method="percentile")
    assert (mirrored.low, mirrored.high) == pytest.approx((-straight.high, -straight.low), abs=1e-9)


def test_no_order_where_there_is_none() -> None:
    a = torch.randn(300, generator=torch.Generator().manual_seed(3))
    assert not paired_bootstrap(a, a + 0.1 * (a.roll(1) - a)).excludes(0)


def test_nan_is_left_out_and_counted() -> None:
    values = torch.randn(30)
    spoiled = torch.cat([values, torch.full((3,), torch.nan)])
    found, clean = bootstrap(spoiled), bootstrap(values)
    assert (found.estimate, found.low, found.high) == (clean.estimate, clean.low, clean.high)
    assert (found.count, found.undefined) == (30, 3)
    assert "n = 30, 3 undefined left out" in str(found)
    other = torch.randn(33)
    other[0] = torch.nan
    assert paired_bootstrap(spoiled, other).undefined == 4


def test_the_seed_decides() -> None:
    values = torch.rand(25)
    assert bootstrap(values) == bootstrap(values.tolist()) == bootstrap(values.numpy())
    assert bootstrap(values, seed=1).low != bootstrap(values, seed=2).low


def test_what_cannot_be_resampled() -> None:
    assert bootstrap([2.0, 2.0, 2.0]) == Interval(2.0, 2.0, 2.0, 0.95, 3, 0, "bca")
    single, nothing = bootstrap([2.0]), bootstrap([math.nan])
    assert single.estimate == 2
    assert math.isnan(single.low)
    assert math.isnan(nothing.estimate)
    assert (single.count, nothing.count, nothing.undefined) == (1, 0, 1)
    assert not single.excludes(0)


def test_where_bca_is_not_defined_the_percentiles_stand_in() -> None:
    found = bootstrap([0.0] * 10 + [1.0] * 2, statistic="median")
    assert found.method == "percentile"
    assert (found.low, found.high) == (0.0, 0.0)
    assert bootstrap([0.0] * 30 + [1.0]).method == "bca"


def test_a_function_as_statistic() -> None:
    values = torch.rand(50, dtype=torch.float64)
    found = bootstrap(values, statistic=lambda drawn: float(np.mean(drawn)), resamples=500)
    assert (found.low, found.high) == pytest.approx(
        (bootstrap(values, resamples=500).low, bootstrap(values, resamples=500).high), abs=1e-12
    )


def test_what_does_not_fit_is_named() -> None:
    with pytest.raises(ValueError, match=r"values must be one number a sample, \(N,\), found \(2, 2\)"):
        bootstrap(torch.ones(2, 2))
    with pytest.raises(ValueError, match="a must be finite or NaN, found 1 that are infinite"):
        paired_bootstrap([math.inf, 1], [1, 2])
    with pytest.raises(ValueError, match="of the same samples, found 2 and 3 numbers"):
        paired_bootstrap([1, 2], [1, 2, 3])
    with pytest.raises(ValueError, match="statistic must be 'mean', 'median' or a function"):
        bootstrap([1, 2], statistic="mode")  # type: ignore[arg-type]
    for level in (95, "0.95"):
        with pytest.raises(ValueError, match=f"level must lie between 0 and 1, found {level!r}"):
            bootstrap([1, 2], level=level)  # type: ignore[arg-type]
    for values in ("ab", object()):
        with pytest.raises(ValueError, match=f"values must be one number a sample.* found {type(values).__name__}"):
            bootstrap(values)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="method must be one of bca, percentile, found 'basic'"):
        bootstrap([1, 2], method="basic")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="resamples must be at least 1"):
        bootstrap([1, 2], resamples=0)


def test_a_statistic_that_resamples_leave_undefined_has_no_ends() -> None:
    def of_distinct_values(values: np.ndarray) -> float:
        return float(values.mean()) if len(np.unique(values)) == len(values) else math.nan

    found = bootstrap(np.arange(9.0), statistic=of_distinct_values, resamples=50)
    assert (found.estimate, found.count) == (4.0, 9)
    assert math.isnan(found.low)
    assert math.isnan(found.high)
