"""What is measured on a GPU, what was promised of it, and whether a measurement keeps that."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from bench.case import COMPILED, EAGER, SIGMA, Spec
from bench.targets import KEPT, MISSED, UNMEASURED

COPY, WRITE = "of the copy bandwidth", "of the write bandwidth"
LAUNCHES, GRAPH = "launches", "µs in a CUDA graph"
AT_MOST = (LAUNCHES, GRAPH)

_LARGE = (8, 256, 64, 64, 64)
_PRODUCTS, _TWO_PASSES = ("hirescam", "layercam"), ("respond", "gradcam", "gradcam++", "xgradcam")
_DTYPES = ("bfloat16", "float32")
_GAUSSIAN = f"σ {SIGMA:g}"

# the launch-bound ones, whose targets are of calls and not of bytes
SMALL = tuple(
    Spec("fused_cam", method, (32, 64, 10, 10, 10), (40, 40, 40)) for method in ("respond", "gradcam", "hirescam")
)
# in the order of their importance, as time can run out
SPECS = (
    *(Spec("fused_cam", method, _LARGE, None, dtype) for method in ("hirescam", "respond") for dtype in _DTYPES),
    *SMALL,
    Spec("gaussian_upsample", _GAUSSIAN, (1, 64, 64, 64), (512, 512, 512)),
    Spec("overlay", "uint16", (1, 14, 14), (4096, 4096)),
    *(
        Spec("fused_cam", method, _LARGE, None, dtype)
        for method in ("gradcam", "gradcam++", "xgradcam", "layercam")
        for dtype in _DTYPES
    ),
    Spec("linear_upsample", "", (1, 64, 64, 64), (512, 512, 512)),
    Spec("running_max", "", (1, 512, 512, 512)),
    Spec("channel_weights", "respond", _LARGE, None, "bfloat16"),
    Spec("weighted_sum", "", _LARGE, None, "bfloat16"),
    Spec("product_sum", "none", _LARGE, None, "bfloat16"),
)


@dataclass(frozen=True)
class GpuTarget:
    """A figure of some lines is at least, or at most, a bound."""

    op: str
    variants: tuple[str, ...]
    size: tuple[int, ...]
    figure: str
    bound: float

    def covers(self, spec: Spec) -> bool:
        return (spec.op, spec.size) == (self.op, self.size) and spec.variant in self.variants

    def reached(self, value: float) -> bool:
        return value <= self.bound if self.figure in AT_MOST else value >= self.bound

    def show(self, value: float) -> str:
        """A value of the figure, or the bound."""
        if self.figure in (COPY, WRITE):
            return f"{value:.0%}"
        return f"{value:.4g}" if self.figure in AT_MOST else f"{value:.3g}×"

    def __str__(self) -> str:
        return f"{'≤' if self.figure in AT_MOST else '≥'} {self.show(self.bound)} {self.figure}"


_MAP = (32, 64, 10, 10, 10)
TARGETS = (
    GpuTarget("fused_cam", _PRODUCTS, _LARGE, COPY, 0.85),
    GpuTarget("fused_cam", _TWO_PASSES, _LARGE, COPY, 0.65),
    GpuTarget("fused_cam", _TWO_PASSES, _LARGE, EAGER, 3.0),
    GpuTarget("fused_cam", _TWO_PASSES, _LARGE, COMPILED, 1.2),
    GpuTarget("fused_cam", tuple(spec.variant for spec in SMALL), _MAP, LAUNCHES, 2),
    GpuTarget("fused_cam", tuple(spec.variant for spec in SMALL), _MAP, EAGER, 5.0),
    GpuTarget("fused_cam", tuple(spec.variant for spec in SMALL), _MAP, GRAPH, 15.0),
    GpuTarget("gaussian_upsample", (_GAUSSIAN,), (1, 64, 64, 64), WRITE, 0.8),
    GpuTarget("overlay", ("uint16",), (1, 14, 14), WRITE, 0.8),
)
COLUMNS = ("op", "method", "size", "dtype", "target", "found", "verdict")


def judge(found: Mapping[Spec, Mapping[str, float]]) -> Iterator[tuple[str, ...]]:
    """A line of the table for each target of each spec; figures that are not there are not measured."""
    for spec in SPECS:
        for target in TARGETS:
            if target.covers(spec):
                value = found.get(spec, {}).get(target.figure)
                cells = (spec.op, spec.variant, spec.extent, spec.dtype, str(target))
                if value is None:
                    yield (*cells, "–", UNMEASURED)
                else:
                    yield (*cells, target.show(value), KEPT if target.reached(value) else MISSED)
