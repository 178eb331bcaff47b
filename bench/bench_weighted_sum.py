"""`camfast.ops.weighted_sum` beside its formula, eager and compiled."""

from bench.conftest import Measure


def bench_weighted_sum(measure: Measure) -> None:
    measure()
