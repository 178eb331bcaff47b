"""Regions at the ends of what there is, and what is said beyond, to the last word."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import camfast.regions
from camfast import Region, component, predicted
from tests.test_regions import CLASS, _blobs, _scores


def test_the_ends_of_places_and_what_is_meant_by_default() -> None:
    scores = _scores((5, 7))
    assert Region(CLASS).where == "predicted"
    for point, plain in (((-5, -7), (0, 0)), ((4, 6), (4, 6)), ((-1, 0), (4, 0))):
        total = Region(CLASS, point).total(scores)
        assert torch.equal(total, scores[(slice(None), CLASS, *plain)])
    for point in ((-6, 0), (5, 0), (0, 7)):
        with pytest.raises(
            ValueError, match=rf"^the point \({point[0]}, {point[1]}\) lies outside of an output of size"
        ):
            Region(CLASS, point).total(scores)


def test_every_word() -> None:
    with pytest.raises(ValueError, match="is empty in sample 0") as caught:
        Region(CLASS, np.zeros((5, 7), dtype=bool)).total(_scores((5, 7)))
    assert str(caught.value) == (
        "the region of class 1, where=a mask (5, 7), is empty in sample 0: nothing there is to be explained; choose a "
        "class or a place that the output has, or where='image'"
    )
    with pytest.raises(ValueError, match="one class") as caught:
        Region(0).total(_scores((5, 7))[:, :1])
    assert str(caught.value) == (
        "the output has one class, which is the largest everywhere, so that no position is predicted as another: give "
        "a bool mask of your own, or where='image', in place of where='predicted'"
    )
    with pytest.raises(ValueError, match="where must be") as caught:
        Region(CLASS, "all").total(_scores((5, 7)))
    assert str(caught.value) == (
        "Region's where must be a bool mask, 'image', 'predicted', camfast.predicted(threshold), camfast.component(i), "
        "or a point or box of 2 axes; found 'all'"
    )
    for scores in (torch.zeros(2), torch.zeros(2, 3)):
        with pytest.raises(ValueError, match=r"^Region explains outputs .*: give a class index$"):
            Region(CLASS).total(scores)
    for index in ("1", True, 0.5):
        with pytest.raises(
            TypeError, match=f"^component wants a whole number, 0 for the largest component, found {index!r}$"
        ):
            component(index)  # type: ignore[arg-type]
    for threshold in (True, "0.5"):
        with pytest.raises(
            TypeError, match=f"^threshold must be a probability, at least 0 and below 1, found {threshold!r}$"
        ):
            predicted(threshold)  # type: ignore[arg-type]


def test_components_without_scipy(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(module: str, extra: str, purpose: str) -> Any:
        raise ImportError(f"{module} {extra} {purpose}")

    monkeypatch.setattr(camfast.regions, "require", missing)
    with pytest.raises(ImportError, match=r"^scipy.ndimage fit finding connected components$"):
        Region(CLASS, component(0)).mask(_blobs())


def test_components_under_vmap() -> None:
    def total(scores: Tensor) -> Tensor:
        return Region(CLASS, component(0)).total(scores[None])[0]

    with pytest.raises(ValueError, match="vmap") as caught:
        torch.vmap(total)(_blobs())
    assert str(caught.value) == (
        "connected components depend on what is predicted, which can't be looked at under torch.func.vmap: find the "
        "mask outside of it, by Region.mask, and give that as where="
    )
    scores = _blobs()
    mask = Region(CLASS, component(0)).mask(scores)
    gradient = torch.func.grad(lambda one: Region(CLASS, component(0)).total(one).sum())(scores)
    assert torch.equal(gradient[:, CLASS], mask.to(scores.dtype))
