"""`camfast.ops.product_sum` beside its formula, eager and compiled."""

from bench.conftest import Measure


def bench_product_sum(measure: Measure) -> None:
    measure()
