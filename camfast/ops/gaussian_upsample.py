"""Upsampling by Gaussians: every cell of the grid sprays one on the pixels, in one to three dimensions."""

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from camfast.ops.checks import check_gaussian, check_grid
from camfast.ops.forms import Centres, Gain, per_axis, split_centres
from camfast.ops.registry import Op, ResultShape


def gaussian_upsample(
    grid: Tensor,
    size: Sequence[int],
    sigma: float | Sequence[float],
    *,
    gain: Gain = "spray",
    centres: Centres | None = None,
    out: Tensor | None = None,
    backend: str | None = None,
) -> Tensor:
    """Spray every cell's value on the pixels as a Gaussian around the cell's centre.

    Along each axis, with cell centres c_i and pixels x::

        U(x) = Σ_i L_i · exp(−(x − c_i)² / 2σ²)

    Parameters
    ----------
    grid
        L, (N, *S) or (N, T, *S) with one to three spatial axes; float64, float32, bfloat16 or float16.
    size
        Pixels along each spatial axis; its length says how many of the grid's axes are spatial.
    sigma
        σ in pixels of the result, one number or one an axis: the effective receptive field of the layer. Below half
        the pixels of a cell the cells show.
    gain
        ``"spray"`` as the formula (inside an image √(2π)·σ/s an axis for s pixels a cell, about half at its border);
        ``"average"`` divides by the sum of the Gaussians at each pixel, so that a constant stays constant; ``"mass"``
        gives each cell the sum 1 over the image, so that ΣU = ΣL.
    centres
        (start, step) in pixels for each axis: c_i = start + i·step. By default cells tile the image:
        c_i = (i + ½)·s − ½, which is right where every layer pads "same".
    out
        Tensor to write into, contiguous.
    backend
        See `camfast.backends`. The kernels leave out what lies so far from a centre that it changes the result by less
        than 3e-7 of its maximum.

    Returns
    -------
    Tensor
        U, (N, *size) or (N, T, *size); float32 (float64 for float64).

    Raises
    ------
    TypeError, ValueError
        If an argument doesn't fit; the message names it.
    camfast.BackendError
        If the backend can't run on the device.

    References
    ----------
    Kim et al. 2020 (Extended-CAM), eq. 4.

    Examples
    --------
    >>> camfast.ops.gaussian_upsample(torch.tensor([[0.0, 1.0, 0.0]]), (3,), sigma=1.0)
    tensor([[0.6065, 1.0000, 0.6065]])
    """
    return _op(grid, size, sigma, gain, centres, out=out, backend=backend)


def _prepare(
    grid: Tensor, size: Sequence[int], sigma: float | Sequence[float], gain: Gain, centres: Centres | None
) -> tuple[Any, ...]:
    size = list(check_grid(grid, size))
    starts, steps = split_centres(centres, grid.shape[-len(size) :], size)
    return grid, size, per_axis(sigma, len(size)), gain, starts, steps


def _check(
    grid: Tensor,
    size: Sequence[int],
    sigma: Sequence[float],
    gain: str,
    starts: Sequence[float],
    steps: Sequence[float],
) -> ResultShape:
    target = check_grid(grid, size)
    check_gaussian(len(target), sigma, gain, starts, steps)
    return ResultShape((), (*grid.shape[: -len(target)], *target))


_op = Op(
    "gaussian_upsample",
    "Tensor grid, SymInt[] size, float[] sigma, str gain, float[] starts, float[] steps",
    _check,
    prepare=_prepare,
)
