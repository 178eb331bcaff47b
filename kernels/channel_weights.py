"""The weight w_k of each channel, from sums over its Z positions; S_k = Σ A_k.

    gradcam    w_k = Σ G_k / Z                (Selvaraju et al. 2017)
    gradcam++  w_k = Σ α·G_k,  α = 1/(2 + S_k·G_k) where G_k > 0, else 0   (Chattopadhay et al. 2018)
    xgradcam   w_k = Σ G_k·A_k / (S_k + 1e-7)                             (Fu et al. 2020)
    respond    w_k = Σ G_k·A_k / (S_k + Z·1e-10)                          (Zhao et al. 2018)

A program owns some channels of a sample and target, and walks over their positions; A and G are read once. Where
channels are too few to occupy the GPU their positions are split, each program leaves its sums in a workspace, and a
second launch finishes. Grad-CAM++ needs S_k before it can begin on G, which then takes a launch of its own.
"""

import functools
from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from camfast.kernels._tiles import cdiv, layout, position_strides, processors, strides, tile, vector, whole
from camfast.kernels._tuning import Config, Tuned, size_class

_SEGMENT = 1 << 14  # positions of a split at least: reading them takes longer than a program's beginning and end


@triton.jit
def alpha(g, S):
    """α of Grad-CAM++, and where it is so near its pole that G = −2/S_k that the weight can't be trusted."""
    denominator = 2.0 + S * g
    return tl.where(g > 0, 1.0 / denominator, 0.0), (g > 0) & (denominator < 2e-4)


@triton.jit
def weight(X, S, Z, METHOD: tl.constexpr):
    """w_k from X = the method's sum over G, and S_k."""
    if METHOD == "gradcam":
        return X / Z
    if METHOD == "xgradcam":
        return X / (S + 1e-7)
    if METHOD == "respond":
        return X / (S + Z * 1e-10)
    return X


@triton.jit
def ill_conditioned(S, M, at_pole, METHOD: tl.constexpr):
    """Whether w_k divides by a small difference of large numbers: |S_k| < 1e-4·Σ|A_k|, or α at its pole."""
    if METHOD == "gradcam":
        return tl.zeros_like(S) > 1
    return ((tl.abs(S) < 1e-4 * M) & (M > 0)) | (at_pole > 0)


@triton.jit
def activation_sums(A, a_p, p, begin, end, alive, SUM: tl.constexpr, BLOCK_C: tl.constexpr, BLOCK_P: tl.constexpr):
    """S_k and Σ|A_k| over positions begin to end, of the channels that are alive; A points at position 0."""
    S = tl.zeros((BLOCK_C, BLOCK_P), SUM)
    M = tl.zeros((BLOCK_C, BLOCK_P), SUM)
    for q in range(begin, end, BLOCK_P):
        a = tl.load(A + (q + p) * a_p, alive & (q + p < end), 0.0).to(SUM)
        S += a
        M += tl.abs(a)
    return tl.sum(S, 1)[:, None], tl.sum(M, 1)[:, None]


@triton.jit
def channel_sums(
    program, activations, gradients, sums,  # A, G of the first of them, (splits, 4, samples, T, channels)
    samples, channels, T, P, segment, splits,
    a_n, a_c, a_p, g_t, g_n, g_c, g_p,
    METHOD: tl.constexpr, STAGE: tl.constexpr, SUM: tl.constexpr,
    A_VECTOR: tl.constexpr, G_VECTOR: tl.constexpr, BLOCK_C: tl.constexpr, BLOCK_P: tl.constexpr,
):  # fmt: skip
    """What a program adds up of some channels: S, Σ|A|, the method's sum over G, whether a term is at the pole.

    STAGE "activations" is the first two, over a split of the positions; "gradients" the rest, and for all methods but
    Grad-CAM++ the first two as well; either leaves them in sums. "all" is both over all positions. Returned with them:
    sample, target, channels, and which of these there are.
    """
    P, segment = whole(P, max(A_VECTOR, G_VECTOR)), whole(segment, max(A_VECTOR, G_VECTOR))
    blocks = tl.cdiv(channels, BLOCK_C)
    t, program = program % T, program // T
    split, program = program % splits, program // splits
    block, n = program % blocks, tl.cast(program // blocks, tl.int64)

    c = block * BLOCK_C + tl.arange(0, BLOCK_C)[:, None]
    p = tl.cast(tl.arange(0, BLOCK_P), tl.int64)[None, :]
    alive = c < channels
    A = activations + n * whole(a_n, A_VECTOR) + c * whole(a_c, A_VECTOR)
    G = gradients + t * whole(g_t, G_VECTOR) + n * whole(g_n, G_VECTOR) + c * whole(g_c, G_VECTOR)
    begin = split * segment
    end = tl.minimum(begin + segment, P)
    row = tl.cast(samples, tl.int64) * T * channels
    sums += (n * T + t) * channels + c

    S = tl.zeros((BLOCK_C, 1), SUM)
    M = tl.zeros((BLOCK_C, 1), SUM)
    X = tl.zeros((BLOCK_C, 1), SUM)
    at_pole = tl.zeros((BLOCK_C, 1), tl.int32)
    if STAGE == "activations" or (STAGE == "all" and METHOD == "gradcam++"):
        S, M = activation_sums(A, a_p, p, begin, end, alive, SUM, BLOCK_C, BLOCK_P)
    if STAGE == "gradients" and METHOD == "gradcam++":
        for other in range(splits):
            S += tl.load(sums + other * 4 * row, alive, 0.0)

    if STAGE != "activations":
        X_tile = tl.zeros((BLOCK_C, BLOCK_P), SUM)
        S_tile = tl.zeros((BLOCK_C, BLOCK_P), SUM)
        M_tile = tl.zeros((BLOCK_C, BLOCK_P), SUM)
        pole_tile = tl.zeros((BLOCK_C, BLOCK_P), tl.int32)
        for q in range(begin, end, BLOCK_P):
            inside = alive & (q + p < end)
            g = tl.load(G + (q + p) * g_p, inside, 0.0, eviction_policy="evict_first").to(SUM)
            if METHOD == "gradcam":
                X_tile += g
            elif METHOD == "gradcam++":
                factor, near = alpha(g, S)
                X_tile += factor * g
                pole_tile |= near.to(tl.int32)
            else:
                a = tl.load(A + (q + p) * a_p, inside, 0.0).to(SUM)
                X_tile += g * a
                S_tile += a
                M_tile += tl.abs(a)
        X = tl.sum(X_tile, 1)[:, None]
        at_pole = tl.max(pole_tile, 1)[:, None]
        if METHOD == "xgradcam" or METHOD == "respond":
            S, M = tl.sum(S_tile, 1)[:, None], tl.sum(M_tile, 1)[:, None]

    if STAGE != "all":
        sums += split * 4 * row
        if STAGE == "activations" or METHOD == "xgradcam" or METHOD == "respond":
            tl.store(sums, S, alive)
            tl.store(sums + row, M, alive)
        if STAGE == "gradients":
            tl.store(sums + 2 * row, X, alive)
            tl.store(sums + 3 * row, at_pole.to(SUM), alive)
    return n, t, c, alive, S, M, X, at_pole


@triton.jit
def channel_weights_kernel(
    activations, gradients, weights, flags, sums,  # A, G, w (N, T, C), flags (N, T, C), sums (splits, 4, N, T, C)
    T, N, C, P, segment, splits,
    a_n, a_c, a_p, g_t, g_n, g_c, g_p, w_n, w_t,
    METHOD: tl.constexpr, STAGE: tl.constexpr, FLAGS: tl.constexpr,
    A_VECTOR: tl.constexpr, G_VECTOR: tl.constexpr, BLOCK_C: tl.constexpr, BLOCK_P: tl.constexpr,
):  # fmt: skip
    """Some channels of a sample and target: their weights, or at other stages than "all" the sums of a split."""
    SUM: tl.constexpr = weights.dtype.element_ty
    n, t, c, alive, S, M, X, at_pole = channel_sums(
        tl.program_id(0), activations, gradients, sums, N, C, T, P, segment, splits,
        a_n, a_c, a_p, g_t, g_n, g_c, g_p, METHOD, STAGE, SUM, A_VECTOR, G_VECTOR, BLOCK_C, BLOCK_P,
    )  # fmt: skip
    if STAGE == "all":
        tl.store(weights + n * w_n + t * tl.cast(w_t, tl.int64) + c, weight(X, S, tl.cast(P, SUM), METHOD), alive)
        if FLAGS:
            tl.store(flags + (n * T + t) * C + c, ill_conditioned(S, M, at_pole, METHOD).to(tl.int8), alive)


@triton.jit
def sums_of_splits(sums, row, splits, inside, METHOD: tl.constexpr, SUM: tl.constexpr, BLOCK: tl.constexpr):
    """The four sums of some channels over all splits, in their order."""
    S = tl.zeros((BLOCK,), SUM)
    M = tl.zeros((BLOCK,), SUM)
    X = tl.zeros((BLOCK,), SUM)
    at_pole = tl.zeros((BLOCK,), SUM)
    for split in range(splits):
        part = sums + split * 4 * row
        if METHOD != "gradcam":
            S += tl.load(part, inside, 0.0)
            M += tl.load(part + row, inside, 0.0)
        X += tl.load(part + 2 * row, inside, 0.0)
        at_pole += tl.load(part + 3 * row, inside, 0.0)
    return S, M, X, at_pole


@triton.jit
def finish_weights_kernel(
    sums, weights, flags, T, N, C, P, splits, w_n, w_t, METHOD: tl.constexpr, FLAGS: tl.constexpr, BLOCK: tl.constexpr
):
    """Weights and flags from the sums of all splits."""
    row = tl.cast(N, tl.int64) * T * C
    at = tl.cast(tl.program_id(0), tl.int64) * BLOCK + tl.arange(0, BLOCK)
    inside = at < row
    SUM: tl.constexpr = weights.dtype.element_ty
    S, M, X, at_pole = sums_of_splits(sums + at, row, splits, inside, METHOD, SUM, BLOCK)
    n, t, c = at // C // T, at // C % T, at % C
    tl.store(weights + n * w_n + t * w_t + c, weight(X, S, tl.cast(P, SUM), METHOD), inside)
    if FLAGS:
        tl.store(flags + at, ill_conditioned(S, M, at_pole, METHOD).to(tl.int8), inside)


_kernel = Tuned(channel_weights_kernel)


def channel_weights(A: Tensor, G: Tensor, method: str, out: Tensor, flags: Tensor | None = None) -> None:
    """Fill out (N, T, C), adjacent in C, from A (N, C, P) and G (T, N, C, P) of any strides.

    ``flags``: int8 (N, T, C), contiguous, 1 where a channel's weight is ill-conditioned; None where nobody asks.
    """
    T, N, C, P = G.shape
    segment = _segment(A, T)
    splits = cdiv(P, segment)
    sums = torch.empty((splits, 4, N, T, C) if splits > 1 else 0, dtype=out.dtype, device=out.device)
    stages = ["all"] if splits == 1 else ["activations", "gradients"] if method == "gradcam++" else ["gradients"]
    options: dict[str, Any] = {"METHOD": method, "FLAGS": flags is not None}
    flags = sums if flags is None else flags
    for stage in stages:
        _kernel(
            (stage, method, A.dtype, layout(A), layout(G), size_class(N * T * C), size_class(P)),
            _configs(A, G),
            lambda config: splits * N * T * cdiv(C, config["BLOCK_C"]),
            A, G, out, flags, sums, T, N, C, P, segment, splits,
            *position_strides(A), *position_strides(G), *strides(out)[:2],
            STAGE=stage, A_VECTOR=vector(A), G_VECTOR=vector(G), **options,
        )  # fmt: skip
    if splits > 1:
        finish_weights_kernel[(cdiv(N * T * C, 128),)](
            sums, out, flags, T, N, C, P, splits, *strides(out)[:2], BLOCK=128, **options
        )


def _segment(A: Tensor, targets: int) -> int:
    """Positions of a split: all of them, or as many as let the splits occupy the GPU twice over."""
    N, C, P = A.shape
    rows = N * targets * C
    splits = max(min(2 * processors(A.device) // rows, P // _SEGMENT), 1)
    return min(cdiv(cdiv(P, splits), 1024) * 1024, P)


def _configs(A: Tensor, G: Tensor) -> list[Config]:
    """Tiles for a walk over the positions of (..., C, P): one long row, or several where rows are short."""
    return _tiles(A.shape[-1], 16 // A.element_size(), layout(A) == layout(G) == "channels")


@functools.cache
def _tiles(positions: int, width: int, deep: bool) -> list[Config]:
    if deep:
        shapes = [(64, 32, 4), (32, 32, 4)]
    else:
        choices = ((4, 4), (2, 8), (4, 8))  # vectors a thread, and warps
        shapes = [(*tile(positions, *[vectors * warps * 32 * width] * 2), warps) for vectors, warps in choices]
    return [{"BLOCK_C": channels, "BLOCK_P": row, "num_warps": warps} for channels, row, warps in dict.fromkeys(shapes)]
