"""`camfast.ops.fused_cam` beside its formula, eager and compiled."""

from bench.conftest import Measure


def bench_fused_cam(measure: Measure) -> None:
    measure()
