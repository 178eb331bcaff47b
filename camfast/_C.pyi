# ruff: noqa: N999
"""CPU kernels on raw addresses. Nothing here checks tensors: `camfast.ops.native` does, and is the only caller.

Arguments that all functions share:

- ``dtype``: element type of activations, gradients and grids: 0 float32, 1 float64, 2 bfloat16, 3 float16. Results are
  float64 for float64, float32 for all others.
- ``t, n, c, p``: targets, samples, channels, positions (the spatial axes as one).
- ``a, a_sn, a_sc, a_sp``: address of the activations A (N, C, P) and their strides in elements; any sign, 0 repeats.
  ``g, g_st, g_sn, g_sc, g_sp``: the same for the gradients G (T, N, C, P).
- ``out`` with ``out_sn, out_st`` (and ``grid``, ``weights``, ``maps`` likewise): address of a result (N, T, last), its
  strides over n and t, adjacent over the last axis. Every element is written. No result may overlap an input.
- ``ill``: 0, or the address of (N, T) uint8 flags, contiguous or with strides ``ill_sn, ill_st``: 1 where a sample is
  ill-conditioned.
- ``threads``: upper bound of the threads used, 1 or more; the bits of a result do not depend on it.

Each function ``f`` of an op has a ``bind_f``, which takes the same arguments and returns a function of a tuple of
addresses, one for each that wasn't 0, in their order, and of the number of threads: the same call elsewhere in memory.

Raises ``ValueError`` that names the argument (negative sizes, null addresses of arrays that aren't empty, unknown
codes, sizes that don't fit) and ``MemoryError``. The GIL is released where the work is large.
"""

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
    threads: int,
) -> None:
    """Write the channels' weights (N, T, C).

    ``method``: 0 gradcam, 1 gradcam++, 2 xgradcam, 3 respond.
    """

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
    threads: int,
) -> None:
    """Write sum_k w[n, t, k] A[n, k, p] as (N, T, P), rectified where ``relu``.

    ``w``: address of the weights (N, T, C), contiguous, of the result's type.
    """

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
    threads: int,
) -> None:
    """Write sum_k G[t, n, k, p] A[n, k, p] as (N, T, P), rectified where ``relu``.

    ``rectify``, before the sum: 0 nothing, 1 the gradients, 2 the product.
    """

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
    maps: int,
    maps_sn: int,
    maps_st: int,
    weights: int,
    weights_sn: int,
    weights_st: int,
    ill: int,
    ill_sn: int,
    ill_st: int,
    upsample: int,
    d0: int,
    d1: int,
    d2: int,
    o0: int,
    o1: int,
    o2: int,
    sigma0: float,
    sigma1: float,
    sigma2: float,
    gain: int,
    start0: float,
    start1: float,
    start2: float,
    step0: float,
    step1: float,
    step2: float,
    threads: int,
) -> None:
    """Write a map (N, T, P) to ``grid`` and, upsampled, (N, T, o0 * o1 * o2) to ``maps``.

    ``method``: 0 ... 3 as in `channel_weights`, 4 ... 6 as 0 ... 2 of ``rectify`` in `product_sum`;
    ``weights`` (N, T, C) and ``ill`` may be 0, and are 0 for 4 ... 6. ``upsample``: 0 none (what follows is
    ignored), 1 linear, 2 Gaussian with the arguments of `gaussian_upsample`. ``grid`` may be 0 where there is
    upsampling.
    """

def linear_upsample(
    dtype: int,
    m: int,
    d0: int,
    d1: int,
    d2: int,
    grid: int,
    o0: int,
    o1: int,
    o2: int,
    out: int,
    threads: int,
) -> None:
    """Write the maps (M, d0, d1, d2), interpolated linearly to (M, o0, o1, o2); both contiguous.

    Half-pixel centres, clamped at the edges. Leading sizes are 1 for fewer axes.
    """

def gaussian_upsample(
    dtype: int,
    m: int,
    d0: int,
    d1: int,
    d2: int,
    grid: int,
    o0: int,
    o1: int,
    o2: int,
    sigma0: float,
    sigma1: float,
    sigma2: float,
    gain: int,
    start0: float,
    start1: float,
    start2: float,
    step0: float,
    step1: float,
    step2: float,
    out: int,
    threads: int,
) -> None:
    """Write the maps (M, d0, d1, d2), each cell sprayed as a Gaussian on (M, o0, o1, o2); both contiguous.

    ``sigma`` in pixels of the output (0 or less: the axis is left as it is, its sizes being equal), cell i centred at
    ``start + i * step``. ``gain``: 0 spray, 1 average, 2 mass.
    """

def overlay(
    image_dtype: int,
    n: int,
    h: int,
    w: int,
    channels: int,
    image: int,
    dtype: int,
    d0: int,
    d1: int,
    heat: int,
    table: int,
    low: float,
    high: float,
    alpha: float,
    sigma0: float,
    sigma1: float,
    black: float,
    white: float,
    threshold: float,
    out: int,
    out_sn: int,
    threads: int,
) -> None:
    """Write the heat (N, d0, d1) in colours over the image (N, H, W, channels) to ``out`` (N, H, W, 3), uint8.

    ``image_dtype``: as ``dtype``, and 4 uint8, 5 uint16; ``channels`` 1 or 3. ``table``: address of 256 colours in
    red, green and blue, uint8. ``sigma`` in pixels, both 0 for the linear upsampling. Image and heat are contiguous.
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
    threads: int,
) -> None:
    """Write the larger of values and candidate (N, P), and the index (N, P) int32 or the unit that it came from.

    ``dtype`` is that of the candidate. ``units``: address of (N,) int32, or 0 for ``unit`` in all samples. The outputs
    may be the inputs.
    """

def window_sum(
    dtype: int,
    blend: int,
    n: int,
    t: int,
    axes: int,
    g0: int,
    g1: int,
    g2: int,
    d0: int,
    d1: int,
    d2: int,
    total: int,
    total_st: int,
    maps: int,
    maps_sn: int,
    maps_st: int,
    origins: int,
    origins_dtype: int,
    origins_sn: int,
    origins_sa: int,
    taper: int,
    out: int,
    out_st: int,
    threads: int,
) -> None:
    """Write the grid ``total`` (T, g0, g1, g2) float64, with maps (N, T, d0 * d1 * d2) of windows added, to ``out``.

    ``blend``: 0 adds ``taper`` (d0, d1, d2) float64 times the map, 1 keeps the larger. ``origins``: (N, axes), a
    window's first cell along the last ``axes`` axes; ``origins_dtype`` 6 int32, 7 int64. Maps have adjacent cells,
    grids and taper are contiguous, leading sizes are 1 for fewer axes. ``out`` may be ``total``.
    """

def resample(
    dtype: int,
    h: int,
    w: int,
    channels: int,
    image: int,
    y_pixels: int,
    y_taps: int,
    y_first: int,
    y_weights: int,
    x_pixels: int,
    x_taps: int,
    x_first: int,
    x_weights: int,
    out: int,
    threads: int,
) -> None:
    """Write a picture (H, W, C) at another size to ``out`` (C, y_pixels, x_pixels), by a band along each axis."""

def row_sum(dtype: int, j: int, i: int, matrix: int, matrix_sj: int, factors: int, out: int, threads: int) -> None:
    """Write the sum of the rows of a matrix (J, I) by factors (J,) to ``out`` (I,); rows of factor 0 are not read."""

def use_team(parallel: int, number: int) -> None:
    """Run later kernels on the threads of libgomp, given the addresses of GOMP_parallel and omp_get_thread_num.

    0 for both: on the library's own again.
    """

def isa() -> str:
    """Instruction set whose kernels were chosen at load: "baseline", "avx2" or "avx512"."""

def supported_isas() -> list[str]:
    """Instruction sets of this build that this processor has; ``CAMFAST_CPU_ISA`` may name one before import."""

def signature(
    arguments: tuple[object, ...], out: object, backend: str | None
) -> tuple[tuple[bytes, tuple[object, ...], str | None], tuple[int, ...]] | None:
    """Read what the checks of a call depend on, and the addresses of its tensors.

    The bytes hold the device, dtype, sizes and strides of each tensor of ``arguments`` and ``out``, and how each tensor
    of ``out`` lies to those before; the tuple behind them what isn't a tensor, with tuples for lists. None where raw
    addresses may not be taken: subclasses, empty tensors, those without memory of their own, with the negative bit or
    recorded by autograd, and everything while torch traces or intercepts calls.
    """
