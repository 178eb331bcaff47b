"""The overlay while frames arrive: ``python -m bench.bench_live``.

SqueezeNet at 227 × 227 explains frames of 1024 × 1024 uint16. Three tables:

- **pipeline**: the stages of `camfast.live.Overlay`, stamped inside it, and the same made of pytorch-grad-cam's
  ``GradCAM`` and ``show_cam_on_image``, OpenCV and numpy, on the same frames in turns. "own" is everything but the
  network's forward pass.
- **session**: ``sim:1024x1024@30`` for 60 seconds, shown on the page to one client, which acknowledges each frame:
  latencies from the arrival of a frame to its encoded overlay, the oldest frame that was begun with, counts, memory.
- **clients**: the same latency for one healthy client, without and with twenty that never read, in turns.

Expected, by what is moved (docs/decisions/live.md): a frame read twice and its overlay written once are 2 + 2 + 3 MB at
some GB/s, about 1 ms; the head's gradient 1 ms; scales and numbers, another: 3 to 4 ms of the target's 6.

On a GPU, ``--device cuda`` measures 2048 × 2048 uint16 with a network of ResNet-18's shape at 512 × 512 in bfloat16.
"""

import argparse
import itertools
import statistics
import time
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

import camfast
from bench.live_peer import PeerOverlay
from bench.live_session import Client, resident, silent, watched
from bench.networks import named, resnet18
from bench.report import Circumstances, Report
from camfast.live import Looks, Overlay, Source
from camfast.live.sources import open_source
from camfast.models import Preprocess
from camfast.ops.threads import without_team

_Measured = tuple[list[tuple[str, ...]], str]
SHAPE, RATE = (1024, 1024), 30
OWN, LATENCY, DRIFT, GROWTH, FASTER = 6.0, 100.0, 5.0, 0.30, 3.0
PREPROCESS = Preprocess(size=(227, 227), channels="BGR", scale=1.0, mean=(104.0, 117.0, 123.0))
COLUMNS = ("stage", "median ms", "p95 ms")
COLUMNS_SESSION = ("what", "found", "target", "")
COLUMNS_CLIENTS = ("turn", "clients that never read", "p50 ms", "p95 ms", "resident MB")
COLUMNS_GPU = ("device", "p50 ms", "p95 ms", "p99 ms", "overlays/s one by one", "overlays/s two on the way")


def explainer() -> camfast.Explainer:
    network = named("SqueezeNet")
    with without_team():
        return camfast.Explainer(network.model(), network.layer)


def camera() -> Source:
    return open_source(f"sim:{SHAPE[0]}x{SHAPE[1]}@{RATE}")


def frames(count: int, shape: Sequence[int]) -> list[NDArray[Any]]:
    """Frames of the simulated camera."""
    source = open_source(f"sim:{shape[0]}x{shape[1]}@1000")
    source.open()
    found: list[NDArray[Any]] = []
    while len(found) < count:
        frame = source.read(1.0)
        if frame is not None:
            found.append(frame.data)
    source.close()
    return found


def quantiles(values: Sequence[float]) -> tuple[float, float]:
    return statistics.median(values), float(np.percentile(values, 95))


def pipeline(count: int) -> tuple[list[tuple[str, ...]], str]:
    """The stages, and both pipelines in turns."""
    scene = frames(min(count, 60), SHAPE)
    black, white = (float(level) for level in np.percentile(scene[0], (0.1, 99.9)))
    explaining = explainer()
    overlay = Overlay(explaining, SHAPE, "uint16", preprocess=PREPROCESS, levels=(black, white))
    peer = None
    if find_spec("pytorch_grad_cam"):
        peer = PeerOverlay(named("SqueezeNet").model(), str(explaining.layer), PREPROCESS)
    stages: dict[str, list[float]] = {}
    whole: dict[str, list[float]] = {"camfast": [], "peer": []}
    own: dict[str, list[float]] = {"camfast": [], "peer": []}
    for index, frame in enumerate(itertools.islice(itertools.cycle(scene), count + 5)):
        began = time.perf_counter()
        picture = overlay.show(frame)
        taken = (time.perf_counter() - began) * 1e3
        peer_taken = 0.0
        if peer is not None and index % 4 == 0:
            began = time.perf_counter()
            peer(frame, black, white)
            peer_taken = (time.perf_counter() - began) * 1e3
        if index < 5:
            continue
        whole["camfast"].append(taken)
        own["camfast"].append(sum(ms for name, ms in picture.milliseconds.items() if name != "forward"))
        for name, ms in picture.milliseconds.items():
            stages.setdefault(name, []).append(ms)
        if peer_taken and peer is not None:
            whole["peer"].append(peer_taken)
            own["peer"].append(peer_taken - peer.forward)
    rows = [(name, *(f"{ms:.2f}" for ms in quantiles(values))) for name, values in stages.items()]
    rows.append(("own: all but forward", *(f"{ms:.2f}" for ms in quantiles(own["camfast"]))))
    rows.append(("whole frame", *(f"{ms:.2f}" for ms in quantiles(whole["camfast"]))))
    p95 = quantiles(own["camfast"])[1]
    summary = f"Target: own at p95 ≤ {OWN:g} ms: {'reached' if p95 <= OWN else 'missed'} ({p95:.2f})."
    if peer is not None:
        rows.append(("pytorch-grad-cam: all but forward", *(f"{ms:.2f}" for ms in quantiles(own["peer"]))))
        rows.append(("pytorch-grad-cam: whole frame", *(f"{ms:.2f}" for ms in quantiles(whole["peer"]))))
        times = {what: statistics.median(both["peer"]) / statistics.median(both["camfast"])
                 for what, both in (("whole", whole), ("own", own))}  # fmt: skip
        summary += (
            f" {FASTER:g} times as fast as pytorch-grad-cam: {'reached' if times['whole'] >= FASTER else 'missed'} "
            f"({times['whole']:.1f} for the whole frame, {times['own']:.1f} for all but forward)."
        )
    return rows, summary


def session(seconds: float) -> tuple[list[tuple[str, ...]], str]:
    """A camera for some time."""
    with watched(camera(), Looks(explainer(), PREPROCESS)) as now:
        client = Client(now.page)
        time.sleep(min(5.0, seconds / 4))  # buffers, threads and the allocator's pools
        now.watching.latencies.clear()
        now.watching.ages.clear()
        memory = []
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            memory.append(resident())
            time.sleep(0.5)
        latencies, ages = list(now.watching.latencies), list(now.watching.ages)
        fps = now.session.status()["fps"]
        received = client.stop()
    final = now.session.status()
    fifth = max(1, len(memory) // 5)
    drift = statistics.median(memory[-fifth:]) - statistics.median(memory[:fifth])
    exact = final["arrived"] == final["shown"] + final["dropped"] and not final["failed"] + final["broken"]
    oldest, limit = max(ages), 2e3 / RATE
    p50, p95 = quantiles(latencies)
    rows = [
        ("overlays a second", f"{fps:.1f}", "", ""),
        ("ms from frame to encoded overlay, p50", f"{p50:.1f}", "", ""),
        ("p95", f"{p95:.1f}", f"≤ {LATENCY:g}", _held(p95 <= LATENCY)),
        ("p99", f"{np.percentile(latencies, 99):.1f}", "", ""),
        ("age of the oldest frame that was begun with, ms", f"{oldest:.1f}", f"≤ {limit:.0f}", _held(oldest <= limit)),
        ("frames that arrived", str(final["arrived"]), "", ""),
        ("shown + dropped", f"{final['shown']} + {final['dropped']}", "= arrived", _held(exact)),
        ("of them received by the client", str(received), "", ""),
        ("resident memory, MB", f"{memory[0]:.0f}, drift {drift:+.2f}", f"< {DRIFT:g}", _held(drift < DRIFT)),
    ]
    return rows, f"{seconds:.0f} seconds after {min(5.0, seconds / 4):.0f} to get going."


def clients(turns: int, seconds: float, crowd: int = 20) -> tuple[list[tuple[str, ...]], str]:
    """A healthy client alone, and beside a crowd that never reads, in turns."""
    rows: list[tuple[str, ...]] = []
    found: dict[int, list[float]] = {0: [], crowd: []}
    with watched(camera(), Looks(explainer(), PREPROCESS)) as now:
        client = Client(now.page)
        time.sleep(2.0)
        for turn in range(2 * turns):
            count = crowd * (turn % 2)
            others = [silent(now.page) for _ in range(count)]
            time.sleep(0.5)
            now.watching.latencies.clear()
            time.sleep(seconds)
            p50, p95 = quantiles(now.watching.latencies)
            found[count].append(p95)
            rows.append((str(turn + 1), str(count), f"{p50:.1f}", f"{p95:.1f}", f"{resident():.0f}"))
            for other in others:
                other.close()
        client.stop()
    growth = statistics.median(found[crowd]) / statistics.median(found[0]) - 1
    summary = f"p95 grows by {growth:+.0%} (target < {GROWTH:.0%}: {_held(growth < GROWTH)}), medians of the turns."
    return rows, summary


def on_gpu(count: int, results: Path) -> None:
    """Large frames, and a larger network in half precision."""
    shape, size = (2048, 2048), 512
    torch.manual_seed(0)
    model = resnet18().cuda().bfloat16().eval()
    in_half = torch.nn.Sequential(_Half(), *model)  # the last block, "11", is "12" here
    explaining = camfast.Explainer(in_half, "12", output=torch.Tensor.float)
    overlay = Overlay(explaining, shape, "uint16", preprocess=Preprocess(size=(size, size)))
    scene = frames(8, shape)
    for frame in scene:
        overlay(frame)
    alone = []
    for frame in itertools.islice(itertools.cycle(scene), count):
        began = time.perf_counter()
        overlay(frame)
        alone.append((time.perf_counter() - began) * 1e3)
    began, pending = time.perf_counter(), overlay.submit(scene[0])
    for frame in itertools.islice(itertools.cycle(scene), count):
        following = overlay.submit(frame)
        pending.result()
        pending = following
    milliseconds = pending.result().milliseconds
    rate = (count + 1) / (time.perf_counter() - began)
    (p50, p95), p99 = quantiles(alone), float(np.percentile(alone, 99))
    row = (torch.cuda.get_device_name(), f"{p50:.2f}", f"{p95:.2f}", f"{p99:.2f}", f"{1e3 / p50:.0f}", f"{rate:.0f}")
    measured = [{"p50": p50, "p95": p95, "p99": p99, "per_second": rate, "milliseconds": dict(milliseconds)}]
    summary = f"Targets: p99 ≤ 10 ms: {_held(p99 <= 10)}; 100 overlays/s: {_held(rate >= 100)}."
    report = Report("live-gpu", "python -m bench.bench_live --device cuda", Circumstances.now(), COLUMNS_GPU, (row,),
                    measured, summary=summary)  # fmt: skip
    print(report.markdown())
    results.mkdir(parents=True, exist_ok=True)
    name = torch.cuda.get_device_name().lower().replace(" ", "-")
    report.write_json(results / f"live-{name}.json")


class _Half(torch.nn.Module):
    """To bfloat16."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.bfloat16()


def _held(condition: bool) -> str:
    return "reached" if condition else "missed"


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m bench.bench_live", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--results", type=Path, default=Path("bench/results/live"), help="where a GPU's figures go")
    parser.add_argument("--quick", action="store_true", help="some seconds of each")
    parser.add_argument("--write", action="store_true", help="put the tables into bench/README.md")
    options = parser.parse_args()
    if options.write and options.quick:
        parser.error("--write is for the full measurement: leave out --quick")
    if options.device == "cuda":
        on_gpu(50 if options.quick else 500, options.results)
        return
    command = "python -m bench.bench_live" + (" --quick" if options.quick else "")
    # the pipeline's is the last, as a thread that has computed keeps a team of threads, which slows a session's
    parts: list[tuple[str, tuple[str, ...], Callable[[], _Measured]]] = [
        ("live-session", COLUMNS_SESSION, lambda: session(4.0 if options.quick else 60.0)),
        ("live-clients", COLUMNS_CLIENTS, lambda: clients(1, 2.0) if options.quick else clients(5, 6.0)),
        ("live", COLUMNS, lambda: pipeline(40 if options.quick else 400)),
    ]
    for name, columns, measure in parts:
        circumstances = Circumstances.now()
        rows, summary = measure()
        report = Report(name, command, circumstances, columns, tuple(rows), summary=summary)
        print(report.markdown(), flush=True)
        if options.write:
            report.write_into()


if __name__ == "__main__":
    main()
