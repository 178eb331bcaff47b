"""Distributions of the tracked files as they are, made in a copy, so that the working tree's build stays as it is."""

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
_OURS = ("PYTHON", "VIRTUAL_ENV", "CAMFAST_", "CMAKE_", "CC", "CXX", "CFLAGS", "CXXFLAGS", "LDFLAGS", "MPL", "MYPY")


def copy_tracked(folder: Path) -> Path:
    """Copy the tracked files into a new folder below this one."""
    source = folder / "source"
    tracked = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True).stdout.split(b"\0")
    for name in filter(None, map(os.fsdecode, tracked)):
        target = source / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if (ROOT / name).is_symlink():
            target.symlink_to((ROOT / name).readlink())
        elif (ROOT / name).exists():
            target.write_bytes((ROOT / name).read_bytes())
    return source


def environment(path: str, home: Path) -> dict[str, str]:
    """What a newcomer's shell has: this one's variables without what concerns Python, compilers and camfast."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(_OURS)}
    return kept | {"PATH": path, "HOME": str(home), "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", "2")}


def build_quickly(kind: str, folder: Path) -> Path:
    """Build a ``wheel`` or an ``sdist`` by setuptools' own backend, with the tools that are installed here."""
    code = f"import setuptools.build_meta as b; print(b.build_{kind}({str(folder)!r}))"
    tools = {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}", "CAMFAST_CUDA": "0"}
    done = run([sys.executable, "-c", code], copy_tracked(folder), {**os.environ, **tools})
    return folder / done.stdout.split()[-1]


def run(
    command: list[str], folder: Path, variables: Mapping[str, str], code: int = 0
) -> "subprocess.CompletedProcess[str]":
    """Run a command that ends with this code, or fail with the end of what it said."""
    done = subprocess.run(command, cwd=folder, env=dict(variables), capture_output=True, text=True)
    assert done.returncode == code, f"{command}: {done.returncode}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    return done
