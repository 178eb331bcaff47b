"""A tomogram scanned by camfast and by what a person puts together: ``python -m bench.bench_scan``.

A simulated tomogram of 96 × 160 × 160 voxels, CNN-1 with random weights, windows of 40 voxels at stride 8, one class,
maps of the volume's shape. The peer is MONAI's sliding-window inference, which cuts the windows, calls captum's
LayerGradCam with its interpolation for each batch, and blends the windows' maps by Gaussians, at the same batch. Both
trunks of camfast give Respond-CAM. The runs take turns, ``shared`` running between the long ones, and twice as the
control; that the peer's number of windows is camfast's is checked first.

Expected, by operations (`docs/decisions/scan.md`): the whole network for each window against trunk once and head for
each window is 55 to 1. The second table tells how the shared trunk's time grows with the volume.

On a GPU, ``--device cuda`` measures a tomogram of 630 × 630 × 184 voxels instead, with its memory.
"""

import argparse
import statistics
import time
import warnings
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

import camfast
from bench.report import Circumstances, Report
from camfast.scan import scan

SHAPE, LARGE = (96, 160, 160), (184, 630, 630)
WINDOW, STRIDE, TARGET, LAYER = 40, 8, 2, "maxpool2"
GROWTH = (64, 96, 128, 192, 256)
COLUMNS = ("who", "windows", "seconds", "Mvoxel/s", "times as fast as the peer")
COLUMNS_GROWTH = ("volume", "windows", "seconds", "ms a window", "µs a voxel")
COLUMNS_GPU = ("trunk", "volume", "seconds", "Mvoxel/s", "GB of GPU memory")
_OVERLAP = 0.795  # MONAI takes int(40 · (1 − overlap)) voxels as the stride: at 0.8 rounding makes that 7


def tomogram(shape: Sequence[int]) -> np.ndarray:
    """A density with particles and noise; large ones are tiles of a smaller one, as only time is looked at."""
    tile = tuple(min(n, 160) for n in shape)
    one = camfast.simulate.tomogram(tile, int(np.prod(tile)) // 100_000, seed=0, snr=0.5).data
    repeats = [-(-n // t) for n, t in zip(shape, tile, strict=True)]
    return np.tile(one, repeats)[: shape[0], : shape[1], : shape[2]]


def by_camfast(volume: np.ndarray, model: torch.nn.Module, trunk: Any, batch: int) -> Tensor:
    explainer = camfast.Explainer(model, LAYER, "respond")
    found = scan(
        volume, explainer, window=WINDOW, stride=STRIDE, target=TARGET, trunk=trunk, batch=batch, progress=False
    )
    result: Tensor = found.cam
    return result


def by_peers(volume: np.ndarray, model: torch.nn.Module, batch: int) -> tuple[Tensor, int]:
    """MONAI around captum; returns the map and how many windows there were."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from captum.attr import LayerAttribution, LayerGradCam
        from monai.inferers import SlidingWindowInferer

    device = next(model.parameters()).device
    gradcam = LayerGradCam(model, model.get_submodule(LAYER))
    windows = 0

    def explain(patch: Tensor) -> Tensor:
        nonlocal windows
        windows += len(patch)
        with torch.enable_grad():
            grid = gradcam.attribute(patch, TARGET)
        return LayerAttribution.interpolate(grid.detach(), (WINDOW,) * 3, "trilinear")

    inferer = SlidingWindowInferer((WINDOW,) * 3, sw_batch_size=batch, overlap=_OVERLAP, mode="gaussian")
    wide = volume.astype(np.float32)
    inputs = torch.from_numpy((wide - wide.mean()) / wide.std())[None, None].to(device)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = inferer(inputs, explain)
    assert isinstance(found, Tensor)
    return found[0, 0], windows


def seconds(function: Callable[[], Any]) -> float:
    began = time.perf_counter()
    function()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter() - began


def compared(shape: Sequence[int], batch: int) -> tuple[list[tuple[str, ...]], str]:
    """Times of both trunks and the peer on one tomogram."""
    torch.manual_seed(0)
    model = camfast.models.cnn1(classes=5).eval()
    volume = tomogram(shape)
    expected = int(np.prod([(n - WINDOW) // STRIDE + 1 for n in shape]))
    by_camfast(volume[:48, :48, :48], model, "shared", batch)  # first calls load code
    runs: dict[str, list[float]] = {"shared": [], "exact": [], "MONAI + captum": []}
    counted = 0

    def peer() -> None:
        nonlocal counted
        _, counted = by_peers(volume, model, batch)

    for name in ("shared", "exact", "shared", "MONAI + captum", "shared", "shared"):
        function = peer if name.startswith("MONAI") else lambda trunk=name: by_camfast(volume, model, trunk, batch)
        runs[name].append(seconds(function))
    if counted != expected:
        raise SystemExit(f"the peer took {counted} windows, camfast {expected}: they did not do the same")
    medians = {name: statistics.median(times) for name, times in runs.items()}
    voxels = float(np.prod(shape))
    rows = [
        (
            name, f"{expected:,}", f"{found:.1f}", f"{voxels / found / 1e6:.3f}",
            f"{medians['MONAI + captum'] / found:.1f}",
        )
        for name, found in medians.items()
    ]  # fmt: skip
    control = max(runs["shared"]) / min(runs["shared"])
    faster = medians["MONAI + captum"] / medians["shared"]
    summary = f"Four runs of `shared` were within a factor of {control:.2f}."
    if tuple(shape) == SHAPE:
        exact = medians["MONAI + captum"] / medians["exact"]
        summary += (
            f" Targets: `shared` 15 times as fast as the peer: {'reached' if faster >= 15 else 'missed'} "
            f"({faster:.1f}); `exact` not slower: {'reached' if exact >= 1 else 'missed'} ({exact:.2f})."
        )
    return rows, summary


def grown(sides: Sequence[int], batch: int) -> tuple[list[tuple[str, ...]], str]:
    """Time of the shared trunk for cubes."""
    torch.manual_seed(0)
    model = camfast.models.cnn1(classes=5).eval()
    rows, found = [], []
    for side in sides:
        volume = tomogram((side,) * 3)
        windows = ((side - WINDOW) // STRIDE + 1) ** 3
        taken = min(seconds(lambda v=volume: by_camfast(v, model, "shared", batch)) for _ in range(3 - (side > 128)))
        found.append((side**3, windows, taken))
        rows.append((f"{side}³", f"{windows:,}", f"{taken:.2f}", f"{1e3 * taken / windows:.2f}",
                     f"{1e6 * taken / side**3:.2f}"))  # fmt: skip
    # the least squares of the relative error: time = a + b · voxels + c · windows
    matrix = np.array([[1.0, v, w] for v, w, _ in found]) / np.array([[t] for *_, t in found])
    (fixed, voxel, window), *_ = np.linalg.lstsq(matrix, np.ones(len(found)), rcond=None)
    errors = [abs(fixed + voxel * v + window * w - t) / t for v, w, t in found]
    ratio = (found[-1][2] / found[-1][1]) / (found[0][2] / found[0][1])
    summary = (
        f"Fitted: {fixed:.2f} s + {1e6 * voxel:.2f} µs a voxel (the trunk) + {1e3 * window:.2f} ms a window (the "
        f"head), off by {max(errors):.0%} at most. A window of the largest volume takes {ratio:.2f} times that of the "
        "smallest, as small volumes have more voxels a window."
    )
    return rows, summary


def on_gpu(batch: int, results: Path) -> None:
    """The large tomogram on a GPU."""
    torch.manual_seed(0)
    model = camfast.models.cnn1(classes=5).eval().cuda()
    volume, small = tomogram(LARGE), tomogram(SHAPE)
    rows, measurements = [], []
    for name, data, run in (
        ("shared", volume, lambda: by_camfast(volume, model, "shared", batch)),
        ("exact", small, lambda: by_camfast(small, model, "exact", batch)),
        ("MONAI + captum", small, lambda: by_peers(small, model, batch)),
    ):
        if name.startswith("MONAI") and not (find_spec("monai") and find_spec("captum")):
            print("MONAI or captum is not installed: no comparison")
            continue
        run() if data is small else by_camfast(small, model, "shared", batch)
        torch.cuda.reset_peak_memory_stats()
        taken = seconds(run)
        peak = torch.cuda.max_memory_allocated() / 1e9
        rows.append((name, " × ".join(map(str, data.shape)), f"{taken:.2f}", f"{data.size / taken / 1e6:.2f}",
                     f"{peak:.2f}"))  # fmt: skip
        measurements.append({"name": name, "shape": data.shape, "seconds": taken, "gigabytes": peak})
    report = Report("scan-gpu", "python -m bench.bench_scan --device cuda", Circumstances.now(),
                    COLUMNS_GPU, tuple(rows), measurements)  # fmt: skip
    print(report.markdown())
    results.mkdir(parents=True, exist_ok=True)
    name = torch.cuda.get_device_name().lower().replace(" ", "-")
    report.write_json(results / f"scan-{name}.json")


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m bench.bench_scan", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--batch", type=int, default=32, help="windows a pass, of all three (default 32)")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--results", type=Path, default=Path("bench/results/scan"), help="where a GPU's figures go")
    parser.add_argument("--quick", action="store_true", help="a smaller volume, two sizes")
    parser.add_argument("--write", action="store_true", help="put the tables into bench/README.md")
    options = parser.parse_args()
    if options.write and options.quick:
        parser.error("--write is for the full measurement: leave out --quick")
    if options.device == "cuda":
        on_gpu(options.batch, options.results)
        return
    command = "python -m bench.bench_scan" + (" --quick" if options.quick else "")
    command += f" --batch {options.batch}" if options.batch != 32 else ""
    rows, summary = compared((48, 64, 64) if options.quick else SHAPE, options.batch)
    first = Report("scan", command, Circumstances.now(),
                   COLUMNS, tuple(rows), summary=summary)  # fmt: skip
    print(first.markdown(), flush=True)
    rows, summary = grown((48, 64, 80) if options.quick else GROWTH, options.batch)
    second = Report("scan-growth", command, Circumstances.now(),
                    COLUMNS_GROWTH, tuple(rows), summary=summary)  # fmt: skip
    print(second.markdown())
    if options.write:
        first.write_into()
        second.write_into()


if __name__ == "__main__":
    main()
