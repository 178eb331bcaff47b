"""Where a candidate is larger than the value kept so far, it and its unit take the place (attentive response maps).

values, index ← candidate, unit  where candidate > values, or candidate is NaN and values isn't; ties keep what was
there (Kumar et al. 2018: D(x) = max_f R(x|f), with argmax_f). A program owns a block of pixels of one sample.
"""

import triton
import triton.language as tl
from torch import Tensor

from camfast.kernels._tiles import cdiv, position_strides, power_of_two, vector, whole


@triton.jit
def running_max_kernel(
    values, index, candidate, units, new_values, new_index,  # (N, P) each, units (N,) or a number
    unit, P, v_n, v_p, i_n, i_p, c_n, c_p, nv_n, ni_n,
    PER_SAMPLE: tl.constexpr, VECTOR: tl.constexpr, BLOCK_P: tl.constexpr,
):  # fmt: skip
    """A block of pixels of a sample."""
    P = whole(P, VECTOR)
    blocks = tl.cdiv(P, BLOCK_P)
    n = tl.program_id(0) // blocks
    p = tl.program_id(0) % blocks * BLOCK_P + tl.arange(0, BLOCK_P)
    inside = p < P
    value = tl.load(values + n * whole(v_n, VECTOR) + p * v_p, inside, 0.0)
    kept = tl.load(index + n * whole(i_n, VECTOR) + p * i_p, inside, 0)
    new = tl.load(candidate + n * whole(c_n, VECTOR) + p * c_p, inside, 0.0).to(value.dtype)
    if PER_SAMPLE:
        unit = tl.load(units + n)
    wins = (new > value) | ((new != new) & (value == value))
    tl.store(new_values + n * whole(nv_n, VECTOR) + p, tl.where(wins, new, value), inside)
    tl.store(new_index + n * whole(ni_n, VECTOR) + p, tl.where(wins, tl.cast(unit, tl.int32), kept), inside)


def running_max(
    values: Tensor, index: Tensor, candidate: Tensor, unit: int | Tensor, out: tuple[Tensor, Tensor]
) -> None:
    """Fill out, values and index (N, P) adjacent in P, which may be the inputs themselves.

    ``values``, ``index`` (int32) and ``candidate`` are (N, P) of any strides; ``unit`` a number, or integers (N,).
    """
    N, P = values.shape
    block = min(power_of_two(P), 1024)
    running_max_kernel[(N * cdiv(P, block),)](
        values, index, candidate, unit if isinstance(unit, Tensor) else index, *out,
        0 if isinstance(unit, Tensor) else unit, P,
        *position_strides(values), *position_strides(index), *position_strides(candidate),
        position_strides(out[0])[0], position_strides(out[1])[0],
        PER_SAMPLE=isinstance(unit, Tensor),
        VECTOR=min(vector(tensor) for tensor in (values, index, candidate, *out)), BLOCK_P=block,
    )  # fmt: skip
