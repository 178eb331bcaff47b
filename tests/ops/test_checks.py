"""What the checks of ops say of arguments that don't fit, to the last word, and what just fits."""
# ruff: noqa: E501 (a call and what is said of it stand in one line)

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from camfast import ops
from camfast.ops.checks import check_grid, check_out, check_pair, check_size, check_tensor

FLOATS = "float32, float64, bfloat16, float16"
METHODS = "gradcam, gradcam++, xgradcam, respond, hirescam, elementwise, layercam, extended"
LEVEL = "the lowest or highest value of the heat to show"


def zeros(*shape: int, dtype: torch.dtype = torch.float32, device: str = "cpu") -> Tensor:
    return torch.zeros(shape, dtype=dtype, device=device)


A = zeros(2, 3, 4, 5)


def _overlay(**changes: Any) -> Tensor:
    arguments: dict[str, Any] = {"image": zeros(1, 4, 6), "heat": zeros(1, 2, 3), "low": 0.0, "high": 1.0}
    return ops.overlay(**arguments | changes)


def _running_max(**changes: Any) -> Any:
    given: dict[str, Any] = {
        "values": zeros(2, 3), "index": zeros(2, 3, dtype=torch.int32), "candidate": zeros(2, 3), "unit": 0,
    }  # fmt: skip
    return ops.running_max(**given | changes)


def _window_sum(**changes: Any) -> Tensor:
    given: dict[str, Any] = {
        "total": zeros(2, 6, 7, dtype=torch.float64), "maps": zeros(4, 2, 3, 2),
        "origins": zeros(4, 2, dtype=torch.int64), "taper": zeros(3, 2, dtype=torch.float64),
    }  # fmt: skip
    return ops.window_sum(**given | changes)


def _gaussian(**changes: Any) -> Tensor:
    return ops.gaussian_upsample(**{"grid": zeros(1, 4, 5), "size": (8, 10), "sigma": 1.0, **changes})


SAID: list[tuple[Callable[[], Any], type[Exception], str]] = [
    (lambda: ops.channel_weights(A, [1], "respond"), TypeError, "gradients must be a torch tensor, found list"),
    (lambda: ops.channel_weights(A.int(), A, "respond"), TypeError, f"activations must be one of {FLOATS}, found torch.int32"),
    (lambda: ops.channel_weights(A[0, 0], A, "respond"), ValueError, "activations must be (N, C, *S) with one to three spatial axes, found the shape (4, 5)"),
    (lambda: ops.channel_weights(zeros(1, 1, 1, 1, 1, 1), A, "respond"), ValueError, "activations must be (N, C, *S) with one to three spatial axes, found the shape (1, 1, 1, 1, 1, 1)"),
    (lambda: ops.channel_weights(A, A[:, :2], "respond"), ValueError, "gradients must have the shape of activations, (2, 3, 4, 5), or that behind an axis of targets; found (2, 2, 4, 5)"),
    (lambda: ops.channel_weights(A, A[None, None], "respond"), ValueError, "gradients must have the shape of activations, (2, 3, 4, 5), or that behind an axis of targets; found (1, 1, 2, 3, 4, 5)"),
    (lambda: ops.channel_weights(A, A.half(), "respond"), TypeError, "gradients are torch.float16 and activations torch.float32: convert one so that both agree"),
    (lambda: ops.channel_weights(A, A.to("meta"), "respond"), ValueError, "gradients is on meta, the other input on cpu: move one of them"),
    (lambda: ops.channel_weights(A, A, "best"), ValueError, "method must be a method with channel weights: one of gradcam, gradcam++, xgradcam, respond; found 'best'"),
    (lambda: ops.fused_cam(A, A, "best"), ValueError, f"method must be a method: one of {METHODS}; found 'best'"),
    (lambda: ops.fused_cam(A, A, "gradcam", size=(8,)), ValueError, "size=(8,) has 1 axes, the grid 2: give one number for each"),
    (lambda: ops.fused_cam(A, A, "gradcam", size=(8, 0)), ValueError, "size and the grid need positive axes, found (8, 0) and (4, 5)"),
    (lambda: ops.fused_cam(A, A, "gradcam", size=(8, 8), upsample="gaussian", sigma=-1.0), ValueError, "sigma must be positive and finite, in pixels of the map, 1e-50 to 1e+50; found (-1.0, -1.0)"),
    (lambda: ops.product_sum(A, A, rectify="both"), ValueError, "rectify must be one of none, gradients, product, found 'both'"),
    (lambda: ops.product_sum(A, A[:1]), ValueError, "gradients must have the shape of activations, (2, 3, 4, 5), or that behind an axis of targets; found (1, 3, 4, 5)"),
    (lambda: ops.weighted_sum(A, zeros(2, 4)), ValueError, "weights must be (2, 3) or (2, T, 3) for activations of shape (2, 3, 4, 5), found (2, 4)"),
    (lambda: ops.weighted_sum(A, zeros(3, 3)), ValueError, "weights must be (2, 3) or (2, T, 3) for activations of shape (2, 3, 4, 5), found (3, 3)"),
    (lambda: ops.weighted_sum(A[:1, :1], zeros(1)), ValueError, "weights must be (1, 1) or (1, T, 1) for activations of shape (1, 1, 4, 5), found (1,)"),
    (lambda: ops.weighted_sum(A, zeros(2, 1, 1, 3)), ValueError, "weights must be (2, 3) or (2, T, 3) for activations of shape (2, 3, 4, 5), found (2, 1, 1, 3)"),
    (lambda: ops.weighted_sum(A.double(), zeros(2, 3)), TypeError, "weights must be torch.float64 for activations of torch.float64, found torch.float32"),
    (lambda: ops.weighted_sum(A, zeros(2, 3, device="meta")), ValueError, "weights is on meta, the other input on cpu: move one of them"),
    (lambda: ops.weighted_sum(A[..., 0, 0], zeros(2, 3)), ValueError, "activations must be (N, C, *S) with one to three spatial axes, found the shape (2, 3)"),
    (lambda: ops.weighted_sum(A, 3), TypeError, "weights must be a torch tensor, found int"),
    (lambda: ops.weighted_sum(A[0], zeros(3, 4, dtype=torch.int32)), TypeError, f"weights must be one of {FLOATS}, found torch.int32"),
    (lambda: ops.linear_upsample(zeros(4, 5), (8, 8)), ValueError, "grid must be (N, *S) or (N, T, *S) with 2 spatial axes as size=(8, 8) has, found the shape (4, 5)"),
    (lambda: ops.linear_upsample(zeros(1, 1, 1, 4, 5), (8, 8)), ValueError, "grid must be (N, *S) or (N, T, *S) with 2 spatial axes as size=(8, 8) has, found the shape (1, 1, 1, 4, 5)"),
    (lambda: ops.linear_upsample(zeros(1, 4, 5), ()), ValueError, "size must have one to three axes, found ()"),
    (lambda: ops.linear_upsample(zeros(1, 1, 1, 1, 1), (2, 2, 2, 2)), ValueError, "size must have one to three axes, found (2, 2, 2, 2)"),
    (lambda: ops.linear_upsample(zeros(1, 0), (3,)), ValueError, "size and the grid need positive axes, found (3,) and (0,)"),
    (lambda: ops.linear_upsample(None, (3,)), TypeError, "grid must be a torch tensor, found NoneType"),
    (lambda: ops.linear_upsample(zeros(1, 4), "grid"), TypeError, "size must be one number for each spatial axis, or None for no upsampling; found 'grid'"),
    (lambda: _gaussian(sigma=(1.0, 2.0, 3.0)), ValueError, "sigma must be one number or 2 (one for each spatial axis), found 3"),
    (lambda: _gaussian(sigma=math.inf), ValueError, "sigma must be positive and finite, in pixels of the map, 1e-50 to 1e+50; found (inf, inf)"),
    (lambda: _gaussian(sigma=math.nan), ValueError, "sigma must be positive and finite, in pixels of the map, 1e-50 to 1e+50; found (nan, nan)"),
    (lambda: _gaussian(gain="loud"), ValueError, "gain must be one of spray, average, mass, found 'loud'"),
    (lambda: _gaussian(centres=[(0.0, 1.0)]), ValueError, "centres must hold (start, step) for each of 2 spatial axes, found 1"),
    (lambda: _gaussian(centres=[(0.0, 1.0), (math.nan, 2.0)]), ValueError, "centres must be finite with positive steps, starts of -1e+50 to 1e+50 and steps of 1e-50 to 1e+50; found ((0.0, 1.0), (nan, 2.0))"),
    (lambda: _gaussian(centres=[(0.0, 1.0), (0.5, 0.0)]), ValueError, "centres must be finite with positive steps, starts of -1e+50 to 1e+50 and steps of 1e-50 to 1e+50; found ((0.0, 1.0), (0.5, 0.0))"),
    (lambda: _overlay(image=[1]), TypeError, "image must be a torch tensor, found list"),
    (lambda: _overlay(image=zeros(1, 4, 4, dtype=torch.int64)), TypeError, f"image must be one of uint8, uint16, {FLOATS}, found torch.int64"),
    (lambda: _overlay(image=zeros(4, 4)), ValueError, "image must be (N, H, W) or (N, H, W, 3) with at least one pixel, found the shape (4, 4)"),
    (lambda: _overlay(image=zeros(1, 4, 4, 2)), ValueError, "image must be (N, H, W) or (N, H, W, 3) with at least one pixel, found the shape (1, 4, 4, 2)"),
    (lambda: _overlay(image=zeros(1, 1, 4, 4, 3)), ValueError, "image must be (N, H, W) or (N, H, W, 3) with at least one pixel, found the shape (1, 1, 4, 4, 3)"),
    (lambda: _overlay(image=zeros(1, 4, 0)), ValueError, "image must be (N, H, W) or (N, H, W, 3) with at least one pixel, found the shape (1, 4, 0)"),
    (lambda: _overlay(heat=zeros(1, 2, 3, dtype=torch.int32)), TypeError, f"heat must be one of {FLOATS}, found torch.int32"),
    (lambda: _overlay(heat=zeros(2, 2, 3)), ValueError, "heat must be (N, h, w) with the image's N=1 and at least one cell, found the shape (2, 2, 3)"),
    (lambda: _overlay(heat=zeros(1, 2)), ValueError, "heat must be (N, h, w) with the image's N=1 and at least one cell, found the shape (1, 2)"),
    (lambda: _overlay(heat=zeros(1, 2, 0)), ValueError, "heat must be (N, h, w) with the image's N=1 and at least one cell, found the shape (1, 2, 0)"),
    (lambda: _overlay(heat=zeros(1, 2, 3, device="meta")), ValueError, "heat is on meta, the other input on cpu: move one of them"),
    (lambda: _overlay(colormap=zeros(256, 3)), ValueError, "colormap must be uint8 (256, 3), found torch.float32 (256, 3)"),
    (lambda: _overlay(colormap=zeros(255, 3, dtype=torch.uint8)), ValueError, "colormap must be uint8 (256, 3), found torch.uint8 (255, 3)"),
    (lambda: _overlay(colormap=zeros(256, 3, dtype=torch.uint8, device="meta")), ValueError, "colormap is on meta, the other input on cpu: move one of them"),
    (lambda: _overlay(low=math.nan), ValueError, f"low must be finite, found nan: {LEVEL}"),
    (lambda: _overlay(high=-math.inf), ValueError, f"high must be finite, found -inf: {LEVEL}"),
    (lambda: _overlay(alpha=1.01), ValueError, "alpha must be between 0 (the image alone) and 1 (the colours alone), found 1.01"),
    (lambda: _overlay(alpha=-0.01), ValueError, "alpha must be between 0 (the image alone) and 1 (the colours alone), found -0.01"),
    (lambda: _overlay(threshold=1.01), ValueError, "threshold must be between 0 (nothing hidden) and 1 (all below high), found 1.01"),
    (lambda: _overlay(threshold=-0.01), ValueError, "threshold must be between 0 (nothing hidden) and 1 (all below high), found -0.01"),
    (lambda: _overlay(sigma=(1.0, 1.0, 2.0)), ValueError, "sigma must be one or two positive numbers of pixels, 1e-50 to 1e+50; found (1.0, 1.0, 2.0)"),
    (lambda: _overlay(sigma=(1.0, 0.0)), ValueError, "sigma must be one or two positive numbers of pixels, 1e-50 to 1e+50; found (1.0, 0.0)"),
    (lambda: _overlay(image_range=(0.0, math.inf)), ValueError, "image_range must be two different finite levels (black, white), found (0.0, inf)"),
    (lambda: _overlay(image_range=(math.nan, 1.0)), ValueError, "image_range must be two different finite levels (black, white), found (nan, 1.0)"),
    (lambda: _overlay(image_range=(2.0, 2.0)), ValueError, "image_range must be two different finite levels (black, white), found (2.0, 2.0)"),
    (lambda: _running_max(candidate=3), TypeError, "candidate must be a torch tensor, found int"),
    (lambda: _running_max(values=3), TypeError, "values must be a torch tensor, found int"),
    (lambda: _running_max(candidate=torch.tensor(1.0)), ValueError, "candidate must be (N, *S), found a tensor of no axis"),
    (lambda: _running_max(candidate=zeros(2, 3).double()), TypeError, "values must be torch.float64 for candidates of torch.float64, found torch.float32"),
    (lambda: _running_max(values=zeros(2, 4)), ValueError, "values must have the shape of candidate, (2, 3), found (2, 4)"),
    (lambda: _running_max(values=zeros(2, 3, device="meta")), ValueError, "values is on meta, the other input on cpu: move one of them"),
    (lambda: _running_max(index=zeros(2, 3, dtype=torch.int64)), TypeError, "index must be an int32 tensor, found torch.int64"),
    (lambda: _running_max(index=[0]), TypeError, "index must be an int32 tensor, found list"),
    (lambda: _running_max(index=zeros(2, 4, dtype=torch.int32)), ValueError, "index must have the shape of candidate, (2, 3), found (2, 4)"),
    (lambda: _running_max(index=zeros(2, 3, dtype=torch.int32, device="meta")), ValueError, "index is on meta, the other input on cpu: move one of them"),
    (lambda: _running_max(unit=2**31), ValueError, "unit must be a number of 32 bits, found 2147483648"),
    (lambda: _running_max(unit=-(2**31) - 1), ValueError, "unit must be a number of 32 bits, found -2147483649"),
    (lambda: _running_max(unit=zeros(2)), TypeError, "unit must be a number or an int32 or int64 tensor, found torch.float32"),
    (lambda: _running_max(unit=zeros(3, dtype=torch.int64)), ValueError, "unit must be one number, or one a sample, (2,); found (3,)"),
    (lambda: _running_max(unit=zeros(2, dtype=torch.int64, device="meta")), ValueError, "unit is on meta, the other input on cpu: move one of them"),
    (lambda: _running_max(out=(zeros(2, 2), zeros(2, 3, dtype=torch.int32))), ValueError, "out[0] must have the shape (2, 3), found (2, 2)"),
    (lambda: _running_max(out=(zeros(2, 3), zeros(2, 3))), TypeError, "out[1] must be torch.int32 for inputs of torch.float32, found torch.float32"),
    (lambda: _running_max(out=(zeros(2, 3).double(), zeros(2, 3, dtype=torch.int32))), TypeError, "out[0] must be torch.float32 for inputs of torch.float32, found torch.float64"),
    (lambda: _running_max(out=(zeros(2, 3).to_sparse(), zeros(2, 3, dtype=torch.int32))), TypeError, "out[0] must be a dense tensor, found one that is torch.sparse_coo: to_dense() or dequantize() it"),
    (lambda: _window_sum(total=zeros(2, 6, 7)), TypeError, "total must be torch.float64, found torch.float32"),
    (lambda: _window_sum(taper=zeros(3, 2)), TypeError, "taper must be torch.float64, found torch.float32"),
    (lambda: _window_sum(total=zeros(2, dtype=torch.float64)), ValueError, "total must be (T, *G) with one to three spatial axes, found the shape (2,)"),
    (lambda: _window_sum(total=zeros(2, 6, 7, 1, 1, dtype=torch.float64)), ValueError, "total must be (T, *G) with one to three spatial axes, found the shape (2, 6, 7, 1, 1)"),
    (lambda: _window_sum(maps=zeros(4, 3, 3, 2)), ValueError, "maps must be (N, T, *h) with T=2 and 2 spatial axes as total has, found the shape (4, 3, 3, 2)"),
    (lambda: _window_sum(maps=zeros(4, 2, 3)), ValueError, "maps must be (N, T, *h) with T=2 and 2 spatial axes as total has, found the shape (4, 2, 3)"),
    (lambda: _window_sum(maps=None), TypeError, "maps must be a torch tensor, found NoneType"),
    (lambda: _window_sum(origins=zeros(4, 2)), TypeError, "origins must be an int64 or int32 tensor, found torch.float32"),
    (lambda: _window_sum(origins=[0]), TypeError, "origins must be an int64 or int32 tensor, found list"),
    (lambda: _window_sum(origins=zeros(4, 3, dtype=torch.int64)), ValueError, "origins must hold a cell of 2 axes for each window of maps, (4, 2), found the shape (4, 3)"),
    (lambda: _window_sum(taper=zeros(2, 3, dtype=torch.float64)), ValueError, "taper must have the shape of a window of maps, (3, 2), found (2, 3)"),
    (lambda: _window_sum(maps=zeros(4, 2, 3, 8), taper=zeros(3, 8, dtype=torch.float64)), ValueError, "windows must have cells, and no more than the grid along each axis: found windows of (3, 8) on a grid of (6, 7)"),
    (lambda: _window_sum(maps=zeros(4, 2, 0, 2), taper=zeros(0, 2, dtype=torch.float64)), ValueError, "windows must have cells, and no more than the grid along each axis: found windows of (0, 2) on a grid of (6, 7)"),
    (lambda: _window_sum(maps=zeros(4, 2, 3, 2, device="meta")), ValueError, "maps is on meta, the other input on cpu: move one of them"),
    (lambda: _window_sum(origins=zeros(4, 2, dtype=torch.int64, device="meta")), ValueError, "origins is on meta, the other input on cpu: move one of them"),
    (lambda: _window_sum(taper=zeros(3, 2, dtype=torch.float64, device="meta")), ValueError, "taper is on meta, the other input on cpu: move one of them"),
    (lambda: _window_sum(blend="sum"), ValueError, "blend must be one of mean, max, found 'sum'"),
    (lambda: _window_sum(out=zeros(2, 6, 7)), TypeError, "out must be torch.float64 for inputs of torch.float64, found torch.float32"),
    (lambda: _window_sum(out=[1]), TypeError, "out must be a torch tensor, found list"),
    (lambda: ops.product_sum(A, A, out=zeros(2, 4)), ValueError, "out must have the shape (2, 4, 5), found (2, 4)"),
    (lambda: ops.product_sum(A, A, out=zeros(2, 4, 5).double()), TypeError, "out must be torch.float32 for inputs of torch.float32, found torch.float64"),
    (lambda: ops.product_sum(A, A, out=zeros(2, 4, 5, device="meta")), ValueError, "out is on meta, the other input on cpu: move one of them"),
    (lambda: ops.product_sum(A, A, out=zeros(2, 5, 4).mT), ValueError, "out must be contiguous in its last 2 axes, found the strides (20, 1, 4)"),
    (lambda: ops.product_sum(A, A, out=A.view(-1)[:40].view(2, 4, 5)), ValueError, "out shares memory with an input, which it would overwrite while it is read"),
    (lambda: check_out(zeros(2).requires_grad_(), (2,), (), [A]), ValueError, "out requires grad, and an op cannot write into a tensor that does: pass it detached"),
    (lambda: ops.fused_cam_parts(A, A, "respond", out=3), TypeError, "out must be a FusedCam, as allocate() gives, found int"),  # type: ignore[arg-type]
]  # fmt: skip


@pytest.mark.parametrize(("call", "error", "text"), SAID, ids=[str(i) for i in range(len(SAID))])
def test_every_word(call: Callable[[], Any], error: type[Exception], text: str) -> None:
    with pytest.raises(error) as caught:
        call()
    assert str(caught.value) == text


def test_parts_are_named() -> None:
    size = (8, 10)
    good = ops.allocate(A, "respond", size)
    for part, name in (("maps", "out"), ("grid", "out.grid"), ("weights", "out.weights")):
        wrong = good._replace(**{part: zeros(7)})
        with pytest.raises(ValueError, match=rf"^{name} must have the shape \(2, .*\), found \(7,\)$"):
            ops.fused_cam_parts(A, A, "respond", size=size, out=wrong)
    with pytest.raises(TypeError, match=r"^out.ill_conditioned must be torch.bool for inputs of torch.float32, found"):
        ops.fused_cam_parts(A, A, "respond", size=size, out=good._replace(ill_conditioned=zeros(2)))
    with pytest.raises(ValueError, match=r"^out.grid shares memory with an input"):
        ops.fused_cam_parts(A, A, "respond", size=(4, 5), out=good._replace(maps=good.grid))
    with pytest.raises(ValueError, match=r"^out.grid shares memory with an input"):
        ops.fused_cam_parts(A, A, "respond", size=size, out=good._replace(grid=A.view(-1)[:40].view(2, 4, 5)))
    with pytest.raises(ValueError, match=r"^out.maps must be out.grid where no size is given$"):
        ops.fused_cam_parts(A, A, "respond", out=good._replace(maps=zeros(2, 4, 5)))
    parts = ops.allocate(A, "respond", None)
    assert ops.fused_cam_parts(A, A, "respond", out=parts).maps is parts.maps


@pytest.mark.parametrize("axes", [1, 2, 3])
def test_one_to_three_axes_of_one_position(axes: int) -> None:
    one = torch.full((1, 1) + (1,) * axes, 2.0)
    assert ops.fused_cam(one, one, "hirescam", size=(1,) * axes).tolist() == torch.full((1,) * (axes + 1), 4.0).tolist()
    assert ops.weighted_sum(one, zeros(1, 2, 1)).shape == (1, 2) + (1,) * axes
    assert ops.linear_upsample(one[0], (1,) * axes).shape == (1,) * (axes + 1)
    assert ops.linear_upsample(one, (1,) * axes).shape == (1,) * (axes + 2)
    total = zeros(1, *(1,) * axes, dtype=torch.float64)
    found = ops.window_sum(total, one, zeros(1, axes, dtype=torch.int32), total[0] + 1)
    assert found.flatten().tolist() == [2.0]


def test_the_ends_of_what_overlays_take() -> None:
    for change in (
        {"alpha": 0},
        {"alpha": 1},
        {"threshold": 0},
        {"threshold": 1},
        {"sigma": (1e50, 1e-50)},
        {"sigma": 3},
    ):
        assert _overlay(**change).shape == (1, 4, 6, 3)
    assert _overlay(image_range=(5.0, -5.0)).dtype == torch.uint8  # inverted
    assert _overlay(image=zeros(1, 4, 6, 3)).shape == (1, 4, 6, 3)
    assert _overlay(image=zeros(1, 1, 1), heat=zeros(1, 1, 1)).shape == (1, 1, 1, 3)


def test_the_ends_of_what_units_are() -> None:
    candidate = torch.ones(2, 3)
    for unit in (-(2**31), 2**31 - 1, torch.tensor(7), torch.tensor([7, 7], dtype=torch.int32)):
        found = _running_max(candidate=candidate, unit=unit)
        assert found.index.flatten().tolist() == [int(torch.as_tensor(unit).flatten()[0])] * 6
    flat = _running_max(values=zeros(2), index=zeros(2, dtype=torch.int32), candidate=torch.ones(2))
    assert flat.values.tolist() == [1.0, 1.0]
    assert _running_max(values=zeros(2, 3), candidate=candidate.half()).values.dtype == torch.float32


def test_outputs_in_place_and_beside() -> None:
    values, index = zeros(2, 3), zeros(2, 3, dtype=torch.int32)
    found = _running_max(values=values, index=index, candidate=torch.ones(2, 3), unit=4, out=(values, index))
    assert found.values is values
    assert (values.tolist(), index.tolist()) == ([[1.0] * 3] * 2, [[4] * 3] * 2)
    room = torch.zeros(12)
    with pytest.raises(ValueError, match=r"^out\[1\] shares memory with an input"):  # with each other
        _running_max(out=(room[:6].view(2, 3), room[3:9].view(torch.int32).view(2, 3)))
    for swapped in (
        (index.view(torch.float32), index),  # both results in one place
        (values, values.view(torch.int32)),
        (index.view(torch.float32), zeros(2, 3, dtype=torch.int32)),
    ):
        with pytest.raises(ValueError, match=r"^out\[[01]\] shares memory with an input"):
            _running_max(values=values, index=index, out=swapped)
    side = (room[:6].view(2, 3), room[6:].view(torch.int32).view(2, 3))  # that end where the others begin
    assert _running_max(out=side).values is side[0]
    total = zeros(2, 6, 7, dtype=torch.float64)
    assert _window_sum(total=total, out=total) is total
    both = zeros(4, 6, 7, dtype=torch.float64)
    assert _window_sum(total=both[:2], out=both[2:]).data_ptr() == both[2:].data_ptr()
    assert _window_sum(total=both[2:], out=both[:2]).data_ptr() == both.data_ptr()
    for out in (both[1:3], both.flatten()[1:85].view(2, 6, 7)):
        with pytest.raises(ValueError, match=r"^out shares memory"):
            _window_sum(total=both[:2], out=out)


def test_names_that_are_given() -> None:
    with pytest.raises(ValueError, match=r"^shape must have one to three axes, found \(\)$"):
        check_grid(A, (), "shape")
    with pytest.raises(ValueError, match=r"as shape=\(2,\) has, found the shape \(2, 3, 4, 5\)$"):
        check_grid(A, (2,), "shape")
    with pytest.raises(ValueError, match=r"^shape=\(2,\) has 1 axes, the grid 2: give one number for each$"):
        check_size((2,), (3, 4), "shape")
    with pytest.raises(ValueError, match=r"^shape and the grid need positive axes, found \(0,\) and \(0,\)$"):
        check_grid(zeros(1, 0), [0], "shape")
    assert check_grid(A, [8, 9]) == (8, 9)
    for dtype in (torch.float32, torch.float64, torch.bfloat16, torch.float16):
        check_tensor("x", zeros(1, dtype=dtype))


def test_sizes_of_pairs() -> None:
    pair = check_pair(A, A)
    assert pair == (1, 2, 3, (4, 5), False)
    assert pair.lead == (2,)
    several = check_pair(A, A.expand(7, -1, -1, -1, -1))
    assert several == (7, 2, 3, (4, 5), True)
    assert several.lead == (2, 7)
    out = zeros(2, 7, 4, 5)
    assert ops.product_sum(A, A.expand(7, -1, -1, -1, -1), out=out) is out
