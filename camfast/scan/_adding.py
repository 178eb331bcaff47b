"""Stands in until the op is there."""

import torch


def window_sum(total, maps, origins, taper, *, blend="mean", out=None, backend=None):  # type: ignore
    """Add."""
    res = out if out is not None else total.clone()
    h = taper.shape
    for m, o in zip(maps.double(), origins.tolist(), strict=True):
        sl = (slice(None), *(slice(a, a + n) for a, n in zip(o, h, strict=True)))
        if blend == "max":
            res[sl] = torch.maximum(res[sl], m)
        else:
            res[sl] += taper * m
    return res
