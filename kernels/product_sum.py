"""L[n, t, p] = Σ_k r(G[t, n, k, p] · A[n, k, p]): HiResCAM (Draelos and Carin 2020), LayerCAM (Jiang et al. 2021).

A program owns a block of positions and walks over the channels; every element is read once. Where positions are too
few to occupy the GPU, the channels are split among programs, whose partial maps `partials.py` adds up in their order.
"""

import triton
import triton.language as tl
from torch import Tensor

from camfast.kernels._partials import channel_splits, map_configs, map_shape, sum_partials, workspace
from camfast.kernels._tiles import cdiv, position_strides, relu, strides, vector, whole
from camfast.kernels._tuning import Tuned


@triton.jit
def product_sum_kernel(
    activations, gradients, maps,  # A (N, C, P), G (T, N, C, P), L (splits, N, T, P)
    T, N, C, P, split_channels,
    a_n, a_c, a_p, g_t, g_n, g_c, g_p, l_s, l_n, l_t,
    RECTIFY: tl.constexpr, RELU: tl.constexpr,
    A_VECTOR: tl.constexpr, G_VECTOR: tl.constexpr, BLOCK_C: tl.constexpr, BLOCK_P: tl.constexpr,
):  # fmt: skip
    """A block of positions, over the channels of a split."""
    P = whole(P, max(A_VECTOR, G_VECTOR))
    a_c, g_c = whole(a_c, A_VECTOR), whole(g_c, G_VECTOR)
    # targets first: programs that share a tile of A run together, and all but one of them find it in the cache
    program = tl.program_id(0)
    blocks = tl.cdiv(P, BLOCK_P)
    t, program = program % T, program // T
    block, program = program % blocks, program // blocks
    n, split = program % N, program // N

    c = tl.arange(0, BLOCK_C)[:, None]
    p = block * BLOCK_P + tl.arange(0, BLOCK_P)[None, :]
    A = activations + n * whole(a_n, A_VECTOR) + c * a_c + p * a_p
    G = gradients + t * whole(g_t, G_VECTOR) + n * whole(g_n, G_VECTOR) + c * g_c + p * g_p

    total = tl.zeros((BLOCK_C, BLOCK_P), maps.dtype.element_ty)
    last = tl.minimum((split + 1) * split_channels, C)
    for k in range(split * split_channels, last, BLOCK_C):
        inside = (c + k < last) & (p < P)
        a = tl.load(A + k * a_c, inside, 0.0).to(total.dtype)
        g = tl.load(G + k * g_c, inside, 0.0, eviction_policy="evict_first").to(total.dtype)
        if RECTIFY == "gradients":
            g = relu(g)
        product = g * a
        if RECTIFY == "product":
            product = relu(product)
        total += product
    L = tl.sum(total, 0)[None, :]
    if RELU:
        L = relu(L)
    tl.store(maps + split * l_s + n * tl.cast(l_n, tl.int64) + t * tl.cast(l_t, tl.int64) + p, L, p < P)


_kernel = Tuned(product_sum_kernel)


def product_sum(A: Tensor, G: Tensor, rectify: str, relu: bool, out: Tensor) -> None:
    """Fill out (N, T, P), adjacent in P, from A (N, C, P) and G (T, N, C, P) of any strides.

    ``rectify`` is ``"none"``, ``"gradients"`` or ``"product"``.
    """
    splits, channels = channel_splits(A, targets=G.shape[0])
    if splits == 1:
        product_sums(A, G, rectify, relu, out[None], channels)
        return
    partials = workspace(out, splits)
    product_sums(A, G, rectify, False, partials, channels)
    sum_partials(partials, relu, out)


def product_sums(A: Tensor, G: Tensor, rectify: str, relu: bool, out: Tensor, split_channels: int) -> None:
    """Fill out (splits, N, T, P), each split from as many channels, in one launch."""
    T, N, C, P = G.shape
    _kernel(
        map_shape(A, G),
        map_configs(A, G),
        lambda config: out.shape[0] * N * T * cdiv(P, config["BLOCK_P"]),
        A, G, out, T, N, C, P, split_channels,
        *position_strides(A), *position_strides(G), *strides(out)[:3],
        RECTIFY=rectify, RELU=relu, A_VECTOR=vector(A), G_VECTOR=vector(G),
    )  # fmt: skip
