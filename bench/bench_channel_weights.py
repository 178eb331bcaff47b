"""`camfast.ops.channel_weights` beside its formula, eager and compiled."""

from bench.conftest import Measure


def bench_channel_weights(measure: Measure) -> None:
    measure()
