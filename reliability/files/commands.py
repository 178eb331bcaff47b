"""Mutants at the command line: exit code 0 or 2, a sentence on standard error, no traceback, nobody else's warnings."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

from reliability.files import seeds

NETWORKS = """
from torch import nn
import torch

def _network(convolution, pool):
    torch.manual_seed(0)
    return nn.Sequential(convolution(1, 2, 3, padding=1), nn.ReLU(), pool(1), nn.Flatten(), nn.Linear(2, 3))

def volume():
    return _network(nn.Conv3d, nn.AdaptiveAvgPool3d)

def picture():
    return _network(nn.Conv2d, nn.AdaptiveAvgPool2d)
"""


def arguments(name: str, path: Path, index: int) -> list[str]:
    """What is typed for a mutant: a scan's plan, or a map of it; of weights, a map of a valid volume."""
    beside = path.parent.parent
    networks, volume, out = beside / "networks.py", beside / "valid.mrc", beside / f"out{abs(index) % 7}"
    if not networks.exists():
        networks.write_text(NETWORKS)
        volume.write_bytes(seeds.mrc()[0].content)
    of_volumes = ["--model", f"{networks}:volume", "--layer", "0"]
    if name == "lists of tomograms" or (
        index % 2 and name not in ("safetensors", "state dicts", "lists of layers", "pictures")
    ):
        planned = ["--window", "4", "--stride", "2", "--dry-run"]
        return ["scan", str(path), "-o", f"{out}/{{name}}.mrc", *of_volumes, *planned]
    written = ["-o", f"{out}.mrc", "--overwrite"]
    if name == "pictures":
        of_pictures = ["--model", f"{networks}:picture", "--layer", "0", "--channels", "L"]
        return ["explain", str(path), "-o", f"{out}.png", "--overwrite", *of_pictures]
    if name in ("safetensors", "state dicts", "lists of layers"):
        model, layer = ("meshnet", "conv1") if name == "lists of layers" else ("cnn1", "conv2")
        target = ["--target", "0", *(["--region", "image"] if model == "meshnet" else [])]
        weights = path / "a.pt" if path.is_dir() else path
        return [
            "explain",
            str(volume),
            *written,
            "--model",
            model,
            "--layer",
            layer,
            "--weights",
            str(weights),
            *target,
        ]
    return ["explain", str(path), *written, *of_volumes, "--target", "0"]


def attempt(name: str, path: Path, index: int, taken: Callable[[], str]) -> dict[str, Any]:
    """Run a command in this process, and say how it went."""
    from camfast import cli

    others: list[str] = []
    own = cli._show_warning

    def shown(message: Warning | str, category: type, file: str, *rest: object, **more: object) -> None:
        if "/camfast/" not in file:
            others.append(f"{category.__name__}: {message}")
        own(message, category, file, *rest, **more)

    taken()
    try:
        with mock.patch.object(cli, "_show_warning", shown):
            code = cli.main(arguments(name, path, index))
    except BaseException as error:
        return {"end": "raw error", "says": f"{type(error).__name__}: {error}"[:500]}
    return judged(code, taken(), others)


def judged(code: int, text: str, others: list[str]) -> dict[str, Any]:
    """What an exit code and all that was printed come to."""
    lines = text.splitlines()
    errors = [line for line in lines if line.startswith("camfast: error: ")]
    raw = [line for line in lines if not line.isprintable() or len(line) > 2500]
    if code not in (0, 2):
        return {"end": f"exit code {code}", "says": text[-500:]}
    if "Traceback" in text or len(errors) != (code == 2) or raw:
        return {"end": "not a sentence", "says": text[-500:]}
    if code == 2 and any(not line.startswith(("camfast: error: ", "camfast: warning: ")) for line in lines):
        return {"end": "more than a sentence", "says": text[-500:]}
    if others:
        return {"end": "another's warning", "says": others[0][:500]}
    return {"end": "refused" if code else "read", "says": errors[0][:300] if errors else ""}


def in_process(name: str, path: Path, index: int) -> dict[str, Any]:
    """The same in a process of its own."""
    command = [sys.executable, "-m", "camfast", *arguments(name, path, index)]
    done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False, timeout=300)
    return judged(done.returncode, done.stderr, [])
