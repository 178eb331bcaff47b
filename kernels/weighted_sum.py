"""L[n, t, p] = Σ_k w[n, t, k] · A[n, k, p]: the combination of channels (Zhou et al. 2016, eq. 2).

A program owns a block of positions and walks over the channels, as in `product_sum.py`.
"""

import triton
import triton.language as tl
from torch import Tensor

from camfast.kernels._partials import channel_splits, map_configs, map_shape, sum_partials, workspace
from camfast.kernels._tiles import cdiv, position_strides, relu, strides, vector, whole
from camfast.kernels._tuning import Tuned


@triton.jit
def weighted_sum_kernel(
    activations, weights, maps,  # A (N, C, P), w (N, T, C) contiguous, L (splits, N, T, P)
    T, N, C, P, split_channels,
    a_n, a_c, a_p, l_s, l_n, l_t,
    RELU: tl.constexpr, VECTOR: tl.constexpr, BLOCK_C: tl.constexpr, BLOCK_P: tl.constexpr,
):  # fmt: skip
    """A block of positions, over the channels of a split."""
    P = whole(P, VECTOR)
    a_c = whole(a_c, VECTOR)
    # targets first: programs that share a tile of A run together, and all but one of them find it in the cache
    program = tl.program_id(0)
    blocks = tl.cdiv(P, BLOCK_P)
    t, program = program % T, program // T
    block, program = program % blocks, program // blocks
    n, split = program % N, program // N

    c = tl.arange(0, BLOCK_C)
    p = block * BLOCK_P + tl.arange(0, BLOCK_P)[None, :]
    A = activations + n * whole(a_n, VECTOR) + c[:, None] * a_c + p * a_p
    w_row = weights + (n * T + t) * C + c

    total = tl.zeros((BLOCK_C, BLOCK_P), maps.dtype.element_ty)
    last = tl.minimum((split + 1) * split_channels, C)
    for k in range(split * split_channels, last, BLOCK_C):
        alive = c + k < last
        a = tl.load(A + k * a_c, alive[:, None] & (p < P), 0.0).to(total.dtype)
        total += tl.load(w_row + k, alive, 0.0)[:, None] * a
    L = tl.sum(total, 0)[None, :]
    if RELU:
        L = relu(L)
    tl.store(maps + split * l_s + n * tl.cast(l_n, tl.int64) + t * tl.cast(l_t, tl.int64) + p, L, p < P)


_kernel = Tuned(weighted_sum_kernel)


def weighted_sum(A: Tensor, weights: Tensor, relu: bool, out: Tensor) -> None:
    """Fill out (N, T, P), adjacent in P, from A (N, C, P) of any strides and contiguous weights (N, T, C)."""
    N, T, C = weights.shape
    P = A.shape[-1]
    splits, channels = channel_splits(A, targets=T)
    sums = out[None] if splits == 1 else workspace(out, splits)
    _kernel(
        map_shape(A),
        map_configs(A),
        lambda config: splits * N * T * cdiv(P, config["BLOCK_P"]),
        A, weights, sums, T, N, C, P, channels, *position_strides(A), *strides(sums)[:3],
        RELU=relu and splits == 1, VECTOR=vector(A),
    )  # fmt: skip
    if splits > 1:
        sum_partials(sums, relu, out)
