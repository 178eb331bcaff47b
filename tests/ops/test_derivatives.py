"""Derivatives of every op against differences of its values, once and twice, in float64."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import Tensor

from camfast import ops
from camfast.ops import reference
from camfast.ops.forms import FORMS, GAINS, RECTIFY
from tests.ops import cases

WEIGHTED = [name for name, form in FORMS.items() if form.weighted]
SHAPES = [(2, 3, 5), (1, 1, 1), (2, 2, 2, 3), (1, 2, 2, 1, 2)]
Function = Callable[..., Any]


def pair(shape: tuple[int, ...], targets: int | None, *, kinks: bool = True) -> tuple[Tensor, Tensor]:
    """A and G that autograd records, each apart from 0, where a rectification has no derivative."""
    A = cases.activations(shape, torch.float64, signed=kinks)
    G = cases.gradients(shape if targets is None else (targets, *shape), torch.float64) * 10
    A, G = (values + 0.3 * values.sign() for values in (A, G))
    return (A if kinks else A + 0.2).requires_grad_(), G.requires_grad_()


def check(function: Function, *inputs: Tensor) -> None:
    assert torch.autograd.gradcheck(function, inputs)
    assert torch.autograd.gradgradcheck(function, inputs)


def away_from_its_kink(function: Function, *inputs: Tensor) -> Function:
    """The function with what the final ReLU has nearly cut off masked, where differences would step over its edge."""
    with torch.no_grad():
        keep = function(*inputs, relu=False).abs() > 1e-3
    assert keep.any()
    return lambda *inputs: function(*inputs, relu=True) * keep


@pytest.mark.parametrize("method", WEIGHTED)
@pytest.mark.parametrize("targets", [None, 2])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_channel_weights(method: str, targets: int | None, shape: tuple[int, ...]) -> None:
    A, G = pair(shape, targets, kinks=False)
    check(lambda A, G: ops.channel_weights(A, G, method), A, G)


@pytest.mark.parametrize("targets", [None, 2])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("relu", [False, True])
def test_weighted_sum(targets: int | None, shape: tuple[int, ...], relu: bool) -> None:
    A, _ = pair(shape, None)
    lead = shape[:1] if targets is None else (shape[0], targets)
    weights = torch.randn((*lead, shape[1]), dtype=torch.float64, requires_grad=True)
    check(away_from_its_kink(ops.weighted_sum, A, weights) if relu else ops.weighted_sum, A, weights)


@pytest.mark.parametrize("rectify", RECTIFY)
@pytest.mark.parametrize("targets", [None, 2])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("relu", [False, True])
def test_product_sum(rectify: Any, targets: int | None, shape: tuple[int, ...], relu: bool) -> None:
    A, G = pair(shape, targets)
    if shape == (1, 1, 1):
        A, G = A.detach().abs().requires_grad_(), G.detach().abs().requires_grad_()

    def function(A: Tensor, G: Tensor, relu: bool = False) -> Tensor:
        return ops.product_sum(A, G, rectify=rectify, relu=relu)

    check(away_from_its_kink(function, A, G) if relu else function, A, G)


@pytest.mark.parametrize(
    ("cells", "size"), [((3,), (7,)), ((1,), (4,)), ((5,), (2,)), ((2, 3), (5, 4)), ((2, 1, 2), (3, 3, 4))], ids=str
)
@pytest.mark.parametrize("lead", [(2,), (1, 2)], ids=str)
def test_linear_upsample(cells: tuple[int, ...], size: tuple[int, ...], lead: tuple[int, ...]) -> None:
    grid = torch.randn((*lead, *cells), dtype=torch.float64, requires_grad=True)
    check(lambda grid: ops.linear_upsample(grid, size), grid)


@pytest.mark.parametrize("gain", GAINS)
@pytest.mark.parametrize("centres", [None, ((1.5, 2.5), (-0.5, 1.0))])
def test_gaussian_upsample(gain: Any, centres: Any) -> None:
    grid = torch.randn(2, 3, 4, dtype=torch.float64, requires_grad=True)
    check(lambda grid: ops.gaussian_upsample(grid, (9, 6), (1.2, 0.8), gain=gain, centres=centres), grid)


@pytest.mark.parametrize("gain", GAINS)
def test_gaussians_far_narrower_than_a_cell(gain: Any) -> None:
    grid = torch.randn(1, 5, dtype=torch.float64, requires_grad=True)
    maps = ops.gaussian_upsample(grid, (23,), 0.05, gain=gain)
    expected = reference.gaussian_upsample(grid, (23,), [0.05], gain, [2.3 - 0.5], [4.6])
    seed = torch.randn(1, 23, dtype=torch.float64)
    torch.testing.assert_close(*(torch.autograd.grad(found, grid, seed)[0] for found in (maps, expected)))


@pytest.mark.parametrize("method", FORMS)
@pytest.mark.parametrize("targets", [None, 2])
@pytest.mark.parametrize(
    "options",
    [{}, {"size": (5, 7), "upsample": "linear"}, {"size": (5, 7), "upsample": "gaussian", "sigma": 1.5}],
    ids=str,
)
@pytest.mark.parametrize("relu", [False, True])
def test_fused_cam(method: str, targets: int | None, options: dict[str, Any], relu: bool) -> None:
    A, G = pair((2, 3, 2, 3), targets, kinks=not FORMS[method].weighted)
    if relu:  # kept as a whole where every cell of the grid is away from the edge of the ReLU
        G = G.detach().abs().requires_grad_()
        A = A.detach().abs().requires_grad_()
        assert (ops.fused_cam(A, G, method, relu=False) > 1e-3).all()

    def function(A: Tensor, G: Tensor) -> tuple[Tensor, ...]:
        parts = ops.fused_cam_parts(A, G, method, relu=relu, **options)
        return tuple(part for part in (parts.grid, parts.maps, parts.weights) if part is not None)

    check(function, A, G)


def _tensors(function: Function, A: Tensor, G: Tensor) -> Iterator[Tensor]:
    maps = function(A, G)
    yield maps
    yield from torch.autograd.grad(maps, (A, G), torch.ones_like(maps), allow_unused=True, materialize_grads=True)


@pytest.mark.parametrize("method", FORMS)
@pytest.mark.parametrize("dtype", cases.DTYPES, ids=str)
@pytest.mark.parametrize("targets", [None, 3])
def test_derivatives_in_every_dtype_are_those_of_the_formula(
    method: str, dtype: torch.dtype, targets: int | None
) -> None:
    shape = (2, 4, 5, 3)
    A = cases.activations(shape, dtype).requires_grad_()
    G = cases.gradients(shape if targets is None else (targets, *shape), dtype).requires_grad_()
    form = FORMS[method]

    def formula(A: Tensor, G: Tensor) -> Tensor:
        if form.rectify is not None:
            return reference.product_sum(A, G, form.rectify, form.relu)
        return reference.weighted_sum(A, reference.channel_weights(A, G, method), form.relu)

    inputs = [values.detach().double().requires_grad_() for values in (A, G)]
    found = _tensors(lambda A, G: ops.fused_cam(A, G, method), A, G)
    for values, expected in zip(found, _tensors(formula, *inputs), strict=True):
        rounding = torch.finfo(values.dtype).eps * 2
        torch.testing.assert_close(values.double(), expected, rtol=max(rounding, 1e-5), atol=max(rounding, 1e-5))
        assert values.dtype in (dtype, reference.map_dtype(dtype))


def test_only_what_is_needed_is_differentiated() -> None:
    A, G = pair((2, 3, 4), None)
    for method in FORMS:
        for recorded, other in ((A, G.detach()), (G, A.detach())):
            arguments = (recorded, other) if recorded is A else (other, recorded)
            maps = ops.fused_cam(*arguments, method, relu=False)
            (found,) = torch.autograd.grad(maps.sum(), recorded)
            both = torch.autograd.grad(ops.fused_cam(A, G, method, relu=False).sum(), (A, G))
            torch.testing.assert_close(found, both[0 if recorded is A else 1])


def test_nan_stays_in_its_sample() -> None:
    A, G = (values.detach() for values in pair((2, 3, 4), None))
    A[1, 0, 2] = torch.nan
    for method in FORMS:
        recorded = A.clone().requires_grad_()
        maps = ops.fused_cam(recorded, G, method)
        (found,) = torch.autograd.grad(maps.sum(), recorded, allow_unused=True)
        assert found is None or not found[0].isnan().any()


def test_an_output_is_refused_where_autograd_records() -> None:
    A, G = pair((2, 3, 4), None)
    out = torch.empty(2, 4, dtype=torch.float64)
    for _ in range(2):
        with pytest.raises(ValueError, match="out= can't be used where autograd records"):
            ops.fused_cam(A, G, "respond", out=out)
        with torch.no_grad():
            assert ops.fused_cam(A, G, "respond", out=out) is out


def test_running_max_and_overlay_have_no_derivative() -> None:
    values, index = torch.zeros(1, 4, requires_grad=True), torch.zeros(1, 4, dtype=torch.int32)
    with pytest.raises(ValueError, match="running_max has no derivative, and an input requires grad: detach it"):
        ops.running_max(values, index, torch.ones(1, 4), 1)
    heat = torch.zeros(1, 2, 2, requires_grad=True)
    with pytest.raises(ValueError, match="overlay has no derivative"):
        ops.overlay(torch.zeros(1, 4, 4, dtype=torch.uint8), heat, low=0.0, high=1.0)
