"""Maps along a singular vector against torch's SVD, sample by sample, and what the engine makes of them."""

import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import camfast
from camfast.components import first_component
from tests import oracle
from tests.capture.networks import images, sequential

SHAPES = [(5, 1), (1, 7), (3, 40), (40, 9), (7, 7)]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("centre", [False, True])
def test_against_the_svd(shape: tuple[int, int], centre: bool) -> None:
    features = torch.randn(4, *shape, dtype=torch.float64) + 0.3
    if centre and shape[1] == 1:
        L, v = first_component(features, centre=True)
        assert not L.any()  # one position less its mean
        assert not v.any()
        return
    L, v = first_component(features, centre=centre)
    expected = torch.stack([oracle.component(one, centre=centre) for one in features])
    assert oracle.relative_error(L, expected) < 1e-9  # rounding over the gap of the two largest singular values
    M = features - features.mean(-1, keepdim=True) if centre else features
    assert oracle.relative_error(torch.einsum("nkz,nk->nz", M, v), L) < 1e-12
    assert torch.allclose(v.norm(dim=1), torch.ones(4, dtype=torch.float64), atol=1e-12)


def test_targets_stand_beside_samples() -> None:
    features = torch.rand(3, 2, 6, 10)
    together = first_component(features)
    for n in range(3):
        for t in range(2):
            alone = first_component(features[n : n + 1, t])
            for one, other in zip(together, alone, strict=True):
                assert one.dtype == torch.float32
                torch.testing.assert_close(one[n, t], other[0], rtol=1e-6, atol=0)


@pytest.mark.parametrize(
    ("features", "expected"),
    [
        ([[3.0, 0.0], [4.0, 0.0]], [5.0, 0.0]),  # v = ±(0.6, 0.8), the sum over channels falls: so does L
        ([[-3.0, 0.0], [-4.0, 0.0]], [-5.0, 0.0]),
        ([[2.0, 2.0], [0.0, 0.0]], [2.0, 2.0]),  # constant, no correlation: the largest magnitude is positive
        ([[-2.0, -2.0], [0.0, 0.0]], [2.0, 2.0]),
        ([[1.0, -3.0], [-1.0, 3.0]], [-math.sqrt(2), 3 * math.sqrt(2)]),  # the sum over channels is 0 everywhere
        ([[-1.0, 3.0], [1.0, -3.0]], [-math.sqrt(2), 3 * math.sqrt(2)]),
        ([[0.0, 0.0], [0.0, 0.0]], [0.0, 0.0]),
    ],
)
def test_signs_by_hand(features: list[list[float]], expected: list[float]) -> None:
    L, _ = first_component(torch.tensor([features], dtype=torch.float64))
    torch.testing.assert_close(L[0], torch.tensor(expected, dtype=torch.float64), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("scale", [1e-200, 1e-30, 1e30, 1e200])
def test_large_and_small_numbers(scale: float) -> None:
    features = torch.rand(2, 4, 6, dtype=torch.float64)
    L, v = first_component(features * scale)
    expected, direction = first_component(features)
    torch.testing.assert_close(L / scale, expected, rtol=1e-12, atol=0)
    torch.testing.assert_close(v, direction, rtol=1e-12, atol=0)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_dtypes(dtype: torch.dtype) -> None:
    features = torch.rand(2, 6, 5).to(dtype)
    L, v = first_component(features)
    assert (L.dtype, v.dtype) == (torch.float32, torch.float32)
    expected, _ = first_component(features.double())
    assert oracle.relative_error(L, expected) < 1e-7  # the result is rounded to float32, and nothing before it


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_what_is_not_finite_stays_in_its_sample(bad: float) -> None:
    clean = torch.randn(3, 4, 6, dtype=torch.float64)
    spoiled = clean.clone()
    spoiled[1, 2, 3] = bad
    for found, expected in zip(first_component(spoiled), first_component(clean), strict=True):
        assert found[1].isnan().all()
        assert torch.equal(found[[0, 2]], expected[[0, 2]])


def test_equal_singular_values_have_a_derivative_where_the_largest_is_simple() -> None:
    weight = torch.diag(torch.tensor([3.0, 1.0, 1.0, 0.0, 0.0], dtype=torch.float64))[None]  # torch's own is NaN here

    def maps(features: Tensor) -> tuple[Tensor, Tensor]:
        return first_component(features)

    assert torch.autograd.gradcheck(maps, (weight.requires_grad_(),))


def test_eigencam_needs_no_gradient_and_knows_no_target() -> None:
    model, x = sequential(), images(3)
    backward = []

    def grid(target: Any) -> Tensor:
        result: Tensor = camfast.Explainer(model, "1", "eigencam", size="grid")(x, target).grid
        return result

    handle = model[2][1].register_full_backward_hook(lambda *_: backward.append(1))
    try:
        expected = oracle.grid(model, x, "1", 0, "eigencam")
        backward.clear()
        for target in ("predicted", 3, torch.tensor([1, 2, 0]), lambda scores: scores[:, 1] - scores[:, 0]):
            assert oracle.relative_error(grid(target), expected) < 1e-9
        every = grid("all")
        assert every.shape == (3, 5, 8, 8)
        assert all(torch.equal(every[:, target], grid(target)) for target in range(5))
        assert not backward
    finally:
        handle.remove()
    result = camfast.Explainer(model, "1", "eigencam")(x, "all")
    assert torch.allclose(result.residual, result.scores - result.grid.flatten(2).sum(2))
    assert not result.scores.requires_grad


def test_eigencam_explains_what_cannot_be_differentiated() -> None:
    class Frozen(nn.Sequential):
        def forward(self, x: Tensor) -> Tensor:
            with torch.inference_mode():
                return super().forward(x)

    for kind in (nn.Sequential, Frozen):
        model = kind(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Tanh(), nn.Flatten(), nn.Linear(144, 5)).double()
        x = images()
        with torch.no_grad():
            A = model[1](model[0](x))
        found = camfast.cam(model, x, "1", method="eigencam", size="grid")
        assert oracle.relative_error(found, torch.stack([oracle.component(one) for one in A])) < 1e-9
        changed = kind(model[0], nn.Identity(), nn.ReLU(inplace=True), *model[3:])
        before = model[0](x)
        found = camfast.cam(changed, x, "0", method="eigencam", size="grid")
        assert oracle.relative_error(found, torch.stack([oracle.component(one) for one in before.detach()])) < 1e-9


@pytest.mark.parametrize("method", ["eigencam", "eigengradcam"])
def test_centring(method: str) -> None:
    model, x = sequential(), images(3)
    found = camfast.cam(model, x, "1", 2, method=method, centre=True, size="grid")
    A, G, _ = oracle.activations_and_gradients(model, x, "1", 2)
    features = A if method == "eigencam" else G * A
    assert oracle.relative_error(found, torch.stack([oracle.component(one, centre=True) for one in features])) < 1e-9
    with pytest.raises(ValueError, match="centre belongs to eigencam and eigengradcam, found it with 'gradcam'"):
        camfast.cam(model, x, "1", centre=True)


@pytest.mark.parametrize("method", ["eigencam", "eigengradcam"])
@pytest.mark.parametrize("target", [2, [2, 0]])
def test_out_relu_sizes_and_captures(method: str, target: Any) -> None:
    model, x = sequential(), images(3)
    explainer = camfast.Explainer(model, "1", method)
    for size in ("grid", (5, 11)):
        expected = explainer.replace(size=size)(x, target)
        out = torch.full_like(expected.maps, math.nan)
        assert explainer.replace(size=size)(x, target, out=out).maps is out
        assert torch.equal(out, expected.maps)
        with camfast.capture(model, "1") as captured:
            scores = model(x)
        taken = captured.map(scores[:, target], method, size=size)
        assert oracle.relative_error(taken, expected.maps) < 1e-12
    rectified = explainer.replace(relu=True, size="grid")(x, target)
    assert torch.equal(rectified.grid, explainer(x, target).grid.relu())
    with pytest.raises(ValueError, match=r"out must have the shape"):
        explainer(x, target, out=torch.zeros(1, dtype=torch.float64))


def test_the_sign_behind_a_layer_norm_does_not_hang_on_rounding() -> None:
    """There the channels' sums are 0 but for rounding, and the position of the largest magnitude is positive."""
    torch.manual_seed(1)
    features = nn.LayerNorm(6).double()(torch.randn(40, 7, 6, dtype=torch.float64)).transpose(1, 2).detach()
    L, v = first_component(features)
    largest = L.gather(1, L.abs().argmax(1, keepdim=True))
    assert bool((largest > 0).all())
    order = torch.randperm(6)
    assert oracle.relative_error(first_component(features[:, order])[0], L) < 1e-9
    assert oracle.relative_error(torch.einsum("nkz,nk->nz", features, v), L) < 1e-12
