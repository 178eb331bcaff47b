"""`camfast.ops.gaussian_upsample` beside its formula, eager and compiled."""

from bench.conftest import Measure


def bench_gaussian_upsample(measure: Measure) -> None:
    measure()
