"""What a call of each op costs on tensors so small that nothing else does: ``python -m bench.overhead``.

Checks, dispatch and the binding. Medians over rounds of the mean of many calls, from which a call of an empty function
is subtracted; once with ``out=``, once with a fresh result; one thread.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from bench.report import Circumstances, Report
from bench.targets import KEPT, MISSED
from camfast import ops

COLUMNS = ("op", "with out= µs", "fresh µs", "target", "verdict")
TARGET = 5.0  # microseconds

Call = Callable[[], object]


def _inputs() -> tuple[Tensor, Tensor]:
    return torch.rand(1, 2, 2, 2), torch.rand(1, 2, 2, 2)


def _channel_weights() -> tuple[Call, Call]:
    (A, G), out = _inputs(), torch.empty(1, 2)
    return lambda: ops.channel_weights(A, G, "respond", out=out), lambda: ops.channel_weights(A, G, "respond")


def _weighted_sum() -> tuple[Call, Call]:
    (A, _), w, out = _inputs(), torch.rand(1, 2), torch.empty(1, 2, 2)
    return lambda: ops.weighted_sum(A, w, out=out), lambda: ops.weighted_sum(A, w)


def _product_sum() -> tuple[Call, Call]:
    (A, G), out = _inputs(), torch.empty(1, 2, 2)
    return lambda: ops.product_sum(A, G, out=out), lambda: ops.product_sum(A, G)


def _fused_cam() -> tuple[Call, Call]:
    (A, G), out = _inputs(), torch.empty(1, 2, 2)
    return lambda: ops.fused_cam(A, G, "respond", out=out), lambda: ops.fused_cam(A, G, "respond")


def _fused_cam_upsampled() -> tuple[Call, Call]:
    (A, G), out, size = _inputs(), torch.empty(1, 4, 4), (4, 4)
    return (
        lambda: ops.fused_cam(A, G, "respond", size=size, out=out),
        lambda: ops.fused_cam(A, G, "respond", size=size),
    )


def _linear_upsample() -> tuple[Call, Call]:
    grid, out, size = torch.rand(1, 2, 2), torch.empty(1, 4, 4), (4, 4)
    return lambda: ops.linear_upsample(grid, size, out=out), lambda: ops.linear_upsample(grid, size)


def _gaussian_upsample() -> tuple[Call, Call]:
    grid, out, size = torch.rand(1, 2, 2), torch.empty(1, 4, 4), (4, 4)
    return lambda: ops.gaussian_upsample(grid, size, 2.0, out=out), lambda: ops.gaussian_upsample(grid, size, 2.0)


# by name, what makes a call with out= and one without
CALLS: dict[str, Callable[[], tuple[Call, Call]]] = {
    "channel_weights": _channel_weights,
    "weighted_sum": _weighted_sum,
    "product_sum": _product_sum,
    "fused_cam": _fused_cam,
    "fused_cam, upsampled": _fused_cam_upsampled,
    "linear_upsample": _linear_upsample,
    "gaussian_upsample": _gaussian_upsample,
}


def tensors(result: Any) -> list[Tensor]:
    """The tensors of a result."""
    return [result] if isinstance(result, Tensor) else [part for part in result if part is not None]


def microseconds(call: Call, *, rounds: int = 41, calls: int = 2000) -> float:
    """Median time of a call, without that of an empty one."""

    def empty() -> None:
        return None

    def once(function: Call) -> float:
        start = time.perf_counter()
        for _ in range(calls):
            function()
        return (time.perf_counter() - start) / calls * 1e6

    once(call)
    return statistics.median(once(call) - once(empty) for _ in range(rounds))


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.overhead", description=__doc__)
    parser.add_argument("--write", action="store_true", help="put the table into bench/README.md")
    parser.add_argument("--json", type=Path, help="write the figures there too")
    options = parser.parse_args()
    torch.set_num_threads(1)
    circumstances = Circumstances.now()
    found, rows = {}, []
    for name, make in CALLS.items():
        with_output, fresh = (microseconds(call) for call in make())
        found[name] = {"with_output_us": with_output, "fresh_us": fresh}
        rows.append((name, f"{with_output:.2f}", f"{fresh:.2f}", f"≤ {TARGET:g} µs with out=", verdict(with_output)))
    report = Report("overhead", "python -m bench.overhead", circumstances, COLUMNS, tuple(rows), [found])
    print(report.markdown())
    if options.write:
        report.write_into()
    if options.json:
        report.write_json(options.json)


def verdict(with_output: float) -> str:
    """Whether a call is as cheap as promised."""
    return KEPT if with_output <= TARGET else MISSED


if __name__ == "__main__":
    main()
