"""What an explanation costs beside the prediction it explains, by every method: ``python -m bench.end_to_end``."""

import argparse
import functools
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

import camfast
from bench.networks import NETWORKS, Network, named
from bench.report import Circumstances, Report
from bench.timing import Comparison, compare, milliseconds, times, trust, until_conclusive

METHODS = tuple(name for name in camfast.methods() if name not in ("cam", "eigencam", "eigengradcam"))
COLUMNS = ("network", "batch", "layer", "forward ms", *METHODS, "limit", "verdict", "A/A", "others")
FORWARD = "forward"
# Of a forward pass. CNN-1's first dense layer of 131 MB has to be read twice.
LIMIT, LIMITS = 1.10, {"CNN-1": 1.15}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.end_to_end", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="shortly, CNN-2 and ResNet-20")
    parser.add_argument("--seconds", type=float, default=20.0, help="for each network and batch (default 20)")
    parser.add_argument("--patience", type=float, default=0.0, help="minutes for lines to be repeated in quieter times")
    parser.add_argument("--networks", nargs="+", metavar="NAME", help="only these")
    parser.add_argument("--write", action="store_true", help="put the table into bench/README.md")
    parser.add_argument("--json", type=Path, help="write every time that was taken to this file")
    options = parser.parse_args()
    if options.write and (options.quick or options.networks):
        parser.error("--write is for the full measurement: leave out --quick and --networks")
    try:
        networks = [named(name) for name in options.networks or ()] or list(NETWORKS)
    except ValueError as error:
        parser.error(str(error))
    if options.quick:
        networks, options.seconds = [named("CNN-2"), named("ResNet-20")], 1.0

    deadline = time.monotonic() + 60 * options.patience
    circumstances = Circumstances.now()
    rows, measurements = [], []
    for network in networks:
        model = network.model()
        for batch in network.batches:
            measure = functools.partial(_compare, network, model, batch, options.seconds)
            compared = until_conclusive(measure, deadline)
            measurements.append({"network": network.name, "batch": batch, **asdict(compared)})
            rows.append(_row(network, batch, compared))
    command = "python -m bench.end_to_end" + (f" --patience {options.patience:g}" if options.patience else "")
    report = Report("end to end", command, circumstances, COLUMNS, tuple(rows), measurements)
    print(report.markdown())
    if options.write:
        report.write_into()
    if options.json:
        report.write_json(options.json)


def _compare(network: Network, model: nn.Module, batch: int, seconds: float) -> Comparison:
    """The forward pass without a graph, and explanations upsampled by Gaussians, into maps that exist."""
    inputs = network.inputs(batch)

    def forward() -> Tensor:
        with torch.no_grad():
            scores: Tensor = model(inputs)
        return scores

    scores = forward()
    target = network.target(scores)
    contenders: dict[str, Callable[[], object]] = {FORWARD: forward}
    for method in METHODS:
        explainer = _explainer(network, model, method)
        contenders[method] = functools.partial(explainer, inputs, target, explainer(inputs, target).maps)
    return compare(contenders, check=functools.partial(_check, network, model, inputs, scores), seconds=seconds)


def _explainer(network: Network, model: nn.Module, method: str, **options: Any) -> camfast.Explainer:
    return camfast.Explainer(model, network.layer, method, upsample="gaussian", sigma=network.sigma, **options)


def _check(network: Network, model: nn.Module, inputs: Tensor, scores: Tensor, name: str, result: Any) -> None:
    """Compare what an explanation holds with the scores of the plain forward pass and the map of the reference."""
    if name == FORWARD:
        return
    expected = _explainer(network, model, name, backend="torch")(inputs, network.target(scores)).maps
    torch.testing.assert_close(result.scores, scores, rtol=1e-4, atol=1e-5)
    # the network's own gradients in float32, of another order of summation
    torch.testing.assert_close(result.maps, expected, rtol=1e-3, atol=1e-4 * float(expected.abs().max()))


def _row(network: Network, batch: int, compared: Comparison) -> tuple[str, ...]:
    limit = LIMITS.get(network.name, LIMIT)
    worst = max(compared.ratio(method, FORWARD).median for method in METHODS)
    verdict = "inconclusive" if not compared.conclusive else "ok" if worst <= limit else "**missed**"
    return (
        network.name,
        str(batch),
        network.layer,
        milliseconds(compared.timings[FORWARD]),
        *(times(compared, method, FORWARD) for method in METHODS),
        "–" if network.region else f"{limit:.2f}",
        "–" if network.region else verdict,
        *trust(compared),
    )


if __name__ == "__main__":
    main()
