"""Regions of a segmentation against explicit sums, in two and three dimensions."""

import itertools
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import camfast
from camfast import Region, component, predicted
from tests import oracle

SIZES = [(6,), (5, 7), (4, 5, 6)]
CLASS = 1


def _scores(size: tuple[int, ...]) -> Tensor:
    return torch.randn(2, 3, *size, dtype=torch.float64)


def _points(size: tuple[int, ...]) -> list[tuple[int, ...]]:
    return list(itertools.product(*map(range, size)))


def _members(where: Any, scores: Tensor, sample: int) -> list[tuple[int, ...]]:
    """The positions of a region, asked one by one."""
    chosen = []
    for point in _points(tuple(scores.shape[2:])):
        values = [scores[(sample, c, *point)].item() for c in range(scores.shape[1])]
        if isinstance(where, Tensor):
            inside = bool(where[point] if where.ndim == len(point) else where[(sample, *point)])
        elif where == "image":
            inside = True
        elif where == "predicted":
            inside = max(values) == values[CLASS]
        elif isinstance(where, tuple) and isinstance(where[0], int):
            inside = point == tuple(w % extent for w, extent in zip(where, scores.shape[2:], strict=True))
        elif isinstance(where, tuple):
            ranges = [range(extent)[box] for box, extent in zip(where, scores.shape[2:], strict=True)]
            inside = all(p in r for p, r in zip(point, ranges, strict=True))
        else:
            share = torch.tensor(values, dtype=torch.float64).exp()
            inside = (share[CLASS] / share.sum()).item() > where.threshold
        if inside:
            chosen.append(point)
    return chosen


def _forms(size: tuple[int, ...]) -> list[Any]:
    rank = len(size)
    return [
        "image", "predicted", predicted(), predicted(0.2), predicted(threshold=0),
        torch.rand(size) > 0.5, torch.rand(2, *size) > 0.5,
        (1,) * rank, (-1,) * rank, tuple(extent - 1 for extent in size),
        (slice(1, 3),) * rank, (slice(None),) * rank, (slice(None, None, 2),) * rank, (slice(-2, 99),) * rank,
    ]  # fmt: skip


@pytest.mark.parametrize("size", SIZES)
def test_every_form_against_a_sum_over_its_points(size: tuple[int, ...]) -> None:
    for where in _forms(size):
        scores = _scores(size)
        scores[:, CLASS].view(2, -1)[:, 3] += 9  # somewhere the class is predicted
        scores.requires_grad_()
        total = Region(CLASS, where).total(scores)
        gradient = torch.zeros_like(scores)
        for sample in range(2):
            members = _members(where, scores.detach(), sample)
            expected = sum(scores[(sample, CLASS, *point)].item() for point in members)
            assert total[sample].item() == pytest.approx(expected, abs=1e-12), where
            for point in members:
                gradient[(sample, CLASS, *point)] = 1
        assert torch.equal(torch.autograd.grad(total.sum(), scores)[0], gradient), where


def _blobs() -> Tensor:
    """Class 1 predicted on a triple joined by a diagonal, a pair, a pair further on, and a single position."""
    picture = ["aa....b", "..a...b", ".......", "cc..d..", "......."]
    mask = torch.tensor([[c != "." for c in row] for row in picture])
    return torch.stack([torch.zeros(5, 7), mask.float() * 2 - 1])[None].double()


@pytest.mark.parametrize(
    ("index", "points"),
    [
        (0, {(0, 0), (0, 1), (1, 2)}),
        (1, {(0, 6), (1, 6)}),  # of two of one size, the first in reading order
        (2, {(3, 0), (3, 1)}),
        (3, {(3, 4)}),
        (-1, {(3, 4)}),
        (-2, {(3, 0), (3, 1)}),
        (-4, {(0, 0), (0, 1), (1, 2)}),
    ],
)
def test_components_by_size(index: int, points: set[tuple[int, ...]]) -> None:
    mask = Region(CLASS, component(index)).mask(_blobs())
    assert {tuple(point) for point in mask[0].nonzero().tolist()} == points


def test_components_of_one_size_come_in_reading_order() -> None:
    mask = torch.zeros(20, 20)
    mask[::2, ::2] = 1
    scores = torch.stack([torch.zeros(20, 20), mask * 2 - 1])[None]
    for index in (0, 37, 99, -1, -100):
        found = Region(CLASS, component(index)).mask(scores)[0].nonzero().tolist()
        assert found == [[index % 100 // 10 * 2, index % 10 * 2]]


def test_components_of_each_sample_and_in_three_dimensions() -> None:
    mask = torch.zeros(2, 4, 4, 4, dtype=torch.bool)
    mask[0, 0, 0, 0] = mask[0, 1, 1, 1] = True  # joined by their corners
    mask[0, 3, 3, 3] = True
    mask[1, 2] = True
    scores = torch.stack([torch.zeros(2, 4, 4, 4), mask.float() * 2 - 1], 1)
    largest = Region(CLASS, component(0)).mask(scores)
    assert largest.flatten(1).sum(1).tolist() == [2, 16]
    with pytest.raises(
        ValueError, match=r"class 1 has 1 connected components in sample 1, and none of index 1: give one from -1 to 0"
    ):
        Region(CLASS, component(1)).mask(scores)


def test_no_component() -> None:
    with pytest.raises(
        ValueError, match="class 0 has 0 connected components in sample 0, and none of index 0: it is predicted nowhere"
    ):
        Region(0, component(0)).total(
            -torch.ones(1, 2, 3, 3).cumsum(1).flip(1) * torch.tensor([2.0, 1.0]).view(1, 2, 1, 1)
        )


WRONG: list[tuple[Any, str]] = [
    ("everywhere", r"where must be a bool mask, 'image', 'predicted', .*point or box of 2 axes; found 'everywhere'"),
    (None, r"Region's where must be .* found None"),
    ((1,), r"point or box of 2 axes; found \(1,\)"),
    ((1, 2, 3), r"point or box of 2 axes; found \(1, 2, 3\)"),
    ((5, 0), r"the point \(5, 0\) lies outside of an output of size \(5, 7\)"),
    ((0, -8), r"the point \(0, -8\) lies outside"),
    ((0.5, 0), r"a region's axis 0 must be an int or a slice, found 0.5"),
    ((0, True), r"a region's axis 1 must be an int or a slice, found True"),
    ((slice(5, 9), slice(None)), r"where=\(slice\(5, 9, None\), .* is empty in sample 0"),
    ((slice(0.5, 3), 0), r"a region's axis 0 must be sliced by ints, found slice\(0.5, 3, None\)"),
    (
        (0, slice(4, 1, -1)),
        r"axis 1 must be sliced upwards, by a step of at least 1, found slice\(4, 1, -1\)",
    ),
    (np.zeros((5, 7), dtype=bool), r"region of class 1, where=a mask \(5, 7\), is empty in sample 0"),
    (torch.zeros(5, 7, dtype=torch.bool), r"region of class 1, where=a mask \(5, 7\), is empty in sample 0"),
    (torch.ones(5, 7), r"mask must be a bool tensor \(5, 7\) or \(2, 5, 7\), found torch.float32 \(5, 7\)"),
    (torch.ones(7, 5, dtype=torch.bool), r"found torch.bool \(7, 5\)"),
    (torch.ones(1, 5, 7, dtype=torch.bool), r"found torch.bool \(1, 5, 7\)"),
]


@pytest.mark.parametrize(("where", "message"), WRONG)
def test_places_that_do_not_fit(where: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Region(CLASS, where).total(_scores((5, 7)))


def test_the_sample_that_is_empty_is_named() -> None:
    scores = _scores((5, 7))
    scores[1, CLASS] = -99
    for where in ("predicted", predicted()):
        with pytest.raises(ValueError, match="is empty in sample 1: nothing there is to be explained; choose a class"):
            Region(CLASS, where).total(scores)


@pytest.mark.parametrize("index", [-1, 3])
def test_a_class_out_of_range(index: int) -> None:
    with pytest.raises(ValueError, match=f"class_index={index} is out of range: the model has the classes 0 to 2"):
        Region(index, "image").total(_scores((5, 7)))


@pytest.mark.parametrize("index", ["1", 1.0, None, True])
def test_a_class_that_is_no_index(index: Any) -> None:
    with pytest.raises(TypeError, match="Region's class_index must be an int, found"):
        Region(index, "image").total(_scores((5, 7)))


@pytest.mark.parametrize("threshold", [-0.1, 1, 2.0, float("nan")])
def test_a_threshold_that_is_no_probability(threshold: float) -> None:
    with pytest.raises(ValueError, match="threshold must be a probability, at least 0 and below 1"):
        predicted(threshold)


@pytest.mark.parametrize("threshold", ["0.5", None, True])
def test_a_threshold_that_is_no_number(threshold: Any) -> None:
    with pytest.raises(TypeError, match="threshold must be a probability, at least 0 and below 1, found"):
        predicted(threshold)


@pytest.mark.parametrize("where", ["predicted", predicted(0.3), component(0)])
def test_nothing_is_predicted_by_an_output_of_one_class(where: Any) -> None:
    scores = _scores((5, 7))[:, :1]
    with pytest.raises(
        ValueError, match=r"the output has one class, .* give a bool mask of your own, or where='image', in place"
    ):
        Region(0, where).total(scores)
    positive = scores[:, 0] > 0
    expected = scores[:, 0].clamp(min=0).flatten(1).sum(1)
    torch.testing.assert_close(Region(0, positive).total(scores), expected)


def test_what_lies_outside_of_the_region_does_not_matter() -> None:
    scores = _scores((5, 7))
    scores[:, :, 0, 0] = float("nan")
    scores[:, 0] = float("inf")
    inside = scores[:, CLASS, 2:4, 2:4].flatten(1).sum(1)
    torch.testing.assert_close(Region(CLASS, (slice(2, 4), slice(2, 4))).total(scores), inside)
    assert Region(CLASS, "image").total(scores).isnan().all()


def test_large_regions_of_half_precision_are_added_in_single() -> None:
    scores = torch.full((1, 2, 300, 300), 3.0, dtype=torch.float16)
    total = Region(CLASS, "image").total(scores)
    assert total.item() == 270_000
    assert total.dtype == torch.float32


class _Segmentation(nn.Module):
    def __init__(self, rank: int) -> None:
        super().__init__()
        convolution = (nn.Conv1d, nn.Conv2d, nn.Conv3d)[rank - 1]
        self.encoder = nn.Sequential(convolution(1, 4, 3, 2, 1), nn.ReLU())
        self.decoder = nn.Sequential(convolution(4, 8, 1), nn.Tanh(), convolution(8, 3, 1), nn.Upsample(scale_factor=2))

    def forward(self, x: Tensor) -> Tensor:
        return self.decoder(self.encoder(x))


@pytest.mark.parametrize("rank", [1, 2, 3])
def test_through_the_engine_a_region_is_the_sum_of_its_points(rank: int) -> None:
    model, x = _Segmentation(rank).double(), torch.randn(2, 1, *(6, 8, 4)[:rank], dtype=torch.float64)
    explainer = camfast.Explainer(model, "encoder", "gradcam", relu=False, size="grid")
    box = (slice(1, 4),) * rank
    points = [Region(2, point) for point in itertools.product(range(1, 4), repeat=rank)]
    whole = explainer(x, Region(2, box))
    parts = explainer(x, points)
    assert parts.maps.shape[:2] == (2, 3**rank)
    assert parts.targets == tuple(points)
    assert oracle.relative_error(whole.maps, parts.maps.sum(1)) < 1e-12  # gradcam is linear in the score
    expected = oracle.grid(model, x, "encoder", lambda output: output[(slice(None), 2, *box)].flatten(1).sum(1))
    assert oracle.relative_error(whole.maps, expected) < 1e-12
    total = model(x)[(slice(None), 2, *box)].flatten(1).sum(1)
    assert oracle.relative_error(whole.residual, total - expected.flatten(1).sum(1)) < 1e-9


def test_masks_made_under_inference_mode() -> None:
    model, x = _Segmentation(2).double(), torch.randn(2, 1, 6, 8, dtype=torch.float64)
    with torch.inference_mode():
        mask = torch.rand(6, 8) > 0.5
        found = camfast.cam(model, x, "encoder", Region(1, mask), size="grid", relu=False)
    expected = oracle.grid(model, x, "encoder", lambda output: (output[:, 1] * mask.clone()).flatten(1).sum(1))
    assert oracle.relative_error(found, expected) < 1e-12
