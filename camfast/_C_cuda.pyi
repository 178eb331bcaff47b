# ruff: noqa: N999
"""CUDA kernels on raw addresses. Nothing here checks tensors: `camfast.ops.cuda` does, and is the only caller.

Arguments that all functions share are those of `camfast._C`, with addresses on a CUDA device, and without ``threads``:

- ``device``: number of the device. ``stream``: address of its cudaStream_t, 0 for the default stream.
- ``scratch, scratch_bytes``: memory to work in, aligned to 16 bytes, and its size.
- ``counters, counter_count``: unsigned 32-bit numbers, 0 before the call and 0 again behind it on the stream.

``*_workspace`` return the bytes of scratch and the number of counters that a call with these sizes and strides wants.
A call queues kernels and returns: it allocates nothing and waits for nothing. Two runs give the same bits.

Raises ``ValueError`` that names the argument, and ``RuntimeError`` with the name of the kernel that CUDA refused.
"""

def product_sum_workspace(
    dtype: int,
    t: int,
    n: int,
    c: int,
    p: int,
    a_sn: int,
    a_sc: int,
    a_sp: int,
    g_st: int,
    g_sn: int,
    g_sc: int,
    g_sp: int,
) -> tuple[int, int]:
    """Workspace of `product_sum`."""

def product_sum(
    rectify: int,
    dtype: int,
    t: int,
    n: int,
    c: int,
    p: int,
    a: int,
    a_sn: int,
    a_sc: int,
    a_sp: int,
    g: int,
    g_st: int,
    g_sn: int,
    g_sc: int,
    g_sp: int,
    relu: bool,
    out: int,
    out_sn: int,
    out_st: int,
    scratch: int,
    scratch_bytes: int,
    counters: int,
    counter_count: int,
    device: int,
    stream: int,
) -> None:
    """Write sum_k G[t, n, k, p] A[n, k, p] as (N, T, P), rectified where ``relu``.

    ``rectify``, before the sum: 0 nothing, 1 the gradients, 2 the product.
    """
