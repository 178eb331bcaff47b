"""From activations and gradients to a map in one call: weights, combination and upsampling."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from camfast.ops.checks import (
    as_flag,
    as_size,
    check_activations,
    check_gaussian,
    check_method,
    check_out,
    check_pair,
    check_size,
)
from camfast.ops.forms import (
    FORMS,
    SIGMA_MISSING,
    UPSAMPLES,
    Centres,
    FusedCam,
    Gain,
    Upsample,
    map_dtype,
    per_axis,
    split_centres,
)
from camfast.ops.registry import Op, ResultShape


class _Shapes(NamedTuple):
    grid: ResultShape
    maps: ResultShape | None
    weights: ResultShape | None
    ill_conditioned: ResultShape | None


def fused_cam(
    activations: Tensor,
    gradients: Tensor,
    method: str,
    *,
    relu: bool | None = None,
    size: Sequence[int] | None = None,
    upsample: Upsample | None = None,
    sigma: float | Sequence[float] | None = None,
    gain: Gain = "spray",
    centres: Centres | None = None,
    out: Tensor | None = None,
    backend: str | None = None,
) -> Tensor:
    """Compute the map of a method, and bring it to a size, in one call.

    `channel_weights` and `weighted_sum`, or `product_sum`, then `linear_upsample` or `gaussian_upsample`, with
    activations and gradients read from memory once.

    Parameters
    ----------
    activations
        A, (N, C, *S) with one to three spatial axes; float64, float32, bfloat16 or float16.
    gradients
        G = ∂y/∂A, (N, C, *S), or (T, N, C, *S) for T targets; dtype and device of A.
    method
        A name of `camfast.methods`, whose formula stands there.
    relu
        Set negative values of the grid to 0, before upsampling; None: as the method does.
    size
        Pixels along each spatial axis; None: the map stays on the layer's grid.
    upsample
        ``"linear"`` or ``"gaussian"``; None: as the method does.
    sigma, gain, centres
        See `gaussian_upsample`; for ``"gaussian"`` only.
    out
        Tensor to write into, each map contiguous.
    backend
        See `camfast.backends`.

    Returns
    -------
    Tensor
        (N, *size) or (N, T, *size); float32 (float64 for float64).

    Raises
    ------
    TypeError, ValueError
        If an argument doesn't fit; the message names it.
    camfast.BackendError
        If the backend can't run on the device.

    Examples
    --------
    >>> A, G = torch.tensor([[[1.0, 3.0]]]), torch.tensor([[[2.0, 1.0]]])
    >>> camfast.ops.fused_cam(A, G, "hirescam", size=(4,))
    tensor([[2.0000, 2.2500, 2.7500, 3.0000]])
    """
    # nobody asks for the other parts; the grid is a part of its own where it is upsampled
    grid: Any = out if size is None else None
    written = None if out is None else FusedCam(grid, out, None, None)
    parts: FusedCam = _op.run(
        activations, gradients, method, relu, size, upsample, sigma, gain, centres, out=written, backend=backend
    )
    return parts.maps


def fused_cam_parts(
    activations: Tensor,
    gradients: Tensor,
    method: str,
    *,
    relu: bool | None = None,
    size: Sequence[int] | None = None,
    upsample: Upsample | None = None,
    sigma: float | Sequence[float] | None = None,
    gain: Gain = "spray",
    centres: Centres | None = None,
    out: FusedCam | None = None,
    backend: str | None = None,
) -> FusedCam:
    """Compute what `fused_cam` does, and return the grid, the channel weights and their conditioning with the map.

    The parameters are those of `fused_cam`, but ``out`` holds a tensor for each part: what `allocate` gives, or the
    `FusedCam.targets` of a larger result.

    Examples
    --------
    >>> A, G = torch.rand(2, 3, 4, 4), torch.rand(2, 3, 4, 4)
    >>> parts = camfast.ops.fused_cam_parts(A, G, "respond", size=(8, 8))
    >>> parts.grid.shape, parts.maps.shape, parts.weights.shape
    (torch.Size([2, 4, 4]), torch.Size([2, 8, 8]), torch.Size([2, 3]))
    """
    parts: FusedCam = _op.run(
        activations, gradients, method, relu, size, upsample, sigma, gain, centres, out=out, backend=backend
    )
    return parts


def allocate(
    activations: Tensor,
    method: str,
    size: Sequence[int] | None,
    *,
    targets: int | None = None,
    maps: Tensor | None = None,
) -> FusedCam:
    """Allocate the parts of a map, without filling them.

    Parameters
    ----------
    activations, method, size
        Those of `fused_cam`.
    targets
        Number of targets; None where the gradients have no axis of targets.
    maps
        The caller's own tensor for the maps.

    Examples
    --------
    >>> camfast.ops.allocate(torch.rand(2, 3, 4, 4), "hirescam", (8, 8), targets=5).maps.shape
    torch.Size([2, 5, 8, 8])
    """
    check_activations(activations)
    check_method(method)
    if targets is not None and (not isinstance(targets, int) or targets < 0):
        raise ValueError(f"targets must be None or how many targets there are, found {targets!r}")
    if size is not None:
        size = as_size(size)
        check_size(size, activations.shape[2:])
    samples, channels, *spatial = activations.shape
    lead = (samples,) if targets is None else (samples, targets)

    def empty(*rest: int, dtype: torch.dtype | None = None) -> Tensor:
        return activations.new_empty((*lead, *rest), dtype=dtype or map_dtype(activations.dtype))

    if maps is None:
        maps = empty(*spatial) if size is None else empty(*size)
    grid = maps if size is None else empty(*spatial)
    if not FORMS[method].weighted:
        return FusedCam(grid, maps, None, None)
    return FusedCam(grid, maps, empty(channels), empty(dtype=torch.bool))


def _prepare(
    activations: Tensor,
    gradients: Tensor,
    method: str,
    relu: bool | None,
    size: Sequence[int] | None,
    upsample: Upsample | None,
    sigma: float | Sequence[float] | None,
    gain: Gain,
    centres: Centres | None,
) -> tuple[Any, ...]:
    """The upsampling as the backends take it: no size, no upsampling; no sigma, a linear one."""
    check_activations(activations)
    check_method(method)
    form = FORMS[method]
    spatial = activations.shape[2:]
    upsample = form.upsample if upsample is None else upsample
    if not isinstance(upsample, str) or upsample not in UPSAMPLES:
        raise ValueError(f"upsample must be one of {', '.join(UPSAMPLES)}, found {upsample!r}")
    start: tuple[Any, ...] = (activations, gradients, method, form.relu if relu is None else as_flag("relu", relu))
    unused = gain, [0.0] * len(spatial), [1.0] * len(spatial)
    if size is None:
        return *start, None, None, *unused
    size = list(as_size(size))
    if upsample == "linear":
        if sigma is not None or centres is not None:
            raise ValueError("sigma and centres belong to upsample='gaussian', found them with 'linear'")
        return *start, size, None, *unused
    if sigma is None:
        raise ValueError(SIGMA_MISSING)
    check_size(size, spatial)
    return *start, size, per_axis(sigma, len(spatial)), gain, *split_centres(centres, spatial, size)


def _check(
    activations: Tensor,
    gradients: Tensor,
    method: str,
    relu: bool,  # noqa: ARG001
    size: Sequence[int] | None,
    sigma: Sequence[float] | None,
    gain: str,
    starts: Sequence[float],
    steps: Sequence[float],
) -> _Shapes:
    """The shape of each part, None where there is none: no map apart from the grid, no weights."""
    check_method(method)
    pair = check_pair(activations, gradients)
    if size is not None:
        check_size(size, pair.spatial)
        if sigma is not None:
            check_gaussian(len(pair.spatial), sigma, gain, starts, steps)
    weighted = FORMS[method].weighted
    return _Shapes(
        ResultShape(pair.lead, pair.spatial),
        None if size is None else ResultShape(pair.lead, tuple(size)),
        ResultShape(pair.lead, (pair.channels,)) if weighted else None,
        ResultShape(pair.lead, (), torch.bool) if weighted else None,
    )


def _check_out(out: FusedCam, shapes: _Shapes, inputs: Sequence[Tensor]) -> None:
    if not isinstance(out, FusedCam):
        raise TypeError(f"out must be a FusedCam, as allocate() gives, found {type(out).__name__}")
    grid, maps, weights, flags = shapes
    if maps is None and out.maps is not out.grid:
        raise ValueError("out.maps must be out.grid where no size is given")
    apart = inputs if maps is None or out.grid is None else (*inputs, out.maps)
    for name, part, shape, others in (
        ("out", out.maps, maps or grid, inputs),
        ("out.grid", out.grid, grid, apart),
        ("out.weights", out.weights, weights, inputs),
        ("out.ill_conditioned", out.ill_conditioned, flags, inputs),
    ):
        if part is not None and shape is not None:
            check_out(part, shape.lead, shape.rest, others, name, shape.dtype)


_op = Op(
    "fused_cam",
    "Tensor activations, Tensor gradients, str method, bool relu, SymInt[]? size, float[]? sigma, str gain, "
    "float[] starts, float[] steps",
    _check,
    prepare=_prepare,
    returns=FusedCam,
    alias=("maps", "grid"),
    check_out=_check_out,
)
