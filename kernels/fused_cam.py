"""A map in as few launches as its size allows: weights, combination and upsampling.

L[n, t, p] = Σ_k w[n, t, k] A[n, k, p], or Σ_k r(G A) without weights; then the upsampling of L. A channel's weight
depends on that channel alone, so a program that holds a few whole channels computes their weights and at once their
part of the map, while A is in registers: A and G are read once. The parts are added up, in their order, by the launch
that upsamples; two launches in all for a Gaussian upsampling of a small grid.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
import triton
import triton.language as tl
from torch import Tensor

from camfast.kernels._axis import Axis
from camfast.kernels._chunks import chunk_of, weigh_and_combine
from camfast.kernels._partials import channel_splits, sum_partials, workspace
from camfast.kernels._tiles import cdiv, layout, position_strides, power_of_two, strides, tile, vector, whole
from camfast.kernels._tuning import Tuned, size_class
from camfast.kernels.channel_weights import alpha, channel_weights, ill_conditioned, weight
from camfast.kernels.gaussian_upsample import gaussian_upsample, is_small, upsample_small
from camfast.kernels.linear_upsample import linear_upsample
from camfast.kernels.product_sum import product_sum, product_sums
from camfast.kernels.weighted_sum import weighted_sum

_TILE = 8192  # elements of A that a program holds
_LONGEST_ROW = 4096  # positions of a channel that fits: two channels a program at least


@triton.jit
def whole_channels_kernel(
    activations, gradients, weights, flags, partials,  # A, G, w (N, T, C), flags (N, T, C), L (blocks, N, T, P)
    T, N, C, P, a_n, a_c, a_p, g_t, g_n, g_c, g_p, w_n, w_t,
    METHOD: tl.constexpr, A_VECTOR: tl.constexpr, G_VECTOR: tl.constexpr, BLOCK_C: tl.constexpr, BLOCK_P: tl.constexpr,
):  # fmt: skip
    """The weights of some channels, all of their positions at once, and their part of the map."""
    SUM: tl.constexpr = partials.dtype.element_ty
    P = whole(P, max(A_VECTOR, G_VECTOR))
    program = tl.program_id(0)
    blocks = tl.cdiv(C, BLOCK_C)
    t, program = program % T, program // T
    block, n = program % blocks, tl.cast(program // blocks, tl.int64)
    c = block * BLOCK_C + tl.arange(0, BLOCK_C)[:, None]
    p = tl.cast(tl.arange(0, BLOCK_P), tl.int64)[None, :]
    alive = c < C
    A = activations + n * whole(a_n, A_VECTOR) + c * whole(a_c, A_VECTOR) + p * a_p
    G = gradients + t * whole(g_t, G_VECTOR) + n * whole(g_n, G_VECTOR) + c * whole(g_c, G_VECTOR) + p * g_p
    a = tl.load(A, alive & (p < P), 0.0).to(SUM)
    g = tl.load(G, alive & (p < P), 0.0, eviction_policy="evict_first").to(SUM)

    S = tl.sum(a, 1)[:, None]
    at_pole = tl.zeros((BLOCK_C, 1), tl.int32)
    if METHOD == "gradcam":
        terms = g
    elif METHOD == "gradcam++":
        factor, near = alpha(g, S)
        terms = factor * g
        at_pole = tl.max(near.to(tl.int32), 1)[:, None]
    else:
        terms = g * a
    w = weight(tl.sum(terms, 1)[:, None], S, tl.cast(P, SUM), METHOD)
    ill = ill_conditioned(S, tl.sum(tl.abs(a), 1)[:, None], at_pole, METHOD)
    tl.store(weights + n * w_n + t * tl.cast(w_t, tl.int64) + c, w, alive)
    tl.store(flags + (n * T + t) * C + c, ill.to(tl.int8), alive)
    part = tl.sum(w * a, 0)[None, :]
    tl.store(partials + ((tl.cast(block, tl.int64) * N + n) * T + t) * P + p, part, p < P)


_kernel = Tuned(whole_channels_kernel)


class Upsampling(NamedTuple):
    """What happens to a grid behind its map: axes to upsample, by Gaussians or linearly, into maps (N, T, *size)."""

    axes: Sequence[Axis]
    gaussian: bool
    maps: Tensor


def fused_cam(
    A: Tensor,
    G: Tensor,
    method: str,
    rectify: str | None,
    relu: bool,
    grid: Tensor,
    weights: Tensor | None,
    flags: Tensor | None,
    upsampling: Upsampling | None,
) -> None:
    """Fill the parts of a map from A (N, C, P) and G (T, N, C, P) of any strides.

    ``rectify`` is None for a method with channel weights. ``grid`` (N, T, P) and ``weights`` (N, T, C) are adjacent in
    their last axis, ``flags`` (N, T) bytes of any strides; weights and flags are None for methods without them.
    """
    partials = channel_flags = None
    if rectify is not None:
        splits, channels = channel_splits(A, targets=len(G))
        if splits > 1:
            partials = workspace(grid, splits)
            product_sums(A, G, rectify, False, partials, channels)
        else:
            product_sum(A, G, rectify, relu, grid)
    else:
        N, T, _ = grid.shape
        C = A.shape[1]
        weights = grid.new_empty((N, T, C)) if weights is None else weights
        channel_flags = torch.empty((N, T, C), dtype=torch.int8, device=A.device)
        if A.shape[-1] <= _LONGEST_ROW:
            partials = _whole_channels(A, G, method, weights, channel_flags)
        elif (chunk := chunk_of(A, G, method)) is not None:
            weigh_and_combine(A, G, method, relu, weights, channel_flags, grid, chunk)
        else:
            channel_weights(A, G, method, weights, channel_flags)
            weighted_sum(A, weights.contiguous(), relu, grid)
    _finish(partials, channel_flags, relu, grid, flags, upsampling)


def _whole_channels(A: Tensor, G: Tensor, method: str, weights: Tensor, flags: Tensor) -> Tensor:
    """Fill weights and flags (N, T, C), and return the parts of the map, (blocks, N, T, P)."""
    T, N, C, P = G.shape
    block_c, block_p = tile(P, _TILE, _LONGEST_ROW)
    block_c = min(block_c, power_of_two(C))
    blocks = cdiv(C, block_c)
    partials = torch.empty((blocks, N, T, P), dtype=weights.dtype, device=A.device)
    _kernel(
        (method, A.dtype, layout(A), layout(G), size_class(N * T * C), block_c, block_p),
        [{"num_warps": warps} for warps in (8, 16)],
        lambda _: blocks * N * T,
        A, G, weights, flags, partials, T, N, C, P, *position_strides(A), *position_strides(G), *strides(weights)[:2],
        METHOD=method, A_VECTOR=vector(A), G_VECTOR=vector(G), BLOCK_C=block_c, BLOCK_P=block_p,
    )  # fmt: skip
    return partials


def _finish(
    partials: Tensor | None,
    channel_flags: Tensor | None,
    relu: bool,
    grid: Tensor,
    flags: Tensor | None,
    upsampling: Upsampling | None,
) -> None:
    """Add up the parts of a map and the flags of its channels, and upsample."""
    if upsampling is not None and upsampling.gaussian and partials is not None and is_small(upsampling.axes):
        cells = [axis.cells for axis in upsampling.axes]
        N, T, _ = grid.shape
        M = N * T
        maps, whole_grid = upsampling.maps.contiguous(), grid.contiguous()
        upsample_small(
            partials.view(-1, M, *cells), upsampling.axes, maps.view(M, *maps.shape[2:]), relu=relu,
            grid=whole_grid.view(M, *cells), channel_flags=channel_flags, flags=flags,
        )  # fmt: skip
        _put(maps, upsampling.maps)
        _put(whole_grid, grid)
        return
    if partials is not None:
        sum_partials(partials, relu, grid, channel_flags, flags)
    elif channel_flags is not None and flags is not None:
        flags.copy_(channel_flags.amax(-1))
    if upsampling is not None:
        cells = [axis.cells for axis in upsampling.axes]
        maps = upsampling.maps.contiguous()
        upsample = gaussian_upsample if upsampling.gaussian else linear_upsample
        upsample(grid.contiguous().view(-1, *cells), upsampling.axes, maps.view(-1, *maps.shape[2:]))
        _put(maps, upsampling.maps)


def _put(result: Tensor, target: Tensor) -> None:
    """Bring a result to where it belongs, if that is not contiguous and the result was made elsewhere."""
    if result is not target:
        target.copy_(result)
