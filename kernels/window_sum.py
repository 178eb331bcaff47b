"""Maps of overlapping windows added up on the grid that they lie in, each cell's in the windows' order.

total[t, o_n + i] ← total[t, o_n + i] + taper[i] · maps[n, t, i], or the larger of total and map, for n = 0, 1 …: in
float64, the product rounded before the sum, so the bits are those of every other backend. A program owns a block of
cells of one target and goes through the windows, so that no two programs write to a cell.
"""

from collections.abc import Sequence

import triton
import triton.language as tl
from torch import Tensor

from camfast.kernels._tiles import cdiv, power_of_two


@triton.jit
def _moved(origin, last):
    """The nearest first cell of a window that lies inside."""
    return tl.minimum(tl.maximum(origin, 0), last)


@triton.jit
def window_sum_kernel(
    total, maps, origins, taper, out,  # (T, G0, G1, G2), (N, T, H0 * H1 * H2), (N, 3), (H0, H1, H2)
    N, G0, G1, G2, H0, H1, H2, total_t, maps_n, maps_t, out_t,
    LARGEST: tl.constexpr, IN_PLACE: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """A block of cells of a target."""
    cells = tl.cast(G0, tl.int64) * G1 * G2
    blocks = tl.cdiv(cells, BLOCK)
    t = tl.program_id(0) // blocks
    cell = tl.program_id(0) % blocks * BLOCK + tl.arange(0, BLOCK)
    inside = cell < cells
    z, y, x = cell // (G1 * G2), cell // G2 % G1, cell % G2
    value = tl.load(total + t * total_t + cell, inside, 0.0)
    touched = inside & (not IN_PLACE)
    for n in range(N):
        # nobody waits to see whether a window lies inside: one that doesn't is moved there, and leaves NaN
        oz = tl.load(origins + 3 * n).to(tl.int64)
        oy = tl.load(origins + 3 * n + 1).to(tl.int64)
        ox = tl.load(origins + 3 * n + 2).to(tl.int64)
        first, second, third = _moved(oz, G0 - H0), _moved(oy, G1 - H1), _moved(ox, G2 - H2)
        a, b, c = z - first, y - second, x - third
        covered = inside & (a >= 0) & (a < H0) & (b >= 0) & (b < H1) & (c >= 0) & (c < H2)
        place = (a * H1 + b) * H2 + c
        new = tl.load(maps + tl.cast(n, tl.int64) * maps_n + t * maps_t + place, covered, 0.0).to(tl.float64)
        new = tl.where((oz == first) & (oy == second) & (ox == third), new, float("nan"))
        if LARGEST:
            wins = covered & ((new > value) | ((new != new) & (value == value)))
            value = tl.where(wins, new, value)
        else:
            value = tl.where(covered, value + tl.load(taper + place, covered, 0.0) * new, value)
        touched = touched | covered
    tl.store(out + t * out_t + cell, value, touched)


def window_sum(
    total: Tensor,
    maps: Tensor,
    origins: Tensor,
    taper: Tensor,
    grid: Sequence[int],
    window: Sequence[int],
    largest: bool,
    out: Tensor,
) -> None:
    """Fill out (T, cells), which may be total, from total (T, cells), maps (N, T, cells) and origins (N, 3).

    ``grid`` and ``window`` are sizes of three axes; all but the leading axes are contiguous.
    """
    T, cells = total.shape
    block = min(power_of_two(cells), 256)
    window_sum_kernel[(T * cdiv(cells, block),)](
        total, maps, origins, taper, out, maps.shape[0], *grid, *window,
        total.stride(0), maps.stride(0), maps.stride(1), out.stride(0),
        LARGEST=largest, IN_PLACE=out.data_ptr() == total.data_ptr(), BLOCK=block, enable_fp_fusion=False,
    )  # fmt: skip
