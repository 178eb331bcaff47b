"""From activations and gradients to a map in one call: weights, combination and upsampling."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from camfast.ops import dispatch, reference
from camfast.ops.channel_weights import channel_weights
from camfast.ops.checks import (
    check_activations,
    check_gaussian,
    check_method,
    check_out,
    check_pair,
    check_size,
    is_plain,
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
from camfast.ops.gaussian_upsample import gaussian_upsample
from camfast.ops.linear_upsample import linear_upsample
from camfast.ops.product_sum import product_sum
from camfast.ops.weighted_sum import weighted_sum


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
    parts = None
    if out is not None:
        targets = gradients.shape[0] if gradients.ndim > activations.ndim else None
        parts = allocate(activations, method, size, targets=targets, maps=out)
    return fused_cam_parts(
        activations, gradients, method, relu=relu, size=size, upsample=upsample, sigma=sigma, gain=gain,
        centres=centres, out=parts, backend=backend,
    ).maps  # fmt: skip


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
    """
    pair = check_pair(activations, gradients)
    check_method(method)
    form = FORMS[method]
    relu = form.relu if relu is None else relu
    resize = _Resize.of(pair.spatial, size, upsample or form.upsample, sigma, gain, centres)
    outputs = () if out is None else tuple(field for field in out if field is not None)
    if not is_plain(activations, gradients, *outputs):
        if outputs:
            raise ValueError("out= can't be used where autograd records or torch traces the call: leave it out")
        return _composed(activations, gradients, method, relu, resize, backend)
    if out is None:
        out = allocate(activations, method, resize.size, targets=pair.targets if pair.has_targets else None)
    else:
        check_out(out.maps, pair.lead, tuple(resize.size or pair.spatial), (activations, gradients))
        if out.grid is not out.maps:
            check_out(out.grid, pair.lead, pair.spatial, (activations, gradients))
    result: FusedCam = dispatch.run("fused_cam", (activations, gradients, method, relu, *resize), out, backend)
    return result


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
    """
    check_activations(activations)
    check_method(method)
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


class _Resize(NamedTuple):
    """The upsampling as the backends take it: no size, no upsampling; no sigma, a linear one."""

    size: list[int] | None
    sigma: list[float] | None
    gain: Gain
    starts: list[float]
    steps: list[float]

    @classmethod
    def of(
        cls,
        spatial: Sequence[int],
        size: Sequence[int] | None,
        upsample: str,
        sigma: float | Sequence[float] | None,
        gain: Gain,
        centres: Centres | None,
    ) -> "_Resize":
        rank = len(spatial)
        if upsample not in UPSAMPLES:
            raise ValueError(f"upsample must be one of {', '.join(UPSAMPLES)}, found {upsample!r}")
        if size is None:
            return cls(None, None, gain, [0.0] * rank, [1.0] * rank)
        size = [int(extent) for extent in size]
        check_size(size, spatial)
        starts, steps = split_centres(centres, spatial, size)
        if upsample == "linear":
            if sigma is not None or centres is not None:
                raise ValueError("sigma and centres belong to upsample='gaussian', found them with 'linear'")
            return cls(size, None, gain, starts, steps)
        if sigma is None:
            raise ValueError(SIGMA_MISSING)
        sigmas = per_axis(sigma, rank)
        check_gaussian(rank, sigmas, gain, starts, steps)
        return cls(size, sigmas, gain, starts, steps)


def _composed(
    activations: Tensor, gradients: Tensor, method: str, relu: bool, resize: _Resize, backend: str | None
) -> FusedCam:
    """The same by the single ops, each of which autograd and tracing know."""
    rectify = FORMS[method].rectify
    weights = flags = None
    if rectify is None:
        weights = channel_weights(activations, gradients, method, backend=backend)
        flags = reference.ill_conditioned(activations.detach(), gradients.detach(), method)
        grid = weighted_sum(activations, weights, relu=relu, backend=backend)
    else:
        grid = product_sum(activations, gradients, rectify=rectify, relu=relu, backend=backend)
    if resize.size is None:
        return FusedCam(grid, grid, weights, flags)
    if resize.sigma is None:
        maps = linear_upsample(grid, resize.size, backend=backend)
    else:
        centres = tuple(zip(resize.starts, resize.steps, strict=True))
        maps = gaussian_upsample(grid, resize.size, resize.sigma, gain=resize.gain, centres=centres, backend=backend)
    return FusedCam(grid, maps, weights, flags)
