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

def channel_weights_workspace(
    method: int,
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
    """Workspace of `channel_weights`."""

def channel_weights(
    method: int,
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
    out: int,
    out_sn: int,
    out_st: int,
    ill: int,
    scratch: int,
    scratch_bytes: int,
    counters: int,
    counter_count: int,
    device: int,
    stream: int,
) -> None:
    """Write the channels' weights (N, T, C).

    ``method``: 0 gradcam, 1 gradcam++, 2 xgradcam, 3 respond.
    """

def weighted_sum_workspace(
    dtype: int, t: int, n: int, c: int, p: int, a_sn: int, a_sc: int, a_sp: int
) -> tuple[int, int]:
    """Workspace of `weighted_sum`."""

def weighted_sum(
    dtype: int,
    t: int,
    n: int,
    c: int,
    p: int,
    a: int,
    a_sn: int,
    a_sc: int,
    a_sp: int,
    w: int,
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
    """Write sum_k w[n, t, k] A[n, k, p] as (N, T, P), rectified where ``relu``.

    ``w``: address of the weights (N, T, C), contiguous, of the result's type.
    """

def fused_cam_workspace(
    method: int,
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
    device: int,
) -> tuple[int, int]:
    """Workspace of `fused_cam`."""

def fused_cam(
    method: int,
    relu: bool,
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
    grid: int,
    grid_sn: int,
    grid_st: int,
    weights: int,
    weights_sn: int,
    weights_st: int,
    ill: int,
    first0: int,
    weights0: int,
    d0: int,
    o0: int,
    taps0: int,
    first1: int,
    weights1: int,
    d1: int,
    o1: int,
    taps1: int,
    first2: int,
    weights2: int,
    d2: int,
    o2: int,
    taps2: int,
    maps: int,
    maps_sn: int,
    maps_st: int,
    scratch: int,
    scratch_bytes: int,
    counters: int,
    counter_count: int,
    device: int,
    stream: int,
) -> None:
    """Write a map (N, T, P) to ``grid``, and to ``maps``, unless that is 0, upsampled by bands as in `linear_upsample`.

    ``method``: 0 ... 3 as in `channel_weights`, 4 ... 6 as 0 ... 2 of ``rectify`` in `product_sum`;
    ``weights`` (N, T, C) and ``ill`` may be 0, and are 0 for 4 ... 6.
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

def linear_upsample(
    dtype: int,
    m: int,
    grid: int,
    first0: int,
    weights0: int,
    d0: int,
    o0: int,
    taps0: int,
    first1: int,
    weights1: int,
    d1: int,
    o1: int,
    taps1: int,
    first2: int,
    weights2: int,
    d2: int,
    o2: int,
    taps2: int,
    out: int,
    device: int,
    stream: int,
) -> None:
    """Write the contiguous grid (M, D0, D1, D2) times the band of each axis as (M, O0, O1, O2).

    A band says for each pixel its ``first`` cell (int32) and the ``weights`` of the cells from there on, (taps, pixels)
    in the dtype of maps; 0 taps and null addresses leave an axis as it is.
    """

def gaussian_upsample(
    dtype: int,
    m: int,
    grid: int,
    first0: int,
    weights0: int,
    d0: int,
    o0: int,
    taps0: int,
    first1: int,
    weights1: int,
    d1: int,
    o1: int,
    taps1: int,
    first2: int,
    weights2: int,
    d2: int,
    o2: int,
    taps2: int,
    out: int,
    device: int,
    stream: int,
) -> None:
    """Do the same as `linear_upsample`, with other weights."""

def overlay(
    image_dtype: int,
    n: int,
    h: int,
    w: int,
    channels: int,
    image: int,
    heat_dtype: int,
    heat: int,
    first0: int,
    weights0: int,
    d0: int,
    o0: int,
    taps0: int,
    first1: int,
    weights1: int,
    d1: int,
    o1: int,
    taps1: int,
    table: int,
    low: float,
    low_at: int,
    high: float,
    high_at: int,
    alpha: float,
    black: float,
    white: float,
    threshold: float,
    out: int,
    out_sn: int,
    device: int,
    stream: int,
) -> None:
    """Write the heat (N, D0, D1), upsampled by two bands, in colour over the image, as (N, H, W, 3).

    ``low_at``, ``high_at``: addresses of float32 numbers on the device, which count in place of ``low`` and ``high``,
    or 0.
    """

def running_max(
    dtype: int,
    n: int,
    p: int,
    values: int,
    values_sn: int,
    index: int,
    index_sn: int,
    candidate: int,
    candidate_sn: int,
    units: int,
    unit: int,
    values_out: int,
    values_out_sn: int,
    index_out: int,
    index_out_sn: int,
    device: int,
    stream: int,
) -> None:
    """Write the larger of values and candidate, (N, P) of adjacent p, and the unit that it came from.

    ``units``: address of int32 (N,), or 0 where ``unit`` is the unit of all samples. ``dtype`` is the candidate's.
    """
