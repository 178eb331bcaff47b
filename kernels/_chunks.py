"""The weighted methods on maps that exceed the cache: A comes from memory once, though it is needed twice.

w_k = Σ over all positions of channel k, then L += w_k A_k. The channels are taken in chunks that stay in the
second-level cache. A launch combines one chunk, whose weights the launch before has summed, and sums the weights of
the next, so that reading memory and reading the cache overlap; Grad-CAM++, whose sum over G needs the one over A, is
a launch further behind. Launches on a stream follow one another: no program waits for another.
"""

from typing import NamedTuple

import torch
import triton
import triton.language as tl
from torch import Tensor

from camfast.kernels._tiles import cdiv, layout, position_strides, relu, strides, tile, vector, whole
from camfast.kernels.channel_weights import channel_sums, ill_conditioned, sums_of_splits, weight

_CACHE_OF_A_CPU = 1 << 17  # what the interpreter is told, so that small tests have several chunks
_SEGMENT = 1 << 14  # positions of a split at most
_SLOTS = 3  # chunks whose sums are in use at a time


@triton.jit
def extent(chunk, N, C, chunk_samples, chunk_channels):
    """First sample and channel of a chunk, and how many there are; whole samples, or channels of one sample."""
    per_sample = tl.cdiv(C, chunk_channels)
    n = chunk // per_sample * chunk_samples
    c = chunk % per_sample * chunk_channels
    return n, c, tl.minimum(chunk_samples, N - n), tl.minimum(chunk_channels, C - c)


@triton.jit
def combine(
    program, activations, sums, weights, flags, maps,  # A of the first sample and channel, the rest of all of them
    n0, c0, samples, channels, T, C, P, splits, a_n, a_c, w_n, w_t, l_n, l_t,
    METHOD: tl.constexpr, RELU: tl.constexpr, SUM: tl.constexpr, VECTOR: tl.constexpr,
    BLOCK_C: tl.constexpr, BLOCK_P: tl.constexpr,
):  # fmt: skip
    """Add a chunk's channels to the map, in one block of positions; the first block's program keeps the weights."""
    P, a_c = whole(P, VECTOR), whole(a_c, VECTOR)
    blocks = tl.cdiv(P, BLOCK_P)
    t, program = program % T, program // T
    block, n = program % blocks, program // blocks
    sample = tl.cast(n0 + n, tl.int64)
    c = tl.arange(0, BLOCK_C)
    p = block * BLOCK_P + tl.arange(0, BLOCK_P)[None, :]
    A = activations + n * whole(a_n, VECTOR) + c[:, None] * a_c + p
    row = tl.cast(samples, tl.int64) * T * channels
    sums += (n * T + t) * channels + c
    weights += sample * w_n + t * tl.cast(w_t, tl.int64) + c0 + c
    flags += (sample * T + t) * C + c0 + c

    total = tl.zeros((BLOCK_C, BLOCK_P), SUM)
    for k in range(0, channels, BLOCK_C):
        alive = k + c < channels
        S, M, X, at_pole = sums_of_splits(sums + k, row, splits, alive, METHOD, SUM, BLOCK_C)
        w = weight(X, S, tl.cast(P, SUM), METHOD)
        tl.store(weights + k, w, alive & (block == 0))
        tl.store(flags + k, ill_conditioned(S, M, at_pole, METHOD).to(tl.int8), alive & (block == 0))
        a = tl.load(A + k * a_c, alive[:, None] & (p < P), 0.0, eviction_policy="evict_first").to(SUM)
        total += w[:, None] * a
    L = tl.sum(total, 0)[None, :]
    target = maps + sample * l_n + t * tl.cast(l_t, tl.int64) + p
    L += tl.load(target, (p < P) & (c0 > 0), 0.0)
    if RELU:
        L = tl.where(c0 + channels == C, relu(L), L)
    tl.store(target, L, p < P)


@triton.jit(do_not_specialize=["chunk", "combining", "summing"])
def chunk_kernel(
    activations, gradients, weights, flags, maps, sums,  # sums (slots, slot)
    chunk, combining, summing,  # the newest chunk; programs that combine an older one, and that sum over its gradients
    N, T, C, P, chunk_samples, chunk_channels, segment, splits, slot,
    a_n, a_c, g_t, g_n, g_c, w_n, w_t, l_n, l_t,
    METHOD: tl.constexpr, RELU: tl.constexpr, A_VECTOR: tl.constexpr, G_VECTOR: tl.constexpr, SLOTS: tl.constexpr,
    BLOCK_C: tl.constexpr, BLOCK_P: tl.constexpr, ROW: tl.constexpr,
):  # fmt: skip
    """One of three: combine an older chunk, sum over the gradients of a newer, over the activations of the newest."""
    SUM: tl.constexpr = maps.dtype.element_ty
    BEHIND: tl.constexpr = 1 if METHOD == "gradcam++" else 0  # launches from the sums over A to those over G
    program = tl.program_id(0)
    if program < combining:
        old = chunk - BEHIND - 1
        n, c, samples, channels = extent(old, N, C, chunk_samples, chunk_channels)
        A = activations + n * whole(a_n, A_VECTOR) + c * whole(a_c, A_VECTOR)
        combine(
            program, A, sums + old % SLOTS * slot, weights, flags, maps, n, c, samples, channels, T, C, P, splits,
            a_n, a_c, w_n, w_t, l_n, l_t, METHOD, RELU, SUM, A_VECTOR, BLOCK_C, BLOCK_P,
        )  # fmt: skip
    elif program < combining + summing:
        newer = chunk - BEHIND
        n, c, samples, channels = extent(newer, N, C, chunk_samples, chunk_channels)
        A = activations + n * whole(a_n, A_VECTOR) + c * whole(a_c, A_VECTOR)
        G = gradients + n * whole(g_n, G_VECTOR) + c * whole(g_c, G_VECTOR)
        channel_sums(
            program - combining, A, G, sums + newer % SLOTS * slot, samples, channels, T, P, segment, splits,
            a_n, a_c, 1, g_t, g_n, g_c, 1, METHOD, "gradients", SUM, A_VECTOR, G_VECTOR, 1, ROW,
        )  # fmt: skip
    elif METHOD == "gradcam++":
        n, c, samples, channels = extent(chunk, N, C, chunk_samples, chunk_channels)
        A = activations + n * whole(a_n, A_VECTOR) + c * whole(a_c, A_VECTOR)
        channel_sums(
            program - combining - summing, A, gradients, sums + chunk % SLOTS * slot, samples, channels, T, P,
            segment, splits, a_n, a_c, 1, g_t, g_n, g_c, 1, METHOD, "activations", SUM, A_VECTOR, G_VECTOR, 1, ROW,
        )  # fmt: skip


class Chunk(NamedTuple):
    """Samples and channels of a chunk: several samples whole, or some channels of one."""

    samples: int
    channels: int


def chunk_of(A: Tensor, G: Tensor, method: str) -> Chunk | None:
    """How A is divided, or None where that gains nothing.

    Nothing is gained where A isn't read twice (Grad-CAM's weights need G alone), where it stays in the cache anyway, or
    where positions aren't adjacent.
    """
    N, C, P = A.shape
    if method == "gradcam" or not layout(A) == layout(G) == "positions":
        return None
    cache = torch.cuda.get_device_properties(A.device).L2_cache_size if A.is_cuda else _CACHE_OF_A_CPU
    if N * C * P * A.element_size() <= cache // 2:
        return None
    channels = max(cache // (4 if method == "gradcam++" else 3) // (P * A.element_size()), 1)
    return Chunk(min(channels // C, N), C) if channels >= C else Chunk(1, channels)


def weigh_and_combine(
    A: Tensor, G: Tensor, method: str, relu: bool, weights: Tensor, flags: Tensor, out: Tensor, chunk: Chunk
) -> None:
    """Fill weights (N, T, C), flags (N, T, C), bytes, contiguous, and out (N, T, P), adjacent in P."""
    T, N, C, P = G.shape
    width = 16 // A.element_size()
    block_c, block_p = tile(P, 16 * 32 * width, 128 * width)
    row = 16 * 32 * width
    splits = cdiv(P, _SEGMENT)
    slot = splits * 4 * chunk.samples * T * chunk.channels
    sums = torch.empty(_SLOTS * slot, dtype=out.dtype, device=out.device)
    per_sample = cdiv(C, chunk.channels)
    chunks = cdiv(N, chunk.samples) * per_sample

    def rows(index: int) -> tuple[int, int]:
        """Samples and channels that a chunk has; none before the first and behind the last."""
        if not 0 <= index < chunks:
            return 0, 0
        n, c = index // per_sample * chunk.samples, index % per_sample * chunk.channels
        return min(chunk.samples, N - n), min(chunk.channels, C - c)

    behind = 1 if method == "gradcam++" else 0
    for newest in range(chunks + behind + 1):
        combining = rows(newest - behind - 1)[0] * T * cdiv(P, block_p)
        samples, channels = rows(newest - behind)
        summing = samples * channels * T * splits
        samples, channels = rows(newest)
        first_sums = samples * channels * T * splits * behind
        chunk_kernel[(combining + summing + first_sums,)](
            A, G, weights, flags, out, sums, newest, combining, summing,
            N, T, C, P, *chunk, min(_SEGMENT, P), splits, slot,
            *position_strides(A)[:2], *position_strides(G)[:3], *strides(weights)[:2], *strides(out)[:2],
            METHOD=method, RELU=relu, A_VECTOR=vector(A), G_VECTOR=vector(G), SLOTS=_SLOTS,
            BLOCK_C=block_c, BLOCK_P=block_p, ROW=row, num_warps=4,
        )  # fmt: skip
