"""The maps of overlapping windows, added up on the grid that the windows lie in."""

from collections.abc import Sequence

import torch
from torch import Tensor

from camfast.ops.checks import check_dense, check_out, check_same_device, check_tensor, same_elements
from camfast.ops.forms import BLENDS, INDEX_DTYPES, Blend
from camfast.ops.registry import Op, ResultShape


def window_sum(
    total: Tensor,
    maps: Tensor,
    origins: Tensor,
    taper: Tensor,
    *,
    blend: Blend = "mean",
    out: Tensor | None = None,
    backend: str | None = None,
) -> Tensor:
    """Add the maps of windows to a grid, each cell's in the windows' order.

    ::

        mean:  total[t, o_n + i] ← total[t, o_n + i] + taper[i] · maps[n, t, i]
        max:   total[t, o_n + i] ← max(total[t, o_n + i], maps[n, t, i])             n = 0, 1 … N − 1

    In float64: the product is rounded, then the sum (no fused multiply-add), and n ascends for every cell. So the
    bits are the same on every backend, for any number of threads, and however the windows are divided among calls
    that follow each other. The mean itself is this sum divided by that of the tapers, which maps of ones give.

    A NaN of a map stays, also under a taper of 0; in ``"max"`` it takes the place of any number. Where both are equal
    (0 and −0), what was there stays.

    Parameters
    ----------
    total
        The sums so far, (T, *G) with one to three spatial axes, float64.
    maps
        A map a window and target, (N, T, *h) on the cells of the window; float64, float32, bfloat16 or float16.
    origins
        o_n, the first cell of each window in the grid, (N, axes); int64 or int32. Every window lies wholly inside the
        grid. Tensors on a GPU aren't waited for to see that: a window that doesn't is moved inside, and its cells
        become NaN.
    taper
        Weights of a window's cells, (*h), float64; not used by ``"max"``.
    blend
        ``"mean"`` or ``"max"``.
    out
        A tensor to write into, (T, *G), contiguous behind T: ``out=total`` updates in place, and then only the cells
        that a window covers are read and written.
    backend
        See `camfast.backends`.

    Returns
    -------
    Tensor
        The new total, (T, *G), float64. It has no derivative.

    Raises
    ------
    TypeError, ValueError
        If an argument doesn't fit; the message names it.
    camfast.BackendError
        If the backend can't run on the device.

    Examples
    --------
    Two windows of two cells on a grid of four, which share the cell in the middle of three:

    >>> total, taper = torch.zeros(1, 4, dtype=torch.float64), torch.tensor([1.0, 0.5], dtype=torch.float64)
    >>> origins = torch.tensor([[0], [1]])
    >>> camfast.ops.window_sum(total, torch.tensor([[[1.0, 2.0]], [[3.0, 4.0]]]), origins, taper)
    tensor([[1., 4., 2., 0.]], dtype=torch.float64)
    """
    return _op(total, maps, origins, taper, blend, out=out, backend=backend)


def _check(total: Tensor, maps: Tensor, origins: Tensor, taper: Tensor, blend: str) -> ResultShape:
    _check_float64("total", total)
    check_tensor("maps", maps)
    _check_float64("taper", taper)
    if not isinstance(origins, Tensor) or origins.dtype not in INDEX_DTYPES:
        found = getattr(origins, "dtype", type(origins).__name__)
        raise TypeError(f"origins must be an int64 or int32 tensor, found {found}")
    check_dense("origins", origins)
    if blend not in BLENDS:
        raise ValueError(f"blend must be one of {', '.join(BLENDS)}, found {blend!r}")
    if not 2 <= total.ndim <= 4:
        raise ValueError(f"total must be (T, *G) with one to three spatial axes, found the shape {tuple(total.shape)}")
    axes, grid = total.ndim - 1, tuple(total.shape[1:])
    if maps.ndim != axes + 2 or maps.shape[1] != total.shape[0]:
        raise ValueError(
            f"maps must be (N, T, *h) with T={total.shape[0]} and {axes} spatial axes as total has, "
            f"found the shape {tuple(maps.shape)}"
        )
    if origins.shape != (maps.shape[0], axes):
        raise ValueError(
            f"origins must hold a cell of {axes} axes for each window of maps, {(maps.shape[0], axes)}, "
            f"found the shape {tuple(origins.shape)}"
        )
    if taper.shape != maps.shape[2:]:
        raise ValueError(
            f"taper must have the shape of a window of maps, {tuple(maps.shape[2:])}, found {tuple(taper.shape)}"
        )
    if not all(1 <= cells <= extent for cells, extent in zip(taper.shape, grid, strict=True)):
        raise ValueError(
            f"windows must have cells, and no more than the grid along each axis: found windows of "
            f"{tuple(taper.shape)} on a grid of {grid}"
        )
    for name, tensor in (("maps", maps), ("origins", origins), ("taper", taper)):
        check_same_device(total, tensor, name)
    return ResultShape((total.shape[0],), grid)


def _check_float64(name: str, tensor: Tensor) -> None:
    check_tensor(name, tensor)
    if tensor.dtype != torch.float64:
        raise TypeError(f"{name} must be torch.float64, found {tensor.dtype}")


def _check_out(out: Tensor, shape: ResultShape, inputs: Sequence[Tensor]) -> None:
    """The output apart from every input, but for a total that is updated in place."""
    check_dense("out", out)
    in_place = same_elements(out, inputs[0])
    check_out(out, shape.lead, shape.rest, inputs[1:] if in_place else inputs, dtype=torch.float64)


_op = Op(
    "window_sum",
    "Tensor total, Tensor maps, Tensor origins, Tensor taper, str blend",
    _check,
    check_out=_check_out,
)
