"""The share of a map inside a mask."""

import numpy as np
import pytest
import torch

from camfast.metrics import share_inside


@pytest.mark.parametrize("shape", [(7,), (3, 4), (2, 3, 4)], ids=str)
@pytest.mark.parametrize("absolute", [True, False])
def test_shares_are_sums(shape: tuple[int, ...], absolute: bool) -> None:
    maps, mask = torch.randn(4, *shape), torch.rand(4, *shape) < 0.4
    found = share_inside(maps, mask, absolute=absolute)
    for n in range(4):
        values = [abs(v) if absolute else max(v, 0.0) for v in maps[n].flatten().tolist()]
        inside = [v for v, m in zip(values, mask[n].flatten().tolist(), strict=True) if m]
        assert abs(float(found.share[n]) - sum(inside) / sum(values)) < 1e-12
        assert abs(float(found.chance[n]) - len(inside) / len(values)) < 1e-12
    shared = share_inside(maps, mask[0], absolute=absolute)
    assert torch.equal(shared.share[0], found.share[0])


def test_an_even_map_is_chance_and_an_empty_one_undefined() -> None:
    mask = torch.arange(10) < 3
    even = share_inside(torch.ones(1, 10), mask)
    assert torch.allclose(even.share, even.chance)
    assert share_inside(torch.zeros(1, 10), mask).share.isnan().all()
    assert share_inside(-torch.ones(1, 10), mask, absolute=False).share.isnan().all()


def test_nan_outside_of_the_mask_shows() -> None:
    maps = torch.ones(2, 10)
    maps[0, 9] = torch.nan
    assert share_inside(maps, torch.arange(10) < 3).share.isnan().tolist() == [True, False]


def test_what_does_not_fit_is_named() -> None:
    with pytest.raises(TypeError, match=r"mask must be a bool tensor, found torch.float32"):
        share_inside(torch.ones(2, 4), torch.ones(4))
    with pytest.raises(TypeError, match=r"mask must be a bool tensor, found ndarray"):
        share_inside(torch.ones(2, 4), np.ones(4, dtype=bool))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"mask must be \(4,\) or \(2, 4\), like the maps, found \(2,\)"):
        share_inside(torch.ones(2, 4), torch.ones(2, dtype=torch.bool))
    with pytest.raises(ValueError, match=r"maps must be a tensor \(N, \*S\)"):
        share_inside(torch.ones(4), torch.ones(4, dtype=torch.bool))
