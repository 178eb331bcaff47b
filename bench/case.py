"""What a measurement is made of: an op on a size (`Spec`), and the callables that are timed on it (`Case`)."""

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from camfast.ops.forms import FORMS, RECTIFY

# ‖result − expected‖ / ‖expected‖: above the rounding of formulas that add a million terms in float32, far below what
# a wrong formula gives.
TOLERANCE = 1e-4
SIGMA = 6.0  # of the Gaussian upsampling, in pixels

CAMFAST, EAGER, COMPILED, FLOOR = "camfast", "eager", "compiled", "floor"
INTERPOLATE, ZERO_INSERTION, CV2 = "interpolate", "zero insertion", "cv2"

Size = tuple[int, ...]
Tensors = Tensor | tuple[Tensor, ...]


@dataclass(frozen=True)
class Spec:
    """One op on one size.

    Attributes
    ----------
    op, variant
        Its name, and the method or option that distinguishes it.
    size
        That of the activations (N, C, *S), or of the grid (N, *S) that is upsampled ``to``.
    dtype
        Name of the inputs' dtype.
    """

    op: str
    variant: str
    size: Size
    to: Size | None = None
    dtype: str = "float32"

    def __str__(self) -> str:
        return " ".join(part for part in (self.op, self.variant, self.extent, self._type) if part)

    def key(self) -> str:
        """A short name in ASCII, unique within the op."""
        size = "x".join(map(str, (*self.size, *(self.to or ()))))
        return f"{self.variant}-{size}" if self.variant in FORMS or self.variant in RECTIFY else size

    @property
    def extent(self) -> str:
        """The size in words, such as 8×64×10³ or 64×10³ → 40³."""
        lead, axes = (self.size[:2], self.size[2:]) if self.op in MAP_OPS else (self.size[:1], self.size[1:])
        words = "×".join((*map(str, lead), power(axes)))
        return words if self.to is None else f"{words} → {power(self.to)}"

    @property
    def _type(self) -> str:
        return "" if self.dtype == "float32" else self.dtype


MAP_OPS = ("channel_weights", "weighted_sum", "product_sum", "fused_cam")


@dataclass(frozen=True)
class Peer:
    """Another way to the same result, and how far from it (relative, in the 2-norm) is near enough."""

    run: Callable[[], object]
    tolerance: float = TOLERANCE


@dataclass(frozen=True)
class Case:
    """A spec with its tensors.

    Attributes
    ----------
    spec
        What it is.
    run
        The op by a backend (None: the one camfast chooses), writing into an output that exists.
    formula, arguments
        What the reference does, and the tensors that it is given.
    floor
        A library's way to do no more than read what is read, or fill the output where that is the larger.
    traffic
        Bytes of what is read and of the output, each counted once.
    peers
        Others that are timed on it, by name.
    tolerance
        How far from the formula in float64 a result may be.
    """

    spec: Spec
    run: Callable[[str | None], Tensors]
    formula: Callable[..., Tensors]
    arguments: tuple[Tensor, ...]
    floor: Callable[[], object]
    traffic: int
    peers: Mapping[str, Peer] = field(default_factory=dict)
    tolerance: float = TOLERANCE

    def contenders(self, *, compiled: bool = True) -> dict[str, Callable[[], object]]:
        """What is timed, by name; compiling takes seconds."""
        found: dict[str, Callable[[], object]] = {
            CAMFAST: lambda: self.run(None),
            EAGER: lambda: self.formula(*self.arguments),
            FLOOR: self.floor,
        }
        found |= {name: peer.run for name, peer in self.peers.items()}
        if compiled:
            torch.compiler.reset()  # the formulas share their code, and torch limits how often it compiles one
            function = torch.compile(self.formula, dynamic=False, fullgraph=True)
            found[COMPILED] = lambda: function(*self.arguments)
        return found

    @functools.cached_property
    def expected(self) -> tuple[Tensor, ...]:
        """The formula in float64, sample by sample, as float64 copies of all of them can be too large."""
        samples = []
        for i in range(len(self.arguments[0])):
            own = (tensor[i : i + 1] for tensor in self.arguments)
            samples.append(_tuple(self.formula(*(t.double() if t.is_floating_point() else t for t in own))))
        return tuple(torch.cat(parts) for parts in zip(*samples, strict=True))

    def verify(self, contender: str, result: object) -> None:
        """Raise where a contender's result is not what was expected; the floor has none."""
        if contender == FLOOR:
            return
        tolerance = self.peers[contender].tolerance if contender in self.peers else self.tolerance
        for found, expected in zip(_tuple(result), self.expected, strict=True):
            error = float((found.double() - expected.double()).norm() / expected.double().norm())
            if not error < tolerance:
                raise AssertionError(
                    f"{self.spec}, {contender}: relative error {error:.1e}, expected < {tolerance:.0e}"
                )


def make_case(
    spec: Spec,
    run: Callable[[str | None], Tensors],
    formula: Callable[..., Tensors],
    arguments: tuple[Tensor, ...],
    out: Tensors,
    *,
    reads: tuple[Tensor, ...] = (),
    floor: Callable[[], object] | None = None,
    peers: Mapping[str, Peer] | None = None,
    tolerance: float = TOLERANCE,
) -> Case:
    """Make a case whose floor and traffic follow from what is read (``arguments``, if not other) and written."""
    reads = reads or arguments
    read, written = (sum(tensor.nbytes for tensor in tensors) for tensors in (reads, _tuple(out)))
    if floor is None:
        floor = _filling(_tuple(out)) if written > read else _reading(reads)
    return Case(spec, run, formula, arguments, floor, read + written, peers or {}, tolerance)


def power(sizes: Size) -> str:
    """Equal sizes as a power, such as 96³."""
    if len(sizes) > 1 and len(set(sizes)) == 1:
        return f"{sizes[0]}{'²³'[len(sizes) - 2]}"
    return "×".join(map(str, sizes))


def _tuple(result: object) -> tuple[Tensor, ...]:
    if isinstance(result, Tensor):
        return (result,)
    assert isinstance(result, tuple)
    return result


def _filling(out: tuple[Tensor, ...]) -> Callable[[], object]:
    return lambda: [tensor.fill_(0) for tensor in out]


def _reading(reads: tuple[Tensor, ...]) -> Callable[[], object]:
    """A scalar product, as nothing of torch's reads faster: of two tensors, or of the halves of the largest."""
    first, last = reads[0].reshape(-1), reads[-1].reshape(-1)
    if len(reads) != 2 or first.shape != last.shape or first.dtype != last.dtype:
        whole = max(reads, key=lambda tensor: tensor.nbytes).reshape(-1)
        half = len(whole) // 2
        first, last = whole[:half], whole[half : 2 * half]
    if not first.is_floating_point():
        return lambda: (first.sum(), last.sum())
    return lambda: torch.dot(first, last)
