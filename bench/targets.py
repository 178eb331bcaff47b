"""What was promised, and whether a measurement keeps it."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from bench.case import CAMFAST, COMPILED, CV2, EAGER, FLOOR, INTERPOLATE, ZERO_INSERTION, Spec
from bench.timing import Comparison

KEPT, MISSED, DOUBTFUL, UNMEASURED = "ok", "**missed**", "inconclusive", "not measured"

_LARGE, _SMALL = ("1×64×96³", "1×32×128³"), ("8×64×10³", "4×512×14²")
_VOLUMES = ("64×10³ → 40³", "1×64³ → 256³")
_PRODUCTS, _WEIGHTED, _DIVIDED = (
    ("hirescam", "layercam"),
    ("gradcam", "gradcam++", "xgradcam", "respond"),
    ("gradcam++", "xgradcam", "respond"),
)


@dataclass(frozen=True)
class Target:
    """A contender takes at least so many times as long as camfast, in some of an op's lines.

    Attributes
    ----------
    op, variants, extents
        The lines; no variants: all of them.
    contender
        Who is compared. Where it is the floor, the factor is the share of its bandwidth.
    at_least
        The factor.
    """

    op: str
    variants: tuple[str, ...]
    extents: tuple[str, ...]
    contender: str
    at_least: float

    def covers(self, spec: Spec) -> bool:
        return (
            spec.op == self.op and spec.extent in self.extents and (not self.variants or spec.variant in self.variants)
        )

    def __str__(self) -> str:
        if self.contender == FLOOR:
            return f"≥ {self.at_least:.0%} of the read bandwidth"
        return f"≥ {self.at_least:g}× {self.contender}"


CPU_TARGETS = (
    Target("fused_cam", _PRODUCTS, _LARGE, EAGER, 5.0),
    Target("fused_cam", _PRODUCTS, _LARGE, COMPILED, 1.0),
    Target("fused_cam", _PRODUCTS, _LARGE, FLOOR, 0.9),
    Target("fused_cam", _WEIGHTED, _LARGE, EAGER, 5.0),
    Target("fused_cam", _DIVIDED, _LARGE, COMPILED, 1.3),
    Target("fused_cam", _WEIGHTED, _LARGE, FLOOR, 0.75),
    Target("fused_cam", _DIVIDED, _SMALL, EAGER, 3.0),
    Target("fused_cam", (*_PRODUCTS, "gradcam"), _SMALL, EAGER, 1.6),
    Target("gaussian_upsample", (), _VOLUMES, INTERPOLATE, 3.0),
    Target("gaussian_upsample", (), _VOLUMES, ZERO_INSERTION, 25.0),
    Target("linear_upsample", (), (*_VOLUMES, "8×14² → 224²"), INTERPOLATE, 3.0),
    Target("overlay", ("uint16",), ("1×14² → 2048²",), EAGER, 5.0),
    Target("overlay", ("uint16",), ("1×14² → 2048²",), CV2, 3.0),
)


@dataclass(frozen=True)
class Judgement:
    """A target on one line: what was found, with the allocator as it is and where it keeps its memory."""

    spec: Spec
    target: Target
    found: float | None
    kept: float | None
    conclusive: bool

    @property
    def verdict(self) -> str:
        if self.found is None:
            return UNMEASURED
        if not self.conclusive:
            return DOUBTFUL
        return KEPT if self.found >= self.target.at_least else MISSED

    def cells(self) -> tuple[str, ...]:
        """A line of the table."""
        return (self.spec.op, self.spec.variant, self.spec.extent, str(self.target), self._show(self.found),
                self._show(self.kept), self.verdict)  # fmt: skip

    def _show(self, value: float | None) -> str:
        if value is None:
            return "–"
        return f"{value:.0%}" if self.target.contender == FLOOR else f"{value:.2f}×"


COLUMNS = ("op", "method", "size", "target", "found", "memory kept", "verdict")


def judge(
    spec: Spec, compared: Comparison, kept: Comparison | None = None, targets: Iterable[Target] = CPU_TARGETS
) -> Iterator[Judgement]:
    """Hold a line's measurements against every target that covers it."""
    for target in targets:
        if target.covers(spec):
            found, other = (
                each.ratio(target.contender, CAMFAST).median
                if each is not None and target.contender in each.timings
                else None
                for each in (compared, kept)
            )
            yield Judgement(spec, target, found, other, compared.conclusive)


def summary(judgements: Iterable[Judgement]) -> str:
    """How many targets are reached, in a sentence."""
    verdicts = [judgement.verdict for judgement in judgements]
    return (
        f"{verdicts.count(KEPT)} of {len(verdicts)} targets reached, {verdicts.count(MISSED)} missed, "
        f"{verdicts.count(DOUBTFUL)} inconclusive, {verdicts.count(UNMEASURED)} not measured."
    )
