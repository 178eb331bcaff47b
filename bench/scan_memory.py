"""Memory of a scan that is larger than its limit: ``python -m bench.scan_memory``.

A tomogram of 512 × 1024 × 1024 voxels, float32, 2.1 GB on disk, is scanned by a small network with ``--max-memory 1G``
into MRC and OME-Zarr, by the command line in a process of its own, whose memory is looked at every 20 ms: what no file
backs (anonymous), and all that is in memory (resident), which has the pages of libraries too. Targets: 1.2 and 1.6 GB.
The files lie in the temporary folder (``TMPDIR``), which needs 7 GB of room, and are removed.
"""

import argparse
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import mrcfile
import numpy as np
import torch
from safetensors.torch import save_file
from torch import nn

from bench.report import Circumstances, Report

SHAPE = (512, 1024, 1024)
ANONYMOUS, RESIDENT = 1.2e9, 1.6e9
COLUMNS = ("output", "trunk", "seconds", "Mvoxel/s", "anonymous GB", "resident GB", "within 1.2 and 1.6 GB")
NETWORK = """from torch import nn


def build():
    return nn.Sequential(
        nn.Conv3d(1, 8, 3, padding=1), nn.ReLU(), nn.MaxPool3d(2), nn.Conv3d(8, 16, 3, padding=1), nn.ReLU(),
        nn.MaxPool3d(2), nn.Flatten(), nn.Linear(16 * 8**3, 16), nn.ReLU(), nn.Linear(16, 3),
    )
"""


def tomogram(path: Path, shape: Sequence[int]) -> None:
    """Noise, written some sections at a time."""
    generator = np.random.default_rng(0)
    noise = generator.gamma(2.0, 3.0, (8, *shape[1:])).astype(np.float32)
    with mrcfile.new_mmap(path, tuple(shape), 2) as file:
        file.set_volume()
        file.voxel_size = 10.0
        for z in range(0, shape[0], 8):
            file.data[z : z + 8] = np.roll(noise, 31 * z, axis=1)[: shape[0] - z]


def network(folder: Path) -> None:
    """A file with a factory, and random weights for it."""
    (folder / "small.py").write_text(NETWORK)
    namespace: dict[str, object] = {}
    exec(compile(NETWORK, "small.py", "exec"), namespace)
    torch.manual_seed(0)
    module = namespace["build"]()  # type: ignore[operator]
    assert isinstance(module, nn.Module)
    save_file(module.state_dict(), folder / "small.safetensors")


def scanned(folder: Path, name: str, limit: str, trunk: str) -> tuple[float, int, int]:
    """Seconds, and the most anonymous and resident bytes, of a scan."""
    command = [
        sys.executable, "-m", "camfast", "scan", "tomogram.mrc", "--model", "small.py:build", "--weights",
        "small.safetensors", "--layer", "5", "--method", "respond", "--window", "32", "--stride", "16", "--target", "1",
        "--trunk", trunk, "--max-memory", limit, "-o", name, "--quiet",
    ]  # fmt: skip
    began, anonymous, resident = time.perf_counter(), 0, 0
    process = subprocess.Popen(command, cwd=folder)
    while process.poll() is None:
        status = _status(process.pid)
        anonymous, resident = max(anonymous, status.get("RssAnon", 0)), max(resident, status.get("VmRSS", 0))
        time.sleep(0.02)
    if process.returncode:
        raise SystemExit(f"the scan ended with {process.returncode}")
    return time.perf_counter() - began, anonymous, resident


def _status(pid: int) -> dict[str, int]:
    """Bytes by the names that Linux gives them."""
    try:
        text = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return {}
    return {name: int(count) * 1024 for name, count in re.findall(r"^(RssAnon|VmRSS):\s+(\d+) kB", text, re.MULTILINE)}


def measure(shape: Sequence[int], limit: str, trunk: str) -> list[tuple[str, ...]]:
    rows = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        tomogram(folder / "tomogram.mrc", shape)
        network(folder)
        for output in ("cam.mrc", "cam.zarr"):
            seconds, anonymous, resident = scanned(folder, output, limit, trunk)
            held = "yes" if anonymous < ANONYMOUS and resident < RESIDENT else "no"
            rows.append((output, trunk, f"{seconds:.0f}", f"{np.prod(shape, dtype=float) / seconds / 1e6:.2f}",
                         f"{anonymous / 1e9:.2f}", f"{resident / 1e9:.2f}", held))  # fmt: skip
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m bench.scan_memory", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="a tomogram of 128 × 256 × 256")
    parser.add_argument("--trunk", choices=("exact", "shared"), default="shared")
    parser.add_argument("--write", action="store_true", help="put the table into bench/README.md")
    options = parser.parse_args()
    if options.write and options.quick:
        parser.error("--write is for the full measurement: leave out --quick")
    circumstances = Circumstances.now()
    rows = measure((128, 256, 256) if options.quick else SHAPE, "1G", options.trunk)
    command = "python -m bench.scan_memory" + (" --quick" if options.quick else "")
    command += f" --trunk {options.trunk}" if options.trunk != "shared" else ""
    report = Report("scan-memory", command, circumstances, COLUMNS, tuple(rows))
    print(report.markdown())
    if options.write:
        report.write_into()


if __name__ == "__main__":
    main()
