"""``camfast info``: versions, kernels, devices and optional packages, with the reason for whatever is missing."""

import argparse
import platform
import re
from importlib import metadata
from typing import Any

from camfast._version import __version__
from camfast.cli import network


def add(commands: Any, common: argparse.ArgumentParser) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "info",
        parents=[common],
        help="versions, backends and devices, and why something is missing",
        description="Print what this installation of camfast can do, and why it cannot do the rest.",
    )
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> None:
    """Collect the facts and print them."""
    facts = gather()
    network.show(options, facts, _lines(facts))


def gather() -> dict[str, Any]:
    """Everything the command prints, as plain values."""
    import torch

    from camfast import backends
    from camfast.ops import dispatch, native

    failure = native.load_failure()
    devices = {"cpu": f"{platform.machine()}, {torch.get_num_threads()} threads"}
    for index in range(torch.cuda.device_count()):
        devices[f"cuda:{index}"] = torch.cuda.get_device_name(index)
    asked = devices if len(devices) > 1 else [*devices, "cuda"]  # without a GPU: what one would find here
    return {
        "camfast": __version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "triton": _version("triton"),
        "native": {"loaded": failure is None, "instruction_set": None if failure else native.instruction_set()},
        "devices": devices,
        "backends": {device: {op: backends(op, device) for op in dispatch.OPS} for device in asked},
        "extras": _extras(),
    }


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _extras() -> dict[str, dict[str, str | None]] | None:
    """Packages of each extra with their versions; None where camfast runs without having been installed."""
    if _version("camfast") is None:
        return None
    extras: dict[str, dict[str, str | None]] = {}
    for requirement in metadata.requires("camfast") or []:
        match = re.match(r"(?P<name>[\w.-]+)[^;]*;.*extra == ['\"](?P<extra>\w+)['\"]", requirement)
        if match and match["name"] != "camfast":
            extras.setdefault(match["extra"], {})[match["name"]] = _version(match["name"])
    return extras


def _lines(facts: dict[str, Any]) -> list[str]:
    lines = [f"camfast {facts['camfast']}, Python {facts['python']}, torch {facts['torch']}, triton {facts['triton']}"]
    native = facts["native"]
    lines.append(f"native kernels: {native['instruction_set'] if native['loaded'] else 'not loaded'}")
    lines += [f"device {name}: {text}" for name, text in facts["devices"].items()]
    for device, ops in facts["backends"].items():
        lines.append(f"backends on {device}:")
        groups: dict[tuple[tuple[str, str], ...], list[str]] = {}
        for op, status in ops.items():
            groups.setdefault(tuple(status.items()), []).append(op)
        for status, names in groups.items():
            lines.append(f"  {', '.join(names)}")
            lines += [f"    {backend}: {text}" for backend, text in status]
    if facts["extras"] is None:
        lines.append("extras: unknown, as camfast runs from its sources without having been installed")
    for extra, packages in (facts["extras"] or {}).items():
        missing = [name for name, version in packages.items() if version is None]
        text = "complete" if not missing else f"without {', '.join(missing)} (pip install 'camfast[{extra}]')"
        lines.append(f"extra {extra}: {text}")
    return lines
