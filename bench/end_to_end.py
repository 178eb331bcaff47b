"""What an explanation costs beside the prediction it explains, interleaved: ``python -m bench.end_to_end``."""

import argparse
import functools
import os
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

import camfast
from bench.report import Circumstances, Report
from bench.timing import compare, keep_freed_memory, milliseconds, times, trust, until_conclusive

COLUMNS = ("network", "batch", "layer", "method", "forward ms", "explain ms", "explain ÷ forward", "A/A", "others")
METHODS = ("gradcam", "respond")
FORWARD = "forward"
_DATA = Path(os.environ.get("CAMFAST_DATA", Path(__file__).resolve().parents[2] / "shared" / "data"))


@dataclass(frozen=True)
class Network:
    """A network, the layer that is explained, and a batch."""

    name: str
    model: nn.Module
    layer: str
    inputs: Tensor


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.end_to_end", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="shortly, CNN-1 with a batch of 1")
    parser.add_argument("--patience", type=float, default=0.0, help="minutes for lines to be repeated in quieter times")
    parser.add_argument("--write", action="store_true", help="put the table into bench/README.md")
    parser.add_argument("--json", type=Path, help="write every time that was taken to this file")
    options = parser.parse_args()
    if options.write and options.quick:
        parser.error("--write is for the full measurement: leave out --quick")

    deadline = time.monotonic() + 60 * options.patience
    keep_freed_memory()
    circumstances = Circumstances.now()
    rows, measurements = [], []
    for network in (cnn1(1 if options.quick else 8), squeezenet()):
        measure = functools.partial(
            compare, contenders(network), check=check(network), seconds=1.0 if options.quick else 30.0
        )
        compared = until_conclusive(measure, deadline)
        measurements.append({"network": network.name, "batch": len(network.inputs), **asdict(compared)})
        for method in METHODS:
            rows.append((
                network.name,
                str(len(network.inputs)),
                network.layer,
                method,
                milliseconds(compared.timings[FORWARD]),
                milliseconds(compared.timings[method]),
                times(compared, method, FORWARD),
                *trust(compared),
            ))  # fmt: skip
    command = "python -m bench.end_to_end" + (f" --patience {options.patience:g}" if options.patience else "")
    report = Report("end to end", command, circumstances, COLUMNS, tuple(rows), measurements)
    print(report.markdown())
    if options.write:
        report.write_into()
    if options.json:
        report.write_json(options.json)


def contenders(network: Network) -> dict[str, Callable[[], object]]:
    """The plain forward pass without a graph, and explanations at the size of the input, into a warm output."""

    def forward() -> Tensor:
        with torch.no_grad():
            scores: Tensor = network.model(network.inputs)
        return scores

    found: dict[str, Callable[[], object]] = {FORWARD: forward}
    for method in METHODS:
        explainer = camfast.Explainer(network.model, network.layer, method)
        found[method] = functools.partial(explainer, network.inputs, out=explainer(network.inputs).maps)
    return found


def check(network: Network) -> Callable[[str, object], None]:
    """Compare what an explanation holds with the scores of the plain forward pass and the map of the reference."""
    with torch.no_grad():
        scores = network.model(network.inputs)

    def verify(name: str, result: Any) -> None:
        if name == FORWARD:
            return
        expected = camfast.Explainer(network.model, network.layer, name, backend="torch")(network.inputs).maps
        torch.testing.assert_close(result.scores, scores, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(result.maps, expected, rtol=1e-3, atol=1e-5 * float(expected.abs().max()))

    return verify


def cnn1(batch: int) -> Network:
    """CNN-1 with random weights: what it computes takes as long."""
    torch.manual_seed(0)
    return Network("CNN-1", camfast.models.cnn1().eval(), "maxpool2", torch.randn(batch, 1, 40, 40, 40))


def squeezenet() -> Network:
    """SqueezeNet, trained where the data folder is there, as a dead score would leave nothing to explain."""
    torch.manual_seed(0)
    weights = _DATA / "imagenet" / "squeezenet1_0.safetensors"
    loaded = camfast.models.load("squeezenet1_0", weights if weights.is_file() else None)
    return Network("SqueezeNet", loaded.module, loaded.layer or "fire9", torch.randn(1, 3, 227, 227))


if __name__ == "__main__":
    main()
