"""Cases of the upsamplings, beside torch's interpolation and beside zero insertion and filtering."""

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from bench.case import INTERPOLATE, SIGMA, ZERO_INSERTION, Case, Peer, Size, Spec, make_case
from camfast import ops
from camfast.ops import reference
from camfast.ops.forms import map_dtype, split_centres


def linear_upsample(spec: Spec, device: str) -> Case:
    grid, size, out = _operands(spec, device)
    return make_case(
        spec,
        lambda backend: ops.linear_upsample(grid, size, out=out, backend=backend),
        lambda cells: reference.linear_upsample(cells, size),
        (grid,),
        out,
        peers={INTERPOLATE: Peer(_Interpolation(grid, size))},
    )


def gaussian_upsample(spec: Spec, device: str) -> Case:
    """Beside the linear interpolation too, whose result is another one: it shows what the better picture costs."""
    grid, size, out = _operands(spec, device)
    starts, steps = split_centres(None, spec.size[1:], size)
    sigma = [SIGMA] * len(size)
    return make_case(
        spec,
        lambda backend: ops.gaussian_upsample(grid, size, SIGMA, out=out, backend=backend),
        lambda cells: reference.gaussian_upsample(cells, size, sigma, "spray", starts, steps),
        (grid,),
        out,
        peers={
            INTERPOLATE: Peer(_Interpolation(grid, size), tolerance=math.inf),
            ZERO_INSERTION: Peer(_ZeroInsertion(grid, size)),
        },
    )


class _Interpolation:
    """``F.interpolate`` into an output that exists, which torch offers below its Python function only."""

    def __init__(self, grid: Tensor, size: Size) -> None:
        rank = len(size)
        overloads = (torch.ops.aten.upsample_linear1d, torch.ops.aten.upsample_bilinear2d,
                     torch.ops.aten.upsample_trilinear3d)  # fmt: skip
        self.cells = grid.reshape(1, -1, *grid.shape[-rank:]).to(map_dtype(grid.dtype))
        self.arguments = (size, False, *(None,) * rank)
        self.run = overloads[rank - 1].out
        self.out = torch.empty(1, self.cells.shape[1], *size, dtype=self.cells.dtype, device=grid.device)
        self.shape = (grid.shape[0], *size)

    def __call__(self) -> Tensor:
        self.run(self.cells, *self.arguments, out=self.out)
        return self.out.view(self.shape)


class _ZeroInsertion:
    """s − 1 zeros behind each cell, then the filter exp(−(n − (s−1)/2)² / 2σ²), an axis at a time, zero border.

    That is a transposed convolution with stride s along each axis. Taps beyond 6 σ, below 2e-8, are left out.
    """

    def __init__(self, grid: Tensor, size: Size) -> None:
        rank = len(size)
        self.cells = grid.unsqueeze(1)
        self.convolve = (F.conv_transpose1d, F.conv_transpose2d, F.conv_transpose3d)[rank - 1]
        self.axes: list[tuple[Tensor, Size, Size]] = []
        for axis, (cells, pixels) in enumerate(zip(grid.shape[1:], size, strict=True)):
            step, rest = divmod(pixels, cells)
            assert rest == 0, "zero insertion wants a whole number of pixels a cell"
            reach = math.ceil(6 * SIGMA)
            n = torch.arange(-reach, reach + step, dtype=torch.float64)
            taps = (-((n - (step - 1) / 2) ** 2) / (2 * SIGMA**2)).exp()
            along = tuple(-1 if other == axis else 1 for other in range(rank))
            self.axes.append((
                taps.to(grid).reshape(1, 1, *along),
                tuple(step if other == axis else 1 for other in range(rank)),
                tuple(reach if other == axis else 0 for other in range(rank)),
            ))  # fmt: skip

    def __call__(self) -> Tensor:
        maps = self.cells
        for taps, stride, padding in self.axes:
            maps = self.convolve(maps, taps, stride=stride, padding=padding)
        return maps.squeeze(1)


def _operands(spec: Spec, device: str) -> tuple[Tensor, Size, Tensor]:
    """A grid, the size of its maps, and a place for them."""
    assert spec.to is not None
    grid = torch.randn(spec.size, dtype=getattr(torch, spec.dtype), device=device)
    return grid, spec.to, torch.empty(spec.size[0], *spec.to, dtype=map_dtype(grid.dtype), device=device)
