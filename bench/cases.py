"""What is measured: each op on its sizes, by camfast, by the reference's formula, and by that formula compiled."""

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor

from camfast import ops
from camfast.ops import reference
from camfast.ops.forms import FORMS, RECTIFY, Rectify, split_centres

# ‖result − expected‖ / ‖expected‖: above the rounding of formulas that add a million terms in float32, far below what
# a wrong formula gives.
TOLERANCE = 1e-4
SIGMA = 6.0

CAMFAST, EAGER, COMPILED, FLOOR = "camfast", "eager", "compiled", "floor"

_Size = tuple[int, ...]
# activations, or a grid and the size it is upsampled to
_MAPS: tuple[tuple[_Size, _Size | None], ...] = (
    ((1, 64, 96, 96, 96), None),
    ((8, 64, 10, 10, 10), None),
    ((4, 512, 14, 14), None),
)
_UPSAMPLINGS: tuple[tuple[_Size, _Size | None], ...] = (
    ((64, 10, 10, 10), (40, 40, 40)),
    ((1, 64, 64, 64), (256, 256, 256)),
    ((8, 14, 14), (224, 224)),
)
_VARIANTS = {
    "channel_weights": ("gradcam", "respond"),
    "weighted_sum": ("",),
    "product_sum": ("none", "gradients"),
    "fused_cam": ("gradcam", "gradcam++", "respond", "layercam"),
    "linear_upsample": ("",),
    "gaussian_upsample": (f"σ {SIGMA:g}",),
}


@dataclass(frozen=True)
class Spec:
    """One op on one size: that of the activations (N, C, *S), or of the grid (N, *S) that is upsampled ``to``."""

    op: str
    variant: str
    size: _Size
    to: _Size | None = None

    def __str__(self) -> str:
        return " ".join(part for part in (self.op, self.variant, self.extent) if part)

    def key(self) -> str:
        """A short name in ASCII, unique within the op."""
        size = "x".join(map(str, self.size))
        return f"{self.variant}-{size}" if self.variant in FORMS or self.variant in RECTIFY else size

    @property
    def extent(self) -> str:
        """The size in words, such as 8×64×10³ or 64×10³ → 40³."""
        if self.to is None:
            return f"{self.size[0]}×{self.size[1]}×{_power(self.size[2:])}"
        return f"{self.size[0]}×{_power(self.size[1:])} → {_power(self.to)}"

    def build(self) -> "Case":
        """Allocate the tensors."""
        torch.manual_seed(0)
        return _BUILDERS[self.op](self)


@dataclass(frozen=True)
class Case:
    """A spec with its tensors.

    Attributes
    ----------
    spec
        What it is.
    camfast
        The op, writing into an output that exists.
    formula, arguments
        What the reference does, and the tensors that it is given.
    floor
        A library's way to do no more than read what is read, or fill the output where that is the larger.
    traffic
        Bytes of what is read and of the output, each counted once.
    """

    spec: Spec
    camfast: Callable[[], Tensor]
    formula: Callable[..., Tensor]
    arguments: tuple[Tensor, ...]
    floor: Callable[[], object]
    traffic: int

    def contenders(self, *, compiled: bool = True) -> dict[str, Callable[[], object]]:
        """What is timed, by name; compiling takes seconds."""
        found = {CAMFAST: self.camfast, EAGER: lambda: self.formula(*self.arguments), FLOOR: self.floor}
        if compiled:
            torch.compiler.reset()  # the formulas share their code, and torch limits how often it compiles one
            function = torch.compile(self.formula, dynamic=False, fullgraph=True)
            found[COMPILED] = lambda: function(*self.arguments)
        return found

    @functools.cached_property
    def expected(self) -> Tensor:
        """The formula in float64."""
        return self.formula(*(tensor.double() for tensor in self.arguments))

    def verify(self, contender: str, result: object) -> None:
        """Raise where a contender's result is not what was expected; the floor has none."""
        if contender == FLOOR:
            return
        assert isinstance(result, Tensor)
        error = float((result.double() - self.expected).norm() / self.expected.norm())
        if not error < TOLERANCE:
            raise AssertionError(f"{self.spec}, {contender}: relative error {error:.1e}, expected < {TOLERANCE:.0e}")


def specs(op: str | None = None, *, quick: bool = False) -> list[Spec]:
    """List what is measured, of one op or of all; ``quick``: on a small size."""
    found = []
    for name in _VARIANTS if op is None else (op,):
        sizes = _UPSAMPLINGS if name.endswith("upsample") else _MAPS
        if quick:
            sizes = sizes[-1:]
        found += [Spec(name, variant, size, to) for variant in _VARIANTS[name] for size, to in sizes]
    return found


def _channel_weights(spec: Spec) -> Case:
    A, G = _activations(spec), torch.randn(spec.size)
    out = torch.empty(spec.size[:2])
    return _case(
        spec,
        lambda: ops.channel_weights(A, G, spec.variant, out=out),
        lambda a, g: reference.channel_weights(a, g, spec.variant),
        (A, G),
        out,
        reads=(G,) if spec.variant == "gradcam" else (A, G),
    )


def _weighted_sum(spec: Spec) -> Case:
    A, w = _activations(spec), torch.randn(spec.size[:2])
    out = _map(spec)
    return _case(spec, lambda: ops.weighted_sum(A, w, out=out), reference.weighted_sum, (A, w), out)


def _product_sum(spec: Spec) -> Case:
    A, G = _activations(spec), torch.randn(spec.size)
    out = _map(spec)
    rectify = cast(Rectify, spec.variant)
    return _case(
        spec,
        lambda: ops.product_sum(A, G, rectify=rectify, out=out),
        lambda a, g: reference.product_sum(a, g, rectify),
        (A, G),
        out,
    )


def _fused_cam(spec: Spec) -> Case:
    """The formula gives the map alone, and is spared the conditioning that camfast reports with it."""
    A, G = _activations(spec), torch.randn(spec.size)
    out = _map(spec)
    method, form = spec.variant, FORMS[spec.variant]

    def formula(a: Tensor, g: Tensor) -> Tensor:
        if form.rectify is not None:
            return reference.product_sum(a, g, form.rectify, form.relu)
        return reference.weighted_sum(a, reference.channel_weights(a, g, method), form.relu)

    return _case(spec, lambda: ops.fused_cam(A, G, method, out=out), formula, (A, G), out)


def _linear_upsample(spec: Spec) -> Case:
    size = spec.to or ()
    grid, out = torch.randn(spec.size), torch.empty(spec.size[0], *size)
    return _case(
        spec,
        lambda: ops.linear_upsample(grid, size, out=out),
        lambda cells: reference.linear_upsample(cells, size),
        (grid,),
        out,
    )


def _gaussian_upsample(spec: Spec) -> Case:
    size = spec.to or ()
    grid, out = torch.randn(spec.size), torch.empty(spec.size[0], *size)
    starts, steps = split_centres(None, spec.size[1:], size)
    sigma = [SIGMA] * len(size)
    return _case(
        spec,
        lambda: ops.gaussian_upsample(grid, size, SIGMA, out=out),
        lambda cells: reference.gaussian_upsample(cells, size, sigma, "spray", starts, steps),
        (grid,),
        out,
    )


def _case(
    spec: Spec,
    camfast: Callable[[], Tensor],
    formula: Callable[..., Tensor],
    arguments: tuple[Tensor, ...],
    out: Tensor,
    reads: tuple[Tensor, ...] = (),
) -> Case:
    reads = reads or arguments
    read = sum(tensor.nbytes for tensor in reads)
    first, last = reads[0].view(-1), reads[-1].view(-1)
    floor: Callable[[], object]
    if out.nbytes > read:
        floor = lambda: out.fill_(0)  # noqa: E731
    elif len(reads) == 2 and len(first) == len(last):
        floor = lambda: torch.dot(first, last)  # noqa: E731
    else:
        floor = first.sum
    return Case(spec, camfast, formula, arguments, floor, read + out.nbytes)


def _activations(spec: Spec) -> Tensor:
    """As behind a ReLU, with no channel that is 0 everywhere."""
    return torch.randn(spec.size).add_(0.5).relu_()


def _map(spec: Spec) -> Tensor:
    return torch.empty(spec.size[0], *spec.size[2:])


def _power(sizes: tuple[int, ...]) -> str:
    """Equal sizes as a power, such as 96³."""
    if len(sizes) > 1 and len(set(sizes)) == 1:
        return f"{sizes[0]}{'²³'[len(sizes) - 2]}"
    return "×".join(map(str, sizes))


_BUILDERS: dict[str, Callable[[Spec], Case]] = {
    "channel_weights": _channel_weights,
    "weighted_sum": _weighted_sum,
    "product_sum": _product_sum,
    "fused_cam": _fused_cam,
    "linear_upsample": _linear_upsample,
    "gaussian_upsample": _gaussian_upsample,
}
