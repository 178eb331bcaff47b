"""Linear upsampling of a grid, in one to three dimensions."""

from collections.abc import Sequence

from torch import Tensor

from camfast.ops.checks import as_size, check_grid
from camfast.ops.registry import Op, ResultShape


def linear_upsample(
    grid: Tensor, size: Sequence[int], *, out: Tensor | None = None, backend: str | None = None
) -> Tensor:
    """Interpolate a grid linearly along each spatial axis, cells centred half a pixel in, edges clamped.

    The same numbers as ``torch.nn.functional.interpolate`` with ``align_corners=False``. Keeps sums, times the number
    of pixels a cell, for whole numbers of pixels a cell only.

    Parameters
    ----------
    grid
        L, (N, *S) or (N, T, *S) with one to three spatial axes; float64, float32, bfloat16 or float16.
    size
        Pixels along each spatial axis; its length says how many of the grid's axes are spatial.
    out
        Tensor to write into, contiguous.
    backend
        See `camfast.backends`.

    Returns
    -------
    Tensor
        (N, *size) or (N, T, *size); float32 (float64 for float64).

    Raises
    ------
    TypeError, ValueError
        If an argument doesn't fit; the message names it.
    camfast.BackendError
        If the backend can't run on the device.

    Examples
    --------
    >>> camfast.ops.linear_upsample(torch.tensor([[0.0, 4.0]]), (4,))
    tensor([[0., 1., 3., 4.]])
    """
    return _op(grid, size, out=out, backend=backend)


def _prepare(grid: Tensor, size: Sequence[int]) -> tuple[Tensor, list[int]]:
    return grid, list(as_size(size))


def _check(grid: Tensor, size: Sequence[int]) -> ResultShape:
    target = check_grid(grid, size)
    return ResultShape((), (*grid.shape[: -len(target)], *target))


_op = Op("linear_upsample", "Tensor grid, SymInt[] size", _check, prepare=_prepare)
