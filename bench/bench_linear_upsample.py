"""`camfast.ops.linear_upsample` beside its formula, eager and compiled."""

from bench.conftest import Measure


def bench_linear_upsample(measure: Measure) -> None:
    measure()
